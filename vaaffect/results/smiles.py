"""Posed smiles of real people: is a higher valence predicted for them than for neutral faces?

Nobody has rated these photographs, so neither error nor correlation exists. What can be checked is
the sign of the change in predicted valence between two pictures of the same person. By how much it
should change, and which way arousal should go, nothing says; both are shown.

Ties count one half. So a network that predicts a constant has the proportion one half, which is
chance, and the shift 0.

The unit is the person: an interval says how far the number would vary over new people of the kind
that was photographed. Where a network was trained several times with one recipe (folds, seeds), the
number is the mean over its trainings, and their variance is added to that between people: both are
samples, people of a population, trainings of what chance and the choice of training subjects make
of a recipe. Folds share most of their training subjects, and all trainings one corpus; what another
corpus would have made of the recipe is in no interval.

1. Between people: the project's bootstrap (see `bootstrap`) of the mean over trainings.
2. Between trainings: the same bootstrap of the mean over people. The two deviations are added. Both
   hold the noise of single predictions, which is counted twice: intervals are a little too wide.
3. Degrees of freedom after Satterthwaite (Biometrics 1946), so that two trainings, which say little
   about how trainings vary, make a wide interval, and hundreds of people do not narrow it.

Where every person agrees, a bootstrap has no spread; then the exact binomial bound is given, and
the difference of two proportions is made from the intervals of both.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from .bootstrap import DEFAULT_BOOTSTRAP, FEWEST, Bootstrap, clip_weights, interval

EXPRESSIONS = ("neutral", "smiling")
NETWORK = ["train_corpus", "model", "recipe"]
TRAINING = [*NETWORK, "fold", "seed"]
SMILE_COLUMNS = [*TRAINING, "person", *(f"{d}_{e}" for d in DIMENSIONS for e in EXPRESSIONS)]
HIGHER, SHIFT, AROUSAL = "valence higher", "valence shift", "arousal shift"
MEASURES = (HIGHER, SHIFT, AROUSAL)  # a proportion of people, and two means, smiling - neutral
EVERYBODY = "everybody"
AGE_BORDERS, AGE_BANDS = (25, 35), ("under 25", "25 to 34", "35 and older")  # years


@dataclass(frozen=True)
class SmileResults:
    """The results of one set of photographs, for the report."""

    data: str  # how tables name the photographs
    citation: str  # with the licence; empty where the set is not known
    simulated: bool  # whether they are drawings
    people: int  # of whom both faces were found
    reasons: Mapping[str, int]  # why pictures or people were left out, and how many
    effects: pd.DataFrame  # as of `smile_effects`; the constant is among the networks
    trainings: pd.DataFrame  # the same, single
    gaps: pd.DataFrame  # as of `smile_gaps`
    starts: Mapping[tuple[str, str, str], str]  # by NETWORK, what a recipe starts from: `weights`


def smile_effects(
    predictions: pd.DataFrame,
    people: pd.DataFrame,
    *,
    single: bool = False,
    bootstrap: Bootstrap = DEFAULT_BOOTSTRAP,
) -> pd.DataFrame:
    """What smiles do to predictions: of everybody, and by gender, group and age band.

    Args:
        predictions: a row per training and person, SMILE_COLUMNS, values in [-1, 1]; UserError
            unless every training predicted the same people, each once.
        people: person, gender, group, age in years; nan where unknown. People whose trait is
            unknown are in none of its groups.
        single: a row per training instead of one per network and recipe, of everybody alone.

    Returns NETWORK (TRAINING if single), trainings, trait, group, measure (of MEASURES), people,
    value, low, high, and low_people, high_people: the interval over people alone, for these very
    trained networks. With one training the two are the same. Groups of fewer than FEWEST people
    are left out: a row would be about a person. Of so few in all there is no interval (nan).
    """
    groups = [(EVERYBODY, EVERYBODY, np.arange(len(people)))]
    groups += [] if single else [cut for cut in _groups(people) if len(cut[2]) >= FEWEST]
    rows = []
    for head, shifts in _shifts(predictions, people, TRAINING if single else NETWORK):
        for trait, group, members in groups:
            for measure in MEASURES:
                found = _estimate(shifts[measure], [(1.0, members)], measure, bootstrap)
                cut = {"trait": trait, "group": group, "measure": measure, "people": len(members)}
                rows.append(head | cut | found)
    return pd.DataFrame(rows)


def smile_gaps(
    predictions: pd.DataFrame, people: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> pd.DataFrame:
    """How each group differs from the people in the other groups of the same trait.

    Of two groups the second is left out, whose difference is the same with the other sign; so are
    groups where one side has fewer than FEWEST people. Arguments as of `smile_effects`.

    Returns NETWORK, trainings, trait, group, measure, people, others (how many), value (group -
    others), low, high, low_people, high_people, decided (low and high exclude 0).
    """
    columns = [*NETWORK, "trainings", "trait", "group", "measure", "people", "others", "value",
               "low", "high", "low_people", "high_people", "decided"]  # fmt: skip
    groups = _groups(people)
    rows = []
    for head, shifts in _shifts(predictions, people, NETWORK):
        for trait in dict.fromkeys(trait for trait, *_ in groups):
            of_trait = [(group, members) for name, group, members in groups if name == trait]
            everyone = np.concatenate([members for _, members in of_trait])
            for group, members in of_trait[:1] if len(of_trait) == 2 else of_trait:
                others = np.setdiff1d(everyone, members)
                if min(len(members), len(others)) < FEWEST:
                    continue
                for measure in MEASURES:
                    parts = [(1.0, members), (-1.0, others)]
                    found = _estimate(shifts[measure], parts, measure, bootstrap)
                    found["decided"] = bool(found["low"] > 0 or found["high"] < 0)
                    cut = {"trait": trait, "group": group, "measure": measure}
                    sizes = {"people": len(members), "others": len(others)}
                    rows.append(head | cut | sizes | found)
    return pd.DataFrame(rows, columns=columns)


def _groups(people: pd.DataFrame) -> list[tuple[str, str, np.ndarray]]:
    """(trait, group, positions of its people), the traits gender, group and age."""
    ages = people["age"].to_numpy(np.float64)
    bands = np.array(AGE_BANDS, object)[np.digitize(ages, AGE_BORDERS)]
    values = {
        "gender": people["gender"].to_numpy(object),
        "group": people["group"].to_numpy(object),
        "age": np.where(np.isfinite(ages), bands, None),
    }
    groups = []
    for trait, of_trait in values.items():
        present = {value for value in of_trait if isinstance(value, str)}
        order = [band for band in AGE_BANDS if band in present] if trait == "age" else None
        for group in order or sorted(present):
            groups.append((trait, group, np.flatnonzero(of_trait == group)))
    return groups


def _shifts(
    predictions: pd.DataFrame, people: pd.DataFrame, by: Sequence[str]
) -> list[tuple[dict, dict[str, np.ndarray]]]:
    """Of each network (or training): what names it, and (trainings, people) per measure."""
    if predictions.duplicated([*TRAINING, "person"]).any():
        raise UserError("a training predicts the same person twice; give each training once.")
    found = []
    for key, rows in predictions.groupby(list(by), sort=False):
        shifts = {}
        for dimension in DIMENSIONS:
            change = rows[f"{dimension}_smiling"] - rows[f"{dimension}_neutral"]
            table = rows.assign(change=change).pivot(
                index=TRAINING, columns="person", values="change"
            )
            shifts[dimension] = table.reindex(columns=people["person"]).to_numpy(np.float64)
        if not np.isfinite(shifts["valence"]).all() or len(rows) != shifts["valence"].size:
            raise UserError("the trainings did not all predict the same people; measure them anew.")
        valence = shifts["valence"]
        measures = {HIGHER: (np.sign(valence) + 1) / 2, SHIFT: valence, AROUSAL: shifts["arousal"]}
        head = dict(zip(by, key, strict=True)) | {"trainings": len(valence)}
        found.append((head, measures))
    return found


@dataclass(frozen=True)
class _Spread:
    """What bootstrap samples of an estimate say: its deviations, variance and freedom."""

    deviations: np.ndarray  # (resamples,)
    freedom: int

    @classmethod
    def of(cls, values: np.ndarray, bootstrap: Bootstrap, stream: int) -> "_Spread":
        """Of the mean of values (n,), drawn anew as subjects are."""
        rng = np.random.default_rng([bootstrap.seed, stream])
        weights = clip_weights(np.arange(len(values)), bootstrap.resamples, rng)
        samples = weights @ values / weights.sum(axis=1)
        return cls(samples - values.mean(), len(values) - 1)

    @property
    def variance(self) -> float:
        return float(self.deviations.var(ddof=1)) if len(self.deviations) > 1 else float("nan")


def _estimate(
    values: np.ndarray,
    parts: Sequence[tuple[float, np.ndarray]],
    measure: str | None,
    bootstrap: Bootstrap,
) -> dict[str, float]:
    """The sum of factor x mean over the people of each part, of values (trainings, people), with
    both intervals; a proportion, or a difference of two, gets those of proportions."""
    by_training = sum(factor * values[:, members].mean(axis=1) for factor, members in parts)
    value = float(by_training.mean())
    undefined = dict.fromkeys(("low", "high", "low_people", "high_people"), float("nan"))
    if min(len(members) for _, members in parts) < FEWEST:
        return {"value": value} | undefined
    by_person = values.mean(axis=0)
    people = []
    for stream, (factor, members) in enumerate(parts):
        people.append(_Spread.of(factor * by_person[members], bootstrap, stream))
    trainings = [_Spread.of(by_training, bootstrap, len(parts))] if len(values) > 1 else []
    count = len(parts[0][1]) if measure == HIGHER else None
    found = {"value": value}
    for suffix, spreads in (("", [*people, *trainings]), ("_people", people)):
        if measure == HIGHER and len(parts) > 1:
            groups = [
                (_estimate(values, [(1.0, members)], measure, bootstrap)) for _, members in parts
            ]
            low, high = _newcombe(value, groups, spreads[len(parts) :], bootstrap.level)
        else:
            low, high = _interval(value, spreads, count, bootstrap.level)
        found |= {f"low{suffix}": low, f"high{suffix}": high}
    return found


def _newcombe(
    value: float, groups: Sequence[dict], trainings: Sequence[_Spread], level: float
) -> tuple[float, float]:
    """The interval of a difference of two proportions from those of each (Newcombe, Statistics in
    Medicine 1998, method 10): a small group in which everybody agrees still has a width. Trainings
    are in common, so that their spread is that of the difference."""
    one, other = groups
    below, above = one["value"] - one["low_people"], one["high_people"] - one["value"]
    others_below = other["value"] - other["low_people"]
    others_above = other["high_people"] - other["value"]
    widths = [interval(0.0, spread.deviations, spread.freedom, level=level) for spread in trainings]
    between = sum(high for _, high in widths)
    low = value - float(np.sqrt(below**2 + others_above**2 + between**2))
    return low, value + float(np.sqrt(above**2 + others_below**2 + between**2))


def _interval(
    value: float, spreads: Sequence[_Spread], count: int | None, level: float
) -> tuple[float, float]:
    """An interval from independent sources of variation; `count`: people of a proportion."""
    samples = value + sum(spread.deviations for spread in spreads)
    if count is not None and value in (0, 1) and len(samples) > 1:
        edge = ((1 - level) / 2) ** (1 / count)  # Clopper & Pearson (1934)
        return (edge, 1.0) if value == 1 else (0.0, 1 - edge)
    variances = np.array([spread.variance for spread in spreads])
    freedoms = np.array([spread.freedom for spread in spreads])
    freedom = freedoms.min()
    if variances.sum() > 0:
        freedom = max(freedom, variances.sum() ** 2 / (variances**2 / freedoms).sum())
    name = None if count is None else "SAGR"  # a proportion too: the interval is made on its logit
    return interval(value, samples, float(freedom), name, level)
