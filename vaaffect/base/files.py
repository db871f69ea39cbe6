"""Files that are whole or absent, and hashes that tell."""

import errno
import fcntl
import hashlib
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path


def sha256_of(path: Path) -> str:
    """SHA-256 of a file's bytes, as hex digits."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def known_sha256(path: Path) -> str:
    """`sha256_of`, which a process computes once for as long as size and time of change stay: files
    of weights have hundreds of megabytes."""
    state = path.stat()
    return _sha256_of_state(path, state.st_size, state.st_mtime_ns)


@cache
def _sha256_of_state(path: Path, size: int, time: int) -> str:
    return sha256_of(path)


def write_atomically(path: Path, data: bytes | str, lasting: bool = False) -> None:
    """Write a file under another name, then rename it: a kill never leaves half of it. One that is
    `lasting` is on the disk when this returns, so that a power cut does not either (see `sync`)."""
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    partial.write_bytes(data.encode() if isinstance(data, str) else data)
    if lasting:
        sync(partial)
    partial.replace(path)
    if lasting:
        sync(path.parent)


def sync(path: Path) -> None:
    """Make the system put a file, or a folder's list of names, onto the disk now.

    A rename can reach the disk before the bytes of the file do; after a power cut, that would be a
    name for half a file.
    """
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@contextmanager
def held(folder: Path) -> Iterator[None]:
    """Make a folder and hold it; whoever comes second waits. However a process ends, the system
    lets go of what it held, so a folder that can be held and is unfinished is nobody's.

    Where a file system cannot lock folders (NFS can lock files opened for writing only), nothing is
    held: there, only two studies at once would get into each other's way.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno not in (errno.EBADF, errno.ENOSYS, errno.ENOTSUP, errno.ENOLCK):
                raise
        yield
    finally:
        os.close(handle)


def files_state(root: Path) -> str:
    """SHA-256 over names, sizes and times of change of all files below a folder: another one where
    a file was written, replaced, removed or added."""
    hashed = hashlib.sha256()
    for folder, folders, names in os.walk(root, followlinks=True):
        folders.sort()
        for name in sorted(names):
            path = Path(folder) / name
            with suppress(OSError):  # a link that leads nowhere
                state = path.stat()
                hashed.update(os.fsencode(f"{path}\0{state.st_size} {state.st_mtime_ns}\0"))
    return hashed.hexdigest()


def find_files(
    root: Path, wanted: Callable[[Path], bool], unopened: Callable[[Path, OSError], None]
) -> list[Path]:
    """The wanted files below a folder, at any depth, in the order of their paths.

    `unopened` is called with each folder that cannot be opened, which pathlib's own search would
    pass over in silence, and the reason.
    """

    def note(error: OSError) -> None:
        unopened(Path(error.filename), error)

    files = []
    for folder, _, names in os.walk(root, onerror=note, followlinks=True):
        files += [path for name in names if wanted(path := Path(folder) / name)]
    return sorted(files)
