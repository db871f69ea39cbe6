"""Training one network on one fold: a plain loop, resumable, one folder per training.

What is trained is in `spec.py`, the loop over one epoch in `epoch.py`, its step in `step.py`.
"""

import time
from contextlib import nullcontext
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from statistics import median

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from ..base import FEATURES, UserError, held, report_epoch, stage, write_atomically
from ..corpora import Crops
from ..results import joined, prediction_table
from . import distributed, memory, run_folder
from .adapt import divide_output, fold_scale, new_network
from .averaging import Average
from .batches import on_device
from .clip_network import Rows, rows_of, units
from .epoch import build_optimizer, epoch_losses, predict
from .frozen_features import cached_features
from .losses import loss_between
from .networks import head_of, put_head
from .recipe import reason_to_stop
from .spec import Training
from .starting_weights import start_from
from .step import COMPILING, default_device, fastest_step, waits_for_python, worth_compiling

CHECKPOINT_SECONDS = 60.0  # a checkpoint is written after an epoch if the last one is this old


@dataclass
class TrainingProgress:
    """Everything a resumed training needs besides the weights; stored in each checkpoint."""

    epoch: int = 0  # epochs finished
    best_epoch: int = 0
    best_val: float = float("inf")  # the loss on the inner validation part after that epoch
    history: list[dict] = field(default_factory=list)
    compiled: bool = False  # by torch.compile


@dataclass
class State:
    """A training between two epochs, and what it reads."""

    network: nn.Module  # the whole network; in feature extraction without its head
    model: nn.Module  # what learns: the network, or its head
    optimizer: torch.optim.Optimizer
    average: Average | None  # of the weights, where the recipe asks for it
    images: Tensor  # of all rows of the crops, or their features
    va: Tensor  # of all rows
    train: Rows
    val: Rows
    best: dict[str, Tensor]  # the model's weights (or their mean) after the best epoch
    progress: TrainingProgress = field(default_factory=TrainingProgress)


@stage("training, beside its epochs")
def train(training: Training, runs: Path) -> Path:
    """Train one network on one fold, choose the epoch on the inner validation part, test once.

    A finished run with the same identity is returned as it is, wherever it was trained; an
    unfinished one goes on from its last sound checkpoint. On a CPU it ends with the same
    predictions, bit for bit, as an undisturbed one, given the same machine, versions of libraries
    and number of threads. On a GPU, where cuDNN may choose other kernels each time, the two agree
    up to rounding and what grows of it; so do a GPU and a CPU, and a network that torch.compile has
    made faster, which the time of the first epoch decides. done.json records all of that.

    Where memory runs out, batches are divided (see `memory.py`); history.csv, memory.json and
    done.json say so.

    Returns the run folder, `runs / training.name`. A process that trains holds it: another one with
    the same training waits, and then finds it finished. UserErrors are those of `Training.check`;
    fewer training rows than a batch, weights that cannot be had or do not fit, a training that
    diverged, damaged features, or memory that does not suffice for two images at a time.
    """
    training.check()
    run = runs / training.name
    first = distributed.is_first()  # of several processes (torchrun), which alone writes
    with held(run) if first else nullcontext():
        if distributed.from_first(run_folder.is_finished(run, training.keep_model)):
            if first:
                run_folder.tidy_run(run)
            return run
        weights = training.starting_weights()
        if first:
            run_folder.begin_run(run, training.config())
        distributed.from_first(None)  # has written
        memory.keep_freed_memory()
        torch.backends.cudnn.benchmark = True  # shapes stay the same; without effect on a CPU
        device = default_device()

        state = None
        while state is None:
            state = _start(training, weights, run, device)
            try:
                _fit(state, training, run)
            except (RuntimeError, MemoryError) as error:
                # One process alone cannot divide the batches of all.
                if not memory.is_out_of_memory(error) or distributed.count() > 1:
                    raise
                epoch, why = state.progress.epoch + 1, str(error).splitlines()[0]
                state = None
            if state is None:  # outside of `except`, which keeps all tensors of the failed step
                memory.give_back_memory()
                memory.divide_batches(run, training.model, training.recipe, epoch, why)

        if first:
            _test(training, state, run)
        distributed.from_first(None)  # has written
    return run


def _start(training: Training, weights: Path | None, run: Path, device: torch.device) -> State:
    """The training as its newest checkpoint left it, or before the first epoch."""
    recipe, crops, split = training.recipe, training.crops, training.split
    torch.manual_seed(training.weight_seed)
    network = new_network(training.model, recipe, crops.images.shape[1])
    if weights is not None:
        start_from(network, weights, training.model)
    network.to(device, memory_format=torch.channels_last)
    model = network
    if recipe.trained == "head":
        model = head_of(network)
        put_head(network, nn.Identity())
    divide_output(head_of(network) if model is network else model, training.label_scale)
    model = distributed.with_whole_batch_layers(model)
    optimizer = build_optimizer(model, recipe)
    average = Average(model, recipe) if recipe.averaging != "none" else None
    train, val = (units(crops, r, recipe.sequence, device) for r in (split.train, split.val))
    images, va = _images(training, network, crops, device), torch.from_numpy(crops.va).to(device)
    state = State(network, model, optimizer, average, images, va, train, val, _copy(model))
    saved = run_folder.load_checkpoint(run, device)
    if saved is None:
        return state
    model.load_state_dict(saved["model"])
    rates = [group["lr"] for group in optimizer.param_groups]
    optimizer.load_state_dict(saved["optimizer"])
    # As this device needs them, a tensor or a number, whatever the checkpoint's device needed; each
    # step sets their values.
    for group, rate in zip(optimizer.param_groups, rates, strict=True):
        group["lr"] = rate
    if average is not None:
        average.load_state(saved["average"])
    state.best, state.progress = saved["best"], TrainingProgress(**saved["progress"])
    return state


def _images(training: Training, network: nn.Module, crops: Crops, device: torch.device) -> Tensor:
    """What the model reads of each frame: its picture, or its features."""
    images = crops.images
    if training.recipe.trained == "head":
        images = cached_features(network, training.model, crops, device, FEATURES)
    return on_device(images, device)


def _fit(state: State, training: Training, run: Path) -> None:
    """Train epoch after epoch until the recipe says stop; `state` follows."""
    recipe, seed = training.recipe, training.weight_seed
    model, progress, device = state.model, state.progress, state.va.device
    divided, scale = memory.read_memory(run), training.label_scale
    truth = state.va[torch.from_numpy(rows_of(state.val)).to(device)].cpu().numpy()
    step, step_is_for = None, None
    written = time.monotonic()
    while reason_to_stop(recipe, progress.history) is None:
        started = time.monotonic()
        parts = memory.parts_in(divided, progress.epoch + 1)
        if step_is_for != (parts, progress.compiled):
            step_is_for = parts, compiled = parts, progress.compiled
            step = fastest_step(model, state.optimizer, recipe, parts, compiled, scale)
            if state.average is not None:
                step = partial(state.average.step_and_follow, step)
        losses = epoch_losses(
            model, state.optimizer, recipe, state.images, state.va, state.train,
            progress.epoch, seed, step,
        )  # fmt: skip
        loss = float(losses.double().mean())  # the epoch's only read-back from the device
        if not np.isfinite(loss):
            raise UserError(
                f"{run}: the training diverged in epoch {progress.epoch + 1} (its loss is {loss}); "
                f"use a smaller lr than {recipe.lr}."
            )
        judged = model
        if state.average is not None:
            state.average.after_epoch(progress.epoch + 1)
            state.average.renew_statistics(state.images, state.train, device)
            judged = state.average.current
        pred = predict(judged, state.images, state.val, device)
        val_mse, val = distributed.from_first(_validation(pred, truth, recipe.loss, scale))
        progress.epoch += 1
        if val < progress.best_val:
            progress.best_epoch, progress.best_val = progress.epoch, val
            state.best = _copy(judged)
        seconds = time.monotonic() - started
        row = {"epoch": progress.epoch, "train_mse": loss, "val_mse": val_mse, "val_loss": val}
        progress.history.append(row | {"seconds": seconds, "parts": parts})
        if distributed.is_first():
            table = pd.DataFrame(progress.history).to_csv(index=False)
            write_atomically(run / "history.csv", table)  # a reader sees a whole file
        left = recipe.epochs - progress.epoch
        left_seconds = left * median(row["seconds"] for row in progress.history)
        title = f"{training.model} fold {training.split.fold}"
        report_epoch(title, progress.epoch, recipe.epochs, loss, seconds, left_seconds)
        if progress.epoch == 1 and not waits_for_python(recipe):
            rate = len(state.train) / seconds
            worth = worth_compiling(left * len(state.train), rate, *COMPILING[device.type])
            progress.compiled = distributed.from_first(worth)
        last = reason_to_stop(recipe, progress.history) is not None
        old = time.monotonic() - written >= CHECKPOINT_SECONDS
        if distributed.is_first() and old and not last:
            run_folder.save_checkpoint(run, _checkpoint(state), progress.epoch)
            written = time.monotonic()


def _validation(
    pred: np.ndarray, truth: np.ndarray, loss: str, scale: float
) -> tuple[float, float]:
    """The mean squared error in [-1, 1], and the loss that is trained, of predictions (n, 2)."""
    mse = float(np.mean((pred - truth) ** 2))
    if loss == "mse":
        return mse, scale**2 * mse
    pair = (scale * torch.from_numpy(values) for values in (pred, truth))
    return mse, float(loss_between(*pair, loss))


def _checkpoint(state: State) -> dict:
    return {
        "model": state.model.state_dict(), "best": state.best,
        "optimizer": state.optimizer.state_dict(), "progress": asdict(state.progress),
        "average": state.average and state.average.state(),
    }  # fmt: skip


def _copy(model: nn.Module) -> dict[str, Tensor]:
    return {name: value.clone() for name, value in model.state_dict().items()}


def _test(training: Training, state: State, run: Path) -> None:
    """Predict with the chosen weights, and finish the run: the only time test rows are read."""
    crops, split, recipe, device = training.crops, training.split, training.recipe, state.va.device
    state.model.load_state_dict(state.best)

    def table_of(some: Crops, rows: np.ndarray) -> pd.DataFrame:
        same = some is crops
        images = state.images if same else _images(training, state.network, some, device)
        pred = predict(state.model, images, units(some, rows, recipe.sequence, device), device)
        return prediction_table(
            pred, some, rows, model=training.model, recipe=recipe.name, train_corpus=crops.label,
            fold=split.fold, seed=training.weight_seed, split=split.by,
        )  # fmt: skip

    whole = [(other, np.arange(len(other.frames))) for other in training.other_corpora]
    tested = [table_of(some, rows) for some, rows in [(crops, split.test), *whole]]
    tables = {"predictions": joined(tested)}
    tables["validation"] = table_of(crops, split.val)
    if recipe.trained == "head":
        put_head(state.network, state.model)
    progress = state.progress
    seconds = sum(row["seconds"] for row in progress.history)
    outcome = {
        "best_epoch": progress.best_epoch, "best_val_loss": progress.best_val,
        "best_val_mse": progress.history[progress.best_epoch - 1]["val_mse"],
        "epochs": progress.epoch, "stopped": reason_to_stop(recipe, progress.history),
        "parts": memory.read_memory(run),
        "machine": run_folder.machine() | {"compiled": progress.compiled, "seconds": seconds},
    }  # fmt: skip
    fold_scale(state.network, training.label_scale)
    run_folder.finish_run(run, tables, outcome, state.network if training.keep_model else None)
