"""Models against each other on the same frames: paired differences and their intervals."""

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from .bootstrap import (
    DEFAULT_BOOTSTRAP,
    Bootstrap,
    spread_interval,
    subject_draws,
    unit_of,
)
from .evaluation import Sources, Term, model_terms, sources, total
from .predictions import GROUP, MODEL, by_fold, check_predictions, frame_numbers


def in_within_corpus_folds(predictions: pd.DataFrame) -> pd.DataFrame:
    """Predictions of cross-corpus models as of within-corpus ones: each frame once, in its fold.

    A network tested on another corpus predicts every frame in each fold. CCC within a fold of few
    subjects is smaller on average than that of all subjects at once. So beside within-corpus
    models, whose folds are of few subjects, the network of fold k is kept for the frames of fold k.
    UserError for a test corpus on which no model of the table was trained: the within-corpus models
    say which frame is in which fold.
    """
    within = predictions["train_corpus"] == predictions["test_corpus"]
    unknown = set(predictions["test_corpus"]) - set(predictions.loc[within, "test_corpus"])
    if unknown:
        raise UserError(
            f"no model of these predictions was trained on {unknown.pop()}, so its folds are not "
            "known; add the predictions of one that was."
        )
    return predictions[within | _in_folds_of(predictions, predictions[within])]


def _in_folds_of(predictions: pd.DataFrame, within_corpus: pd.DataFrame) -> np.ndarray:
    """Which rows have their frame in the fold in which the within-corpus models have it."""
    both = pd.concat([t[["test_corpus", "clip", "frame", "fold"]]
                      for t in (predictions, within_corpus)])  # fmt: skip
    number = frame_numbers(both)
    fold, rows = both["fold"].to_numpy(), len(predictions)
    kept = np.zeros(rows, bool)
    for each in np.unique(fold[rows:]):
        mine = fold == each
        kept[mine[:rows]] = np.isin(number[:rows][mine[:rows]], number[rows:][mine[rows:]])
    return kept


@dataclass(frozen=True)
class Difference:
    """A model against another on the same frames: the mean over folds of a metric. Or the average
    of several such differences."""

    value: float  # first - second. For RMSE less is better, for the others more
    low: float  # of its interval, paired: both models meet the same subjects in each sample
    high: float
    smallest: float  # the true difference that would be decided with a probability of 80 %
    first: float  # the two values, averaged over folds and seeds (and pairs and dimensions)
    second: float
    metric: str
    dimension: str  # or several, "valence and arousal"
    folds: int
    subjects: int
    n: int  # frames
    seeds: int  # of the model that has fewest
    sources: Sources  # of its variance

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0; False where the difference is undefined."""
        return bool(self.low > 0 or self.high < 0)

    @property
    def unit(self) -> str:
        """What the interval is about, see `bootstrap.unit_of`."""
        return unit_of(self.seeds)

    def smallest_with(self, subjects: int, seeds: int, level: float = 0.95) -> float:
        """`smallest` in a study with so many subjects and seeds: an extrapolation, for subjects and
        trainings that vary as much as these do, in as many folds. Without several seeds here, what
        they add is unknown and left out."""
        larger = self.sources.scaled(subjects / self.subjects, seeds / self.seeds)
        return larger.spread.detectable(level)


# What selects two models, see `mean_difference`.
Pair = tuple[Mapping[str, object], Mapping[str, object]]


def mean_difference(
    predictions: pd.DataFrame,
    pairs: Sequence[Pair],
    *,
    against: Sequence[Pair] = (),
    metric: str = "CCC",
    dimensions: Sequence[str] = DIMENSIONS,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Difference:
    """By how much the first model of each pair is better than the second, averaged over pairs,
    dimensions and seeds, with one interval.

    Two separate intervals may overlap while the difference is certain: faces that are hard are hard
    for both. Beside a within-corpus model, a cross-corpus one is taken `in_within_corpus_folds`.

    The interval has parts from test subjects, training subjects and seeds. Test subjects: in each
    bootstrap sample all differences on one test corpus meet the same subjects, so that the spread
    is that of the average; those of different test corpora are independent. Training subjects: from
    the average in each fold, see `Spread.of_training`. Seeds: each model that was trained with
    several adds the variance between the means of its seeds, over their number. These last parts
    are added, not taken from differences of equal seeds: two architectures have nothing in common
    when their seeds are equal, a model may have fewer seeds than another, and where equal seeds do
    have something in common, the sum is too large, not too small. A model with one seed adds none,
    and `Difference.unit` says so.

    Args:
        pairs: (first, second), what selects each model in the table of predictions, such as
            {"model": "vgg11_bn", "train_corpus": ...}.
        against: pairs whose mean difference is subtracted from that of `pairs`: whether a
            difference is larger under one condition than under another. `first` and `second` of the
            result are then the two mean differences.
        metric: a key of metrics.FROM_MOMENTS; RMSE is on [-1, 1].
        dimensions: of DIMENSIONS.

    Raises UserError for a selection of none or several models, where the frames of a pair do not
    match, or, as `check_predictions` does, for the rows that are compared.
    """

    def weighted(group: Sequence[Pair], factor: float) -> tuple[list[_Weighted], list[_Weighted]]:
        found = [_same_frames(*(selected(predictions, c) for c in pair)) for pair in group]
        factor /= max(len(found), 1)
        return [(factor, one) for one, _ in found], [(-factor, other) for _, other in found]

    first, second = weighted(pairs, 1)
    if against:
        first, second = first + second, list(itertools.chain(*weighted(against, -1)))
    (difference,) = _differences(first, second, (metric,), [tuple(dimensions)], bootstrap)
    return difference


def paired_difference(
    predictions: pd.DataFrame,
    first: Mapping[str, object],
    second: Mapping[str, object],
    *,
    metric: str = "CCC",
    dimension: str = "valence",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Difference:
    """`mean_difference` of one pair in one dimension."""
    return mean_difference(
        predictions, [(first, second)], metric=metric, dimensions=(dimension,), bootstrap=bootstrap
    )


def between_dimensions(
    predictions: pd.DataFrame,
    pair: Pair,
    *,
    metric: str = "PCC",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Difference:
    """By how much the first model of a pair is better than the second in valence, minus the same in
    arousal, with one interval: both dimensions meet the same subjects in each sample. `first` and
    `second` of the result are the two differences. Arguments and UserError as of `mean_difference`.
    """
    one, other = _same_frames(*(selected(predictions, columns) for columns in pair))
    draws = subject_draws(by_fold(one), bootstrap)
    valence, arousal = (
        [*model_terms(one, (metric,), draws, (name,), sign),
         *model_terms(other, (metric,), draws, (name,), -sign)]
        for name, sign in zip(DIMENSIONS, (1.0, -1.0), strict=True)
    )  # fmt: skip
    value, found = sources([*valence, *arousal])
    low, high = spread_interval(value, found.spread, level=bootstrap.level)
    bounds = value, low, high, found.spread.detectable(bootstrap.level)
    sizes = one["fold"].nunique(), _count(one, "subject"), _count(one, "clip", "frame")
    return Difference(
        *bounds, total(valence)[0], -total(arousal)[0], metric, " minus ".join(DIMENSIONS), *sizes,
        min(rows["seed"].nunique() for rows in (one, other)), found,
    )  # fmt: skip


def differences(
    predictions: pd.DataFrame,
    reference: Mapping[str, object] | str,
    *,
    metrics: Sequence[str] = ("RMSE", "CCC"),
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> pd.DataFrame:
    """`paired_difference` of every model against a reference, in both dimensions, as a table.

    Models are compared within a test corpus. `reference` is what selects the model to compare with,
    a dict of columns or the name of a model; where it was trained on several corpora, a model is
    compared with the one from its own training corpus. UserError for none or no single one, or
    where frames do not match.

    Returns MODEL, reference, reference_recipe, reference_train_corpus, dimension, metric, value,
    reference_value, difference (value - reference_value), low, high, decided, folds, subjects, n,
    seeds (of the model that has fewer; 1: the interval is about these trained networks).
    """
    check_predictions(predictions)
    rows_of = dict(iter(predictions.groupby(MODEL, sort=False)))
    models = [dict(zip(MODEL, key, strict=True)) for key in rows_of]
    rows = []
    for model, other in _pairs(models, reference):
        head = model | {"reference": other["model"]}
        head |= {f"reference_{name}": other[name] for name in ("recipe", "train_corpus")}
        one, other = _same_frames(*(rows_of[tuple(m.values())] for m in (model, other)))
        by_dimension = [(dimension,) for dimension in DIMENSIONS]
        found = _differences([(1, one)], [(-1, other)], metrics, by_dimension, bootstrap)
        for d in found:
            compared = {"dimension": d.dimension, "metric": d.metric}
            values = {"value": d.first, "reference_value": d.second, "difference": d.value}
            values |= {"low": d.low, "high": d.high, "decided": d.decided}
            sizes = {"folds": d.folds, "subjects": d.subjects, "n": d.n, "seeds": d.seeds}
            rows.append(head | compared | values | sizes)
    return pd.DataFrame(rows)


def _pairs(
    models: Sequence[dict[str, str]], reference: Mapping[str, object] | str
) -> Iterator[tuple[dict[str, str], dict[str, str]]]:
    """What is compared with what, columns MODEL of both; see `differences`."""
    wanted = {"model": reference} if isinstance(reference, str) else dict(reference)
    _known_columns(wanted, MODEL)
    references = [model for model in models if wanted.items() <= model.items()]
    if not references:
        raise UserError(f"no predictions of {_told(wanted)}; name a model that is in them.")
    for model in models:
        if model in references:
            continue
        fitting = [r for r in references if r["test_corpus"] == model["test_corpus"]]
        if len(fitting) > 1:
            fitting = [r for r in fitting if r["train_corpus"] == model["train_corpus"]]
        if len(fitting) != 1:
            raise UserError(
                f"{len(fitting)} references {_told(wanted)} fit {model['model']} from "
                f"{model['train_corpus']} on {model['test_corpus']}; select one by more columns."
            )
        yield model, fitting[0]


def selected(predictions: pd.DataFrame, columns: Mapping[str, object]) -> pd.DataFrame:
    """The rows of the one model that some columns, of GROUP, select; UserError for none or more."""
    _known_columns(columns, GROUP)
    chosen = predictions
    for name, value in columns.items():
        chosen = chosen[chosen[name] == value]
    models = chosen[MODEL].drop_duplicates()
    if len(models) != 1:
        differ = [name for name in MODEL if models[name].nunique() > 1]
        cure = f"say which {differ[0]}" if differ else "name a model that is in them"
        raise UserError(f"{len(models)} models are {_told(columns)}; {cure}.")
    return chosen


def _known_columns(wanted: Mapping[str, object], columns: Sequence[str]) -> None:
    unknown = [name for name in wanted if name not in columns]
    if unknown:
        raise UserError(f"a model is selected by {', '.join(columns)}, not by {unknown[0]!r}.")


def _told(columns: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value!r}" for name, value in columns.items())


# Rows of one model, and by which factor it enters a sum.
_Weighted = tuple[float, pd.DataFrame]


@stage("metrics and intervals")
def _differences(
    first: Sequence[_Weighted],
    second: Sequence[_Weighted],
    names: Sequence[str],
    averaged: Sequence[tuple[str, ...]],
    bootstrap: Bootstrap,
) -> list[Difference]:
    """The sum of the first models plus that of the second (whose factors have the other sign), for
    each tuple of dimensions to be averaged and each metric in turn."""
    models = [*first, *second]
    rows = pd.concat([model_rows for _, model_rows in models])
    draws = {
        corpus: subject_draws(by_fold(corpus_rows), bootstrap)
        for corpus, corpus_rows in rows.groupby("test_corpus", sort=False)
    }
    sizes = {"folds": rows["fold"].nunique(), "subjects": _count(rows, "subject")}
    sizes |= {"n": _count(rows, "clip", "frame")}
    sizes |= {"seeds": min(model_rows["seed"].nunique() for _, model_rows in models)}
    dimensions = tuple(dict.fromkeys(itertools.chain(*averaged)))
    measured: list[list[Term]] = [[], []]
    for side, group in enumerate((first, second)):
        for factor, model_rows in group:
            corpus = model_rows["test_corpus"].iloc[0]
            measured[side] += model_terms(model_rows, names, draws[corpus], dimensions, factor)
    compared = []
    for together in averaged:
        for name in names:
            one, other = (
                [t.times(1 / len(together)) for t in side if t.name == name
                 and t.dimension in together]
                for side in measured
            )  # fmt: skip
            value, found = sources([*one, *other])
            low, high = spread_interval(value, found.spread, level=bootstrap.level)
            values = (value, low, high, found.spread.detectable(bootstrap.level))
            values = (*values, total(one)[0], -total(other)[0])
            names_of = name, " and ".join(together)
            compared.append(Difference(*values, *names_of, **sizes, sources=found))
    return compared


def _count(rows: pd.DataFrame, *names: str) -> int:
    return len(rows[["test_corpus", *names]].drop_duplicates())


def _by_seed(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each training, those of the first model before those of the second."""
    for model_rows in (first, second):
        yield from (seed_rows for _, seed_rows in model_rows.groupby("seed", sort=False))


def _same_frames(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both models on the frames they share, fold by fold; each is checked on these, and refused
    where they differ."""
    cross = [(rows["train_corpus"] != rows["test_corpus"]).all() for rows in (first, second)]
    if cross == [True, False]:
        first = first[_in_folds_of(first, second)]
    elif cross == [False, True]:
        second = second[_in_folds_of(second, first)]
    for model_rows in (first, second):
        check_predictions(model_rows)
    key = ["fold", "clip", "frame"]
    columns = [*key, "subject", "valence_true", "arousal_true"]
    tables = [
        seed_rows[columns].sort_values(key, ignore_index=True)
        for seed_rows in _by_seed(first, second)
    ]
    for table in tables[1:]:
        if not table.equals(tables[0]):
            names = " and ".join(
                f"{rows['model'].iloc[0]} from {rows['train_corpus'].iloc[0]}"
                for rows in (first, second)
                if len(rows)
            )
            raise UserError(
                f"{names} were not tested on the same frames in the same folds "
                f"({len(tables[0])} and {len(table)} frames); train both on the same splits."
            )
    return first, second
