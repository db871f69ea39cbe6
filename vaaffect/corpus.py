"""What every corpus becomes, whatever its form on disk: a table of annotated frames."""

import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

FRAME_COLUMNS = [
    "subject",  # who is seen; a hash, never a name
    "clip",
    "frame",  # number within the clip
    "time_s",
    "source",  # file of the picture, relative to the corpus's root
    "source_index",  # which picture of that file (0 for still images)
    "valence",  # [-1, 1]
    "arousal",  # [-1, 1]
]
PROBLEM_COLUMNS = ["path", "reason"]


@dataclass(frozen=True)
class Corpus:
    """Annotated frames of one corpus.

    Attributes:
        name: "afew-va".
        root: the folder that `source` is relative to.
        simulated: whether the simulator wrote it; shown wherever a number from it is shown.
        native_scale: the labels on disk are this factor times the ones here (AFEW-VA: 10).
        frames: one row per frame, columns FRAME_COLUMNS; valence and arousal in [-1, 1].
        landmarks: (N, 68, 2) float32, iBUG order, in pixels of the native picture; or None.
        problems: what was left out, columns PROBLEM_COLUMNS.
    """

    name: str
    root: Path
    simulated: bool
    native_scale: float
    frames: pd.DataFrame
    landmarks: np.ndarray | None
    problems: pd.DataFrame

    @property
    def label(self) -> str:
        """How tables and figures name this data; simulated data always says so."""
        shown = {"afew-va": "AFEW-VA"}[self.name]
        return f"{shown} (simulated)" if self.simulated else shown

    @property
    def va(self) -> np.ndarray:
        """(N, 2) float32 labels, columns (valence, arousal), in [-1, 1]."""
        return self.frames[["valence", "arousal"]].to_numpy(np.float32, copy=True)

    def fingerprint(self) -> str:
        """SHA-256 over labels, landmarks and the size of every picture file.

        Two copies of the same corpus in different places have the same fingerprint. A picture that
        was replaced by one of the same size is not noticed here; the pictures' own bytes are read,
        and checked, when crops are built.
        """
        digest = hashlib.sha256(self.name.encode())
        digest.update(self.frames.to_csv(index=False).encode())
        if self.landmarks is not None:
            digest.update(np.ascontiguousarray(self.landmarks).tobytes())
        for source in self.frames["source"].unique():
            digest.update(str((self.root / source).stat().st_size).encode())
        return digest.hexdigest()


def hashed_subject(name: str) -> str:
    """A subject id that does not tell the name: "s" and eight hex digits of its SHA-256."""
    return "s" + hashlib.sha256(name.strip().lower().encode()).hexdigest()[:8]
