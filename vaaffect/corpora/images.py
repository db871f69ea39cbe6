"""Image files, decoded."""

from pathlib import Path

import cv2
import numpy as np

from ..base import located


def read_image(path: Path) -> tuple[np.ndarray | None, str | None]:
    """One image file: ((H, W, 3) uint8 RGB or None, why not or None). The path may be as
    it is or as a corpus's `source` has it, `printable`."""
    path = located(path)
    image = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB) if is_utf8(path) else None
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


def is_utf8(path: Path) -> bool:
    """Whether OpenCV can take a path: it crashes on names that are not valid UTF-8."""
    return str(path).encode(errors="ignore").decode() == str(path)
