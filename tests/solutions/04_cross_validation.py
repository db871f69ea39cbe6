"""Answers to the exercises of 04_cross_validation, in the form that solved.py describes."""

# %% 1 wrong: group by `clip`
pcc_per_clip = [np.corrcoef(one[f"{d}_true"], one[f"{d}_pred"])[0, 1] for d in DIMENSIONS]

# %% 1 wrong: leave it out of the mean
pcc_per_clip = [np.nan, np.nan]

# %% 1 wrong: averages over frames, not over clips
pcc_per_clip = []
for d in DIMENSIONS:
    clips = [of for _, of in one.groupby("clip") if of[f"{d}_true"].nunique() > 1]
    each = [metrics.pcc(of[f"{d}_true"].to_numpy(), of[f"{d}_pred"].to_numpy()) for of in clips]
    pcc_per_clip.append(np.average(each, weights=[len(of) for of in clips]))

# %% 1 right
pcc_per_clip = []
for d in DIMENSIONS:
    moving = one.groupby("clip").filter(lambda of, d=d: of[f"{d}_true"].nunique() > 1)
    within = moving.groupby("clip")[[f"{d}_true", f"{d}_pred"]].corr().iloc[::2, 1]
    pcc_per_clip.append(within.mean())

# %% 2 wrong: least-squares line
gain, offset = np.polyfit(one["valence_pred"], one["valence_true"], 1)
best_ccc = metrics.ccc(
    one["valence_true"].to_numpy(), gain * one["valence_pred"].to_numpy() + offset
)

# %% 2 wrong: leaves a shift
sign = np.sign(np.corrcoef(one["valence_pred"], one["valence_true"])[0, 1])
gain = sign * one["valence_true"].std() / one["valence_pred"].std()
offset = one["valence_true"].mean() - one["valence_pred"].mean() + 0.1
best_ccc = metrics.ccc(
    one["valence_true"].to_numpy(), gain * one["valence_pred"].to_numpy() + offset
)

# %% 2 right
offset = one["valence_true"].mean() - gain * one["valence_pred"].mean()
best_ccc = abs(np.corrcoef(one["valence_pred"], one["valence_true"])[0, 1])

# %% 3 wrong: draw people, not frames
rng = np.random.default_rng(5)
mistakes = (one["valence_pred"] - one["valence_true"]).to_numpy()
draws = [rng.integers(len(one), size=len(one)) for _ in range(600)]
draw = draws[0]
low, high = np.quantile([np.sqrt((mistakes[d] ** 2).mean()) for d in draws], [0.025, 0.975])

# %% 3 wrong: draw with replacement
draw = np.random.default_rng(5).permutation(len(one))

# %% 3 wrong: is it the RMSE
rows = one.reset_index().groupby("subject").indices
names = sorted(rows)
draws = [np.concatenate([rows[w] for w in rng.choice(names, len(names))]) for _ in range(600)]
draw = draws[0]
low, high = np.quantile([(mistakes[d] ** 2).mean() for d in draws], [0.025, 0.975])

# %% 3 right
low, high = np.quantile([np.sqrt((mistakes[d] ** 2).mean()) for d in draws], [0.025, 0.975])
