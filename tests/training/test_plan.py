"""One plan: the same trainings from the parameters of a notebook, a profile, the command line."""

from dataclasses import replace

import numpy as np
import pytest

from vaaffect.base import UserError
from vaaffect.results import FROM_SCRATCH
from vaaffect.training.checks import check_parameters
from vaaffect.training.order import all_trainings
from vaaffect.training.plan import (
    Ablation,
    Plan,
    fold_training,
)

PARAMETERS = {
    "PROFILE": "p",
    "DATA": "simulated",
    "WILD": {"clips": 24, "subjects": 12, "frames": [2, 3], "seed": 3},
    "LAB": {"sessions": 12, "subjects": 12, "seconds": [3, 3], "seed": 3},
    "SIZE": 32,
    "MODELS": ["vgg_tiny_bn", "resnet10"],
    "FOLDS": 3,
    "EPOCHS": 3,
    "RECIPE": {"name": "r", "batch_size": 4, "weights": "pretext"},
    "PER_MODEL": {"resnet10": {"epochs": 5}, "affwildnet_resnet10": {"sequence": 3}},
    "PRETEXT": {"clips": 20, "subjects": 20, "frames": [2, 2], "seed": 5},
    "PRETEXT_EPOCHS": 1,
    "SCRATCH": "last",
    "BASELINES": ["geometry-ridge", "affwildnet_resnet10"],
    "LEAK_MODELS": ["geometry-ridge", "resnet10"],
    "FOLD_SEED": 0,
    "WEIGHT_SEEDS": [0, 1],
    "RESAMPLES": 20,  # of no concern to a plan
}
ABLATION = {
    "ABLATION_MODEL": "vgg_tiny_bn",
    "ABLATION_FOLDS": 2,
    "ABLATION_EPOCHS": 2,
    "THESIS": {"name": "thesis", "batch_size": 4},
    "COMPONENTS": {"CCC loss": {"loss": "ccc"}, "another seed": {"seeds": 2}},
}


def changed(**values) -> dict:
    return PARAMETERS | values


def test_recipes_come_from_the_shared_one_and_the_networks_own():
    plan = Plan.from_parameters(PARAMETERS)
    assert plan.networks == ["vgg_tiny_bn", "resnet10", "affwildnet_resnet10"]
    assert plan.classical == ["geometry-ridge"]
    recipes = dict(plan.finetuned)
    assert [recipes[name].epochs for name in plan.networks] == [3, 5, 3]
    assert recipes["affwildnet_resnet10"].sequence == 3


@pytest.mark.parametrize(
    ("scratch", "models"),
    [("none", []), ("first", ["vgg_tiny_bn"]), ("last", ["resnet10"]),
     ("all", ["vgg_tiny_bn", "resnet10"])],
)  # fmt: skip
def test_twins_from_scratch_have_the_epochs_of_the_pretext_task_too(scratch, models):
    plan = Plan.from_parameters(changed(SCRATCH=scratch))
    assert [model for model, _ in plan.from_scratch] == models
    for model, recipe in plan.from_scratch:
        assert recipe.name == f"r {FROM_SCRATCH}"
        own = plan.recipe_of(model)
        assert recipe.epochs == own.epochs + plan.pretext_epochs > own.epochs
        assert replace(recipe, name="r", weights="pretext", epochs=own.epochs) == own


def test_there_is_no_twin_of_what_starts_from_random_weights_anyway():
    plan = Plan.from_parameters(changed(RECIPE={"batch_size": 4, "weights": "none"}))
    assert plan.from_scratch == [] and plan.starts == {}


@pytest.fixture
def plan(tiny_crops, monkeypatch) -> Plan:
    """A plan on crops that other tests have too; the laboratory's are the same under another name.

    For every plan, so that those made inside a function have them as well.
    """
    monkeypatch.setattr(Plan, "wild_crops", tiny_crops)
    monkeypatch.setattr(Plan, "lab_crops", replace(tiny_crops, label="lab", key="of the lab"))
    return Plan.from_parameters(PARAMETERS)


def test_models_are_trained_on_every_fold_with_every_seed_and_baselines_with_the_first(plan):
    trainings = plan.trainings("wild")
    assert len(trainings) == (2 + 1) * 3 * 2 + 3  # two models and a twin; a baseline
    baseline = [t.weight_seed for t in trainings if t.model not in plan.models]
    assert baseline == [0] * 3
    assert len({training.name for training in trainings}) == len(trainings)
    assert [t.keep_model for t in trainings] == [t.split.fold == 0 for t in trainings]
    for training in trainings:
        assert training.crops is plan.wild_crops and training.other_corpora == (plan.lab_crops,)
        assert (training.start is None) == training.recipe.name.endswith(FROM_SCRATCH)
    assert len(plan.trainings("lab", scratch=False)) == 2 * 3 * 2 + 3
    assert not any(training.keep_model for training in plan.trainings("lab"))


def test_a_study_trains_first_what_is_worth_most(plan):
    leaking = plan.leaking_trainings()
    assert [(t.model, t.split.by, t.split.fold) for t in leaking] == [
        ("resnet10", by, fold) for by in ("clip", "frame") for fold in range(3)
    ]
    assert not any(t.other_corpora or t.keep_model for t in leaking)
    trainings = all_trainings(PARAMETERS | ABLATION)
    names = [training.name for training in trainings]
    known = [*plan.trainings("wild"), *plan.trainings("lab", scratch=False), *leaking]
    assert set(names) >= {training.name for training in known} and len(names) == len(known) + 8
    two = [(t.model, t.crops.label) for t in trainings[:12]]
    wild = ["vgg_tiny_bn", "resnet10"] * 3
    assert two == [(name, plan.wild_crops.label) for name in wild] + [(n, "lab") for n in wild]
    assert all(t.recipe.name.endswith(FROM_SCRATCH) for t in trainings[12:15])
    assert {t.model for t in trainings[15:21]} == {"affwildnet_resnet10"}
    assert [t.weight_seed for t in trainings[:21]] == [0] * 21
    assert [t.weight_seed for t in trainings[21:36]] == [1] * 15
    assert names[36:42] == [training.name for training in leaking]


def test_notebooks_together_train_each_once_in_the_same_order(plan):
    whole = all_trainings(PARAMETERS | ABLATION)
    without = {key: value for key, value in PARAMETERS.items() if key not in ("LAB", "LEAK_MODELS")}
    components, nothing = without | ABLATION, {"SIDE": 32}
    together = all_trainings(nothing, components, without, PARAMETERS | {"KEEP_MODELS": "all"})
    assert [training.name for training in together] == [training.name for training in whole]
    ours = [training for training in together if training.split.by == "subject"][:36]
    assert all(training.keep_model for training in ours)  # as the last notebook wants it


def test_weights_of_all_folds_and_seeds_stay_where_that_is_wanted(plan):
    every = Plan.from_parameters(PARAMETERS | {"KEEP_MODELS": "all"})
    for on in ("wild", "lab"):
        assert all(training.keep_model for training in every.trainings(on))
        names = [training.name for training in every.trainings(on)]
        assert names == [training.name for training in plan.trainings(on)]  # the same runs
    ablation = Ablation.from_parameters(PARAMETERS | ABLATION | {"KEEP_MODELS": "all"})
    # Nobody uses the networks of components, and among those that are compared they would confuse.
    assert not any(training.keep_model for training in ablation.trainings())


def test_one_fold_is_that_of_the_study(plan):
    names = {training.name for training in plan.trainings("lab")}
    assert fold_training(PARAMETERS, "resnet10", 1, "lab", 1).name in names
    with pytest.raises(UserError, match=r"profile p has no network 'resnet18'; it has vgg_tiny_bn"):
        fold_training(PARAMETERS, "resnet18", 0, "wild")
    with pytest.raises(UserError, match=r"profile p has no fold 3; it has 0 to 2"):
        fold_training(PARAMETERS, "resnet10", 3, "wild")


def test_an_ablation_adds_components_to_the_thesis_recipe(plan):
    ablation = Ablation.from_parameters(PARAMETERS | ABLATION)
    assert (ablation.base.epochs, ablation.base.weights) == (2, "pretext")
    ccc, *placebos = ablation.components
    training = ablation.training(ccc, ablation.plan.wild_folds[1])
    assert training.recipe.loss == "ccc" and training.weight_seed == 0 and training.start
    fold = ablation.plan.wild_folds[1]
    assert [ablation.training(placebo, fold).weight_seed for placebo in placebos] == [1, 2]


def test_models_are_trained_on_parts_of_the_training_subjects_last_of_all(plan):
    few = PARAMETERS | {"TRAIN_SHARES": [0.5, 0.75]}
    smaller = Plan.from_parameters(few).smaller_trainings()
    assert [t.name for t in all_trainings(few | ABLATION)][-12:] == [t.name for t in smaller]
    assert len({t.name for t in smaller}) == 2 * 3 * 2  # shares, folds, models
    people = plan.wild_crops.frames["subject"].to_numpy()
    for training in smaller:
        whole = plan.training(training.model, split=plan.wild_folds[training.split.fold])
        training.check()
        assert np.array_equal(training.split.test, whole.split.test)
        assert training.start == whole.start and training.weight_seed == 0
        share = 0.5 if "50 %" in training.recipe.name else 0.75
        counts = [len(set(people[t.split.train])) for t in (training, whole)]
        assert counts[0] == round(share * counts[1])
        assert not training.other_corpora and not training.keep_model
        assert replace(training.recipe, name="r") == whole.recipe
    assert plan.smaller_trainings() == []


def test_whole_pictures_start_from_weights_that_were_learned_on_whole_pictures(plan, monkeypatch):
    whole = replace(plan.wild_crops, key="whole")
    monkeypatch.setattr(Ablation, "whole_pictures", whole)
    named = {"COMPONENTS": {"whole pictures": {"whole_pictures": True}, "CCC": {"loss": "ccc"}}}
    ablation = Ablation.from_parameters(PARAMETERS | ABLATION | named)
    scenery, ccc = (ablation.training(c, ablation.splits[0]) for c in ablation.components)
    assert scenery.crops is whole and ccc.crops is plan.wild_crops
    assert scenery.start == replace(ccc.start, whole_pictures=True)
    assert scenery.start.key != ccc.start.key and scenery.recipe.name == "whole-pictures"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"SCRATCH": "some"}, "SCRATCH is 'some'; use one of"),
        ({"KEEP_MODELS": "some"}, 'KEEP_MODELS is \'some\'; use "first" or "all"'),
        ({"TRAIN_SHARES": [0.5, 1]}, r"TRAIN_SHARES is \[0.5, 1\]; use proportions"),
        ({"MODELS": ["resnet1"]}, "unknown model 'resnet1'"),
        ({"RECIPE": {"lrr": 1}}, "unknown recipe key 'lrr'"),
        ({"MODELS": ["vit_b_16"], "SIZE": 36}, "multiple of 16"),
        ({"PER_MODEL": {}}, "give its recipe a sequence"),
        ({"PER_MODEL": PARAMETERS["PER_MODEL"] | {"resnet10": {"dropout": 0.2}}}, "no dropout"),
        ({"LEAK_MODELS": ["resnet50"]}, "LEAK_MODELS names resnet50"),
        (ABLATION | {"ABLATION_FOLDS": 4}, "ABLATION_FOLDS is 4; use 1 to 3"),
        (ABLATION | {"COMPONENTS": {"x": {"losss": "ccc"}}}, "changes 'losss'"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_anything_is(values, message):
    with pytest.raises(UserError, match=message):
        check_parameters(changed(**values))


def test_the_networks_of_the_readme_need_nothing_else():
    check_parameters(PARAMETERS | ABLATION)
    check_parameters(changed(MODELS=["convnext_tiny", "efficientnet_b0"], LEAK_MODELS=[]))
