"""Face crops: each picture is decoded once, cropped by its landmarks, and kept as raw bytes.

A set of crops is a folder of plain files, found by a key made from its inputs. Processes write into
one file and training reads it as a memory map, so a corpus larger than memory is no problem.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from ..base import CROPS, UserError, code_digest, digest, kept
from ..base import cache as file_cache
from .corpus import DIMENSIONS, Corpus
from .parts import remove_parts
from .pictures import CODE, Piece, Progress, by_pieces, picture_problems

MARGIN = 0.08  # scenery kept on each side, as a share of the face box
# (picture, landmarks (68, 2), size) -> (crop (size, size, 3), landmarks in its pixels)
Cut = Callable[[np.ndarray, np.ndarray, int], tuple[np.ndarray, np.ndarray]]
_FARTHEST = 3  # a face box this many times the picture is a fault in the landmarks


@dataclass(frozen=True)
class Crops:
    """Face crops of one corpus, row i of everything belonging to the same frame.

    A pickled set of crops is its folder: another process opens the same files, so crops that were
    changed in memory cannot be pickled.
    """

    label: str  # how tables name the data, "AFEW-VA (simulated)" for example
    native_scale: float  # labels on disk per label here (AFEW-VA: 10)
    images: np.ndarray  # (N, S, S, 3) uint8 RGB, memory-mapped; writing never reaches the file
    landmarks: np.ndarray  # (N, 68, 2) float32, in pixels of the crop
    frames: pd.DataFrame  # one row per crop, the corpus's columns
    problems: pd.DataFrame  # pictures that could not be used, columns PROBLEM_COLUMNS
    key: str  # identifies the inputs and settings that the crops were made from
    folder: Path | None = None  # where they are kept

    @property
    def va(self) -> np.ndarray:
        """(N, 2) float32 labels, columns (valence, arousal), in [-1, 1]."""
        return self.frames[[*DIMENSIONS]].to_numpy(np.float32, copy=True)

    def __reduce__(self) -> tuple:
        if self.folder is None:
            raise UserError("crops that are not in a folder cannot go to another process.")
        if not self._is_unchanged():
            raise UserError(
                f"{self.folder}: its crops differ from those that were to go to another process; "
                "crops that were changed in memory can only be trained on there: use "
                "VAAFFECT_JOBS 1."
            )
        return _open_once, (self.folder,)

    def _is_unchanged(self) -> bool:
        """Whether these are the crops of the folder, from all but the pixels of most images."""
        kept_crops = _open(self.folder)
        some = np.linspace(0, len(self.images) - 1, 16).astype(int)
        return (
            isinstance(self.images, np.memmap)
            and self.images.shape == kept_crops.images.shape
            and np.array_equal(self.images[some], kept_crops.images[some])
            and np.array_equal(self.landmarks, kept_crops.landmarks)
            and self.frames.equals(kept_crops.frames)
            and (self.label, self.native_scale) == (kept_crops.label, kept_crops.native_scale)
            and self.key == kept_crops.key
        )


def face_box(landmarks: np.ndarray, margin: float = MARGIN) -> tuple[int, int, int, int]:
    """The rectangle around landmarks (68, 2) with a little scenery (thesis, section 4.3.2).

    `margin` is added on each side, as a share of the box's width or height. Returns (left, top,
    right, bottom) in whole pixels, right and bottom exclusive; may reach beyond the picture.
    """
    low, high = landmarks.min(axis=0), landmarks.max(axis=0)
    border = margin * (high - low)
    left, top = np.floor(low - border).astype(int)
    right, bottom = np.ceil(high + border).astype(int) + 1
    return int(left), int(top), int(right), int(bottom)


def usable_box(
    image: np.ndarray, landmarks: np.ndarray, margin: float = MARGIN
) -> tuple[int, int, int, int]:
    """As `face_box`. ValueError: the box does not touch the picture, or is far larger."""
    left, top, right, bottom = face_box(landmarks, margin)
    height, width = image.shape[:2]
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError("the landmarks lie outside the picture")
    if right - left > _FARTHEST * width or bottom - top > _FARTHEST * height:
        raise ValueError("the landmarks reach far beyond the picture")
    return left, top, right, bottom


def crop_face(
    image: np.ndarray, landmarks: np.ndarray, size: int, margin: float = MARGIN
) -> tuple[np.ndarray, np.ndarray]:
    """Cut the face box out of a picture and resize it to a square.

    Width and height are scaled independently, as in the thesis. Where the box reaches beyond the
    picture, the border pixels are repeated.

    Takes a picture (H, W, 3) uint8 and landmarks (68, 2) in its pixels; returns the crop (size,
    size, 3) uint8 and the landmarks (68, 2) float32 in its pixels. ValueError: the box does not
    touch the picture, or is far larger.
    """
    return _resized(image, landmarks, usable_box(image, landmarks, margin), size)


def whole_picture(
    image: np.ndarray, landmarks: np.ndarray, size: int
) -> tuple[np.ndarray, np.ndarray]:
    """As `crop_face`, without cutting: the face with all of its scenery, and so with fewer pixels.

    ValueError where `crop_face` has one, so that both have the same rows of a corpus.
    """
    usable_box(image, landmarks)
    height, width = image.shape[:2]
    return _resized(image, landmarks, (0, 0, width, height), size)


def _resized(
    image: np.ndarray, landmarks: np.ndarray, box: tuple[int, int, int, int], size: int
) -> tuple[np.ndarray, np.ndarray]:
    """What is in a box, as a square, and the landmarks in its pixels."""
    left, top, right, bottom = box
    height, width = image.shape[:2]
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
    whole_pictures: bool = False,
    cache: Path = CROPS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Crops:
    """Crop every frame of a corpus, once; later calls with the same inputs open the result. A build
    that was stopped goes on with the videos, or dozens of image files, that are not done.

    Crops are squares of `size` pixels, and are kept in the folder `cache`. With `whole_pictures`
    they hold the whole picture in place of the face: only to measure what cropping is good for.
    `workers` are processes; None uses every core. UserError: no landmarks, no usable picture, a
    damaged cache, or a full disk.
    """
    if corpus.landmarks is None:
        raise UserError(f"{corpus.root}: has no landmarks, so its faces cannot be cropped.")
    code = code_digest(*(Path(__file__).with_name(name) for name in ("crops.py", *CODE)))
    kind = ["whole pictures"] if whole_pictures else []
    key = digest(corpus.fingerprint(), size, code, *kind)[:16]
    cut = whole_picture if whole_pictures else crop_face
    folder = cache / f"{corpus.name}-{size}-{key}"

    def build(folder: Path) -> dict[str, object]:
        """Fill a folder that holds nothing, or what a stopped build left."""
        _write(folder, corpus, size, cut, workers, progress)
        return {"label": corpus.label, "native_scale": corpus.native_scale}

    kept(folder, build)
    return _open(folder)


def _write(
    folder: Path,
    corpus: Corpus,
    size: int,
    cut: Cut,
    workers: int | None,
    progress: Progress | None,
) -> None:
    """Crop the faces of a corpus into the files of a folder."""
    path = folder / "images.npy"
    start = _reserve(path, (len(corpus.frames), size, size, 3))
    settings = path, start, size, cut
    points, reasons = by_pieces(corpus, _crop_piece, settings, workers, progress, folder)
    remove_parts(folder)  # before the images move: parts say where they were
    problems = picture_problems(corpus.frames, reasons)
    if not points:
        for file in folder.iterdir():
            file.unlink()
        raise UserError(
            f"{corpus.root / problems['path'][0]}: {reasons[0]}, and so for every picture of "
            f"{corpus.root}."
        )
    if reasons:
        _keep(path, start, list(points))
    np.save(folder / "landmarks.npy", np.stack(list(points.values())))
    frames = corpus.frames.iloc[list(points)].reset_index(drop=True)
    frames.to_parquet(folder / "frames.parquet")
    problems.to_csv(folder / "problems.csv", index=False)


def _reserve(path: Path, shape: tuple[int, ...]) -> int:
    """Make an .npy file of bytes with room for an array; returns where in it the array begins. One
    of that shape and size stays, with the parts that say what is in it."""
    try:
        images = np.load(path, mmap_mode="r")
        if images.shape == shape and path.stat().st_size == images.offset + images.nbytes:
            return images.offset
    except (OSError, ValueError, EOFError):
        pass
    remove_parts(path.parent)
    try:
        start = np.lib.format.open_memmap(path, "w+", np.uint8, shape).offset
        with path.open("r+b") as file:  # so that a disk that is too small is found out at once
            os.posix_fallocate(file.fileno(), 0, path.stat().st_size)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    return start


def _crop_piece(
    piece: Piece, path: Path, start: int, size: int, cut: Cut
) -> list[np.ndarray | str]:
    """Write a piece's crops into the file at `path`; returns the landmarks of each, or why not."""
    results: list[np.ndarray | str] = []
    # Not through a memory map: there a full disk would kill the process without a word.
    with path.open("r+b") as file:
        for i, image, reason in piece.pictures():
            if image is None:
                results.append(reason)
                continue
            try:
                crop, points = cut(image, piece.landmarks[i], size)
            except ValueError as error:
                results.append(str(error))
                continue
            results.append(points)
            file.seek(start + int(piece.rows[i]) * crop.nbytes)
            file.write(crop)
        file.flush()
        os.fsync(file.fileno())  # a part that is on the disk must not speak of images that are not
    return results


def _keep(path: Path, start: int, rows: list[int]) -> None:
    """Keep some rows of a .npy file, in place: the crops may not fit in memory or twice on disk."""
    images = np.load(path, mmap_mode="r+")
    for to, row in enumerate(rows):
        images[to] = images[row]
    shape = (len(rows), *images.shape[1:])
    images.flush()
    del images
    header = {"descr": "|u1", "fortran_order": False, "shape": shape}
    with path.open("r+b") as file:
        np.lib.format.write_array_header_1_0(file, header)
        if file.tell() != start:  # numpy pads the header so that fewer digits fit too
            raise OSError(f"{path}: header changed its length")
        file.truncate(start + int(np.prod(shape)))


def _open(folder: Path) -> Crops:
    """The crops of a folder that holds some. UserError: it is gone or damaged."""
    facts = file_cache.opened(folder)
    if facts is None:
        raise UserError(
            f"{folder}: holds no crops; the folder must be on a disk that every process sees, and "
            "stay until the trainings end."
        )
    return Crops(
        label=facts["label"],
        native_scale=facts["native_scale"],
        images=np.load(folder / "images.npy", mmap_mode="c"),  # copy on write: torch may share it
        landmarks=np.load(folder / "landmarks.npy"),
        frames=pd.read_parquet(folder / "frames.parquet"),
        problems=pd.read_csv(folder / "problems.csv"),
        key=folder.name.rsplit("-", 1)[1],
        folder=folder,
    )


@lru_cache(maxsize=4)
def _open_once(folder: Path) -> Crops:
    """As `_open`, for a process that trains on the same crops again and again."""
    return _open(folder)
