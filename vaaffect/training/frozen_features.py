"""Feature extraction: what a network without its last layer says, computed once and kept on disk.

As long as those weights do not change and pictures are not augmented, every epoch would compute the
same features again.
"""

import hashlib
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..base import digest, kept
from ..corpora import Crops
from .spec import learning_code
from .step import raw_predictions


def cached_features(
    backbone: nn.Module, name: str, crops: Crops, device: torch.device, cache: Path
) -> np.ndarray:
    """The features of every crop, from disk where they are, else computed and kept there.

    Args:
        backbone: maps (B, 3, S, S) to (B, D); is put into eval mode.
        name: of the model, for the folder's name.
        crops: the pictures.
        device: where the backbone is.
        cache: folder in which sets of features are kept, each by the backbone's weights, the crops
            and the code.

    Returns:
        (N, D) float32, memory-mapped.

    Raises:
        UserError: as of `base.kept`.
    """
    # Buffers too, which tell how pictures are normalised and are no part of the state dict.
    weights = backbone.state_dict() | dict(backbone.named_buffers())
    key = digest(crops.key, learning_code(), _hash_of(weights))[:16]
    folder = cache / f"{name}-{key}"
    kept(folder, lambda folder: _compute(backbone, crops, device, folder))
    return np.load(folder / "features.npy", mmap_mode="c")


def _hash_of(weights: dict[str, Tensor]) -> str:
    """SHA-256 over the names and values of a network's weights and statistics."""
    sha256 = hashlib.sha256()
    for name, value in weights.items():
        sha256.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        sha256.update(value.detach().cpu().contiguous().numpy())
    return sha256.hexdigest()


def _compute(backbone: nn.Module, crops: Crops, device: torch.device, folder: Path) -> dict:
    rows = np.arange(len(crops.images))
    features = raw_predictions(backbone, torch.from_numpy(crops.images), rows, device)
    np.save(folder / "features.npy", features.cpu().numpy())
    return {"crops": crops.key}
