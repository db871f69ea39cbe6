"""Pictures of a corpus, whether they lie on disk as image files or as frames of a video."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..base import in_processes, located
from .corpus import Corpus
from .images import read_image
from .kinds import is_video
from .parts import part_path, read_part, write_part
from .problems import PROBLEM_COLUMNS
from .videos import read_video

Progress = Callable[[int, int], None]  # (frames done, frames in all)
# Modules that decide what is read of a file: what is made of pictures depends on them.
CODE = ("pictures.py", "images.py", "jpeg.py", "videos.py", "kinds.py")
_STILLS = 64  # images per task: enough to amortise sending it, few enough for progress


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
        yield from read_video(located(Path(root) / sources[0]), indices)
        return
    for i, source in enumerate(sources):
        yield i, *read_image(Path(root) / source)
