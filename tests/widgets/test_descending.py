"""Gradient descent on a surface of two weights; test_widgets.py compares it with PyTorch."""

import matplotlib.pyplot as plt
import numpy as np
import pytest

from vaaffect.widgets.descent_widget import FAR, Surface, descend, draw_path, draw_surface

CURVED = np.array([4.0, 0.5])
BOWL = Surface(
    lambda w: (CURVED * w**2).sum(axis=-1) / 2, lambda w: CURVED * w, (-1, 1, -1, 1), ("a", "b")
)
START = np.array([0.8, -0.6])


def test_without_momentum_each_step_shrinks_the_distance_by_a_factor_per_axis():
    path = descend(BOWL.gradient, START, lr=0.1, steps=9)
    assert np.allclose(path, START * (1 - 0.1 * CURVED) ** np.arange(10)[:, None])
    assert np.array_equal(START, [0.8, -0.6])  # it is not moved itself


@pytest.mark.parametrize("momentum", [0.0, 0.5, 0.9])
def test_the_written_momentum_is_the_one_that_is_run_with_a_smaller_rate(momentum):
    run = descend(BOWL.gradient, START, 0.05, momentum)
    written = descend(BOWL.gradient, START, 0.05 / (1 - momentum), momentum, written=True)
    assert np.allclose(run, written, rtol=0, atol=1e-12)


def test_what_diverges_ends():
    path = descend(BOWL.gradient, START, lr=2, steps=500)
    assert len(path) < 50 and np.abs(path[-1]).max() > FAR > np.abs(path[-2]).max()


def test_the_surface_and_a_path_are_drawn_where_they_are():
    _, ax = plt.subplots()
    draw_surface(BOWL, ax)
    draw_path(descend(BOWL.gradient, START, 0.1), ax, "red")
    assert (ax.get_xlim(), ax.get_ylim()) == ((-1, 1), (-1, 1))
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("weight a", "weight b")
    line, dots, ring = ax.lines
    assert line.get_color() == "red" and len(dots.get_xdata()) == 50
    assert np.array_equal([ring.get_xdata()[0], ring.get_ydata()[0]], START)
    plt.close()
