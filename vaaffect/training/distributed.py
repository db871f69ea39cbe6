"""One training on several GPUs, or several processes: `torchrun --nproc-per-node N ...`.

Every process draws the random numbers of the whole batch and computes with its share of it; losses
and gradients are summed, batch normalisation and dropout are those of the whole batch. So the
training is that of one process, up to rounding. Each one validates; the first alone writes.
"""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from ..base import VARIABLE, UserError

PATIENCE = timedelta(hours=6)  # the others wait while the first one tests and writes


def take_own_gpu() -> None:
    """Of several processes that torchrun has started each takes a GPU, before anything else does:
    else all of them begin on the first. A UserError where they are more than the GPUs."""
    if int(os.environ.get("WORLD_SIZE", "1")) > 1 and torch.cuda.is_available():
        place, count = int(os.environ["LOCAL_RANK"]), torch.cuda.device_count()
        if place >= count:
            raise UserError(f"--nproc-per-node is above the {count} GPUs here; use {count}.")
        torch.cuda.set_device(place)


@contextmanager
def processes() -> Iterator[None]:
    """Join the processes that torchrun has started, if it has."""
    if int(os.environ.get("WORLD_SIZE", "1")) == 1:
        yield
        return
    # Small things go by CPU.
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    if dist.get_rank() > 0:
        os.environ.pop(VARIABLE, None)  # one of them reports
    try:
        yield
    finally:
        dist.destroy_process_group()


def count() -> int:
    """How many processes train together."""
    return dist.get_world_size() if dist.is_initialized() else 1


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return not dist.is_initialized() or dist.get_rank() == 0


def share(size: int) -> slice:
    """This process's rows of a batch; shares differ by one row at most."""
    if count() == 1:
        return slice(0, size)
    rank = dist.get_rank()
    return slice(size * rank // count(), size * (rank + 1) // count())


def summed(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes; nothing flows back through it."""
    if count() > 1:
        value = value.detach().clone()
        dist.all_reduce(value)
    return value


def summed_through(value: Tensor) -> Tensor:
    """The sum of a tensor over all processes, through which gradients flow back to each."""
    return _SumOverProcesses.apply(value) if count() > 1 else value


def from_first(value: Any) -> Any:
    """The first process's value, in all: what decides must not differ, even in the last bit. The
    others wait here for the first one."""
    if count() > 1:
        values = [value]
        dist.broadcast_object_list(values, 0)
        value = values[0]
    return value


def sum_gradients(optimizer: torch.optim.Optimizer) -> None:
    """Replace the gradient of every weight by its sum over the processes: that of the batch's
    mean loss, of which each process has a part."""
    if count() == 1:
        return
    # One message for all: a network has hundreds of tensors, most of them small.
    weights = [weight for group in optimizer.param_groups for weight in group["params"]]
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    flat = torch.cat([gradient.flatten() for gradient in gradients])
    dist.all_reduce(flat)
    parts = flat.split([gradient.numel() for gradient in gradients])
    for gradient, part in zip(gradients, parts, strict=True):
        gradient.copy_(part.view_as(gradient))


def with_whole_batch_layers(model: nn.Module) -> nn.Module:
    """Make batch normalisation and dropout those of the whole batch; state dicts stay the same."""
    if count() == 1:
        return model
    if torch.cuda.is_available():  # it has no version for CPUs
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)
    for module in model.modules():
        # The class is all that changes: parameters, buffers and hooks stay where they are.
        if type(module) is nn.BatchNorm2d:
            module.__class__ = WholeBatchNorm
        elif type(module) is nn.Dropout:
            module.__class__ = WholeBatchDropout
    return model


class _SumOverProcesses(torch.autograd.Function):
    """A sum that gradients flow back through: each process's part is in every process's loss.
    (torch.distributed.nn has one, deprecated.)"""

    @staticmethod
    def forward(_: Any, value: Tensor) -> Tensor:
        return summed(value)

    @staticmethod
    def backward(_: Any, gradient: Tensor) -> Tensor:
        return summed(gradient)


class WholeBatchNorm(nn.BatchNorm2d):
    """Batch normalisation (Ioffe & Szegedy 2015) with the mean and variance over all processes."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, C, H, W), this process's share."""
        if not self.training:
            return super().forward(x)
        dims, shape, values = (0, 2, 3), (1, -1, 1, 1), x.float()
        n = summed(torch.tensor(float(x.numel() / x.shape[1])))
        mean = summed_through(values.sum(dims)) / n
        centred = values - mean.view(shape)
        variance = summed_through(centred.square().sum(dims)) / n
        with torch.no_grad():
            self.num_batches_tracked += 1
            plain_mean = 1 / float(self.num_batches_tracked)  # see `averaging.renew_statistics`
            momentum = plain_mean if self.momentum is None else self.momentum
            self.running_mean.lerp_(mean, momentum)
            self.running_var.lerp_(variance * n / (n - 1), momentum)
        scale = self.weight * torch.rsqrt(variance + self.eps)
        return (centred * scale.view(shape) + self.bias.view(shape)).to(x.dtype)


class WholeBatchDropout(nn.Dropout):
    """Dropout whose mask is drawn for the whole batch, as one process would; each uses its rows.
    With equal shares that is the mask of one process."""

    def forward(self, x: Tensor) -> Tensor:
        """x: (B, ...), this process's share."""
        if not self.training:
            return x
        whole = x.new_ones(len(x) * count(), *x.shape[1:])
        mask = nn.functional.dropout(whole, self.p)
        return x * mask[len(x) * dist.get_rank() :][: len(x)]
