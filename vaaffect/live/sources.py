"""Where the pictures of `predict` come from: image files, a video file, a camera.

Files are read one after the other and nothing is left out. A camera does not wait: its newest
picture is kept and older ones that nobody came for are dropped, and counted. A video file can be
played as if it were a camera, each picture at its own time.
"""

import contextlib
import itertools
import re
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from ..base import UserError, expanded, listing
from ..corpora import (
    IMAGE_ENDINGS,
    VIDEO_ENDINGS,
    kind_of,
    named_kind,
    probe_video,
    read_image,
    read_video,
)

USUAL_FPS = 25.0  # where a camera does not say
_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


@dataclass(frozen=True)
class Frame:
    """One picture of a source."""

    source: str  # the file or camera
    index: int  # number of the picture, from 0; dropped ones count too
    time_s: float  # seconds since the first picture; nan for files that are no clip
    picture: np.ndarray | None  # (H, W, 3) uint8 RGB, or None
    problem: str | None = None  # why there is no picture


class CameraLostError(UserError):
    """A camera that has stopped to deliver pictures."""


class _Files:
    """A source that waits for its reader: nothing is dropped, and nothing is held open."""

    dropped = 0
    files: Sequence[Path]  # that are read

    def close(self) -> None:
        """End the source."""


class Stills(_Files):
    """An image file, or every image of a folder, p2 before p10; each on its own.

    Videos in the folder, and images of a kind that is not read, have their place among the others,
    without a picture and with the reason. What is neither (tables, notes) is left out. UserError:
    nothing can be read, for it is missing or of another kind.
    """

    is_clip = False

    def __init__(self, path: Path) -> None:
        self.paths = [path]
        if path.is_dir():
            kinds = {one: named_kind(one) if one.suffix else kind_of(one) for one in listing(path)}
            self.paths = sorted((one for one in kinds if kinds[one] is not None), key=_in_order)
            if all(kinds[one].refusal for one in self.paths):
                first = [f"{one.name} {kinds[one].refusal}" for one in self.paths[:1]]
                why = ", ".join(first or IMAGE_ENDINGS)
                raise UserError(f"{path}: holds no image that can be read ({why}).")
        elif not path.is_file():
            raise UserError(f"{path}: there is no such file or folder.")
        elif (kind := kind_of(path)) is not None and kind.refusal:
            raise UserError(f"{path}: {kind.refusal}.")
        self.files, self.total = self.paths, len(self.paths)

    def __iter__(self) -> Iterator[Frame]:
        for index, path in enumerate(self.paths):
            yield Frame(path.name, index, float("nan"), *read_image(path))


def _in_order(path: Path) -> tuple:
    """What file names are sorted by: numbers in them by their value."""
    parts = re.split(r"(\d+)", path.name)  # words and numbers in turn
    return [int(part) if i % 2 else part for i, part in enumerate(parts)], path.name


class Clip(_Files):
    """Every picture of a video file; UserError where there is none, or it is no video."""

    is_clip = True

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UserError(f"{path}: there is no such file.")
        try:
            video = probe_video(path)
        except (OSError, ValueError) as error:
            why = error.strerror if isinstance(error, OSError) else error
            endings = ", ".join(VIDEO_ENDINGS)
            raise UserError(f"{path}: {why}; give a whole video file ({endings}).") from error
        self.path, self.fps, self.total = path, video.fps, video.frames
        self.files, self._times = [path], video.times

    def __iter__(self) -> Iterator[Frame]:
        for index, picture, why in read_video(self.path, range(self.total)):
            yield Frame(self.path.name, index, float(self._times[index]), picture, why)


class CameraSource:
    """A camera, or a video that plays as one: a thread reads it, whoever iterates gets the newest.

    The pictures of a file are given each at its time, until they end; those of a camera are taken
    as they come, and their end means that it was lost, as do `patience` seconds without one.
    """

    is_clip = True
    total = None

    def __init__(self, camera: cv2.VideoCapture | Clip, name: str, patience: float = 5.0) -> None:
        self._plays = isinstance(camera, Clip)
        said = camera.fps if self._plays else camera.get(cv2.CAP_PROP_FPS)
        self.name = name
        self.patience = None if self._plays else patience  # a file may pause
        self.fps = said if self._plays or 1 <= said <= 1000 else USUAL_FPS
        self.dropped = 0
        self.files: Sequence[Path] = camera.files if self._plays else ()  # that are read
        self._camera = camera
        self._newest: Frame | None = None
        self._ended = False
        self._error: BaseException | None = None  # of the thread
        self._stop = threading.Event()
        self._changed = threading.Condition()
        # A daemon: a driver that hangs must not keep the program from ending.
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __iter__(self) -> Iterator[Frame]:
        """The newest picture, whenever the caller is ready for one; else CameraLostError."""
        self._thread.start()
        count = 0
        while True:
            with self._changed:
                self._changed.wait_for(
                    lambda: self._newest is not None or self._ended, self.patience
                )
                frame, ended = self._newest, self._ended
                self._newest = None
            if frame is None:
                break
            count += 1
            yield frame
        if self._error is not None:
            raise self._error
        if ended and self._plays:
            return
        problem = f"has not delivered a picture for {self.patience:g} seconds"
        problem = "delivers no more pictures" if ended else problem
        cure = "see whether it is still plugged in"
        raise CameraLostError(f"{self.name}: {problem}, after {count}; {cure}.")

    def close(self) -> None:
        """Stop reading, and let go of the camera."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(self.patience)
        if not (self._plays or self._thread.is_alive()):
            self._camera.release()

    def _run(self) -> None:
        """The thread: whatever ends it, whoever waits for a picture is told."""
        try:
            self._read()
        except BaseException as error:
            self._error = error
        with self._changed:
            self._ended = True
            self._changed.notify()

    def _read(self) -> None:
        with contextlib.closing(self._played() if self._plays else self._captured()) as frames:
            for frame in frames:
                if self._stop.is_set():
                    break
                with self._changed:
                    self.dropped += self._newest is not None
                    self._newest = frame
                    self._changed.notify()

    def _played(self) -> Iterator[Frame]:
        """The pictures of a file, each when it is to be shown."""
        started = None
        for frame in self._camera:
            started = time.perf_counter() - frame.time_s if started is None else started
            self._stop.wait(max(0.0, started + frame.time_s - time.perf_counter()))
            yield frame

    def _captured(self) -> Iterator[Frame]:
        """The pictures of a camera as they come; the clock starts with the first."""
        started = None
        for index in itertools.count():
            good, picture = self._camera.read()
            if not good:
                return
            now = time.perf_counter()
            started = now if started is None else started
            rgb = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            yield Frame(self.name, index, now - started, rgb)


Source = Stills | Clip | CameraSource


def open_source(source: str, real_time: bool = False) -> Source:
    """An image, a folder of images, a video file, or the number of a camera; UserError for others.

    In `real_time` a video plays at its own speed, as if it were a camera.
    """
    path = expanded(source)
    if not source:
        raise UserError("the name of the source is empty; name an image, a folder or a video file.")
    if _ADDRESS.match(source) and not path.exists():
        # OpenCV could open some, as it was built; but a stream has other times, ends otherwise, and
        # its address, perhaps with a password, would be in every row.
        raise UserError(
            f"{source}: is an address, and addresses are not supported; give the path of a file, "
            "or save the stream as one first (ffmpeg -i ADDRESS -t 60 -c copy clip.mkv)."
        )
    if source.isdecimal() and not path.exists():
        return open_camera(int(source))
    kind = None if path.is_dir() else kind_of(path)
    is_video = kind is not None and kind.video
    if real_time:
        if not is_video:
            raise UserError(f"{source}: is no video file; only a video plays in real time.")
        return CameraSource(Clip(path), path.name)
    return Clip(path) if is_video else Stills(path)


def open_camera(number: int) -> CameraSource:
    """A camera by its number, 0 for the first; UserError where it cannot be opened."""
    capture = cv2.VideoCapture(min(number, 2**31 - 1))  # it takes no larger number
    if not capture.isOpened():
        names = sorted(path.name for path in Path("/dev").glob("video[0-9]*"))
        seen = f"this machine has {', '.join(names)}" if names else "this machine shows no camera"
        raise UserError(
            f"camera {number}: cannot be opened ({seen}); plug it in, end other programs that use "
            "it, or give the name of a file."
        )
    return CameraSource(capture, f"camera {number}")
