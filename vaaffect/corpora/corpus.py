"""What every corpus becomes, whatever its form on disk: a table of annotated frames."""

import hashlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import UserError, digest, located, walk
from ..simulator import marker_of
from .problems import Problems

DIMENSIONS = ("valence", "arousal")  # the order everywhere
FRAME_COLUMNS = [
    "subject",  # who is seen; a pseudonym, never a name
    "clip",
    "frame",  # number within the clip
    "time_s",
    "source",  # file of the picture, relative to the corpus's root, `printable`; `located` opens it
    "source_index",  # which picture of that file (0 for still images)
    *DIMENSIONS,  # [-1, 1]
]

CORPUS_NAMES = {"afew-va": "AFEW-VA", "semaine": "SEMAINE"}
PSEUDONYM = re.compile(r"s[0-9a-f]{8}|(?:afew-va|semaine)-\d{3,}")  # what a subject is called
# The environment variables that point to the licensed copies.
VARIABLES = {"afew-va": "VAAFFECT_AFEW_VA", "semaine": "VAAFFECT_SEMAINE"}


@dataclass(frozen=True)
class Corpus:
    """Annotated frames of one corpus."""

    name: str  # a key of CORPUS_NAMES
    root: Path  # the folder that `source` is relative to
    simulated: bool  # whether the simulator wrote it; shown wherever a number from it is shown
    native_scale: float  # the labels on disk are this factor times the ones here (AFEW-VA: 10)
    frames: pd.DataFrame  # one row per frame, FRAME_COLUMNS; SEMAINE has RATER_COLUMNS besides
    landmarks: np.ndarray | None  # (N, 68, 2) float32, iBUG order, in pixels of the native picture
    problems: pd.DataFrame  # what was left out or noted, PROBLEM_COLUMNS
    part: str = ""  # what was taken of it, "40 clips" for example; shown wherever the name is
    # Of a corpus that the simulator wrote, the hash of all that determines it, see `made_from`. A
    # copy with other parts (`dataclasses.replace`) has none any more.
    origin: str = field(default="", init=False)

    def made_from(self, origin: str) -> "Corpus":
        """Note that everything in this corpus follows from `origin`, so that it is known by that,
        and not by bytes that another machine may have drawn a little otherwise."""
        object.__setattr__(self, "origin", origin)
        if self.landmarks is not None:
            self.landmarks.flags.writeable = False  # changed ones would pass for the old ones
        return self

    def copy(self) -> "Corpus":
        """The same corpus with tables of its own, so that a change in them stays where it is made;
        landmarks are shared, and read-only."""
        if self.landmarks is not None:
            self.landmarks.flags.writeable = False
        tables = {"frames": self.frames.copy(), "problems": self.problems.copy()}
        return replace(self, **tables).made_from(self.origin)

    @property
    def label(self) -> str:
        """How tables and figures name this data; a part and simulated data always say so."""
        part = f", {self.part}" * bool(self.part)
        return CORPUS_NAMES[self.name] + part + " (simulated)" * self.simulated

    @property
    def va(self) -> np.ndarray:
        """(N, 2) float32 labels, columns (valence, arousal), in [-1, 1]."""
        return self.frames[[*DIMENSIONS]].to_numpy(np.float32, copy=True)

    def fingerprint(self) -> str:
        """SHA-256 that identifies the corpus, wherever its copy lies.

        Of a simulated one it covers the world, the code of the simulator, and the rows of the
        frames with their labels: it is the same on every machine. Of any other it covers labels,
        landmarks and the size of every picture file; a picture that was replaced by one of the same
        size is not noticed here. The pictures' own bytes are read when crops are built.
        """
        if self.origin:
            rows = self.frames[["subject", "clip", "frame", "source", "source_index"]]
            # To 4 digits. A mean of raters often lies half way between two such numbers, where the
            # last bit of a float would decide: a little is added.
            labels = (self.frames[[*DIMENSIONS]] + 3e-7).round(4)
            return digest(self.name, self.origin, rows.join(labels).to_csv(index=False))
        hashed = hashlib.sha256(self.name.encode())
        hashed.update(self.frames.to_csv(index=False).encode())
        if self.landmarks is not None:
            hashed.update(np.ascontiguousarray(self.landmarks).tobytes())
        for source in self.frames["source"].unique():
            hashed.update(str(located(self.root / source).stat().st_size).encode())
        return hashed.hexdigest()


def as_corpus(
    name: str,
    native_scale: float,
    frames: pd.DataFrame,
    landmarks: np.ndarray | None,
    problems: Problems,
    files: Iterable[Path],
) -> Corpus:
    """What a loader read: simulated, if the simulator's marker lies beside or above its `files`, or
    beside or above what these are links to.

    Otherwise its subjects are real people, who get pseudonyms that say nothing of their names.
    """
    marker = marker_of([Path(place) for path in files for place in (path, os.path.realpath(path))])
    table = problems.table()
    simulated = marker is not None
    if not simulated:
        frames = frames.assign(subject=_numbered(frames["subject"], name))
    corpus = Corpus(name, problems.root, simulated, native_scale, frames, landmarks, table)
    return corpus.made_from(marker.get("key", "")) if marker else corpus


def hashed_subject(name: str) -> str:
    """A short id for one name, however it is written: "s" and eight hex digits of its SHA-256.

    Whoever has a list of names can find out which one it is, so that only simulated people keep
    it; `as_corpus` replaces it for real ones.
    """
    letters = name.strip().lower().encode(errors="surrogatepass")  # JSON can hold half characters
    return "s" + hashlib.sha256(letters).hexdigest()[:8]


def _numbered(subjects: pd.Series, name: str) -> np.ndarray:
    """`afew-va-001` and so on, in the order in which a corpus first shows its subjects.

    That is the same for every copy of the corpus, needs no secret, and can be traced back to a
    person with the corpus only, which names its subjects anyway.
    """
    numbers, present = pd.factorize(subjects)
    digits = max(3, len(str(len(present))))  # so that the alphabet's order is theirs
    return np.array([f"{name}-{number + 1:0{digits}d}" for number in numbers], dtype=object)


def looks_like(root: Path) -> str | None:
    """Which corpus a folder seems to hold, from the first telling file name in it: a key of
    CORPUS_NAMES, "zip" for archives that are still packed, "avec-2012" for that challenge's
    repackaging of SEMAINE, or None."""
    packed = None
    for _, folders, names in walk(root):
        for name in names:
            if name.lower() == "session.xml":
                return "semaine"
            if re.fullmatch(r"\d{3}\.json", name, re.IGNORECASE):
                return "afew-va"
            if name.lower().endswith(".zip"):
                packed = "zip"
        if any(re.fullmatch(r"(FC|WL).*_labels", folder) for folder in folders):
            return "avec-2012"
    return packed


def refuse(root: Path, expected: str) -> UserError:
    """The error for a folder in which nothing of the `expected` corpus was found, with what it
    seems to be."""
    name = CORPUS_NAMES[expected]
    cure = f"set {VARIABLES[expected]} to your copy of {name}"
    kind = looks_like(root)
    if not root.exists():
        fault = f"no such folder; {cure} (data/README.md says how to obtain it)."
    elif not root.is_dir():
        fault = f"is a file; {cure}, which is a folder."
    elif kind == "zip":
        fault = (
            "holds archives only; unpack them side by side first, for example: "
            f'cd \'{root}\' && for part in *.zip; do unzip -q "$part" -d "${{part%.zip}}"; done'
        )
    elif kind == "avec-2012":
        fault = (
            "is the AVEC 2012 repackaging of SEMAINE, which names neither raters nor subjects; "
            "use the original download, with Sessions/2/session.xml inside."
        )
    elif kind in CORPUS_NAMES:
        fault = f"holds {CORPUS_NAMES[kind]}, not {name}; {cure}."
    else:
        folders = {"afew-va": "01/001 with 001.json and 00000.png",
                   "semaine": "Sessions/2 with session.xml"}  # fmt: skip
        fault = f"no {name} found; expected folders like {folders[expected]} inside."
    return UserError(f"{root}: {fault}")
