from dataclasses import replace

import numpy as np
import pytest

from vaaffect.errors import UserError
from vaaffect.predictions import COLUMNS, check_predictions
from vaaffect.raters import rater_predictions
from vaaffect.semaine import load_semaine, read_sessions
from vaaffect.splits import Split


@pytest.fixture(scope="module")
def lab(lab_root):
    return load_semaine(lab_root)


def test_each_rater_stands_beside_the_mean_of_the_others(lab):
    table = rater_predictions(lab)
    assert list(table) == COLUMNS
    for _, of_rater in table.groupby("seed"):
        check_predictions(of_rater)
    row = table.iloc[7]
    (session,) = [s for s in read_sessions(lab.root)[0] if s.number == row["clip"]]
    frame = lab.frames.set_index(["clip", "frame"]).loc[(row["clip"], row["frame"])]
    at = np.array([frame["time_s"]])
    said = {int(t.rater): t.at(at)[0] for t in session.traces["arousal"]}
    assert row["arousal_pred"] == pytest.approx(said.pop(row["seed"]))
    assert row["arousal_true"] == pytest.approx(np.nanmean(list(said.values())))
    # The mean of everybody is the corpus's label; the mean of the others is near it, not equal.
    assert row["arousal_true"] != pytest.approx(frame["arousal"], abs=1e-6)
    assert row["arousal_true"] == pytest.approx(frame["arousal"], abs=0.15)


def test_silent_raters_are_left_out(lab):
    table = rater_predictions(lab)
    frames = lab.frames.set_index(["clip", "frame"])
    count = table.groupby(["clip", "frame"]).size()
    fewest = np.minimum(frames["valence_raters"], frames["arousal_raters"])
    assert (count <= fewest.loc[count.index]).all() and count.max() >= 4


def test_raters_in_the_folds_of_models_are_those_who_are_heard_in_all(lab):
    people = lab.frames["subject"].unique()
    first = lab.frames["subject"].isin(people[:1]).to_numpy()
    splits = [Split(k, *(np.flatnonzero(x) for x in (~here, ~here, here)))
              for k, here in enumerate((first, ~first))]  # fmt: skip
    table = rater_predictions(lab, splits, lab.frames)
    assert set(table["fold"]) == {0, 1} and (table.groupby("seed")["fold"].nunique() == 2).all()
    for split in splits:
        people = set(lab.frames["subject"].iloc[split.test])
        assert set(table.loc[table["fold"] == split.fold, "subject"]) <= people
    said = ["seed", "clip", "frame", "arousal_pred", "arousal_true"]
    alone = rater_predictions(lab)
    assert len(table.merge(alone[said], on=said)) == len(table)
    # Nobody is heard in a fold without people.
    nobody = replace(splits[1], test=splits[1].test[:0])
    assert rater_predictions(lab, [splits[0], nobody], lab.frames).empty


def test_a_corpus_with_one_rater_has_no_such_table(tiny_corpus):
    with pytest.raises(UserError, match="does not say who rated what"):
        rater_predictions(tiny_corpus)
