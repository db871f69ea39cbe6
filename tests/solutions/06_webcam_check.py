"""Answers to the exercises of 06_webcam_check, in the form that solved.py describes."""

# %% 1 wrong: a rate is its inverse
rate = total.quantile(0.95)

# %% 1 wrong: the *fastest* readings
rate = np.quantile(1000 / total, 0.95)

# %% 1 right
rate = 1000 / np.quantile(total, 0.95)


# %% 2 wrong: looks into the future
def smooth(time_s, values):
    return pd.Series(values).rolling(5, center=True, min_periods=1).mean()


# %% 2 wrong: depend on the time between
def smooth(time_s, values):
    return pd.Series(values).ewm(alpha=0.2, adjust=False).mean()


# %% 2 right
def smooth(time_s, values):
    means = [values[0]]
    for step, value in zip(np.diff(time_s), values[1:], strict=True):
        means.append(means[-1] + (1 - np.exp(-step / 0.5)) * (value - means[-1]))
    return means


# %% 3 wrong: then it repairs itself
sound = readings.dropna()
gains, offsets = np.transpose(
    [np.polyfit(sound[f"{d}_pred"], sound[f"{d}_true"], 1) for d in ("valence", "arousal")]
)

# %% 3 right
people = acted_emotions.draw_poses(PEOPLE, seed=DRAW_SEED, others=True)
others = acted_emotions.predict_poses(predictor, people, exact).dropna()
gains, offsets = [], []
for d in ("valence", "arousal"):
    read, drawn = others[f"{d}_pred"], others[f"{d}_true"]
    gains.append(np.cov(read, drawn)[0, 1] / read.var())
    offsets.append(drawn.mean() - gains[-1] * read.mean())
