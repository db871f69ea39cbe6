"""One training of a study without its notebooks: what `python -m vaaffect train` does.

The parameters are those that the profile gives to the notebook, so the run is the very one that a
study of this profile looks for.
"""

from pathlib import Path

from ..base import UserError, held, paths
from ..corpora import data, subject_folds
from ..study import load_profile, notebook_number, notebook_sources, read_parameters
from . import distributed, pretext
from .loop import train
from .networks import NETWORK_NAMES, backbone_of
from .recipe import recipe_for
from .run_folder import is_finished
from .spec import Training

NOTEBOOKS = {"wild": "04", "lab": "05"}  # which notebook trains on which corpus


def train_fold(profile: str, model: str, fold: int, on: str, seed: int | None = None) -> Path:
    """Train one network of a profile on one of its folds by subject; returns the run folder.

    Args:
        profile: name of a file in the profiles folder.
        model: one of the profile's MODELS, or a network among its BASELINES.
        fold: 0-based.
        on: "wild" or "lab", the corpus to train on; the other one is predicted after the test.
        seed: of weights and batches; by default the first of the profile's SEEDS.

    Raises:
        UserError: no such profile, model or fold.
    """
    # Of several processes one makes the data and the weights to start from; the others wait.
    with held(paths.runs_folder(profile) / "prepared"):
        training = fold_training(profile, model, fold, on, seed)
        runs = paths.runs_folder(profile)
        if not is_finished(runs / training.name, training.keep_model):
            training.starting_weights()
    with distributed.processes():
        return train(training, runs)


def fold_training(profile: str, model: str, fold: int, on: str, seed: int | None) -> Training:
    """The training that `train_fold` does."""
    values = parameters(profile, NOTEBOOKS[on])
    rivals = [name for name in values["BASELINES"] if name in NETWORK_NAMES]
    models, folds = [*values["MODELS"], *rivals], values["FOLDS"]
    if model not in models:
        raise UserError(f"profile {profile} has no model {model!r}; it has {', '.join(models)}.")
    if not 0 <= fold < folds:
        raise UserError(f"profile {profile} has no fold {fold}; it has 0 to {folds - 1}.")
    wild = data.wild_crops(values["DATA"], values["WILD"], values["SIZE"])
    lab = data.lab_crops(values["DATA"], values["LAB"], values["SIZE"])
    here, there = (wild, lab) if on == "wild" else (lab, wild)
    shared, own = values["RECIPE"] | {"epochs": values["EPOCHS"]}, values["PER_MODEL"]
    recipe = recipe_for(model, shared, own)
    # A network that reads clips starts from its backbone as that is trained in this profile.
    seeing = [name for name in models if name in (model, backbone_of(model))]
    starts = pretext.starts(
        [(name, recipe_for(name, shared, own)) for name in seeing],
        values["PRETEXT"],
        values["PRETEXT_EPOCHS"],
        paths.runs_folder(profile),
        size=values["SIZE"],
        seed=values["SEED"],
    )
    split = subject_folds(here.frames, folds, seed=values["SEED"])[fold]
    return Training(
        model,
        recipe,
        here,
        split,
        weight_seed=values["SEEDS"][0] if seed is None else seed,
        other_corpora=(there,),
        start=starts.get((model, recipe.name)),
        keep_model=on == "wild" and fold == 0,
    )


def parameters(profile: str, notebook: str) -> dict:
    """What a study with this profile gives to a notebook, over the notebook's defaults."""
    settings = load_profile(profile)
    (source,) = [path for path in notebook_sources() if notebook_number(path) == notebook]
    defaults = {name: declared.default for name, declared in read_parameters(source).items()}
    return defaults | settings.parameters_for(source)
