"""68 facial landmarks in iBUG order, the order of AFEW-VA's own."""

import importlib.util
from functools import cache
from pathlib import Path

import numpy as np

from .errors import UserError

REGIONS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "outer lip": slice(48, 60),
    "inner lip": slice(60, 68),
}
OUTER_EYE_CORNERS = (36, 45)


@cache
def _dlib():
    """dlib's face detector and its 68-point predictor (Kazemi & Sullivan 2014)."""
    try:
        import dlib
    except ImportError as error:
        raise UserError("dlib is not installed; pip install dlib-bin.") from error
    # The package's own import fails with current setuptools, and only its file is needed.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None:
        raise UserError("dlib's model is missing; pip install face-recognition-models.")
    folder = Path(package.submodule_search_locations[0]) / "models"
    model = folder / "shape_predictor_68_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))


def dlib_landmarks(image: np.ndarray) -> np.ndarray | None:
    """Landmarks of the largest face that dlib finds.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (68, 2) float32 in pixels, or None where no face is found.

    Raises:
        UserError: dlib or its model is not installed.
    """
    detector, predictor = _dlib()
    boxes = detector(image, 0)
    if not boxes:
        return None
    found = predictor(image, max(boxes, key=lambda box: box.area()))
    return np.array([(part.x, part.y) for part in found.parts()], np.float32)


def relative_error(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance of each point from the exact one, as a share of the outer-eye-corner distance.

    Args:
        found: (68, 2) in pixels.
        exact: (68, 2) in pixels.

    Returns:
        (68,)
    """
    left, right = OUTER_EYE_CORNERS
    return np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact[left] - exact[right])
