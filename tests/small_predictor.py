"""A small real predictor for the widgets' tests: dlib finds the points, a ridge predicts."""

from time import perf_counter

import numpy as np
from sklearn.linear_model import Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from vaaffect.classical.features import geometry
from vaaffect.corpora.tracking import FacesTracker
from vaaffect.live.predictor import FacePrediction
from vaaffect.simulator import landmarks_of, sample_identity, sample_scene
from vaaffect.simulator.circumplex import action_units


def fitted_line(people: int = 60, faces: int = 10, seed: int = 0):
    """A ridge from landmark geometry to (valence, arousal), fitted on faces of the simulator."""
    rng = np.random.default_rng(seed)
    va = rng.uniform(-1, 1, (people * faces, 2))
    va /= np.maximum(np.linalg.norm(va, axis=1, keepdims=True), 1)
    persons = [sample_identity(rng) for _ in range(people)]
    points = np.stack([
        landmarks_of(persons[i // faces], action_units(one), sample_scene(rng, 0.2))
        for i, one in enumerate(va)
    ])  # fmt: skip
    # As far off as dlib's are, by the distance of the outer eye corners.
    eyes = np.linalg.norm(points[:, 36] - points[:, 45], axis=1)
    points += rng.normal(0, 0.02, points.shape) * eyes[:, None, None]
    return make_pipeline(StandardScaler(), Ridge(100.0)).fit(geometry(points), va)


class SmallPredictor:
    """One face at a time."""

    def __init__(self) -> None:
        self.line = fitted_line()
        self.reset()

    def reset(self) -> None:
        self.track = FacesTracker()

    def __call__(self, picture: np.ndarray) -> list[FacePrediction]:
        started = perf_counter()
        faces = self.track(picture)
        if not faces:
            return []
        _, points = faces[0]
        found = perf_counter()
        va = np.clip(self.line.predict(geometry(points[None]))[0], -1, 1)
        times = {"landmarks": 1e3 * (found - started), "model": 1e3 * (perf_counter() - found)}
        return [FacePrediction(0, (*points.min(axis=0), *points.max(axis=0)), points, va, times)]
