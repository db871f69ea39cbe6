"""One epoch of a training, and predictions: the loop in the open, without files or rules."""

from functools import partial

import numpy as np
import torch
from torch import Tensor, nn

from ..base import stage
from . import distributed
from .batches import Batch, gather
from .clip_network import Rows, Windows, check_batch, rows_of
from .losses import density_weights
from .recipe import Recipe, learning_rate
from .step import Step, raw_predictions, take_step


def build_optimizer(model: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """SGD or AdamW over all weights; "fused" updates them in one pass over memory."""
    device = next(model.parameters()).device
    # On a GPU a tensor, which a recorded step reads anew each time.
    lr = torch.tensor(recipe.lr, device=device) if device.type == "cuda" else recipe.lr
    weights, decay = model.parameters(), recipe.weight_decay
    if recipe.optimizer == "adamw":
        optimizer = torch.optim.AdamW(weights, lr, weight_decay=decay, fused=True)
    else:
        optimizer = torch.optim.SGD(weights, lr, recipe.momentum, weight_decay=decay, fused=True)
    if device.type == "cpu":
        # There the fused update copies whatever is not contiguous, and back. Channels-last weights
        # are, for as long as it lasts, seen in the order in which they lie in memory.
        optimizer.register_step_pre_hook(lambda stepping, *_: _permute(stepping, (0, 2, 3, 1)))
        optimizer.register_step_post_hook(lambda stepping, *_: _permute(stepping, (0, 3, 1, 2)))
    return optimizer


def _permute(optimizer: torch.optim.Optimizer, axes: tuple[int, ...]) -> None:
    """See the axes of all weights of images, their gradients and the optimizer's state in another
    order; nothing is moved in memory."""
    for parameter in (p for group in optimizer.param_groups for p in group["params"]):
        if parameter.ndim == len(axes) and parameter.grad is not None:
            gradient, parameter.grad = parameter.grad, None  # its shape is that of the weights
            parameter.data = parameter.data.permute(axes)
            parameter.grad = gradient.permute(axes)
            state = optimizer.state.get(parameter, {})
            for key, value in state.items():
                if value is not None and value.ndim == len(axes):
                    state[key] = value.permute(axes)


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate, in place where it is a tensor."""
    for group in optimizer.param_groups:
        if isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = rate


def predict(model: nn.Module, images: Tensor, rows: Rows, device: torch.device) -> np.ndarray:
    """(n, 2) float32 predictions, columns (valence, arousal), clipped to [-1, 1].

    images are (N, S, S, 3) uint8, or (N, D) float32 features, on any device; rows (n,) row numbers,
    or windows of n rows in all.
    """
    return raw_predictions(model, images, rows, device).clamp(-1, 1).cpu().numpy()


@stage("training")
def epoch_losses(
    model: nn.Module, optimizer: torch.optim.Optimizer, recipe: Recipe, images: Tensor, va: Tensor,
    rows: Rows, epoch: int, seed: int, step: Step | None = None,
) -> Tensor:  # fmt: skip
    """One pass over the training rows in a random order; each step's mean squared error.

    They stay on the device, for which nothing waits, and are that whatever the recipe's loss is.
    Order, augmentation and dropout depend on (seed, epoch) alone, so an epoch is the same whether
    or not the training was interrupted before it.

    Args:
        model: the network, or what learns of it.
        images, va: (N, S, S, 3) uint8 crops or (N, D) float features; (N, 2) labels, on the device.
        rows: (n,) training rows, or windows of them (UserError: fewer than a batch); those that do
            not fill a last batch are left out of this epoch.
        epoch, seed: 0-based; of the training.
        step: takes a step and returns its error; by default `step.take_step`.
    """
    in_windows = isinstance(rows, Windows)
    check_batch(len(rows), recipe.batch_size, rows.rows.shape[1] if in_windows else 1)
    step = step or partial(take_step, model, optimizer, recipe)
    device = va.device
    epoch_seed = int(np.random.SeedSequence([seed, epoch]).generate_state(1)[0])
    torch.manual_seed(epoch_seed)  # dropout
    generator = torch.Generator().manual_seed(epoch_seed)
    steps = len(rows) // recipe.batch_size
    shuffled = torch.randperm(len(rows), generator=generator)[: steps * recipe.batch_size]
    shuffled = shuffled.view(steps, recipe.batch_size)
    order = torch.from_numpy(np.asarray(rows.rows if in_windows else rows))[shuffled]
    # Drawn on the CPU whatever the device, so that a seed means the same everywhere.
    draws = torch.rand(steps, 6, recipe.batch_size, generator=generator).to(device)
    device_order = order.to(device)
    labels = va[device_order]
    weights, points = [None] * steps, None
    if recipe.density_weighting:  # from the labels of the training rows, and of no others
        train_rows = torch.from_numpy(rows_of(rows)).to(device)
        weights = va.new_zeros(len(va))
        weights[train_rows] = density_weights(va[train_rows], recipe.density_weighting)
        weights = weights[device_order]
    if in_windows:
        counts = torch.from_numpy(rows.counts / rows.counts.mean()).float()[shuffled].to(device)
        weights = weights * counts if recipe.density_weighting else counts
        points = rows.points
    losses = torch.zeros(steps, device=device)
    model.train()
    for i, pictures in enumerate(gather(images, order, device)):
        set_rate(optimizer, learning_rate(recipe, epoch * steps + i, recipe.epochs * steps))
        joined = None if points is None else points[device_order[i]]
        losses[i] = step(Batch(pictures, labels[i], draws[i], weights[i], joined))
    return distributed.summed(losses)
