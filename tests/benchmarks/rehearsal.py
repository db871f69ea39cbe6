"""`python -m vaaffect bench rehearse`: the thesis's study on corpora with the real ones' counts.

Two corpora in the layouts of AFEW-VA and SEMAINE, with as many clips, sessions, subjects, frames
and ratings as those have, and as cheap as possible in everything else: a few tiny pictures under
many names, one epoch of the smallest networks. The study's own command is run on them with
DATA=real, step after step, and what each takes is measured: seconds, the most memory of its own
that it and its children have at a time, and what it leaves on the disk.

dlib is not asked for 120,000 frames: it cannot find tiny faces. A tracker that knows the landmarks
stands in for it while the laboratory is prepared, and dlib's rate is measured on some pictures of
the real size.
"""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd

from vaaffect.base import ROOT, paths, write_atomically
from vaaffect.corpora import FacesTracker, landmarks, load_semaine
from vaaffect.corpora.corpus import VARIABLES
from vaaffect.report.tables import to_markdown

from .growth import DRAWN, PICTURE, drawn, resident, write_wild

SIZE = 32  # pixels of a crop
RATED_AT = 50  # ratings a second, as FEELtrace writes them
FOUND = (240, 180)  # pixels of AFEW-VA's pictures: dlib, asked for some, finds their faces
FPS = 50  # of the videos: one frame in ten is annotated
GIGABYTE = 2**30
# What is cheaper than in the thesis: --set of its profile.
CHANGES = (
    f"SIZE={SIZE}", f"SHOWN={SIZE}", "MODELS=[vgg_tiny_bn, resnet_tiny]", "EPOCHS=1",
    "PER_MODEL={}", "BASELINES=[geometry-ridge, geometry-forest, hog-ridge]",
    "RECIPE={name: rehearsal, weights: none, batch_size: 128, lr: 0.01}",
    "THESIS={name: thesis, batch_size: 128}", "ABLATION_MODEL=vgg_tiny_bn", "ABLATION_EPOCHS=1",
    "ABLATION_FOLDS=1", "COMPONENTS={CCC loss: {loss: ccc}, another seed: {seeds: 2}}",
    "LEAK_MODELS=[geometry-ridge]", "TRAIN_SHARES=[]",
)  # fmt: skip
STEPS = ("00", "trainings", "01", "02", "03", "04", "05", "06", "07", "99")

Say = Callable[[str], None]


@dataclass(frozen=True)
class Counts:
    """How large the corpora are."""

    clips: int = 600  # AFEW-VA
    clip_frames: int = 50
    actors: int = 240
    sessions: int = 95  # SEMAINE
    session_frames: int = 12_640  # of a video; one in ten is annotated
    users: int = 20
    raters: int = 6


REAL, QUICK = Counts(), Counts(30, 10, 12, 24, 400, 12, 3)


def bench_rehearsal(quick: bool = False, out: Path | None = None, say: Say = print) -> list[str]:
    """Measure the study at real size (`quick`: at a tiny one, to see that all works).

    `out` is the folder of rehearsal.md and rehearsal.csv; none is written if it is None. `say` is
    told each step as it ends. Returns the lines of the table.
    """
    counts, rows = (QUICK if quick else REAL), []
    with tempfile.TemporaryDirectory(dir=paths.DATA) as folder, _cleared():
        home = Path(folder)

        def measured(step: str, work: Callable[[], subprocess.Popen]) -> None:
            rows.append({"step": step} | _measured(work, home))
            if rows[-1].pop("failed"):
                say(f"{step} failed:\n{log.read_text()[-3000:]}")
                rows[-1]["step"] += " (failed)"
            say(" | ".join(f"{value:.1f}" if isinstance(value, float) else f"{value}"
                           for value in rows[-1].values()))  # fmt: skip

        log = home / "log.txt"
        wild, lab = home / "AFEW-VA", home / "SEMAINE"
        clips = counts.clips, counts.clip_frames, counts.clips / counts.actors
        write_wild(wild, *clips, FOUND)
        write_laboratory(lab, counts)
        environment = os.environ | {VARIABLES["afew-va"]: str(wild), VARIABLES["semaine"]: str(lab)}

        def python(*words: str) -> subprocess.Popen:
            with log.open("a") as told:
                return subprocess.Popen([sys.executable, *words], cwd=ROOT, stdout=told,
                                        stderr=told, env=environment)  # fmt: skip

        code = f"import sys; sys.path.insert(0, {str(ROOT / 'tests')!r}); from benchmarks import "
        code += f"rehearsal; rehearsal.find_landmarks({str(lab)!r})"
        measured("landmarks of SEMAINE, without dlib", lambda: python("-c", code))
        for corpus in (wild, lab):
            check = ("-m", "vaaffect", "check", str(corpus))
            measured(f"check {corpus.name}", lambda words=check: python(*words))
        command = ("-m", "vaaffect", "study", "--profile", "thesis", "--out", str(home / "report"))
        for step in STEPS:
            words = (*command, "--only", step, "--resume", "--set", *CHANGES)
            name = "trainings" if step == "trainings" else f"notebook {step}"
            if step == "00":
                name = "data step and notebook 00"
            measured(name, lambda words=words: python(*words))
    rows.append(
        {"step": "dlib, 1000 frames of 780 x 580", "seconds": dlib_seconds(4 if quick else 40)}
    )
    table = pd.DataFrame(rows)
    shown = to_markdown(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "rehearsal.csv", table.to_csv(index=False, lineterminator="\n"))
        write_atomically(out / "rehearsal.md", _page(counts, shown))
    return shown.splitlines()


def _page(counts: Counts, table: str) -> str:
    annotated = counts.sessions * counts.session_frames // 10
    return (
        "# The study at the size of the real corpora\n\n"
        f"`python -m vaaffect bench rehearse`: {counts.clips * counts.clip_frames:,} frames in "
        f"{counts.clips} clips of {counts.actors} subjects, and {annotated:,} annotated frames in "
        f"{counts.sessions} videos of {counts.users} subjects, {counts.raters} raters each, with "
        f"DATA=real. Pictures of {FOUND[0]} x {FOUND[1]} pixels, videos of {PICTURE[0]} x "
        f"{PICTURE[1]}, crops of {SIZE}, one epoch of "
        "the smallest networks: the seconds are those of everything that is not training, and the "
        "disk is not that of 224 pixels. On two cores of a server's CPU. Peak memory: of "
        "the step's processes together, without mapped files, which the system can take back. "
        f"Disk: what the step has added.\n\n{table}\n"
    )


def find_landmarks(root: str) -> None:
    """Prepare the landmarks of the laboratory with a tracker that knows them, in place of dlib."""
    points = np.stack([each for _, each in drawn(np.random.default_rng(0))])

    class Known:
        def reset(self) -> None:
            self.frame = 0

        __init__ = reset

        def __call__(self, image: np.ndarray) -> list[tuple[int, np.ndarray]]:
            self.frame += 1
            return [(0, points[self.frame % DRAWN])]

    landmarks.FacesTracker = Known  # in this process, so one worker
    landmarks.landmark_corpus(load_semaine(Path(root)), workers=1)


def write_laboratory(root: Path, counts: Counts) -> None:
    """A corpus in SEMAINE's layout: the same video and a few traces under many names."""
    rng = np.random.default_rng(1)
    made = root / "made"
    made.mkdir(parents=True)
    pictures = [np.ascontiguousarray(image[..., ::-1]) for image, _ in drawn(rng)]
    form = cv2.VideoWriter_fourcc(*"XVID")
    video = cv2.VideoWriter(str(made / "video.avi"), cv2.CAP_FFMPEG, form, FPS, PICTURE)
    for frame in range(counts.session_frames):
        video.write(pictures[frame // 100 % DRAWN])
    video.release()
    times = np.arange(0, counts.session_frames / FPS, 1 / RATED_AT)
    traces = []
    for number in range(12):
        walk = rng.normal(0, 0.02, len(times)).cumsum()
        values = np.tanh(walk + rng.normal(0, 0.3))
        lines = [f"{time:.2f} {value:.4f}\n" for time, value in zip(times, values, strict=True)]
        traces.append(made / f"{number}.txt")
        traces[-1].write_text("".join(lines))
    for session in range(counts.sessions):
        folder = root / "Sessions" / f"{session + 1}"
        folder.mkdir(parents=True)
        os.link(made / "video.avi", folder / "s_User_AV_lowQ_Poppy.avi")
        for rater in range(counts.raters):
            for dimension in "VA":
                trace = traces[int(rng.integers(len(traces)))]
                os.link(trace, folder / f"R{rater + 1}S{session + 1}TUCPoD{dimension}.txt")
        user = session % counts.users + 1
        (folder / "session.xml").write_text(
            f'<session sessionId="{session + 1}" recording="{session + 1}" character="Poppy">'
            f'<subject role="User" id="{user}"/><subject role="Operator" id="99"/></session>'
        )


def dlib_seconds(pictures: int) -> float:
    """Seconds in which dlib finds the faces of 1000 pictures of SEMAINE's size, on one core."""
    faces = drawn(np.random.default_rng(0), (780, 580))
    track = FacesTracker()
    track(faces[0][0])
    began = time.perf_counter()
    for number in range(pictures):
        track(faces[number % DRAWN][0])
    return 1000 * (time.perf_counter() - began) / pictures


def _measured(work: Callable[[], subprocess.Popen], home: Path) -> dict[str, float]:
    """Seconds, peak memory (GiB) and disk (GiB) of a command, and whether it failed."""
    before, began, peak = _disk(home), time.perf_counter(), 0
    process = work()
    while process.poll() is None:
        with suppress(OSError):
            peak = max(peak, resident(process.pid)["own"])
        time.sleep(0.05)
    return {
        "failed": process.returncode != 0,
        "seconds": time.perf_counter() - began,
        "peak memory, GiB": peak / GIGABYTE,
        "disk, GiB": (_disk(home) - before) / GIGABYTE,
    }


def _disk(home: Path) -> int:
    folders = [home, *(folder for folder in paths.MADE if folder.exists())]
    files = {p.stat().st_ino: p.stat() for folder in folders for p in folder.rglob("*")}
    return sum(512 * stat.st_blocks for stat in files.values())


@contextmanager
def _cleared() -> Iterator[None]:
    """Remove what is made below data/ meanwhile."""
    before = {path for folder in paths.MADE for path in folder.glob("*")}
    try:
        yield
    finally:
        for path in {path for folder in paths.MADE for path in folder.glob("*")} - before:
            subprocess.run(["rm", "-rf", str(path)], check=True)
