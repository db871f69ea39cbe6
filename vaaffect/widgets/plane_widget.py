"""A valence-arousal plane to drag a point through: a drawn face follows, and a prediction."""

from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pandas as pd
import torch
import traitlets
from matplotlib.figure import Figure

from ..base import UserError
from ..corpora import crop_face
from ..report import plots
from ..simulator import Scene, action_units, build_set, render, sample_identity
from ..training import load_model, predict, read_config
from .base import ONE_AT_A_TIME, Control, Interactive, pair_of, script, settings_of, to_jpeg, va_of

# (picture (H, W, 3) uint8 RGB, its 68 landmarks) -> (valence, arousal), or None: no face found
FaceModel = Callable[[np.ndarray, np.ndarray], np.ndarray | None]

SIZE = (360, 360)  # of the drawn picture, pixels
FACES = 7  # along an axis of the static picture, which has those within the unit circle
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


def point_of(sent: Any) -> np.ndarray:
    """(valence, arousal) (2,) within the unit circle, to which farther points are pulled."""
    point = pair_of(sent, "the point", "a point; give valence and arousal")
    return point / max(np.hypot(*point), 1.0)


def draw(seed: int, va: np.ndarray, settings: Mapping[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """(picture (H, W, 3) uint8 RGB, landmarks (68, 2)) of a face, with values of CONTROLS."""
    light = np.array([settings["light_side"], -0.45, 0.86])
    light /= np.linalg.norm(light)
    scene = Scene(
        **{name: settings[name] for name in ("yaw", "pitch", "roll", "gain")},
        centre=(0.5, 0.43),
        scale=0.25,
        light=tuple(light.tolist()),
        ambient=1 - settings["contrast"],
    )
    person = sample_identity(np.random.default_rng(seed + int(settings["person"]) - 1))
    return render(person, action_units(va), scene, SIZE, build_set(scene, SIZE))


class Plane(Interactive):
    """A valence-arousal plane with a point to drag; a drawn face follows, and a model predicts.

    Sliders change the person, the head's pose and the light, which a good model should not mind.
    `settings` (the sliders' values), `va` (2,), `picture` (H, W, 3) uint8 RGB and `prediction` (2,)
    are those of the face drawn last; before the first there is none.

    Args:
        model: from a picture (H, W, 3) uint8 RGB and its landmarks (68, 2) to (valence, arousal),
            or to None where it finds no face; see `model_from_run`. Without one, the face alone is
            shown.
        name: how the model is called, as in "the NAME predicts".
        start: where the point is at first; UserError where it is not a point.
        seed: chooses the people.
    """

    _esm = script("plane.js")
    controls = traitlets.List([asdict(control) for control in CONTROLS]).tag(sync=True)
    start = traitlets.List([0.0, 0.0]).tag(sync=True)
    name = traitlets.Unicode("").tag(sync=True)  # of the model; empty: there is none

    def __init__(
        self, model: FaceModel | None = None, *, name: str = "model",
        start: tuple[float, float] = (0.5, 0.3), seed: int = 7,
    ) -> None:  # fmt: skip
        colours = {**plots.COLOURS, "prediction": plots.model_colour(name.lower(), plots.READING)}
        place = point_of(start).tolist()
        super().__init__(name=name if model else "", start=place, colours=colours)
        self._model, self._seed = model, seed
        self.va: np.ndarray | None = None
        self.settings: dict[str, float] = dict(DEFAULTS)
        self.picture: np.ndarray | None = None
        self.prediction: np.ndarray | None = None

    def move(self, valence: float, arousal: float, **settings: float) -> None:
        """Move the point, and sliders by name, in every view that is shown.

        UserError where they are not numbers, or for an unknown slider.
        """
        chosen = settings_of({**self.settings, **settings}, CONTROLS)
        self.send({"move": point_of((valence, arousal)).tolist(), "settings": chosen})

    def on_draw(self, content: dict) -> dict:
        """Draw a face and predict: {"va", "settings"} -> the picture, and the prediction."""
        va, settings = point_of(content.get("va")), settings_of(content.get("settings"), CONTROLS)
        started = perf_counter()
        picture, landmarks = draw(self._seed, va, settings)
        drawn = perf_counter()
        prediction = self._predict(picture, landmarks)
        predicted = perf_counter()
        self.va, self.settings, self.picture, self.prediction = va, settings, picture, prediction
        return {
            "va": va.tolist(),
            "prediction": None if prediction is None else prediction.tolist(),
            "milliseconds": {"draw": 1e3 * (drawn - started), "predict": 1e3 * (predicted - drawn)},
            "picture": to_jpeg(picture),
        }

    def figure(self) -> Figure:
        """Faces over the plane and, with a model, its predictions: the widget without a hand."""
        side = np.linspace(-1, 1, 2 * FACES + 1)[1::2]
        points = np.array([(v, a) for a in side for v in side if np.hypot(v, a) <= 1])
        faces = [draw(self._seed, va, DEFAULTS) for va in points]
        predictions = [self._predict(*face) for face in faces]
        crops = np.stack([crop_face(*face, 96, margin=0.2)[0] for face in faces])
        figure = Figure(figsize=(10.4, 5.2) if self.name else (5.4, 5.2), layout="constrained")
        axs = figure.subplots(1, 2 if self.name else 1, squeeze=False)[0]
        plots.faces_on_plane(crops, points, axs[0], cells=FACES, faces=plots.DRAWN)
        axs[0].set_title("a drawn face at each point")
        if self.name:
            seen = [i for i, prediction in enumerate(predictions) if prediction is not None]
            ends = np.reshape([predictions[i] for i in seen], (-1, 2))
            plots.prediction_lines(points[seen], ends, axs[1], self.colours["prediction"])
            axs[1].set_title("where it was drawn (dot) and predicted (diamond)")
        for ax in axs:
            ax.set(xticks=np.linspace(-1, 1, 5), yticks=np.linspace(-1, 1, 5))
        return figure

    def sweep(self, va: tuple[float, float], steps: int = 7) -> pd.DataFrame:
        """How far each slider alone moves the prediction for one expression, from end to end.

        Each slider takes `steps` values; every person is taken. UserError without a model, or where
        `va` is not a point.

        Returns:
            A row per slider: its name, and the largest less the smallest prediction of valence and
            of arousal. Faces that the model does not find are left out; nan where it finds none.
        """
        if self._model is None:
            raise UserError("this plane has no model to predict with; give one to plane().")
        point, rows = point_of(va), []
        for control in CONTROLS:
            count = int(control.high) if control.name == "person" else steps
            with ONE_AT_A_TIME:
                tried = [
                    self._predict(*draw(self._seed, point, DEFAULTS | {control.name: float(value)}))
                    for value in np.linspace(control.low, control.high, count)
                ]
            seen = [prediction for prediction in tried if prediction is not None]
            ranges = np.ptp(seen, axis=0).tolist() if seen else [np.nan, np.nan]
            rows.append((control.label, *ranges))
        return pd.DataFrame(rows, columns=["slider", "valence moves by", "arousal moves by"])

    def words(self) -> tuple[str, str]:
        lines = predicts = ""
        if self.name:
            lines = f", and a line from each point to what the {self.name} predicts there"
            predicts = f", and the {self.name} predicts at once"
        return (
            f"Drawn faces of one person over the valence-arousal plane{lines}",
            f"In JupyterLab one drags a point through this plane: the drawn face follows{predicts}."
            " The faces are simulated.",
        )

    def _predict(self, picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray | None:
        prediction = None if self._model is None else self._model(picture, landmarks)
        return None if prediction is None else np.clip(va_of(prediction, self.name), -1, 1)


plane = Plane  # as a notebook calls it


def model_from_run(run: Path) -> FaceModel:
    """The network of a run folder on the CPU, for `plane`; UserError where there is none whole."""
    network, size = load_model(run), read_config(run)["image_size"]

    def model(picture: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
        crop, _ = crop_face(picture, landmarks, size)
        images = torch.from_numpy(crop[None])
        return predict(network, images, np.array([0]), torch.device("cpu"))[0]

    return model
