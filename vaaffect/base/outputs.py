"""What a command is about to write, compared with what it reads and with what is there already."""

import errno
import mmap
import os
import stat
import tempfile
import unicodedata
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

from .errors import UserError

_LONGEST = 255  # bytes of a name, on all usual disks


def refuse_to_overwrite(
    read: Iterable[Path], written: Iterable[tuple[Path, str]], ours: Callable[[Path], bool]
) -> None:
    """Call it before the first byte is written: nothing of the user's gets lost.

    Args:
        read: every file that is read; those that cannot be opened are passed over.
        written: every file that will be written, and in words what goes there ("the rows").
        ours: whether an earlier run of the same command wrote a file that is there; it may be
            replaced. An empty one may be replaced too.

    UserError: a file that is read would be written, under whatever name (links, capitals on a disk
    that does not distinguish them: device and inode tell); two things would be written into one
    file; a folder is in the way; or a file is there that no earlier run wrote. OSError: the system
    does not take a name.
    """
    sources = {}
    for path in read:
        with suppress(OSError):  # whoever reads it says so
            sources[_identity(path)] = path
    sources.pop(None, None)
    by_identity: dict[tuple[int, int], str] = {}  # what is written into a file that is there
    by_name: dict[tuple[Path, str], list[tuple[Path, str]]] = {}  # with what has a similar name
    for path, content in written:
        if len(os.fsencode(path.name)) > _LONGEST:
            raise OSError(errno.ENAMETOOLONG, os.strerror(errno.ENAMETOOLONG), str(path))
        if path.is_dir():
            raise UserError(
                f"{path}: is a folder, and a file is needed for {content}; name one in it."
            )
        identity, place = _identity(path), Path(os.path.realpath(path))
        if identity in sources:
            source = sources[identity]
            also = "is read" if source == path else f"is {source}, which is read,"
            raise UserError(
                f"{path}: {also} and would be overwritten by {content}; choose another name."
            )
        if path.is_symlink() and not place.parent.is_dir():
            raise UserError(f"{path}: is a link to {place}, where there is no folder; remove it.")
        alike = by_name.setdefault((place.parent, _folded(place.name)), [])
        others = [what for other, what in alike if place == other or _one_name(place, other)]
        others += [by_identity[identity]] if identity in by_identity else []
        if others:
            raise UserError(
                f"{path}: {others[0]} and {content} would both be written into this file; rename "
                "one of them, or choose another name."
            )
        alike.append((place, content))
        if identity is not None:
            by_identity[identity] = content
            if path.stat().st_size and not ours(path):
                raise UserError(
                    f"{path}: is there already and is no earlier result of this command; move it "
                    f"away, or choose another name for {content}."
                )


def holds(path: Path, mark: bytes) -> bool:
    """Whether a file has these bytes somewhere in it."""
    if path.stat().st_size == 0:  # nothing can be mapped
        return False
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        return data.find(mark) >= 0


def _identity(path: Path) -> tuple[int, int] | None:
    """What is the same for all names of a file: device and inode. None for one that is not there,
    and for what is no file on a disk (a terminal, a pipe, /dev/null): nothing in it can be lost."""
    try:
        state = path.stat()
    except FileNotFoundError:
        return None
    return (state.st_dev, state.st_ino) if stat.S_ISREG(state.st_mode) else None


def _folded(name: str) -> str:
    """A name as disks see it that distinguish neither capitals nor ways to write an accent."""
    return unicodedata.normalize("NFD", name).casefold()


def _one_name(path: Path, other: Path) -> bool:
    """Whether two names in a folder that differ in capitals or accents are one file. The folder may
    not be there yet: it is tried out where it would be made."""
    nearest = next(parent for parent in path.parents if parent.is_dir())
    with suppress(OSError), tempfile.TemporaryDirectory(dir=nearest) as trial:
        Path(trial, path.name).touch()
        return Path(trial, other.name).exists()
    return False
