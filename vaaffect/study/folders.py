"""The folders of a study: found, checked and held by one study at a time."""

import fcntl
import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ..base import UserError, paths, provenance, shown

MADE = ("notebooks", "html", "tables", "figures")  # what a study makes in a report folder
PAGES = ("report.html", "report.pdf", "model_card.md", "data_card.md")  # and beside these


def checked_report_folder(out: Path | None, profile: str, notebooks_dir: Path) -> Path:
    """The report folder, made if need be.

    Raises:
        UserError: it is a file, or holds something that no study has made.
    """
    folder = Path(out or paths.REPORTS / profile).expanduser().resolve()
    inside = notebooks_dir.resolve().is_relative_to(folder)
    if folder.exists() and not folder.is_dir():
        raise UserError(f"--out {shown(folder)} is a file; name a folder for the report.")
    foreign = folder.is_dir() and not provenance.read_study_manifest(folder / "manifest.json").get(
        "profile"
    )
    if inside or (foreign and any((folder / name).exists() for name in MADE)):
        raise UserError(
            f"--out {shown(folder)} holds folders that no study has made (there is no"
            " manifest.json of one), and a study would clear them; name a new folder."
        )
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def study_runs_folder(runs_dir: Path, folder: Path, profile: str) -> Path:
    """Where trainings go: apart from the report, one folder per profile and report folder."""
    if folder == (paths.REPORTS / profile).resolve():
        return Path(runs_dir) / profile
    return Path(runs_dir) / f"{profile}-{_short_hash(folder)}"


def _short_hash(folder: Path) -> str:
    return hashlib.sha256(str(folder).encode()).hexdigest()[:8]


@contextmanager
def locked(runs_dir: Path, folder: Path) -> Iterator[None]:
    """Hold the report folder; the system lets go of it however the process ends.

    Raises:
        UserError: another study holds it.
    """
    Path(runs_dir).mkdir(parents=True, exist_ok=True)
    with (Path(runs_dir) / f".{_short_hash(folder)}.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise UserError(
                f"Another study is writing {shown(folder)}; wait for it, or name another folder"
                " with --out."
            ) from None
        yield
