"""Gradient descent on a surface that one can see: the cost of two weights.

For the primer and its widget, which derive and show what `torch.optim.SGD` does.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap

GREYS = LinearSegmentedColormap.from_list("greys", ["1.0", "0.68"])  # paths stand out against it
FAR = 1e6  # weights beyond it will not come back: the descent diverges


@dataclass(frozen=True)
class Surface:
    """A cost of two weights, and the window through which one looks at it."""

    cost: Callable[[np.ndarray], np.ndarray]  # weights (..., 2) -> cost (...)
    gradient: Callable[[np.ndarray], np.ndarray]  # weights (2,) -> gradient (2,)
    window: tuple[float, float, float, float]  # left, right, bottom, top
    names: tuple[str, str] = ("w1", "w2")


def descend(
    gradient: Callable[[np.ndarray], np.ndarray],
    start: np.ndarray,
    lr: float,
    momentum: float = 0.0,
    steps: int = 50,
    written: bool = False,
) -> np.ndarray:
    """The path of gradient descent with momentum, as PyTorch runs it or as the thesis writes it.

    PyTorch: v <- momentum v + gradient. The thesis (3.9): v <- momentum v + (1 - momentum)
    gradient, taken where `written`. Both begin with v = 0, and then w <- w - lr v.

    Args:
        gradient: from weights (2,) to the gradient there (2,).
        start: (2,) weights.
        momentum: in [0, 1).

    Returns:
        The weights before the first step and after each, (steps + 1, 2); fewer where they went
        farther than FAR.
    """
    weights, velocity = np.array(start, dtype=float), np.zeros(2)
    path = [weights]
    for _ in range(steps):
        velocity = momentum * velocity + (1 - momentum if written else 1) * gradient(weights)
        weights = weights - lr * velocity
        path.append(weights)
        if not np.abs(weights).max() < FAR:
            break
    return np.array(path)


def draw_surface(surface: Surface, ax: Axes) -> None:
    """From above, in grey: light is low, and lines of equal cost lie closer near the floor."""
    left, right, bottom, top = surface.window
    grid = np.stack(np.meshgrid(np.linspace(left, right, 120), np.linspace(bottom, top, 120)))
    costs = surface.cost(np.moveaxis(grid, 0, -1))
    levels = np.quantile(costs, np.linspace(0, 1, 15) ** 1.5)  # bands of the same order of area
    ax.contourf(*grid, costs, levels=levels, cmap=GREYS, norm=BoundaryNorm(levels, 256), zorder=0)
    ax.contour(*grid, costs, levels=levels[1:-1], colors="0.5", linewidths=0.6, zorder=1)
    ax.set(xlim=(left, right), ylim=(bottom, top), aspect="equal")
    ax.set(xlabel=f"weight {surface.names[0]}", ylabel=f"weight {surface.names[1]}")
    ax.grid(False)


def draw_path(path: np.ndarray, ax: Axes, colour: str) -> None:
    """A path over a surface: a ring where it starts, a dot per step. path: (steps + 1, 2)."""
    ax.plot(*path.T, "-", color=colour, lw=1.4, zorder=3)
    ax.plot(*path[1:].T, "o", color=colour, ms=3.5, zorder=4)
    ax.plot(*path[0], "o", color=colour, ms=9, mfc="none", mew=2, zorder=4)
