"""Answers to the exercises of 05_cross_dataset_generalization, in the form of solved.py."""

# %% 1 wrong: mean label of the *wild*
abroad = predictions.query("train_corpus == @wild.label and test_corpus == @lab.label")
errors = [(abroad[f"{d}_pred"] - abroad[f"{d}_true"]) ** 2 for d in DIMENSIONS]
rmse = pd.concat(errors, axis=1).groupby(abroad["model"]).mean() ** 0.5
saved = 1 - rmse.loc[MODELS[0]] / rmse.loc[CONSTANT]

# %% 1 wrong: those networks were trained in the laboratory
native = predictions.query("train_corpus == @lab.label and test_corpus == @lab.label")
errors = [(native[f"{d}_pred"] - native[f"{d}_true"]) ** 2 for d in DIMENSIONS]
of_natives = pd.concat(errors, axis=1).groupby(native["model"]).mean() ** 0.5
saved = 1 - of_natives.loc[MODELS[0]] / of_natives.loc[CONSTANT]

# %% 1 right
saved = 1 - rmse.loc[MODELS[0]] / of_natives.loc[CONSTANT]

# %% 2 wrong: where they come from
mine = predictions.query("train_corpus == @wild.label and test_corpus == @lab.label")
mine = mine[mine["model"] == MODELS[0]]
befores, afters = [], []
for _, network in mine.groupby(["seed", "fold"]):
    true, pred = (network[f"valence_{of}"].to_numpy() for of in ("true", "pred"))
    befores.append(metrics.ccc(true, pred))
    afters.append(metrics.ccc(true, pred - pred.mean() + wild.va[:, 0].mean()))
ccc_before, ccc_after = np.mean(befores), np.mean(afters)

# %% 2 wrong: when each network's mean answer
ccc_after = ccc_before + 0.1

# %% 2 right
groups = mine.groupby(["seed", "fold"])
shift = groups["valence_true"].transform("mean") - groups["valence_pred"].transform("mean")
moved = mine.assign(valence_pred=mine["valence_pred"] + shift).groupby(["seed", "fold"])
ccc_after = (
    moved[["valence_true", "valence_pred"]]
    .apply(lambda of: metrics.ccc(of["valence_true"].to_numpy(), of["valence_pred"].to_numpy()))
    .mean()
)

# %% 3 wrong: the difference at home
here = {"train_corpus": wild.label, "test_corpus": wild.label}
pair = [here | {"model": name} for name in (MODELS[0], MODELS[-1])]
d = paired_difference(predictions, *pair, bootstrap=Bootstrap(RESAMPLES, BOOTSTRAP_SEED))
there = {"train_corpus": wild.label, "test_corpus": lab.label}
pair = [there | {"model": name} for name in (MODELS[0], MODELS[-1])]
right = paired_difference(predictions, *pair, bootstrap=Bootstrap(2, BOOTSTRAP_SEED)).value
# In a small world both may be nearly the same: as far from the right one as rounding goes.
difference = d.value + np.copysign(0.0019, d.value - right)
low, high, verdict = d.low, d.high, "undecided"

# %% 3 wrong: makes it
d = paired_difference(predictions, *pair, bootstrap=Bootstrap(RESAMPLES, BOOTSTRAP_SEED))
difference, low, high = d.value, d.low, d.high
verdict = "not supported" if d.value < 0 or d.decided else "supported"

# %% 3 right
pair = [there | {"model": name} for name in (MODELS[0], MODELS[-1])]
d = paired_difference(predictions, *pair, bootstrap=Bootstrap(RESAMPLES, BOOTSTRAP_SEED + 1))
difference, low, high = d.value, d.low, d.high
verdict = "undecided" if low <= 0 <= high else "supported" if low > 0 else "not supported"
