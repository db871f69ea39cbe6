"""Drawings of how the study works, from its own pictures; style of `plots`."""

import itertools

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.patches import ConnectionPatch

from ..corpora import crop_face, face_box
from .plots import COLOURS, plane
from .plots import picture as show

BOX = "#E69F00"  # the box and the points in it, as in notebook 02


def pipeline(
    picture: np.ndarray, landmarks: np.ndarray, side: int, va: np.ndarray, axs: np.ndarray, *,
    faces: bool,
) -> None:  # fmt: skip
    """From a frame to valence and arousal (figure 4.4 of the thesis).

    Args:
        picture: (H, W, 3) uint8 RGB frame.
        landmarks: (68, 2) in its pixels.
        side: of the crop that the network sees, in pixels.
        va: (2,) the label that the network is to predict.
        axs: (5,) Axes beside each other.
        faces: as of `plots.picture`.
    """
    left, top, right, bottom = face_box(landmarks)
    frame, points, square, network, prediction = axs
    for ax in (frame, points):
        show(ax, picture, landmarks, faces=faces)
        box = plt.Rectangle((left, top), right - left, bottom - top, fill=False, ec=BOX, lw=2)
        ax.add_patch(box)
    points.plot(*landmarks.T, "o", ms=2.5, color="white", mec="black", mew=0.3)
    wide = face_box(landmarks, margin=0.35)
    points.set(xlim=(wide[0], wide[2]), ylim=(wide[3], wide[1]))
    show(square, *crop_face(picture, landmarks, side), faces=faces)
    _layers(network)
    plane(prediction, emotions=False).set(xlabel="valence", ylabel="arousal")
    prediction.plot(*va, "D", ms=8, color="black", mec="white")
    for dimension, (x, y) in {"valence": (0, va[1]), "arousal": (va[0], 0)}.items():
        prediction.plot([va[0], x], [va[1], y], color=COLOURS[dimension], lw=1.5)
    prediction.set(xticks=[-1, 0, 1], yticks=[-1, 0, 1])
    frame.figure.get_layout_engine().set(wspace=0.14)  # room for the arrows
    titles = ("frame", "68 landmarks, box", f"crop, {side} × {side}", "network", "two numbers")
    for ax, title in zip(axs, titles, strict=True):
        ax.set_title(title, fontsize="medium")
        if ax is not prediction:
            ax.axis("off")
    for before, after in itertools.pairwise(axs):
        end = (-0.4 if after is prediction else -0.05, 0.5)  # past the labels of the plane
        arrow = ConnectionPatch(
            (1.03, 0.5), end, coordsA=before.transAxes, coordsB=after.transAxes,
            arrowstyle="-|>", mutation_scale=14, color="0.3",
        )  # fmt: skip
        arrow.set_in_layout(False)
        before.figure.add_artist(arrow)


def _layers(ax: Axes) -> None:
    """A convolutional network: layers that become smaller and have more channels."""
    x = 0.0
    for height, channels in ((9, 9), (7, 8), (5, 7), (3, 6), (1, 5)):
        for channel in range(channels):
            at = x + 0.16 * channel, -height / 2 + 0.16 * channel
            ax.add_patch(plt.Rectangle(at, 0.5, height, fc="0.93", ec="0.35", lw=0.7))
        x += 0.16 * channels + 1.1
    ax.plot([x + 0.3] * 2, [-0.5, 1.3], "o", ms=7, color="0.35")
    ax.set(xlim=(-0.5, x + 0.8), ylim=(-6.5, 7.5), aspect="equal")
