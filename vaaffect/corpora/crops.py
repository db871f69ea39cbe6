"""Face crops: each picture is decoded once, cropped by its landmarks, and kept as raw bytes.

A set of crops is a folder of plain files, found by a key made from its inputs; its manifest is
written last, so a folder without one is unfinished. Processes write into one file and training
reads it as a memory map, so a corpus larger than memory is no problem.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..base import CROPS, UserError, held, in_processes, read_manifest, sha256_of, write_atomically
from .corpus import PROBLEM_COLUMNS, Corpus
from .pictures import name_of, read_pictures, tasks

VERSION = 2  # change it when the same inputs would give other crops
MARGIN = 0.08  # scenery kept on each side, as a share of the face box
_FARTHEST = 3  # a face box this many times the picture is a fault in the landmarks


@dataclass(frozen=True)
class Crops:
    """Face crops of one corpus, row i of everything belonging to the same frame.

    Attributes:
        label: how tables name the data, "AFEW-VA (simulated)" for example.
        native_scale: labels on disk per label here (AFEW-VA: 10).
        images: (N, S, S, 3) uint8 RGB, memory-mapped; writing to it never reaches the file.
        landmarks: (N, 68, 2) float32, in pixels of the crop.
        frames: one row per crop, the corpus's columns.
        problems: pictures that could not be used, columns PROBLEM_COLUMNS.
        key: identifies the inputs and settings that the crops were made from.
        folder: where they are kept. A pickled set of crops is little more than this folder:
            another process opens the same files.
    """

    label: str
    native_scale: float
    images: np.ndarray
    landmarks: np.ndarray
    frames: pd.DataFrame
    problems: pd.DataFrame
    key: str
    folder: Path | None = None

    @property
    def va(self) -> np.ndarray:
        """(N, 2) float32 labels, columns (valence, arousal), in [-1, 1]."""
        return self.frames[["valence", "arousal"]].to_numpy(np.float32, copy=True)

    def __reduce__(self) -> tuple:
        if self.folder is None:
            raise UserError("crops that are not in a folder cannot go to another process.")
        return _open_same, (self.folder, self._fingerprint())

    def _fingerprint(self) -> str:
        """Tells whether these are the crops as they are on disk, from all but most pixels."""
        mapped = isinstance(self.images, np.memmap) and self.images.filename is not None
        what = f"{self.label} {self.native_scale} {self.key} {mapped} {self.images.shape}"
        digest = hashlib.sha256(what.encode())
        some = np.linspace(0, len(self.images) - 1, 16).astype(int)
        digest.update(self.images[some].tobytes())
        digest.update(np.ascontiguousarray(self.landmarks).tobytes())
        digest.update(pd.util.hash_pandas_object(self.frames).to_numpy().tobytes())
        return digest.hexdigest()


def face_box(landmarks: np.ndarray, margin: float = MARGIN) -> tuple[int, int, int, int]:
    """The rectangle around the extreme landmarks with a little scenery (thesis, section 4.3.2).

    Args:
        landmarks: (68, 2) points in pixels.
        margin: added on each side, as a share of the box's width or height.

    Returns:
        (left, top, right, bottom) in whole pixels, right and bottom exclusive; may reach beyond
        the picture.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    border = margin * (high - low)
    left, top = np.floor(low - border).astype(int)
    right, bottom = np.ceil(high + border).astype(int) + 1
    return int(left), int(top), int(right), int(bottom)


def crop_face(
    image: np.ndarray, landmarks: np.ndarray, size: int, margin: float = MARGIN
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the face box out of a picture and resize it to a square.

    Width and height are scaled independently, as in the thesis. Where the box reaches beyond the
    picture, the border pixels are repeated.

    Args:
        image: (H, W, 3) uint8.
        landmarks: (68, 2) points in pixels of `image`.
        size: side of the square crop in pixels.

    Returns:
        The crop (size, size, 3) uint8 and the landmarks (68, 2) float32 in its pixels.

    Raises:
        ValueError: the box does not touch the picture, or is far larger.
    """
    left, top, right, bottom = face_box(landmarks, margin)
    height, width = image.shape[:2]
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError("the landmarks lie outside the picture")
    if right - left > _FARTHEST * width or bottom - top > _FARTHEST * height:
        raise ValueError("the landmarks reach far beyond the picture")
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    outside = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    if any(outside):
        inside = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_REPLICATE)
    # Down to half the size, interpolation still reads every pixel, in a fifth of the time.
    shrinking = max(inside.shape[:2]) > 2 * size
    how = cv2.INTER_AREA if shrinking else cv2.INTER_LINEAR
    crop = cv2.resize(inside, (size, size), interpolation=how)
    # Pixel centres are at half-integers: the centre of the box must map to the centre of the crop.
    scale = np.array([size / (right - left), size / (bottom - top)], np.float32)
    points = (landmarks - np.array([left, top], np.float32) + 0.5) * scale - 0.5
    return crop, points.astype(np.float32)


def build_crops(
    corpus: Corpus,
    size: int,
    *,
    margin: float = MARGIN,
    cache: Path = CROPS,
    workers: int | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Crops:
    """Crop every frame of a corpus, once; later calls with the same inputs open the result.

    Args:
        corpus: frames with landmarks.
        size: side of the crops in pixels.
        margin: scenery, see `face_box`.
        cache: folder in which sets of crops are kept.
        workers: processes; None uses every core.
        progress: called with (frames done, frames in all).

    Raises:
        UserError: no landmarks, no usable picture, a damaged cache, or a full disk.
    """
    if corpus.landmarks is None:
        raise UserError(f"{corpus.root}: has no landmarks, so its faces cannot be cropped.")
    settings = f"{corpus.fingerprint()} {size} {margin} {VERSION}"
    key = hashlib.sha256(settings.encode()).hexdigest()[:16]
    folder = cache / f"{corpus.name}-{size}-{key}"
    try:
        manifest = read_manifest(folder)
        if manifest is None:
            with held(folder):
                manifest = read_manifest(folder)  # another process may have been faster
                if manifest is None:
                    manifest = _build(corpus, size, margin, folder, workers, progress)
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or make "
            "the folder writable, then run again."
        ) from error
    return _opened(folder, manifest)


def _opened(folder: Path, manifest: dict) -> Crops:
    return Crops(
        label=manifest["label"],
        native_scale=manifest["native_scale"],
        images=np.load(
            folder / "images.npy",
            mmap_mode="c",  # copy on write: torch may share it, the file stays
        ),
        landmarks=np.load(folder / "landmarks.npy"),
        frames=pd.read_parquet(folder / "frames.parquet"),
        problems=pd.read_csv(folder / "problems.csv"),
        key=folder.name.rsplit("-", 1)[1],
        folder=folder,
    )


@lru_cache(maxsize=4)  # one process trains on the same crops again and again; hashing takes time
def _open_same(folder: Path, fingerprint: str) -> Crops:
    """Crops that another process has, from their folder.

    Raises:
        UserError: the folder is gone or damaged, or the other process had changed the crops.
    """
    manifest = read_manifest(folder)
    if manifest is None:
        raise UserError(
            f"{folder}: holds no crops; the folder must be on a disk that every process sees, and "
            "stay until the trainings end."
        )
    crops = _opened(folder, manifest)
    if crops._fingerprint() != fingerprint:
        raise UserError(
            f"{folder}: the crops differ from those handed to this process; crops that were "
            "changed in memory can only be trained on there: use VAAFFECT_JOBS 1."
        )
    return crops


def _build(
    corpus: Corpus,
    size: int,
    margin: float,
    folder: Path,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> dict:
    """Fill a folder that holds nothing, or what a killed build left; returns its manifest."""
    try:
        points, reasons = _crop_all(corpus, size, margin, folder, workers, progress)
        sources, indices = corpus.frames["source"], corpus.frames["source_index"]
        if len(reasons) == len(points):
            raise UserError(
                f"{corpus.root / sources.iloc[0]}: {reasons[0]}, and so for every picture of "
                f"{corpus.root}."
            )
        sound = np.setdiff1d(np.arange(len(points)), list(reasons))
        _keep(folder / "images.npy", sound)
        np.save(folder / "landmarks.npy", points[sound])
        corpus.frames.iloc[sound].reset_index(drop=True).to_parquet(folder / "frames.parquet")
        problems = [
            (name_of(sources.iloc[i], indices.iloc[i]), why) for i, why in sorted(reasons.items())
        ]
        pd.DataFrame(problems, columns=PROBLEM_COLUMNS).to_csv(folder / "problems.csv", index=False)
        files = ("images.npy", "landmarks.npy", "frames.parquet", "problems.csv")
        manifest = {
            "label": corpus.label,
            "native_scale": corpus.native_scale,
            "size": size,
            "margin": margin,
            "version": VERSION,
            "sha256": {name: sha256_of(folder / name) for name in files},
        }
        write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))
    except BaseException:
        for path in folder.iterdir():  # large, and of no use unfinished
            path.unlink()
        raise  # the folder itself stays: another process may be waiting to hold it
    return manifest


def _crop_all(
    corpus: Corpus,
    size: int,
    margin: float,
    folder: Path,
    workers: int | None,
    progress: Callable[[int, int], None] | None,
) -> tuple[np.ndarray, dict[int, str]]:
    """Write `images.npy`, a row for every frame; (landmarks (N, 68, 2), {failed row: reason})."""
    total = len(corpus.frames)
    path = folder / "images.npy"
    shape = (total, size, size, 3)
    start = np.lib.format.open_memmap(path, "w+", np.uint8, shape).offset
    with path.open("r+b") as file:  # so that a disk that is too small is found out at once
        os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    sources, indices = corpus.frames["source"].to_numpy(), corpus.frames["source_index"].to_numpy()
    pieces = tasks(corpus.frames)
    of = corpus.landmarks
    arguments = [
        (path, start, rows, corpus.root, list(sources[rows]), indices[rows], of[rows], size, margin)
        for rows in pieces
    ]
    points = np.zeros((total, 68, 2), np.float32)
    reasons: dict[int, str] = {}
    done = 0
    for number, (landmarks, why_not) in in_processes(_crop_piece, arguments, workers):
        points[pieces[number]] = landmarks
        reasons |= why_not
        done += len(landmarks)
        if progress is not None:
            progress(done, total)
    return points, reasons


def _crop_piece(
    path: Path,
    start: int,
    rows: np.ndarray,
    root: Path,
    sources: list[str],
    indices: np.ndarray,
    landmarks: np.ndarray,
    size: int,
    margin: float,
) -> tuple[np.ndarray, dict[int, str]]:
    """Write some rows of `images.npy`, which begin at byte `start`.

    Returns:
        (landmarks (n, 68, 2) in pixels of the crops, {failed row: reason}).
    """
    points = np.zeros((len(rows), 68, 2), np.float32)
    reasons: dict[int, str] = {}
    # Not through a memory map: there a full disk would kill the process without a word.
    with path.open("r+b") as file:
        for i, image, reason in read_pictures(root, sources, indices):
            try:
                if image is None:
                    raise ValueError(reason)
                crop, points[i] = crop_face(image, landmarks[i], size, margin)
            except ValueError as error:
                reasons[int(rows[i])] = str(error)
                continue
            file.seek(start + int(rows[i]) * crop.nbytes)
            file.write(crop)
    return points, reasons


def _keep(path: Path, rows: np.ndarray) -> None:
    """Keep some rows of a .npy file, in place: the crops may not fit in memory or twice on disk."""
    images = np.load(path, mmap_mode="r+")
    if len(rows) == len(images):
        return
    for to, row in enumerate(rows):
        images[to] = images[row]
    shape = (len(rows), *images.shape[1:])
    images.flush()
    del images
    with path.open("r+b") as file:
        np.lib.format.read_magic(file)
        np.lib.format.read_array_header_1_0(file)
        header = file.tell()
        file.seek(0)
        np.lib.format.write_array_header_1_0(
            file, {"descr": "|u1", "fortran_order": False, "shape": shape}
        )
        if file.tell() != header:  # numpy pads the header so that fewer digits fit too
            raise OSError(f"{path}: header changed its length")
        file.truncate(header + int(np.prod(shape)))
