"""`python -m vaaffect bench landmark-error`: dlib's error in drawn frames, beside the simulator's.

What is compared is what a regression on landmarks feels: how large the error is in each part of the
face, how it goes together from point to point and from frame to frame. An error that is the same
for everybody costs a regression nothing, so all but the first line is about what is left without
it.
"""

import itertools
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from vaaffect.corpora import OUTER_EYE_CORNERS, REGIONS, FacesTracker
from vaaffect.simulator import WildWorld, build_set, render
from vaaffect.simulator.landmark_error import errors
from vaaffect.simulator.worlds import clip_plan

DISTANCES = (0.0, 0.1, 0.2, 0.4, 0.8, 2.0)  # between two points, in eye distances


@dataclass(frozen=True)
class Found:
    """Landmarks of N frames, exact and found, both in units of the frame's eye distance."""

    clip: np.ndarray  # (N,)
    units: np.ndarray  # (N, n_aus) the action units that were drawn
    exact: np.ndarray  # (N, 68, 2) in pixels
    error: np.ndarray  # (N, 68, 2) in eye distances


def dlib_errors(world: WildWorld) -> Found:
    """dlib's errors in the frames of a world in which it finds the face."""
    clips, units, exact, found = [], [], [], []
    for index in range(world.clips):
        plan, track = clip_plan(world, index), FacesTracker()
        shared = build_set(plan.scenes[0], world.size)
        for unit, scene in zip(plan.units, plan.scenes, strict=True):
            picture, points = render(plan.subject.identity, unit, scene, world.size, shared)
            faces = [face for _, face in track(picture) if _is_that(face, points)]
            if faces:
                clips.append(index)
                units.append(unit)
                exact.append(points)
                found.append(faces[0])
    exact, found = np.stack(exact).astype(float), np.stack(found).astype(float)
    return Found(np.array(clips), np.stack(units), exact, _relative(found - exact, exact))


def modelled_errors(like: Found, size: float) -> Found:
    """Errors as the simulator makes them, of this root mean square size, in the same frames."""
    parts = []
    for clip in np.unique(like.clip):
        exact = like.exact[like.clip == clip]
        rng = np.random.default_rng([int(clip), 99])
        parts.append(_relative(size * errors(rng, exact), exact))
    return Found(like.clip, like.units, like.exact, np.concatenate(parts))


def _is_that(face: np.ndarray, points: np.ndarray) -> bool:
    return bool(np.linalg.norm(face.mean(axis=0) - points.mean(axis=0)) < 0.3 * np.ptp(points))


def _relative(error: np.ndarray, exact: np.ndarray) -> np.ndarray:
    left, right = OUTER_EYE_CORNERS
    return error / np.linalg.norm(exact[:, right] - exact[:, left], axis=1)[:, None, None]


def size_of(error: np.ndarray) -> float:
    """Root mean square length of errors (..., 2)."""
    return float(np.sqrt((error**2).sum(axis=-1).mean()))


def described(found: Found) -> dict[str, float]:
    """The numbers that are compared, by name."""
    whole, error = found.error, found.error - found.error.mean(axis=0)
    rows = {
        "mean distance, %": 100 * float(np.linalg.norm(whole, axis=-1).mean()),
        "root mean square, %": 100 * size_of(whole),
        "of it the same for everybody": size_of(whole.mean(axis=0)) ** 2 / size_of(whole) ** 2,
        "root mean square of the other part, %": 100 * size_of(error),
    }
    for region, part in REGIONS.items():
        rows[f"{region}, relative to all"] = size_of(error[:, part]) / size_of(error)
    rows["x against y (ratio of SDs)"] = float(error[..., 0].std() / error[..., 1].std())
    places = _relative(found.exact - found.exact.mean(axis=1, keepdims=True), found.exact)
    rows["an affine map of the whole shape"] = _explained_by_maps(places, error)
    rows |= _together(places.mean(axis=0), _without_maps(places, error))
    rows |= _in_time(found.clip, error)
    rows["explained by the expression"] = _explained_by(found.units, error)
    return rows


def _without_maps(places: np.ndarray, error: np.ndarray) -> np.ndarray:
    """Errors (N, 68, 2) less what an affine map of each frame's places explains."""
    left = np.empty_like(error)
    for frame, (place, one) in enumerate(zip(places, error, strict=True)):
        basis = np.column_stack([np.ones(len(place)), place])
        left[frame] = one - basis @ np.linalg.lstsq(basis, one, rcond=None)[0]
    return left


def _explained_by_maps(places: np.ndarray, error: np.ndarray) -> float:
    return 1 - float((_without_maps(places, error) ** 2).sum() / (error**2).sum())


def _together(mean_shape: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Correlation of two points' errors, by how far the points are apart."""
    apart = np.linalg.norm(mean_shape[:, None] - mean_shape[None], axis=-1)
    both = np.mean([np.corrcoef(error[..., axis].T) for axis in (0, 1)], axis=0)
    rows = {}
    for low, high in itertools.pairwise(DISTANCES):
        pairs = (apart > low) & (apart <= high)
        rows[f"correlation, points {low:g} to {high:g} apart, without the map"] = float(
            both[pairs].mean()
        )
    return rows


def _in_time(clip: np.ndarray, error: np.ndarray) -> dict[str, float]:
    """Correlation of a point's errors in two frames of a clip, by the number of frames between."""
    variance = (error**2).mean()
    rows = {}
    for lag in (1, 3):
        same = clip[lag:] == clip[:-lag]
        products = (error[lag:] * error[:-lag])[same]
        rows[f"correlation, {lag} frames later"] = float(products.mean() / variance)
    return rows


def _explained_by(units: np.ndarray, error: np.ndarray) -> float:
    """Proportion of the variance that a line on the action units explains (in sample)."""
    basis = np.column_stack([np.ones(len(units)), units])
    flat = error.reshape(len(error), -1)
    left = flat - basis @ np.linalg.lstsq(basis, flat, rcond=None)[0]
    return 1 - float((left**2).sum() / (flat**2).sum())


def bench_landmark_error(
    clips: int = 100, frames: int = 5, difficulty: float = 0.3
) -> Iterable[str]:
    """Measure dlib in `clips` x `frames` drawn frames, and the simulator's error beside it.

    Returns lines to print.
    """
    world = WildWorld(
        clips=clips, subjects=clips, frames=(frames, frames), seed=7, difficulty=difficulty,
        size=(720, 576),
    )  # fmt: skip
    real = dlib_errors(world)
    size = described(real)["root mean square of the other part, %"] / 100
    model = modelled_errors(real, size)
    asked = clips * frames
    yield (
        f"{len(real.clip)} of {asked} frames in which dlib finds the face, {clips} persons, "
        f"difficulty {difficulty}; in units of the distance between the outer eye corners"
    )
    yield f"{'':52s} {'dlib':>8s} {'model':>8s}"
    ours = described(model)
    for name, value in described(real).items():
        yield f"{name:52s} {value:8.2f} {ours[name]:8.2f}"
