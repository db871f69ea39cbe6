"""The thesis's profile on real people, that is on stand-ins, from end to end at its smallest size:
what it finds, what it shows, what it tells, and what git would take.

It runs in a clone of this project, because that is where somebody would type `git add`.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from stand_ins import actors, shows_the_corpus, write_stand_ins
from threads import users_environment

from vaaffect.base.paths import ROOT
from vaaffect.corpora.corpus import hashed_subject

pytestmark = pytest.mark.slow
# All but the primer, which is about drawn faces whatever the data are.
STUDY = ("trainings", "00", "01", "02", "03", "04", "05", "06", "07", "99")
TINY = (
    "SIZE=32", "SHOWN=32", "SAMPLE=10", "FOLDS=2", "MODELS=[vgg_tiny_bn, resnet10]", "EPOCHS=1",
    "RECIPE.weights=none", "RECIPE.batch_size=8", "SCRATCH=none", "RESAMPLES=100",
    "PER_MODEL={affwildnet_resnet10: {batch_size: 4, sequence: 3, loss: ccc, labels: unit}}",
    "BASELINES=[geometry-ridge, hog-svr, affwildnet_resnet10]", "LEAK_MODELS=[geometry-ridge]",
    "ABLATION_MODEL=vgg_tiny_bn", "ABLATION_FOLDS=2", "ABLATION_EPOCHS=1", "THESIS.batch_size=8",
    "TRAIN_SHARES=[0.5]",
    "COMPONENTS={labels: {labels: unit}, gain and offset: {correct: true}}",
    "PEOPLE=4", "CLIP_SECONDS=3",
)  # fmt: skip
FILES = (".png", ".ipynb", ".html")


def git(folder: Path, *arguments: str) -> list[str]:
    identity = ["-c", "user.name=somebody", "-c", "user.email=somebody@example.org"]
    command = ["git", *identity, "-c", "core.quotePath=false", *arguments]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.splitlines()


class Clone:
    """A clone of the project with licensed corpora at hand, and a report folder in it."""

    def __init__(self, folder: Path) -> None:
        self.root, self.copies = folder / "clone", write_stand_ins(folder / "copies")
        self.out = self.root / "reports" / "mine"
        for name in git(ROOT, "ls-files", "-co", "--exclude-standard"):
            if (ROOT / name).is_file() and not name.startswith("reports/"):
                (self.root / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy(ROOT / name, self.root / name)
        git(self.root, "init", "-q")
        git(self.root, "add", "-A")
        git(self.root, "commit", "-qm", "as cloned")

    def study(self, *only: str, changes: tuple[str, ...]) -> None:
        command = [sys.executable, "-m", "vaaffect", "study", "--profile", "thesis"]
        command += ["--out", "reports/mine", "--only", *only, "--set", *TINY, *changes]
        environment = users_environment() | self.copies | {"PYTHONPATH": str(self.root)}
        done = subprocess.run(
            command, cwd=self.root, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def showing(self) -> set[str]:
        """The files of the report that show the corpora."""
        files = [path for path in self.out.rglob("*") if path.suffix in FILES]
        return {path.relative_to(self.out).as_posix() for path in files if shows_the_corpus(path)}


@pytest.fixture(scope="module")
def clone(tmp_path_factory) -> Clone:
    try:
        git(ROOT, "rev-parse")
    except (AssertionError, FileNotFoundError):
        pytest.skip("this is no checkout of git")
    made = Clone(tmp_path_factory.mktemp("clone"))
    made.study("00", changes=())
    made.first, made.page = made.showing(), (made.out / "html/00_start_here.html").read_text()
    made.study(*STUDY, changes=("SHOW_FACES=false",))
    return made


def test_what_shows_licensed_faces_says_so(clone):
    assert clone.first == {
        "figures/00_frames.png", "html/00_start_here.html", "notebooks/00_start_here.ipynb"
    }  # fmt: skip
    assert "Licensed faces. Do not pass this on." in clone.page


def test_without_faces_nothing_in_the_report_shows_a_pixel_of_the_corpora(clone):
    assert len(list(clone.out.glob("figures/0*.png"))) > 30
    assert clone.showing() == set()
    assert json.loads((clone.out / "manifest.json").read_text())["faces"] is False
    for page in clone.out.glob("html/*.html"):
        assert "no picture of them" in page.read_text(), page


def test_the_study_of_real_people_ends_and_decides_nothing_on_drawings(clone):
    manifest = json.loads((clone.out / "manifest.json").read_text())
    done = {number for number, entry in manifest["notebooks"].items()
            if entry["status"] == "complete"}  # fmt: skip
    assert done == set(STUDY) - {"trainings"} and not manifest["simulated"]
    claims = pd.concat(pd.read_csv(clone.out / f"tables/{name}.csv")
                       for name in ("05_claims", "06_claim")).set_index("claim")  # fmt: skip
    assert claims.loc["H3", "verdict"] == "not measured" and np.isnan(claims.loc["H3", "effect"])
    assert set(claims.drop("H3")["data"]) <= {"AFEW-VA", "SEMAINE", "AFEW-VA and SEMAINE", "none"}
    for number in (1, 2, 3, 4):
        table = pd.read_csv(clone.out / f"tables/05_thesis_{number}.csv")
        assert {"measured here", "published"} == set(table["block"])
        assert not table["trained on"].str.contains("simulated").any()


def test_git_would_commit_nothing_of_it(clone):
    assert git(clone.root, "status", "--porcelain", "--untracked-files=all") == []
    git(clone.root, "add", "-A")
    names = actors(Path(clone.copies["VAAFFECT_AFEW_VA"]))
    for name in git(clone.root, "ls-files"):
        path = clone.root / name
        assert path.suffix not in FILES or not shows_the_corpus(path), name
        text = path.read_text(encoding="utf-8", errors="replace")
        assert not any(f'"{actor}"' in text for actor in names), name


def test_the_report_names_nobody_and_no_place_of_this_machine(clone):
    names = actors(Path(clone.copies["VAAFFECT_AFEW_VA"]))
    secret = {*names, *map(hashed_subject, names), *clone.copies.values(), str(clone.root)}
    for path in clone.out.rglob("*"):
        if path.suffix in (".html", ".ipynb", ".json", ".csv", ".md"):
            text = path.read_text(encoding="utf-8")
            assert [word for word in secret if word in text or "file://" in text] == [], path
