"""Everything that a study trains, in the order of what it is worth."""

from collections.abc import Iterator, Mapping
from typing import Any

from ..results import FROM_SCRATCH
from .plan import Ablation, Plan
from .spec import Training


def all_trainings(*notebooks: Mapping[str, Any]) -> list[Training]:
    """What notebooks with these parameters train, each training once: every network on every fold,
    and every component. (What depends on results comes in the notebooks.)

    In the order of what they are worth, for machines that are lent for minutes: first the models on
    the folds of the wild, then on those of the laboratory, then their twins from random weights,
    the networks among the baselines, further seeds, leaking folds, components, and models on parts
    of the training subjects.
    """
    found: dict[str, tuple[tuple, Training]] = {}
    for parameters in notebooks:
        for worth, training in _by_worth(parameters):
            if training.name not in found or training.keep_model:  # one that is kept serves both
                found[training.name] = worth, training
    return [training for _, training in sorted(found.values(), key=lambda pair: pair[0])]


def _by_worth(parameters: Mapping[str, Any]) -> Iterator[tuple[tuple, Training]]:
    """The trainings of one notebook, and what puts them in order (smaller comes first)."""
    if "RECIPE" not in parameters:
        return  # nothing is trained
    plan = Plan.from_parameters(parameters)
    corpora = [plan.trainings("wild")]
    if "LAB" in parameters:
        corpora.append(plan.trainings("lab", scratch=False))
    for on, trainings in enumerate(corpora):
        for training in trainings:
            scratch = training.recipe.name.endswith(FROM_SCRATCH)
            later_seed = training.weight_seed != plan.weight_seeds[0]
            yield (0, later_seed, training.model not in plan.models, scratch, on), training
    yield from (((1,), training) for training in plan.leaking_trainings())
    if "ABLATION_MODEL" in parameters:
        ablation = Ablation.from_parameters(parameters)
        yield from (((2,), training) for training in ablation.trainings())
    yield from (((3,), training) for training in plan.smaller_trainings())
