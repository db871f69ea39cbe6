"""Stand-ins for the licensed corpora: simulated ones without their marker, in one colour.

A loader takes them for the real ones. All their pictures are magenta, of the brightness that they
had, so that faces are found in them, and whatever of them is shown anywhere can be found again.
"""

import base64
import json
import re
from collections.abc import Iterator
from pathlib import Path

import cv2
import nbformat
import numpy as np

from vaaffect.simulator import LabWorld, WildWorld, write_afew_va, write_semaine

PICTURE = re.compile(r"data:image/(?:png|jpeg|webp);base64,([A-Za-z0-9+/=]+)")


def write_stand_ins(folder: Path) -> dict[str, str]:
    """Write both into `folder`; returns the environment variables that point to them."""
    wild, lab = folder / "films é", folder / "laboratory"
    write_afew_va(wild, WildWorld(clips=20, subjects=10, frames=(3, 4), seed=3))
    write_semaine(lab, LabWorld(sessions=20, subjects=10, seconds=(3, 4), seed=3))
    for name in ("simulated.json", "manifest.json"):
        (wild / name).unlink()
        (lab / name).unlink()
    for path in wild.rglob("*.png"):
        cv2.imwrite(str(path), in_magenta(cv2.imread(str(path))))
    for path in lab.rglob("*.avi"):
        _repaint(path)
    return {"VAAFFECT_AFEW_VA": str(wild), "VAAFFECT_SEMAINE": str(lab)}


def in_magenta(picture: np.ndarray) -> np.ndarray:
    """A picture (H, W, 3, uint8) in shades of magenta, none of them dark."""
    grey = (100 + 0.6 * cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)).astype(np.uint8)
    return np.stack([grey, np.zeros_like(grey), grey], axis=2)


def _repaint(path: Path) -> None:
    """The same video in magenta."""
    film = cv2.VideoCapture(str(path))
    fps = film.get(cv2.CAP_PROP_FPS)
    frames = []
    while (read := film.read())[0]:
        frames.append(in_magenta(read[1]))
    size = frames[0].shape[1::-1]
    written = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, size)
    for frame in frames:
        written.write(frame)
    written.release()


def actors(wild: Path) -> set[str]:
    """The names in a copy of AFEW-VA."""
    return {json.loads(path.read_text())["actor"] for path in wild.rglob("*.json")}


def shows_the_corpus(path: Path) -> bool:
    """Whether a figure, a notebook or a page has more than a few magenta pixels."""
    for data in _pictures(path):
        b, g, r = np.moveaxis(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR), 2, 0)
        alike = np.abs(r.astype(int) - b) < 20
        if ((np.minimum(r, b) > 80) & (g < 50) & alike).sum() > 20:
            return True
    return False


def _pictures(path: Path) -> Iterator[bytes]:
    """The pictures in a file, as PNG, JPEG or WebP."""
    if path.suffix == ".png":
        yield path.read_bytes()
    elif path.suffix == ".ipynb":
        for cell in nbformat.read(path, as_version=4).cells:
            for output in cell.get("outputs", []):
                for mime, data in output.get("data", {}).items():
                    if mime in ("image/png", "image/jpeg"):
                        yield base64.b64decode(data)
                    elif mime == "text/html":
                        yield from map(base64.b64decode, PICTURE.findall(data))
    elif path.suffix == ".html":
        yield from map(base64.b64decode, PICTURE.findall(path.read_text(encoding="utf-8")))
