"""Answers to the exercises of p3_overfitting, in the form that solved.py describes."""

# %% 1 wrong: without the division by 1 - p
shaken = [(p * (1 - p)) ** 0.5 for p in (0.2, 0.5, 0.8)]

# %% 1 wrong: that is the variance
shaken = [p / (1 - p) for p in (0.2, 0.5, 0.8)]

# %% 1 right
torch.manual_seed(0)
shaken = [dropout(torch.ones(200_000), p).std().item() for p in (0.2, 0.5, 0.8)]

# %% 2 wrong: deal people, not faces
fold_of = np.random.default_rng(0).permutation(len(who)) % 5

# %% 2 wrong: folds 0 to 4 are asked for
fold_of = deal(who, 4, np.random.default_rng(0))

# %% 2 wrong: is allowed
names = np.unique(who)
of_person = {name: 4 if i % 2 else i // 2 % 4 for i, name in enumerate(names)}  # half in the last
fold_of = [of_person[name] for name in who]

# %% 2 right
names, count = np.unique(who, return_counts=True)
sizes, of_person = np.zeros(5), {}
for i in count.argsort()[::-1]:
    of_person[names[i]] = sizes.argmin()
    sizes[sizes.argmin()] += count[i]
fold_of = pd.Series(who).map(of_person)

# %% 3 wrong: V / n is
enough, above = 1, 100.0

# %% 3 wrong: *squared* error
_, shared, own = averaged["as written"]
enough = int(np.ceil(own / shared))
above = 100 * own / enough / shared

# %% 3 right
errors, shared, own = averaged["as written"]
enough = 1
while own / enough > shared:
    enough += 1
above = 100 * (np.sqrt((shared + own / enough) / shared) - 1)
