"""Video files: what they say about themselves, and their frames, decoded."""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from .images import is_utf8

# A damaged video makes FFmpeg print a line per block; what is wrong is in the lists of problems.
os.environ.setdefault("OPENCV_FFMPEG_LOGLEVEL", "-8")


@dataclass(frozen=True)
class Video:
    """What a video file says about itself."""

    frames: int  # a truncated file has fewer than it says
    fps: float  # per second
    size: tuple[int, int]  # (width, height) in pixels


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


def read_video(
    path: Path, indices: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None, str | None]]:
    """Decode some frames of a video, their `indices` not descending.

    Yields (position in `indices`, (H, W, 3) uint8 RGB or None, why not or None).
    """
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
    if not is_utf8(path):
        raise ValueError("the video's name is not valid UTF-8; rename it")
    capture = cv2.VideoCapture(str(path))
    if not capture.isOpened():
        raise ValueError("the video does not open (truncated, corrupt, or no video)")
    return capture
