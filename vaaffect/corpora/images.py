"""Image files, decoded, and pictures from elsewhere, made alike."""

import os
import threading
from pathlib import Path
from typing import BinaryIO

import cv2
import numpy as np
from PIL import Image, ImageOps

from ..base import located
from .jpeg import decode_jpeg
from .kinds import HEAD, JPEG, TIFF, seen_kind

# What is wrong with a file is said by whoever reads it, in a sentence; OpenCV's own lines on stderr
# name neither file nor cure. Its variable still brings them back.
if "OPENCV_LOG_LEVEL" not in os.environ:
    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

_DAMAGED = "picture cannot be decoded (truncated or corrupt)"


def read_image(path: Path) -> tuple[np.ndarray | None, str | None]:
    """One image file: ((H, W, 3) uint8 RGB or None, why not or None). The path may be as it is or
    as a corpus's `source` has it, `printable`.

    A damaged picture is no picture, even where its upper half could be decoded; `decode_jpeg`
    says which damage of a JPEG file is noticed. Of an animation the first picture is read.
    """
    path = located(path)
    try:
        with path.open("rb") as file:
            kind = seen_kind(path, file.read(HEAD))
            if kind is not None and kind.refusal:
                return None, kind.refusal
            data = _memory.filled(file) if kind is JPEG or not is_utf8(path) else None
        if kind is JPEG:
            image = decode_jpeg(data, cv2.IMREAD_COLOR_RGB)
        else:
            image = _decoded(path, data, cv2.IMREAD_COLOR_RGB)
        as_it_is = None
        if image is None and kind is TIFF:
            as_it_is = _decoded(path, data, cv2.IMREAD_UNCHANGED)
    except OSError as error:
        return None, f"cannot be read ({error.strerror})"
    except cv2.error as error:
        if error.code == cv2.Error.STS_NO_MEM or "CV_IO_MAX_IMAGE" in error.err:
            return None, "picture is too large to be decoded; make it smaller"
        return None, _DAMAGED
    if image is not None:
        return image, None
    if as_it_is is not None and as_it_is.dtype not in (np.uint8, np.uint16):
        why = f"picture holds values of type {as_it_is.dtype}, whose scale is unknown"
        return None, f"{why}; export it with 8 or 16 bits"
    return None, _DAMAGED if kind is not None else "is no picture of a known kind"


def _decoded(path: Path, data: np.ndarray | None, flags: int) -> np.ndarray | None:
    """A picture from the bytes of its file, or, which is faster for a large one, from the file."""
    return cv2.imread(str(path), flags) if data is None else cv2.imdecode(data, flags)


class _Memory(threading.local):
    """Room for the bytes of a file, which is used again: new memory for each JPEG file would take
    longer than to look for its markers."""

    def __init__(self) -> None:
        self.room = np.empty(0, np.uint8)

    def filled(self, file: BinaryIO) -> np.ndarray:
        """All bytes of a file, until the next one is read."""
        size = os.fstat(file.fileno()).st_size
        if size > len(self.room):
            self.room = np.empty(size, np.uint8)
        file.seek(0)
        return self.room[: file.readinto(self.room[:size])]


_memory = _Memory()


def as_rgb(picture: np.ndarray | Image.Image) -> np.ndarray:
    """Any ordinary picture as (H, W, 3) uint8 RGB; one that is so already is not copied.

    Ordinary is grey (H, W) or (H, W, 1), RGB (H, W, 3) or RGBA (H, W, 4), of 8 or 16 bits; the
    alpha is left out. A picture of Pillow says what its numbers mean and may be of a palette, CMYK,
    or turned by EXIF too. As an array the first looks like grey and the second like RGBA, so these
    must not be given as arrays. ValueError: it is something else, damaged, or empty.
    """
    if isinstance(picture, Image.Image):
        picture = _upright(picture)
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


def _upright(picture: Image.Image) -> Image.Image:
    """A picture of Pillow turned as its EXIF says, and as RGB where it has 8 bits."""
    try:
        picture = ImageOps.exif_transpose(picture)
        return picture if picture.mode.startswith(("I", "F")) else picture.convert("RGB")
    except OSError as error:
        raise ValueError(f"the picture cannot be decoded ({error})") from error


def is_utf8(path: Path) -> bool:
    """Whether OpenCV can take a path: it crashes on names that are not valid UTF-8."""
    return str(path).encode(errors="ignore").decode() == str(path)
