import numpy as np
import pandas as pd
import pytest
from made_up import elsewhere, predictions

from vaaffect.base.errors import UserError
from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.results import Bootstrap, error_analysis, metrics
from vaaffect.results.evaluation import evaluate
from vaaffect.results.predictions import GROUP


def row(table: pd.DataFrame, **of) -> pd.Series:
    chosen = table[np.logical_and.reduce([table[name] == value for name, value in of.items()])]
    assert len(chosen) == 1
    return chosen.iloc[0]


def test_the_losses_add_up_to_what_ccc_lacks():
    table = predictions()
    losses = error_analysis.ccc_losses(table)
    results = evaluate(table, 1, bootstrap=Bootstrap(0)).query("fold == 'mean'")
    for dimension in DIMENSIONS:
        found = row(losses, dimension=dimension)
        for name in ("CCC", "PCC"):
            expected = row(results, dimension=dimension, metric=name)["value"]
            assert found[name] == pytest.approx(expected, abs=1e-9)
        lost = found["lost_offset"] + found["lost_gain"] + found["lost_correlation"]
        assert lost == pytest.approx(1 - found["CCC"], abs=1e-12)
        assert found["folds"] == 4


def one_fold(true: np.ndarray, pred: np.ndarray) -> pd.DataFrame:
    table = predictions(subjects=20, folds=1)
    return table.assign(
        valence_true=true, arousal_true=true, valence_pred=pred, arousal_pred=pred[::-1]
    )


def test_each_kind_of_mistake_is_found_as_such():
    rng = np.random.default_rng(0)
    true = rng.normal(0, 0.3, 300)
    noise = rng.normal(0, 0.3, 300)
    for pred, lost in [
        (true + 0.2, "lost_offset"),
        (0.4 * (true - true.mean()) + true.mean(), "lost_gain"),
    ]:
        found = row(error_analysis.ccc_losses(one_fold(true, pred)), dimension="valence")
        others = {"lost_offset", "lost_gain", "lost_correlation"} - {lost}
        assert found[lost] == pytest.approx(1 - found["CCC"]) and found[lost] > 0.1
        assert [found[name] for name in others] == pytest.approx([0, 0], abs=1e-9)
    noisy = true + noise
    noisy = (noisy - noisy.mean()) / noisy.std() * true.std() + true.mean()
    found = row(error_analysis.ccc_losses(one_fold(true, noisy)), dimension="valence")
    assert found["lost_correlation"] == pytest.approx(1 - found["CCC"]) and found["C_b"] == 1


def test_repairing_offset_then_gain_brings_what_the_losses_say():
    rng = np.random.default_rng(1)
    true = rng.normal(0.1, 0.3, 300)
    pred = 0.4 * true - 0.2 + rng.normal(0, 0.1, 300)
    found = row(error_analysis.ccc_losses(one_fold(true, pred)), dimension="valence")
    moved = pred - pred.mean() + true.mean()
    stretched = (moved - true.mean()) / moved.std() * true.std() + true.mean()
    ccc = [metrics.ccc(true, p) for p in (pred, moved, stretched)]
    assert found["lost_offset"] == pytest.approx(ccc[1] - ccc[0])
    assert found["lost_gain"] == pytest.approx(ccc[2] - ccc[1])
    assert found["gain"] == pytest.approx(pred.std() / true.std())
    u = (pred.mean() - true.mean()) / np.sqrt(pred.std() * true.std())
    assert found["shift"] == pytest.approx(u) and u < 0
    assert found["PCC"] * found["C_b"] == pytest.approx(ccc[0])


def test_cells_cover_the_plane_and_its_borders():
    corners = np.array([[-1, -1], [-1, 1], [1, 1], [0, 0], [-0.34, 0.34]])
    assert error_analysis.cell_of(corners, 3).tolist() == [[0, 0], [0, 2], [2, 2], [1, 1], [0, 2]]


def test_errors_are_sorted_by_how_common_the_labels_are():
    table = predictions()
    number = np.arange(len(table))
    common = number < 180  # in one cell, the other 120 labels spread over eight
    angle = number % 8 * np.pi / 4
    table["valence_true"] = np.where(common, 0, 0.7 * np.cos(angle))
    table["arousal_true"] = np.where(common, 0, 0.7 * np.sin(angle))
    table["valence_pred"] = table["valence_true"] + np.where(common, 0.1, -0.3)
    table["arousal_pred"] = 0.0
    found = error_analysis.by_density(table, cells=3)
    assert found["density"].unique().tolist() == ["dense", "middle", "sparse"]
    assert found.groupby("dimension")["frames"].sum().to_dict() == dict.fromkeys(DIMENSIONS, 300)
    of = found[found["dimension"] == "valence"].set_index("density")
    assert of["cells"].to_dict() == {"dense": 1, "middle": 1, "sparse": 7}
    assert of["frames"].to_dict() == {"dense": 180, "middle": 15, "sparse": 105}
    assert of["RMSE"].tolist() == pytest.approx([0.1, 0.3, 0.3])
    assert of["bias"].tolist() == pytest.approx([0.1, -0.3, -0.3])


def test_the_plane_shows_how_large_errors_are_and_where_they_point():
    table = predictions()
    cells = error_analysis.over_plane(table, cells=4)
    assert cells["frames"].sum() == len(table) and set(cells["valence"]) <= {-0.75, -0.25, 0.25,
                                                                            0.75}  # fmt: skip
    cell = cells.iloc[5]
    near = np.logical_and.reduce([(table[f"{d}_true"] - cell[d]).abs() <= 0.25 for d in DIMENSIONS])
    assert near.sum() == cell["frames"] > 0
    errors = {d: (table[f"{d}_pred"] - table[f"{d}_true"])[near] for d in DIMENSIONS}
    for d in DIMENSIONS:
        assert cell[f"error_{d}"] == pytest.approx(errors[d].mean())
        assert cell[f"RMSE_{d}"] == pytest.approx(np.sqrt((errors[d] ** 2).mean()))
    both = np.mean([(e**2).mean() for e in errors.values()])
    assert cell["RMSE"] == pytest.approx(np.sqrt(both))
    assert cell["subjects"] == table.loc[near, "subject"].nunique()


@pytest.mark.parametrize("made, times", [(predictions, 1), (elsewhere, 4)])
def test_every_subject_has_a_row_worst_first(made, times):
    table = made()
    found = error_analysis.by_subject(table)
    assert len(found) == 20 * 2 and (found["clips"] == 3).all() and (found["frames"] == 15).all()
    for _, of in found.groupby("dimension"):
        assert of["RMSE"].is_monotonic_decreasing
    mine = table[table["subject"] == "s4"]
    assert len(mine) == 15 * times
    error = mine["arousal_pred"] - mine["arousal_true"]
    subject = row(found, subject="s4", dimension="arousal")
    assert subject["RMSE"] == pytest.approx(np.sqrt((error**2).mean()))
    assert subject["bias"] == pytest.approx(error.mean())


def shrinking(sees: float, seed: int = 0, subjects: int = 60) -> pd.DataFrame:
    """Labels with a mean of (0.3, -0.2), predicted as well as a noisy look at them allows."""
    table = predictions(seed, subjects=subjects)
    more = [table.assign(clip=table["clip"] + f"-{i}") for i in range(8)]
    table = pd.concat(more, ignore_index=True)
    rng = np.random.default_rng(seed)
    for d, mean in zip(DIMENSIONS, (0.3, -0.2), strict=True):
        true = mean + 0.3 * rng.normal(size=len(table))
        look = true + 0.3 * np.sqrt(1 / sees - 1) * rng.normal(size=len(table))
        table[f"{d}_true"], table[f"{d}_pred"] = true, mean + sees * (look - mean)
    return table


def rounded(table: pd.DataFrame, near: float) -> pd.DataFrame:
    """Labels within `near` of (0, 0) in both dimensions count as neutral."""
    true = [f"{d}_true" for d in DIMENSIONS]
    neutral = (table[true].abs() <= near).all(axis=1)
    return table.assign(**{name: table[name].mask(neutral, 0.0) for name in true})


def test_what_is_predicted_for_neutral_faces_is_expected_from_labels_and_correlation():
    table = rounded(shrinking(0.5, subjects=400), 0.05)
    found = error_analysis.neutral_bias(table, bootstrap=Bootstrap(200))
    for d, mean in zip(DIMENSIONS, (0.3, -0.2), strict=True):
        of = row(found, dimension=d)
        assert of["mean_label"] == pytest.approx(mean, abs=0.02)
        assert of["foretold"] == pytest.approx(mean / 2, abs=0.02)
        assert of["low"] < of["observed"] < of["high"]
        width = of["high"] - of["low"]  # four standard errors
        assert abs(of["observed"] - of["foretold"]) < width
        assert abs(of["observed"] - of["mean_label"]) > 1.5 * width
        assert of["frames"] > of["subjects"] > 100


def test_the_constant_baseline_predicts_the_mean_of_the_other_folds():
    table = rounded(shrinking(0.5), 0.1)
    means = {k: table.loc[table["fold"] != k, "valence_true"].mean() for k in range(4)}
    table = table.assign(valence_pred=table["fold"].map(means), arousal_pred=0.0)
    found = error_analysis.neutral_bias(table, bootstrap=Bootstrap(50))
    of = row(found, dimension="valence")
    assert (of["mean_label"], of["foretold"]) == pytest.approx((of["observed"],) * 2)


def test_only_frames_labelled_neutral_count_and_none_is_nan():
    table = predictions()
    table.loc[table["clip"].isin(["1-0", "2-0", "6-1"]), ["valence_true", "arousal_true"]] = 0.0
    table.loc[table["clip"] == "4-0", "valence_true"] = 0.0  # arousal is not neutral
    of = row(error_analysis.neutral_bias(table, bootstrap=Bootstrap(100)), dimension="arousal")
    neutral = table[table["clip"].isin(["1-0", "2-0", "6-1"])]
    assert of["observed"] == pytest.approx(neutral["arousal_pred"].mean())
    assert (of["frames"], of["subjects"]) == (15, 3)
    found = error_analysis.neutral_bias(predictions(), bootstrap=Bootstrap(20))
    none = row(found, dimension="valence")
    assert np.isnan(none[["mean_label", "foretold", "observed", "low", "high"]].tolist()).all()
    assert none["frames"] == 0


def test_models_whose_training_labels_are_unknown_have_no_expectation():
    for table in (elsewhere(), predictions(folds=1)):
        with pytest.raises(UserError, match="m was trained on frames of A that are not in these"):
            error_analysis.neutral_bias(table)


def test_every_table_keeps_models_apart():
    both = pd.concat([predictions(), predictions(1).assign(model="n", test_corpus="B",
                                                           train_corpus="B")])  # fmt: skip
    for table in (
        error_analysis.ccc_losses(both), error_analysis.by_density(both),
        error_analysis.over_plane(both), error_analysis.by_subject(both),
        error_analysis.neutral_bias(both, bootstrap=Bootstrap(10)),
    ):  # fmt: skip
        assert list(table.columns[: len(GROUP)]) == GROUP
        assert table["model"].unique().tolist() == ["m", "n"]
