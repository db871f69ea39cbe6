"""Subgroup analysis: is the error larger in some groups? Errors by skin tone, age and pose.

Skin and age are known for simulated people only (`simulator/truth.py`): guessing them from pictures
would be one more doubtful judgement about faces. Pose can be measured from landmarks in any corpus.
Groups have fixed borders, so that a group means the same in every study. Each number is pooled over
the folds, because a fold has only a handful of subjects of a group.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from ..simulator import WildWorld, wild_truth
from .bootstrap import DEFAULT_BOOTSTRAP, FEWEST, Bootstrap, Estimate, clip_weights, interval
from .metrics import FROM_MOMENTS, from_moments, moments
from .predictions import GROUP, by_model


@dataclass(frozen=True)
class Trait:
    """Something by which frames are put into groups."""

    name: str  # in tables
    unit: str  # of its values
    borders: tuple[float, ...]  # ascending; a value on a border belongs to the group above
    groups: tuple[str, ...]  # their names, from the lowest values to the highest
    compared: str  # the group at one end, and the one at the other end that it is compared with
    reference: str

    def spans(self) -> dict[str, str]:
        """Each group's values in words, such as "10 to 41 degrees"."""
        low, high = self.borders[0], self.borders[-1]
        between = zip(self.borders[:-1], self.borders[1:], strict=True)
        spans = [f"below {low:g}", *(f"{a:g} to {b:g}" for a, b in between), f"{high:g} and more"]
        return {g: f"{span} {self.unit}" for g, span in zip(self.groups, spans, strict=True)}


# Skin: the borders of del Bino et al. (2006) between light, intermediate and tan, brown and dark.
_TURNED = ("frontal", "turned", "far turned")
TRAITS = {
    "skin": Trait("skin tone", "degrees of typology angle", (10, 41), ("dark", "medium", "light"),
                  compared="dark", reference="light"),
    "age": Trait("age", "of the scale of drawn lines", (0.33, 0.67),
                 ("few lines", "some lines", "many lines"),
                 compared="many lines", reference="few lines"),
    "turned": Trait("pose", "degrees from the camera", (7, 14), _TURNED,
                    compared="far turned", reference="frontal"),
    # The same where only landmarks are known.
    "turn": Trait("pose", "of half a face's width, nose off the middle", (0.15, 0.3), _TURNED,
                  compared="far turned", reference="frontal"),
}  # fmt: skip

METRICS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RMSE": FROM_MOMENTS["RMSE"],
    "CCC": FROM_MOMENTS["CCC"],
    "bias": lambda sums: -from_moments(sums).gap,
}


def turn(points: np.ndarray) -> np.ndarray:
    """How far faces are turned sideways, from landmarks (N, 68, 2): 0 frontal, 1 profile.

    How far the tip of the nose lies from the middle between the ends of the jaw, as a fraction of
    half the distance between them.
    """
    middle, half = (points[:, 0] + points[:, 16]) / 2, (points[:, 16] - points[:, 0]) / 2
    return np.abs(points[:, 30, 0] - middle[:, 0]) / np.abs(half[:, 0])


def frame_groups(
    frames: pd.DataFrame, landmarks: np.ndarray, world: WildWorld | None
) -> pd.DataFrame:
    """To which groups each frame belongs.

    `frames` has the columns clip and frame; `landmarks` (N, 68, 2) are theirs; `world` is what they
    were simulated from, None where people are real. Returns clip, frame, and columns with names of
    groups: skin, age and turned, or turn alone where people are real; see TRAITS.
    """
    values = frames[["clip", "frame"]].reset_index(drop=True)
    if world is None:
        values = values.assign(turn=turn(landmarks))
    else:
        values = values.merge(wild_truth(world), on=["clip", "frame"], how="left", validate="1:1")
        if values.isna().any(axis=None):
            raise UserError("the frames are not those of this simulated world; give its own.")
    for key in values.columns[2:]:
        trait = TRAITS[key]
        values[key] = np.array(trait.groups)[np.digitize(values[key], trait.borders)]
    return values


@dataclass(frozen=True)
class _Group:
    """The metrics of one model in one group, and how many subjects and frames they are about."""

    metrics: dict[str, Estimate]
    subjects: int
    frames: int


def by_group(
    predictions: pd.DataFrame, groups: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> pd.DataFrame:
    """The error of each model in each group, as of `frame_groups`.

    Returns GROUP, trait, group, span (the group's values in words), dimension, metric (RMSE, CCC,
    bias: predicted - true), value, low, high, subjects, frames; labels in [-1, 1]. Groups without
    frames are left out; with fewer than FEWEST subjects, low and high are nan. CCC is nan for a
    model that predicts the same for every frame of a fold, although its folds may differ.
    """
    rows = []
    for head, trait, measured in _measured(predictions, groups, bootstrap):
        spans = trait.spans()
        for name, group in measured.items():
            for metric, estimate in group.metrics.items():
                scale = metric if metric in FROM_MOMENTS else None
                low, high = _interval(estimate, group.subjects, scale, bootstrap)
                cut = {"trait": trait.name, "group": name, "span": spans[name], "metric": metric}
                values = {"value": estimate.value, "low": low, "high": high}
                sizes = {"subjects": group.subjects, "frames": group.frames}
                rows.append(head | cut | values | sizes)
    columns = [*GROUP, "trait", "group", "span", "dimension", "metric", "value", "low", "high"]
    return pd.DataFrame(rows, columns=[*columns, "subjects", "frames"])


def between_groups(
    predictions: pd.DataFrame, groups: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> pd.DataFrame:
    """How much larger the error is at one end of each trait than at the other.

    Subjects are drawn once for both groups: one who is in both, as with poses, counts in both of a
    sample or in none. The constant baseline sees no face; what differs for it is owed to the
    groups' labels.

    Returns GROUP, trait, compared, reference (groups), dimension, metric, difference (compared -
    reference), low, high, decided (the interval excludes 0), subjects (of the smaller group; with
    fewer than FEWEST there is no interval, and nothing is decided).
    """
    rows = []
    for head, trait, measured in _measured(predictions, groups, bootstrap):
        if not {trait.compared, trait.reference} <= measured.keys():
            continue
        one, other = measured[trait.compared], measured[trait.reference]
        subjects = min(one.subjects, other.subjects)
        for metric in METRICS:
            difference = one.metrics[metric] - other.metrics[metric]
            low, high = _interval(difference, subjects, None, bootstrap)
            cut = {"trait": trait.name, "compared": trait.compared, "reference": trait.reference}
            values = {"difference": difference.value, "low": low, "high": high}
            values["decided"] = bool(low > 0 or high < 0)
            rows.append(head | cut | {"metric": metric} | values | {"subjects": subjects})
    columns = [*GROUP, "trait", "compared", "reference", "dimension", "metric", "difference"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high", "decided", "subjects"])


@stage("metrics and intervals")
def _measured(
    predictions: pd.DataFrame, groups: pd.DataFrame, bootstrap: Bootstrap
) -> Iterator[tuple[dict, Trait, dict[str, _Group]]]:
    """For each model, trait and dimension: its head, the trait, and what each group has."""
    keys = [key for key in TRAITS if key in groups]
    for head, model_rows in by_model(predictions):
        model_rows = model_rows.merge(groups, on=["clip", "frame"], how="left", validate="m:1")
        if model_rows[keys].isna().any(axis=None):
            raise UserError("some predicted frames have no group; give the groups of all frames.")
        subjects = np.unique(model_rows["subject"])
        rng = np.random.default_rng(bootstrap.seed)
        weights = clip_weights(subjects, bootstrap.resamples, rng)
        for key in keys:
            rows_of = dict(iter(model_rows.groupby(key)))
            for dimension in DIMENSIONS:
                per_fold = model_rows.groupby("fold")[f"{dimension}_pred"].nunique()
                constant = per_fold.max() == 1  # folds may differ, which is no agreement
                measured = {
                    name: _group(rows_of[name], dimension, subjects, weights, constant)
                    for name in TRAITS[key].groups
                    if name in rows_of
                }
                yield head | {"dimension": dimension}, TRAITS[key], measured


def _group(
    rows: pd.DataFrame, dimension: str, subjects: np.ndarray, weights: np.ndarray, constant: bool
) -> _Group:
    """The metrics of one group; a constant has no CCC."""
    true, pred = (rows[f"{dimension}_{kind}"].to_numpy(np.float64) for kind in ("true", "pred"))
    shift = float(true.mean())
    sums = np.zeros((len(subjects), 7))  # the moments of each subject, zeros for the others
    members = rows.groupby("subject").indices
    for subject, at in members.items():
        sums[np.searchsorted(subjects, subject)] = moments(true[at], pred[at], shift)
    whole, resampled = sums.sum(axis=0), weights @ sums
    estimates = {name: Estimate(float(f(whole)), f(resampled)) for name, f in METRICS.items()}
    if constant:
        estimates["CCC"] = Estimate(float("nan"), estimates["CCC"].samples)
    return _Group(estimates, len(members), len(rows))


def _interval(
    estimate: Estimate, subjects: int, name: str | None, bootstrap: Bootstrap
) -> tuple[float, float]:
    if subjects < FEWEST:
        return float("nan"), float("nan")
    return interval(estimate.value, estimate.samples, subjects - 1, name, bootstrap.level)
