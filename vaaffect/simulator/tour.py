"""A recorded clip: one drawn person in front of a camera who goes around the circumplex."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from .appearance import Scene, sample_identity
from .circumplex import EMOTIONS, action_units
from .face import render
from .recordings import write_video
from .scenery import build_set
from .worlds import sway, takes

# Where the person goes; between the stations slowly, as a face does.
_STATIONS = ("neutral", "happiness", "surprise", "anger", "sadness", "neutral")


@dataclass(frozen=True)
class Tour:
    """A clip of T pictures as it was planned."""

    time_s: np.ndarray  # (T,) seconds
    va: np.ndarray  # (T, 2) what the person feels, (valence, arousal) in [-1, 1]
    pictures: list[np.ndarray]  # T times (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (T, 68, 2) float32, exact, in pixels
    fps: float  # pictures per second


def draw_tour(
    seconds: float = 10.0, fps: float = 12.5, seed: int = 0, size: tuple[int, int] = (480, 360)
) -> Tour:
    """Draws the clip: `fps` pictures per second of `size` (width, height) in pixels.

    `seed` decides on the person, the movements of the head, and the camera's noise.
    """
    rng = np.random.default_rng([seed, 31])
    person = sample_identity(rng)
    time = np.arange(max(2, round(seconds * fps))) / fps
    stations = 0.8 * np.array([EMOTIONS[name] for name in _STATIONS])  # acted, not exaggerated
    along = time / time[-1] * (len(stations) - 1)
    leg = np.minimum(along.astype(int), len(stations) - 2)
    share = np.clip(1.5 * (along - leg) - 0.25, 0, 1)  # a moment of rest at each station
    share = (share * share * (3 - 2 * share))[:, None]
    va = (1 - share) * stations[leg] + share * stations[leg + 1]
    angles = sway(rng, time, 3) * np.array([4.0, 2.5, 2.0])
    drift = sway(rng, time, 2) * np.array([0.015, 0.008])
    base = Scene(centre=(0.5, 0.44), scale=0.235, backdrop="room", noise=1.0, ambient=0.62)
    shared = build_set(base, size)
    phases = rng.integers(0, 2**16, len(time))
    scenes = takes(base, angles, centre=base.centre + drift, noise_phase=phases)
    drawn = zip(action_units(va), scenes, strict=True)
    frames = [render(person, units, scene, size, shared) for units, scene in drawn]
    pictures, landmarks = zip(*frames, strict=True)
    return Tour(time, va, list(pictures), np.stack(landmarks), fps)


def record(tour: Tour, path: Path) -> Path:
    """Writes a tour as a video (Motion JPEG in an .avi file), as a camera would record it.

    Raises OSError when the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, tour.pictures, tour.fps)
    return path
