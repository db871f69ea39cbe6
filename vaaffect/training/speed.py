"""How fast this machine trains a network: some steps on random pictures, in some seconds."""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import replace
from functools import partial
from statistics import fmean

import torch

from ..base import Failure, cores, in_workers
from .adapt import new_network
from .batches import Batch
from .clip_network import POINTS
from .epoch import build_optimizer
from .many import How, gpus_here, set_up
from .memory import keep_freed_memory
from .recipe import Recipe
from .step import default_device, fastest_step

_SIZES = (2, 8)  # pictures in the first batches, of which a large network may be slow
_STEPS = 3  # of each size of batches, if there is time


def measured_speed(
    networks: Sequence[tuple[str, Recipe]], size: int, how: How, seconds: float
) -> list[float] | str:
    """Seconds per training picture of each network with its recipe, by one of `how.jobs` processes
    that train at the same time, or a sentence that says why they could not be measured.

    Pictures are random, `size` pixels wide, and batches those of the recipe, or smaller ones where
    a step would take too long; one step of each network, or two, are taken in any case. `seconds`
    is about how long it takes, beside the start of the processes.
    """
    pairs = [(name, replace(recipe, weights="none")) for name, recipe in networks]
    start = partial(set_up, max(1, cores() // how.jobs), gpus_here())
    tasks = [(pairs, size, seconds)] * how.jobs
    with closing(in_workers(_measure, tasks, how.jobs, start)) as outcomes:
        measured = [outcome for _, outcome in outcomes]
    if failures := [one for one in measured if isinstance(one, Failure)]:
        return failures[0].reason
    return [fmean(each) for each in zip(*measured, strict=True)]


def _measure(networks: Sequence[tuple[str, Recipe]], size: int, seconds: float) -> list[float]:
    keep_freed_memory()
    # The first step of a process loads what steps need, which would pass for slowness.
    _seconds_per_picture("vgg_tiny_bn", Recipe(batch_size=2), 32, 0.0)
    end = time.monotonic() + seconds
    found = []
    for number, (name, recipe) in enumerate(networks):
        now = time.monotonic()
        found.append(
            _seconds_per_picture(name, recipe, size, (end - now) / (len(networks) - number))
        )
    return found


def _seconds_per_picture(name: str, recipe: Recipe, size: int, seconds: float) -> float:
    """Of one network, which is given so many seconds."""
    end, device = time.monotonic() + seconds, default_device()
    network = new_network(name, recipe, size).to(device, memory_format=torch.channels_last).train()
    step = fastest_step(network, build_optimizer(network, recipe), recipe)
    whole = recipe.batch_size * recipe.sequence
    # A recorded step of a GPU is for one size of batches; there none is slow.
    sizes = [whole] if device.type == "cuda" else sorted({min(n, whole) for n in (*_SIZES, whole)})
    took: dict[int, float] = {}  # seconds of the fastest step, by pictures in it
    for pictures in sizes:
        now = time.monotonic()
        if took and now + _of_step(took, pictures) > end:
            break
        batch = _random_batch(pictures, recipe, size, device)
        for taken in range(_STEPS):  # the first one of a size warms up, and on a GPU records
            started = time.monotonic()
            step(batch)
            if device.type == "cuda":
                torch.cuda.synchronize()
            now = time.monotonic()
            took[pictures] = min(took.get(pictures, float("inf")), now - started)
            if now > end and (taken or now - started > seconds):
                break
    return _of_step(took, whole) / whole


def _of_step(took: dict[int, float], pictures: int) -> float:
    """Seconds of a step of so many pictures, from those of smaller ones: a step costs something
    for itself, for its optimizer above all, and something for each picture."""
    *others, largest = sorted(took)
    if pictures == largest or not others:
        return took[largest] * pictures / largest
    each = max(0.0, (took[largest] - took[others[-1]]) / (largest - others[-1]))
    return took[largest] + each * (pictures - largest)


def _random_batch(pictures: int, recipe: Recipe, size: int, device: torch.device) -> Batch:
    """A batch of so many pictures; of a network that reads clips, windows of them."""
    shape, points, weights = (pictures,), None, None
    if recipe.sequence > 1:
        length = min(recipe.sequence, pictures)
        shape = (pictures // length, length)
        points, weights = (
            torch.rand(*shape, POINTS, device=device),
            torch.ones(shape, device=device),
        )
    images = torch.randint(0, 256, (*shape, size, size, 3), dtype=torch.uint8, device=device)
    va = 2 * torch.rand(*shape, 2, device=device) - 1
    return Batch(images, va, torch.rand(6, shape[0], device=device), weights, points)
