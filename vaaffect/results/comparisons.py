"""Models against each other on the same frames: paired differences and their intervals."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from .bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Estimate, interval, subject_draws
from .evaluation import metric_estimates
from .predictions import GROUP, MODEL, by_fold, check_predictions


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
    key = ["test_corpus", "fold", "clip", "frame"]
    kept = pd.MultiIndex.from_frame(within_corpus[key].drop_duplicates())
    return pd.MultiIndex.from_frame(predictions[key]).isin(kept)


@dataclass(frozen=True)
class Difference:
    """A model against another on the same frames: the mean over folds of a metric."""

    value: float  # first - second. For RMSE less is better, for the others more
    low: float  # of its interval, paired: both models meet the same subjects in each sample
    high: float
    first: float  # the two values, averaged over folds (and seeds)
    second: float
    metric: str
    dimension: str
    folds: int
    subjects: int
    n: int  # frames

    @property
    def decided(self) -> bool:
        """Whether the interval excludes 0; False where the difference is undefined."""
        return bool(self.low > 0 or self.high < 0)


def paired_difference(
    predictions: pd.DataFrame,
    first: Mapping[str, object],
    second: Mapping[str, object],
    *,
    metric: str = "CCC",
    dimension: str = "valence",
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> Difference:
    """How much better one model is than another, on the same frames with the same draws.

    Two separate intervals may overlap while the difference is certain: faces that are hard are hard
    for both. Beside a within-corpus model, a cross-corpus one is taken `in_within_corpus_folds`.
    Several seeds of a model are averaged.

    `first` and `second` are what selects each model in the table of predictions, such as
    {"model": "vgg11_bn", "train_corpus": ...}; UserError for none or several, or where their frames
    do not match. `metric` is a key of metrics.FROM_MOMENTS; RMSE is on [-1, 1].
    """
    check_predictions(predictions)
    one, other = (_selected(predictions, columns) for columns in (first, second))
    (difference,) = _compared(one, other, (metric,), (dimension,), bootstrap)
    return difference


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
    reference_value, difference (value - reference_value), low, high, decided, folds, subjects, n.
    """
    check_predictions(predictions)
    rows_of = dict(iter(predictions.groupby(MODEL, sort=False)))
    models = [dict(zip(MODEL, key, strict=True)) for key in rows_of]
    rows = []
    for model, other in _pairs(models, reference):
        head = model | {"reference": other["model"]}
        head |= {f"reference_{name}": other[name] for name in ("recipe", "train_corpus")}
        pair = (rows_of[tuple(m.values())] for m in (model, other))
        for d in _compared(*pair, metrics, DIMENSIONS, bootstrap):
            compared = {"dimension": d.dimension, "metric": d.metric}
            values = {"value": d.first, "reference_value": d.second, "difference": d.value}
            values |= {"low": d.low, "high": d.high, "decided": d.decided}
            sizes = {"folds": d.folds, "subjects": d.subjects, "n": d.n}
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


def _selected(predictions: pd.DataFrame, columns: Mapping[str, object]) -> pd.DataFrame:
    """The rows of the one model that some columns select."""
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


@stage("metrics and intervals")
def _compared(
    first: pd.DataFrame,
    second: pd.DataFrame,
    names: Sequence[str],
    dimensions: Sequence[str],
    bootstrap: Bootstrap,
) -> list[Difference]:
    """Paired differences of two models, by dimension and metric."""
    first, second = _same_frames(first, second)
    trainings = [by_fold(seed_rows) for seed_rows in _by_seed(first, second)]
    seeds = first["seed"].nunique()
    draws = subject_draws(trainings[0], bootstrap)
    sizes = {"folds": len(trainings[0]), "subjects": first["subject"].nunique()}
    sizes["n"] = len(first.drop_duplicates(["clip", "frame"]))
    compared = []
    for dimension in dimensions:
        estimates = [metric_estimates(folds, dimension, names, draws) for folds in trainings]
        for name in names:
            means = [training[name, "mean"] for training in estimates]
            one, other = Estimate.mean(means[:seeds]), Estimate.mean(means[seeds:])
            gain = one - other
            freedom = draws.freedom["mean"]
            bounds = interval(gain.value, gain.samples, freedom, level=bootstrap.level)
            values = (gain.value, *bounds, one.value, other.value)
            compared.append(Difference(*values, name, dimension, **sizes))
    return compared


def _by_seed(first: pd.DataFrame, second: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each training, those of the first model before those of the second."""
    for model_rows in (first, second):
        yield from (seed_rows for _, seed_rows in model_rows.groupby("seed", sort=False))


def _same_frames(first: pd.DataFrame, second: pd.DataFrame) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Both models on the frames they share, fold by fold; refused where these differ."""
    cross = [(rows["train_corpus"] != rows["test_corpus"]).all() for rows in (first, second)]
    if cross == [True, False]:
        first = first[_in_folds_of(first, second)]
    elif cross == [False, True]:
        second = second[_in_folds_of(second, first)]
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
