"""What a machine can do at best, and what that allows a training: the roofline of one step.

Rates are measured here, operations and bytes are counted, and the limit is their quotient
(Williams, Waterman & Patterson 2009), with the time of arithmetic and of memory added: a layer's
normalisation must wait for its convolution.
"""

import time
from collections.abc import Callable
from dataclasses import dataclass, fields

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from vaaffect.training.networks import build_model, count_parameters
from vaaffect.training.step import autocast_dtype

# How often each output of a convolution or a linear layer passes through memory in a step where
# normalisation and activation are one pass: forward 4, backward 10, reads and writes.
PASSES = 14
# SGD with momentum, float32: weight and momentum are read and written, the gradient written and
# read, and two bytes of a bfloat16 copy are written and three times read.
BYTES_PER_WEIGHT = 32


@dataclass(frozen=True)
class Ceilings:
    """Measured rates; nan where the machine does not compute in that precision itself.

    Attributes:
        gemm_fp32: matrix product in float32, operations per second (a multiply-add is two).
        gemm_low: the same in bfloat16.
        conv_fp32: 3 x 3 convolution in float32, channels-last, operations per second.
        conv_low: the same in bfloat16.
        copy: bytes per second of a copy larger than the caches, reads and writes added.
    """

    gemm_fp32: float
    gemm_low: float
    conv_fp32: float
    conv_low: float
    copy: float

    def conv(self, precision: str) -> float:
        """Of convolutions in "fp32", or in 16 bits."""
        return self.conv_fp32 if precision == "fp32" else self.conv_low

    def arithmetic(self, precision: str) -> float:
        """The faster of matrix product and convolution: no layer can be faster than both."""
        gemm = self.gemm_fp32 if precision == "fp32" else self.gemm_low
        return max(gemm, self.conv(precision))

    def best(self, other: "Ceilings") -> "Ceilings":
        """The higher rate of two measurements, each."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Ceilings(*(max(pair) for pair in pairs))

    def drift(self, other: "Ceilings") -> float:
        """Largest relative difference between two measurements."""
        pairs = [(getattr(self, f.name), getattr(other, f.name)) for f in fields(self)]
        return max(abs(b / a - 1) for a, b in pairs if a == a)


def measure_ceilings(device: torch.device, seconds: float = 1.0, small: bool = False) -> Ceilings:
    """Measure all rates.

    Args:
        device: where.
        seconds: how long each of the five is repeated; the best one counts.
        small: sizes for a test; the rates are then too low.
    """
    gpu = device.type == "cuda"
    torch.backends.cudnn.benchmark = True  # the fastest algorithm; without effect on a CPU
    side = 256 if small else 8192 if gpu else 2048
    batch = 2 if small else 128 if gpu else 16
    rates = {}
    for name, dtype in (("fp32", torch.float32), ("low", autocast_dtype(device))):
        if name == "low" and dtype == torch.float32:
            rates |= {"gemm_low": float("nan"), "conv_low": float("nan")}
            continue
        a, b = (torch.randn(side, side, device=device).to(dtype) for _ in range(2))
        rates[f"gemm_{name}"] = _rate(2 * side**3, lambda a=a, b=b: a @ b, device, seconds)
        # The layers of VGG and ResNet where most of the work is, with as many channels again: the
        # best of three sizes.
        tries = []
        for channels, side_px in ((128, 56), (256, 28), (512, 28)):
            x = torch.randn(batch, channels, side_px, side_px, device=device)
            x = x.to(dtype, memory_format=torch.channels_last)
            conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False, device=device)
            conv = conv.to(dtype).to(memory_format=torch.channels_last)
            work = 2 * 9 * channels**2 * batch * side_px**2
            tries.append(_rate(work, lambda x=x, conv=conv: conv(x), device, seconds / 3))
        rates[f"conv_{name}"] = max(tries)
    size = (1 if small else 1024 if gpu else 512) * 2**20
    source = torch.zeros(size, dtype=torch.uint8, device=device)
    target = torch.empty_like(source)
    rates["copy"] = _rate(2 * size, lambda: target.copy_(source), device, seconds)
    return Ceilings(**rates)


@torch.inference_mode()
def _rate(work: float, task: Callable[[], object], device: torch.device, seconds: float) -> float:
    """Work per second, of the fastest of several repetitions after the first one."""
    best, until = float("inf"), None
    while until is None or time.perf_counter() < until or best == float("inf"):
        started = time.perf_counter()
        task()
        if device.type == "cuda":
            torch.cuda.synchronize()
        if until is None:
            until = time.perf_counter() + seconds
        else:
            best = min(best, time.perf_counter() - started)
    return work / best


@dataclass(frozen=True)
class Work:
    """What one training step has to do.

    Attributes:
        flop: operations per image, forward and backward.
        outputs: numbers that convolutions and linear layers put out per image.
        weights: trainable weights.
    """

    flop: float
    outputs: int
    weights: int

    def seconds(self, ceilings: Ceilings, precision: str, batch: int) -> float:
        """The least time of an image: arithmetic, then activations, then the weights' share."""
        item = 4 if precision == "fp32" else 2
        moved = PASSES * self.outputs * item + BYTES_PER_WEIGHT * self.weights / batch
        return self.flop / ceilings.arithmetic(precision) + moved / ceilings.copy


def count_work(model_name: str, image_size: int) -> Work:
    """Count the operations of a training step without doing them (on PyTorch's meta device)."""
    model = build_model(model_name, None, image_size).to("meta")
    outputs = 0

    def count(_module: nn.Module, _inputs: object, output: torch.Tensor) -> None:
        nonlocal outputs
        outputs += output[0].numel()

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            module.register_forward_hook(count)
    batch = 2
    x = torch.empty(batch, 3, image_size, image_size, device="meta")
    with FlopCounterMode(display=False) as counter:
        model(x).sum().backward()
    return Work(counter.get_total_flops() / batch, outputs, count_parameters(model))
