"""Where things are, independent of the working directory (papermill, nbval and Jupyter differ).

The Makefile runs this file without the project's packages: it imports the standard library only.
"""

import hashlib
import os
from pathlib import Path

LIBRARY = Path(__file__).resolve().parents[1]
ROOT = LIBRARY.parent
NOTEBOOKS = ROOT / "notebooks"  # sources, without outputs
REPORTS = ROOT / "reports"  # executed notebooks, pages, tables and figures, one folder per profile
DATA = ROOT / "data"
SIMULATED = DATA / "simulated"  # corpora written by the simulator
LANDMARKS = DATA / "landmarks"  # cached landmarks of corpora that come without
CROPS = DATA / "crops"  # cached face crops
FEATURES = DATA / "features"  # cached features of frozen networks
RUNS = DATA / "runs"  # trainings, one folder per profile
MADE = (SIMULATED, LANDMARKS, CROPS, FEATURES, RUNS)  # what `make clean` removes: it can be remade
RUNS_VARIABLE = "VAAFFECT_RUNS"  # by which a study tells its notebooks where trainings go


def expanded(name: str | Path) -> Path:
    """A path in which a leading `~` is a home folder; where there is no such user, as in the name
    `~draft.png`, it belongs to the name, as for a shell."""
    try:
        return Path(name).expanduser()
    except RuntimeError:
        return Path.cwd() / name


def report_folder(out: str) -> Path:
    """A notebook's OUT parameter as a path: relative ones start at the repository's root."""
    return ROOT / expanded(out)


def runs_folder(profile: str) -> Path:
    """Where a notebook's trainings go: what its study says, or the folder of its profile."""
    return Path(os.environ.get(RUNS_VARIABLE) or RUNS / profile)


def study_runs_folder(profile: str, report: Path) -> Path:
    """Where a study's trainings go: a folder per profile and report folder."""
    usual = report == (REPORTS / profile).resolve()
    return RUNS / (profile if usual else f"{profile}-{name_of(report)}")


def name_of(folder: Path) -> str:
    """A short name for a folder's path, by which a file elsewhere is about it."""
    return hashlib.sha256(os.fsencode(folder)).hexdigest()[:8]


def shown(path: Path) -> str:
    """A path relative to the repository where it lies inside."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
