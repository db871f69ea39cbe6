"""One plan: from a notebook's (or a profile's) parameters to corpora, folds, recipes and trainings.

Notebooks 03 to 07, `python -m vaaffect train`, the runner and the report all make it from the same
parameters, so what one of them has trained is what the others look for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from ..base import UserError, runs_folder
from ..corpora import Crops, Split, data, leaking_folds, subject_folds, with_fewer_subjects
from ..results import FROM_SCRATCH
from .ablation import Component, read_components
from .many import train_all
from .networks import NETWORK_NAMES, backbone_of
from .pretext import PretextStart, pretext_recipe
from .recipe import Recipe, recipe_for
from .spec import Start, Training
from .starting_weights import WeightsFile, weights_label

SCRATCH = {"none": slice(0), "first": slice(1), "last": slice(-1, None), "all": slice(None)}
KEEP_MODELS = ("first", "all")


@dataclass(frozen=True)
class Plan:
    """What a study trains, and on what. Each field is the parameter of the same name in capitals;
    crops are made, or opened, when they are first asked for."""

    profile: str  # names the folder of the runs
    data: str = "simulated"  # or "real"
    wild: Mapping[str, Any] = field(default_factory=dict)  # fields of the simulated world
    lab: Mapping[str, Any] = field(default_factory=dict)
    size: int = 224  # side of the crops in pixels
    models: Sequence[str] = ()  # names of networks
    folds: int = 5  # by subject
    epochs: int = 1  # of recipes that `per_model` does not say otherwise
    recipe: Mapping[str, Any] = field(default_factory=dict)  # fields of `Recipe` for every network
    per_model: Mapping[str, Mapping] = field(default_factory=dict)  # what differs, by network
    pretext: Mapping[str, Any] = field(default_factory=dict)  # the world of the pretext task
    pretext_epochs: int = 1
    scratch: str = "none"  # models that are trained from random weights too, a key of SCRATCH
    baselines: Sequence[str] = ()  # methods beside the models; the networks among them are trained
    leak_models: Sequence[str] = ()  # of models and baselines, those tried on leaking folds too
    # Of the worlds on which recipes are chosen (`bench recipes`), which no result may be about.
    development_seed: int | None = None
    fold_seed: int = 0  # deals subjects out to folds
    # Of initial weights, batch order and augmentation, a training of each model for each; the first
    # is that of the pretext task and of the baselines too.
    weight_seeds: Sequence[int] = (0,)
    # Proportions of the training subjects of each fold of the wild on which models are trained too.
    train_shares: Sequence[float] = ()
    # Whose weights stay after the test: those of the first fold of the wild, for the live system,
    # or all but those of components. It is no part of a run; a finished run without them is trained
    # again, to the same end.
    keep_models: str = "first"
    # By "wild" and "lab", crops that take the place of those of `data`: to count what is to be done
    # before any are made.
    crops: Mapping[str, Crops] = field(default_factory=dict)

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Plan":
        """The plan of a notebook, from its `globals()`, or of a profile's parameters."""
        names = {f.name: f.name.upper() for f in fields(cls)}
        return cls(**{name: parameters[key] for name, key in names.items() if key in parameters})

    def __post_init__(self) -> None:
        if self.scratch not in SCRATCH:
            known = ", ".join(f'"{name}"' for name in SCRATCH)
            raise UserError(f"SCRATCH is {self.scratch!r}; use one of {known}.")
        if self.keep_models not in KEEP_MODELS:
            raise UserError(f'KEEP_MODELS is {self.keep_models!r}; use "first" or "all".')

        if not all(0 < share < 1 for share in self.train_shares):
            shares = list(self.train_shares)
            raise UserError(f"TRAIN_SHARES is {shares}; use proportions above 0 and below 1.")

    @property
    def runs(self) -> Path:
        """The folder of run folders."""
        return runs_folder(self.profile)

    @cached_property
    def wild_crops(self) -> Crops:
        """Crops of the corpus in the wild."""
        return self.crops.get("wild") or data.wild_crops(self.data, dict(self.wild), self.size)

    @cached_property
    def lab_crops(self) -> Crops:
        """Crops of the corpus of the laboratory."""
        return self.crops.get("lab") or data.lab_crops(self.data, dict(self.lab), self.size)

    @cached_property
    def wild_folds(self) -> list[Split]:
        """Folds by subject of the corpus in the wild."""
        return subject_folds(self.wild_crops.frames, self.folds, seed=self.fold_seed)

    @cached_property
    def lab_folds(self) -> list[Split]:
        """Folds by subject of the corpus of the laboratory."""
        return subject_folds(self.lab_crops.frames, self.folds, seed=self.fold_seed)

    @cached_property
    def leaking(self) -> list[list[Split]]:
        """Folds of the corpus in the wild that keep clips apart but not subjects, and folds that do
        not even keep clips apart."""
        frames, folds, seed = self.wild_crops.frames, self.folds, self.fold_seed
        return [leaking_folds(frames, by, folds, seed=seed) for by in ("clip", "frame")]

    def folds_of(self, on: str) -> list[Split]:
        """Folds by subject of the corpus "wild" or "lab"."""
        return self.wild_folds if on == "wild" else self.lab_folds

    @property
    def networks(self) -> list[str]:
        """The models, then the networks among the baselines."""
        return [*self.models, *(name for name in self.baselines if name in NETWORK_NAMES)]

    @property
    def classical(self) -> list[str]:
        """The baselines that are no networks."""
        return [name for name in self.baselines if name not in NETWORK_NAMES]

    def recipe_of(self, model: str) -> Recipe:
        """How a network is trained; a UserError names what is no recipe, or does not fit it."""
        return recipe_for(model, {**self.recipe, "epochs": self.epochs}, dict(self.per_model))

    @cached_property
    def finetuned(self) -> list[tuple[str, Recipe]]:
        """Each network with its recipe."""
        return [(model, self.recipe_of(model)) for model in self.networks]

    @cached_property
    def from_scratch(self) -> list[tuple[str, Recipe]]:
        """Twins of some models that start from random weights, otherwise alike; the epochs that the
        pretext task took, they have in addition."""
        twins = []
        for model, recipe in self.finetuned[: len(self.models)][SCRATCH[self.scratch]]:
            if recipe.weights == "none":
                continue
            more = self.pretext_epochs if recipe.weights == "pretext" else 0
            name, epochs = f"{recipe.name} {FROM_SCRATCH}", recipe.epochs + more
            twins.append((model, replace(recipe, name=name, weights="none", epochs=epochs)))
        return twins

    @cached_property
    def starts(self) -> dict[tuple[str, str], Start]:
        """By (network, recipe's name), the weights to start from where a pretext task or a file
        gives them; those of a pretext task are learned when the first training needs them."""
        return self.starts_for(self.finetuned)

    def starts_for(self, recipes: Sequence[tuple[str, Recipe]]) -> dict[tuple[str, str], Start]:
        """The same for some (network, recipe) pairs. A network that reads clips starts from its
        backbone's weights; of a pretext task, those of the backbone itself where it is among the
        pairs. UserError: there is no such file."""
        pairs = [(model, recipe) for model, recipe in recipes if recipe.weights == "pretext"]
        first_recipes = dict(reversed(pairs))
        started: dict[tuple[str, str], Start] = {
            (model, recipe.name): WeightsFile.at(recipe.weights_file)
            for model, recipe in recipes
            if recipe.weights_file is not None
        }
        for model, recipe in pairs:
            network = backbone_of(model) or model
            own_recipe = recipe if network == model else first_recipes.get(network, recipe)
            started[model, recipe.name] = PretextStart(
                network, pretext_recipe(own_recipe, self.pretext_epochs), dict(self.pretext),
                self.size, self.weight_seeds[0], self.runs,
            )  # fmt: skip
        return started

    def trainings(self, on: str = "wild", scratch: bool = True) -> list[Training]:
        """Every network on every fold of a corpus ("wild" or "lab"), which then predicts the other
        corpus too; by default with the twins that start from random weights. Baselines are trained
        with the first seed alone."""
        pairs = [*self.finetuned, *(self.from_scratch if scratch else [])]
        return [
            self.training(model, recipe, split, on, weight_seed)
            for weight_seed in self.weight_seeds
            for split in self.folds_of(on)
            for model, recipe in pairs
            if model in self.models or weight_seed == self.weight_seeds[0]
        ]

    def training(
        self, model: str, recipe: Recipe | None = None, split: Split | None = None,
        on: str = "wild", weight_seed: int | None = None,
    ) -> Training:  # fmt: skip
        """One of the trainings; by default the network's own recipe, the first fold and seed. Of
        which the weights are kept, `keep_models` says."""
        recipe = self.recipe_of(model) if recipe is None else recipe
        crops, other = self.wild_crops, self.lab_crops
        if on == "lab":
            crops, other = other, crops
        split = self.folds_of(on)[0] if split is None else split
        return Training(
            model, recipe, crops, split,
            weight_seed=self.weight_seeds[0] if weight_seed is None else weight_seed,
            other_corpora=(other,),
            start=self.starts.get((model, recipe.name)),
            keep_model=self.keep_models == "all" or (on == "wild" and split.fold == 0),
        )  # fmt: skip

    def leaking_trainings(self) -> list[Training]:
        """The models among `leak_models` on every leaking fold."""
        models = [model for model in self.models if model in self.leak_models]
        return [
            replace(self.training(model, split=split), other_corpora=(), keep_model=False)
            for splits in (self.leaking if models else ())  # to cut them takes a second
            for model in models
            for split in splits
        ]

    def smaller_trainings(self) -> list[Training]:
        """The models on parts of the training subjects (`train_shares`) of each fold of the wild,
        with the first seed; whoever validates and is tested stays the same."""
        trainings = [self.training(m, split=s) for s in self.wild_folds for m in self.models]
        frames, seed = self.wild_crops.frames, self.fold_seed
        return [
            replace(
                training, other_corpora=(), keep_model=False,
                recipe=replace(training.recipe, name=share_name(training.recipe.name, share)),
                split=with_fewer_subjects(training.split, frames, share, seed),
            )
            for share in self.train_shares
            for training in trainings
        ]  # fmt: skip

    def train(self, trainings: Sequence[Training]) -> list[Path]:
        """Do these trainings, wherever the environment says; returns their run folders."""
        return train_all(trainings, self.runs)


@dataclass(frozen=True)
class Ablation:
    """Components of a recipe, each tried alone on one network."""

    plan: Plan  # gives corpus, folds and seeds, and how the weights to start from are learned
    model: str
    base: Recipe  # that components are added to
    components: Sequence[Component]
    folds: int  # on how many of the plan's folds they are tried, the first ones

    @classmethod
    def from_parameters(cls, parameters: Mapping[str, Any]) -> "Ablation":
        """As `Plan.from_parameters`; ABLATION_MODEL, ABLATION_FOLDS (the first so many),
        ABLATION_EPOCHS, THESIS and COMPONENTS."""
        plan, model = Plan.from_parameters(parameters), parameters["ABLATION_MODEL"]
        values = {"weights": plan.recipe_of(model).weights, "epochs": parameters["ABLATION_EPOCHS"]}
        base = recipe_for(model, {**parameters["THESIS"], **values}, {})
        folds = parameters["ABLATION_FOLDS"]
        if not 1 <= folds <= plan.folds:
            raise UserError(f"ABLATION_FOLDS is {folds}; use 1 to {plan.folds}, FOLDS.")
        return cls(plan, model, base, read_components(parameters["COMPONENTS"]), folds)

    @property
    def splits(self) -> list[Split]:
        """The folds by subject of the wild on which components are tried."""
        return self.plan.wild_folds[: self.folds]

    @cached_property
    def starts(self) -> dict[tuple[str, str], Start]:
        """By (network, normalisation): a network is used with the one that it learned with."""
        first = self.plan.recipe_of(self.model)
        return self.plan.starts_for([
            (self.model, replace(first, name=scale, normalisation=scale))
            for scale in ("unit", "imagenet", "none")
        ])  # fmt: skip

    @cached_property
    def whole_pictures(self) -> Crops:
        """Whole pictures of the wild, the same rows as the crops."""
        plan = self.plan
        if "wild" in plan.crops:  # which stand for all of them
            return plan.wild_crops
        whole = data.wild_crops(plan.data, dict(plan.wild), plan.size, whole_pictures=True)
        assert whole.frames.equals(plan.wild_crops.frames), "both have the same rows"
        return whole

    def trainings(self) -> list[Training]:
        """The base and each component alone, on each of these folds."""
        tried = [Component("none"), *self.components]
        return [self.training(c, split) for c in tried for split in self.splits]

    def training(self, component: Component, split: Split) -> Training:
        """The training of a component on a fold."""
        recipe = component.recipe_from(self.base)
        start, crops = self.starts.get((self.model, recipe.normalisation)), self.plan.wild_crops
        if component.whole_pictures:
            crops = self.whole_pictures
            if isinstance(start, PretextStart):  # learned on pictures of the same kind
                start = replace(start, whole_pictures=True)
        weight_seed = self.plan.weight_seeds[0] + component.seed
        return Training(self.model, recipe, crops, split, weight_seed=weight_seed, start=start)


def share_name(recipe: str, share: float) -> str:
    """How a recipe is called where it is trained on a part of the training subjects."""
    return f"{recipe}, {100 * share:g} % of the subjects"


def weights_files(parameters: Mapping[str, Any]) -> dict[str, str]:
    """SHA-256 of each file of weights that trainings of a study with these parameters start from,
    by `weights_label`; a UserError where there is no such file."""
    if "RECIPE" not in parameters:
        return {}
    starts = Plan.from_parameters(parameters).starts
    if "ABLATION_MODEL" in parameters:
        starts = starts | Ablation.from_parameters(parameters).starts
    return {
        weights_label(model, start.path): start.key
        for (model, _), start in starts.items()
        if isinstance(start, WeightsFile)
    }


def fold_training(
    parameters: Mapping[str, Any], model: str, fold: int, on: str, weight_seed: int | None = None
) -> Training:
    """The training of one network on one fold, as a study with these parameters does it; a
    UserError where it has no such network or fold."""
    plan = Plan.from_parameters(parameters)
    if model not in plan.networks:
        raise UserError(
            f"profile {plan.profile} has no network {model!r}; it has {', '.join(plan.networks)}."
        )
    if not 0 <= fold < plan.folds:
        raise UserError(f"profile {plan.profile} has no fold {fold}; it has 0 to {plan.folds - 1}.")
    return plan.training(model, split=plan.folds_of(on)[fold], on=on, weight_seed=weight_seed)
