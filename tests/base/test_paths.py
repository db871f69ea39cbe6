"""Where things are, and what `make clean` removes."""

import shutil
import subprocess
import sys

import pytest

from vaaffect.base import paths


def test_trainings_of_another_report_folder_are_kept_apart(tmp_path, monkeypatch):
    usual = paths.study_runs_folder("demo", (paths.REPORTS / "demo").resolve())
    assert usual == paths.RUNS / "demo" == paths.runs_folder("demo")
    other = paths.study_runs_folder("demo", tmp_path / "out")
    assert other.parent == paths.RUNS and other.name.startswith("demo-")
    assert other != paths.study_runs_folder("demo", tmp_path / "out2")
    monkeypatch.setenv(paths.RUNS_VARIABLE, str(other))
    assert paths.runs_folder("demo") == other


def test_make_clean_removes_all_that_is_made_and_nothing_else(tmp_path):
    root = tmp_path / "a clone"
    (root / "vaaffect" / "base").mkdir(parents=True)
    shutil.copy(paths.ROOT / "Makefile", root)
    shutil.copy(paths.LIBRARY / "base" / "paths.py", root / "vaaffect" / "base")
    made = [root / path.relative_to(paths.ROOT) for path in paths.MADE]
    for folder in [*made, root / "data" / "raw", root / ".venv"]:
        folder.mkdir(parents=True)
        (folder / "file").touch()
    subprocess.run(["make", f"PYTHON={sys.executable}", "clean"], cwd=root, check=True)
    assert [path.name for path in (root / "data").iterdir()] == ["raw"]
    assert (root / "data" / "raw" / "file").exists() and not (root / ".venv").exists()


def test_what_is_made_is_not_committed():
    for folder in paths.MADE:
        asked = ["git", "check-ignore", "-q", str(folder / "anything")]
        done = subprocess.run(asked, cwd=paths.ROOT, capture_output=True)
        if done.returncode == 128:
            pytest.skip("this is no checkout of git")
        assert done.returncode == 0, folder
