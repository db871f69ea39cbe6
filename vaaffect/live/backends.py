"""From face crops to (valence, arousal), one picture at a time: PyTorch or OpenVINO.

Both take crops as they are cached for training, uint8, and scale them to [-1, 1] themselves.
"""

import importlib.util
import sys
from collections.abc import Callable
from types import ModuleType

import numpy as np
import torch
from torch import Tensor, nn

from ..base import UserError
from ..training import default_device, predict, to_input

BACKENDS = ("torch", "openvino")

Network = Callable[[np.ndarray], np.ndarray]  # (B, S, S, 3) uint8 -> (B, 2) float32 in [-1, 1]


class FromBytes(nn.Module):
    """A network with scaling and clipping: (B, S, S, 3) uint8 RGB -> (B, 2) float32 in [-1, 1]."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> Tensor:
        """As `epoch.predict` does it."""
        return self.model(to_input(crops)).clamp(-1, 1)


def build_network(
    model: nn.Module, size: int, backend: str = "torch", device: torch.device | str | None = None
) -> Network:
    """A model, (B, 3, S, S) in [-1, 1] to (B, 2), ready to predict for crops of `size` S.

    Backend "torch" predicts with the very function that the study uses, on the GPU if there is one;
    "openvino" is faster on a CPU. UserError for a backend or device that is unknown or missing.
    """
    if backend == "openvino":
        if device is not None and torch.device(device).type != "cpu":
            raise UserError(f"OpenVINO runs on the CPU here, not on {device}; use backend torch.")
        return compile_openvino(openvino_model(model, size), openvino_precision())
    if backend != "torch":
        raise UserError(f"unknown backend {backend!r}; use one of {', '.join(BACKENDS)}.")
    device = default_device() if device is None else torch.device(device)
    if device.type == "cuda" and not torch.cuda.is_available():
        raise UserError("there is no GPU that PyTorch can use; leave the device out or use cpu.")
    model = model.to(device, memory_format=torch.channels_last).eval()

    def network(crops: np.ndarray) -> np.ndarray:
        return predict(model, torch.from_numpy(crops), np.arange(len(crops)), device)

    return network


def openvino() -> ModuleType:
    """The OpenVINO package; UserError where it is not installed.

    On import it reports its use to its makers through the package openvino_telemetry, unless that
    is absent. Nothing may leave the machine, so it is made absent.
    """
    if importlib.util.find_spec("openvino") is None:
        raise UserError('OpenVINO is not installed; pip install -e ".[live]", or use torch.')
    if "openvino" not in sys.modules:
        sys.modules.setdefault("openvino_telemetry", None)  # makes its import fail
    import openvino

    return openvino


def openvino_model(model: nn.Module, size: int):
    """A network as an `openvino.Model`: input `crop` (1, S, S, 3) uint8, output `va` (1, 2)."""
    ov = openvino()
    crop = torch.zeros(1, size, size, 3, dtype=torch.uint8)
    program = torch.export.export(FromBytes(model.cpu().eval()), (crop,))
    converted = ov.convert_model(program)
    converted.reshape([1, size, size, 3])  # fixed, so that every buffer is planned ahead
    converted.input(0).get_tensor().set_names({"crop"})
    converted.output(0).get_tensor().set_names({"va"})
    return converted


def openvino_precision() -> str:
    """ "bf16" where the processor computes with it, else "f32"."""
    able = openvino().Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return "bf16" if "BF16" in able else "f32"


def compile_openvino(model, precision: str) -> Network:
    """An `openvino.Model` compiled for the least latency on the CPU, in "f32" or "bf16"."""
    settings = {
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_PRECISION_HINT": precision,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
    request = openvino().Core().compile_model(model, "CPU", settings).create_infer_request()

    def network(crops: np.ndarray) -> np.ndarray:
        predicted = [request.infer([crop[None]])[0].copy() for crop in crops]
        return np.concatenate(predicted) if predicted else np.empty((0, 2), np.float32)

    return network
