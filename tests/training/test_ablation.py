"""Pieces of a recipe, and what is done with predictions after a training."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.results import metrics
from vaaffect.results.postprocessing import (
    apply_corrections,
    corrected_across_subjects,
    corrections,
    smoothed,
)
from vaaffect.results.predictions import PREDICTION_COLUMNS, check_predictions
from vaaffect.training.ablation import (
    Component,
    chosen,
    mean_ccc,
    read_components,
    seed_luck,
    together,
    verdicts,
)
from vaaffect.training.recipe import Recipe

FIXED = {"model": "vgg_tiny_bn", "recipe": "thesis", "train_corpus": "c", "test_corpus": "c",
         "split": "subject", "seed": 0}  # fmt: skip
GIVEN = {
    "CCC loss": {"loss": "ccc"},
    "both losses": {"loss": "mse+ccc"},
    "smoothing": {"smooth": 10},
    "gain and offset": {"correct": True},
    "another seed": {"seeds": 2},
}


def table(people, clips=2, frames=5, gain=0.5, offset=0.2, noise=0.1, folds=2, seed=0):
    """Predictions that swing too little and sit too high, with noise from frame to frame."""
    rng = np.random.default_rng(seed)
    rows = []
    for person in people:
        for clip in range(clips):
            true = rng.uniform(-0.8, 0.8, 2)
            for frame in range(frames):
                pred = gain * true + offset + rng.normal(0, noise, 2)
                where = {"fold": int(person) % folds, "subject": f"s{person}"}
                where |= {"clip": f"{person}-{clip}", "frame": 10 * frame}
                for d, t, p in zip(DIMENSIONS, true, pred, strict=True):
                    where |= {f"{d}_true": t, f"{d}_pred": p}
                rows.append(FIXED | where)
    return pd.DataFrame(rows)[PREDICTION_COLUMNS]


def ccc_of(predictions, dimension="valence"):
    return metrics.ccc(predictions[f"{dimension}_true"], predictions[f"{dimension}_pred"])


def test_smoothing_is_the_weighted_mean_of_the_clip_and_takes_noise_away():
    predictions = table(range(20), noise=0.3).sample(frac=1, random_state=0)
    smooth = smoothed(predictions, 10)
    check_predictions(smooth)
    assert (smooth[["clip", "frame"]].to_numpy() == predictions[["clip", "frame"]]).all(axis=None)
    clip = predictions[predictions["clip"] == "3-1"].sort_values("frame")
    weights = np.exp(-((clip["frame"] - 20) ** 2) / 200)
    by_hand = (weights * clip["arousal_pred"]).sum() / weights.sum()
    found = smooth.query("clip == '3-1' and frame == 20")["arousal_pred"].item()
    assert found == pytest.approx(by_hand)
    assert ccc_of(smooth) > ccc_of(predictions) + 0.05
    # Frames far apart in the film do not help each other.
    far = predictions.assign(frame=100 * predictions["frame"])
    assert np.allclose(smoothed(far, 10)["valence_pred"], far["valence_pred"])


def test_smoothing_that_cannot_be_is_refused():
    with pytest.raises(UserError, match="above 0, not 0"):
        smoothed(table(range(4)), 0)
    with pytest.raises(UserError, match="each clip is one picture"):
        smoothed(table(range(4), frames=1), 5)


def test_a_correction_undoes_a_planted_gain_and_offset_fold_by_fold():
    inner, test = table(range(40), noise=0.0), table(range(40, 60), noise=0.0)
    for of in (inner, test):  # fold 1 has another bias
        of.loc[of["fold"] == 1, "valence_pred"] = 2 * of["valence_true"] - 0.1
    found = corrections(inner)
    assert len(found) == 4
    right = found.set_index(["fold", "dimension"])
    assert right.loc[(0, "arousal"), ["gain", "offset"]].tolist() == pytest.approx([2, -0.4])
    assert right.loc[(1, "valence"), ["gain", "offset"]].tolist() == pytest.approx([0.5, 0.05])
    better = apply_corrections(test, found)
    for dimension in DIMENSIONS:
        assert np.allclose(better[f"{dimension}_pred"], better[f"{dimension}_true"], atol=1e-9)
    with pytest.raises(UserError, match="a fold without a correction"):
        apply_corrections(test.assign(fold=test["fold"] + 1), found)


def test_on_its_own_rows_a_correction_turns_ccc_into_pcc():
    inner = table(range(30), noise=0.4, folds=1)
    after = apply_corrections(inner, corrections(inner))
    pcc = metrics.pcc(inner["valence_true"], inner["valence_pred"])
    assert ccc_of(after) == pytest.approx(pcc, abs=0.02)  # but for the clipping
    still = inner.assign(valence_pred=0.7)
    moved = apply_corrections(still, corrections(still))["valence_pred"]
    assert np.allclose(moved, inner["valence_true"].mean())


def test_people_are_corrected_by_what_others_say():
    inner = table(range(6), folds=1)
    alone = corrected_across_subjects(inner)
    others = inner[inner["subject"] != "s4"]
    wanted = apply_corrections(inner[inner["subject"] == "s4"], corrections(others))
    found = alone[alone["subject"] == "s4"]
    assert np.allclose(found["valence_pred"], wanted["valence_pred"])
    nobody_else = corrected_across_subjects(table([0], folds=1))
    assert nobody_else["valence_pred"].isna().all() and np.isnan(mean_ccc(nobody_else))


def test_pieces_change_what_they_say_and_nothing_else():
    pieces = {piece.name: piece for piece in read_components(GIVEN)}
    base = Recipe(epochs=7, lr=0.3)
    assert pieces["CCC loss"].recipe_from(base) == Recipe("CCC-loss", epochs=7, lr=0.3, loss="ccc")
    assert pieces["smoothing"].recipe_from(base) is base  # the same training, not one more
    placebos = {f"another seed {k}": {"seed": k} for k in (1, 2)}
    for name in placebos:
        assert pieces[name].recipe_from(base) == replace(base, name=name.replace(" ", "-"))
    others = {name: changes for name, changes in GIVEN.items() if name != "another seed"}
    assert {name: piece.changes() for name, piece in pieces.items()} == others | placebos


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ({"loss_function": "ccc"}, "changes 'loss_function', which no recipe has"),
        ({"loss": "mae"}, "unknown loss 'mae'"),
        ({"epochs": 3}, "changes 'epochs'; change it for all components alike"),
        ({}, "'x' changes nothing"),
        ({"correct": False}, "'x' changes nothing"),
        ({"seed": 1}, "changes 'seed', which no recipe has"),
        ({"seeds": 1}, "'x' is {'seeds': 1}; placebos change nothing but the seed"),
        ({"seeds": True}, "placebos change nothing but the seed"),
        ({"seeds": 5, "loss": "ccc"}, "placebos change nothing but the seed"),
    ],
)
def test_pieces_that_cannot_be_are_refused(given, says):
    with pytest.raises(UserError, match=says):
        read_components({"x": given})


def test_an_outcome_is_fitted_on_validation_alone():
    inner, test = table(range(40)), table(range(40, 60), seed=1)
    piece = Component("both", smooth=10.0, correct=True)
    after, inside = piece.outcome(test, inner)
    assert set(after["recipe"]) == set(inside["recipe"]) == {"both"}
    assert ccc_of(after) > ccc_of(test) + 0.1 and mean_ccc(inside) > mean_ccc(inner) + 0.1
    # Other test labels change nothing: no correction has seen them.
    other, _ = piece.outcome(test.assign(valence_true=0.0, arousal_true=0.0), inner)
    assert other["valence_pred"].tolist() == after["valence_pred"].tolist()


def test_whole_pictures_are_another_training_and_part_of_what_is_tried_together():
    whole, smooth = read_components({"whole": {"whole_pictures": True}, "smoothing": {"smooth": 5}})
    base = Recipe(epochs=7)
    assert whole.recipe_from(base) == replace(base, name="whole") and not whole.recipe
    assert together([whole, smooth]).changes() == {"smooth": 5, "whole_pictures": True}
    with pytest.raises(UserError, match="both change 'whole_pictures'"):
        together([whole, replace(whole, name="again")])


def test_the_best_of_those_that_exclude_each_other_is_chosen():
    pieces = read_components(GIVEN)
    gains = {"CCC loss": 0.1, "both losses": 0.2, "smoothing": 0.05, "gain and offset": -0.01,
             "another seed 1": 0.3, "another seed 2": 0.4}  # fmt: skip
    taken = chosen(pieces, gains)
    assert [piece.name for piece in taken] == ["both losses", "smoothing"]
    unknown = gains | {"both losses": np.nan}  # which must not upset the order of the others
    assert [piece.name for piece in chosen(pieces, unknown)] == ["CCC loss", "smoothing"]
    assert together(taken).changes() == {"loss": "mse+ccc", "smooth": 10}
    with pytest.raises(UserError, match="'CCC loss' and 'both losses' both change 'loss'"):
        together(pieces[:2])
    assert together([]).changes() == {}


def test_verdicts_follow_the_intervals():
    bounds = {"a": [(0.1, 0.3), (-0.1, 0.2)], "b": [(-0.3, -0.1), (-0.1, 0.1)],
              "c": [(-0.1, 0.1), (-0.2, 0.1)], "d": [(0.1, 0.2), (-0.2, -0.1)],
              "e": [(0.01, 0.03), (-0.02, -0.01)]}  # fmt: skip
    rows = pd.DataFrame(
        {"recipe": name, "dimension": dimension, "metric": "CCC",
         "difference": (low + high) / 2, "low": low, "high": high}
        for name, both in bounds.items()
        for dimension, (low, high) in zip(DIMENSIONS, both, strict=True)
    )  # fmt: skip
    found = {"a": "paid", "b": "harmed", "c": "nothing shown", "d": "both", "e": "both"}
    assert verdicts(rows) == found
    # What another seed may do is no merit, however sure it is.
    luck = {"valence": 0.04, "arousal": 0.02}
    assert verdicts(rows, luck) == found | {"e": "less than luck"}
    # Of an error less is better.
    turned = {"a": "harmed", "b": "paid"}
    assert verdicts(rows.assign(metric="RMSE"), luck) == found | turned | {"e": "less than luck"}


def placebo_rows(trainings: np.ndarray) -> pd.DataFrame:
    """Results of trainings (seeds, folds) that differ by seed alone within a fold, in both
    dimensions; valence moves twice as much. Mean over folds and another scale are no evidence."""
    rows = pd.DataFrame(
        {"recipe": f"seed {k}", "fold": fold, "dimension": dimension, "metric": "CCC",
         "scale": "[-1, 1]", "value": times * value}
        for k, of in enumerate(trainings)
        for fold, value in (*enumerate(of), ("mean", of.mean()))
        for dimension, times in zip(DIMENSIONS, (2, 1), strict=True)
    )  # fmt: skip
    return pd.concat([rows, rows.assign(scale="[-10, 10]", value=rows["value"] * 10)])


def test_another_seed_moves_a_metric_by_more_than_the_yardstick_as_often_as_it_says():
    rng = np.random.default_rng(0)
    outside, draws = 0, 1000
    people = [0.5, 0.6, 0.7]  # folds differ by their people, which is no luck of seeds
    for _ in range(draws):
        *trainings, a, b, c, d, e, f, g, h = rng.normal(people, 0.03, (11, 3))
        luck = seed_luck(placebo_rows(np.array(trainings)), "CCC")
        assert luck["valence"] == pytest.approx(2 * luck["arousal"])
        pairs = ((a, b), (c, d), (e, f), (g, h))
        outside += sum(abs((x - y).mean()) > luck["arousal"] for x, y in pairs)
    assert 0.04 < outside / draws / len(pairs) < 0.06  # of 95 %
    wider = seed_luck(placebo_rows(np.array(trainings)), "CCC", 0.99)
    assert wider["valence"] > luck["valence"]
    assert seed_luck(placebo_rows(np.array(trainings)), "RMSE") == {}
    assert seed_luck(placebo_rows(np.array(trainings[:1])), "CCC") == {}  # no placebo
