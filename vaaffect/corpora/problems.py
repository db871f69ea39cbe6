"""What is wrong with a corpus: what was left out of it, and what is only noted."""

import re
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from ..base import printable

# path (relative to the root; of a part of a file, path#part), reason, and what is lost by it: a
# "frame", "clip", "session", "trace", "folder" ..., or NOTHING for a note.
PROBLEM_COLUMNS = ["path", "reason", "lost"]
NOTHING = "nothing"
_SHOWN = 5  # paths listed per reason
_NUMBERS = r"-?\d+(\.\d+)?"  # a reason may have some that differ from file to file


class Problems:
    """What is left out of a corpus or noted about it, and why, in the order in which it is seen.
    Names of files become `printable`."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.rows: list[tuple[str, str, str]] = []  # PROBLEM_COLUMNS

    def add(self, path: Path, reason: str | Exception, lost: str, part: object = "") -> None:
        """Leave out a file, or a part of it (`part`: a frame, say); `lost` is what is missing then,
        a "clip" for example. Returns None."""
        if isinstance(reason, OSError):
            reason = f"cannot be read ({reason.strerror})"
        name = path.relative_to(self.root).as_posix()
        name = printable(f"{name}#{part}" if part != "" else name)
        self.rows.append((name, printable(reason), lost))

    def note(self, path: Path, reason: str | Exception, part: object = "") -> None:
        """Say something about a file, or a part of it, by which nothing is lost."""
        self.add(path, reason, NOTHING, part)

    def add_folder(self, path: Path, error: OSError) -> None:
        """Leave out a folder that cannot be opened, or a link that leads nowhere, as `find_files`
        tells of it."""
        leads_nowhere = path.is_symlink() and not path.exists()
        what = "link leads nowhere" if leads_nowhere else "folder cannot be opened"
        self.add(path, f"{what} ({error.strerror})", "folder")

    def table(self) -> pd.DataFrame:
        """All of them, PROBLEM_COLUMNS."""
        return pd.DataFrame(self.rows, columns=PROBLEM_COLUMNS)

    def first_loss(self) -> str:
        """The first thing that was left out, "path: reason"; "" where there is none."""
        losses = (f"{path}: {reason}" for path, reason, lost in self.rows if lost != NOTHING)
        return next(losses, "")


def losses(problems: pd.DataFrame) -> str:
    """What was lost, in words: "2 clips, 1 frame" or "nothing". `problems` has PROBLEM_COLUMNS."""
    counts = problems.loc[problems["lost"] != NOTHING, "lost"].value_counts(sort=False)
    return ", ".join(counted(int(n), name) for name, n in counts.items()) or NOTHING


def counted(number: int, name: str) -> str:
    """ "1 clip", "2 clips"."""
    return f"{number} {name}" if number == 1 else f"{number} {name}s"


def problem_kinds(problems: pd.DataFrame) -> pd.DataFrame:
    """A row per kind of problem, losses first: lost, reason, count, first (an example's path). A
    kind are reasons that differ in numbers alone; `reason` is that of the first.

    `problems` has PROBLEM_COLUMNS.
    """
    rows = [
        (rows["lost"].iloc[0], rows["reason"].iloc[0], len(rows), rows["path"].iloc[0])
        for rows in _by_kind(problems)
    ]
    return pd.DataFrame(rows, columns=["lost", "reason", "count", "first"])


def _by_kind(problems: pd.DataFrame) -> Iterable[pd.DataFrame]:
    kinds = problems["reason"].str.replace(_NUMBERS, "N", regex=True)
    groups = [rows for _, rows in problems.groupby([problems["lost"], kinds], sort=False)]
    return sorted(groups, key=lambda rows: rows["lost"].iloc[0] == NOTHING)


def problem_lines(problems: pd.DataFrame, every: bool) -> list[str]:
    """A table of problems, PROBLEM_COLUMNS, by reason: what was left out, then what is noted;
    `every` lists all paths of each reason."""
    noted = problems["lost"] == NOTHING
    lines = [f"left out: {losses(problems)}"]
    lines += _lines(problems[~noted], every)
    if noted.any():
        lines.append(f"{counted(int(noted.sum()), 'note')}, by which nothing is lost:")
        lines += _lines(problems[noted], every)
    return lines


def _lines(problems: pd.DataFrame, every: bool) -> list[str]:
    lines = []
    for rows in _by_kind(problems):
        lines.append(f"  {len(rows)} x {rows['reason'].iloc[0]}")
        shown = rows if every else rows.head(_SHOWN)
        same = rows["reason"].nunique() == 1
        for path, reason in zip(shown["path"], shown["reason"], strict=True):
            lines.append(f"      {path}" if same else f"      {path}: {reason}")
        if len(rows) > len(shown):
            lines.append(f"      and {len(rows) - len(shown)} more (--all lists them)")
    return lines


# What people write where they do not know who is seen; compared without case and punctuation.
_PLACEHOLDERS = {
    "", "actor", "actress", "anonymous", "female", "male", "man", "missing", "na", "nan", "nil",
    "no name", "nobody", "none", "not available", "not known", "null", "person", "subject", "tba",
    "tbd", "todo", "unidentified", "unknown", "unknown actor", "unknown actress", "unknown person",
    "unknown subject", "unnamed", "user", "woman",
}  # fmt: skip


def is_placeholder(name: str) -> bool:
    """Whether a name stands for nobody in particular, such as "unknown", "N/A", "-" or "actor": all
    clips that have it would be taken for one subject."""
    return re.sub(r"[\W_]+", " ", re.sub(r"[./]", "", name.lower())).strip() in _PLACEHOLDERS
