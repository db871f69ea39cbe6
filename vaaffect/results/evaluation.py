"""From predictions to tidy results: pooled metrics per fold, their mean, intervals, differences.

A metric is computed once on all test frames of a fold, then averaged over the folds.

Intervals and paired differences come from a bootstrap over people; `bootstrap.py` says what they
are about and how they are made.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from . import metrics
from .bootstrap import SubjectDraws, SubjectSampler, interval
from .predictions import GROUP, check_predictions

RESULT_COLUMNS = [*GROUP, "fold", "dimension", "metric", "scale", "value", "low", "high", "n"]
UNIT_SCALE = "[-1, 1]"
# What identifies a model; its trainings with several seeds are repetitions.
MODEL = [name for name in GROUP if name != "seed"]


def evaluate(
    predictions: pd.DataFrame,
    native_scale: float,
    *,
    names: Sequence[str] = metrics.REPORTED,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """Every metric of every model, per fold and averaged over its folds, with intervals.

    Args:
        predictions: a row per frame, columns predictions.COLUMNS.
        native_scale: of the tested corpus; RMSE is given on [-1, 1] and, times this, on its own.
        names: of the metrics, keys of metrics.FROM_MOMENTS.
        resamples: of the bootstrap; 0 leaves the intervals out (nan).
        level: of the intervals; `bootstrap.py` says what they are about.
        seed: of the bootstrap.

    Returns:
        Columns RESULT_COLUMNS. `fold` is "0", "1", ... or "mean" (the average over the folds);
        `low` and `high` bound the value at `level`; `n` counts frames.

    Raises:
        UserError: for what `check_predictions` refuses.
    """
    check_predictions(predictions)
    draw = SubjectSampler(resamples, seed)
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        folds = {str(k): d for k, d in of_model.groupby("fold")}
        draws = draw(folds)
        sizes = {fold: len(of_fold) for fold, of_fold in folds.items()}
        sizes["mean"] = len(of_model.drop_duplicates(["clip", "frame"]))
        for dimension in DIMENSIONS:
            for (name, fold), estimate in _estimates(folds, dimension, names, draws).items():
                low, high = interval(
                    estimate.value, estimate.samples, draws.freedom[fold], name, level
                )
                scales = [(UNIT_SCALE, 1.0)]
                if name == "RMSE" and native_scale != 1:
                    scales.append((f"[-{native_scale:g}, {native_scale:g}]", native_scale))
                for scale, by in scales:
                    cells = (fold, dimension, name, scale, estimate.value * by, low * by, high * by)
                    rows.append((*group, *cells, sizes[fold]))
    return pd.DataFrame(rows, columns=RESULT_COLUMNS)


def in_native_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions on another corpus as if tested like one's own: each frame once, in its fold.

    A network tested on another corpus predicts every frame in each fold. CCC within a fold of few
    people is smaller on average than that of all people at once, so beside networks that were
    trained there, whose folds are of few people, the network of fold k is kept for the frames of
    fold k.

    Args:
        predictions: a row per frame; for each test corpus also those of a model that was trained on
            it, which say which frame is in which fold.

    Returns:
        The rows that are kept.

    Raises:
        UserError: nobody in the table was trained on a corpus that others are tested on.
    """
    home = predictions["train_corpus"] == predictions["test_corpus"]
    strange = set(predictions["test_corpus"]) - set(predictions.loc[home, "test_corpus"])
    if strange:
        raise UserError(f"nobody here was trained on {strange.pop()}, so its folds are not known.")
    return predictions[home | _in_folds_of(predictions, predictions[home])]


def _in_folds_of(predictions: pd.DataFrame, natives: pd.DataFrame) -> np.ndarray:
    """Which rows meet their frame in the fold in which the natives meet it."""
    key = ["test_corpus", "fold", "clip", "frame"]
    here = pd.MultiIndex.from_frame(natives[key].drop_duplicates())
    return pd.MultiIndex.from_frame(predictions[key]).isin(here)


@dataclass(frozen=True)
class _Estimate:
    """A metric's value and its value in each bootstrap sample, (resamples,)."""

    value: float
    samples: np.ndarray


def _estimates(
    folds: Mapping[str, pd.DataFrame], dimension: str, names: Sequence[str], draws: SubjectDraws
) -> dict[tuple[str, str], _Estimate]:
    """Every metric of one model: by (metric, fold), "mean" last."""
    found = {}
    for fold, of_fold in folds.items():
        clips, owners = clip_moments(of_fold, dimension)
        people, index = np.unique(owners, return_inverse=True)
        by_person = np.zeros((len(people), clips.shape[1]))
        np.add.at(by_person, index, clips)
        sums = draws.weights[fold] @ by_person
        for name in names:
            of = metrics.FROM_MOMENTS[name]
            found[name, fold] = _Estimate(float(of(clips.sum(axis=0))), of(sums))
    for name in names:
        of_folds = [found[name, fold] for fold in folds]
        found[name, "mean"] = _average(of_folds)
    return found


def _average(estimates: Sequence[_Estimate]) -> _Estimate:
    return _Estimate(
        float(np.mean([e.value for e in estimates])),
        np.mean([e.samples for e in estimates], axis=0),
    )


def clip_moments(predictions: pd.DataFrame, dimension: str) -> tuple[np.ndarray, np.ndarray]:
    """The moments of each clip, and whose clip it is.

    Returns:
        (clips, 7) moments, all shifted by the same value, and (clips,) subject ids, sorted.
    """
    table, keys = _moments_by_clip(predictions, dimension)
    return table, np.array([subject for subject, _ in keys])


def _moments_by_clip(
    predictions: pd.DataFrame, dimension: str
) -> tuple[np.ndarray, list[tuple[str, str]]]:
    true = predictions[f"{dimension}_true"].to_numpy(np.float64)
    pred = predictions[f"{dimension}_pred"].to_numpy(np.float64)
    shift = float(true.mean())
    groups = predictions.groupby(["subject", "clip"], sort=True).indices
    # One shift for all, not each clip's mean: moments add up, and a constant clip stays constant
    # (around its own mean it would be rounding errors, which vary).
    table = [metrics.moments(true[rows], pred[rows], shift) for rows in groups.values()]
    return np.stack(table), list(groups)


def fold_summary(results: pd.DataFrame) -> pd.DataFrame:
    """Mean, spread and interval over the folds, one row per model, dimension and metric.

    A model trained with several seeds is one row: each fold is averaged over the seeds first. Its
    interval is the average of the seeds' intervals, which are about the same people (an average
    has no larger a standard deviation than its parts have on average, so this is a little wide). It
    does not contain the luck of the seed, which `seed_sd` shows.

    Args:
        results: as of `evaluate`; the rows of several seeds under each other.

    Returns:
        GROUP (`seed` is the first), dimension, metric, scale, mean, sd (between folds, n-1), low,
        high, folds, n, seeds (how many), seed_sd (between the seeds' means, n-1; nan for one).

    Raises:
        UserError: when the seeds of a model do not have the same folds.
    """
    keys = [*MODEL, "dimension", "metric", "scale"]
    per_fold = results[results["fold"] != "mean"]
    by_fold = per_fold.groupby([*keys, "fold"], sort=False)["value"]
    repeated = by_fold.size().groupby(keys, sort=False).nunique() > 1
    if repeated.any():
        raise UserError(
            f"the seeds of {repeated.idxmax()[0]} do not have the same folds; train the missing "
            "ones."
        )
    # skipna: a metric that is undefined with one seed is undefined, not that of the other seeds.
    averages = by_fold.mean(skipna=False).groupby(keys, sort=False)
    spread = averages.agg(sd="std", folds="size")
    means = results[results["fold"] == "mean"].groupby(keys, sort=False)
    table = means[["value", "low", "high"]].mean(skipna=False).rename(columns={"value": "mean"})
    table = table.join(means.agg(seed=("seed", "first"), n=("n", "first"), seeds=("seed", "size")))
    table = table.join(means["value"].std().rename("seed_sd")).join(spread).reset_index()
    keys = [*GROUP, "dimension", "metric", "scale"]
    return table[[*keys, "mean", "sd", "low", "high", "folds", "n", "seeds", "seed_sd"]]


def per_clip(predictions: pd.DataFrame, names: Sequence[str] = metrics.REPORTED) -> pd.DataFrame:
    """Every metric within each clip: does the prediction follow one person through one scene?

    Another question than the pooled metric's, which also asks whether clips are told apart. A clip
    with a constant label has no correlation; `clip_summary` counts those.

    Args:
        predictions: a row per frame, columns predictions.COLUMNS.
        names: of the metrics, keys of metrics.FROM_MOMENTS.

    Returns:
        GROUP, fold, subject, clip, dimension, metric, value (on [-1, 1]; nan where undefined), n
        (frames).

    Raises:
        UserError: for what `check_predictions` refuses.
    """
    check_predictions(predictions)
    parts = []
    for group, of_fold in predictions.groupby([*GROUP, "fold"], sort=False):
        for dimension in DIMENSIONS:
            clips, keys = _moments_by_clip(of_fold, dimension)
            head = dict(zip([*GROUP, "fold"], group, strict=True))
            subjects, names_of_clips = zip(*keys, strict=True)
            for name in names:
                part = pd.DataFrame({"subject": subjects, "clip": names_of_clips})
                part = part.assign(dimension=dimension, metric=name)
                part["value"] = metrics.FROM_MOMENTS[name](clips)
                part["n"] = clips[:, metrics.N].astype(int)
                parts.append(part.assign(**head))
    columns = [*GROUP, "fold", "subject", "clip", "dimension", "metric", "value", "n"]
    return pd.concat(parts, ignore_index=True)[columns]


def clip_summary(clips: pd.DataFrame) -> pd.DataFrame:
    """The average clip, and how many clips have no value.

    Args:
        clips: as of `per_clip`.

    Returns:
        GROUP, dimension, metric, mean, sd (between the defined clips, n-1), clips, undefined.
    """
    keys = [*GROUP, "dimension", "metric"]
    of = clips.groupby(keys, sort=False)["value"]
    table = of.agg(mean="mean", sd="std", clips="size", defined="count").reset_index()
    table["undefined"] = table["clips"] - table["defined"]
    return table.drop(columns="defined")


@dataclass(frozen=True)
class Difference:
    """A model against another on the same frames: the mean over folds of a metric.

    Attributes:
        value: first - second. For RMSE less is better, for the others more.
        low, high: its interval, paired: both models meet the same people in each sample.
        first, second: the two values, averaged over folds (and seeds).
        metric, dimension: what was compared.
        folds, subjects, n: how many folds, people and frames.
    """

    value: float
    low: float
    high: float
    first: float
    second: float
    metric: str
    dimension: str
    folds: int
    subjects: int
    n: int

    @property
    def decided(self) -> bool:
        """Whether the interval leaves 0 out; False where the difference is undefined."""
        return bool(self.low > 0 or self.high < 0)


def paired_difference(
    predictions: pd.DataFrame,
    first: Mapping[str, object],
    second: Mapping[str, object],
    *,
    metric: str = "CCC",
    dimension: str = "valence",
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> Difference:
    """How much better one model is than another, on the same frames with the same draws.

    Two separate intervals may overlap while the difference is certain: faces that are hard are hard
    for both. A network tested on another corpus predicts every frame in each fold; beside one that
    was trained there, the network of fold k is kept for the frames of fold k. Several seeds of a
    model are averaged.

    Args:
        predictions: a row per frame, columns predictions.COLUMNS.
        first, second: what selects each model, e.g. {"model": "vgg11_bn", "train_corpus": ...}.
        metric: key of metrics.FROM_MOMENTS; RMSE on [-1, 1].
        dimension: "valence" or "arousal".
        resamples, level, seed: as of `evaluate`; the interval is symmetrical.

    Raises:
        UserError: when a selection is no model or several, or the frames do not match.
    """
    check_predictions(predictions)
    one, other = (_selected(predictions, which) for which in (first, second))
    draw = SubjectSampler(resamples, seed)
    (found,) = _differences(one, other, (metric,), (dimension,), draw, level)
    return found


def differences(
    predictions: pd.DataFrame,
    reference: Mapping[str, object] | str | None = None,
    *,
    metrics: Sequence[str] = ("RMSE", "CCC"),
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """`paired_difference` of every model against a reference, in both dimensions, as a table.

    Models are compared within a test corpus. Where the reference was trained on several corpora, a
    model is compared with the one from its own training corpus.

    Args:
        predictions: a row per frame, columns predictions.COLUMNS.
        reference: what selects the model to compare with, a dict of columns or the name of a model;
            None compares every pair of models on a test corpus.
        metrics: which ones; RMSE on [-1, 1].
        resamples, level, seed: as of `evaluate`.

    Returns:
        MODEL, reference, reference_recipe, reference_train_corpus, dimension, metric, value,
        reference_value, difference (value - reference_value), low, high, decided, folds, subjects,
        n.

    Raises:
        UserError: when the reference selects nothing, or no single model to compare with, or the
            frames do not match.
    """
    check_predictions(predictions)
    models = {key: of for key, of in predictions.groupby(MODEL, sort=False)}
    draw = SubjectSampler(resamples, seed)
    rows = []
    for key, against in _pairs(models, reference):
        model, other = (dict(zip(MODEL, k, strict=True)) for k in (key, against))
        names = {"reference": other["model"], "reference_recipe": other["recipe"]}
        names["reference_train_corpus"] = other["train_corpus"]
        found = _differences(models[key], models[against], metrics, DIMENSIONS, draw, level)
        for d in found:
            values = {"value": d.first, "reference_value": d.second, "difference": d.value}
            values |= {"low": d.low, "high": d.high, "decided": d.decided}
            sizes = {"folds": d.folds, "subjects": d.subjects, "n": d.n}
            what = {"dimension": d.dimension, "metric": d.metric}
            rows.append(model | names | what | values | sizes)
    return pd.DataFrame(rows)


def _pairs(
    models: Mapping[tuple, pd.DataFrame], reference: Mapping[str, object] | str | None
) -> Iterator[tuple[tuple, tuple]]:
    """Keys of what is compared with what; see `differences`."""
    train, test = MODEL.index("train_corpus"), MODEL.index("test_corpus")
    if reference is None:
        yield from ((b, a) for a, b in combinations(models, 2) if a[test] == b[test])
        return
    wanted = {"model": reference} if isinstance(reference, str) else dict(reference)
    _known_columns(wanted, MODEL)
    chosen = [
        key
        for key in models
        if all(dict(zip(MODEL, key, strict=True))[k] == v for k, v in wanted.items())
    ]
    if not chosen:
        raise UserError(f"no predictions of {_told(wanted)}; name a model that is in them.")
    for key in models:
        if key in chosen:
            continue
        beside = [other for other in chosen if other[test] == key[test]]
        if len(beside) > 1:
            beside = [other for other in beside if other[train] == key[train]]
        if len(beside) != 1:
            raise UserError(
                f"{len(beside)} references {_told(wanted)} fit {key[0]} from {key[train]} on "
                f"{key[test]}; select one by more columns."
            )
        yield key, beside[0]


def _selected(predictions: pd.DataFrame, which: Mapping[str, object]) -> pd.DataFrame:
    _known_columns(which, GROUP)
    chosen = predictions
    for name, value in which.items():
        chosen = chosen[chosen[name] == value]
    models = chosen[MODEL].drop_duplicates()
    if len(models) != 1:
        differ = [name for name in MODEL if models[name].nunique() > 1]
        cure = f"say which {differ[0]}" if differ else "name a model that is in them"
        raise UserError(f"{len(models)} models are {_told(which)}; {cure}.")
    return chosen


def _known_columns(which: Mapping[str, object], columns: Sequence[str]) -> None:
    unknown = [name for name in which if name not in columns]
    if unknown:
        raise UserError(f"a model is selected by {', '.join(columns)}, not by {unknown[0]!r}.")


def _told(which: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in which.items())


def _differences(
    first: pd.DataFrame,
    second: pd.DataFrame,
    names: Sequence[str],
    dimensions: Sequence[str],
    draw: SubjectSampler,
    level: float,
) -> list[Difference]:
    """Paired differences of two models, by dimension and metric."""
    first, second = _same_frames(first, second)
    folds = [
        {str(k): d for k, d in of_seed.groupby("fold")}
        for model in (first, second)
        for _, of_seed in model.groupby("seed", sort=False)
    ]
    seeds = first["seed"].nunique()
    draws = draw(folds[0])
    found = []
    for dimension in dimensions:
        every = [_estimates(of, dimension, names, draws) for of in folds]
        for name in names:
            of = [estimates[name, "mean"] for estimates in every]
            one, other = _average(of[:seeds]), _average(of[seeds:])
            value = one.value - other.value
            low, high = interval(value, one.samples - other.samples, draws.freedom["mean"], None,
                                 level)  # fmt: skip
            sizes = (len(folds[0]), first["subject"].nunique())
            frames = len(first.drop_duplicates(["clip", "frame"]))
            found.append(
                Difference(
                    value, low, high, one.value, other.value, name, dimension, *sizes, frames
                )
            )
    return found


def _same_frames(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both models on the frames they share, fold by fold; refused where these differ."""
    key = ["fold", "clip", "frame"]
    abroad = [(m["train_corpus"] != m["test_corpus"]).all() for m in (first, second)]
    if abroad == [True, False]:
        first = first[_in_folds_of(first, second)]
    elif abroad == [False, True]:
        second = second[_in_folds_of(second, first)]
    facts = [*key, "subject", "valence_true", "arousal_true"]
    tables = [
        of_seed[facts].sort_values(key).reset_index(drop=True)
        for model in (first, second)
        for _, of_seed in model.groupby("seed", sort=False)
    ]
    for table in tables[1:]:
        if not table.equals(tables[0]):
            names = " and ".join(f"{m['model'].iloc[0]} from {m['train_corpus'].iloc[0]}"
                                 for m in (first, second) if len(m))  # fmt: skip
            raise UserError(
                f"{names} were not tested on the same frames in the same folds "
                f"({len(tables[0])} and {len(table)} frames); train both on the same splits."
            )
    return first, second
