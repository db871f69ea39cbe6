"""One step, and what makes it fast; `loop.py` says when it is used.

The parts for CUDA (`FixedStep` with a graph, torch.compile) have not yet been run on a GPU. What
of them does not need one is tested on a CPU.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from ..base import stage
from . import distributed
from .batches import Batch, augment, augment_points, pick, to_input
from .clip_network import Rows, Windows
from .losses import loss_between, mse_loss
from .memory import give_back_memory, is_out_of_memory
from .recipe import Recipe

GRAPH_UP_TO = 64  # images per step; above, a GPU works longer than Python needs to tell it what
# What torch.compile is expected to change: (throughput's factor, seconds it takes). CUDA: 1.39 for
# ResNet152, 98 to 129 s (pytorch issues 111182, 96191); rounded down. CPU: measured with ResNet152
# and VGG11-bn at 224 pixels on two cores, slower than without.
COMPILING = {"cuda": (1.3, 100.0), "cpu": (0.8, 100.0)}

Step = Callable[[Batch], Tensor]  # learns from a batch, and returns its mean squared error


def default_device() -> torch.device:
    """The GPU when there is one, else the CPU."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def autocast_dtype(device: torch.device) -> torch.dtype:
    """bfloat16 where the hardware computes with it, float32 elsewhere."""
    if device.type == "cuda":  # GPUs before Ampere emulate it, slower than float32
        native = torch.cuda.is_bf16_supported(including_emulation=False)
        return torch.bfloat16 if native else torch.float32
    # Other CPUs emulate bfloat16, slower than float32, and compute float16 at a hundredth of that.
    # oneDNN may have been told to use less than the processor has (ONEDNN_MAX_CPU_ISA).
    native = torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()
    used = native and torch.ops.mkldnn._is_mkldnn_bf16_supported()
    return torch.bfloat16 if used else torch.float32


def autocast(device: torch.device) -> torch.autocast:
    """The context in which a network computes, see `autocast_dtype`."""
    # Its cache of converted weights is off: a weight is used once per pass, so it would never be
    # read, and a CUDA graph must not refer to it.
    dtype = autocast_dtype(device)
    return torch.autocast(
        device.type, dtype=dtype, enabled=dtype != torch.float32, cache_enabled=False
    )


def waits_for_python(recipe: Recipe) -> bool:
    """Whether a GPU is done with a step before Python has told it what to do: then recording pays,
    and torch.compile does not. A frame of a sequence is an image like any other."""
    return recipe.batch_size * recipe.sequence <= GRAPH_UP_TO


def worth_compiling(images: int, per_second: float, gain: float, seconds: float) -> bool:
    """Whether torch.compile, which takes so many seconds, saves more: with so many images left to
    train, so many per second without it, and a gain in throughput."""
    return images / per_second * (1 - 1 / gain) > seconds


@stage("prediction")
@torch.inference_mode()
def raw_predictions(
    model: nn.Module, images: Tensor, rows: Rows, device: torch.device, batch_size: int = 128,
    even: bool | None = None,
) -> Tensor:  # fmt: skip
    """(n, D) float32 outputs of a network in eval mode for some rows, on the device.

    Arguments as of `epoch.predict`; batch_size, in pictures, is halved where memory runs out. With
    `even` the last batch reaches back, to be as large as the others; by default on a GPU, where
    cuDNN tries all its algorithms for each new size.
    """
    model.eval()
    even = device.type == "cuda" if even is None else even
    in_windows = isinstance(rows, Windows)
    units = torch.from_numpy(np.asarray(rows.rows if in_windows else rows, np.int64))
    batch_size = max(1, batch_size // units[0].numel())  # from here on, units
    # Rows of images are looked up where those are, rows of landmarks on the device.
    image_rows, device_rows = units.to(images.device), units.to(device)
    done, parts = 0, []
    while done < len(units):
        try:
            back = max(0, done + batch_size - len(units)) if even else 0
            some = slice(max(0, done - back), done + batch_size)
            inputs = [as_input(pick(images, image_rows[some]).to(device))]
            if in_windows:
                inputs.append(rows.points[device_rows[some]])
            with autocast(device):
                parts.append(model(*inputs).float()[done - some.start :])
            done += batch_size
        except (RuntimeError, MemoryError) as error:
            if batch_size == 1 or not is_out_of_memory(error):
                raise
            batch_size //= 2
    return rows.in_order(torch.cat(parts)) if in_windows else torch.cat(parts)


def as_input(images: Tensor) -> Tensor:
    """Crops as `to_input` makes them; features as they are."""
    return images if images.is_floating_point() else to_input(images)


def take_step(
    model: nn.Module, optimizer: Optimizer, recipe: Recipe, batch: Batch, parts: int = 1,
    scale: float = 1.0,
) -> Tensor:  # fmt: skip
    """Predict, compare, take a gradient step; the learning rate is set already.

    `scale` is that of the labels that are learned: errors are multiplied by it before the loss is
    computed, while the model, its last layer divided by it (`adapt.divide_output`), predicts in
    [-1, 1] like the batch's labels.

    Returns the batch's mean squared error in [-1, 1], whatever the loss, so that recipes can be
    compared while they train; still on the device. Where memory is short the batch goes through in
    `parts`, whose gradients, each weighted by its share of the batch, add up to the whole batch's.
    Batch normalisation, concordance and dropout are those of each part.
    """
    optimizer.zero_grad(set_to_none=True)
    total = torch.zeros((), device=batch.va.device)
    whole = len(batch.va)
    # All of it, unless several processes share the batch (torchrun).
    for part in batch.rows(distributed.share(whole)).split(parts):
        inputs = [as_input(part.images)]
        if inputs[0].ndim == 4:  # pictures
            draws = part.draws.repeat_interleave(len(inputs[0]) // len(part.va), 1)
            inputs[0] = augment(inputs[0], recipe, draws)
        if part.points is not None:
            inputs.append(augment_points(part.points, recipe, part.draws))
        with autocast(part.va.device):
            pred = model(*inputs).float()
        share = len(part.va) / whole
        loss = loss_between(scale * pred, scale * part.va, recipe.loss, part.weights) * share
        loss.backward()
        plain = recipe.loss == "mse" and part.weights is None and scale == 1
        total += loss.detach() if plain else mse_loss(pred.detach(), part.va) * share
    distributed.sum_gradients(optimizer)
    optimizer.step()
    return total


def fastest_step(
    model: nn.Module, optimizer: Optimizer, recipe: Recipe, parts: int = 1, compiled: bool = False,
    scale: float = 1.0,
) -> Step:  # fmt: skip
    """`take_step` as it is fastest here: on a CPU as it is; on a GPU recorded, where batches are
    small enough for that to pay; `compiled` by torch.compile into fewer and larger kernels first.
    """
    forward = torch.compile(model) if compiled else model
    step = partial(take_step, forward, optimizer, recipe, parts=parts, scale=scale)
    on_gpu = next(model.parameters()).device.type == "cuda"
    alone = distributed.count() == 1  # a graph would have to record what processes exchange
    if on_gpu and alone and parts == 1 and waits_for_python(recipe):
        return FixedStep(step, model, optimizer, record=True)
    return step


class FixedStep:
    """A step on tensors that keep their addresses, so that CUDA can record it and replay it.

    A ResNet152 step asks for 1500 kernels, one Python call each, for which a GPU waits below about
    64 images; a graph, captured at the first call, asks once. Without `record` the same step runs
    eagerly on the same tensors: that is how it is tested on a CPU.
    """

    def __init__(self, step: Step, model: nn.Module, optimizer: Optimizer, record: bool) -> None:
        self.step, self.model, self.optimizer, self.record = step, model, optimizer, record
        self.batch: Batch | None = None
        self.graph: torch.cuda.CUDAGraph | None = None
        self.loss: Tensor | None = None

    def __call__(self, batch: Batch) -> Tensor:
        if self.batch is None:
            self.batch = batch.clone()
            if self.record:
                self._capture()
        self.batch.copy_(batch)
        if self.graph is None:
            return self.step(self.batch)
        self.graph.replay()
        return self.loss  # overwritten by the next call

    def _capture(self) -> None:
        random = torch.cuda.get_rng_state()  # dropout
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):  # libraries choose their kernels, not to be recorded
            warm_up(self.step, self.batch, self.model, self.optimizer)
        torch.cuda.current_stream().wait_stream(side)
        torch.cuda.set_rng_state(random)
        for group in self.optimizer.param_groups:
            group["capturable"] = True  # AdamW asks for it; its counters are on the GPU anyway
        graph, stream = torch.cuda.CUDAGraph(), torch.cuda.current_stream()
        generator = torch.cuda.default_generators[stream.device_index]
        draws = generator.clone_state()
        try:
            with torch.cuda.graph(graph):
                self.loss = self.step(self.batch)
            self.graph = graph
        except RuntimeError as error:
            # A recorded step keeps all its memory to itself. Where that is too much, an eager one
            # may still fit; if not, the batch is divided as on a CPU.
            if not is_out_of_memory(error):
                raise
        finally:
            for group in self.optimizer.param_groups:
                group["capturable"] = False
        if self.graph is None:  # PyTorch leaves a recording that failed half open
            torch.cuda.set_stream(stream)
            generator.graphsafe_set_state(draws)
            self.loss = None
            self.optimizer.zero_grad(set_to_none=True)
            give_back_memory()


def warm_up(step: Step, batch: Batch, model: nn.Module, optimizer: Optimizer) -> None:
    """Take three steps, then put model and optimizer back as they were, at the same addresses."""
    weights = {name: value.clone() for name, value in model.state_dict().items()}
    counters = {
        (parameter, key): value.clone()
        for parameter, state in optimizer.state.items()
        for key, value in state.items()
        if value is not None
    }
    for _ in range(3):
        step(batch)
    model.load_state_dict(weights)
    for parameter, state in optimizer.state.items():
        for key, value in state.items():
            if value is not None:
                before = counters.get((parameter, key))
                # An optimizer that has not stepped yet begins with zeros.
                value.zero_() if before is None else value.copy_(before)
