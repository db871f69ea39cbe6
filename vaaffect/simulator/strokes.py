"""Brushes: curves through points, antialiased fills and lines with subpixel positions."""

import functools

import cv2
import numpy as np

Paint = tuple | np.ndarray | float

_ANGLES = np.linspace(0, 2 * np.pi, 24, endpoint=False)
_SHIFT = 4  # OpenCV takes fixed-point coordinates: 4 bits of subpixel position


@functools.cache
def _catmull_rom(n: int, steps: int, closed: bool) -> np.ndarray:
    """Matrix (samples, n) that turns n control points into a smooth curve through them."""
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3],
        axis=-1,
    )
    points = np.arange(n if closed else n - 1)[:, None] + np.arange(-1, 3)  # four per segment
    chosen = np.eye(n)[points % n if closed else points.clip(0, n - 1)]
    matrix = np.einsum("sj,ijn->isn", weights, chosen).reshape(-1, n)
    return matrix if closed else np.vstack([matrix, chosen[-1, -1]])


def curve(points: np.ndarray, steps: int = 6, closed: bool = False) -> np.ndarray:
    """A smooth curve (m, d) that passes through the points (n, d)."""
    return _catmull_rom(len(points), steps, closed) @ points


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * 2**_SHIFT).astype(np.int32)


def fill(image: np.ndarray, points: np.ndarray, colour: Paint) -> None:
    """Fills a polygon (n, 2) given in pixels, in place."""
    cv2.fillPoly(image, [_fixed(points)], _scalar(colour), cv2.LINE_AA, _SHIFT)


def line(image: np.ndarray, points: np.ndarray, colour: Paint, width: float) -> None:
    """Draws an open line (n, 2), or many alike (m, n, 2), about `width` pixels wide, in place."""
    paths = list(_fixed(points).reshape(-1, *points.shape[-2:]))
    thickness = max(1, round(width))
    cv2.polylines(image, paths, False, _scalar(colour), thickness, cv2.LINE_AA, _SHIFT)


@functools.cache
def spindle(n: int) -> np.ndarray:
    """Widths (n,) of a stroke that is thin at both ends and 1 in the middle; not to be changed."""
    return np.sin(np.linspace(0.12, np.pi - 0.12, n))


def mirrored(half: np.ndarray | list) -> np.ndarray:
    """A line (2 n - 1, d) from left to right; `half` (n, d) leads from x = 0 to its right end."""
    half = np.array(half, dtype=float)
    left = half[:0:-1].copy()
    left[:, 0] *= -1
    return np.concatenate([left, half])


def taper(points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline of a stroke along points (n, 2) whose width varies (n,)."""
    direction = np.empty_like(points)
    direction[1:-1] = points[2:] - points[:-2]
    direction[0], direction[-1] = points[1] - points[0], points[-1] - points[-2]
    length = np.maximum(np.hypot(direction[:, 0], direction[:, 1]), 1e-6)
    normal = direction[:, ::-1] * np.array([-1.0, 1.0]) * (0.5 * widths / length)[:, None]
    return np.concatenate([points + normal, (points - normal)[::-1]])


def ellipse(centre: np.ndarray, radii: float | tuple, angle: float = 0.0) -> np.ndarray:
    """Outline (24, 2) of an ellipse, or of a circle; the angle is in radians."""
    x, y = np.stack([np.cos(_ANGLES), np.sin(_ANGLES)]) * np.reshape(radii, (-1, 1))
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * x - s * y, s * x + c * y], axis=-1) + centre


def _scalar(colour: Paint) -> tuple[float, ...]:
    return (colour,) if isinstance(colour, (int, float)) else tuple(map(float, colour))
