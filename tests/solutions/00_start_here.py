"""Answers to the exercises of 00_start_here, in the form that solved.py describes."""

# %% 1 wrong: two columns each
part = shape[:, 48:68]
said = clone(line).fit(part[train], corpus.va[train]).predict(part[test])
only_mouth = [metrics.pcc(corpus.va[test, i], said[:, i]) for i in (0, 1)]

# %% 1 wrong: fitted on
part = shape[:, 96:136]
said = clone(line).fit(part[train], corpus.va[train]).predict(part[train])
only_mouth = [metrics.pcc(corpus.va[train, i], said[:, i]) for i in (0, 1)]

# %% 1 right
part = shape.reshape(-1, 68, 2)[:, 48:68].reshape(len(shape), -1)
said = clone(line).fit(part[train], corpus.va[train]).predict(part[test])
only_mouth = pd.Series([np.corrcoef(corpus.va[test, i], said[:, i])[0, 1] for i in (0, 1)])

# %% 2 wrong: that is the training mean
best_constant = corpus.va[train].mean(axis=0)
least_rmse = np.sqrt(((corpus.va[test] - best_constant) ** 2).mean(axis=0))

# %% 2 wrong: take the root
best_constant = corpus.va[test].mean(axis=0)
least_rmse = ((corpus.va[test] - best_constant) ** 2).mean(axis=0)

# %% 2 right
candidates = np.linspace(-1, 1, 4001)
errors = ((candidates[:, None, None] - corpus.va[test][None]) ** 2).mean(axis=1)
best_constant = candidates[errors.argmin(axis=0)]
least_rmse = np.sqrt(errors.min(axis=0))

# %% 3 wrong: still dealt by person
leaky_train, leaky_test = train, test
known = corpus.frames["subject"].iloc[test].isin(corpus.frames["subject"].iloc[train]).mean()

# %% 3 wrong: not percent
order = np.random.default_rng(SEED).permutation(len(shape))
leaky_test, leaky_train = np.split(order, [len(order) // 5])
who = corpus.frames["subject"]
known = 100 * who.iloc[leaky_test].isin(who.iloc[leaky_train]).mean()

# %% 3 right
order = np.random.default_rng(SEED + 1).permutation(len(shape))
leaky_test, leaky_train = np.split(order, [len(order) // 5])
seen = set(corpus.frames["subject"].iloc[leaky_train])
known = sum(who in seen for who in corpus.frames["subject"].iloc[leaky_test]) / len(leaky_test)
