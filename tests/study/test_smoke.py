"""The whole study at its smallest size: run once, resumed, and every notebook run again.

The second time the notebooks run on the stored trainings, side by side, with their exercises
answered, and must write the same tables. A training made anew must have the same bits.
"""

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pandas as pd
import pytest
from solved import exercises, run_again
from threads import users_environment

from vaaffect.base.paths import ROOT, RUNS
from vaaffect.report.pages import loads
from vaaffect.study import one_fold
from vaaffect.study.profiles import notebook_sources

pytestmark = pytest.mark.slow
STEMS = [path.stem for path in notebook_sources()]


def study(out, *more: str) -> str:
    command = [sys.executable, "-m", "vaaffect", "study", "--profile", "smoke", "--out", str(out)]
    done = subprocess.run(
        [*command, *more], cwd=ROOT, env=users_environment(), capture_output=True, text=True
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture(scope="module")
def report():
    """The report folder of a fresh smoke study; kept under reports/ so that people can look."""
    out = ROOT / "reports" / "smoke"
    for folder in (out, RUNS / "smoke"):  # of the last time
        shutil.rmtree(folder, ignore_errors=True)
    study(out)
    return out


def tables(folder, pattern: str = "*") -> dict[str, bytes]:
    return {p.name: p.read_bytes() for p in (folder / "tables").glob(pattern)}


# Long ones first: before the last two tests of a file, a process is given its next file.


def test_notebooks_run_again_with_their_exercises_answered_make_the_same_tables(report, tmp_path):
    """Their marked outputs are the same; checks let right answers pass, and wrong ones not."""
    done = run_again(report, STEMS, tmp_path, users_environment())
    assert done.returncode == 0, done.stdout + done.stderr
    again = {}
    for stem in STEMS:
        again |= tables(tmp_path / stem, f"{stem[:2]}_*")
    first = tables(report)
    assert len(first) > 50 and again.keys() == first.keys()
    assert [name for name in first if again[name] != first[name]] == []


def test_a_training_made_anew_has_the_bits_of_the_study(report, tmp_path):
    """The same in small is in test_loop_of_training.py."""
    anew = [sys.executable, "-m", "vaaffect", "train", "--profile", "smoke", "--model", "resnet10"]
    done = subprocess.run(
        [*anew, "--fold", "0"],
        cwd=ROOT,
        env=users_environment() | {"VAAFFECT_RUNS": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    made = Path(done.stdout.splitlines()[-1])
    assert made.parent == tmp_path
    for name in ("predictions.parquet", "validation.parquet"):
        first = pd.read_parquet(RUNS / "smoke" / made.name / name)
        pd.testing.assert_frame_equal(pd.read_parquet(made / name), first, check_exact=True)


def test_every_notebook_ran_without_errors_or_warnings(report):
    for stem in STEMS:
        notebook = nbformat.read(report / "notebooks" / f"{stem}.ipynb", as_version=4)
        for cell in notebook.cells:
            for output in cell.get("outputs", []):
                assert output.output_type != "error", (stem, cell.source)
                assert output.get("name") != "stderr", (stem, output.text)
        marked = [c for c in notebook.cells if "NBVAL_CHECK_OUTPUT" in c.source]
        assert all(c.outputs for c in marked), stem


def test_the_report_is_complete_and_opens_without_a_network(report):
    pages = [report / "report.html", *(report / "html" / f"{stem}.html" for stem in STEMS)]
    for page in pages:
        assert list(loads(page.read_text())) == []
        assert page.stat().st_size < 3e6
    assert "Simulated data" in pages[0].read_text()
    manifest = json.loads((report / "manifest.json").read_text())
    assert manifest["status"] == "complete"
    assert (report / "figures" / "04_fold_spread.png").exists()


def test_the_five_fold_table_has_every_model_the_constant_and_where_the_data_is_from(report):
    table = pd.read_csv(report / "tables" / "04_five_folds.csv")
    classical = {"landmarks, ridge", "multi-kernel SVR"}
    assert set(table["model"]) == classical | {
        "constant (training mean)",
        "VGG-tiny-bn",
        "ResNet10",
        "ResNet10, from scratch",
        "AffWildNet's shape, ResNet10",
    }
    assert set(table["dimension"]) == {"valence", "arousal"}
    assert set(table["data"]) == {"AFEW-VA (simulated)"}
    assert (table["folds"] == 3).all()


def test_no_path_or_name_of_this_machine_is_in_the_report(report):
    for path in report.rglob("*"):
        if path.suffix in {".html", ".ipynb", ".json", ".csv", ".md"}:
            assert str(ROOT) not in path.read_text(), path
        if path.suffix in {".csv", ".md"}:
            assert not re.search(r"Actor \d", path.read_text()), path
    host = re.escape(os.uname().nodename)
    assert not re.search(rf"\b{host}\b", (report / "manifest.json").read_text())


def test_resuming_a_finished_study_runs_nothing(report):
    before = {p: p.stat().st_mtime_ns for p in (report / "notebooks").iterdir()}
    output = study(report, "--resume")
    assert {p: p.stat().st_mtime_ns for p in (report / "notebooks").iterdir()} == before
    assert output.count("kept") == len(STEMS)


@pytest.mark.parametrize(("model", "on"), [("affwildnet_resnet10", "wild"), ("resnet10", "lab")])
def test_a_training_by_hand_is_that_of_the_study(report, model, on):
    before = set((RUNS / "smoke").iterdir())
    assert one_fold.train_fold("smoke", model, 0, on) in before


def test_unanswered_exercises_say_so(report):
    for stem in STEMS:
        for _, check in exercises(nbformat.read(report / "notebooks" / f"{stem}.ipynb", 4)):
            assert [output.text for output in check.outputs] == ["Not answered yet.\n"], stem
