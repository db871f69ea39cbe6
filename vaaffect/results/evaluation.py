"""From predictions to tidy results: metrics pooled within a fold, their mean, and intervals.

A metric is computed once on all test frames of a fold, then averaged over the folds. Intervals come
from a bootstrap over subjects; `bootstrap.py` says what they are about and how they are made.
"""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from . import metrics
from .bootstrap import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    Estimate,
    SubjectDraws,
    interval,
    subject_draws,
)
from .predictions import GROUP, MODEL, by_fold, by_model

RESULT_COLUMNS = [*GROUP, "fold", "dimension", "metric", "scale", "value", "low", "high", "n"]
UNIT_SCALE = "[-1, 1]"


@stage("metrics and intervals")
def evaluate(
    predictions: pd.DataFrame,
    native_scale: float,
    *,
    names: Sequence[str] = metrics.REPORTED,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> pd.DataFrame:
    """Every metric of every model, per fold and averaged over its folds, with intervals.

    Args:
        predictions: a row per frame, columns PREDICTION_COLUMNS; refused as by `check_predictions`.
        native_scale: of the tested corpus; RMSE is given on [-1, 1] and, times this, on its own.
        names: of the metrics, keys of metrics.FROM_MOMENTS.

    Returns RESULT_COLUMNS. `fold` is "0", "1", ... or "mean" (the average over the folds); `low`
    and `high` bound the value at the bootstrap's level; `n` counts frames.
    """
    native = f"[-{native_scale:g}, {native_scale:g}]"
    rows = []
    for head, model_rows in by_model(predictions):
        folds = by_fold(model_rows)
        draws = subject_draws(folds, bootstrap)
        sizes = {fold: len(fold_rows) for fold, fold_rows in folds.items()}
        sizes["mean"] = len(model_rows.drop_duplicates(["clip", "frame"]))
        for dimension in DIMENSIONS:
            estimates = metric_estimates(folds, dimension, names, draws)
            for (name, fold), estimate in estimates.items():
                value, freedom = estimate.value, draws.freedom[fold]
                low, high = interval(value, estimate.samples, freedom, name, bootstrap.level)
                row = head | {"fold": fold, "dimension": dimension, "metric": name}
                scales = {UNIT_SCALE: 1.0}
                if name == "RMSE" and native_scale != 1:
                    scales[native] = native_scale
                for scale, by in scales.items():
                    values = {"value": value * by, "low": low * by, "high": high * by}
                    rows.append(row | {"scale": scale, "n": sizes[fold]} | values)
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def metric_estimates(
    folds: Mapping[str, pd.DataFrame], dimension: str, names: Sequence[str], draws: SubjectDraws
) -> dict[tuple[str, str], Estimate]:
    """Metrics of one training in its folds, by (metric, fold), "mean" last."""
    estimates = {}
    for fold, fold_rows in folds.items():
        clips, owners = clip_moments(fold_rows, dimension)
        subjects, index = np.unique(owners, return_inverse=True)
        by_subject = np.zeros((len(subjects), clips.shape[1]))
        np.add.at(by_subject, index, clips)
        resampled = draws.weights[fold] @ by_subject
        for name in names:
            metric = metrics.FROM_MOMENTS[name]
            estimates[name, fold] = Estimate(float(metric(clips.sum(axis=0))), metric(resampled))
    for name in names:
        estimates[name, "mean"] = Estimate.mean([estimates[name, fold] for fold in folds])
    return estimates


def clip_moments(predictions: pd.DataFrame, dimension: str) -> tuple[np.ndarray, np.ndarray]:
    """(clips, 7) moments of each clip, all with one shift, and whose clip it is, sorted."""
    true = predictions[f"{dimension}_true"].to_numpy(np.float64)
    pred = predictions[f"{dimension}_pred"].to_numpy(np.float64)
    shift = float(true.mean())
    clips = predictions.groupby(["subject", "clip"], sort=True).indices
    # One shift for all, not each clip's mean: moments add up, and a constant clip stays constant
    # (around its own mean it would be rounding errors, which vary).
    table = np.stack([metrics.moments(true[rows], pred[rows], shift) for rows in clips.values()])
    return table, np.array([subject for subject, _ in clips])


def fold_summary(results: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and interval over the folds of `results` as of `evaluate`: one row per model,
    dimension and metric. The results of several seeds may stand under each other.

    A model trained with several seeds is one row: each fold is averaged over the seeds first. Its
    interval is the average of the seeds' intervals, which are about the same subjects (an average
    has no larger a standard deviation than its parts have on average, so this is a little wide). It
    does not contain the variation between seeds, which `seed_sd` shows.

    Returns GROUP (`seed` is the first), dimension, metric, scale, mean, sd (between folds, n-1),
    low, high, folds, n, seeds (how many), seed_sd (between the seeds' means, n-1; nan for one).
    """
    keys = [*MODEL, "dimension", "metric", "scale"]
    per_fold = results[results["fold"] != "mean"]
    values = per_fold.groupby([*keys, "fold"], sort=False)["value"]
    repeated = values.size().groupby(keys, sort=False).nunique() > 1
    if repeated.any():
        name = repeated.idxmax()[0]
        raise UserError(f"the seeds of {name} do not have the same folds; train the missing ones.")
    # skipna: a metric that is undefined with one seed is undefined, not that of the other seeds.
    averages = values.mean(skipna=False).groupby(keys, sort=False)
    spread = averages.agg(sd="std", folds="size")
    means = results[results["fold"] == "mean"].groupby(keys, sort=False)
    table = means[["value", "low", "high"]].mean(skipna=False).rename(columns={"value": "mean"})
    table = table.join(means.agg(seed=("seed", "first"), n=("n", "first"), seeds=("seed", "size")))
    table = table.join(means["value"].std().rename("seed_sd")).join(spread).reset_index()
    keys = [*GROUP, "dimension", "metric", "scale"]
    return table[[*keys, "mean", "sd", "low", "high", "folds", "n", "seeds", "seed_sd"]]
