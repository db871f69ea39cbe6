"""Training one network on one fold: a plain loop, resumable, one folder per training.

The loop over one epoch is in `epoch.py`; its step, and what makes it fast, in `step.py`; how crops
become batches in `batches.py`; recipes and stopping rules in `recipe.py`; feature extraction in
`frozen_features.py`; the run folder in `run_folder.py`.
"""

import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..base import FEATURES, UserError, held, report_epoch
from ..corpora import Crops, Split, assert_disjoint
from ..results import prediction_table
from . import distributed
from .adapt import adapt
from .averaging import Average
from .batches import Batch, on_device, resident, to_input
from .clip_network import Windows, check_length, rows_of, units
from .epoch import build_optimizer, epoch_losses, predict, train_epoch
from .frozen_features import cached_features
from .networks import Start, build_model, head_of, put_head, start_from
from .recipe import Recipe, check_fits, reason_to_stop, recipe_for, recipes_for
from .run_folder import (
    begin_run,
    finish_run,
    is_finished,
    load_checkpoint,
    read_memory,
    run_name,
    save_checkpoint,
    tidy_run,
    write_history,
    write_memory,
)
from .step import (
    COMPILING,
    GRAPH_UP_TO,
    autocast_dtype,
    default_device,
    fastest_step,
    give_back_memory,
    is_out_of_memory,
    keep_freed_memory,
    worth_compiling,
)

# Beside its own, the names that whoever writes a loop by hand needs too.
__all__ = [
    "Recipe",
    "TrainingProgress",
    "autocast_dtype",
    "build_optimizer",
    "default_device",
    "epoch_losses",
    "keep_freed_memory",
    "predict",
    "recipe_for",
    "recipes_for",
    "resident",
    "run_config",
    "to_input",
    "train",
    "train_epoch",
]

VERSION = 4  # change it when the same configuration would train differently


@dataclass
class TrainingProgress:
    """Everything a resumed training needs besides the weights; stored in each checkpoint."""

    epoch: int = 0  # epochs finished
    best_epoch: int = 0
    best_val: float = float("inf")
    history: list[dict] = field(default_factory=list)
    compiled: bool = False  # by torch.compile


@dataclass
class State:
    """A training between two epochs.

    Attributes:
        network: the whole network; in feature extraction without its head.
        model: what learns: the network, or its head.
        optimizer: of the model's weights.
        best: the model's weights (or their mean) after the best epoch.
        progress: the rest.
        average: the mean of the weights, where the recipe asks for it.
    """

    network: nn.Module
    model: nn.Module
    optimizer: torch.optim.Optimizer
    best: dict[str, Tensor]
    progress: TrainingProgress
    average: Average | None = None


def run_config(
    model: str,
    recipe: Recipe,
    crops: Crops,
    split: Split,
    seed: int,
    elsewhere: Sequence[Crops],
    start: Start | None = None,
) -> dict:
    """Everything that determines the result of a training."""
    device = default_device()
    return {
        "version": VERSION,
        "model": model,
        "recipe": asdict(recipe),
        "data": crops.label,
        "crops": crops.key,
        "image_size": int(crops.images.shape[1]),
        "fold": split.fold,
        "by": split.by,
        "split": split.fingerprint(),
        "elsewhere": [other.key for other in elsewhere],
        "start": start and start.sha256,
        "seed": seed,
        "device": device.type,
        "precision": str(autocast_dtype(device)).removeprefix("torch."),
        "torch": torch.__version__,
    }


def train(
    model_name: str,
    recipe: Recipe,
    crops: Crops,
    split: Split,
    runs: Path,
    *,
    seed: int = 0,
    elsewhere: Sequence[Crops] = (),
    start: Start | None = None,
    keep_model: bool = False,
    checkpoint_seconds: float = 60.0,
    after_epoch: Callable[[TrainingProgress], None] | None = None,
    features: Path = FEATURES,
) -> Path:
    """Train one network on one fold, choose the epoch on the inner validation part, test once.

    A finished run with the same configuration is returned as it is; an unfinished one goes on from
    its last sound checkpoint. On a CPU it ends with the same predictions, bit for bit, as an
    undisturbed one, given the same machine, the same versions of the libraries and the same number
    of threads: the kernels used here are deterministic then. On a GPU cuDNN may choose other
    kernels from one process to the next, so the two agree only up to rounding and what grows of it.

    Where memory runs out, each batch goes through in twice as many parts, and gradients add up (see
    `step.take_step`). The training goes on from its last checkpoint, or from the start; the epochs
    that were whole before are repeated as they were, and the one in which memory ran out is done
    anew. history.csv, memory.json and done.json say since which epoch this holds.

    Args:
        model_name: one of models.NAMES.
        recipe: how to train.
        crops: images and labels.
        split: rows for training, validation and test.
        runs: folder of run folders.
        seed: of initial weights, batch order, augmentation and dropout.
        elsewhere: other corpora, of which every frame is predicted too, after the test.
        start: the weights to start from, for a recipe whose weights are "pretext".
        keep_model: whether model.pt (the chosen epoch's weights) stays after the test.
        checkpoint_seconds: write a checkpoint at the end of an epoch if the last one is this old.
        after_epoch: called at the end of each epoch.
        features: folder of cached features, for recipes that train the head alone.

    Returns:
        The run folder. A process that trains holds it: another one with the same configuration
        waits, and then finds it finished.

    Raises:
        AssertionError: the split's parts share what its `by` says they do not.
        UserError: fewer training rows than a batch, no clip as long as a sequence, a recipe that
            does not fit the model, weights that cannot be had, training diverged,
            crops of `elsewhere` of another size, damaged features, or memory that does not suffice
            for two images at a time.
    """
    assert_disjoint(split, crops.frames)
    check_fits(model_name, recipe)
    if recipe.sequence > 1:
        check_length(crops, split.train, recipe.sequence)
    for other in elsewhere:
        if other.images.shape[1:] != crops.images.shape[1:]:
            raise UserError(
                f"crops of {other.label} have another size than those of {crops.label}; make both "
                "with the same SIZE."
            )
    if (recipe.weights == "pretext") != (start is not None):
        raise UserError(
            f"recipe {recipe.name!r} has weights {recipe.weights!r}, and "
            f"{'none' if start is None else 'weights of a pretext task'} to start from were given; "
            'give `start` for "pretext", and for nothing else.'
        )
    config = run_config(model_name, recipe, crops, split, seed, elsewhere, start)
    run = runs / run_name(config)
    first = distributed.is_first()  # of several processes (torchrun), which alone writes
    with held(run) if first else nullcontext():
        if distributed.from_first(is_finished(run, keep_model)):
            if first:
                tidy_run(run)
            return run
        if first:
            begin_run(run, config)
        distributed.wait_for_first()
        keep_freed_memory()
        torch.backends.cudnn.benchmark = True  # shapes stay the same; without effect on a CPU
        device = default_device()
        source = partial(_source, model_name, recipe, device, features)

        state = None
        while state is None:
            state = _start(model_name, recipe, crops, seed, device, run, start)
            images, va = on_device(source(state, crops), device), _labels(crops, device)
            train_rows, val_rows = (
                units(crops, rows, recipe.sequence, device) for rows in (split.train, split.val)
            )
            what = f"{model_name} fold {split.fold}"
            try:
                _fit(
                    state, recipe, images, va, train_rows, val_rows, seed, run, what,
                    checkpoint_seconds, after_epoch,
                )  # fmt: skip
            except (RuntimeError, MemoryError) as error:
                # One process alone cannot divide the batches of all.
                if not is_out_of_memory(error) or distributed.count() > 1:
                    raise
                epoch, why = state.progress.epoch + 1, str(error).splitlines()[0]
                state = images = va = None
            if state is None:  # outside of `except`, which keeps all tensors of the failed step
                give_back_memory()
                _divide_batches(run, model_name, recipe, epoch, why)

        if not first:
            distributed.wait_for_first()
            return run
        state.model.load_state_dict(state.best)

        def table_of(c: Crops, rows: np.ndarray) -> pd.DataFrame:
            return prediction_table(
                predict(
                    state.model,
                    images if c is crops else on_device(source(state, c), device),
                    units(c, rows, recipe.sequence, device),
                    device,
                ),
                c,
                rows,
                model=model_name,
                recipe=recipe.name,
                train_corpus=crops.label,
                fold=split.fold,
                seed=seed,
                split=split.by,
            )

        # The only time that the test pictures are read.
        tested = [(crops, split.test), *((c, np.arange(len(c.frames))) for c in elsewhere)]
        tables = [table_of(c, rows) for c, rows in tested]
        made = {"predictions": pd.concat(tables, ignore_index=True)}
        made["validation"] = table_of(crops, split.val)
        if recipe.trained == "head":
            put_head(state.network, state.model)
        progress = state.progress
        outcome = {
            "best_epoch": progress.best_epoch,
            "best_val_mse": progress.best_val,
            "epochs": progress.epoch,
            "stopped": reason_to_stop(recipe, progress.history),
            "seconds": sum(row["seconds"] for row in progress.history),
            "parts": read_memory(run),
            "compiled": progress.compiled,
        }
        finish_run(run, made, outcome, state.network if keep_model else None)
        distributed.wait_for_first()
    return run


def _start(
    model_name: str,
    recipe: Recipe,
    crops: Crops,
    seed: int,
    device: torch.device,
    run: Path,
    start: Start | None,
) -> State:
    """The training as its newest checkpoint left it, or before the first epoch."""
    torch.manual_seed(seed)
    weights = "imagenet" if recipe.weights == "imagenet" else None
    network = adapt(build_model(model_name, weights, crops.images.shape[1]), recipe, model_name)
    if start is not None:
        start_from(network, start)
    network.to(device, memory_format=torch.channels_last)
    model = network
    if recipe.trained == "head":
        model = head_of(network)
        put_head(network, nn.Identity())
    model = distributed.with_whole_batch_layers(model)
    optimizer = build_optimizer(model, recipe)
    average = Average(model, recipe) if recipe.averaging != "none" else None
    saved = load_checkpoint(run, device)
    if saved is None:
        return State(network, model, optimizer, _copy(model), TrainingProgress(), average)
    model.load_state_dict(saved["model"])
    optimizer.load_state_dict(saved["optimizer"])
    if average is not None:
        average.load_state(saved["average"])
    progress = TrainingProgress(**saved["progress"])
    return State(network, model, optimizer, saved["best"], progress, average)


def _source(
    model_name: str, recipe: Recipe, device: torch.device, cache: Path, state: State, crops: Crops
) -> np.ndarray:
    """What the model reads of each frame: its picture, or its features."""
    if recipe.trained == "all":
        return crops.images
    return cached_features(state.network, model_name, crops, device, cache)


def _fit(
    state: State,
    recipe: Recipe,
    images: Tensor,
    va: Tensor,
    train_rows: np.ndarray | Windows,
    val_rows: np.ndarray | Windows,
    seed: int,
    run: Path,
    what: str,
    checkpoint_seconds: float,
    after_epoch: Callable[[TrainingProgress], None] | None,
) -> None:
    """Train epoch after epoch until the recipe says stop; `state` follows."""
    model, progress, device = state.model, state.progress, va.device
    divided = read_memory(run)
    truth = va[torch.from_numpy(rows_of(val_rows)).to(device)].cpu().numpy()
    step, step_is_for = None, None
    written = time.monotonic()
    while reason_to_stop(recipe, progress.history) is None:
        started = time.monotonic()
        parts = _parts(divided, progress.epoch + 1)
        if step_is_for != (parts, progress.compiled):
            step_is_for = parts, progress.compiled
            step = fastest_step(
                model, state.optimizer, recipe, parts=parts, compiled=progress.compiled
            )
            if state.average is not None:
                step = partial(_averaged_step, step, state.average)
        loss = train_epoch(
            model, state.optimizer, recipe, images, va, train_rows, progress.epoch, seed, step
        )
        if not np.isfinite(loss):
            raise UserError(
                f"{run}: the training diverged in epoch {progress.epoch + 1} (its loss is {loss}); "
                f"use a smaller lr than {recipe.lr}."
            )
        judged = model
        if state.average is not None:
            state.average.after_epoch(progress.epoch + 1)
            state.average.renew_statistics(images, train_rows, device)
            judged = state.average.current
        error = predict(judged, images, val_rows, device) - truth
        val = distributed.from_first(float(np.mean(error**2)))
        progress.epoch += 1
        if val < progress.best_val:
            progress.best_epoch, progress.best_val = progress.epoch, val
            state.best = _copy(judged)
        seconds = time.monotonic() - started
        progress.history.append(
            {
                "epoch": progress.epoch,
                "train_mse": loss,
                "val_mse": val,
                "seconds": seconds,
                "parts": parts,
            }
        )
        if distributed.is_first():
            write_history(run, progress.history)
        left = recipe.epochs - progress.epoch
        left_seconds = left * median(row["seconds"] for row in progress.history)
        report_epoch(what, progress.epoch, recipe.epochs, loss, seconds, left_seconds)
        if progress.epoch == 1 and recipe.batch_size > GRAPH_UP_TO:
            gain, cost = COMPILING[device.type]
            rate = len(train_rows) / seconds
            worth = worth_compiling(left * len(train_rows), rate, gain, cost)
            progress.compiled = distributed.from_first(worth)
        last = reason_to_stop(recipe, progress.history) is not None
        old = time.monotonic() - written >= checkpoint_seconds
        if distributed.is_first() and old and not last:
            weights = {"model": model.state_dict(), "best": state.best}
            rest = {"optimizer": state.optimizer.state_dict(), "progress": asdict(progress)}
            if state.average is not None:
                rest["average"] = state.average.state()
            save_checkpoint(run, weights | rest, progress.epoch)
            written = time.monotonic()
        if after_epoch is not None:
            after_epoch(progress)


def _averaged_step(step: Callable[[Batch], Tensor], average: Average, batch: Batch) -> Tensor:
    """A step, after which the mean of the weights follows; no part of a recorded graph."""
    error = step(batch)
    average.after_step()
    return error


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _labels(crops: Crops, device: torch.device) -> Tensor:
    return torch.from_numpy(crops.va).to(device)


def _parts(divided: dict[int, int], epoch: int) -> int:
    """In how many parts the batches of an epoch (1-based) go through."""
    return max((parts for since, parts in divided.items() if since <= epoch), default=1)


def _divide_batches(run: Path, model_name: str, recipe: Recipe, epoch: int, why: str) -> None:
    """Double the number of parts from this epoch on, say so, and write it down.

    Raises:
        UserError: a part would be a single image, by which batch normalisation cannot normalise, or
            less than a sequence.
    """
    divided = read_memory(run)
    parts = 2 * _parts(divided, epoch)
    if recipe.batch_size * recipe.sequence // parts < max(2, recipe.sequence):
        raise UserError(
            f"{run}: memory does not suffice to train {model_name} on even two or three images at "
            f"a time ({why}); use a smaller SIZE, a smaller model, or a machine with more memory."
        )
    earlier = {since: n for since, n in divided.items() if since < epoch}
    write_memory(run, earlier | {epoch: parts})
    print(
        f"{run.name}: memory ran out in epoch {epoch} ({why}). From there on each batch of "
        f"{recipe.batch_size} goes through in {parts} parts of at most "
        f"{-(-recipe.batch_size // parts)} images; gradients add up to those of the batch, but "
        "batch normalisation sees one part at a time."
    )
