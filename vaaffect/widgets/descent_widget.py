"""A surface to walk down: learning rate, momentum and start by hand, the path at once.

Gradient descent and how it is drawn are for the primer too, which derives it.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import traitlets
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.colors import BoundaryNorm, LinearSegmentedColormap
from matplotlib.figure import Figure

from ..base import UserError
from ..report import plots
from .base import Control, Interactive, pair_of, script, settings_of, to_jpeg

PIXELS = 600  # side of the surface's picture
FORMS = ("as run (PyTorch)", "as written (3.9)")  # of momentum, see `descend`
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


class Descent(Interactive):
    """A surface to walk down: sliders for learning rate, momentum and steps, a start to drag.

    `path` (steps + 1, 2) is the one drawn last, None before the first; `settings` are its learning
    rate, momentum, steps and form.

    Args:
        surface: the cost of two weights.
        start: where the walk begins at first; UserError where it is not two numbers.
        lr: the learning rate at first, from 0.001 to 3.
        momentum: at first, from 0 to 0.99.
        steps: at first, from 1 to 200.
    """

    _esm = script("descent.js")
    controls = traitlets.List().tag(sync=True)
    window = traitlets.List().tag(sync=True)  # left, right, bottom, top
    names = traitlets.List().tag(sync=True)  # of the two weights
    forms = traitlets.List(list(FORMS)).tag(sync=True)
    start = traitlets.List().tag(sync=True)

    def __init__(
        self, surface: Surface, *, start: tuple[float, float], lr: float = 0.1,
        momentum: float = 0.9, steps: int = 60,
    ) -> None:  # fmt: skip
        self._controls = (
            Control("lr", "Learning rate", -3, 0.48, 0.01, round(float(np.log10(lr)), 2)),
            Control("momentum", "Momentum", 0, 0.99, 0.01, momentum),
            Control("steps", "Steps", 1, 200, 1, steps),
        )
        super().__init__(
            controls=[asdict(control) for control in self._controls],
            window=list(surface.window),
            names=list(surface.names),
            start=_start_of(start).tolist(),
        )
        self._surface = surface
        self.path: np.ndarray | None = None
        self.settings: dict[str, Any] = {}

    def on_surface(self, content: dict) -> dict:
        """The surface from above, as a picture, and the lowest and highest cost in it."""
        figure = Figure(figsize=(PIXELS / 100, PIXELS / 100), dpi=100)
        canvas = FigureCanvasAgg(figure)
        ax = figure.add_axes((0, 0, 1, 1))
        draw_surface(self._surface, ax)
        ax.set(aspect="auto")
        ax.axis("off")
        canvas.draw()
        picture = np.ascontiguousarray(np.asarray(canvas.buffer_rgba())[:, :, :3])
        left, right, bottom, top = self._surface.window
        grid = np.meshgrid(np.linspace(left, right, 60), np.linspace(bottom, top, 60))
        costs = self._surface.cost(np.stack(grid, axis=-1))
        return {"low": float(costs.min()), "high": float(costs.max()), "picture": to_jpeg(picture)}

    def on_descend(self, content: dict) -> dict:
        """Walk: {"start", "settings", "form"} -> the path, its costs, and the settings used.

        The learning rate comes as its decimal logarithm, as the slider has it.
        """
        start = _start_of(content.get("start"))
        settings = settings_of(content.get("settings"), self._controls)
        form = content.get("form", FORMS[0])
        if form not in FORMS:
            raise UserError(f"unknown form of momentum {form!r}; there are: {', '.join(FORMS)}.")
        lr, momentum, steps = 10 ** settings["lr"], settings["momentum"], int(settings["steps"])
        path = descend(self._surface.gradient, start, lr, momentum, steps, form == FORMS[1])
        costs = self._surface.cost(path)
        sound = np.isfinite(path).all(axis=1) & np.isfinite(costs)
        path, costs = path[sound], costs[sound]
        self.path, self.settings = path, settings | {"lr": lr, "steps": steps, "form": form}
        diverges = bool(len(path) <= steps or costs[-1] > costs[0])
        walk = {"path": path.tolist(), "costs": costs.tolist(), "diverges": diverges}
        return walk | self.settings

    def figure(self) -> Figure:
        """Paths from the start with and without momentum, and their costs: no hand needed."""
        lr, momentum, steps = (control.value for control in self._controls)
        lr, start = 10**lr, np.array(self.start)
        figure = Figure(figsize=(10.4, 4.7), layout="constrained")
        axs = figure.subplots(1, 2)
        draw_surface(self._surface, axs[0])
        walks = {
            "no momentum": (0.0, False, "#009E73"),
            f"momentum {momentum:g}, {FORMS[0]}": (momentum, False, plots.READING),
            f"momentum {momentum:g}, {FORMS[1]}": (momentum, True, "#E69F00"),
        }
        for name, (coefficient, written, colour) in walks.items():
            path = descend(self._surface.gradient, start, lr, coefficient, int(steps), written)
            draw_path(path, axs[0], colour)
            axs[1].plot(self._surface.cost(path), color=colour, label=name)
        axs[0].set_title(f"{steps:g} steps with learning rate {lr:.2g}")
        axs[1].set(yscale="log", xlabel="step", ylabel="cost")
        axs[1].legend(loc="best")
        return figure

    def words(self) -> tuple[str, str]:
        x, y = self._surface.names
        return (
            f"The cost over the weights {x} and {y} from above, three paths of gradient descent on"
            " it, and their costs step by step.",
            "In JupyterLab one drags the start over the surface and moves learning rate, momentum"
            " and steps; the path follows. The faces behind the cost are simulated.",
        )


def _start_of(sent: Any) -> np.ndarray:
    return pair_of(sent, "the start", "a place on the surface; give two weights")


descent = Descent  # as a notebook calls it
