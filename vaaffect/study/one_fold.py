"""One training of a study without its notebooks: what `python -m vaaffect train` does.

The parameters are those that the profile gives to the notebook, so the run is the very one that a
study of this profile looks for.
"""

from pathlib import Path
from typing import Any

from ..base import held
from ..training import Plan, check_parameters, distributed, fold_training, is_finished, train
from .profiles import default_values, load_profile, notebook_number, notebook_sources

NOTEBOOKS = {"wild": "04", "lab": "05"}  # which notebook trains on which corpus


def train_fold(
    profile: str, model: str, fold: int, on: str, weight_seed: int | None = None
) -> Path:
    """Train one network of a profile on one of its folds by subject; returns the run folder.

    Args:
        profile: name of a file in the profiles folder.
        model: one of the profile's MODELS, or a network among its BASELINES.
        fold: 0-based.
        on: "wild" or "lab", the corpus to train on; the other one is predicted after the test.
        weight_seed: by default the first of the profile's WEIGHT_SEEDS.

    Raises:
        UserError: no such profile, network or fold; parameters that cannot be trained; fewer GPUs
            than processes (torchrun).
    """
    distributed.take_own_gpu()
    parameters = notebook_parameters(profile, NOTEBOOKS[on])
    check_parameters(parameters)
    runs = Plan.from_parameters(parameters).runs
    # Of several processes (torchrun) one makes the data and the weights; the others wait.
    with held(runs / "prepared"):
        training = fold_training(parameters, model, fold, on, weight_seed)
        if not is_finished(runs / training.name, training.keep_model):
            training.starting_weights()
    with distributed.processes():
        return train(training, runs)


def notebook_parameters(profile: str, number: str) -> dict[str, Any]:
    """What a study with this profile gives to a notebook, over the notebook's defaults."""
    (source,) = [path for path in notebook_sources() if notebook_number(path) == number]
    return default_values(source) | load_profile(profile).parameters_for(source, PROFILE=profile)
