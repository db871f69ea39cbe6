"""How a network is trained: the recipe, its learning rate at each step, and when it stops."""

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import fmean

from ..base import ROOT, UserError
from .losses import LOSSES
from .networks import CLIP, backbone_of

# What weights can be beside the path of a file, and how people are told.
STARTS = {
    "none": "random weights", "imagenet": "ImageNet's weights", "pretext": "the pretext task",
}  # fmt: skip

_CHOICES = {
    "loss": LOSSES,
    "schedule": ("constant", "one-cycle"),
    "optimizer": ("sgd", "adamw"),
    "trained": ("all", "head"),
    "stop": ("epochs", "converged", "early"),
    "normalisation": ("unit", "imagenet", "none"),
    "averaging": ("none", "ema", "swa"),
    "labels": ("unit", "native"),
}


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the thesis's (section 4.1) for VGG11-bn, but for
    the scale of the labels.

    Whatever stops a training, the weights that are kept are those of the epoch with the smallest
    loss, of the kind that is trained, on the inner validation part. The thesis has no such part and
    does not say which epoch's weights it kept; this choice is ours, the same for every rule, so
    that rules can be compared.
    """

    name: str = "thesis"  # how tables call the recipe
    epochs: int = 190  # passes over the training rows, at most
    batch_size: int = 20  # images (or sequences) per step; a last, smaller batch is left out
    optimizer: str = "sgd"  # or "adamw" (Loshchilov & Hutter 2019), which needs fewer epochs
    lr: float = 0.001  # learning rate (the largest one, if it is scheduled)
    momentum: float = 0.9  # of SGD, in PyTorch's form v <- momentum v + gradient
    weight_decay: float = 0.0  # SGD's L2 penalty, or AdamW's decoupled decay
    schedule: str = "constant"  # or "one-cycle": up in a fifth of all epochs, then cosine to zero
    flip: bool = False  # mirror each training image with probability one half
    shift: float = 0.0  # largest random shift (of half the crop's side) and zoom, as a proportion
    jitter: float = 0.0  # largest random change of brightness and of contrast, as a proportion
    # For training from scratch; or "imagenet", or "pretext" (`pretext.py`), or the path of a state
    # dict (`starting_weights.py`), which begins at the project's folder unless it is absolute.
    weights: str = "none"
    trained: str = "all"  # or the "head" alone (feature extraction, thesis section 3.5)
    stop: str = "epochs"  # after all of them; or once "converged", or "early": `reason_to_stop`
    window: int = 10  # epochs over which "converged" averages the training loss
    min_gain: float = 0.01  # proportion by which that average must fall from one window to the next
    patience: int = 10  # epochs that "early" waits for a smaller validation loss
    loss: str = "mse"  # the thesis's mean squared error; "ccc", 1 - concordance; "mse+ccc", the sum
    # What the last layer learns to put out: labels in [-1, 1], or on the corpus's own scale
    # ("native"; AFEW-VA: [-10, 10]), on which the thesis gives its errors and its predictions. With
    # SGD and squared errors that is another training: gradients are ten times as large, which a
    # learning rate of the same size turns into larger steps. Predictions are in [-1, 1] either way.
    labels: str = "unit"
    density_weighting: float = 0.0  # how much more rare labels count, 0 to 1 (`density_weights`)
    # Of pictures: the thesis's [-1, 1]; "imagenet", that of its weights; "none", 0 to 255.
    normalisation: str = "unit"
    dropout: float | None = None  # of all dropout layers; None leaves the network's (VGG's is 0.5)
    averaging: str = "none"  # or a running mean of the weights, "ema" or "swa" (`averaging.py`)
    decay: float = 0.99  # of "ema", per step
    sequence: int = 1  # frames that a network with memory takes in a row (`clip_network.py`)

    def __post_init__(self) -> None:
        for key, known in _CHOICES.items():
            if getattr(self, key) not in known:
                choices = ", ".join(f'"{choice}"' for choice in known)
                raise UserError(f"unknown {key} {getattr(self, key)!r}; use one of {choices}.")
        if not isinstance(self.weights, str) or not self.weights:
            known = ", ".join(f'"{start}"' for start in STARTS)
            raise UserError(
                f"weights is {self.weights!r}; use one of {known}, or the path of a state dict."
            )
        if self.epochs < 1 or self.batch_size < 2 or self.sequence < 1:
            raise UserError("a recipe needs epochs >= 1, batch_size >= 2 and sequence >= 1.")
        if self.window < 1 or self.patience < 1 or not 0 <= self.min_gain < 1:
            raise UserError("a recipe needs window >= 1, patience >= 1 and 0 <= min_gain < 1.")
        if not 0 <= self.density_weighting <= 1:
            raise UserError(f"density_weighting is {self.density_weighting}; use 0 to 1.")
        if self.dropout is not None and not 0 <= self.dropout < 1:
            raise UserError(f"dropout is {self.dropout}; use a share from 0 to below 1, or None.")
        if not 0 < self.decay < 1:
            raise UserError(f"decay is {self.decay}; use a number between 0 and 1, such as 0.99.")
        if self.trained == "head" and (self.flip or self.shift or self.jitter):
            raise UserError(
                f'recipe {self.name!r} trains the "head" on features computed once, so its '
                'pictures cannot change; set flip, shift and jitter to 0, or trained to "all".'
            )
        if self.trained == "head" and self.dropout is not None:
            raise UserError(
                f'recipe {self.name!r} trains the "head", and dropout layers come before it; leave '
                'dropout out, or set trained to "all".'
            )

    @property
    def weights_file(self) -> Path | None:
        """The file of weights to start from, where `weights` is a path; it need not exist."""
        return None if self.weights in STARTS else ROOT / Path(self.weights).expanduser()

    @property
    def start_in_words(self) -> str:
        """What the network starts from; of a file its name, without the folder."""
        file = self.weights_file
        return STARTS[self.weights] if file is None else f"the weights in {file.name}"


def recipe_for(model: str, base: dict, per_model: dict) -> Recipe:
    """The recipe of one model: `base` with what `per_model[model]` changes; checked (UserError)."""
    values = base | per_model.get(model, {})
    unknown = set(values) - set(Recipe.__dataclass_fields__)
    if unknown:
        known = ", ".join(Recipe.__dataclass_fields__)
        raise UserError(f"unknown recipe key {sorted(unknown)[0]!r}; a recipe has: {known}.")
    recipe = replace(Recipe(), **values)
    check_fits(model, recipe)
    return recipe


def check_fits(model: str, recipe: Recipe) -> None:
    """Refuse (UserError) a recipe whose components do not fit a network."""
    if backbone_of(model) is None:
        if recipe.sequence > 1:
            raise UserError(
                f"{model} reads one picture at a time, and recipe {recipe.name!r} has sequences of "
                f"{recipe.sequence} frames; leave sequence out of it, or take {CLIP}{model}."
            )
        return
    if recipe.sequence < 2:
        raise UserError(
            f"{model} reads clips; give its recipe a sequence of 2 frames or more (AffWildNet: 80)."
        )
    if recipe.averaging != "none":
        raise UserError(
            f"{model} reads clips, and the mean of weights (recipe {recipe.name!r}, averaging "
            f"{recipe.averaging!r}) is made for networks that read pictures; leave averaging out."
        )
    if recipe.trained == "head":
        raise UserError(
            f"{model} learns as a whole, and recipe {recipe.name!r} trains the head alone; set "
            'trained to "all", or take a network that reads pictures.'
        )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of one step (0-based) out of `steps`."""
    if recipe.schedule == "constant":
        return recipe.lr
    warm = max(1, steps // 5)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def reason_to_stop(recipe: Recipe, history: Sequence[dict]) -> str | None:
    """Why a training ends after the epochs in `history`; it depends on nothing else.

    "epochs": all are done. "early": the smallest validation loss is `patience` epochs old
    (Prechelt 1998). "converged" is the thesis's rule (section 3.2.4: "at a point of observable
    convergence" rather than going on for "infinitesimal reductions of the error"), which judged by
    eye; here it ends where the squared training error (whatever loss is trained) of the last
    `window` epochs is on average not smaller than that of the `window` before by the proportion
    `min_gain`.
    """
    if len(history) >= recipe.epochs:
        return "epochs"
    if recipe.stop == "converged" and len(history) >= 2 * recipe.window:
        losses = [row["train_mse"] for row in history]
        before = fmean(losses[-2 * recipe.window : -recipe.window])
        now = fmean(losses[-recipe.window :])
        if before - now < recipe.min_gain * before:
            return "converged"
    if recipe.stop == "early" and history:
        losses = [row["val_loss"] for row in history]
        if len(losses) - 1 - losses.index(min(losses)) >= recipe.patience:
            return "early"
    return None
