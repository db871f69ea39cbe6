"""Landmarks as a tracker finds them: the exact ones with an error like dlib's.

The parameters below were fitted to the differences between dlib's landmarks and the exact ones in
drawn frames (`python -m vaaffect bench landmark-error` shows both side by side). A tracker's error
is not independent from point to point: it places, sizes and turns the whole shape a little wrong,
bends parts of it, and only what is left over is a matter of single points. Nor is it independent
from frame to frame, for it is wrong in the same way about the same face.
"""

import functools

import numpy as np

from .appearance import Identity, Scene
from .circumplex import ACTION_UNITS
from .face import landmarks_of
from .worlds import WildWorld

_LANDMARKS = 28  # the stream of random numbers, as in `worlds` and `ambiguity`

# Of the variance of the error: how much is an affine map of the whole shape, how much bends it
# smoothly, and how much is each point's own.
_AFFINE, _SMOOTH, _OWN = 0.33, 0.57, 0.1
_REACH = 0.19  # distance over which the smooth part changes, in eye distances
_STAYS = 0.72  # proportion of the variance that is the same in all frames of a clip
# Root mean square error of each region relative to that of all points: jaw, brows, nose, eyes,
# outer lip, inner lip.
_REGIONS = ((17, 1.45), (10, 1.26), (9, 0.66), (12, 0.59), (12, 0.67), (8, 0.6))
_EYES = (36, 45)  # the outer corners


def found_landmarks(world: WildWorld, index: int, exact: np.ndarray) -> np.ndarray:
    """The landmarks that are written for clip `index` of a world: (T, 68, 2) in pixels, float32.

    `exact` are those of its T frames. They are returned as they are where `landmark_error` is 0.
    """
    if not world.landmark_error:
        return exact
    rng = np.random.default_rng([world.seed, _LANDMARKS, index])
    return (exact + world.landmark_error * errors(rng, exact)).astype(np.float32)


def errors(rng: np.random.Generator, exact: np.ndarray) -> np.ndarray:
    """An error (T, 68, 2) in pixels for each of the landmarks `exact` (T, 68, 2) of one clip, whose
    root mean square length is the distance between the outer eye corners."""
    same = rng.normal(0, 1, (1, *exact.shape[1:]))
    fresh = rng.normal(0, 1, exact.shape)
    lots = np.sqrt(_STAYS) * same + np.sqrt(1 - _STAYS) * fresh
    left, right = _EYES
    unit = np.linalg.norm(exact[:, right] - exact[:, left], axis=1)
    return unit[:, None, None] * (_modes() @ lots)


@functools.cache
def _modes() -> np.ndarray:
    """(68, 68): what independent numbers are multiplied by to be errors that go together."""
    average = landmarks_of(Identity(), np.zeros(len(ACTION_UNITS)), Scene()).astype(float)
    left, right = _EYES
    places = average - average.mean(axis=0)
    places /= np.linalg.norm(average[right] - average[left])
    squares = ((places[:, None] - places[None]) ** 2).sum(axis=-1)
    affine = 1 + places @ places.T / (places**2).sum(axis=1).mean() * 2
    smooth = np.exp(-0.5 * squares / _REACH**2)
    kernel = _AFFINE * affine / np.trace(affine) + _SMOOTH * smooth / 68 + _OWN * np.eye(68) / 68
    # Every point with a variance of 1, then as large as its region's, in each of two coordinates.
    spread = np.repeat([size for _, size in _REGIONS], [count for count, _ in _REGIONS])
    spread = spread / np.sqrt(np.diag(kernel)) / np.sqrt(2 * np.mean(spread**2))
    return spread[:, None] * np.linalg.cholesky(kernel + 1e-9 * np.eye(68))
