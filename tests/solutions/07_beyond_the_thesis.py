"""Answers to the exercises of 07_beyond_the_thesis, in the form that solved.py describes."""

# %% 1 wrong: that is CCC
cov = ((labels - labels.mean(0)) * (answers - answers.mean(0))).mean(0)
below = labels.var(0) + answers.var(0) + (labels.mean(0) - answers.mean(0)) ** 2
own_loss, own_half = (2 * cov / below).mean(), 1.0

# %% 1 wrong: not the sum
cov = ((labels - labels.mean(0)) * (answers - answers.mean(0))).mean(0)
below = labels.var(0) + answers.var(0) + (labels.mean(0) - answers.mean(0)) ** 2
own_loss, own_half = (1 - 2 * cov / below).sum(), 1.0

# %% 1 wrong: that is 1 - PCC
cov = ((labels - labels.mean(0)) * (answers - answers.mean(0))).mean(0)
below = labels.var(0) + answers.var(0) + (labels.mean(0) - answers.mean(0)) ** 2
own_loss = (1 - 2 * cov / below).mean()
own_half = 1 - np.mean([np.corrcoef(labels[:, i], 0.5 * answers[:, i])[0, 1] for i in (0, 1)])


# %% 1 right
def by_hand(said):
    total = 0.0
    for i in (0, 1):
        y, p = labels[:, i], said[:, i]
        below = y.var() + p.var() + (y.mean() - p.mean()) ** 2
        total += 1 - 2 * np.cov(y, p, ddof=0)[0, 1] / below
    return total / 2


own_loss, own_half = by_hand(answers), by_hand(0.5 * answers)

# %% 2 wrong: fitted on the test labels
rows = outcomes["thesis"][0].query("fold == 0")
gain = rows["valence_true"].std() / rows["valence_pred"].std()
own_line = [gain, rows["valence_true"].mean() - gain * rows["valence_pred"].mean()]

# %% 2 wrong: the line of least squares
rows = outcomes["thesis"][1].query("fold == 0")
own_line = np.polyfit(rows["valence_pred"], rows["valence_true"], 1)

# %% 2 right
rows = outcomes["thesis"][1].query("fold == 0")
gain = rows["valence_true"].std() / rows["valence_pred"].std()
own_line = [gain, rows["valence_true"].mean() - gain * rows["valence_pred"].mean()]

# %% 3 wrong: the chance of at least one
by_luck, each_level = 1 - 0.95**comparisons, 1 - 0.05 / comparisons

# %% 3 wrong: wider than at 95 %
by_luck, each_level = 0.05 * comparisons, 0.05 / comparisons

# %% 3 right
by_luck, each_level = 0.05 * comparisons, 0.95 ** (1 / comparisons)
