import shutil

import numpy as np
import pandas as pd
import pytest

from vaaffect import widgets
from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import Split
from vaaffect.corpora.semaine import load_semaine, longest_session, read_sessions
from vaaffect.report import pages
from vaaffect.results.predictions import PREDICTION_COLUMNS, check_predictions
from vaaffect.results.raters import rater_predictions
from vaaffect.simulator.laboratory import LabWorld
from vaaffect.simulator.recordings import write_semaine


@pytest.fixture(scope="module")
def lab(lab_root):
    return load_semaine(lab_root)


def test_each_rater_stands_beside_the_mean_of_the_others(lab):
    table = rater_predictions(lab)
    assert list(table) == PREDICTION_COLUMNS
    for _, of_rater in table.groupby("seed"):
        check_predictions(of_rater)
    row = table.iloc[7]
    (session,) = [s for s in read_sessions(lab.root) if s.number == row["clip"]]
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


def test_raters_in_the_folds_of_models_have_two_people_in_each(tmp_path):
    write_semaine(tmp_path / "lab", LabWorld(sessions=8, subjects=4, seconds=(3, 4), seed=2))
    lab = load_semaine(tmp_path / "lab")
    one, two, *rest = lab.frames["subject"].unique()
    assert len(rest) == 2

    def splits(*people):
        first = lab.frames["subject"].isin(people).to_numpy()
        return [Split(k, *(np.flatnonzero(x) for x in (~here, ~here, here)))
                for k, here in enumerate((first, ~first))]  # fmt: skip

    table, alone = rater_predictions(lab, splits(one, two), lab.frames), rater_predictions(lab)
    heard = alone.assign(fold=(~alone["subject"].isin([one, two])).astype(int))
    people = heard.groupby(["seed", "fold"])["subject"].nunique().unstack(fill_value=0)
    whole = people.index[(people == 2).all(axis=1)]
    assert len(whole) and set(table["seed"]) == set(whole)
    said = ["seed", "clip", "frame", "fold", "arousal_pred", "arousal_true"]
    kept = heard[heard["seed"].isin(whole)]
    assert len(table.merge(kept[said], on=said)) == len(table) == len(kept)
    # A fold of one person has no interval.
    assert rater_predictions(lab, splits(one), lab.frames).empty


def keep_one_rater(root, session: str, dimension: str) -> None:
    """Delete all traces of a dimension but one: "V" or "A"."""
    for path in sorted((root / "Sessions" / session).glob(f"R*D{dimension}.txt"))[1:]:
        path.unlink()


def test_a_dimension_with_one_rater_leaves_out_its_session_alone(lab, lab_root, tmp_path):
    root = shutil.copytree(lab_root, tmp_path / "lab")
    keep_one_rater(root, "2", "A")
    table, whole = rater_predictions(load_semaine(root)), rater_predictions(lab)
    pd.testing.assert_frame_equal(
        table.reset_index(drop=True), whole[whole["clip"] != "2"].reset_index(drop=True)
    )
    everybody = read_sessions(root)
    assert longest_session(everybody) == max(
        (s for s in everybody if s.number != "2"), key=lambda s: s.video.frames
    )


def test_where_each_session_has_one_rater_there_is_an_empty_table(lab_root, tmp_path):
    root = shutil.copytree(lab_root, tmp_path / "lab")
    for folder in (root / "Sessions").iterdir():
        for dimension in "VA":
            keep_one_rater(root, folder.name, dimension)
    lab = load_semaine(root)
    assert (lab.frames[["valence_raters", "arousal_raters"]] == 1).all(axis=None)
    splits = [Split(0, *np.array_split(np.arange(len(lab.frames)), 3))]
    for table in (rater_predictions(lab), rater_predictions(lab, splits, lab.frames)):
        assert list(table) == PREDICTION_COLUMNS and table.empty
    longest = longest_session(read_sessions(root))
    shown = widgets.traces(longest.traces["valence"], "valence", np.arange(0, 3, 0.1), lab.label)
    page = shown._repr_html_()
    assert "One rater alone traced valence here" in page and lab.label in page
    assert list(pages.loads(page)) == []


def test_a_corpus_with_one_rater_has_no_such_table(tiny_corpus):
    with pytest.raises(UserError, match="does not say who rated what"):
        rater_predictions(tiny_corpus)
