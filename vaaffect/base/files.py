"""Files that are whole or absent, hashes that tell, and walks over folders."""

import errno
import fcntl
import hashlib
import os
import stat
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import cache
from pathlib import Path

_LITTER = {
    ".appledouble", ".ds_store", ".fseventsd", ".spotlight-v100", "icon\r", "__macosx",  # a Mac
    "$recycle.bin", "desktop.ini", "ehthumbs.db", "system volume information", "thumbs.db",
    "@eadir",  # pictures of pictures, on network storage
}  # fmt: skip
_OF_WINDOWS = ":zone.identifier"  # at the end of each file that was downloaded there
Unopened = Callable[[Path, OSError], object]  # told of a folder that cannot be opened, and why


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
    with whole(path) as partial:
        partial.write_bytes(data.encode() if isinstance(data, str) else data)
        if lasting:
            sync(partial)
    if lasting:
        sync(path.parent)


@contextmanager
def whole(path: Path, ending: str = "") -> Iterator[Path]:
    """Another name, with this ending, to write a file under in the block; at its end the file gets
    its own name. After an error nothing is left of it, and a file that had the name before is as it
    was. Nothing happens where nothing was written. A link stays one: the file it leads to is new.
    """
    path = path.resolve() if path.is_symlink() else path
    name = path.name
    if len(os.fsencode(name)) > 200:  # disks take 255 bytes at most
        name = hashlib.sha256(os.fsencode(name)).hexdigest()
    partial = path.with_name(f"{name}.{os.getpid()}{ending}")
    try:
        with naming(path, partial):
            yield partial
            if partial.exists():
                partial.replace(path)
    except BaseException:
        with suppress(OSError):
            partial.unlink()
        raise


@contextmanager
def naming(path: Path, other: Path | None = None) -> Iterator[None]:
    """Errors of the system in the block that name no file, or its `other` name, name this one."""
    try:
        yield
    except OSError as error:
        if error.errno is not None and error.filename in (None, other and str(other)):
            error.filename, error.filename2 = str(path), None
        raise


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
    for folder, _, names in walk(root):
        for name in names:
            path = folder / name
            with suppress(OSError):  # a link that leads nowhere
                state = path.stat()
                hashed.update(os.fsencode(f"{path}\0{state.st_size} {state.st_mtime_ns}\0"))
    return hashed.hexdigest()


def find_files(root: Path, wanted: Callable[[Path], bool], unopened: Unopened) -> list[Path]:
    """The wanted files below a folder, at any depth, in the order of their paths; `unopened` as of
    `walk`."""
    files = []
    for folder, _, names in walk(root, unopened):
        files += [path for name in names if wanted(path := folder / name)]
    return sorted(files)


def walk(
    root: Path, unopened: Unopened = lambda folder, error: None
) -> Iterator[tuple[Path, list[str], list[str]]]:
    """Each folder at and below `root` with the names of its folders and of its other entries, both
    sorted; what systems leave behind (`is_litter`) is passed over.

    Links to folders are followed, and no folder is entered twice, however many links lead to it. Of
    its paths the one without a link is kept, else the one that is met first when the real folders
    come first, and then what lies behind each link, in the order of their paths. A link to a folder
    in which `root` lies is a way back, and is not followed.

    `unopened` is called with each folder that cannot be opened and the reason. Among these are
    links that lead nowhere, to a disk that is not there for example, unless an ending in its name
    says that it is a file.
    """
    entered = {_identity(folder) for folder in Path(os.path.realpath(root)).parents}
    links = deque([root])
    while links:
        folders = [links.popleft()]
        while folders:
            folder = folders.pop()
            try:
                identity = _identity(folder)
                if identity in entered:
                    continue
                with os.scandir(folder) as entries:
                    found = sorted(entries, key=lambda entry: entry.name)
            except OSError as error:
                unopened(folder, error)
                continue
            entered.add(identity)
            inside, linked, names = [], [], []
            for entry in found:
                if not is_litter(entry.name):
                    kind = linked if entry.is_symlink() else inside
                    (kind if _is_folder(entry, unopened) else names).append(entry.name)
            yield folder, sorted(inside + linked), names
            folders += [folder / name for name in reversed(inside)]
            links += [folder / name for name in linked]


def _identity(path: Path) -> tuple[int, int]:
    state = path.stat()
    return state.st_dev, state.st_ino


def _is_folder(entry: os.DirEntry, unopened: Unopened) -> bool:
    try:
        # A link that leads nowhere is no error to is_dir.
        return stat.S_ISDIR(entry.stat().st_mode) if entry.is_symlink() else entry.is_dir()
    except OSError as error:
        path = Path(entry.path)
        if not path.suffix and error.errno != errno.ELOOP:  # links in a circle hide nothing
            unopened(path, error)
        return False


def listing(folder: Path) -> list[Path]:
    """What is in a folder, sorted, without what systems leave behind (`is_litter`). OSError."""
    return sorted(path for path in folder.iterdir() if not is_litter(path.name))


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name is nobody's data, but what a Mac, Windows, a desktop or
    a network storage leaves in folders: `._00000.png` holds no picture, a bin what was deleted."""
    name = name.lower()
    return name in _LITTER or name.startswith(("._", ".trash")) or name.endswith(_OF_WINDOWS)
