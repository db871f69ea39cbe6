"""Crops and a recipe -> run folders with predictions.

Comes in: `Crops`, a `Split`, a `Recipe`, weights to start from. Goes out: a folder per training
with its configuration, history and predictions; many at a time in processes or SLURM jobs.
"""

from . import distributed, losses, pretext
from .ablation import Component, chosen, mean_ccc, seed_luck, together, verdicts
from .batches import resident, to_input
from .checks import (
    can_be_fetched,
    check_parameters,
    fetch_imagenet,
    imagenet_fault,
    imagenet_file,
    imagenet_networks,
    parameter_faults,
)
from .epoch import build_optimizer, epoch_losses, predict
from .fairness import budget_in_words, differing_settings, start_in_words
from .loop import train
from .many import How, train_all
from .networks import NETWORK_NAMES, backbone_of, build_model, count_parameters
from .order import all_trainings
from .plan import (
    Ablation,
    Plan,
    fold_training,
    share_name,
    weights_files,
)  # fmt: skip
from .pretext import targets
from .recipe import STARTS, Recipe
from .run_folder import (
    holds_model,
    is_finished,
    load_model,
    read_config,
    read_done,
    read_histories,
    read_history,
    refuse_clips,
)  # fmt: skip
from .spec import Training
from .speed import measured_speed
from .starting_weights import weights_label
from .step import autocast_dtype, default_device

__all__ = [
    "NETWORK_NAMES", "STARTS", "Ablation", "Component", "How", "Plan", "Recipe", "Training",
    "all_trainings", "autocast_dtype", "backbone_of", "budget_in_words", "build_model",
    "build_optimizer", "can_be_fetched", "check_parameters", "chosen", "count_parameters",
    "default_device", "differing_settings", "distributed", "epoch_losses", "fetch_imagenet",
    "fold_training", "holds_model", "imagenet_fault", "imagenet_file", "imagenet_networks",
    "is_finished", "load_model", "losses", "mean_ccc", "measured_speed", "parameter_faults",
    "predict", "pretext", "read_config", "read_done", "read_histories", "read_history",
    "refuse_clips", "resident", "seed_luck", "share_name", "start_in_words", "targets", "to_input",
    "together", "train", "train_all", "verdicts", "weights_files", "weights_label",
]  # fmt: skip
