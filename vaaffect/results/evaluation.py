"""From predictions to tidy results: metrics pooled within a fold, their mean, and intervals.

A metric is computed once on all test frames of a fold, then averaged over the folds. Intervals come
from subjects and seeds; `bootstrap.py` says what they are about and how they are made.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..base import stage
from ..corpora import DIMENSIONS
from . import metrics
from .bootstrap import (
    DEFAULT_BOOTSTRAP,
    FEWEST,
    Bootstrap,
    Estimate,
    Spread,
    SubjectDraws,
    spread_interval,
    subject_draws,
)
from .predictions import GROUP, MODEL, RATER, by_fold, check_predictions

MEAN = "mean"  # as a fold: the average over folds
UNIT_SCALE = "[-1, 1]"
_SIZES = ["n", "seeds"]
RESULT_COLUMNS = [*GROUP, "fold", "dimension", "metric", "scale", "value", "low", "high", *_SIZES]


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

    Returns RESULT_COLUMNS. `fold` is "0", "1", ... for a training in a fold, or "mean" for the
    average over a model's folds and seeds (`seed` is its first). `low` and `high` bound the value
    at the bootstrap's level. `seeds` says how many seeds are averaged, see `bootstrap.unit_of`. A
    single fold's interval is over test subjects alone, for that trained network; a fold of fewer
    than FEWEST subjects has none (nan). `n` counts frames.
    """
    check_predictions(predictions)
    native = f"[-{native_scale:g}, {native_scale:g}]"
    rows = []
    for model, model_rows in predictions.groupby(MODEL, sort=False):
        draws = subject_draws(by_fold(model_rows), bootstrap)
        frames = len(model_rows.drop_duplicates(["clip", "frame"]))
        frames_of = model_rows.groupby(["seed", "fold"]).size()
        for term in model_terms(model_rows, names, draws):
            seeds = list(term.by_seed)
            found = [(seeds[0], MEAN, *total([term]), frames, len(seeds))]
            for seed, estimates in term.by_seed.items():
                for fold, estimate in estimates.items():
                    spread = _of_one_fold(estimate, len(draws.subjects[fold]))
                    count = int(frames_of[seed, int(fold)])
                    found.append((seed, fold, estimate.value, spread, count, 1))
            for seed, fold, value, spread, *sizes in found:
                low, high = spread_interval(value, spread, term.name, bootstrap.level)
                head = dict(zip(GROUP, (*model, seed), strict=True))
                head |= {"fold": fold, "dimension": term.dimension, "metric": term.name}
                scales = {UNIT_SCALE: 1.0}
                if term.name == "RMSE" and native_scale != 1:
                    scales[native] = native_scale
                for scale, by in scales.items():
                    values = {"scale": scale, "value": value * by, "low": low * by}
                    values |= {"high": high * by, **dict(zip(_SIZES, sizes, strict=True))}
                    rows.append(head | values)
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def _of_one_fold(estimate: Estimate, subjects: int) -> Spread:
    if subjects < FEWEST:
        return Spread(float("nan"), subjects - 1)
    return Spread.of_samples(estimate.samples, subjects - 1)


@dataclass(frozen=True)
class Term:
    """One metric of one model in one dimension, as an addend."""

    dimension: str
    name: str  # of the metric
    factor: float
    corpus: str  # on which it was tested
    training: tuple  # what names the model wherever it is tested, with its seeds
    by_seed: dict[int, dict[str, Estimate]]  # in each fold
    strata: dict[str, tuple[str, int]]  # of each fold, as of `SubjectDraws`

    def times(self, factor: float) -> "Term":
        """The same with another factor."""
        return replace(self, factor=self.factor * factor)


def model_terms(
    model_rows: pd.DataFrame,
    names: Sequence[str],
    draws: SubjectDraws,
    dimensions: Sequence[str] = DIMENSIONS,
    factor: float = 1.0,
) -> list[Term]:
    """The metrics of one model, which is tested on the subjects of `draws`."""
    trainings = {seed: by_fold(rows) for seed, rows in model_rows.groupby("seed", sort=False)}
    first = model_rows.iloc[0]
    training = (*(first[name] for name in MODEL if name != "test_corpus"), *trainings)
    terms = []
    for dimension in dimensions:
        sums = {
            seed: {fold: _by_subject(rows, dimension, draws.subjects[fold])
                   for fold, rows in folds.items()}
            for seed, folds in trainings.items()
        }  # fmt: skip
        for name in names:
            metric = metrics.FROM_MOMENTS[name]
            by_seed = {
                seed: {fold: Estimate(float(metric(each.sum(axis=0))),
                                      metric(draws.weights[fold] @ each))
                       for fold, each in folds.items()}
                for seed, folds in sums.items()
            }  # fmt: skip
            head = (dimension, name, factor, first["test_corpus"], training)
            terms.append(Term(*head, by_seed, draws.strata))
    return terms


@dataclass(frozen=True)
class Sources:
    """What adds to the variance of a sum of terms; all independent of each other."""

    subjects: list[Spread]  # that are tested, by stratum
    training: list[Spread]  # subjects to train on, by test corpus
    seeds: list[Spread]  # of each model that has several

    @property
    def spread(self) -> Spread:
        """All of them together."""
        return Spread.sum([*self.subjects, *self.training, *self.seeds])

    def scaled(self, subjects: float, seeds: float) -> "Sources":
        """With so many times the subjects and the seeds, that vary as much as these do, in as many
        folds: the variance of each source goes with one over its number."""
        return Sources(
            [s.times(1 / subjects, (s.freedom + 1) * subjects - 1) for s in self.subjects],
            [s.times(1 / subjects, s.freedom) for s in self.training],
            [s.times(1 / seeds, max((s.freedom + 1) * seeds - 1, 1)) for s in self.seeds],
        )


def total(terms: Sequence[Term]) -> tuple[float, Spread]:
    """The sum of terms, each averaged over its folds and seeds, and its spread."""
    value, found = sources(terms)
    return value, found.spread


def sources(terms: Sequence[Term]) -> tuple[float, Sources]:
    """The sum of terms, each averaged over its folds and seeds, and the sources of its variance.

    The terms of one stratum met the same subjects in each bootstrap sample, and the terms of one
    model were reached by the same trained networks, so that terms are added first within a source.
    """
    value = 0.0
    strata: dict[tuple, list[np.ndarray]] = {}
    folds: dict[str, list[np.ndarray]] = {}
    seeds: dict[tuple, list[np.ndarray]] = {}
    for term in terms:
        values = np.array([[e.value for e in one.values()] for one in term.by_seed.values()])
        value += term.factor * float(values.mean())
        if len(values) > 1:
            seeds.setdefault(term.training, []).append(term.factor * values.mean(axis=1))
        if RATER not in term.training:  # nobody trains a rater
            folds.setdefault(term.corpus, []).append(term.factor * values.mean(axis=0))
        for fold, stratum in term.strata.items():
            average = np.mean([one[fold].samples for one in term.by_seed.values()], axis=0)
            share = term.factor / len(term.strata)
            strata.setdefault((term.corpus, *stratum), []).append(share * average)
    subjects = [Spread.of_samples(sum(s), freedom) for (*_, freedom), s in strata.items()]
    training = [Spread.of_training(sum(values)) for values in folds.values()]
    return value, Sources(subjects, training, [Spread.of_mean(sum(v)) for v in seeds.values()])


def _by_subject(fold_rows: pd.DataFrame, dimension: str, subjects: np.ndarray) -> np.ndarray:
    """(subjects, 7) moments of each of the sorted subjects, zeros where there are no rows."""
    clips, owners = clip_moments(fold_rows, dimension)
    sums = np.zeros((len(subjects), clips.shape[1]))
    np.add.at(sums, np.searchsorted(subjects, owners), clips)
    return sums


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
    """Mean, spread and interval over folds and seeds of `results` as of `evaluate`: one row per
    model, dimension and metric.

    Returns GROUP (`seed` is the first), dimension, metric, scale, mean, sd (between folds, each
    averaged over the seeds first, n-1), low, high, folds, n, seeds (how many, see
    `bootstrap.unit_of`), seed_sd (between the seeds' means, n-1; nan for one).
    """
    keys = [*MODEL, "dimension", "metric", "scale"]
    rows = results[results["fold"] != MEAN]

    def means_by(name: str) -> pd.Series:
        # skipna: a metric that is undefined with one seed is undefined, not that of the others.
        return rows.groupby([*keys, name], sort=False)["value"].mean(skipna=False)

    spread = means_by("fold").groupby(keys, sort=False).agg(sd="std", folds="size")
    spread["seed_sd"] = means_by("seed").groupby(keys, sort=False).std()
    means = results[results["fold"] == MEAN].rename(columns={"value": "mean"})
    table = means.merge(spread.reset_index(), on=keys, validate="1:1")
    columns = ["dimension", "metric", "scale", "mean", "sd", "low", "high", "folds", *_SIZES]
    return table[[*GROUP, *columns, "seed_sd"]]
