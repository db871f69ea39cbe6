"""A valence-arousal plane to drag a point through: a drawn face follows, and a model reads it."""

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from ..base import UserError
from ..corpora import crop_face
from ..report import plots
from ..simulator import Identity, Scene, action_units, build_set, render, sample_identity
from .base import (
    ONE_AT_A_TIME,
    Answer,
    Control,
    Interactive,
    encode_jpeg,
    number_of,
    script,
    settings_of,
    static_figure,
)
from .camera_widget import FacePredictor

# (picture (H, W, 3) uint8 RGB, its 68 landmarks) -> (valence, arousal), or None: no face found
Reader = Callable[[np.ndarray, np.ndarray], np.ndarray | None]

SIZE = (360, 360)  # of the drawn picture, pixels


CONTROLS = (
    Control("person", "Person", 1, 12, 1, 1),
    Control("yaw", "Turn", -30, 30, 1, 0, "°"),
    Control("pitch", "Nod", -16, 18, 1, 0, "°"),
    Control("roll", "Tilt", -20, 20, 1, 0, "°"),
    Control("light_side", "Light from", -1, 1, 0.05, -0.25),
    Control("contrast", "Harshness", 0, 0.7, 0.05, 0.4),
    Control("gain", "Brightness", 0.4, 1.3, 0.05, 1),
)
DEFAULTS = {control.name: control.value for control in CONTROLS}


def point_of(given: Any) -> np.ndarray:
    """(valence, arousal) (2,) within the unit circle, to which farther points are pulled.

    Raises:
        UserError: not two numbers.
    """
    if not isinstance(given, (list, tuple, np.ndarray)) or len(given) != 2:
        raise UserError(f"{given!r} is not a point; give valence and arousal.")
    point = np.array([number_of(value, "the point") for value in given])
    return point / max(np.hypot(*point), 1.0)


def draw(
    person: Identity, va: np.ndarray, settings: Mapping[str, float]
) -> tuple[np.ndarray, np.ndarray]:
    """The face of a person at a point of the plane.

    Args:
        person: who.
        va: (2,) valence, arousal in [-1, 1].
        settings: a value for each of CONTROLS.

    Returns:
        The picture (H, W, 3) uint8 RGB, and its landmarks (68, 2) in pixels.
    """
    light = np.array([settings["light_side"], -0.45, 0.86])
    light /= np.linalg.norm(light)
    scene = Scene(
        yaw=settings["yaw"],
        pitch=settings["pitch"],
        roll=settings["roll"],
        centre=(0.5, 0.43),
        scale=0.25,
        light=(float(light[0]), float(light[1]), float(light[2])),
        ambient=1 - settings["contrast"],
        gain=settings["gain"],
    )
    return render(person, action_units(va), scene, SIZE, build_set(scene, SIZE))


class Plane(Interactive):
    """See `plane`."""

    _esm = script("plane.js")
    controls = traitlets.List([asdict(control) for control in CONTROLS]).tag(sync=True)
    start = traitlets.List([0.0, 0.0]).tag(sync=True)
    name = traitlets.Unicode("").tag(sync=True)  # of the model; empty: there is none

    def __init__(self, reader: Reader | None, name: str, start: np.ndarray, seed: int) -> None:
        colours = {**plots.COLOURS, "reading": plots.model_colour(name.lower(), plots.READING)}
        super().__init__(name=name if reader else "", start=start.tolist(), colours=colours)
        self._reader = reader
        self._seed = seed
        self._last: dict[str, Any] = {}

    @property
    def va(self) -> np.ndarray | None:
        """(valence, arousal) of the face drawn last, or None before the first."""
        return self._last.get("va")

    @property
    def reading(self) -> np.ndarray | None:
        """The model's (valence, arousal) for the face drawn last, or None."""
        return self._last.get("reading")

    @property
    def settings(self) -> dict[str, float]:
        """The sliders' values for the face drawn last."""
        return dict(self._last.get("settings", DEFAULTS))

    @property
    def picture(self) -> np.ndarray | None:
        """The face drawn last, (H, W, 3) uint8 RGB, or None before the first."""
        return self._last.get("picture")

    def move(self, valence: float, arousal: float, **settings: float) -> None:
        """Move the point, and sliders by name, in every view that is shown.

        Raises:
            UserError: not numbers, or an unknown slider.
        """
        chosen = settings_of({**self.settings, **settings}, CONTROLS)
        self.send({"move": point_of((valence, arousal)).tolist(), "settings": chosen})

    def on_draw(self, content: dict, buffers: list) -> Answer:
        """Draw a face and read it: {"va", "settings"} -> the picture, and what the model says."""
        va, settings = point_of(content.get("va")), settings_of(content.get("settings"), CONTROLS)
        with ONE_AT_A_TIME:
            started = perf_counter()
            picture, landmarks = draw(self._person(settings), va, settings)
            drawn = perf_counter()
            reading = self._read(picture, landmarks)
            read = perf_counter()
            last = {"va": va, "settings": settings, "picture": picture, "reading": reading}
            self._last = last  # whole at once, so that another thread sees one face's values
        answer = {
            "va": va.tolist(),
            "reading": None if reading is None else reading.tolist(),
            "milliseconds": {"draw": 1e3 * (drawn - started), "read": 1e3 * (read - drawn)},
        }
        return answer, [encode_jpeg(picture)]

    def figure(self, steps: int = 7) -> Figure:
        """Faces over the plane and, with a model, its readings: the widget without a hand.

        Args:
            steps: faces along an axis; those outside the unit circle are left out.
        """
        side = np.linspace(-1, 1, 2 * steps + 1)[1::2]
        points = np.array([(v, a) for a in side for v in side if np.hypot(v, a) <= 1])
        with ONE_AT_A_TIME:
            drawn, readings = zip(*(self._at(va, DEFAULTS) for va in points), strict=True)
        crops = np.stack([crop_face(*one, 96, margin=0.2)[0] for one in drawn])
        figure = Figure(figsize=(10.4, 5.2) if self.name else (5.4, 5.2), layout="constrained")
        axs = figure.subplots(1, 2 if self.name else 1, squeeze=False)[0]
        plots.faces_on_plane(crops, points, axs[0], cells=steps)
        axs[0].set_title("a drawn face at each point")
        if self.name:
            seen = [(va, r) for va, r in zip(points, readings, strict=True) if r is not None]
            plots.reading_lines(*(np.reshape(x, (-1, 2)) for x in zip(*seen, strict=True)),
                                 axs[1], self.colours["reading"])  # fmt: skip
            axs[1].set_title("where it was drawn (dot) and read (diamond)")
        for ax in axs:
            ax.set(xticks=np.linspace(-1, 1, 5), yticks=np.linspace(-1, 1, 5))
        return figure

    def sweep(self, va: tuple[float, float], steps: int = 7) -> pd.DataFrame:
        """How far each slider alone moves the reading of one expression, from end to end.

        Args:
            va: the expression that stays the same.
            steps: values of each slider; every person is taken.

        Returns:
            A row per slider: its name, and the largest less the smallest reading of valence and of
            arousal. Faces that the model does not find are left out; nan where it finds none.

        Raises:
            UserError: there is no model, or `va` is not a point.
        """
        if self._reader is None:
            raise UserError("this plane has no model to ask; give plane() a reader.")
        rows = []
        for control in CONTROLS:
            count = int(control.high) if control.name == "person" else steps
            ranges = np.full(2, np.nan)
            with ONE_AT_A_TIME:
                tried = [
                    self._at(point_of(va), DEFAULTS | {control.name: float(value)})[1]
                    for value in np.linspace(control.low, control.high, count)
                ]
            if any(reading is not None for reading in tried):
                ranges = np.ptp([reading for reading in tried if reading is not None], axis=0)
            rows.append((control.label, *ranges.tolist()))
        return pd.DataFrame(rows, columns=["slider", "valence moves by", "arousal moves by"])

    def static_html(self) -> str:
        """A grid of faces over the plane, with the model's readings beside it."""
        alternative = "Drawn faces of one person over the valence-arousal plane"
        reads = ""
        if self.name:
            alternative += f", and a line from each point to what the {self.name} reads there"
            reads = f", and the {self.name} reads it at once"
        return static_figure(
            self.figure(),
            alternative,
            f"In JupyterLab one drags a point through this plane: the drawn face follows{reads}. "
            "The faces are simulated.",
        )

    def _at(
        self, va: np.ndarray, settings: Mapping[str, float]
    ) -> tuple[tuple[np.ndarray, np.ndarray], np.ndarray | None]:
        """((picture, landmarks), reading) at a point, with the sliders there."""
        drawn = draw(self._person(settings), va, settings)
        return drawn, self._read(*drawn)

    def _person(self, settings: Mapping[str, float]) -> Identity:
        return sample_identity(np.random.default_rng(self._seed + int(settings["person"]) - 1))

    def _read(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        answer = None if self._reader is None else self._reader(picture, landmarks)
        if answer is None:
            return None
        va = np.asarray(answer, dtype=float).reshape(-1)
        if va.shape != (2,) or not np.isfinite(va).all():
            raise UserError(
                f"the {self.name} answered {answer!r}; it must give two finite numbers."
            )
        return np.clip(va, -1, 1)


def plane(
    reader: Reader | None = None,
    *,
    name: str = "model",
    start: tuple[float, float] = (0.5, 0.3),
    seed: int = 7,
) -> Plane:
    """A valence-arousal plane with a point to drag; a drawn face follows, and a model reads it.

    Sliders change the person, the head's pose and the light, which a good model should not mind.

    Args:
        reader: from a picture (H, W, 3) uint8 RGB and its landmarks (68, 2) to (valence, arousal),
            or to None where it finds no face; see `read_with_run` and `read_with_predictor`.
            Without one, the face alone is shown.
        name: how the model is called, as in "the NAME reads".
        start: where the point is at first.
        seed: chooses the people.

    Raises:
        UserError: `start` is not a point.
    """
    return Plane(reader, name, point_of(start), seed)


def read_with_run(run: Path) -> Reader:
    """A reader with the trained network of a finished run folder, on the CPU.

    Raises:
        UserError: the run is not finished, kept no model, or is damaged.
    """
    import torch

    from ..training import load_model, predict

    model = load_model(run)
    size = json.loads((run / "config.json").read_text())["image_size"]

    def read(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        crop, _ = crop_face(picture, landmarks, size)
        images = torch.from_numpy(crop[None])
        return predict(model, images, np.array([0]), torch.device("cpu"))[0]

    return read


def read_with_predictor(predictor: FacePredictor) -> Reader:
    """A reader with a predictor of the camera: it has to find the face by itself."""

    def read(picture: np.ndarray, _: np.ndarray) -> np.ndarray | None:
        predictor.reset()  # each picture may be of another person
        readings = predictor(picture)
        return readings[0].va if readings else None

    return read
