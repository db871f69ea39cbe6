"""`python -m vaaffect bench growth`: how seconds and memory grow with the size of a study.

Each stage of a study is measured at several sizes, each time in a process of its own that is forked
from this one, which has only imported; memory is what the process and its children have beyond
that. A stage is a generator: it prepares, yields, does what is measured, yields, and may leave
something for the stages after it.
"""

import io
import json
import math
import multiprocessing
import os
import pickle
import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import redirect_stderr, suppress
from dataclasses import dataclass, replace
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from statistics import median

import cv2
import numpy as np
import pandas as pd
import pyarrow.parquet  # noqa: F401  imported late by pandas
import sklearn.model_selection  # noqa: F401  imported late by the folds
import torch

from vaaffect import training
from vaaffect.__main__ import main
from vaaffect.base import UserError, write_atomically
from vaaffect.base.paths import RUNS_VARIABLE
from vaaffect.corpora import Crops, FacesTracker, build_crops, load_afew_va, subject_folds
from vaaffect.corpora.crops import _open
from vaaffect.live.loop import watch
from vaaffect.live.predictor import Predictor
from vaaffect.live.sources import open_source
from vaaffect.report.tables import format_number
from vaaffect.results import Bootstrap, differences, evaluate, prediction_table, read_predictions
from vaaffect.simulator import Scene, render, sample_identity
from vaaffect.simulator.circumplex import action_units
from vaaffect.training.batches import on_device
from vaaffect.training.networks import build_model

from .report import circumstances

SIZE, BATCH = 36, 20  # pixels of a crop, frames of a step
# A small network. VGG-tiny is smaller, but torchvision first makes it with VGG's large layers, and
# under their 460 MB anything could hide.
MODEL = "shufflenet_v2_x0_5"
PICTURE = (96, 72)  # width, height of a drawn frame
DRAWN = 8  # pictures, under as many names as a corpus needs
CLIP, CLIPS_EACH = 50, 2  # frames of a clip, clips of a subject: about as in AFEW-VA
NETWORKS, FOLDS = 10, 5
FPS = 1.0  # of a clip, so that an hour has 3600 pictures
SHOT = 10  # pictures of a clip that show the same face
STEEPEST = 1.15  # exponent of time; what is steeper grows faster than its input
SLACK = 16.0  # MB that memory of its own may vary by from run to run
BRIEF = 0.5  # CPU seconds; what takes less is measured three times

Say = Callable[[str], None]
Steps = Iterator[None]
MB = 2**20


@dataclass(frozen=True)
class Stage:
    """A stage of a study and the sizes at which it is measured."""

    name: str
    unit: str  # of the sizes
    sizes: tuple[int, ...]
    quick: tuple[int, ...]  # the sizes of --quick
    steps: Callable[[Path, int], Steps]
    most: float = np.inf  # KB of its own memory that each frame, training or minute may add


# Corpora ------------------------------------------------------------------------------------------


def corpus(home: Path, frames: int) -> Steps:
    """Few drawn pictures under many names, in AFEW-VA's layout, with labels that walk. No marker of
    the simulator: this is the way that a licensed copy takes, the longer one."""
    yield
    write_wild(home / f"{frames}" / "corpus", frames // CLIP)
    yield


def write_wild(
    root: Path, clips: int, frames: int = CLIP, clips_each: float = CLIPS_EACH,
    size: tuple[int, int] = PICTURE,
) -> None:  # fmt: skip
    """As `corpus`: clips of so many frames, `clips_each` of an actor, below a new folder `root`;
    pictures of `size`."""
    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    pictures, points = [], []
    for number, (picture, landmarks) in enumerate(drawn(rng, size)):
        pictures.append(root.parent / f"{number}.png")
        cv2.imwrite(str(pictures[-1]), picture[..., ::-1])
        points.append(json.dumps(np.round(landmarks.astype(float), 3).tolist()))
    for clip in range(clips):
        name = f"{clip + 1:03d}"
        folder = root / f"{clip // 50 + 1:02d}" / name
        folder.mkdir(parents=True)
        labels = np.clip(
            rng.integers(-7, 8, 2) + rng.integers(-1, 2, (frames, 2)).cumsum(0), -10, 10
        )
        entries = []
        for t, (valence, arousal) in enumerate(labels.tolist()):
            os.link(pictures[(clip + t) % DRAWN], folder / f"{t:05d}.png")
            entries.append(f'"{t:05d}": {{"valence": {valence}, "arousal": {arousal}, '
                           f'"landmarks": {points[(clip + t) % DRAWN]}}}')  # fmt: skip
        actor = f"actor {int(clip / clips_each)}"
        text = f'{{"actor": "{actor}", "frames": {{{", ".join(entries)}}}, "video_id": "{name}"}}'
        (folder / f"{name}.json").write_text(text)


def drawn(rng: np.random.Generator, size: tuple[int, int] = PICTURE) -> list[tuple]:
    """Pictures (H, W, 3) uint8 RGB of drawn faces, and their landmarks (68, 2)."""
    scene = Scene(centre=(0.5, 0.45), scale=0.25)
    faces = [sample_identity(rng) for _ in range(DRAWN)]
    units = action_units(rng.uniform(-0.6, 0.6, (DRAWN, 2)))
    return [render(face, unit, scene, size) for face, unit in zip(faces, units, strict=True)]


def reading(home: Path, frames: int) -> Steps:
    yield
    made = load_afew_va(home / f"{frames}" / "corpus")
    yield
    with (home / f"{frames}" / "corpus.pickle").open("wb") as file:
        pickle.dump(made, file)


def cropping(home: Path, frames: int) -> Steps:
    # Two workers on every machine, and a new folder each time.
    made, cache = _corpus(home, frames), tempfile.mkdtemp(dir=home)
    yield
    crops = build_crops(made, SIZE, cache=Path(cache), workers=2)
    yield
    with suppress(FileExistsError):
        (home / f"{frames}" / "crops").symlink_to(cache)
        (home / f"{frames}" / "set").write_text(crops.folder.name)


def opening(home: Path, frames: int) -> Steps:
    made = _corpus(home, frames)
    yield
    build_crops(made, SIZE, cache=home / f"{frames}" / "crops")
    yield


def _corpus(home: Path, frames: int):
    with (home / f"{frames}" / "corpus.pickle").open("rb") as file:
        return pickle.load(file)


def _crops(home: Path, frames: int) -> Crops:
    home = home / f"{frames}"
    return _open((home / "crops").resolve() / (home / "set").read_text())


# Training -----------------------------------------------------------------------------------------


def cutting(home: Path, frames: int) -> Steps:
    crops = _crops(home, frames)
    yield
    subject_folds(crops.frames, FOLDS)
    yield


def gathering(home: Path, frames: int) -> Steps:
    crops, device = _crops(home, frames), training.default_device()
    images, va = on_device(crops.images, device), torch.from_numpy(crops.va).to(device)
    recipe = training.Recipe("growth", epochs=1, batch_size=BATCH)
    network = torch.nn.Linear(1, 1).to(device)
    optimizer = training.build_optimizer(network, recipe)
    yield
    training.epoch_losses(
        network, optimizer, recipe, images, va, np.arange(len(va)), 0, 0,
        lambda batch: batch.images.flatten()[0].float(),  # reads the batch, and learns nothing
    )  # fmt: skip
    yield


def predicting(home: Path, frames: int) -> Steps:
    crops, device = _crops(home, frames), training.default_device()
    images = on_device(crops.images, device)
    network = build_model(MODEL, None, SIZE).to(device, memory_format=torch.channels_last)
    yield
    training.predict(network, images, np.arange(len(images)), device)
    yield


def _trainings(home: Path, count: int, frames: int) -> list[training.Training]:
    crops = _crops(home, frames)
    recipe = training.Recipe("growth", epochs=1, batch_size=64)
    split = subject_folds(crops.frames, FOLDS)[0]
    return [training.Training(MODEL, recipe, crops, split, seed) for seed in range(count)]


def learning(home: Path, count: int) -> Steps:
    trainings = _trainings(home, count, 1000)
    plan = _plan(home / f"trained-{count}-{time.monotonic_ns()}")
    yield
    plan.train(trainings)
    yield


def finding(home: Path, count: int) -> Steps:
    """One training is done; the others are copies of its folder under their names."""
    trainings = _trainings(home, count, 1000)
    runs = home / f"finished-{count}"
    plan = _plan(runs)
    (first,) = plan.train(trainings[:1])
    for other in trainings[1:]:
        (runs / other.name).mkdir(exist_ok=True)
        for path in first.iterdir():
            with suppress(FileExistsError):
                os.link(path, runs / other.name / path.name)
    yield
    plan.train(trainings)
    yield


def _plan(runs: Path) -> training.Plan:
    os.environ[RUNS_VARIABLE] = str(runs)
    return training.Plan("growth")


# Predictions --------------------------------------------------------------------------------------


def predicted(home: Path, frames: int) -> Steps:
    """Run folders of ten networks in five folds: the labels and a noise of each network's own."""
    yield
    crops = _crops(home, frames)
    splits = subject_folds(crops.frames, FOLDS)
    for number in range(NETWORKS):
        rng = np.random.default_rng(number)
        pred = np.clip(0.6 * crops.va + 0.2 * rng.normal(size=crops.va.shape), -1, 1)
        for split in splits:
            run = home / f"{frames}" / "runs" / f"{number}-{split.fold}"
            run.mkdir(parents=True)
            prediction_table(
                pred[split.test].astype(np.float32), crops, split.test, model=f"network{number}",
                recipe="growth", train_corpus=crops.label, fold=split.fold, seed=0,
            ).to_parquet(run / "predictions.parquet", index=False)  # fmt: skip
    yield


def _runs(home: Path, frames: int) -> list[Path]:
    return sorted((home / f"{frames}" / "runs").iterdir())


def collecting(home: Path, frames: int) -> Steps:
    runs = _runs(home, frames)
    yield
    read_predictions(runs)
    yield


def evaluating(home: Path, frames: int, resamples: int) -> Steps:
    predictions = read_predictions(_runs(home, frames))
    yield
    evaluate(predictions, 10, bootstrap=Bootstrap(resamples))
    yield


def comparing(home: Path, frames: int) -> Steps:
    predictions = read_predictions(_runs(home, frames))
    yield
    differences(predictions, "network0")
    yield


# Clips --------------------------------------------------------------------------------------------


class Shots:
    """A tracker for which every so often another person is seen; it knows the landmarks."""

    def __init__(self, landmarks: np.ndarray) -> None:
        self.landmarks = landmarks
        self.reset()

    def reset(self) -> None:
        self.count = 0

    def __call__(self, image: np.ndarray) -> list[tuple[int, np.ndarray]]:
        place, self.count = self.count, self.count + 1
        return [(place // SHOT, self.landmarks[place % DRAWN])]


def film(path: Path, pictures: int, size: tuple[int, int], fps: float) -> np.ndarray:
    """Write drawn faces as a video; returns their landmarks (DRAWN, 68, 2)."""
    faces = drawn(np.random.default_rng(1), size)
    video = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*"MJPG"), fps, size)
    for index in range(pictures):
        video.write(np.ascontiguousarray(faces[index % DRAWN][0][..., ::-1]))
    video.release()
    return np.stack([landmarks for _, landmarks in faces])


def _kept_network(home: Path) -> Path:
    (one,) = _trainings(home, 1, 1000)
    return training.train(replace(one, keep_model=True), home / "kept")


def watching(home: Path, minutes: int, annotated: bool) -> Steps:
    path = home / "clip.avi"
    landmarks = film(path, round(60 * FPS * minutes), PICTURE, FPS)
    predictor = Predictor.from_run(_kept_network(home), tracker=Shots(landmarks))
    clip = home / "annotated.avi" if annotated else None
    with (home / "rows.csv").open("w", newline="") as rows:
        yield
        watch(open_source(str(path)), predictor, rows, clip, smooth=0.5)
        yield


def tracking(home: Path, pictures: int) -> Steps:
    """The command itself, with dlib."""
    path = home / "clip.avi"
    film(path, pictures, (320, 240), 25.0)
    run = _kept_network(home)
    FacesTracker()  # loads dlib
    yield
    with redirect_stderr(io.StringIO()):  # its progress
        assert main(["predict", str(path), "--run", str(run), "--out", str(home / "rows.csv")]) == 0
    yield


TABLES = 2.0  # KB of a frame: landmarks, labels and names, in a few copies; its crop has 3.8
ROWS = 6.0  # KB of a minute: 60 times what is kept of a picture, its milliseconds
FRAMES, FEW = (1000, 10_000, 100_000), (1000, 10_000)
_OF_FRAMES = partial(Stage, unit="frames", sizes=FRAMES, quick=FEW)
_TEN = f"predictions of {NETWORKS} networks"
STAGES = (
    _OF_FRAMES("write the corpus of this benchmark", steps=corpus),
    _OF_FRAMES("read annotations", steps=reading),
    _OF_FRAMES("make crops", steps=cropping),
    _OF_FRAMES("open crops", steps=opening, most=TABLES),
    _OF_FRAMES(f"cut {FOLDS} folds by subject", steps=cutting),
    _OF_FRAMES("gather the batches of an epoch", steps=gathering, most=TABLES),
    _OF_FRAMES("predict with a tiny network", steps=predicting, most=TABLES),
    _OF_FRAMES(f"write {_TEN}", steps=predicted),
    _OF_FRAMES(f"read {_TEN}", steps=collecting),
    _OF_FRAMES("their metrics", steps=partial(evaluating, resamples=0)),
    _OF_FRAMES("their metrics, bootstrap over subjects", steps=partial(evaluating, resamples=1000)),
    _OF_FRAMES("their differences", steps=comparing),
    Stage("train", "trainings", (1, 4, 16), (1, 2), learning, most=0.0),
    Stage("find what is trained", "trainings", (10, 100, 1000), (10, 100), finding),
    Stage("predict on a clip, landmarks known", "minutes", (1, 10, 60), (1, 2),
          partial(watching, annotated=False), most=ROWS),
    Stage("the same, and annotate it", "minutes", (1, 10, 60), (1, 2),
          partial(watching, annotated=True), most=ROWS),
    Stage("predict on a clip with dlib", "pictures", (50, 200, 800), (25, 50), tracking,
          most=0.0),
)  # fmt: skip


# Measuring ----------------------------------------------------------------------------------------


def bench_growth(quick: bool = False, out: Path | None = None, say: Say = print) -> list[str]:
    """Measure each stage at each size.

    Args:
        quick: small sizes only, each once, to see that all works.
        out: folder for growth-cpu.md or growth-cuda.md; none is written if it is None.
        say: told how far it is.

    Returns:
        Lines to print: what grows faster than it should.
    """
    began = time.monotonic()
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        bare = in_own_process(nothing, Path(folder), 0)
        for stage in STAGES:
            for size in stage.quick if quick else stage.sizes:
                rows.append(point(stage, size, Path(folder), bare, once=quick))
                say(f"{time.monotonic() - began:4.0f} s  {' | '.join(cells(rows[-1]))}")
    table = with_exponents(pd.DataFrame(rows))
    verdict = faults(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        device = training.default_device()
        about = circumstances(device, table)
        text = _markdown(table, verdict, about, time.monotonic() - began)
        write_atomically(out / f"growth-{device.type}.md", text)
    return verdict


def nothing(home: Path, size: int) -> Steps:
    yield
    yield


def point(stage: Stage, size: int, home: Path, bare: dict, once: bool) -> dict:
    """One row of the table; unless `once`, a brief stage is measured three times: the median."""
    measured = [in_own_process(stage.steps, home, size)]
    if not once and measured[0]["cpu"] < BRIEF and stage.steps not in (corpus, predicted):
        measured += [in_own_process(stage.steps, home, size) for _ in range(2)]
    middle = {key: median(one[key] for one in measured) for key in measured[0]}
    return {
        "stage": stage.name, "size": size, "unit": stage.unit, "seconds": middle["seconds"],
        "CPU s": middle["cpu"],
        "MB": (middle["all"] - bare["all"]) / MB, "own MB": (middle["own"] - bare["own"]) / MB,
        "most": stage.most,
    }  # fmt: skip


def in_own_process(steps: Callable[..., Steps], home: Path, size: int) -> dict[str, float]:
    """Go through a stage in a process of its own.

    Returns its `seconds`, those that it and its children computed (`cpu`), and the most bytes of
    memory that they had at a time: `all`, and without mapped files their `own`.
    """
    # Forked, which is quick: this process has imported, and started no thread of torch's.
    context = multiprocessing.get_context("fork")
    here, there = context.Pipe()
    process = context.Process(target=_go_through, args=(there, steps, home, size))
    process.start()
    there.close()
    peak = {"all": 0, "own": 0}
    while not here.poll(0.01):
        for kind, now in resident(process.pid).items():
            peak[kind] = max(peak[kind], now)
    try:
        seconds, computed, highest = here.recv()
    except EOFError:
        raise UserError(f"{steps}, size {size}: failed; the reason is above.") from None
    process.join()
    return {
        "seconds": seconds, "cpu": computed,
        "all": max(peak["all"], highest), "own": peak["own"],
    }  # fmt: skip


def _go_through(line: Connection, steps: Callable[..., Steps], home: Path, size: int) -> None:
    stage = steps(home, size)
    next(stage)
    began, computed = time.perf_counter(), _cpu_seconds()
    next(stage)
    seconds = time.perf_counter() - began
    for child in multiprocessing.active_children():  # of which nothing is known before they end
        child.join()
    computed = _cpu_seconds() - computed
    time.sleep(0.02)  # for one more look at the memory
    highest = _status(os.getpid())["VmHWM"]
    next(stage, None)
    line.send((seconds, computed, highest))


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def resident(pid: int) -> dict[str, int]:
    """Bytes that a process and all its children have in memory: `all`, and `own`."""
    total = {"all": 0, "own": 0}
    for one in _family(pid):
        with suppress(OSError, KeyError):  # it has just ended
            status = _status(one)
            total["all"] += status["VmRSS"]
            total["own"] += status["RssAnon"]
    return total


def _family(pid: int) -> Iterator[int]:
    yield pid
    for path in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            for child in map(int, path.read_text().split()):
                # One that has not begun its own program still shares its parent's memory.
                if _command(child) != _command(pid):
                    yield from _family(child)


def _command(pid: int) -> bytes:
    return Path(f"/proc/{pid}/cmdline").read_bytes()


def _status(pid: int) -> dict[str, int]:
    """Memory in bytes, as Linux says."""
    lines = (line.split() for line in Path(f"/proc/{pid}/status").read_text().splitlines())
    return {words[0][:-1]: 1024 * int(words[1]) for words in lines if words[-1] == "kB"}


def exponent(x0: float, y0: float, x1: float, y1: float) -> float:
    """The power of x with which y grows from one point to another: 1 is in proportion."""
    return math.log(y1 / y0) / math.log(x1 / x0)


def with_exponents(table: pd.DataFrame) -> pd.DataFrame:
    """The table with a column `exponent`, of the CPU seconds, in the last row of each stage."""
    table = table.assign(exponent=np.nan)
    for _, rows in table.groupby("stage", sort=False):
        (x0, y0), (x1, y1) = rows[["size", "CPU s"]].to_numpy()[-2:]
        table.loc[rows.index[-1], "exponent"] = exponent(x0, y0, x1, y1)
    return table


def faults(table: pd.DataFrame) -> list[str]:
    """What grows faster than it should, a line for each."""
    lines = []
    for name, rows in table.groupby("stage", sort=False):
        before, last = rows.iloc[-2], rows.iloc[-1]
        if last["exponent"] > STEEPEST:
            lines.append(f"{name}: CPU seconds grow with the power {last['exponent']:.2f}.")
        grown = last["own MB"] - before["own MB"]
        most = SLACK + last["most"] * (last["size"] - before["size"]) / 1024
        if grown > most:
            lines.append(f"{name}: memory grows by {grown:.0f} MB, not by {most:.0f} at most.")
    return lines or ["Nothing grows faster than it should."]


def cells(row: dict) -> list[str]:
    """A row of the table, for people."""
    steep = row.get("exponent", np.nan)
    return [
        row["stage"], f"{row['size']:,} {row['unit']}",
        format_number(row["seconds"], 2), format_number(row["CPU s"], 3),
        f"{row['MB']:.0f}", f"{row['own MB']:.0f}", "" if np.isnan(steep) else f"{steep:.2f}",
    ]  # fmt: skip


def _markdown(
    table: pd.DataFrame, verdict: list[str], about: dict[str, str], seconds: float
) -> str:
    text = io.StringIO()
    text.write("# How seconds and memory grow\n\n")
    text.write(
        f"`python -m vaaffect bench growth`, {seconds:.0f} s. Each point is measured in a process "
        "of its own; MB are the most that it and its children have in memory at a time, what they "
        "read to begin with included, above a process that only imports; own MB are without mapped "
        "files, which the system can take back. What takes less than "
        f"{BRIEF:g} CPU seconds is measured three times, and the median counts. The exponent is "
        "that of CPU seconds, which other programs disturb least, between the last two sizes: 1 is "
        "in proportion. The corpora are in AFEW-VA's "
        f"layout, {DRAWN} drawn pictures of {PICTURE[0]} x {PICTURE[1]} pixels under many names, "
        f"with crops of {SIZE} pixels, clips of {CLIP} frames, {CLIPS_EACH} clips of each subject. "
        f"Crops are made by two processes. A clip has one picture per second, and another "
        f"face every {SHOT} pictures. Its landmarks are known, for to find them is most of a "
        "prediction; the rows with dlib find them, in pictures of 320 x 240 pixels.\n\n"
    )
    text.write("| stage | size | seconds | CPU s | MB | own MB | exponent |\n")
    text.write("|---|---:|---:|---:|---:|---:|---:|\n")
    text.writelines(f"| {' | '.join(cells(row))} |\n" for row in table.to_dict("records"))
    text.write("\n" + "\n".join(verdict) + "\n\n")
    text.writelines(f"- {name}: {value}\n" for name, value in about.items())
    return text.getvalue()
