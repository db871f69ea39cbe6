"""From crops to the batches a network reads: gathered, augmented, normalised on the device."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ..corpora import MIRRORED, Crops
from .recipe import Recipe

SHARE_FOR_CROPS = 0.5  # of a GPU's free memory; larger sets of crops stay on disk
BLOCK_BYTES = 64 * 2**20  # that travel to the GPU at a time, where they stay on disk


@dataclass
class Batch:
    """What one step reads; in a batch of windows images, va and weights are (B, L, ...)."""

    images: Tensor  # (B, S, S, 3) uint8 crops, or (B, D) float features
    va: Tensor  # (B, 2) float32 labels, columns (valence, arousal), in [-1, 1]
    draws: Tensor  # (6, B) from [0, 1) for `augment`; a window's frames share them
    weights: Tensor | None = None  # (B,) how much each frame counts; None is 1 for all
    points: Tensor | None = None  # (B, L, 136) landmarks, in a batch of windows

    def rows(self, some: slice) -> "Batch":
        """The batch's rows in a slice."""
        weights, points = (None if x is None else x[some] for x in (self.weights, self.points))
        return Batch(self.images[some], self.va[some], self.draws[:, some], weights, points)

    def split(self, parts: int) -> "list[Batch]":
        """The batch in parts whose sizes differ by at most one."""
        places = np.array_split(range(len(self.va)), parts)
        return [self.rows(slice(part[0], part[-1] + 1)) for part in places]

    def clone(self) -> "Batch":
        """The same on memory of its own."""
        return Batch(*(None if x is None else x.clone() for x in vars(self).values()))

    def copy_(self, other: "Batch") -> None:
        """Take over the values of a batch of the same shapes; addresses stay."""
        for mine, new in zip(vars(self).values(), vars(other).values(), strict=True):
            if mine is not None:
                mine.copy_(new)


def to_input(images: Tensor) -> Tensor:
    """uint8 crops (B, S, S, 3) -> float network input (B, 3, S, S) in [-1, 1], channels-last.

    The thesis normalises each channel with mean 0.5 and standard deviation 0.5 (section 4.3.2).
    """
    images = images.flatten(0, -4)  # windows (B, L, S, S, 3) become (B L, 3, S, S)
    return images.permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def augment(x: Tensor, recipe: Recipe, draws: Tensor) -> Tensor:
    """Random mirroring, shift, zoom, brightness and contrast of (B, 3, S, S) images in [-1, 1];
    (6, B) draws from [0, 1) alone decide."""
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


def augment_points(points: Tensor, recipe: Recipe, draws: Tensor) -> Tensor:
    """(B, L, 136) landmarks (see `clip_network.points_of`) as they lie in pictures that `augment`
    has mirrored, moved and zoomed by the same draws."""
    points = points.unflatten(-1, (68, 2))
    if recipe.flip:
        order, sign = _mirror(points.device)
        mirrored = points[..., order, :] * sign
        points = torch.where(draws[0].view(-1, 1, 1, 1) < 0.5, mirrored, points)
    if recipe.shift:
        signed = 2 * draws - 1
        zoom, move = 1 + recipe.shift * signed[1], (recipe.shift * signed[2:4]).T
        points = (points - move[:, None, None]) / zoom.view(-1, 1, 1, 1)
    return points.flatten(-2)


@cache
def _mirror(device: torch.device) -> tuple[Tensor, Tensor]:
    """Which point becomes which, and the sign of (x, y). On the device once: a step that copied
    them there would wait for it, and could not be recorded (`step.FixedStep`)."""
    return torch.tensor(MIRRORED, device=device), torch.tensor([-1.0, 1.0], device=device)


def on_device(images: np.ndarray, device: torch.device) -> Tensor:
    """Crops or features on the device; on a CPU, and where a GPU has no room, memory-mapped."""
    tensor = torch.from_numpy(images)
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        if tensor.nbytes <= SHARE_FOR_CROPS * free:
            return tensor.to(device)
    return tensor


def resident(crops: Crops, device: torch.device) -> tuple[Tensor, Tensor]:
    """Crops (N, S, S, 3) uint8, see `on_device`, and labels (N, 2) float32 on the device."""
    return on_device(crops.images, device), torch.from_numpy(crops.va).to(device)


def pick(images: Tensor, rows: Tensor) -> Tensor:
    """images[rows], for rows (B,) or (B, L) on the images' device.

    On a CPU indexing goes number by number, and takes ten times as long as to copy whole pictures.
    """
    return images.index_select(0, rows.flatten()).unflatten(0, rows.shape)


def gather(images: Tensor, order: Tensor, device: torch.device) -> Iterator[Tensor]:
    """Yield images[rows] on the device for each row of `order` (steps, B) or (steps, B, L)."""
    if images.device.type == device.type:
        for rows in order.to(device):
            yield pick(images, rows)
    else:
        yield from gather_in_blocks(images, order, device)


def gather_in_blocks(images: Tensor, order: Tensor, device: torch.device) -> Iterator[Tensor]:
    """As `gather`, for images in host memory or on disk: several batches travel together.

    Two buffers take turns, so the next block is read while the device works on this one; from
    pinned (page-locked, needs CUDA) buffers a copy goes on by itself. Not yet run on a GPU.
    """
    size = order[0].numel()
    steps = max(1, BLOCK_BYTES // (size * images[0].nbytes))
    shape = (steps * size, *images.shape[1:])
    on_gpu = device.type == "cuda"  # tests gather on a CPU
    buffers = [torch.empty(shape, dtype=images.dtype, pin_memory=on_gpu) for _ in range(2)]
    copied = [torch.cuda.Event() if on_gpu else None for _ in buffers]
    for number, block in enumerate(order.split(steps)):
        buffer, event = buffers[number % 2], copied[number % 2]
        if event is not None:
            event.synchronize()  # with the copy two blocks ago, and what was asked for before it
        # Out of the memory map, straight into the buffer.
        read = torch.index_select(images, 0, block.flatten(), out=buffer[: block.numel()])
        arrived = read.to(device, non_blocking=True)
        if event is not None:
            event.record()
        for pictures in arrived.split(size):
            yield pictures.view(*order.shape[1:], *images.shape[1:])
