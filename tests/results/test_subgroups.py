"""Errors by group: what the simulator knows, who is put where, and what is measured there."""

import numpy as np
import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.corpora import data
from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.report import error_plots, tables
from vaaffect.report.sentences import group_gaps
from vaaffect.results import Bootstrap, subgroups
from vaaffect.results.predictions import PREDICTION_COLUMNS
from vaaffect.simulator.truth import angle_to_camera, typology_angle, wild_truth
from vaaffect.simulator.worlds import WildWorld, clip_plan

FEW = Bootstrap(50)
WORLD = WildWorld(clips=60, subjects=30, frames=(2, 3), seed=5)
PLANS = {plan.clip: plan for plan in (clip_plan(WORLD, i) for i in range(WORLD.clips))}


def predicted(truth: pd.DataFrame, error, seed: int = 0) -> pd.DataFrame:
    """Predictions of every frame of a world; error(rows, rng) (n, 2) is added to the labels."""
    rng = np.random.default_rng(seed)
    rows = truth[["clip", "frame"]].copy()
    rows["subject"] = [PLANS[clip].subject.actor for clip in rows["clip"]]
    plans = [PLANS[clip] for clip in rows["clip"]]
    at = [plan.frames.index(n) for plan, n in zip(plans, rows["frame"], strict=True)]
    labels = [plan.labels[i] / 10 for plan, i in zip(plans, at, strict=True)]
    answers = labels + error(truth, rng)
    people = {name: i for i, name in enumerate(sorted(set(rows["subject"])))}
    rows["fold"] = [people[name] % 3 for name in rows["subject"]]
    for axis, dimension in enumerate(DIMENSIONS):
        rows[f"{dimension}_true"] = np.array(labels)[:, axis]
        rows[f"{dimension}_pred"] = answers[:, axis]
    return rows.assign(
        model="m", recipe="r", train_corpus="a", test_corpus="a", split="subject", seed=0
    )[PREDICTION_COLUMNS]


@pytest.fixture(scope="module")
def truth():
    return wild_truth(WORLD)


@pytest.fixture(scope="module")
def group_of(truth):
    return subgroups.frame_groups(truth, np.zeros((len(truth), 68, 2)), WORLD)


def test_the_typology_angle_is_that_of_the_literature():
    # Chardon et al.: L* 70, b* 15 is arctan(20 / 15); a grey has no b* and lies at 90 or -90.
    assert typology_angle((246, 212, 190)) > 55 and typology_angle((94, 62, 45)) < -30
    assert typology_angle((200, 200, 200)) == pytest.approx(90, abs=0.5)
    angles = [typology_angle(c) for c in ((246, 212, 190), (203, 153, 114), (128, 86, 60))]
    assert angles == sorted(angles, reverse=True)


def test_the_angle_to_the_camera():
    assert angle_to_camera(0, 0) == 0
    assert angle_to_camera(-25, 0) == pytest.approx(25)
    assert angle_to_camera(0, 12) == pytest.approx(12)
    assert 25 < angle_to_camera(25, 12) < 37


def test_the_truth_is_that_of_the_drawn_frames_and_stays_out_of_the_corpus(tmp_path, monkeypatch):
    monkeypatch.setattr(data, "SIMULATED", tmp_path)
    world = {"clips": 4, "subjects": 3, "frames": [2, 3], "size": [128, 96]}
    corpus = data.wild_corpus("simulated", world)
    found = wild_truth(WildWorld(**world))
    key = ["clip", "frame"]
    assert found[key].values.tolist() == corpus.frames[key].values.tolist()
    one_each = corpus.frames[[*key, "subject"]].merge(found, on=key).groupby("subject")
    assert (one_each[["skin", "age"]].nunique() == 1).all(axis=None)  # a person's, not a frame's
    written = "".join(path.read_text() for path in tmp_path.rglob("0*.json"))
    assert "landmarks" in written and "skin" not in written and "turned" not in written
    # Landmarks show what was drawn: the more a face turns, the farther its nose is off the middle.
    seen = subgroups.turn(corpus.landmarks)
    drawn = [abs(s.yaw) for i in range(4) for s in clip_plan(WildWorld(**world), i).scenes]
    assert np.corrcoef(seen, drawn)[0, 1] > 0.9


def test_turn_of_planted_landmarks():
    points = np.zeros((3, 68, 2))
    points[:, 0, 0], points[:, 16, 0], points[:, 30, 0] = 10, 30, [20, 25, 10]
    assert subgroups.turn(points).tolist() == [0, 0.5, 1]


def test_groups_have_fixed_borders(truth, group_of):
    for key in ("skin", "age", "turned"):
        trait = subgroups.TRAITS[key]
        for group, of in truth.groupby(group_of[key]):
            place = trait.groups.index(group)
            low, high = [-np.inf, *trait.borders, np.inf][place : place + 2]
            assert of[key].between(low, high, inclusive="left").all()
    assert subgroups.TRAITS["skin"].spans()["medium"] == "10 to 41 degrees of typology angle"
    for trait in subgroups.TRAITS.values():
        assert {trait.compared, trait.reference} == {trait.groups[0], trait.groups[-1]}


def test_of_real_people_only_the_pose_is_known():
    frames = pd.DataFrame({"clip": ["a", "a"], "frame": [0, 1]})
    points = np.zeros((2, 68, 2))
    points[:, 16, 0], points[:, 30, 0] = 2, [1.0, 1.9]
    found = subgroups.frame_groups(frames, points, None)
    assert list(found) == ["clip", "frame", "turn"]
    assert found["turn"].tolist() == ["frontal", "far turned"]


def test_frames_of_another_world_are_refused(truth):
    other = truth.assign(clip="9" + truth["clip"])
    with pytest.raises(UserError, match="not those of this simulated world"):
        subgroups.frame_groups(other, np.zeros((len(other), 68, 2)), WORLD)


def test_a_planted_bias_is_found_where_it_is(truth, group_of):
    def darker_is_read_as_less_pleasant(rows, rng):
        error = rng.normal(0, 0.05, (len(rows), 2))
        error[:, 0] -= 0.3 * (rows["skin"] < 10)
        return error

    table = predicted(truth, darker_is_read_as_less_pleasant)
    found = subgroups.by_group(table, group_of, bootstrap=Bootstrap(300))
    bias = found[found["metric"] == "bias"].set_index(["dimension", "group"])["value"]
    assert bias["valence", "dark"] == pytest.approx(-0.3, abs=0.03)
    assert bias["valence", "light"] == pytest.approx(0, abs=0.03)
    gaps = subgroups.between_groups(table, group_of, bootstrap=Bootstrap(300))
    gaps = gaps.set_index(["trait", "metric", "dimension"])
    gap = gaps.loc["skin tone", "bias", "valence"]
    assert gap["difference"] == pytest.approx(-0.3, abs=0.05) and gap["decided"]
    assert (gap["compared"], gap["reference"]) == ("dark", "light")
    assert abs(gaps.loc["skin tone", "bias", "arousal"]["difference"]) < 0.05
    assert gaps.loc["skin tone", "RMSE", "valence"]["difference"] > 0.2


def test_values_are_those_of_the_frames_of_the_group(truth, group_of):
    table = predicted(truth, lambda rows, rng: rng.normal(0, 0.2, (len(rows), 2)))
    found = subgroups.by_group(table, group_of, bootstrap=FEW)
    joined = table.merge(group_of, on=["clip", "frame"])
    frontal = joined[joined["turned"] == "frontal"]
    error = frontal["arousal_pred"] - frontal["arousal_true"]
    row = found.query("group == 'frontal' and dimension == 'arousal'").set_index("metric")
    assert row.loc["RMSE", "value"] == pytest.approx(np.sqrt((error**2).mean()))
    assert row.loc["bias", "value"] == pytest.approx(error.mean())
    sizes = frontal["subject"].nunique(), len(frontal)
    assert tuple(row.loc["CCC", ["subjects", "frames"]]) == sizes
    assert (found["low"] < found["value"]).all() and (found["value"] < found["high"]).all()


def test_equal_groups_are_found_different_about_one_time_in_twenty(truth, group_of):
    def with_habits(rows, rng):  # people differ, groups do not
        habits = {name: rng.normal(0, 0.1, 2) for name in rows["skin"].unique()}
        return np.array([habits[skin] for skin in rows["skin"]]) + rng.normal(
            0, 0.1, (len(rows), 2)
        )

    decided = []
    for seed in range(60):
        table = predicted(truth, with_habits, seed)
        skin = group_of[["clip", "frame", "skin"]]
        gaps = subgroups.between_groups(table, skin, bootstrap=Bootstrap(100))
        decided += gaps.query("metric == 'bias'")["decided"].tolist()
    assert 0.01 <= np.mean(decided) <= 0.12  # 120 of them; 0.05 is due


def test_the_constant_has_errors_and_no_correlation(truth, group_of):
    table = predicted(truth, lambda rows, rng: np.zeros((len(rows), 2)))
    table = table.assign(model="constant", valence_pred=0.1, arousal_pred=0.2)
    table["valence_pred"] += table["fold"] / 50  # other training parts, other means
    found = subgroups.by_group(table, group_of, bootstrap=FEW).set_index("metric")
    assert found.loc["CCC", "value"].isna().all() and found.loc["RMSE", "value"].notna().all()
    shown = tables.group_table(found.reset_index())
    assert set(shown["valence CCC"].astype(str)) == {tables.UNDEFINED}
    assert list(shown["group"][:3]) == list(subgroups.TRAITS["skin"].groups)


def test_of_few_people_there_is_a_value_and_no_interval(truth, group_of):
    dark = truth.loc[group_of["skin"] == "dark", "clip"]
    few = list(dict.fromkeys(PLANS[clip].subject.actor for clip in dark))[: subgroups.FEWEST - 1]
    table = predicted(truth, lambda rows, rng: rng.normal(0, 0.2, (len(rows), 2)))
    others = table["clip"].isin(group_of.loc[group_of["skin"] != "dark", "clip"])
    table = table[others | table["subject"].isin(few)]
    found = subgroups.by_group(table, group_of, bootstrap=FEW).query("trait == 'skin tone'")
    found = found.set_index(["group", "metric", "dimension"])
    assert found.loc[("dark", "RMSE", "valence"), "subjects"] == subgroups.FEWEST - 1
    assert found.loc["dark"]["value"].notna().all() and found.loc["dark"]["low"].isna().all()
    assert found.loc["light"]["low"].notna().all()
    gaps = subgroups.between_groups(table, group_of, bootstrap=FEW).query("trait == 'skin tone'")
    assert gaps["difference"].notna().all() and not gaps["decided"].any()
    assert group_gaps(gaps).startswith("No two groups have 5 subjects")


def test_a_frame_without_a_group_is_refused(truth, group_of):
    table = predicted(truth, lambda rows, rng: np.zeros((len(rows), 2)))
    with pytest.raises(UserError, match="no group"):
        subgroups.by_group(table, group_of.iloc[1:], bootstrap=Bootstrap(10))


def test_the_figure_has_a_mark_per_group_and_model(truth, group_of):
    import matplotlib.pyplot as plt

    table = predicted(truth, lambda rows, rng: rng.normal(0, 0.2, (len(rows), 2)))
    both = pd.concat([table.assign(model="vgg11_bn"), table.assign(model="constant")])
    found = subgroups.by_group(both, group_of, bootstrap=Bootstrap(20))
    of = found.query("trait == 'age' and dimension == 'valence'")
    _, ax = plt.subplots()
    error_plots.error_by_group(of, ax)
    marks = [container.lines[0] for container in ax.containers]
    drawn = sorted(y for mark in marks for y in mark.get_ydata())
    assert drawn == pytest.approx(sorted(of.query("metric == 'RMSE'")["value"]))
    labels = [t.get_text().split("\n")[0] for t in ax.get_xticklabels()]
    assert labels == list(subgroups.TRAITS["age"].groups)
    plt.close("all")
