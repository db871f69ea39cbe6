"""The folders of a study: checked, held by one study at a time, and cleared where it is asked."""

import fcntl
import itertools
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..base import UserError, paths, printable, provenance, shown, write_atomically

MADE = ("notebooks", "html", "tables", "figures")  # what a study makes in a report folder
CARDS = ("model_card.md", "data_card.md")  # and beside these
PAGES = ("report.html", "report.pdf")


def checked_report_folder(out: Path | None, profile: str) -> Path:
    """Where the report goes; `reports/<profile>` where `out` is None."""
    folder = paths.expanded(out or paths.REPORTS / profile).resolve()
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {shown(folder)} is a file; name a folder for the report.")
    of_a_study = provenance.read_study_manifest(folder / "manifest.json").get("profile")
    names = (*MADE, *PAGES, *CARDS, "manifest.json")
    foreign = not of_a_study and any((folder / name).exists() for name in names)
    if foreign or paths.NOTEBOOKS.resolve().is_relative_to(folder):
        raise UserError(
            f"--out {shown(folder)} holds files that no study has made (there is no manifest.json"
            " of one), and a study would overwrite them; name a new folder."
        )
    return folder


def keep_kinds_apart(folder: Path, earlier: Mapping[str, Any], simulated: bool) -> None:
    """Refuse to mix a study of real people with one of simulated ones (`earlier` is the manifest in
    the folder), and hide a report about real people, which may show them, from git.

    UserError: the folder holds a study of the other kind.
    """
    kind = {True: "simulated people", False: "real people"}
    if earlier.get("simulated", simulated) != simulated:
        raise UserError(
            f"{shown(folder)} holds a study of {kind[not simulated]}, and this one is of "
            f"{kind[simulated]}; name another folder with --out."
        )
    if not simulated:
        ignored = folder / ".gitignore"
        there = ignored.read_bytes() if ignored.exists() else b""
        if b"*" not in there.splitlines():
            lines = [*there.splitlines(), b"# Of a licensed corpus: never committed.", b"*", b""]
            write_atomically(ignored, b"\n".join(lines))


def local_places(folder: Path, runs: Path, work: Path) -> dict[str, str]:
    """Paths of this machine, and what is said instead in what others read. `folder` is the report
    folder of a study, `runs` that of its trainings, `work` one for temporary files."""
    from ..corpora import CORPUS_NAMES, VARIABLES  # takes seconds, and most mistakes are told first

    own = shown(folder)
    copies = {os.environ.get(VARIABLES[key], ""): name for key, name in CORPUS_NAMES.items()}
    pairs = {
        **copies,
        **{str(Path(path).resolve()): name for path, name in copies.items() if path},
        str(folder): folder.name if Path(own).is_absolute() else own,
        str(runs): f"runs/{runs.name}",
        str(work): "work",
        f"{paths.ROOT}/": "",
        str(paths.ROOT): ".",
        sys.prefix: "python",
        str(Path.home()): "~",
        tempfile.gettempdir(): "tmp",
    }
    pairs |= {printable(path): said for path, said in pairs.items()}  # as messages name it
    return {path: said for path, said in pairs.items() if path.count("/") > 0 and path != "/"}


def clear(folder: Path) -> None:
    """Remove what a study has made in a report folder; its manifest stays."""
    for name in MADE:
        shutil.rmtree(folder / name, ignore_errors=True)
    for name in (*PAGES, *CARDS):
        (folder / name).unlink(missing_ok=True)


def set_aside(runs: Path) -> Path | None:
    """Rename a runs folder to the first free `<name>.previous-N`; None where there is none."""
    if not runs.exists():
        return None
    names = (runs.with_name(f"{runs.name}.previous-{n}") for n in itertools.count(1))
    return runs.rename(next(path for path in names if not path.exists()))


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Hold the report folder; the system lets go of it however the process ends."""
    paths.RUNS.mkdir(parents=True, exist_ok=True)
    with (paths.RUNS / f".{paths.name_of(folder)}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"Another study is writing {shown(folder)}; wait for it, or name another folder"
                " with --out."
            ) from None
        yield
