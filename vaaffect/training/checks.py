"""What cannot be trained, said before anything is drawn or trained: all of it at once."""

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any
from urllib.request import Request, urlopen

import torch
from torchvision import models as zoo

from ..base import UserError
from . import torch_cache
from .adapt import new_network
from .networks import NETWORK_NAMES, OURS, V1, backbone_of
from .plan import Ablation, Plan
from .recipe import Recipe
from .starting_weights import WeightsFile, fitting

_CHOICES = ("SCRATCH", "KEEP_MODELS")  # that a plan refuses at once
_PATIENCE = 5.0  # seconds
SMALLEST = 16  # pixels; fewer show no face


def check_parameters(parameters: Mapping[str, Any]) -> None:
    """Refuse (UserError) parameters that cannot be trained; see `parameter_faults`."""
    if faults := parameter_faults(parameters):
        raise UserError("\n".join(faults))


def parameter_faults(parameters: Mapping[str, Any]) -> list[str]:
    """Everything in the parameters of a study that cannot be trained, a sentence each.

    `parameters` are those of all notebooks of a study together. Refused are networks, recipes and
    components that do not exist or do not fit each other or the size of the pictures, files of
    weights that are missing or do not fit, models that are to be trained on leaking folds and
    are not in the study, and simulated worlds on which recipes have been chosen.
    """
    if "RECIPE" not in parameters:
        return []  # nothing is trained
    faults: dict[str, None] = {}  # in order, each once

    def tried(function: Callable, *arguments: Any) -> Any:
        try:
            return function(*arguments)
        except UserError as error:
            faults[str(error)] = None
            return None

    values = dict(parameters)
    for name in _CHOICES:  # without those that are wrong the rest can be judged
        if name in values and not tried(Plan.from_parameters, {"PROFILE": "", name: values[name]}):
            del values[name]
    plan = Plan.from_parameters(values)
    if plan.size < SMALLEST:
        faults[f"SIZE is {plan.size}; use {SMALLEST} pixels or more."] = None
        return [*faults]
    if not plan.weight_seeds:
        faults["WEIGHT_SEEDS is empty; name one seed at least."] = None
    faults |= dict.fromkeys(_seen_worlds(plan))
    pairs = [(model, tried(plan.recipe_of, model)) for model in plan.networks]
    sound = all(recipe is not None for _, recipe in pairs)
    pairs += plan.from_scratch if sound else []
    if "ABLATION_MODEL" in values:
        ablation = tried(Ablation.from_parameters, values)
        for component in ablation.components if ablation else ():
            pairs.append((ablation.model, tried(component.recipe_from, ablation.base)))
    fit: set[tuple[str, str]] = set()  # files that were read, which may be large
    for model, recipe in pairs:
        if recipe is not None:
            tried(_check_network, model, recipe, plan.size, fit)
    known = [*plan.models, *plan.baselines]
    for name in plan.leak_models:
        if name not in known:
            faults[
                f"LEAK_MODELS names {name}, which this study does not train; it has "
                f"{', '.join(known)}."
            ] = None
    return [*faults]


def _seen_worlds(plan: Plan) -> Iterator[str]:
    """The simulated worlds on which recipes have been chosen."""
    for name, world in (("WILD", plan.wild), ("LAB", plan.lab)):
        seen = plan.data == "simulated" and world.get("seed", 0) == plan.development_seed
        if seen and world:
            yield (
                f"{name}'s seed is {plan.development_seed}, as DEVELOPMENT_SEED is: recipes were "
                "chosen on that world, so results on it would be too good; give it another seed."
            )


def _check_network(model: str, recipe: Recipe, size: int, fit: set[tuple[str, str]]) -> None:
    with torch.device("meta"):  # the shapes of a network, without its numbers
        network = new_network(model, recipe, size, load=False)
    if recipe.weights_file is not None and (model, recipe.weights) not in fit:
        fitting(network, WeightsFile.at(recipe.weights_file).path, model)
        fit.add((model, recipe.weights))


def imagenet_networks(parameters: Mapping[str, Any], models: Collection[str] | None) -> list[str]:
    """Of which networks a study with these parameters reads ImageNet's weights, each once; of these
    `models` alone, unless they are None. Those of a network that reads clips are its backbone's."""
    values = {name: value for name, value in parameters.items() if name not in _CHOICES}
    plan, found = Plan.from_parameters(values), {}
    names = [*plan.networks, *([parameters["ABLATION_MODEL"]] * ("ABLATION_MODEL" in parameters))]
    for model in names:
        with suppress(UserError):  # said elsewhere
            name = backbone_of(model) or model
            has_some = name in NETWORK_NAMES and name not in OURS
            wanted = plan.recipe_of(model).weights == "imagenet" and has_some
            if wanted and (models is None or model in models):
                found[name] = None
    return [*found]


def imagenet_file(model: str) -> tuple[str, Path]:
    """Where ImageNet's weights of a network come from, and the file in torch's cache in which they
    are looked for; `model` has some."""
    url = zoo.get_model_weights(backbone_of(model) or model)[V1].url
    return url, torch_cache.place_of(url)


def imagenet_fault(model: str) -> str | None:
    """Why ImageNet's weights of a network cannot be read, a sentence; None where they can."""
    return torch_cache.fault_of(imagenet_file(model)[0], f"the ImageNet weights of {model}")


def fetch_imagenet(model: str) -> None:
    """Download ImageNet's weights of a network into torch's cache; UserError where it fails."""
    torch_cache.fetch(imagenet_file(model)[0], f"the ImageNet weights of {model}")


def can_be_fetched(url: str) -> bool:
    """Whether somebody answers at an address, within some seconds."""
    try:
        with urlopen(Request(url, method="HEAD"), timeout=_PATIENCE) as answer:
            return answer.status == 200
    except (OSError, ValueError):  # no network, no such host, no such file
        return False
