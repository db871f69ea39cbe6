"""The one cache: folders of files that can be made again, each named by what it was made from.

Simulated corpora, landmarks, crops, features, weights of pretext tasks, baselines: whoever wants
one says how to build it, and gets the folder, whole. A folder is finished when it has a manifest,
which is written last. Nothing is thrown away here; what is no longer wanted can be deleted.
"""

import ast
import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from .errors import UserError
from .files import held, sha256_of, write_atomically

MANIFEST = "manifest.json"
STAMP = ("SHA-256", "bytes", "time of change in ns")  # of a file, see `stamp`


def kept(
    folder: Path, build: Callable[[Path], Mapping[str, Any] | None], watch: str = "*"
) -> dict[str, Any]:
    """Make a folder of files unless it is there; returns what its manifest says.

    Two processes may ask for the same folder at once: the second one waits for the first. A build
    that is killed leaves no manifest, so the next one begins in that folder, with what is left.

    Opening is cheap: a file whose size and time of change are those in the manifest counts as it
    was written. Any other one is hashed, and only bytes that differ are a damage.

    Args:
        folder: named after everything that determines its content (see `digest`).
        build: fills the folder and returns facts for the manifest (JSON). What it raises is raised.
        watch: which files are hashed after the build and compared when the folder is opened, a
            pattern; "" for none.

    Returns:
        The facts, and `files`: {name: stamp}.

    Raises:
        UserError: a file is missing or is not the one that was written; or the folder cannot be
            written.
    """
    try:
        if (manifest := opened(folder)) is not None:
            return manifest
        with held(folder):
            if (manifest := opened(folder)) is None:  # no other process has been faster
                facts = dict(build(folder) or {})
                made = [p for p in sorted(folder.rglob(watch)) if p.is_file()] if watch else []
                files = {path.relative_to(folder).as_posix(): stamp(path) for path in made}
                manifest = facts | {"files": files}
                write_atomically(folder / MANIFEST, json.dumps(manifest, indent=1))
        return manifest
    except OSError as error:
        raise UserError(
            f"{error.filename or folder}: cannot be written ({error.strerror or error}); free some "
            "space or make the folder writable, then run again."
        ) from error


def opened(folder: Path) -> dict[str, Any] | None:
    """The manifest of a finished folder, None where there is none; UserError as of `kept`."""
    path = folder / MANIFEST
    manifest = read_record(path, "files")
    if manifest is None:
        return None
    files = manifest["files"]
    if changed := check_files(folder, files):
        with suppress(OSError):  # a folder that may only be read is hashed each time
            write_atomically(path, json.dumps(manifest | {"files": files | changed}, indent=1))
    return manifest


def read_record(path: Path, *keys: str) -> dict[str, Any] | None:
    """What a folder's files say of it in JSON, which was written whole; None where there is no such
    file. `files` in it, where there are any, are stamps by name.

    UserError: it cannot be read, is no JSON object, or lacks one of the `keys`.
    """
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise _unreadable(path, error) from error
    except (ValueError, RecursionError) as error:  # no text, or no JSON
        raise damaged(path, "it cannot be read") from error
    if not isinstance(record, dict):
        raise damaged(path, f"it holds {type(record).__name__} where an object was written")
    if missing := [key for key in keys if key not in record]:
        raise damaged(path, f"it says nothing of {missing[0]}")
    files = record.get("files", {})
    stamps = files.values() if isinstance(files, dict) else [None]
    if not all(isinstance(one, list) and len(one) == len(STAMP) for one in stamps):
        raise damaged(path, "its list of files cannot be read")
    return record


def check_files(folder: Path, files: Mapping[str, list]) -> dict[str, list]:
    """New stamps of sound files with another time; UserError where one is missing or damaged."""
    changed = {}
    for name, (sha256, size, time) in files.items():
        try:
            state = (folder / name).stat()
            if (state.st_size, state.st_mtime_ns) != (size, time):
                changed[name] = stamp(folder / name)
        except FileNotFoundError as error:
            raise damaged(folder / name, "it is missing") from error
        except OSError as error:
            raise _unreadable(folder / name, error) from error
        if name in changed and changed[name][0] != sha256:
            raise damaged(folder / name, "its hash is not the one it was written with")
    return changed


def stamp(path: Path) -> list:
    """A list as of STAMP; the time is read first, so that a later change shows."""
    state = path.stat()
    return [sha256_of(path), state.st_size, state.st_mtime_ns]


def damaged(path: Path, why: str) -> UserError:
    """What is said of a damaged file of a folder that can be made again."""
    return UserError(
        f"{path}: is damaged ({why}); delete the folder {path.parent} and run again, it will be "
        "rebuilt."
    )


def _unreadable(path: Path, error: OSError) -> UserError:
    return UserError(f"{path}: cannot be read ({error.strerror}); make it readable and run again.")


def digest(*parts: Any) -> str:
    """SHA-256 of anything that JSON can write."""
    text = json.dumps(parts, sort_keys=True, ensure_ascii=False, default=str)
    return hashlib.sha256(text.encode(errors="surrogatepass")).hexdigest()  # names of any bytes


@cache
def code_digest(*places: Path, but: tuple[str, ...] = ()) -> str:
    """SHA-256 of what some source files do: other comments, docstrings or line breaks are the same.

    It stands where a version number would have to be raised by hand. `places` are Python files, or
    rooms, in which the files named in `but` do not count.
    """
    files = [p for place in places for p in (sorted(place.glob("*.py")) or [place])]
    return digest([_meaning(path) for path in files if path.name not in but])


def _meaning(path: Path) -> list:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    for node in ast.walk(tree):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            node.body = node.body[ast.get_docstring(node, clean=False) is not None :]
    return [path.name, _dump(tree)]


def _dump(node: Any) -> Any:
    """A syntax tree as nested lists; fields that are empty, which versions of Python add, not."""
    if isinstance(node, ast.AST):
        fields = [(name, _dump(value)) for name, value in ast.iter_fields(node) if value]
        constant = [repr(node.value)] if isinstance(node, ast.Constant) else []
        return [type(node).__name__, *constant, *fields]
    return [_dump(item) for item in node] if isinstance(node, list) else repr(node)
