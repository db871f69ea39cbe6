"""Several faces through the pictures of a clip, each with a number that stays.

A face is known by its place, not by its looks: it keeps its number as long as its box overlaps the
one before. Whoever leaves and comes back to the same place soon gets the old number, anybody else a
new one. Nobody is recognized.
"""

from dataclasses import dataclass

import numpy as np

from .landmarks import OVERLAP, WHOLE_EVERY, Box, FaceFinder, overlap

MEMORY = 30  # pictures for which the place of a lost face is remembered

Faces = list[tuple[int, np.ndarray]]  # (number, landmarks (68, 2) float32 in pixels), largest first


@dataclass
class _Known:
    box: Box  # around the landmarks of the last picture that showed it
    missing: int = 0  # pictures since then


class FacesTracker(FaceFinder):
    """Landmarks of all faces in consecutive pictures.

    Of a single face they are those of `landmarks.FaceTracker`, with which the study's crops are
    made: once found, a face is looked for around its last place, and the whole picture is searched
    where that fails, and now and then.

    Args:
        thorough: also look for small faces beside large ones, at several times the cost; for
            single pictures.

    Raises:
        UserError: dlib or its model is not installed.
    """

    def __init__(self, thorough: bool = False) -> None:
        super().__init__()
        self.thorough = thorough
        self.reset()

    def reset(self) -> None:
        """Forget all faces; the next one gets number 0."""
        self._known: dict[int, _Known] = {}
        self._count = 0  # numbers given so far
        self._since_whole = 0  # pictures

    def __call__(self, image: np.ndarray) -> Faces:
        """The faces of the next picture.

        Args:
            image: (H, W, 3) uint8 RGB; the size may change from call to call.
        """
        self._since_whole += 1
        here = {number: face for number, face in self._known.items() if not face.missing}
        found: dict[int, np.ndarray] = {}
        boxes: list[Box] | None = None
        if not here or self._since_whole >= WHOLE_EVERY:
            boxes = self._search(image)
        for number, face in here.items():
            box = _best(face, boxes or [])
            if box is None:
                low, high = np.reshape(face.box, (2, 2))
                box = self._box_nearby(image, (low + high) / 2, float((high - low).max()))
            if box is not None:
                self._add(image, box, number, found)
        if boxes is None and len(found) < len(here):
            boxes = self._search(image)
        for box in sorted(boxes or [], key=_area, reverse=True):
            self._add(image, box, None, found)
        for number, face in list(self._known.items()):
            face.missing = 0 if number in found else face.missing + 1
            if face.missing > MEMORY:
                del self._known[number]
        return sorted(found.items(), key=lambda item: -_area(_extent(item[1])))

    def _search(self, image: np.ndarray) -> list[Box]:
        self._since_whole = 0
        return self._boxes_anywhere(image, self.thorough)

    def _add(
        self, image: np.ndarray, box: Box, number: int | None, found: dict[int, np.ndarray]
    ) -> None:
        """Put the points on a face, unless it is one of those found already."""
        if any(overlap(box, _extent(points)) > OVERLAP for points in found.values()):
            return
        points = self._points(image, box)
        extent = _extent(points)
        if number is None:
            lost = {n: face for n, face in self._known.items() if n not in found}
            number = max(lost, key=lambda n: overlap(lost[n].box, extent), default=None)
            if number is None or overlap(lost[number].box, extent) <= OVERLAP:
                number, self._count = self._count, self._count + 1
        found[number] = points
        self._known[number] = _Known(extent)


class KnownFaces:
    """Hands out landmarks of one face that are known, one after the other; a tracker without dlib.

    Args:
        landmarks: (T, 68, 2) in pixels, of the pictures of a clip in their order.
    """

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = landmarks
        self.reset()

    def reset(self) -> None:
        """Begin again with the first picture."""
        self._next = iter(self.landmarks)

    def __call__(self, image: np.ndarray) -> Faces:
        """The face of the next picture; none after the last."""
        return [(0, points) for points in [next(self._next, None)] if points is not None]


def _best(face: _Known, boxes: list[Box]) -> Box | None:
    best = max(boxes, key=lambda box: overlap(box, face.box), default=None)
    return best if best is not None and overlap(best, face.box) > OVERLAP else None


def _extent(points: np.ndarray) -> Box:
    return (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())


def _area(box: Box) -> float:
    return (box[2] - box[0]) * (box[3] - box[1])
