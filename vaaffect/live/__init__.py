"""A picture, clip or camera -> predictions, one picture at a time.

Comes in: a run folder with a trained network, and a source of pictures. Goes out: a row per face,
annotated pictures, exported networks, and how acted emotions are predicted.
"""

from . import acted_emotions, loop, overlay
from .predictor import STAGES, FacePrediction, Predictor, Smoother, find_run
from .sources import Clip, open_camera

__all__ = [
    "STAGES", "Clip", "FacePrediction", "Predictor", "Smoother", "acted_emotions", "find_run",
    "loop", "open_camera", "overlay",
]  # fmt: skip
