"""Feature extraction: what a network without its last layer says, computed once and kept on disk,
since without augmentation every epoch would compute the same again.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import nn

from ..base import digest, kept
from ..corpora import Crops
from .identity import learning_code
from .step import raw_predictions


def cached_features(
    backbone: nn.Module, name: str, crops: Crops, device: torch.device, cache: Path
) -> np.ndarray:
    """(N, D) float32 features of every crop, memory-mapped; computed where `cache` lacks them.

    Each set is known by the backbone's weights, the crops and the code; `name` is the model's.
    """

    def compute(folder: Path) -> dict:
        rows = np.arange(len(crops.images))
        features = raw_predictions(backbone, torch.from_numpy(crops.images), rows, device)
        np.save(folder / "features.npy", features.cpu().numpy())
        return {"crops": crops.key}

    sha256 = hashlib.sha256()
    # Buffers too, which tell how pictures are normalised and are no part of the state dict.
    for key, value in (backbone.state_dict() | dict(backbone.named_buffers())).items():
        sha256.update(f"{key} {tuple(value.shape)} {value.dtype}".encode())
        sha256.update(value.detach().cpu().contiguous().numpy())
    folder = cache / f"{name}-{digest(crops.key, learning_code(), sha256.hexdigest())[:16]}"
    kept(folder, compute)
    return np.load(folder / "features.npy", mmap_mode="c")
