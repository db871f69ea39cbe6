"""Pictures of a corpus, whether they lie on disk as image files or as frames of a video."""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pandas as pd

from ..base import in_processes
from .corpus import Corpus
from .parts import part_path, read_part, write_part
from .problems import PROBLEM_COLUMNS

Progress = Callable[[int, int], None]  # (frames done, frames in all)
VIDEO_ENDINGS = (
    ".avi", ".mp4", ".m4v", ".mkv", ".mov", ".mpg", ".mpeg", ".webm", ".wmv", ".asf", ".flv",
    ".mts", ".m2ts", ".vob", ".ogv", ".3gp", ".divx",
)  # fmt: skip
# A damaged video makes FFmpeg print a line per block; what is wrong is in the lists of problems.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")
_STILLS = 64  # images per task: enough to amortise sending it, few enough for progress


@dataclass(frozen=True)
class Video:
    """What a video file says about itself."""

    frames: int  # a truncated file has fewer than it says
    fps: float  # per second
    size: tuple[int, int]  # (width, height) in pixels


def is_video(path: Path | str) -> bool:
    """Whether a file's ending is that of a video."""
    return Path(path).suffix.lower() in VIDEO_ENDINGS


def probe_video(path: Path) -> Video:
    """Open a video and read its length, speed and size. OSError: it is missing or may not be read;
    ValueError: it is no video, has no frame, or does not know its speed."""
    capture = _open_video(path)
    try:
        if not capture.grab():
            raise ValueError("the video has no frame")
        frames, fps = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        size = capture.get(cv2.CAP_PROP_FRAME_WIDTH), capture.get(cv2.CAP_PROP_FRAME_HEIGHT)
    finally:
        capture.release()
    if frames < 1 or not 1 <= fps <= 1000:
        raise ValueError(f"the video says it has {frames:.0f} frames at {fps:g} per second")
    return Video(int(frames), float(fps), (int(size[0]), int(size[1])))


@dataclass(frozen=True)
class Piece:
    """Frames of a corpus that one process reads in one go: image files, or all of one video."""

    root: Path
    rows: np.ndarray  # (n,) row numbers in the corpus; a video's in the order of time
    frames: pd.DataFrame  # these rows
    landmarks: np.ndarray | None  # (n, 68, 2) where the corpus has them

    def pictures(self) -> Iterator[tuple[int, np.ndarray | None, str | None]]:
        """As of `read_pictures`; the position counts within the piece."""
        columns = (self.frames[name].tolist() for name in ("source", "source_index"))
        return read_pictures(self.root, *columns)


def by_pieces(
    corpus: Corpus,
    work: Callable[..., list[Any]],
    settings: tuple,
    workers: int | None,
    progress: Progress | None,
    folder: Path | None = None,
) -> tuple[dict[int, Any], dict[int, str]]:
    """Read a whole corpus in as many processes as there are cores (or `workers`).

    `work(piece, *settings)` makes something of each picture, or a string that says why it cannot.
    Where it makes landmarks, and a `folder` is built from them, each piece's are kept there as soon
    as they are made, and pieces that an earlier build has kept are not read again (see `parts`).
    Returns ({row: what was made}, {row: why it was not}), both in the order of the rows.
    """
    pieces = []
    for rows in row_groups(corpus.frames):
        points = None if corpus.landmarks is None else corpus.landmarks[rows]
        pieces.append(Piece(corpus.root, rows, corpus.frames.iloc[rows], points))
    results: dict[int, Any] = {}

    def take(number: int, made: list[Any]) -> None:
        results.update(zip(pieces[number].rows.tolist(), made, strict=True))
        if progress is not None:
            progress(len(results), len(corpus.frames))

    todo = []
    for number in range(len(pieces)):
        made = None if folder is None else read_part(part_path(folder, number))
        todo.append(number) if made is None else take(number, made)
    tasks = [(pieces[number], *settings) for number in todo]
    for place, made in in_processes(work, tasks, workers):
        if folder is not None:
            write_part(part_path(folder, todo[place]), made)
        take(todo[place], made)
    reasons = {row: results.pop(row) for row in sorted(results) if isinstance(results[row], str)}
    return {row: results[row] for row in sorted(results)}, reasons


def row_groups(frames: pd.DataFrame) -> list[np.ndarray]:
    """The rows of each piece. A video is read from its beginning; image files go by the dozen."""
    moving = frames["source"].map(is_video).to_numpy(bool)
    stills = np.flatnonzero(~moving)
    groups = [stills[i : i + _STILLS] for i in range(0, len(stills), _STILLS)]
    rows = np.flatnonzero(moving)
    for of_video in frames.iloc[rows].groupby("source", sort=False).indices.values():
        chosen = rows[of_video]
        groups.append(chosen[np.argsort(frames["source_index"].to_numpy()[chosen], kind="stable")])
    return groups


def picture_problems(frames: pd.DataFrame, reasons: Mapping[int, str]) -> pd.DataFrame:
    """A table of problems, columns PROBLEM_COLUMNS, from {row of `frames`: why it is left out}: a
    picture is named by its path, for a video with `#` and the frame."""
    problems = []
    for row in sorted(reasons):
        source, index = frames["source"].iloc[row], frames["source_index"].iloc[row]
        name = f"{source}#{index}" if is_video(source) else source
        problems.append((name, reasons[row], "frame"))
    return pd.DataFrame(problems, columns=PROBLEM_COLUMNS)


def read_pictures(
    root: Path, sources: Sequence[str], indices: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None, str | None]]:
    """Decode pictures: `sources` below `root`, all image files, or all the same video, and then
    `indices` of its frames, not descending.

    Yields (position in `sources`, (H, W, 3) uint8 RGB or None, why not or None).
    """
    if len(sources) and is_video(sources[0]):
        yield from _read_video(Path(root) / sources[0], indices)
        return
    for i, source in enumerate(sources):
        yield i, *read_image(Path(root) / source)


def read_image(path: Path) -> tuple[np.ndarray | None, str | None]:
    """One image file: ((H, W, 3) uint8 RGB or None, why not or None)."""
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) if _is_utf8(path) else None
    if image is None:  # imread does not say why; this does, and takes every path
        try:
            data = np.fromfile(path, np.uint8)
        except OSError as error:
            return None, f"cannot be read ({error.strerror})"
        image = cv2.imdecode(data, cv2.IMREAD_COLOR_RGB) if len(data) else None
    if image is None:
        return None, "picture cannot be decoded (truncated or corrupt)"
    return image, None


def as_rgb(picture: np.ndarray) -> np.ndarray:
    """Any ordinary picture as (H, W, 3) uint8 RGB; one that is so already is not copied.

    Ordinary is grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), of 8 or 16 bits; the
    alpha is left out. ValueError: it is something else, or empty.
    """
    picture = np.asarray(picture)
    if picture.dtype == np.uint16:
        picture = (picture >> 8).astype(np.uint8)  # as OpenCV reads files of 16 bits
    if picture.dtype != np.uint8:
        raise ValueError(f"the picture is of type {picture.dtype}; give whole numbers, 0 to 255")
    if picture.ndim == 2:
        picture = picture[:, :, None]
    if picture.ndim != 3 or picture.shape[2] not in (1, 3, 4):
        raise ValueError(f"the picture has the shape {picture.shape}; give (height, width, 3)")
    if 0 in picture.shape:
        raise ValueError(f"the picture is empty: its shape is {picture.shape}")
    if picture.shape[2] == 1:
        return np.repeat(picture, 3, axis=2)
    if picture.shape[2] == 4:
        picture = picture[:, :, :3]
    return np.ascontiguousarray(picture)


def _is_utf8(path: Path) -> bool:
    """Whether OpenCV can take a path: it crashes on names that are not valid UTF-8."""
    return str(path).encode(errors="ignore").decode() == str(path)


def _read_video(path: Path, indices: Sequence[int]) -> Iterator[tuple]:
    """As of `read_pictures`."""
    try:
        capture = _open_video(path)
    except (OSError, ValueError) as error:
        why = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        yield from ((i, None, why) for i in range(len(indices)))
        return
    said = capture.get(cv2.CAP_PROP_FRAME_COUNT)
    # Frame by frame: seeking lands on the wrong frame in many files that are not intra-coded.
    at, end = -1, None  # the frame that was grabbed last; where the video breaks off
    shown, image = -1, None
    try:
        for i, index in enumerate(indices):
            while at < index and end is None:
                at, end = (at + 1, None) if capture.grab() else (at, max(at, 0))
            if index != shown and end is None:
                shown, image = index, capture.retrieve()[1]
                # The last frame of a truncated video decodes, with its lower half grey: a frame is
                # sound if there is another one behind it, or if it is the last one of all.
                if index + 1 < said:
                    at, end = (at + 1, None) if capture.grab() else (at, at)
            if end is not None and index >= end:
                yield i, None, f"the video ends before its frame {end} is whole"
            elif image is None:
                yield i, None, f"frame {index} of the video cannot be decoded"
            else:
                yield i, cv2.cvtColor(image, cv2.COLOR_BGR2RGB), None
    finally:
        capture.release()


def _open_video(path: Path) -> cv2.VideoCapture:
    with path.open("rb"):  # OpenCV does not say why it cannot open a file; this does
        pass
    if not _is_utf8(path):
        raise ValueError("the video's name is not valid UTF-8; rename it")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError("the video does not open (truncated, corrupt, or no video)")
    return capture
