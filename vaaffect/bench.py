"""Measurements side by side in one run: ratios travel between machines, seconds do not."""

import tempfile
import time
from pathlib import Path

import cv2
import numpy as np

from .landmarks import REGIONS, dlib_landmarks, relative_error
from .simulator.circumplex import EMOTIONS, action_units
from .simulator.face import Scene, render, sample_identity
from .simulator.worlds import WildWorld
from .simulator.writers import write_afew_va, write_clip


def bench_simulator(clips: int = 24, faces: int = 90) -> list[str]:
    """Speed of drawing and writing frames, and how far dlib's points are from the exact ones.

    Args:
        clips: how many clips are drawn for the speed.
        faces: how many frontal, evenly lit faces dlib is asked about.

    Returns:
        Lines to print.
    """
    return [*_speed(clips), *_agreement(faces)]


def _speed(clips: int) -> list[str]:
    world = WildWorld(clips=clips, subjects=clips, seed=1)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        write_clip(Path(folder) / "warm-up", world, 0)
        started = time.perf_counter()
        frames = sum(write_clip(alone, world, index) for index in range(clips))
        one = frames / (time.perf_counter() - started)
        pictures = [cv2.imread(str(p)) for p in sorted(alone.rglob("*.png"))]
        started = time.perf_counter()
        for picture in pictures:
            cv2.imencode(".png", picture)
        encoding = len(pictures) / (time.perf_counter() - started)
        started = time.perf_counter()
        write_afew_va(Path(folder) / "two", world, workers=2)
        two = frames / (time.perf_counter() - started)
        size = np.mean([p.stat().st_size for p in alone.rglob("*.png")]) / 1024
    cv2.setNumThreads(threads)
    return [
        f"frames of {world.size[0]} x {world.size[1]}, mean PNG {size:.0f} KiB",
        f"draw and write, 1 process        {one:6.1f} frames/s",
        f"OpenCV's default PNG encoder     {encoding:6.1f} frames/s   "
        f"draw and write is {one / encoding:.2f} x as fast",
        f"draw and write, 2 processes      {two:6.1f} frames/s   {two / one:.2f} x one process, "
        "their start included",
    ]


def _agreement(faces: int) -> list[str]:
    errors = []
    for seed in range(faces):
        rng = np.random.default_rng([seed, 11])
        emotion = list(EMOTIONS.values())[seed % len(EMOTIONS)]
        units = action_units(rng.uniform(0.3, 1) * np.array(emotion))
        image, exact = render(sample_identity(rng), units, Scene())
        found = dlib_landmarks(image)
        if found is not None:
            errors.append(relative_error(found, exact))
    error = 100 * np.array(errors)
    regions = ", ".join(f"{name} {error[:, part].mean():.1f}" for name, part in REGIONS.items())
    return [
        f"dlib finds {len(errors)} of {faces} frontal faces",
        f"its 68 points lie {error.mean():.1f} % of the distance between the outer eye corners "
        f"from the exact ones (median {np.median(error):.1f} %)",
        f"by region, %: {regions}",
    ]
