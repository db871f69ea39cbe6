"""How fast batches come: from the cached crops, and from pictures that are decoded each time."""

import time
from collections.abc import Callable, Iterable
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from vaaffect.base.errors import UserError
from vaaffect.corpora.corpus import Corpus
from vaaffect.corpora.crops import Crops, face_box
from vaaffect.training.batches import augment, gather, to_input
from vaaffect.training.recipe import Recipe
from vaaffect.training.step import default_device

ROUNDS = 3
# How the loaders are called.
DECODED, CACHED, GATHER = "PIL, PNG frames", "vaaffect: gather, normalise", "vaaffect: gather"
_SAME_CROP = 0.1  # mean difference allowed between two ways to shrink a crop, of a range of 2
_SAME_FILE = 0.02  # largest one between a crop and its PNG


class FaceFrames(Dataset):
    """What one would write first: PIL opens the frame, torchvision's transforms do the rest."""

    def __init__(self, corpus: Corpus, size: int) -> None:
        from torchvision import transforms

        self.paths = [corpus.root / source for source in corpus.frames["source"]]
        self.boxes = [face_box(points) for points in corpus.landmarks]
        self.va = corpus.frames[["valence", "arousal"]].to_numpy(np.float32, copy=True)
        half = (0.5, 0.5, 0.5)
        self.transform = transforms.Compose(
            [transforms.Resize((size, size)), transforms.ToTensor(),
             transforms.Normalize(half, half)]
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, row: int) -> tuple[Tensor, np.ndarray]:
        with Image.open(self.paths[row]) as picture:
            crop = picture.convert("RGB").crop(self.boxes[row])
        return self.transform(crop), self.va[row]


class CropFiles(Dataset):
    """Crops as PNG files for timm's loader, which sets `transform`. A target is the row's number,
    since its collation makes whole numbers of targets."""

    transform: Callable | None = None

    def __init__(self, files: list[str]) -> None:
        self.files = files

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, row: int) -> tuple[Tensor, int]:
        with Image.open(self.files[row]) as picture:
            return self.transform(picture.convert("RGB")), row


def timm_loader(
    files: list[str], size: int, batch: int, device: torch.device, shuffle: bool = True
) -> Iterable:
    """timm.data.create_loader without augmentation, a worker per core; yields (x, rows)."""
    from timm.data import create_loader

    half = (0.5, 0.5, 0.5)
    return create_loader(
        CropFiles(files), (3, size, size), batch, is_training=shuffle, no_aug=True, mean=half,
        std=half, num_workers=torch.get_num_threads(), device=device, crop_pct=1.0,
        persistent_workers=True,
    )  # fmt: skip


def write_pngs(images: np.ndarray, folder: Path) -> list[str]:
    """Write crops (N, S, S, 3) RGB as PNG; returns their paths."""
    files = [str(folder / f"{row:06d}.png") for row in range(len(images))]
    for file, image in zip(files, images, strict=True):
        cv2.imwrite(file, image[..., ::-1])
    return files


def loader_rows(
    folder: Path,
    corpus: Corpus,
    crops: Crops,
    batch: int,
    say: Callable[[str], None],
    seconds: float = 0.5,
) -> list[dict]:
    """Images per second of each loader alone, in turns.

    Args:
        folder: for temporary files.
        corpus: frames on disk with landmarks.
        crops: of the same frames.
        batch: pictures at a time.
        say: told how far it is.
        seconds: how long our loaders are repeated in each turn.

    Raises:
        UserError: two loaders do not give the same pictures.
    """
    device, size = default_device(), crops.images.shape[1]
    images = torch.from_numpy(crops.images)
    images = images.to(device) if device.type == "cuda" else images
    (folder / "crops-png").mkdir()
    files = write_pngs(crops.images, folder / "crops-png")
    frames = FaceFrames(corpus, size)
    workers = torch.get_num_threads()
    plain = {
        name: DataLoader(frames, batch, shuffle=True, drop_last=True, num_workers=many,
                         persistent_workers=many > 0)
        for name, many in (("no workers", 0), (f"{workers} workers", workers))
    }  # fmt: skip
    timm = timm_loader(files, size, batch, device)
    _check_same(images, frames, timm_loader(files, size, batch, device, shuffle=False))
    recipe, generator = Recipe(), torch.Generator().manual_seed(0)
    order = torch.randperm(len(images), generator=generator).to(device)
    batches = order[: len(order) // batch * batch].view(-1, batch)

    def epoch(loader: Iterable) -> int:
        return sum(len(x) for x, _ in loader)

    def ours(full: bool) -> int:
        count, until = 0, time.perf_counter() + seconds
        while time.perf_counter() < until:
            for x in gather(images, batches, device):
                if full:
                    augment(to_input(x), recipe, torch.rand(6, len(x), generator=generator))
            count += batches.numel()
        return count

    tasks: dict[str, Callable[[], int]] = {
        f"{DECODED}, {name}": lambda loader=loader: epoch(loader) for name, loader in plain.items()
    }
    tasks |= {
        f"timm, PNG crops, {workers} workers": lambda: epoch(timm),
        CACHED: lambda: ours(True),
        GATHER: lambda: ours(False),
    }
    rates: dict[str, list[float]] = {name: [] for name in tasks}
    for turn in range(ROUNDS + 1):  # the first one starts workers and fills the page cache
        say(f"loaders: round {turn} of {ROUNDS}")
        for name, task in tasks.items():
            started = time.perf_counter()
            count = task()
            if device.type == "cuda":
                torch.cuda.synchronize()
            if turn:
                rates[name].append(count / (time.perf_counter() - started))
    rows = []
    for name, measured in rates.items():
        row = {"track": "loaders", "setting": f"batch {batch}, {size} px", "contender": name}
        row |= {
            "model": "",
            "value": float(np.median(measured)),
            "low": min(measured),
            "high": max(measured),
        }
        rows.append(row | {"unit": "img/s", "px": size})
    return rows


def _check_same(images: Tensor, frames: FaceFrames, timm: Iterable) -> None:
    """The gate of the loaders: all must give the same pictures, but for how they shrink a crop."""
    x, rows = next(iter(timm))
    mine = to_input(images[rows])
    farthest = float((x - mine).abs().max())
    if farthest > _SAME_FILE:
        raise UserError(f"timm's loader and ours differ by {farthest:.3f} in a picture.")
    for row in range(0, len(frames), max(1, len(frames) // 8)):
        distance = float((frames[row][0] - to_input(images[row : row + 1])[0].cpu()).abs().mean())
        if distance > _SAME_CROP:
            raise UserError(f"PIL's crop {row} and ours differ by {distance:.3f} on average.")
