"""Feature extraction: what a network without its last layer says, computed once and kept on disk.

As long as those weights do not change and pictures are not augmented, every epoch would compute the
same features again.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from ..base import UserError, held, read_manifest, sha256_of, write_atomically
from ..corpora import Crops
from .step import autocast_dtype, raw_predictions

VERSION = 1  # change it when the same backbone and crops would give other features


def cached_features(
    backbone: nn.Module, name: str, crops: Crops, device: torch.device, cache: Path
) -> np.ndarray:
    """The features of every crop, from disk where they are, else computed and kept there.

    Args:
        backbone: maps (B, 3, S, S) to (B, D); is put into eval mode.
        name: of the model, for the folder's name.
        crops: the pictures.
        device: where the backbone is.
        cache: folder in which sets of features are kept. The key is made from the backbone's
            weights, the crops, the device and its precision, and PyTorch's version.

    Returns:
        (N, D) float32, memory-mapped.

    Raises:
        UserError: the stored features are not those that were written, or cannot be written.
    """
    precision = autocast_dtype(device)
    settings = [VERSION, crops.key, device.type, str(precision), torch.__version__]
    # Buffers too, which tell how pictures are normalised and are no part of the state dict.
    weights = backbone.state_dict() | dict(backbone.named_buffers())
    key = hashlib.sha256(f"{settings} {hash_of(weights)}".encode()).hexdigest()[:16]
    folder = cache / f"{name}-{key}"
    try:
        if read_manifest(folder) is None:
            with held(folder):
                if read_manifest(folder) is None:  # another process may have been faster
                    _compute(backbone, crops, device, folder)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or make "
            "the folder writable, then run again."
        ) from error
    return np.load(folder / "features.npy", mmap_mode="c")


def hash_of(weights: dict[str, Tensor]) -> str:
    """SHA-256 over the names and values of a network's weights and statistics."""
    digest = hashlib.sha256()
    for name, value in weights.items():
        digest.update(f"{name} {tuple(value.shape)} {value.dtype}".encode())
        digest.update(value.detach().cpu().contiguous().numpy())
    return digest.hexdigest()


def _compute(backbone: nn.Module, crops: Crops, device: torch.device, folder: Path) -> None:
    rows = np.arange(len(crops.images))
    features = raw_predictions(backbone, torch.from_numpy(crops.images), rows, device)
    path = folder / "features.npy"
    np.save(path, features.cpu().numpy())
    manifest = {"version": VERSION, "crops": crops.key, "sha256": {path.name: sha256_of(path)}}
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))
