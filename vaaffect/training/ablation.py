"""Pieces that may be added to a recipe: each a name and what it changes, so an ablation is data.

    {"CCC loss": {"loss": "ccc"}, "smoothing": {"smooth": 10}, "gain and offset": {"correct": True}}

A piece changes fields of the recipe (see `recipe.Recipe`), or what is done with the predictions
afterwards (`smooth`, `correct`; see `postprocessing.py`), or only the `seed`, to show between-seed
variation.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from itertools import combinations

import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from ..results import apply_corrections, corrected_across_subjects, corrections, metrics, smoothed
from .recipe import Recipe

_NOT_OF_PIECES = ("name", "epochs", "weights")  # the same for all, or it is another comparison


@dataclass(frozen=True)
class Component:
    """One piece.

    Attributes:
        name: how tables call it.
        recipe: fields of recipes.Recipe, with their new values.
        smooth: frames over which predictions are smoothed within a clip; 0 does not.
        correct: whether gain and offset are corrected, as fitted on inner validation.
        seed: what is added to the training's seed.
    """

    name: str
    recipe: dict = field(default_factory=dict)
    smooth: float = 0.0
    correct: bool = False
    seed: int = 0

    def recipe_from(self, base: Recipe) -> Recipe:
        """The recipe with this piece; the base itself where only predictions change."""
        if not self.recipe and not self.seed:
            return base
        return replace(base, name=self.name.replace(" ", "-"), **self.recipe)

    def changes(self) -> dict:
        """What it changes, as it was written."""
        own = {"smooth": self.smooth, "correct": self.correct, "seed": self.seed}
        return self.recipe | {name: value for name, value in own.items() if value}

    def outcome(
        self, predictions: pd.DataFrame, validation: pd.DataFrame
    ) -> tuple[pd.DataFrame, pd.DataFrame]:
        """Both tables of this piece's runs after what it does with predictions, under its name.

        A correction is fitted on the validation predictions of the fold. For the validation part
        itself, which pieces are chosen by, it is fitted on the other people there.

        Args:
            predictions, validation: as of `predictions.read_predictions`, one model's.
        """
        if self.smooth:
            predictions, validation = (smoothed(t, self.smooth) for t in (predictions, validation))
        if self.correct:
            predictions = apply_corrections(predictions, corrections(validation))
            validation = corrected_across_subjects(validation)
        return predictions.assign(recipe=self.name), validation.assign(recipe=self.name)


def read_components(given: Mapping[str, Mapping]) -> list[Component]:
    """Pieces as a notebook's parameter gives them: {name: {what: value}}.

    Raises:
        UserError: a key that no recipe and no piece has, or one that a piece must not change; a
            value that the recipe refuses; a piece that changes nothing.
    """
    pieces = []
    for name, changes in given.items():
        own = {key: changes[key] for key in ("smooth", "correct", "seed") if key in changes}
        recipe = {key: value for key, value in changes.items() if key not in own}
        for key in recipe:
            if key not in Recipe.__dataclass_fields__:
                known = ", ".join(k for k in Recipe.__dataclass_fields__ if k not in _NOT_OF_PIECES)
                raise UserError(
                    f"piece {name!r} changes {key!r}, which no recipe has; a piece may change "
                    f"{known}, smooth, correct or seed."
                )
            if key in _NOT_OF_PIECES:
                raise UserError(f"piece {name!r} changes {key!r}; change it for all pieces alike.")
        piece = Component(name, recipe, **own)
        if not piece.changes():
            raise UserError(f"piece {name!r} changes nothing; leave it out.")
        piece.recipe_from(Recipe())  # refuses values that cannot be meant
        pieces.append(piece)
    return pieces


def together(pieces: Sequence[Component], name: str = "together") -> Component:
    """Several pieces as one.

    Raises:
        UserError: two of them change the same thing.
    """
    for one, other in combinations(pieces, 2):
        if both := set(one.changes()) & set(other.changes()):
            raise UserError(
                f"pieces {one.name!r} and {other.name!r} both change {sorted(both)[0]!r}; only one "
                "of them can be part of a recipe."
            )
    recipe = {key: value for piece in pieces for key, value in piece.recipe.items()}
    smooth = max((piece.smooth for piece in pieces), default=0.0)
    return Component(name, recipe, smooth, any(piece.correct for piece in pieces))


def mean_ccc(validation: pd.DataFrame) -> float:
    """CCC on the inner validation parts: the mean over folds and dimensions, of one model."""
    return float(
        pd.Series(
            [
                metrics.ccc(of[f"{dimension}_true"], of[f"{dimension}_pred"])
                for _, of in validation.groupby("fold")
                for dimension in DIMENSIONS
            ]
        ).mean(skipna=False)
    )


def chosen(pieces: Sequence[Component], gains: Mapping[str, float]) -> list[Component]:
    """The pieces that helped on inner validation; of those that change the same thing, the best.

    Args:
        pieces: to choose from; one that changes the seed alone is never chosen.
        gains: {name: what the piece adds to `mean_ccc` of the recipe without it}; nan never helped.

    Returns:
        Those with a gain above 0 that do not get in each other's way, largest gain first.
    """
    helped = [piece for piece in pieces if gains[piece.name] > 0 and not piece.seed]
    taken: list[Component] = []
    for piece in sorted(helped, key=lambda piece: -gains[piece.name]):
        used = {key for other in taken for key in other.changes()}
        if not used & set(piece.changes()):
            taken.append(piece)
    return taken


def farther_ends(differences: pd.DataFrame, metric: str) -> dict[str, float]:
    """How far a placebo may move a metric: the farther end of its interval, by dimension.

    Args:
        differences: of placebos, as of `results.differences`; several count as the farthest.
        metric: "CCC" or "RMSE".
    """
    of = differences[differences["metric"] == metric]
    far = of[["low", "high"]].abs().max(axis=1)
    return far.groupby(of["dimension"]).max().to_dict()


def verdicts(differences: pd.DataFrame, luck: Mapping[str, float] | None = None) -> dict[str, str]:
    """What each piece did, by intervals that hold for all of them together.

    Args:
        differences: of one metric to the recipe without the piece, as of `results.differences`
            at a level that was made for so many comparisons; columns recipe, dimension, metric,
            difference, low, high.
        luck: {dimension: how far another seed alone may move the metric}; a difference within that
            is sure for these trainings, but no reason to prefer a recipe.

    Returns:
        {name: "paid", "harmed", "both" (one dimension each), "less than luck" or "nothing shown"}.
    """
    found = {}
    for name, of in differences.groupby("recipe", sort=False):
        less_is_better = of["metric"] == "RMSE"
        better = (of["high"] < 0).where(less_is_better, of["low"] > 0)
        worse = (of["low"] > 0).where(less_is_better, of["high"] < 0)
        luck_of = of["dimension"].map(lambda dimension: (luck or {}).get(dimension, 0))
        beyond = of["difference"].abs() > luck_of  # never, where luck is undefined (nan)
        paid, harmed = bool((better & beyond).any()), bool((worse & beyond).any())
        words = {(True, False): "paid", (False, True): "harmed", (True, True): "both"}
        small = "less than luck" if (better | worse).any() else "nothing shown"
        found[str(name)] = words.get((paid, harmed), small)
    return found
