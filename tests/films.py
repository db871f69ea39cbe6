"""Small video files, written and read by OpenCV alone. Pictures are BGR."""

from collections.abc import Iterable
from pathlib import Path

import cv2
import numpy as np


def write_film(path: Path, pictures: Iterable[np.ndarray], fps: float = 25, codec: str = "MJPG"):
    pictures = list(pictures)
    height, width = pictures[0].shape[:2]
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*codec), fps, (width, height))
    for picture in pictures:
        video.write(picture)
    video.release()


def read_film(path: Path) -> list[np.ndarray]:
    capture = cv2.VideoCapture(str(path))
    return [picture for sound, picture in iter(capture.read, (False, None)) if sound]
