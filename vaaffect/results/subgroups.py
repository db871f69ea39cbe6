"""For whom, and in which pictures, is the error larger? Errors by skin tone, age and pose.

Skin and age are known for simulated people only (`simulator/truth.py`); corpora of real people do
not say, and guessing them from pictures would be one more doubtful judgement about faces. Pose can
be measured from landmarks in any corpus.

Groups have fixed borders, so that a group means the same in every study. Each number is pooled over
the folds, because a fold has only a handful of people of a group; intervals are from a bootstrap
over people (`bootstrap.py`).
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from ..simulator import WildWorld, wild_truth
from .bootstrap import clip_weights, interval
from .metrics import FROM_MOMENTS, from_moments, moments
from .predictions import GROUP, check_predictions


@dataclass(frozen=True)
class Trait:
    """Something by which frames are put into groups.

    Attributes:
        name: what people call it.
        unit: of its values.
        borders: between the groups, ascending; a value on a border belongs to the group above.
        groups: their names, from the lowest values to the highest.
        reference: the group at one end with which the one at the other end is compared.
    """

    name: str
    unit: str
    borders: tuple[float, ...]
    groups: tuple[str, ...]
    reference: str

    @property
    def compared(self) -> str:
        """The group at the other end."""
        return self.groups[-1] if self.groups[0] == self.reference else self.groups[0]

    def spans(self) -> dict[str, str]:
        """Each group's values in words, such as "10 to 41 degrees"."""
        low, high = self.borders[0], self.borders[-1]
        between = zip(self.borders[:-1], self.borders[1:], strict=True)
        spans = [f"below {low:g}", *(f"{a:g} to {b:g}" for a, b in between), f"{high:g} and more"]
        return {g: f"{span} {self.unit}" for g, span in zip(self.groups, spans, strict=True)}


# Skin: the borders of del Bino et al. (2006) between light, intermediate and tan, brown and dark.
SKIN = Trait("skin tone", "degrees of typology angle", (10, 41), ("dark", "medium", "light"),
             "light")  # fmt: skip
AGE = Trait("age", "of the scale of drawn lines", (0.33, 0.67),
            ("few lines", "some lines", "many lines"), "few lines")  # fmt: skip
POSE = Trait("pose", "degrees from the camera", (7, 14),
             ("frontal", "turned", "far turned"), "frontal")  # fmt: skip
# As POSE, where only landmarks are known.
TURN = Trait("pose", "of half a face's width, nose off the middle", (0.15, 0.3),
             ("frontal", "turned", "far turned"), "frontal")  # fmt: skip
TRAITS: Mapping[str, Trait] = {"skin": SKIN, "age": AGE, "turned": POSE, "turn": TURN}

FEWEST = 5  # people; of fewer, an interval says nothing
METRICS: Mapping[str, Callable[[np.ndarray], np.ndarray]] = {
    "RMSE": FROM_MOMENTS["RMSE"],
    "CCC": FROM_MOMENTS["CCC"],
    "bias": lambda sums: -from_moments(sums).gap,
}


def turn(points: np.ndarray) -> np.ndarray:
    """How far faces are turned sideways, from landmarks (N, 68, 2): 0 frontal, 1 profile.

    How far the tip of the nose lies from the middle between the ends of the jaw, as a share of half
    the distance between them.
    """
    middle, half = (points[:, 0] + points[:, 16]) / 2, (points[:, 16] - points[:, 0]) / 2
    return np.abs(points[:, 30, 0] - middle[:, 0]) / np.abs(half[:, 0])


def frame_groups(
    frames: pd.DataFrame, landmarks: np.ndarray, world: WildWorld | None
) -> pd.DataFrame:
    """To which groups each frame belongs.

    Args:
        frames: columns clip and frame, as of `Crops.frames`.
        landmarks: (N, 68, 2) of the same frames.
        world: what the corpus was simulated from; None where its people are real.

    Returns:
        clip, frame, and a column with the name of a group for each of SKIN, AGE and POSE, or for
        TURN alone where the people are real; the columns are named as the keys of TRAITS.
    """
    here = frames[["clip", "frame"]].reset_index(drop=True)
    if world is None:
        values = here.assign(turn=turn(landmarks))
    else:
        values = here.merge(wild_truth(world), on=["clip", "frame"], how="left", validate="1:1")
        if values.isna().any(axis=None):
            raise UserError("the frames are not those of this simulated world; give its own.")
    for key in values.columns[2:]:
        trait = TRAITS[key]
        values[key] = np.array(trait.groups)[np.digitize(values[key], trait.borders)]
    return values


def by_group(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """The error of each model in each group.

    Args:
        predictions: a row per frame, of any number of models.
        groups: as of `frame_groups`.
        resamples, level, seed: of the bootstrap over people.

    Returns:
        GROUP, trait, group, span (the group's values in words), dimension, metric (RMSE, CCC, bias:
        predicted - true), value, low, high, subjects, frames; labels in [-1, 1]. Groups without
        frames are left out; with fewer than FEWEST people, low and high are nan. CCC is nan for who
        answers the same to every face of a fold, whatever the folds' answers are.

    Raises:
        UserError: a frame has no group.
    """
    rows = []
    for head, trait, found in _estimates(predictions, groups, resamples, seed):
        spans = trait.spans()
        for (group, metric), estimate in found.items():
            scale = metric if metric in FROM_MOMENTS else None
            low, high = _interval(estimate.value, estimate.samples, estimate.people, scale, level)
            what = {"trait": trait.name, "group": group, "span": spans[group]}
            what |= {"metric": metric, "value": estimate.value, "low": low, "high": high}
            rows.append(head | what | {"subjects": estimate.people, "frames": estimate.frames})
    columns = [*GROUP, "trait", "group", "span", "dimension", "metric", "value", "low", "high"]
    return pd.DataFrame(rows)[[*columns, "subjects", "frames"]]


def between_groups(
    predictions: pd.DataFrame,
    groups: pd.DataFrame,
    *,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """How much larger the error is at one end of each trait than at the other.

    People are drawn once for both groups: who is in both, as with poses, counts in both of a
    sample or in none. The constant predictor sees no face; what differs for it is owed to the
    groups' labels.

    Args:
        predictions, groups, resamples, level, seed: as of `by_group`.

    Returns:
        GROUP, trait, compared, reference (groups), dimension, metric, difference (compared -
        reference), low, high, decided (the interval leaves 0 out), subjects (of the smaller group;
        with fewer than FEWEST there is no interval, and nothing is decided).
    """
    rows = []
    for head, trait, found in _estimates(predictions, groups, resamples, seed):
        for metric in METRICS:
            one, other = (found.get((g, metric)) for g in (trait.compared, trait.reference))
            if one is None or other is None:
                continue
            people = min(one.people, other.people)
            value = one.value - other.value
            low, high = _interval(value, one.samples - other.samples, people, None, level)
            what = {"trait": trait.name, "compared": trait.compared, "reference": trait.reference}
            what |= {"metric": metric, "difference": value, "low": low, "high": high}
            rows.append(head | what | {"decided": bool(low > 0 or high < 0), "subjects": people})
    columns = [*GROUP, "trait", "compared", "reference", "dimension", "metric", "difference"]
    return pd.DataFrame(rows, columns=[*columns, "low", "high", "decided", "subjects"])


@dataclass(frozen=True)
class _Estimate:
    """A metric in a group, its value in each bootstrap sample, and how many it is about."""

    value: float
    samples: np.ndarray
    people: int
    frames: int


def _estimates(
    predictions: pd.DataFrame, groups: pd.DataFrame, resamples: int, seed: int
) -> Iterator[tuple[dict, Trait, dict[tuple[str, str], _Estimate]]]:
    """For each model, dimension and trait: its head, the trait, and (group, metric) -> estimate."""
    check_predictions(predictions)
    joined = predictions.merge(groups, on=["clip", "frame"], how="left", validate="m:1")
    keys = [key for key in TRAITS if key in groups]
    if joined[keys].isna().any(axis=None):
        raise UserError("some predicted frames have no group; give the groups of all frames.")
    for group, of_model in joined.groupby(GROUP, sort=False):
        people = np.unique(of_model["subject"])
        drawn = clip_weights(people, resamples, np.random.default_rng(seed))
        for key in keys:
            for dimension in DIMENSIONS:
                head = dict(zip(GROUP, group, strict=True)) | {"dimension": dimension}
                answers = of_model.groupby("fold")[f"{dimension}_pred"]
                blind = answers.nunique().max() == 1  # folds differ, which is no agreement
                found = {}
                for name in TRAITS[key].groups:
                    here = of_model[of_model[key] == name]
                    if not len(here):
                        continue
                    sums = _by_person(here, dimension, people)
                    sizes = here["subject"].nunique(), len(here)
                    samples = drawn @ sums
                    for metric, of in METRICS.items():
                        value = float(of(sums.sum(axis=0)))
                        if metric == "CCC" and blind:
                            value = float("nan")
                        found[name, metric] = _Estimate(value, of(samples), *sizes)
                yield head, TRAITS[key], found


def _interval(
    value: float, samples: np.ndarray, people: int, name: str | None, level: float
) -> tuple[float, float]:
    if people < FEWEST:
        return float("nan"), float("nan")
    return interval(value, samples, people - 1, name, level)


def _by_person(rows: pd.DataFrame, dimension: str, people: np.ndarray) -> np.ndarray:
    """(people, 7) moments of each person, zeros for those who are not in these rows."""
    true, pred = (rows[f"{dimension}_{what}"].to_numpy(np.float64) for what in ("true", "pred"))
    shift = float(true.mean())
    sums = np.zeros((len(people), 7))
    for subject, at in rows.groupby("subject").indices.items():
        sums[np.searchsorted(people, subject)] = moments(true[at], pred[at], shift)
    return sums
