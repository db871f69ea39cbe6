"""Face crops: each picture is decoded once, cropped by its landmarks, and kept as raw bytes.

A set of crops is a folder of plain files, found by a key made from its inputs. Training reads
`images` as a memory map, so a corpus larger than memory is no problem.
"""

import hashlib
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from .corpus import PROBLEM_COLUMNS, Corpus
from .errors import UserError
from .files import sha256_of
from .paths import CROPS

VERSION = 1  # change it when the same inputs would give other crops
MARGIN = 0.08  # scenery kept on each side, as a share of the face box
_CHUNK = 64  # frames per task: large enough to amortise sending it, small enough for progress


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
    """

    label: str
    native_scale: float
    images: np.ndarray
    landmarks: np.ndarray
    frames: pd.DataFrame
    problems: pd.DataFrame
    key: str

    @property
    def va(self) -> np.ndarray:
        """(N, 2) float32 labels, columns (valence, arousal), in [-1, 1]."""
        return self.frames[["valence", "arousal"]].to_numpy(np.float32, copy=True)


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
        ValueError: when the box does not touch the picture.
    """
    left, top, right, bottom = face_box(landmarks, margin)
    height, width = image.shape[:2]
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        raise ValueError("the landmarks lie outside the picture")
    inside = image[max(top, 0) : min(bottom, height), max(left, 0) : min(right, width)]
    outside = max(-top, 0), max(bottom - height, 0), max(-left, 0), max(right - width, 0)
    if any(outside):
        inside = cv2.copyMakeBorder(inside, *outside, cv2.BORDER_REPLICATE)
    shrinking = inside.shape[0] > size or inside.shape[1] > size
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
    if not (folder / "manifest.json").exists():
        try:
            _build(corpus, size, margin, folder, workers or os.cpu_count() or 1, progress)
        except OSError as error:
            raise UserError(
                f"{folder}: cannot be written ({error.strerror or error}); free some space or make "
                "the folder writable, then run again."
            ) from error
    return _open(corpus, folder, key)


def _build(
    corpus: Corpus,
    size: int,
    margin: float,
    folder: Path,
    workers: int,
    progress: Callable[[int, int], None] | None,
) -> None:
    total = len(corpus.frames)
    partial = folder.with_name(folder.name + f".partial-{os.getpid()}")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    shape = (total, size, size, 3)
    images = np.lib.format.open_memmap(partial / "images.npy", "w+", np.uint8, shape)
    points = np.zeros((total, 68, 2), np.float32)
    failed: dict[int, str] = {}
    done = 0
    for start, crops, landmarks, reasons in _crop_chunks(corpus, size, margin, workers):
        images[start : start + len(crops)] = crops
        points[start : start + len(crops)] = landmarks
        failed |= reasons
        done += len(crops)
        if progress is not None:
            progress(done, total)
    if len(failed) == total:
        shutil.rmtree(partial)
        path = corpus.root / corpus.frames["source"].iloc[0]
        raise UserError(f"{path}: {failed[0]}, and so for every picture of {corpus.root}.")
    sound = np.setdiff1d(np.arange(total), list(failed))
    if failed:  # close the gaps in place, a row at a time: the crops may not fit in memory
        for to, source in enumerate(sound):
            images[to] = images[source]
    images.flush()
    del images
    _shorten(partial / "images.npy", (len(sound), *shape[1:]))
    np.save(partial / "landmarks.npy", points[sound])
    corpus.frames.iloc[sound].reset_index(drop=True).to_parquet(partial / "frames.parquet")
    problems = [(corpus.frames["source"].iloc[i], why) for i, why in sorted(failed.items())]
    pd.DataFrame(problems, columns=PROBLEM_COLUMNS).to_csv(partial / "problems.csv", index=False)
    files = ("images.npy", "landmarks.npy", "frames.parquet", "problems.csv")
    manifest = {
        "label": corpus.label,
        "native_scale": corpus.native_scale,
        "size": size,
        "margin": margin,
        "version": VERSION,
        "sha256": {name: sha256_of(partial / name) for name in files},
    }
    (partial / "manifest.json").write_text(json.dumps(manifest, indent=1))
    shutil.rmtree(folder, ignore_errors=True)
    partial.rename(folder)


def _crop_chunks(
    corpus: Corpus, size: int, margin: float, workers: int
) -> Iterator[tuple[int, np.ndarray, np.ndarray, dict[int, str]]]:
    """Crop in chunks, in any order: (first row, crops, landmarks, {row: reason})."""
    sources = [str(corpus.root / source) for source in corpus.frames["source"]]
    chunks = [
        (start, sources[start : start + _CHUNK], corpus.landmarks[start : start + _CHUNK])
        for start in range(0, len(sources), _CHUNK)
    ]
    if workers == 1 or len(chunks) == 1:
        for chunk in chunks:
            yield _crop_chunk(*chunk, size, margin)
        return
    # "spawn": forking a process that has started torch's threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(min(workers, len(chunks)), mp_context=context) as pool:
        futures = [pool.submit(_crop_chunk, *chunk, size, margin) for chunk in chunks]
        for future in as_completed(futures):
            yield future.result()


def _crop_chunk(
    start: int, sources: list[str], landmarks: np.ndarray, size: int, margin: float
) -> tuple[int, np.ndarray, np.ndarray, dict[int, str]]:
    cv2.setNumThreads(1)  # one process per core already
    crops = np.zeros((len(sources), size, size, 3), np.uint8)
    points = np.zeros((len(sources), 68, 2), np.float32)
    reasons: dict[int, str] = {}
    for i, source in enumerate(sources):
        image = cv2.imread(source, cv2.IMREAD_COLOR)
        if image is None:
            reasons[start + i] = "picture cannot be decoded"
            continue
        try:
            crop, points[i] = crop_face(image, landmarks[i], size, margin)
        except ValueError as error:
            reasons[start + i] = str(error)
            continue
        crops[i] = crop[:, :, ::-1]  # OpenCV decodes to BGR
    return start, crops, points, reasons


def _shorten(path: Path, shape: tuple[int, ...]) -> None:
    """Rewrite the header of a .npy file for fewer rows and cut the rest off."""
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


def _open(corpus: Corpus, folder: Path, key: str) -> Crops:
    """Open a finished set; its files must still be the ones that were written."""
    manifest = json.loads((folder / "manifest.json").read_text())
    for name, expected in manifest["sha256"].items():
        path = folder / name
        if not path.exists() or sha256_of(path) != expected:
            raise UserError(
                f"{path}: is damaged (its hash is not the one it was written with); delete the "
                f"folder {folder} and run again, it will be rebuilt."
            )
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
        key=key,
    )
