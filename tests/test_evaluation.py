import numpy as np
import pandas as pd
import pytest

from vaaffect import metrics
from vaaffect.errors import UserError
from vaaffect.evaluation import clip_weights, evaluate, fold_summary
from vaaffect.predictions import COLUMNS, check_predictions


def predictions(seed: int = 0, subjects: int = 20, folds: int = 4) -> pd.DataFrame:
    """Predictions of known quality: half of the label plus noise, by subject and clip."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        habit = 0.1 * rng.normal(size=2)
        for clip in range(3):
            mood = rng.uniform(-0.8, 0.8, 2)
            for frame in range(5):
                true = np.clip(mood + 0.05 * rng.normal(size=2), -1, 1)
                pred = np.clip(0.5 * true + habit + 0.1 * rng.normal(size=2), -1, 1)
                group = ("m", "r", "A", "A", "subject", 0, subject % folds)
                rows.append((*group, f"s{subject}", f"{subject}-{clip}", frame, *true, *pred))
    return pd.DataFrame(rows, columns=COLUMNS)


def value(results: pd.DataFrame, fold: str, dimension: str, metric: str) -> pd.Series:
    chosen = results.query("fold == @fold and dimension == @dimension and metric == @metric")
    return chosen[chosen["scale"] == "[-1, 1]"].iloc[0]


def test_metrics_are_pooled_within_a_fold_and_averaged_over_folds():
    table = predictions()
    results = evaluate(table, 10, resamples=20)
    for dimension in ("valence", "arousal"):
        by_fold = [
            metrics.ccc(d[f"{dimension}_true"], d[f"{dimension}_pred"])
            for _, d in table.groupby("fold")
        ]
        found = [value(results, str(k), dimension, "CCC")["value"] for k in range(4)]
        assert found == pytest.approx(by_fold)
        assert value(results, "mean", dimension, "CCC")["value"] == pytest.approx(np.mean(by_fold))
    assert value(results, "mean", "valence", "CCC")["n"] == len(table)


def test_rmse_is_given_on_both_scales():
    rows = evaluate(predictions(), 10, resamples=0).query("metric == 'RMSE' and fold == 'mean'")
    by_scale = rows[rows["dimension"] == "valence"].set_index("scale")["value"]
    assert by_scale["[-10, 10]"] == pytest.approx(10 * by_scale["[-1, 1]"])


def test_intervals_are_seeded_contain_the_value_and_widen_with_fewer_subjects():
    many, few = predictions(subjects=60), predictions(subjects=12)
    first, again = evaluate(many, 10, resamples=300), evaluate(many, 10, resamples=300)
    pd.testing.assert_frame_equal(first, again)
    row = value(first, "mean", "valence", "CCC")
    assert row["low"] < row["value"] < row["high"]
    small = value(evaluate(few, 10, resamples=300), "mean", "valence", "CCC")
    assert small["high"] - small["low"] > 1.3 * (row["high"] - row["low"])


def test_bootstrap_draws_whole_subjects():
    owners = np.array(["a", "a", "a", "b", "c", "c"])
    weights = clip_weights(owners, 4000, np.random.default_rng(0))
    size = {"a": 3, "b": 1, "c": 2}
    for subject, clips in size.items():
        drawn = weights[:, owners == subject].sum(axis=1)
        assert set(drawn % clips) == {0}  # a subject comes with all its draws or not at all
        assert (drawn / clips).mean() == pytest.approx(1, abs=0.05)
    times = sum(weights[:, owners == s].sum(axis=1) / n for s, n in size.items())
    assert (times == 3).all()


def test_the_constant_predictor_has_an_error_and_no_correlation():
    table = predictions().assign(valence_pred=0.1, arousal_pred=-0.2)
    results = evaluate(table, 10, resamples=50)
    assert np.isnan(value(results, "mean", "valence", "CCC")["value"])
    assert np.isnan(value(results, "mean", "valence", "CCC")["low"])
    assert value(results, "mean", "valence", "RMSE")["value"] > 0.3


def test_summary_shows_the_spread_between_folds():
    results = evaluate(predictions(), 10, resamples=20)
    row = fold_summary(results).query("dimension == 'arousal' and metric == 'PCC'").iloc[0]
    folds = [value(results, str(k), "arousal", "PCC")["value"] for k in range(4)]
    assert row["sd"] == pytest.approx(np.std(folds, ddof=1))
    assert row["folds"] == 4


@pytest.mark.parametrize(
    "spoil, message",
    [
        (lambda t: t.drop(columns="clip"), "no column 'clip'"),
        (lambda t: t.iloc[:0], "no predictions"),
        (lambda t: t.assign(valence_pred=t["valence_pred"].mask(t.index == 7)), "is not a finite"),
        (lambda t: pd.concat([t, t.iloc[[5]]]), "more than once"),
    ],
)
def test_bad_predictions_are_refused_by_name(spoil, message):
    with pytest.raises(UserError, match=message):
        check_predictions(spoil(predictions()))


def elsewhere(folds: int = 4) -> pd.DataFrame:
    """Every fold's network predicts every frame of another corpus, with an error of its own."""
    table = predictions(folds=1)
    parts = []
    for fold in range(folds):
        noise = np.random.default_rng(fold).normal(0, 0.02, (len(table), 2))
        pred = (table[["valence_pred", "arousal_pred"]] + noise).clip(-1, 1)
        parts.append(table.assign(fold=fold, test_corpus="B").assign(**pred))
    return pd.concat(parts, ignore_index=True)


def test_on_another_corpus_every_fold_predicts_every_frame_once():
    table = elsewhere()
    check_predictions(table)
    with pytest.raises(UserError, match="of B more than once"):
        check_predictions(pd.concat([table, table.head(1)]))
    with pytest.raises(UserError, match="of A more than once"):
        check_predictions(table.assign(test_corpus="A"))


def test_averaging_folds_on_the_same_people_does_not_narrow_the_interval():
    results = evaluate(elsewhere(), 1, resamples=400)
    width = {
        fold: row["high"] - row["low"]
        for fold in ("0", "mean")
        for row in [value(results, fold, "valence", "CCC")]
    }
    # The people are the same in every fold, so averaging removes the folds' small noise only.
    assert width["mean"] > 0.9 * width["0"]
    assert value(results, "mean", "valence", "CCC")["n"] == len(predictions())
