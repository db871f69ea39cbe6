"""Faces through the pictures of a clip or a camera: 68 landmarks each, and a number that stays.

dlib finds them: a detector that looks for faces, and a predictor (Kazemi & Sullivan 2014) that puts
the points on them. A face is known by its place, not by its looks: it keeps its number as long as
its box overlaps the one before. Whoever leaves and comes back to the same place soon gets the old
number, anybody else a new one. Nobody is recognized.
"""

import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import cv2
import numpy as np

from ..base import UserError

# The detector's time grows with the pixels it is shown; it knows faces from 80 pixels on.
_LONGEST = 480  # longest side of a whole picture that is searched
_LARGEST = 1920  # the same, where nothing was found in the smaller one; no corpus has larger ones
_DOUBLE = 2.0  # how a picture is enlarged that is small itself, where nothing was found in it
_FACE = 100  # width to which the last face is scaled before it is looked for again
_ROOM = 0.35  # of the last face's size: how far around it one looks
WHOLE_EVERY = 30  # pictures; then the whole picture is searched, for somebody may have come nearer
MEMORY = 30  # pictures for which the place of a lost face is remembered
_OVERLAP = 0.3  # boxes that share more than this are of the same face

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels
Faces = list[tuple[int, np.ndarray]]  # (number, landmarks (68, 2) float32 in pixels), largest first


def dlib_model() -> Path:
    """The file of dlib's 68-point predictor. UserError: it or dlib is not installed."""
    try:
        import dlib  # noqa: F401
    except ImportError as error:
        cure = "pip install dlib-bin face-recognition-models"
        raise UserError(f"dlib is not installed; {cure}.") from error
    # The package's own import fails with current setuptools, and only its file is needed.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None:
        raise UserError("dlib's model is missing; pip install face-recognition-models.")
    folder = Path(package.submodule_search_locations[0]) / "models"
    return folder / "shape_predictor_68_face_landmarks.dat"


@cache
def dlib_models() -> tuple:
    """dlib's face detector and its 68-point predictor, which take seconds to load. UserError as of
    `dlib_model`."""
    model = dlib_model()
    import dlib

    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))


@dataclass
class _Known:
    box: Box  # around the landmarks of the last picture that showed it
    missing: int = 0  # pictures since then


class FacesTracker:
    """Landmarks of all faces in consecutive pictures.

    Once found, a face is looked for in a small window around its last place, and the whole picture
    is searched where that fails, and now and then. The points are always put on the full-size
    picture. `thorough` also looks for small faces beside large ones, at several times the cost; for
    single pictures. UserError: dlib or its model is not installed.
    """

    def __init__(self, thorough: bool = False) -> None:
        self._detector, self._predictor = dlib_models()
        self.thorough = thorough
        self.reset()

    def reset(self) -> None:
        """Forget all faces; the next one gets number 0."""
        self._known: dict[int, _Known] = {}
        self._count = 0  # numbers handed out so far
        self._since_whole = 0  # pictures

    def __call__(self, image: np.ndarray) -> Faces:
        """The faces of the next picture (H, W, 3) uint8 RGB, of any size."""
        self._since_whole += 1
        seen = {number: face for number, face in self._known.items() if not face.missing}
        found: dict[int, np.ndarray] = {}
        boxes: list[Box] | None = None
        if not seen or self._since_whole >= WHOLE_EVERY:
            boxes = self._search(image)
        for number, face in seen.items():
            box = max(boxes or [], key=lambda box: _overlap(box, face.box), default=None)
            if box is None or _overlap(box, face.box) <= _OVERLAP:  # none of them is this face
                box = self._box_nearby(image, face.box)
            if box is not None:
                self._add(image, box, number, found)
        if boxes is None and len(found) < len(seen):
            boxes = self._search(image)
        for box in sorted(boxes or [], key=_area, reverse=True):
            self._add(image, box, None, found)
        for number, face in list(self._known.items()):
            face.missing = 0 if number in found else face.missing + 1
            if face.missing > MEMORY:
                del self._known[number]
        return sorted(found.items(), key=lambda item: -_area(_extent(item[1])))

    def _search(self, image: np.ndarray) -> list[Box]:
        """Boxes of the faces in a whole picture, which is made smaller first, and in finer detail
        where it shows none."""
        self._since_whole = 0
        side = max(image.shape[:2])
        boxes = self._detect(image, min(1.0, _LONGEST / side))
        if side <= _LONGEST and not boxes:  # as a small portrait whose face has 40 to 80 pixels
            return self._detect(image, _DOUBLE)
        if side > _LONGEST and (self.thorough or not boxes):
            finer = self._detect(image, min(1.0, _LARGEST / side))
            boxes += [box for box in finer if all(_overlap(box, b) < _OVERLAP for b in boxes)]
        return boxes

    def _box_nearby(self, image: np.ndarray, last: Box) -> Box | None:
        """The box in a window around a face's last place that is nearest to it."""
        low, high = np.reshape(last, (2, 2))
        # From the points, not from a detector's box: that knows sizes in steps of a fifth only.
        centre, size = (low + high) / 2, float((high - low).max())
        reach = (0.5 + _ROOM) * size
        low = np.clip(centre - reach, 0, None).astype(int)
        high = np.clip(centre + reach, 0, image.shape[1::-1]).astype(int)
        if np.any(high - low < 2):  # the face has left, or this picture is smaller
            return None
        window = image[low[1] : high[1], low[0] : high[0]]
        boxes = self._detect(window, _FACE / size)
        shifted = [(x + low[0], y + low[1], x2 + low[0], y2 + low[1]) for x, y, x2, y2 in boxes]

        def distance(box: Box) -> float:
            x, y = (box[0] + box[2]) / 2, (box[1] + box[3]) / 2
            return float(np.hypot(x - centre[0], y - centre[1]))

        return min(shifted, key=distance, default=None)

    def _detect(self, image: np.ndarray, scale: float) -> list[Box]:
        """Boxes of the faces in a picture that is scaled before it is searched."""
        if round(scale * min(image.shape[:2])) < 1:  # a strip of which nothing would be left
            return []
        if scale != 1:
            how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
        found = self._detector(np.ascontiguousarray(image), 0)
        corners = [(b.left(), b.top(), b.right() + 1, b.bottom() + 1) for b in found]
        return [tuple(value / scale for value in box) for box in corners]

    def _add(
        self, image: np.ndarray, box: Box, number: int | None, found: dict[int, np.ndarray]
    ) -> None:
        """Put the points on a face, unless it is one of those found already."""
        if any(_overlap(box, _extent(points)) > _OVERLAP for points in found.values()):
            return
        import dlib

        left, top, right, bottom = (round(value) for value in box)
        rectangle = dlib.rectangle(left, top, right - 1, bottom - 1)
        parts = self._predictor(np.ascontiguousarray(image), rectangle).parts()
        points = np.array([(part.x, part.y) for part in parts], np.float32)
        extent = _extent(points)
        if number is None:
            lost = {n: face for n, face in self._known.items() if n not in found}
            number = max(lost, key=lambda n: _overlap(lost[n].box, extent), default=None)
            if number is None or _overlap(lost[number].box, extent) <= _OVERLAP:
                number, self._count = self._count, self._count + 1
        found[number] = points
        self._known[number] = _Known(extent)


class KnownFaces:
    """A tracker without dlib: hands out landmarks (T, 68, 2) of one face that are known, in pixels,
    picture by picture."""

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = landmarks
        self.reset()

    def reset(self) -> None:
        """Begin again with the first picture."""
        self._next = iter(self.landmarks)

    def __call__(self, image: np.ndarray) -> Faces:
        """The face of the next picture; none after the last."""
        points = next(self._next, None)
        return [] if points is None else [(0, points)]


def _overlap(one: Box, other: Box) -> float:
    """Area that two boxes share, as a fraction of the area that they cover together (IoU)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    return width * height / (_area(one) + _area(other) - width * height)


def _extent(points: np.ndarray) -> Box:
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
