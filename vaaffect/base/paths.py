"""Where things are, independent of the working directory (papermill, nbval and Jupyter differ)."""

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = ROOT / "notebooks"  # sources, without outputs
PROFILES = NOTEBOOKS / "profiles"  # one YAML file per profile
REPORTS = ROOT / "reports"  # executed notebooks, pages, tables and figures, one folder per profile
DATA = ROOT / "data"
SIMULATED = DATA / "simulated"  # corpora written by the simulator
LANDMARKS = DATA / "landmarks"  # cached landmarks of corpora that come without
CROPS = DATA / "crops"  # cached face crops
FEATURES = DATA / "features"  # cached features of frozen networks
RUNS = DATA / "runs"  # trainings, one folder per profile


def report_folder(out: str) -> Path:
    """A notebook's OUT parameter as a path: relative ones start at the repository's root."""
    return ROOT / Path(out).expanduser()


def runs_folder(profile: str) -> Path:
    """Where the trainings of a profile go; the runner may choose it through VAAFFECT_RUNS."""
    return Path(os.environ.get("VAAFFECT_RUNS") or RUNS / profile)


def shown(path: Path) -> str:
    """A path relative to the repository where it lies inside."""
    path = Path(path).resolve()
    return path.relative_to(ROOT).as_posix() if path.is_relative_to(ROOT) else str(path)
