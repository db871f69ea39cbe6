"""Components of a recipe: each a name and what it changes, so an ablation is data.

    {"CCC loss": {"loss": "ccc"}, "smoothing": {"smooth": 10}, "gain and offset": {"correct": True},
     "another seed": {"seeds": 5}}

A component changes fields of the recipe, or what is done with the predictions afterwards (`smooth`,
`correct`; see `results.postprocessing`), or takes whole pictures in place of face crops
(`whole_pictures`). `seeds` is so many placebos: the unchanged recipe, trained
with as many further seeds. How far these differ is the yardstick of what a component does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from ..results import apply_corrections, corrected_across_subjects, corrections, metrics, smoothed
from ..results.bootstrap import Spread
from ..results.evaluation import MEAN, UNIT_SCALE
from .recipe import Recipe

_NOT_OF_COMPONENTS = ("name", "epochs", "weights")  # alike for all, or it is another comparison
# What is no field of a recipe: the first two change predictions, and no training.
_BESIDE = ("smooth", "correct", "whole_pictures")


@dataclass(frozen=True)
class Component:
    """One component."""

    name: str  # how tables call it
    recipe: dict = field(default_factory=dict)  # fields of `recipe.Recipe`, with their new values
    smooth: float = 0.0  # frames over which predictions are smoothed within a clip
    correct: bool = False  # whether gain and offset are corrected, as fitted on inner validation
    whole_pictures: bool = False  # in place of face crops, as of `corpora.build_crops`
    seed: int = 0  # what is added to the training's seed

    def recipe_from(self, base: Recipe) -> Recipe:
        """The recipe with this component; the base itself where only predictions change."""
        if not self.recipe and not self.seed and not self.whole_pictures:
            return base
        return replace(base, name=self.name.replace(" ", "-"), **self.recipe)

    def changes(self) -> dict:
        """What it changes, as it was written."""
        beside = {key: getattr(self, key) for key in (*_BESIDE, "seed")}
        return self.recipe | {key: value for key, value in beside.items() if value}

    def outcome(
        self, predictions: pd.DataFrame, validation: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Both tables of its runs (one model's) after what it does with predictions, by its name.
        For the validation part a correction is fitted on the other subjects there."""
        if self.smooth:
            predictions, validation = (smoothed(t, self.smooth) for t in (predictions, validation))
        if self.correct:
            predictions = apply_corrections(predictions, corrections(validation))
            validation = corrected_across_subjects(validation)
        return predictions.assign(recipe=self.name), validation.assign(recipe=self.name)


def read_components(values: Mapping[str, Mapping]) -> list[Component]:
    """Components as a notebook's parameter gives them, {name: {field: value}}; a UserError names
    what no component can change, or one that changes nothing. {"seeds": n} are n components, the
    placebos "NAME 1" to "NAME n"."""
    components = []
    known = [key for key in Recipe.__dataclass_fields__ if key not in _NOT_OF_COMPONENTS]
    for name, changes in values.items():
        if "seeds" in changes:
            components += _placebos(name, changes)
            continue
        beside = {key: changes[key] for key in _BESIDE if key in changes}
        recipe = {key: value for key, value in changes.items() if key not in beside}
        for key in recipe:
            if key in _NOT_OF_COMPONENTS:
                raise UserError(
                    f"component {name!r} changes {key!r}; change it for all components alike."
                )
            if key not in known:
                raise UserError(
                    f"component {name!r} changes {key!r}, which no recipe has; a component may "
                    f"change {', '.join(known)}, {', '.join(_BESIDE)} or seeds."
                )
        component = Component(name, recipe, **beside)
        if not component.changes():
            raise UserError(f"component {name!r} changes nothing; leave it out.")
        component.recipe_from(Recipe())  # refuses values that cannot be meant
        components.append(component)
    return components


def _placebos(name: str, changes: Mapping) -> list[Component]:
    """The placebos of a component {"seeds": n}."""
    seeds = changes["seeds"]
    if len(changes) > 1 or type(seeds) is not int or seeds < 2:
        raise UserError(
            f"component {name!r} is {dict(changes)}; placebos change nothing but the seed, and "
            'their spread takes two of them: write {"seeds": 5}.'
        )
    return [Component(f"{name} {seed}", seed=seed) for seed in range(1, seeds + 1)]


def together(components: Sequence[Component], name: str = "together") -> Component:
    """Several components as one; a UserError names two that change the same thing."""
    for one, other in combinations(components, 2):
        if both := set(one.changes()) & set(other.changes()):
            raise UserError(
                f"components {one.name!r} and {other.name!r} both change {sorted(both)[0]!r}; only "
                "one of them can be part of a recipe."
            )
    recipe = {key: value for component in components for key, value in component.recipe.items()}
    smooth = max((component.smooth for component in components), default=0.0)
    correct, whole = (any(getattr(c, key) for c in components) for key in _BESIDE[1:])
    return Component(name, recipe, smooth, correct, whole)


def mean_ccc(validation: pd.DataFrame) -> float:
    """CCC on the inner validation parts: the mean over folds and dimensions, of one model."""
    values = [
        metrics.ccc(fold[f"{dimension}_true"], fold[f"{dimension}_pred"])
        for _, fold in validation.groupby("fold")
        for dimension in DIMENSIONS
    ]
    return float(pd.Series(values).mean(skipna=False))


def chosen(components: Sequence[Component], gains: Mapping[str, float]) -> list[Component]:
    """The components with a gain above 0 (in `mean_ccc` on inner validation), largest first. Of
    those that change the same thing the best is chosen; one that changes the seed, never."""
    helped = [one for one in components if gains[one.name] > 0 and not one.seed]
    taken: list[Component] = []
    for component in sorted(helped, key=lambda one: -gains[one.name]):
        used = {key for other in taken for key in other.changes()}
        if not used & set(component.changes()):
            taken.append(component)
    return taken


def seed_luck(results: pd.DataFrame, metric: str, level: float = 0.95) -> dict[str, float]:
    """How far another seed alone may move the mean of a metric over folds, by dimension; empty
    without placebos.

    `results` are those of the recipe and of its k placebos, as of `results.evaluate`; RMSE is taken
    on [-1, 1]. In each of F folds the recipe has been trained k + 1 times, with the same people;
    the variance between these trainings is luck alone, averaged over folds it is v. Folds are
    trained apart, so the mean over them has the variance v / F. Two such means, of different seeds,
    differ by the square root of 2 v / F, and by at most t times that with a probability of `level`,
    where t is Student's with k F degrees of freedom: with few placebos v is known badly, and t is
    large.
    """
    rows = results[(results["metric"] == metric) & (results["scale"] == UNIT_SCALE)]
    rows = rows[rows["fold"] != MEAN]
    luck = {}
    for dimension, of in rows.groupby("dimension", sort=False):
        folds = of.groupby("fold")["value"]
        freedom = int((folds.size() - 1).sum())
        if freedom == 0:  # the recipe alone
            continue
        # A metric that is undefined for one training is undefined, not that of the others.
        variances = folds.agg(lambda values: np.var(values.to_numpy(), ddof=1))
        between = Spread(2 * variances.mean(skipna=False) / len(variances), freedom)
        luck[dimension] = between.half_width(level)
    return luck


def verdicts(differences: pd.DataFrame, luck: Mapping[str, float] | None = None) -> dict[str, str]:
    """What each component did, by intervals that hold for all of them together.

    `differences` are those of one metric to the recipe without the component, as of
    `results.differences` at a level made for so many comparisons. `luck` is how far another seed
    alone may move the metric, by dimension; a difference within that is sure for these trainings,
    but no reason to prefer a recipe. Gives, by name, "paid", "harmed", "both" (one dimension each),
    "less than luck" or "nothing shown".
    """
    by_name = {}
    for name, rows in differences.groupby("recipe", sort=False):
        less_is_better = rows["metric"] == "RMSE"
        better = (rows["high"] < 0).where(less_is_better, rows["low"] > 0)
        worse = (rows["low"] > 0).where(less_is_better, rows["high"] < 0)
        luck_of_row = rows["dimension"].map(lambda dimension: (luck or {}).get(dimension, 0))
        beyond = rows["difference"].abs() > luck_of_row  # never, where luck is undefined (nan)
        paid, harmed = bool((better & beyond).any()), bool((worse & beyond).any())
        words = {(True, False): "paid", (False, True): "harmed", (True, True): "both"}
        small = "less than luck" if (better | worse).any() else "nothing shown"
        by_name[str(name)] = words.get((paid, harmed), small)
    return by_name
