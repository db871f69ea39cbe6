"""Brushes: curves through points, antialiased fills and lines with subpixel positions."""

import functools

import cv2
import numpy as np

_SHIFT = 4  # OpenCV takes fixed-point coordinates: 4 bits of subpixel position


@functools.cache
def _catmull_rom(n: int, steps: int, closed: bool) -> np.ndarray:
    """Matrix (samples, n) that turns n control points into a smooth curve through them."""
    t = np.linspace(0, 1, steps, endpoint=False)
    weights = 0.5 * np.stack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, -(t**2) + t**3],
        axis=-1,
    )
    segments = n if closed else n - 1
    matrix = np.zeros((segments * steps + (not closed), n))
    for segment in range(segments):
        for j in range(4):
            point = segment + j - 1
            point = point % n if closed else min(max(point, 0), n - 1)
            matrix[segment * steps : (segment + 1) * steps, point] += weights[:, j]
    if not closed:
        matrix[-1, -1] = 1
    return matrix


def curve(points: np.ndarray, steps: int = 6, closed: bool = False) -> np.ndarray:
    """A smooth curve (m, d) that passes through the points (n, d)."""
    return _catmull_rom(len(points), steps, closed) @ points


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.round(np.clip(points, -4000, 4000) * 2**_SHIFT).astype(np.int32)


def fill(image: np.ndarray, points: np.ndarray, colour: tuple | np.ndarray | float) -> None:
    """Fills a polygon (n, 2) given in pixels, in place."""
    cv2.fillPoly(image, [_fixed(points)], _scalar(colour), cv2.LINE_AA, _SHIFT)


def line(
    image: np.ndarray, points: np.ndarray, colour: tuple | np.ndarray | float, width: float
) -> None:
    """Draws an open line (n, 2) of about `width` pixels, in place."""
    thickness = max(1, round(width))
    fixed = [_fixed(points)]
    cv2.polylines(image, fixed, False, _scalar(colour), thickness, cv2.LINE_AA, _SHIFT)


def taper(points: np.ndarray, widths: np.ndarray) -> np.ndarray:
    """Outline of a stroke along points (n, 2) whose width varies (n,)."""
    direction = np.gradient(points, axis=0)
    length = np.maximum(np.linalg.norm(direction, axis=1, keepdims=True), 1e-6)
    normal = direction[:, ::-1] * np.array([-1, 1]) / length * widths[:, None] / 2
    return np.concatenate([points + normal, (points - normal)[::-1]])


def ellipse(centre: np.ndarray, radii: tuple[float, float], angle: float = 0.0) -> np.ndarray:
    """Outline (24, 2) of an ellipse; the angle is in radians."""
    t = np.linspace(0, 2 * np.pi, 24, endpoint=False)
    x, y = radii[0] * np.cos(t), radii[1] * np.sin(t)
    c, s = np.cos(angle), np.sin(angle)
    return np.stack([c * x - s * y, s * x + c * y], axis=-1) + centre


def _scalar(colour: tuple | np.ndarray | float) -> tuple[float, ...]:
    return (float(colour),) if np.isscalar(colour) else tuple(float(c) for c in colour)
