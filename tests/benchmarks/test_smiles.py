"""`bench smiles`: each experiment changes what it says and nothing else."""

import pytest

from benchmarks import measure
from benchmarks.calibration import parameters_of
from benchmarks.smiles import EXPERIMENTS, trainings
from vaaffect.base import UserError

SMALL = ["WILD.clips=40", "WILD.subjects=20", "WILD.frames=[2, 2]", "WILD.size=[180, 144]",
         "SIZE=32", "FOLDS=2"]  # fmt: skip


def test_an_experiment_is_the_demo_with_one_change():
    parameters = parameters_of("demo", SMALL)
    named = {experiment.name: experiment for experiment in EXPERIMENTS}
    usual = trainings(named["the demo's recipe"], parameters)
    changed = trainings(named["stronger augmentation"], parameters)
    models = len(parameters["MODELS"])
    assert len(changed) == models * 2  # folds, one seed
    assert len(usual) == (models + 1) * 2 * len(parameters["WEIGHT_SEEDS"])  # and a twin
    assert all(training.keep_model for training in (*usual, *changed))
    recipes = {training.model: training.recipe for training in usual if training.start}
    for training in changed:
        assert training.crops.key == usual[0].crops.key
        own, theirs = training.recipe, recipes[training.model]
        differ = {k for k in vars(own) if getattr(own, k) != getattr(theirs, k)}
        assert differ == {"jitter", "shift"}
    assert all(experiment.expected for experiment in EXPERIMENTS[1:])


def test_without_photographs_it_says_what_is_missing(monkeypatch):
    monkeypatch.delenv("VAAFFECT_PEOPLE", raising=False)
    with pytest.raises(UserError, match="VAAFFECT_PEOPLE is not set"):
        list(measure("smiles", False, None))
