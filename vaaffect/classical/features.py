"""Features of a face that were designed, not learned: shape, edges, texture.

Three plain functions from crops to rows of numbers, with nothing to fit, so they cannot leak.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
from skimage import feature

from ..base import UserError, cores
from ..corpora import OUTER_EYE_CORNERS

SIDE = 64  # pixels to which every crop is resized first, so that no dimension depends on its size
_LEAST_EYES = 0.5  # of the face's size: in profile, the eye corners meet and would blow units up

_PAIRS = {  # distances between two points; left and right are the picture's
    "mouth width": (48, 54), "mouth opening": (62, 66), "lips height": (51, 57),
    "left eye opening": (37, 41), "left eye opening, inner half": (38, 40),
    "right eye opening": (44, 46), "right eye opening, inner half": (43, 47),
    "between the brows": (21, 22), "nose width": (31, 35),
    "nose to upper lip": (33, 51), "nose to chin": (33, 8),
}  # fmt: skip
_HEIGHTS = {  # how much higher the mean of the first points is than the mean of the second
    "left brow, outer": ((17, 18, 19), (36, 37, 38, 39, 40, 41)),
    "left brow, inner": ((20, 21), (36, 37, 38, 39, 40, 41)),
    "right brow, inner": ((22, 23), (42, 43, 44, 45, 46, 47)),
    "right brow, outer": ((24, 25, 26), (42, 43, 44, 45, 46, 47)),
    "left lip corner": ((48,), (51, 57)),
    "right lip corner": ((54,), (51, 57)),
}
MEASURES = (*_PAIRS, *_HEIGHTS, "mouth opening per width")


def geometry(landmarks: np.ndarray) -> np.ndarray:
    """The shape of faces, whatever their place, size and roll.

    The points are taken relative to their mean, turned until the outer eye corners are level, and
    divided by their root mean square distance from the mean (Kendall's shape, 1984). To them come
    distances between points, heights of one part above another, and a ratio. Crops stretch width
    and height independently, so proportions of a whole face are relative to its box.

    From (N, 68, 2) landmarks in pixels of any picture, iBUG order, y downwards, to (N, 154)
    float64: x and y of each point in units of the face's size, then MEASURES, distances and heights
    in units of the distance between the outer eye corners.
    """
    points = landmarks.astype(np.float64)
    points = points - points.mean(axis=1, keepdims=True)
    size = np.sqrt((points**2).sum(axis=2).mean(axis=1))
    useless = np.flatnonzero(~(np.isfinite(size) & (size > 0)))
    if len(useless):
        raise UserError(
            f"the landmarks of {len(useless)} faces have no shape (first: row {useless[0]}); leave "
            "these frames out."
        )
    points = points / size[:, None, None]
    left, right = OUTER_EYE_CORNERS
    along = points[:, right] - points[:, left]
    eyes = np.linalg.norm(along, axis=1)
    # Eye corners that coincide have no direction; such a face stays as it is.
    cosine, sine = np.where(eyes > 0, along.T / np.where(eyes > 0, eyes, 1), [[1.0], [0.0]])
    turn = np.stack([np.stack([cosine, -sine], 1), np.stack([sine, cosine], 1)], 1)
    points = points @ turn  # (N, 68, 2) @ (N, 2, 2): each row vector turned by minus its roll
    unit = np.maximum(eyes, _LEAST_EYES)
    named = {
        name: np.linalg.norm(points[:, a] - points[:, b], axis=1) / unit
        for name, (a, b) in _PAIRS.items()
    }
    for name, (upper, lower) in _HEIGHTS.items():
        height = points[:, lower, 1].mean(axis=1) - points[:, upper, 1].mean(axis=1)
        named[name] = height / unit
    named[MEASURES[-1]] = named["mouth opening"] / np.maximum(named["mouth width"], 0.1)
    return np.column_stack([points.reshape(len(points), -1), *named.values()])


def hog(images: np.ndarray) -> np.ndarray:
    """Histograms of oriented gradients (Dalal & Triggs 2005): where edges run, and which way.

    From (N, S, S, 3) uint8 RGB to (N, 1568) float32 in [0, 1]: 8 orientations in 8 x 8 cells, each
    block of 2 x 2 cells normalised against the light.
    """

    cell = (SIDE // 8, SIDE // 8)
    return _of_each(images, lambda grey: feature.hog(grey, 8, cell, (2, 2), "L2-Hys"))


def lbp(images: np.ndarray) -> np.ndarray:
    """Histograms of uniform local binary patterns (Ahonen et al. 2006): the texture of each part.

    Each pixel is described by which of 8 neighbours, two pixels away, are brighter. The 58 patterns
    with at most two changes around the circle have a bin each, all others share one. From
    (N, S, S, 3) uint8 RGB to (N, 944) float32 in [0, 1]: the fractions of 59 patterns in each of
    4 x 4 parts.
    """
    parts, patterns = 4, 59
    side = SIDE // parts
    offset = patterns * (np.arange(SIDE) // side)
    offset = parts * offset[:, None] + offset  # of the histogram that a pixel belongs to

    def describe(grey: np.ndarray) -> np.ndarray:
        pattern = feature.local_binary_pattern(grey, 8, 2, "nri_uniform").astype(np.int64)
        counts = np.bincount((pattern + offset).ravel(), minlength=patterns * parts**2)
        return counts / side**2

    return _of_each(images, describe)


FEATURES = {"geometry": geometry, "hog": hog, "lbp": lbp}


def _of_each(images: np.ndarray, describe: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """`describe` of every picture as (SIDE, SIDE) uint8 grey, by all cores."""

    def described(row: int) -> np.ndarray:
        image = images[row]
        grey = cv2.cvtColor(np.ascontiguousarray(image), cv2.COLOR_RGB2GRAY)
        method = cv2.INTER_AREA if len(grey) > SIDE else cv2.INTER_LINEAR
        return describe(cv2.resize(grey, (SIDE, SIDE), interpolation=method)).astype(np.float32)

    with ThreadPoolExecutor(cores()) as pool:
        rows = pool.map(described, range(len(images)))
        first = next(rows)
        table = np.empty((len(images), len(first)), np.float32)  # once: it may be a gigabyte
        table[0] = first
        for number, row in enumerate(rows, 1):
            table[number] = row
    return table
