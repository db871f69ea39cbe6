"""The browser's camera in a notebook: its pictures go to the kernel, predictions come back.

The page asks for the camera and sends one picture at a time; the next one goes when the answer to
the last is there, so a slow model lowers the rate and never makes a queue. It is the page's own
camera and connection: it works the same when Jupyter runs on another machine. No picture is kept.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from time import monotonic, perf_counter
from typing import Any

import numpy as np
import pandas as pd
import traitlets
from matplotlib.figure import Figure

from ..base import UserError
from ..live import FacePrediction, Predictor
from ..report import plots
from ..simulator import EMOTIONS, Scene, action_units, render, sample_identity
from .base import ONE_AT_A_TIME, Interactive, from_jpeg, json_numbers, script, va_of

# The poses of the thesis's check, section 5.2, and the emotions that the examples are drawn with.
POSES = {"neutral": "neutral", "happy": "happiness", "angry": "anger"}
POSE_COLUMNS = ("pose", "valence", "arousal", "valence_sd", "arousal_sd", "frames", "seconds")
_LEAST_SEEN = 0.5  # of a held pose's pictures must show the face
_SILENT = 2.0  # seconds without a picture: the camera is off


@dataclass
class _Hold:
    """A pose that is being held. Times are in seconds of the monotonic clock."""

    name: str
    begins: float
    ends: float
    face: int | None = None
    pictures: int = 0
    va: list[np.ndarray] = field(default_factory=list)

    def see(self, predictions: Sequence[FacePrediction]) -> None:
        """Take the predictions for a picture: of the largest face first, of the same one after."""
        self.pictures += 1
        if self.face is None and predictions:
            self.face = predictions[0].face
        self.va += [np.asarray(p.va, float) for p in predictions if p.face == self.face]

    def row(self) -> dict[str, Any]:
        """The held pose as a row of `poses`; UserError where the face was seen too rarely."""
        if len(self.va) < max(2, _LEAST_SEEN * self.pictures):
            raise UserError(
                f"{self.name} was not kept: the face was seen in {len(self.va)} of {self.pictures} "
                "pictures; look into the camera and hold the pose again."
            )
        mean, sd = np.mean(self.va, axis=0).tolist(), np.std(self.va, axis=0, ddof=1).tolist()
        values = [self.name, *mean, *sd, len(self.va), float(self.ends - self.begins)]
        return dict(zip(POSE_COLUMNS, values, strict=True))


class CameraWidget(Interactive):
    """The browser's camera, with predictions drawn over its picture; the page starts and stops it.

    Show it as the last line of a cell. `poses` is the table of held poses, `hold` does from Python
    what the button does.

    Args:
        predictor: predicts for the faces of consecutive pictures, the largest first.
        poses: names that "Hold the pose" offers; others can be typed.
    """

    _esm = script("camera.js")
    names = traitlets.List().tag(sync=True)  # poses that the page offers
    hold_seconds = traitlets.Float(3.0).tag(sync=True)
    ready_seconds = traitlets.Float(2.0).tag(sync=True)  # between the button and the first picture
    held = traitlets.List([]).tag(sync=True)  # rows of `poses`

    def __init__(self, predictor: Predictor, *, poses: Sequence[str] = tuple(POSES)) -> None:
        super().__init__(names=list(poses))
        self._predictor = predictor
        self._hold: _Hold | None = None
        self._view: str | None = None  # the page's view that sent the last picture
        self._seen = -np.inf  # when

    @property
    def poses(self) -> pd.DataFrame:
        """The poses held so far, a row each, in [-1, 1].

        Columns: pose; valence and arousal, the means over the pictures; their standard deviations;
        frames, the pictures in which the face was seen; seconds.
        """
        return pd.DataFrame(list(self.held), columns=list(POSE_COLUMNS))

    @property
    def is_on(self) -> bool:
        """Whether pictures are coming in."""
        return monotonic() - self._seen < _SILENT

    def hold(self, name: str) -> None:
        """Take the mean prediction of the next seconds as a row of `poses`; does not wait for it.

        UserError where the camera is off, a pose is being held already, or the name is not one.
        """
        name = name.strip() if isinstance(name, str) else ""
        if not 0 < len(name) <= 40:
            raise UserError("a pose needs a name of at most 40 letters, for example happy.")
        with ONE_AT_A_TIME:
            if not self.is_on:
                raise UserError("the camera is off; press Start in the widget, then hold a pose.")
            if self._hold is not None:
                raise UserError(f"{self._hold.name} is being held; wait until it is done.")
            begins = monotonic() + self.ready_seconds
            self._hold = _Hold(name, begins, begins + self.hold_seconds)

    def forget(self) -> None:
        """Empty the table of poses."""
        self.held = []

    def on_start(self, content: dict) -> dict:
        """A view has turned its camera on."""
        self._predictor.reset()
        self._hold = None
        self._view, self._seen = content["view"], monotonic()
        return {}

    def on_stop(self, content: dict) -> dict:
        """A view has turned its camera off; a pose that was being held is dropped."""
        if self._view == content["view"]:
            self._hold, self._seen = None, -np.inf
        return {}

    def on_hold(self, content: dict) -> dict:
        """The page's button for `hold`."""
        self.hold(content.get("name"))
        return {}

    def on_frame(self, content: dict) -> dict:
        """Predict for a picture; the answer carries the faces and how far a held pose is."""
        picture = from_jpeg(content["buffers"])
        started = perf_counter()
        predictions = self._predictor(picture)
        took = 1e3 * (perf_counter() - started)
        if content["view"] != self._view:  # a second view of this widget has taken over
            self._view, self._hold = content["view"], None
        self._seen = monotonic()
        faces = [_for_page(prediction) for prediction in predictions]
        answer = {"size": list(picture.shape[1::-1]), "faces": faces, "milliseconds": took}
        return answer | self._go_on(predictions)

    def _go_on(self, predictions: Sequence[FacePrediction]) -> dict[str, Any]:
        """Carry a held pose through one picture; what the page has to know about it."""
        hold, now = self._hold, self._seen
        if hold is None:
            return {}
        if now < hold.begins:
            return {"hold": {"pose": hold.name, "ready": hold.begins - now}}
        if now < hold.ends:
            hold.see(predictions)
            return {"hold": {"pose": hold.name, "left": hold.ends - now}}
        self._hold = None
        try:
            row = hold.row()
        except UserError as error:
            return {"lost": str(error)}
        self.held = [*self.held, row]
        return {"kept": row}

    def figure(self) -> Figure:
        """Three drawn faces with predictions, as if they were pictures of the camera."""
        person = sample_identity(np.random.default_rng(7))
        figure = Figure(figsize=(11, 3.1), layout="constrained")
        *axs, plane = figure.subplots(1, 4, width_ratios=(1, 1, 1, 1.05))
        plots.plane(plane, emotions=False)
        for ax, (pose, emotion) in zip(axs, POSES.items(), strict=True):
            true = np.array(EMOTIONS[emotion])
            picture, _ = render(person, action_units(true), Scene(scale=0.25), (480, 480))
            self._predictor.reset()  # each is a first picture
            predictions = self._predictor(picture)
            self._predictor.reset()
            plots.picture(ax, picture, faces=plots.DRAWN)
            ax.axis("off")
            plane.plot(*true, "o", ms=5, color="0.2")
            plane.annotate(pose, true, (0, 7), textcoords="offset points", ha="center",
                           fontsize="small")  # fmt: skip
            values = []
            for prediction in predictions:
                left, top, right, bottom = prediction.box
                ax.plot([left, right, right, left, left], [top, top, bottom, bottom, top], "w")
                ax.plot(*np.asarray(prediction.landmarks).T, "w.", ms=2.5)
                v, a = prediction.va
                values.append(f"V {v:+.2f}  A {a:+.2f}".replace("-", "−"))
                plane.plot([true[0], v], [true[1], a], color=plots.READING, lw=1, alpha=0.7)
                plane.plot(v, a, "D", ms=6, color=plots.READING, mec="white")
            ax.set_title(f"{pose}\n{'; '.join(values) or 'no face found'}", fontsize="small")
        plane.set_title("drawn (dot) and predicted (diamond)", fontsize="small")
        return figure

    def words(self) -> tuple[str, str]:
        return (
            "Three drawn faces, neutral, happy and angry, with 68 points and the predictions, and "
            "these predictions in the valence-arousal plane",
            "In JupyterLab the picture of your own camera is here, with the points and the "
            "prediction of each face; no picture is kept. This example is of simulated faces.",
        )


def _for_page(prediction: FacePrediction) -> dict[str, Any]:
    """A prediction as JSON can carry it."""
    return {
        "face": int(prediction.face),
        "box": json_numbers(prediction.box, 1),
        "landmarks": np.round(np.asarray(prediction.landmarks, dtype=float), 1).tolist(),
        "va": json_numbers(va_of(prediction.va, "predictor"), 4),
        "milliseconds": {k: round(float(v), 2) for k, v in prediction.milliseconds.items()},
    }


camera = CameraWidget  # as a notebook calls it
