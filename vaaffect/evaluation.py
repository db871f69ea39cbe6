"""From predictions to tidy results: pooled metrics per fold, their mean, and intervals.

A metric is computed once on all test frames of a fold, then averaged over the folds. Intervals come
from a bootstrap over subjects, and over clips within them: neighbouring frames are near copies, so
resampling frames would pretend to know far more than we do.
"""

import numpy as np
import pandas as pd

from . import metrics
from .predictions import DIMENSIONS, GROUP, check_predictions

RESULT_COLUMNS = [*GROUP, "fold", "dimension", "metric", "scale", "value", "low", "high", "n"]
UNIT_SCALE = "[-1, 1]"


def evaluate(
    predictions: pd.DataFrame,
    native_scale: float,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric of every model, per fold and averaged over its folds, with intervals.

    Args:
        predictions: a row per frame, columns predictions.COLUMNS.
        native_scale: of the tested corpus; RMSE is given on [-1, 1] and, times this, on its own.
        resamples: of the bootstrap; 0 leaves the intervals out (nan).
        level: of the percentile intervals.
        seed: of the bootstrap.

    Returns:
        Columns RESULT_COLUMNS. `fold` is "0", "1", ... or "mean" (the average over the folds);
        `low` and `high` bound the value at `level`; `n` counts frames.
    """
    check_predictions(predictions)
    tail = [(1 - level) / 2, (1 + level) / 2]
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        folds = {str(k): d for k, d in of_model.groupby("fold")}
        weights_of = _draws(folds, resamples, seed)
        frames = len(of_model.drop_duplicates(["clip", "frame"]))
        for dimension in DIMENSIONS:
            samples, values, sizes = {}, {}, {}
            for fold, of_fold in folds.items():
                clips, _ = clip_moments(of_fold, dimension)
                weights = weights_of[fold]
                with np.errstate(invalid="ignore", divide="ignore"):
                    for name, of in metrics.FROM_MOMENTS.items():
                        values[name, fold] = float(of(clips.sum(axis=0)))
                        samples[name, fold] = of(weights @ clips)
                sizes[fold] = len(of_fold)
            for name in metrics.FROM_MOMENTS:
                values[name, "mean"] = np.mean([values[name, fold] for fold in folds])
                samples[name, "mean"] = np.mean([samples[name, fold] for fold in folds], axis=0)
            sizes["mean"] = frames
            for (name, fold), value in values.items():
                low, high = _quantiles(samples[name, fold], tail)
                scales = [(UNIT_SCALE, 1.0)]
                if name == "RMSE" and native_scale != 1:
                    scales.append((f"[-{native_scale:g}, {native_scale:g}]", native_scale))
                for scale, by in scales:
                    cells = (fold, dimension, name, scale, value * by, low * by, high * by)
                    rows.append((*group, *cells, sizes[fold]))
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _draws(folds: dict[str, pd.DataFrame], resamples: int, seed: int) -> dict[str, np.ndarray]:
    """Bootstrap weights (resamples, clips) of each fold, the same for every model and dimension.

    Folds that test the same clips, as on another corpus, share their draws: to their mean, a person
    counts as drawn in all of them or in none.
    """
    drawn: dict[tuple, np.ndarray] = {}
    weights = {}
    for fold, of_fold in folds.items():
        clips = tuple(of_fold.groupby(["subject", "clip"], sort=True).indices)
        if clips not in drawn:
            rng = np.random.default_rng([seed, int(fold)])
            drawn[clips] = clip_weights(np.array([subject for subject, _ in clips]), resamples, rng)
        weights[fold] = drawn[clips]
    return weights


def clip_moments(predictions: pd.DataFrame, dimension: str) -> tuple[np.ndarray, np.ndarray]:
    """The moments of each clip, and whose clip it is.

    Returns:
        (clips, 7) moments, all shifted by the same value, and (clips,) subject ids.
    """
    true = predictions[f"{dimension}_true"].to_numpy(np.float64)
    pred = predictions[f"{dimension}_pred"].to_numpy(np.float64)
    shift = float(true.mean())
    groups = predictions.groupby(["subject", "clip"], sort=True).indices
    table = [metrics.moments(true[rows], pred[rows], shift) for rows in groups.values()]
    # Signs were compared within `moments` before the shift, so the sums may be added up.
    return np.stack(table), np.array([subject for subject, _ in groups])


def clip_weights(owners: np.ndarray, resamples: int, rng: np.random.Generator) -> np.ndarray:
    """How often each clip is drawn in each bootstrap sample.

    Subjects are drawn with replacement; a subject drawn m times with c clips gets m c draws, with
    replacement, from its own clips.

    Args:
        owners: (clips,) subject of each clip.
        resamples: number of bootstrap samples.
        rng: source of randomness.

    Returns:
        (resamples, clips) whole numbers as float64.
    """
    subjects, index = np.unique(owners, return_inverse=True)
    drawn = rng.multinomial(len(subjects), np.full(len(subjects), 1 / len(subjects)), resamples)
    weights = np.zeros((resamples, len(owners)))
    for i in range(len(subjects)):
        clips = np.flatnonzero(index == i)
        share = np.full(len(clips), 1 / len(clips))
        weights[:, clips] = rng.multinomial(drawn[:, i] * len(clips), share)
    return weights


def _quantiles(samples: np.ndarray, tail: list[float]) -> tuple[float, float]:
    """Percentile interval of the defined samples; nan where fewer than half are defined."""
    defined = samples[np.isfinite(samples)]
    if not len(samples) or len(defined) < len(samples) / 2:
        return float("nan"), float("nan")
    low, high = np.quantile(defined, tail)
    return float(low), float(high)


def fold_summary(results: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and interval over the folds, one row per model, dimension and metric.

    Returns:
        GROUP, dimension, metric, scale, mean, sd (between folds, n-1), low, high, folds, n.
    """
    keys = [*GROUP, "dimension", "metric", "scale"]
    per_fold = results[results["fold"] != "mean"]
    spread = per_fold.groupby(keys, sort=False)["value"].agg(sd="std", folds="size")
    mean = results[results["fold"] == "mean"].set_index(keys)
    table = mean[["value", "low", "high", "n"]].rename(columns={"value": "mean"}).join(spread)
    return table.reset_index()[[*keys, "mean", "sd", "low", "high", "folds", "n"]]
