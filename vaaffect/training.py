"""Training one network on one fold: a plain loop, resumable, one folder per training.

The crops stay on the device as uint8; a batch is gathered, flipped, normalised to [-1, 1] and
laid out channels-last there. Nothing is read back from the device within an epoch.
The result is a run folder (`runs.py`).
"""

import ctypes
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import Tensor, nn

from . import distributed
from .crops import Crops
from .errors import UserError
from .models import build_model
from .predictions import prediction_table
from .progress import report_epoch
from .runs import finish_run, is_finished, load_checkpoint, run_name, save_checkpoint
from .splits import Split, assert_disjoint

VERSION = 3  # change it when the same configuration would train differently


@dataclass(frozen=True)
class Recipe:
    """How a network is trained. The defaults are the thesis's (section 4.1) for VGG11-bn.

    Attributes:
        name: how tables call the recipe.
        epochs: passes over the training rows.
        batch_size: images per step; a last, smaller batch is left out of the epoch.
        optimizer: "sgd", or "adamw" (Loshchilov & Hutter 2019), which needs fewer epochs.
        lr: learning rate (the largest one, if it is scheduled).
        momentum: of SGD, in PyTorch's form v <- momentum v + gradient.
        weight_decay: SGD's L2 penalty, or AdamW's decoupled decay.
        schedule: "constant", or "one-cycle": linear warm-up over a fifth, then cosine to zero.
        flip: mirror each training image with probability one half.
        shift: largest random shift (of half the crop's side) and zoom, as a share.
        jitter: largest random change of brightness and of contrast, as a share.
        weights: "imagenet", or "none" for training from scratch.
    """

    name: str = "thesis"
    epochs: int = 190
    batch_size: int = 20
    optimizer: str = "sgd"
    lr: float = 0.001
    momentum: float = 0.9
    weight_decay: float = 0.0
    schedule: str = "constant"
    flip: bool = False
    shift: float = 0.0
    jitter: float = 0.0
    weights: str = "none"

    def __post_init__(self) -> None:
        if self.schedule not in ("constant", "one-cycle"):
            raise UserError(f'unknown schedule {self.schedule!r}; use "constant" or "one-cycle".')
        if self.optimizer not in ("sgd", "adamw"):
            raise UserError(f'unknown optimizer {self.optimizer!r}; use "sgd" or "adamw".')
        if self.epochs < 1 or self.batch_size < 2:
            raise UserError("a recipe needs epochs >= 1 and batch_size >= 2.")


@dataclass
class Progress:
    """Everything a resumed training needs besides the weights; stored in each checkpoint."""

    epoch: int = 0  # epochs finished
    best_epoch: int = 0
    best_val: float = float("inf")
    history: list[dict] = field(default_factory=list)


def recipe_for(model: str, base: dict, per_model: dict) -> Recipe:
    """The recipe of one model: `base` with what `per_model[model]` changes.

    Raises:
        UserError: a key that no recipe has.
    """
    values = base | per_model.get(model, {})
    unknown = set(values) - set(Recipe.__dataclass_fields__)
    if unknown:
        known = ", ".join(Recipe.__dataclass_fields__)
        raise UserError(f"unknown recipe key {sorted(unknown)[0]!r}; a recipe has: {known}.")
    return replace(Recipe(), **values)


def default_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes with it, float32 elsewhere.

    A CPU without AVX512-BF16 or AMX emulates bfloat16, slower than float32.
    """
    if device.type == "cuda":
        return torch.bfloat16
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if native else torch.float32


def keep_freed_memory() -> None:
    """Let freed memory stay with this process instead of going back to the kernel (glibc only).

    Gradients and activations are freed and asked for again in every step on a CPU; from the kernel
    they would come back page by page, each zeroed first, which costs VGG11 a quarter of its time.
    """
    try:
        libc = ctypes.CDLL("libc.so.6")
    except OSError:
        return  # another C library, which has its own ways
    mmap_max, trim_threshold = -4, -1  # names of mallopt(3)
    libc.mallopt(mmap_max, 0)
    libc.mallopt(trim_threshold, 2**31 - 1)


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW over all weights; "fused" updates them in one pass over memory."""
    if recipe.optimizer == "adamw":
        return torch.optim.AdamW(
            model.parameters(), recipe.lr, weight_decay=recipe.weight_decay, fused=True
        )
    return torch.optim.SGD(
        model.parameters(), recipe.lr, recipe.momentum, weight_decay=recipe.weight_decay, fused=True
    )


def learning_rate(recipe: Recipe, step: int, steps: int) -> float:
    """The learning rate of one step (0-based) out of `steps`."""
    if recipe.schedule == "constant":
        return recipe.lr
    warm = max(1, steps // 5)
    if step < warm:
        return recipe.lr * (step + 1) / warm
    return recipe.lr * 0.5 * (1 + math.cos(math.pi * (step - warm) / max(1, steps - warm)))


def to_input(images: Tensor) -> Tensor:
    """uint8 crops (B, S, S, 3) -> float network input (B, 3, S, S) in [-1, 1], channels-last.

    The thesis normalises each channel with mean 0.5 and standard deviation 0.5 (section 4.3.2).
    """
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def augment(x: Tensor, recipe: Recipe, generator: torch.Generator) -> Tensor:
    """Random mirroring, shift, zoom, brightness and contrast per image. x: (B, 3, S, S)."""
    # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
    draws = torch.rand(6, len(x), generator=generator).to(x.device)
    signed = 2 * draws - 1
    if recipe.flip:
        x = torch.where(draws[0].view(-1, 1, 1, 1) < 0.5, x.flip(3), x)
    if recipe.shift:
        zoom, right, down = 1 + recipe.shift * signed[1], *(recipe.shift * signed[2:4])
        zero = torch.zeros_like(zoom)
        # From output to input coordinates, which run from -1 to 1 on both axes.
        to_input_x = torch.stack([zoom, zero, right], 1)
        to_input_y = torch.stack([zero, zoom, down], 1)
        grid = nn.functional.affine_grid(
            torch.stack([to_input_x, to_input_y], 1), list(x.shape), align_corners=False
        )
        x = nn.functional.grid_sample(x, grid, padding_mode="border", align_corners=False)
    x = x.contiguous(memory_format=torch.channels_last)
    if recipe.jitter:
        brightness, contrast = recipe.jitter * signed[4:].view(2, -1, 1, 1, 1)
        x = (x * (1 + contrast) + brightness).clamp_(-1, 1)
    return x


@torch.inference_mode()
def predict(
    model: nn.Module, images: Tensor, rows: np.ndarray, device: torch.device, batch_size: int = 128
) -> np.ndarray:
    """Predictions for some rows of a uint8 image tensor.

    Args:
        model: maps (B, 3, S, S) to (B, 2).
        images: (N, S, S, 3) uint8, on any device.
        rows: (n,) row numbers.
        device: where the model is.
        batch_size: images at a time.

    Returns:
        (n, 2) float32 predictions, columns (valence, arousal), clipped to [-1, 1].
    """
    model.eval()
    dtype = autocast_dtype(device)
    parts = []
    for some in torch.from_numpy(np.asarray(rows, np.int64)).split(batch_size):
        x = to_input(images[some.to(images.device)].to(device))
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            parts.append(model(x).float())
    return torch.cat(parts).clamp_(-1, 1).cpu().numpy()


def run_config(
    model: str, recipe: Recipe, crops: Crops, split: Split, seed: int, elsewhere: Sequence[Crops]
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
    keep_model: bool = False,
    checkpoint_seconds: float = 60.0,
    after_epoch: Callable[[Progress], None] | None = None,
) -> Path:
    """Train one network on one fold, choose the epoch on the inner validation part, test once.

    A finished run with the same configuration is returned as it is; an unfinished one goes on from
    its last sound checkpoint and ends with the same predictions as an undisturbed one.

    Args:
        model_name: one of models.NAMES.
        recipe: how to train.
        crops: images and labels.
        split: rows for training, validation and test.
        runs: folder of run folders.
        seed: of initial weights, batch order, augmentation and dropout.
        elsewhere: other corpora, of which every frame is predicted too, after the test.
        keep_model: whether model.pt (the chosen epoch's weights) stays after the test.
        checkpoint_seconds: write a checkpoint at the end of an epoch if the last one is this old.
        after_epoch: called at the end of each epoch.

    Returns:
        The run folder.

    Raises:
        AssertionError: the split's parts share what its `by` says they do not.
        UserError: fewer training rows than a batch, weights that cannot be had, training diverged,
            crops of `elsewhere` of another size.
    """
    assert_disjoint(split, crops.frames)
    for other in elsewhere:
        if other.images.shape[1:] != crops.images.shape[1:]:
            raise UserError(
                f"crops of {other.label} have another size than those of {crops.label}; make both "
                "with the same SIZE."
            )
    config = run_config(model_name, recipe, crops, split, seed, elsewhere)
    run = runs / run_name(config)
    if distributed.from_first(is_finished(run, keep_model)):
        return run
    first = distributed.is_first()  # of several processes (torchrun), which alone writes
    if first:
        run.mkdir(parents=True, exist_ok=True)
        (run / "config.json").write_text(json.dumps(config, indent=1))

    keep_freed_memory()
    device = default_device()
    images, va = resident(crops, device)
    torch.manual_seed(seed)
    weights = None if recipe.weights == "none" else recipe.weights
    model = build_model(model_name, weights, crops.images.shape[1])
    model.to(device, memory_format=torch.channels_last)
    model = distributed.prepare(model)
    optimizer = build_optimizer(model, recipe)
    best = {name: value.clone() for name, value in model.state_dict().items()}
    progress = Progress()
    saved = load_checkpoint(run, device)
    if saved is not None:
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        best, progress = saved["best"], Progress(**saved["progress"])

    written = time.monotonic()
    while progress.epoch < recipe.epochs:
        started = time.monotonic()
        loss = train_epoch(model, optimizer, recipe, images, va, split.train, progress.epoch, seed)
        if not np.isfinite(loss):
            raise UserError(
                f"{run}: the training of {model_name} diverged in epoch {progress.epoch + 1} "
                f"(its loss is {loss}); use a smaller lr than {recipe.lr}."
            )
        error = predict(model, images, split.val, device) - crops.va[split.val]
        val = distributed.from_first(float(np.mean(error**2)))
        progress.epoch += 1
        if val < progress.best_val:
            progress.best_epoch, progress.best_val = progress.epoch, val
            best = {name: value.clone() for name, value in model.state_dict().items()}
        seconds = time.monotonic() - started
        row = {"epoch": progress.epoch, "train_mse": loss, "val_mse": val, "seconds": seconds}
        progress.history.append(row)
        if first:
            pd.DataFrame(progress.history).to_csv(run / "history.csv", index=False)
        what = f"{model_name} fold {split.fold}"
        report_epoch(what, progress.epoch, recipe.epochs, loss, seconds)
        last = progress.epoch == recipe.epochs
        if first and not last and time.monotonic() - written >= checkpoint_seconds:
            state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "best": best}
            save_checkpoint(run, state | {"progress": asdict(progress)}, progress.epoch)
            written = time.monotonic()
        if after_epoch is not None:
            after_epoch(progress)

    if not first:
        distributed.wait_for_first()
        return run
    model.load_state_dict(best)
    tested = [(crops, split.test), *((c, np.arange(len(c.frames))) for c in elsewhere)]
    tables = [
        prediction_table(
            predict(model, torch.from_numpy(c.images), rows, device),  # the only time they are read
            c,
            rows,
            model=model_name,
            recipe=recipe.name,
            train_corpus=crops.label,
            fold=split.fold,
            seed=seed,
            split=split.by,
        )
        for c, rows in tested
    ]
    outcome = {
        "best_epoch": progress.best_epoch,
        "best_val_mse": progress.best_val,
        "seconds": sum(row["seconds"] for row in progress.history),
    }
    table = pd.concat(tables, ignore_index=True)
    finish_run(run, table, outcome, model if keep_model else None)
    distributed.wait_for_first()
    return run


def resident(crops: Crops, device: torch.device) -> tuple[Tensor, Tensor]:
    """Crops (N, S, S, 3) uint8 and labels (N, 2) on the device; on a CPU still memory-mapped."""
    images = torch.from_numpy(crops.images)
    return images.to(device), torch.from_numpy(crops.va).to(device)


def train_epoch(
    model: nn.Module,
    optimizer: torch.optim.Optimizer,
    recipe: Recipe,
    images: Tensor,
    va: Tensor,
    rows: np.ndarray,
    epoch: int,
    seed: int,
) -> float:
    """One pass over the training rows in a random order; returns the mean squared error.

    Order, augmentation and dropout depend on (seed, epoch) alone, so an epoch is the same whether
    or not the training was interrupted before it.
    """
    if len(rows) < recipe.batch_size:
        raise UserError(
            f"{len(rows)} training frames are fewer than one batch of {recipe.batch_size}; "
            "use a smaller batch_size or more clips."
        )
    device = va.device
    epoch_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(epoch_seed)  # dropout
    generator = torch.Generator().manual_seed(epoch_seed)
    order = torch.from_numpy(np.asarray(rows))[torch.randperm(len(rows), generator=generator)]
    batches = order[: len(order) // recipe.batch_size * recipe.batch_size].view(
        -1, recipe.batch_size
    )
    dtype = autocast_dtype(device)
    total = torch.zeros((), device=device)
    model.train()
    for i, batch in enumerate(batches.to(device)):
        optimizer.param_groups[0]["lr"] = learning_rate(
            recipe, epoch * len(batches) + i, recipe.epochs * len(batches)
        )
        x = augment(to_input(images[batch]), recipe, generator)
        mine = distributed.share(len(batch))  # all of it, unless several processes share it
        with torch.autocast(device.type, dtype=dtype, enabled=dtype != torch.float32):
            pred = model(x[mine])
        loss = nn.functional.mse_loss(pred.float(), va[batch][mine]) * (len(pred) / len(batch))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        distributed.sum_gradients(model)
        optimizer.step()
        total += loss.detach()
    return float(distributed.summed(total)) / len(
        batches
    )  # the epoch's only read-back from the device
