"""A recorded clip: one drawn person in front of a camera who goes around the circumplex."""

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from .appearance import Identity, Scene, sample_identity
from .circumplex import EMOTIONS, action_units
from .face import render
from .recordings import write_video
from .scenery import build_set
from .worlds import sway

# Where the person goes; between the stations slowly, as a face does.
STATIONS = ("neutral", "happiness", "surprise", "anger", "sadness", "neutral")
STRENGTH = 0.8  # of the emotions: acted, not exaggerated


@dataclass(frozen=True)
class Tour:
    """A clip of T pictures as it was planned."""

    time_s: np.ndarray  # (T,) seconds
    va: np.ndarray  # (T, 2) what the person feels, (valence, arousal) in [-1, 1]
    pictures: list[np.ndarray]  # T times (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (T, 68, 2) float32, exact, in pixels
    fps: float  # pictures per second


def draw_tour(
    seconds: float = 10.0,
    fps: float = 12.5,
    seed: int = 0,
    size: tuple[int, int] = (480, 360),
    person: Identity | None = None,
) -> Tour:
    """Draw the clip.

    Args:
        seconds: its length.
        fps: pictures per second.
        seed: of the person, of the movements of the head, and of the camera's noise.
        size: (width, height) in pixels.
        person: another person than the seed's.
    """
    rng = np.random.default_rng([seed, 31])
    person = sample_identity(rng) if person is None else person
    time = np.arange(max(2, round(seconds * fps))) / fps
    stations = STRENGTH * np.array([EMOTIONS[name] for name in STATIONS])
    along = time / time[-1] * (len(stations) - 1)
    leg = np.minimum(along.astype(int), len(stations) - 2)
    share = np.clip(1.5 * (along - leg) - 0.25, 0, 1)  # a moment of rest at each station
    share = (share * share * (3 - 2 * share))[:, None]
    va = (1 - share) * stations[leg] + share * stations[leg + 1]
    angles = sway(rng, time, 3) * np.array([4.0, 2.5, 2.0])
    drift = sway(rng, time, 2) * np.array([0.015, 0.008])
    base = Scene(centre=(0.5, 0.44), scale=0.235, backdrop="room", noise=1.0, ambient=0.62)
    shared = build_set(base, size)
    pictures, landmarks = [], []
    for t, units in enumerate(action_units(va)):
        scene = replace(
            base,
            yaw=float(angles[t, 0]),
            pitch=float(angles[t, 1]),
            roll=float(angles[t, 2]),
            centre=(0.5 + float(drift[t, 0]), 0.44 + float(drift[t, 1])),
            noise_phase=int(rng.integers(0, 2**16)),
        )
        picture, points = render(person, units, scene, size, shared)
        pictures.append(picture)
        landmarks.append(points)
    return Tour(time, va, pictures, np.stack(landmarks), fps)


def record(tour: Tour, path: Path) -> Path:
    """Write a tour as a video (Motion JPEG in an .avi file), as a camera would record it.

    Raises:
        OSError: the file cannot be written.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    write_video(path, tour.pictures, tour.fps)
    return path
