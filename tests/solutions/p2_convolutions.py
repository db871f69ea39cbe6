"""Answers to the exercises of p2_convolutions, in the form that solved.py describes."""

# %% 1 wrong: round down
rows_left = [2, 4, 7]

# %% 1 wrong: not rows
rows_left = [1**2, 3**2, 7**2]

# %% 1 right
rows_left = []
for pixels in (48, 100, 224):
    for _ in range(5):
        pixels = (pixels - 2) // 2 + 1
    rows_left.append(pixels)

# %% 2 wrong: adds two pixels
how_many, share = 2, 2 * 9 / 49

# %% 2 wrong: n x n weights, not n
how_many, share = 3, 3 * 3 / 7

# %% 2 wrong: upside down
how_many, share = 3, 49 / 27

# %% 2 right
fields = [receptive_fields([nn.Conv2d(1, 1, 3)] * k)[-1][0] for k in range(1, 6)]
how_many = 1 + fields.index(receptive_fields([nn.Conv2d(1, 1, 7)])[-1][0])
share = how_many * 3**2 / 7**2

# %% 3 wrong: weight of the *new* value
batches_needed = [3, 2]

# %% 3 wrong: a little more
batches_needed = [43, 458]

# %% 3 right
batches_needed = torch.tensor([np.ceil(np.log(0.01) / np.log(1 - m)) for m in (0.1, 0.01)])
