"""68 facial landmarks in iBUG order, the order of AFEW-VA's own.

AFEW-VA brings its landmarks. For corpora that do not, and for a camera, dlib finds them: a detector
that looks for a face, and a predictor (Kazemi & Sullivan 2014) that puts the points on it.
"""

import hashlib
import importlib.util
import io
import json
from collections.abc import Callable
from dataclasses import replace
from functools import cache as once
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..base import LANDMARKS, UserError, in_processes, read_manifest, write_atomically
from .corpus import PROBLEM_COLUMNS, Corpus
from .pictures import name_of, read_pictures, tasks

REGIONS = {
    "jaw": slice(0, 17),
    "brows": slice(17, 27),
    "nose": slice(27, 36),
    "eyes": slice(36, 48),
    "outer lip": slice(48, 60),
    "inner lip": slice(60, 68),
}
OUTER_EYE_CORNERS = (36, 45)
# Point i of a mirrored face is point MIRRORED[i] of the face.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]  # fmt: skip

VERSION = 1  # change it when the same pictures would give other landmarks

# Of the trackers. The detector's time grows with the pixels it is shown; it knows faces from 80
# pixels on.
_LONGEST = 480  # longest side of a whole picture that is searched
_LARGEST = 1920  # the same, where nothing was found in the smaller one; no corpus has larger ones
_FACE = 100  # width to which the last face is scaled before it is looked for again
_ROOM = 0.35  # of the last face's size: how far around it one looks
WHOLE_EVERY = 30  # pictures; then the whole picture is searched, for somebody may have come nearer

OVERLAP = 0.3  # boxes that share more than this are of the same face

Box = tuple[float, float, float, float]  # left, top, right, bottom in pixels


@once
def dlib_models() -> tuple:
    """dlib's face detector and its 68-point predictor.

    Raises:
        UserError: dlib or its model is not installed.
    """
    try:
        import dlib
    except ImportError as error:
        raise UserError(
            "dlib is not installed; pip install dlib-bin face-recognition-models."
        ) from error
    # The package's own import fails with current setuptools, and only its file is needed.
    package = importlib.util.find_spec("face_recognition_models")
    if package is None:
        raise UserError("dlib's model is missing; pip install face-recognition-models.")
    folder = Path(package.submodule_search_locations[0]) / "models"
    model = folder / "shape_predictor_68_face_landmarks.dat"
    return dlib.get_frontal_face_detector(), dlib.shape_predictor(str(model))


class FaceFinder:
    """dlib's detector, shown as few pixels as will do, and its 68 points.

    Raises:
        UserError: dlib or its model is not installed.
    """

    def __init__(self) -> None:
        self._detector, self._predictor = dlib_models()

    def _box_nearby(self, image: np.ndarray, centre: np.ndarray, size: float) -> Box | None:
        reach = (0.5 + _ROOM) * size
        low = np.clip(centre - reach, 0, None).astype(int)
        high = np.clip(centre + reach, 0, image.shape[1::-1]).astype(int)
        if np.any(high - low < 2):  # the face has left, or this picture is smaller
            return None
        window = image[low[1] : high[1], low[0] : high[0]]
        boxes = self._detect(window, _FACE / size)
        shifted = [(x + low[0], y + low[1], x2 + low[0], y2 + low[1]) for x, y, x2, y2 in boxes]
        return min(shifted, key=lambda box: _distance(box, centre), default=None)

    def _boxes_anywhere(self, image: np.ndarray, thorough: bool = False) -> list[Box]:
        """Boxes of the faces in a whole picture; `thorough` looks for small ones beside large."""
        side = max(image.shape[:2])
        boxes = self._detect(image, min(1.0, _LONGEST / side))
        if side > _LONGEST and (thorough or not boxes):
            finer = self._detect(image, min(1.0, _LARGEST / side))
            boxes += [box for box in finer if all(overlap(box, b) < OVERLAP for b in boxes)]
        return boxes

    def _detect(self, image: np.ndarray, scale: float) -> list[Box]:
        """Boxes of the faces in a picture that is scaled before it is searched."""
        if scale != 1:
            how = cv2.INTER_AREA if scale < 0.5 else cv2.INTER_LINEAR
            image = cv2.resize(image, None, fx=scale, fy=scale, interpolation=how)
        found = self._detector(np.ascontiguousarray(image), 0)
        corners = [(b.left(), b.top(), b.right() + 1, b.bottom() + 1) for b in found]
        return [tuple(value / scale for value in box) for box in corners]

    def _points(self, image: np.ndarray, box: Box) -> np.ndarray:
        import dlib

        left, top, right, bottom = (round(value) for value in box)
        rectangle = dlib.rectangle(left, top, right - 1, bottom - 1)
        found = self._predictor(np.ascontiguousarray(image), rectangle)
        return np.array([(part.x, part.y) for part in found.parts()], np.float32)


class FaceTracker(FaceFinder):
    """Landmarks of one face through the consecutive pictures of a clip or a camera.

    The first face is the largest of a picture. Afterwards the detector is shown a small window
    around the last one, and the whole picture only where that has no face, and now and then.
    A picture without a face makes it forget. The points are always put on the full-size picture.

    Raises:
        UserError: dlib or its model is not installed.
    """

    def __init__(self) -> None:
        super().__init__()
        self._place: tuple[np.ndarray, float] | None = None  # centre and size of the last face
        self._since_whole = 0  # pictures

    def __call__(self, image: np.ndarray) -> np.ndarray | None:
        """The landmarks in the next picture.

        Args:
            image: (H, W, 3) uint8 RGB; the size may change from call to call.

        Returns:
            (68, 2) float32 in pixels of `image`, or None where no face is found.
        """
        self._since_whole += 1
        box = None
        if self._place is not None and self._since_whole < WHOLE_EVERY:
            box = self._box_nearby(image, *self._place)
        if box is None:
            box = self._box_anywhere(image)
            self._since_whole = 0
        if box is None:
            self._place = None
            return None
        points = self._points(image, box)
        # From the points, not from the box: the detector knows sizes in steps of a fifth only.
        low, high = points.min(axis=0), points.max(axis=0)
        self._place = (low + high) / 2, float((high - low).max())
        return points

    def _box_anywhere(self, image: np.ndarray) -> Box | None:
        boxes = self._boxes_anywhere(image)
        if not boxes:
            return None
        largest = max(boxes, key=_width)
        if self._place is None:
            return largest
        # Two people of about the same size must not take turns.
        centre, size = self._place
        same = min(boxes, key=lambda box: _distance(box, centre))
        near = _distance(same, centre) < size and _width(same) > 0.7 * _width(largest)
        return same if near else largest


def _width(box: Box) -> float:
    return box[2] - box[0]


def _distance(box: Box, point: np.ndarray) -> float:
    return float(np.hypot((box[0] + box[2]) / 2 - point[0], (box[1] + box[3]) / 2 - point[1]))


def overlap(one: Box, other: Box) -> float:
    """Area that two boxes share, as a share of the area that they cover together (IoU)."""
    width = min(one[2], other[2]) - max(one[0], other[0])
    height = min(one[3], other[3]) - max(one[1], other[1])
    if width <= 0 or height <= 0:
        return 0.0
    areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (one, other)]
    return width * height / (sum(areas) - width * height)


def dlib_landmarks(image: np.ndarray) -> np.ndarray | None:
    """Landmarks of the largest face that dlib finds in a single picture.

    Args:
        image: (H, W, 3) uint8 RGB.

    Returns:
        (68, 2) float32 in pixels, or None where no face is found.

    Raises:
        UserError: dlib or its model is not installed.
    """
    return FaceTracker()(image)


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


def landmark_corpus(
    corpus: Corpus,
    *,
    cache: Path = LANDMARKS,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Corpus:
    """Find the landmarks of a corpus that has none, once; later calls open the result.

    What is kept is enough to go on without dlib, on another machine for example.

    Args:
        corpus: any corpus; one that has landmarks is returned as it is.
        cache: folder in which landmarks are kept.
        workers: processes; None uses every core.
        progress: called with (frames done, frames in all).

    Returns:
        The corpus with landmarks (N, 68, 2) float32 in native pixels. Frames that cannot be decoded
        or show no face are left out and listed in `problems`.

    Raises:
        UserError: no face in any frame, a damaged cache, dlib is missing, or a full disk.
    """
    if corpus.landmarks is not None:
        return corpus
    key = hashlib.sha256(f"{corpus.fingerprint()} {VERSION}".encode()).hexdigest()[:16]
    folder = cache / f"{corpus.name}-{key}"
    try:
        if read_manifest(folder) is None:
            _build(corpus, folder, workers, progress)
        points = np.load(folder / "landmarks.npy")
        failed = pd.read_csv(folder / "failed.csv")
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or make "
            "the folder writable, then run again."
        ) from error
    lost = corpus.frames.iloc[failed["row"]]
    names = [name_of(*of) for of in zip(lost["source"], lost["source_index"], strict=True)]
    problems = pd.DataFrame({"path": names, "reason": failed["reason"]}, columns=PROBLEM_COLUMNS)
    sound = np.setdiff1d(np.arange(len(points)), failed["row"])
    return replace(
        corpus,
        frames=corpus.frames.iloc[sound].reset_index(drop=True),
        landmarks=points[sound],
        problems=pd.concat([corpus.problems, problems], ignore_index=True),
    )


def _build(
    corpus: Corpus,
    folder: Path,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> None:
    """Write landmarks and failures of all frames; the manifest last, it says they are whole."""
    try:
        dlib_models()
    except UserError as error:
        raise UserError(
            f"{corpus.root}: has no landmarks, and {str(error).rstrip('.')}; or copy the folder "
            f"{folder} from a machine on which they were found."
        ) from error
    folder.mkdir(parents=True, exist_ok=True)
    frames = corpus.frames
    columns = [frames[name].to_numpy() for name in ("source", "source_index", "clip")]
    pieces = tasks(frames)
    arguments = [(corpus.root, *(list(column[rows]) for column in columns)) for rows in pieces]
    points = np.full((len(frames), 68, 2), np.nan, np.float32)
    failed: list[tuple[int, str]] = []
    done = 0
    for number, (found, reasons) in in_processes(_landmark_piece, arguments, workers):
        rows = pieces[number]
        points[rows] = found
        failed += [(int(rows[i]), reason) for i, reason in reasons.items()]
        done += len(rows)
        if progress is not None:
            progress(done, len(frames))
    if len(failed) == len(frames):
        source, index, _ = (column[0] for column in columns)
        raise UserError(
            f"{corpus.root}: has no face in any of its {len(frames)} frames (first: "
            f"{name_of(source, index)}: {min(failed)[1]}); check what it shows."
        )
    array = io.BytesIO()
    np.save(array, points)
    table = pd.DataFrame(sorted(failed), columns=["row", "reason"]).astype({"row": int})
    contents = {
        "landmarks.npy": array.getvalue(),
        "failed.csv": table.to_csv(index=False).encode(),
    }
    for name, data in contents.items():
        write_atomically(folder / name, data)
    hashes = {name: hashlib.sha256(data).hexdigest() for name, data in contents.items()}
    manifest = {"label": corpus.label, "version": VERSION, "sha256": hashes}
    write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))


def _landmark_piece(
    root: Path, sources: list[str], indices: list[int], clips: list[str]
) -> tuple[np.ndarray, dict[int, str]]:
    """(landmarks (n, 68, 2), nan where there are none; {position: why there are none})."""
    points = np.full((len(sources), 68, 2), np.nan, np.float32)
    reasons: dict[int, str] = {}
    clip, track = None, FaceTracker()
    for i, image, reason in read_pictures(root, sources, indices):
        if clips[i] != clip:
            clip, track = clips[i], FaceTracker()
        found = None if image is None else track(image)
        if found is None:
            reasons[i] = reason or "no face found"
        else:
            points[i] = found
    return points, reasons
