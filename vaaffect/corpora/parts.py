"""What was made of the pieces of a corpus that are done, so that a build that was stopped goes on.

Reading a corpus takes hours where it is large. Each piece's result is a small file in the folder
`parts` of what is being built; when all is made, the folder goes.
"""

import io
import shutil
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from ..base import write_atomically

FOLDER = "parts"


def part_path(folder: Path, number: int) -> Path:
    """Where the result of a piece is kept while `folder` is built."""
    return folder / FOLDER / f"{number:06d}.npz"


def write_part(path: Path, results: Sequence[np.ndarray | str]) -> None:
    """Keep what was made of each picture of a piece: landmarks (68, 2), or why there are none."""
    file = io.BytesIO()
    reasons = np.array([r if isinstance(r, str) else "" for r in results], str)
    points = [r for r in results if not isinstance(r, str)]
    np.savez(file, reasons=reasons, points=np.array(points, np.float32).reshape(-1, 68, 2))
    path.parent.mkdir(exist_ok=True)
    write_atomically(path, file.getvalue())


def read_part(path: Path) -> list[np.ndarray | str] | None:
    """What `write_part` has kept; None where there is nothing, or only half of it."""
    try:
        with np.load(path) as part:
            points = iter(part["points"])
            return [str(reason) if reason else next(points) for reason in part["reasons"]]
    except (OSError, ValueError, KeyError, EOFError, StopIteration, zipfile.BadZipFile):
        return None


def remove_parts(folder: Path) -> None:
    """Remove the parts of what is built in `folder`."""
    shutil.rmtree(folder / FOLDER, ignore_errors=True)
