"""A picture, clip or camera -> predictions, one picture at a time.

Comes in: a run folder with a trained network, and a source of pictures. Goes out: a row per face,
annotated pictures, exported networks, how acted emotions are predicted, and neutral and smiling
photographs of the same person.
"""

from . import acted_emotions, loop, overlay, people
from .photographs import PhotoPairs, load_people
from .predictor import STAGES, FacePrediction, Predictor, Smoother, find_run, find_runs
from .sources import Clip, open_camera

__all__ = [
    "STAGES", "Clip", "FacePrediction", "PhotoPairs", "Predictor", "Smoother",
    "acted_emotions", "find_run", "find_runs", "load_people", "loop", "open_camera", "overlay",
    "people",
]  # fmt: skip
