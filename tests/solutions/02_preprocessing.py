"""Answers to the exercises of 02_preprocessing, in the form that solved.py describes."""

# %% 1 wrong: on *both* sides
face_share = 1 / (1 + 0.5) ** 2

# %% 1 wrong: the share of the width
face_share = 1 / (1 + 2 * 0.5)

# %% 1 right
face_share = 1 / (1 + 2 * 0.5) ** 2

# %% 2 wrong: under its partner's number
mirrored = moved * [-1, 1] + [SIZE - 1, 0]

# %% 2 right
runs = [(0, 17), (17, 27), (31, 36), (48, 55), (55, 60), (60, 65), (65, 68)]
partner = np.arange(68)
for start, stop in runs:
    partner[start:stop] = np.arange(start, stop)[::-1]
partner[36:48] = [45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40]
mirrored = np.empty((68, 2))
mirrored[:, 0] = SIZE - 1 - moved[partner, 0]
mirrored[:, 1] = moved[partner, 1]

# %% 2 wrong: one pixel too far right
mirrored = moved[partner] * [-1, 1] + [SIZE, 0]

# %% 2 right
mirrored = (moved * [-1, 1] + [SIZE - 1, 0])[partner].tolist()

# %% 3 wrong: the *shorter* side
side = min(right - left, bottom - top)
square = (left, top, left + side, top + side)
outside = 0.0

# %% 3 wrong: put the middle
side = max(right - left, bottom - top)
square = (left + side // 2, top, left + side // 2 + side, top + side)
outside = 1 - (right - left) * (bottom - top) / side**2

# %% 3 right
wide, tall = right - left, bottom - top
side = max(wide, tall)
across, down = left + (wide - side) // 2, top + (tall - side) // 2
square = [across, down, across + side, down + side]
outside = (side * side - wide * tall) / (side * side)
