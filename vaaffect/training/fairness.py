"""What a comparison of two trainings can show: in which settings they differ, and what was spent.

A comparison of architectures is one of recipes too where their recipes differ; a comparison of
starts, one of budgets. The sentences of the verdicts say so with what is put together here.
"""

from dataclasses import asdict

from .pretext import PretextStart
from .recipe import Recipe
from .spec import Start


def differing_settings(one: Recipe, other: Recipe) -> dict[str, tuple[object, object]]:
    """The settings in which two recipes differ, {field: (of one, of the other)}, but for names."""
    first, second = asdict(one), asdict(other)
    return {
        key: (first[key], second[key])
        for key in first
        if key != "name" and first[key] != second[key]
    }


def start_in_words(recipe: Recipe, start: Start | None) -> str:
    """What a network starts from, and what learning that took: epochs, and on how many faces."""
    if not isinstance(start, PretextStart):
        return recipe.start_in_words
    return (
        f"{recipe.start_in_words} (landmarks of other drawn people, {_epochs(start.recipe)} "
        f"on {start.faces} drawn faces)"
    )


def budget_in_words(recipe: Recipe, twin: Recipe, start: Start | None) -> str:
    """What a network with a start and its twin from random weights were given, a sentence without
    its full stop. What training ImageNet's weights or a file's took is not known here."""
    epochs = f"Both were trained for {_epochs(recipe)} on the labels"
    if twin.epochs != recipe.epochs:
        added = twin.epochs - recipe.epochs
        epochs = (
            f"The network with a start was trained for {_epochs(recipe)} on the labels, its "
            f"twin from random weights for {twin.epochs}, {abs(added)} "
            + ("in addition" if added > 0 else "fewer")
        )
    if isinstance(start, PretextStart):
        pretext = _epochs(start.recipe)
        spent = f"the pretext task's {pretext} on {start.faces} drawn faces come in addition"
        if twin.epochs > recipe.epochs:
            spent = f"the pretext task took {pretext} on {start.faces} drawn faces"
    else:
        spent = f"what training {recipe.start_in_words} took is not counted"
    others = [key for key in differing_settings(recipe, twin) if key not in ("weights", "epochs")]
    more = f"; their recipes also differ in {', '.join(others)}" if others else ""
    return f"{epochs}; {spent}{more}"


def _epochs(recipe: Recipe) -> str:
    return "1 epoch" if recipe.epochs == 1 else f"{recipe.epochs} epochs"
