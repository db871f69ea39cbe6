"""From a picture of a camera to valence and arousal, by exactly the steps of the training.

Landmarks, box, crop, network: `Predictor` holds them together. `loop.py` feeds it with pictures.
"""

import contextlib
import math
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from ..base import RUNS, UserError, expanded, runs_folder
from ..corpora import Faces, FacesTracker, KnownFaces, as_rgb, crop_face, face_box
from ..training import backbone_of, holds_model, load_model, read_config, read_done, refuse_clips
from .backends import Network, build_network

Tracker = FacesTracker | KnownFaces
Box = tuple[float, float, float, float]  # x0, y0, x1, y1
STAGES = ("landmarks", "crop", "network")


@dataclass(frozen=True)
class FacePrediction:
    """What is predicted for one face of one picture."""

    face: int  # number of the face, from 0, the same through a clip
    box: Box  # of the crop; may reach beyond the picture
    landmarks: np.ndarray  # (68, 2) float32; as the box in pixels of the picture
    va: np.ndarray  # (2,) float32, (valence, arousal) in [-1, 1]
    milliseconds: dict[str, float]  # per stage of STAGES, for all faces of the picture together


class Predictor:
    """Predicts for the faces of consecutive pictures.

    `network` maps crops (B, size, size, 3) uint8 to (B, 2), see `backends.build_network`. `tracker`
    finds the faces and their landmarks: dlib by default, loaded when first needed.
    """

    def __init__(self, network: Network, size: int, tracker: Tracker | None = None) -> None:
        self.network, self.size = network, size
        self._tracker = tracker

    @classmethod
    def from_run(
        cls, run: Path, backend: str = "torch", device: torch.device | str | None = None,
        tracker: Tracker | None = None,
    ) -> "Predictor":  # fmt: skip
        """A predictor with the network of a run folder, on a backend ("torch", "openvino").

        UserError: the run holds no model or is damaged; unknown backend or device.
        """
        config = read_config(run)
        refuse_clips(run, config)
        size = config["image_size"]
        return cls(build_network(load_model(run), size, backend, device), size, tracker)

    @property
    def tracker(self) -> Tracker:
        """Finds the faces and their landmarks."""
        if self._tracker is None:
            self._tracker = FacesTracker()
        return self._tracker

    def reset(self) -> None:
        """Forget the faces of the last pictures: the next picture begins another clip."""
        if self._tracker is not None:
            self._tracker.reset()

    def __call__(self, picture: np.ndarray | Image.Image) -> list[FacePrediction]:
        """The faces of the next picture, largest first; empty where there is none.

        The picture is (H, W, 3) uint8 RGB; also grey (H, W), RGBA (the alpha is left out) or 16
        bit; or one of Pillow, which a picture with a palette or in CMYK must be, see `as_rgb`; else
        ValueError. UserError where dlib or its model is not installed.
        """
        picture = as_rgb(picture)
        started = time.perf_counter()
        faces = self.tracker(picture)
        return self.predict_faces(picture, faces, 1000 * (time.perf_counter() - started))

    def predict_faces(
        self, picture: np.ndarray, faces: Faces, landmarks_ms: float = 0.0
    ) -> list[FacePrediction]:
        """Predict for faces of a picture (H, W, 3) uint8 RGB whose landmarks are known.

        Faces are (number, landmarks (68, 2) in pixels); those outside the picture are left out.
        To find them took `landmarks_ms` milliseconds.
        """
        started = time.perf_counter()
        crops, kept = [], []
        for number, points in faces:
            with contextlib.suppress(ValueError):  # outside the picture: there is nothing to see
                crops.append(crop_face(picture, points, self.size)[0])
                kept.append((number, points))
        cropped = time.perf_counter()
        if not kept:
            return []
        predicted = self.network(np.stack(crops))
        spent = {
            "landmarks": landmarks_ms,
            "crop": 1000 * (cropped - started),
            "network": 1000 * (time.perf_counter() - cropped),
        }
        return [
            FacePrediction(number, tuple(map(float, face_box(points))), points, va, spent)
            for (number, points), va in zip(kept, predicted, strict=True)
        ]


class Smoother:
    """Takes the flicker out of predictions: an exponential mean over time, for each face its own.

    A prediction that is `seconds` old weighs 1/e of the newest. Smoothed values lag behind.
    """

    def __init__(self, seconds: float) -> None:
        if not 0 < seconds < math.inf:
            raise UserError(f"smoothing takes a number of seconds above 0, not {seconds}.")
        self.seconds = seconds
        self._last: dict[int, tuple[float, np.ndarray]] = {}

    def __call__(self, face: int, time_s: float, va: np.ndarray) -> np.ndarray:
        """The smoothed (valence, arousal) of a face at a time in seconds."""
        if face in self._last:
            before, mean = self._last[face]
            weight = 1 - math.exp(-max(time_s - before, 0) / self.seconds)
            va = mean + weight * (va - mean)
        self._last[face] = time_s, va
        return va


def find_runs(name: str) -> list[Path]:
    """The runs with a trained network of pictures that a user means: a run folder, all of a folder
    of runs, or all of the study with a report profile. Damaged ones among several are named and
    left out. Where there is none, a UserError says which there are."""
    folder = expanded(name)
    if any((folder / file).is_file() for file in ("config.json", "done.json")):
        if not holds_model(folder):
            raise UserError(f"{folder}: holds no trained model; {_runs_in_words(folder.parent)}.")
        return [folder]
    damages = []
    for place in (folder, runs_folder(name)):
        kept, damaged = _with_model(place)
        damages += damaged
        if kept:
            for damage in damages:
                print(f"left out: {damage}", file=sys.stderr)
            return kept
    if damages:
        raise UserError("\n".join(damages))
    others = _runs_in_words()
    raise UserError(f"{name}: is no run folder and no profile with a kept model; {others}.")


def find_run(name: str) -> Path:
    """The run folder that a user means, see `find_runs`: of several that kept their model, the one
    with the least error on its inner validation part."""
    return min(find_runs(name), key=lambda run: read_done(run)["best_val_mse"])


def _with_model(folder: Path) -> tuple[list[Path], list[str]]:
    """The finished runs in a folder whose model was kept and takes single pictures, and what is
    damaged there."""
    kept, damages = [], []
    for path in sorted(folder.glob("*/model.pt")):
        run = path.parent
        try:
            # Weights alone may be those of a training that was killed before it was finished.
            if holds_model(run) and backbone_of(read_config(run)["model"]) is None:
                kept.append(run)
        except UserError as damage:
            damages.append(str(damage))
    return kept, damages


def _runs_in_words(*folders: Path) -> str:
    """Which runs with a model there are."""
    profiles = sorted(path for path in RUNS.glob("*") if path.is_dir())
    places = dict.fromkeys([*folders, *profiles])
    runs = [run for place in places for run in _with_model(place)[0]]
    if not runs:
        return "there are no runs with a model yet: run the study first (make study)"
    names = ", ".join(f"{run.parent.name}: {run.name}" for run in runs[:6])
    more = f", and {len(runs) - 6} more" if len(runs) > 6 else ""
    return f"runs with a model are {names}{more}"
