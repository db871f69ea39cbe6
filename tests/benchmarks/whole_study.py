"""`python -m vaaffect bench study`: from frames on disk to five-fold metrics, beside a script.

The same corpus, folds, network, initial weights, loss, SGD, batch size and number of epochs, twice:
by this library, and by the script that one writes first, in the style of torchvision's reference
(pictures decoded by PIL in every epoch, its loop and its own kind of mixed precision). Each runs in
a process of its own, in turns; the clock runs from reading the first annotation to the last metric.
"""

import io
import multiprocessing
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import torch
from torch import nn
from torch.utils.data import DataLoader, Subset

from vaaffect import training
from vaaffect.base.errors import UserError
from vaaffect.base.files import write_atomically
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.corpus import DIMENSIONS
from vaaffect.corpora.crops import build_crops
from vaaffect.corpora.folds import Split, subject_folds
from vaaffect.report.tables import model_name, to_markdown
from vaaffect.results.bootstrap import Bootstrap
from vaaffect.results.evaluation import evaluate
from vaaffect.results.predictions import prediction_table, read_predictions
from vaaffect.simulator.worlds import WildWorld
from vaaffect.simulator.writers import write_afew_va
from vaaffect.training.batches import on_device
from vaaffect.training.networks import build_model
from vaaffect.training.step import fastest_step

from .loaders import FaceFrames
from .peers import Task, Torchvision
from .report import circumstances

FOLDS, SEED = 5, 0
OURS, SCRIPT = "vaaffect", Torchvision.name
# Another order of the batches and another way to shrink a face: the two may differ by luck, not by
# more. In RMSE on [-1, 1], mean over folds.
SAME_WITHIN = 0.05

Say = Callable[[str], None]


@dataclass(frozen=True)
class Job:
    """What both are asked to do: a network, its training, and on how many frames."""

    model: str
    px: int
    batch_size: int
    epochs: int
    lr: float
    clips: int  # of four frames, each of another person
    wanted: float  # goal G5: how many times as fast as the script
    turns: int = 1  # of each; 1 or 2

    @property
    def world(self) -> WildWorld:
        """The corpus."""
        return WildWorld(clips=self.clips, subjects=self.clips, frames=(4, 4), seed=6)


CPU = (
    Job("resnet18", 112, 16, 2, 0.001, 50, 2.0, turns=2),
    Job("vgg11_bn", 224, 16, 1, 0.001, 15, 3.0),
    Job("resnet152", 224, 16, 1, 0.0001, 15, 2.0),
)
GPU = (
    Job("vgg11_bn", 224, 20, 3, 0.001, 600, 3.0, turns=2),
    Job("resnet152", 224, 50, 3, 0.0001, 600, 2.0, turns=2),
)
QUICK = (Job("vgg_tiny_bn", 32, 4, 1, 0.001, 20, 2.0),)


def bench_study(quick: bool = False, out: Path | None = None, say: Say = print) -> list[str]:
    """Measure both ways, in turns.

    Args:
        quick: a tiny network once, to see that all works; the numbers mean nothing.
        out: folder for study-cpu.md or study-cuda.md; none is written if it is None.
        say: told how far it is.

    Returns:
        Lines to print.

    Raises:
        UserError: the two were not tested on the same frames, or do not agree.
    """
    device = training.default_device()
    jobs = QUICK if quick else GPU if device.type == "cuda" else CPU
    began = time.monotonic()
    rows = []
    for job in jobs:
        with tempfile.TemporaryDirectory() as folder:
            write_afew_va(Path(folder) / "corpus", job.world)
            outcomes: dict[str, list[dict]] = {OURS: [], SCRIPT: []}
            turns = [OURS, SCRIPT, SCRIPT, OURS] if job.turns == 2 else [OURS, SCRIPT]
            for turn, name in enumerate(turns):
                say(f"{time.monotonic() - began:4.0f} s  {job.model}, {job.px} px: {name}")
                work = Path(folder) / f"work-{turn}"
                work.mkdir()
                way = with_library if name == OURS else with_script
                outcomes[name].append(_in_own_process(way, job, Path(folder) / "corpus", work))
            rows.append(compared(job, outcomes))
        if out is not None:  # after each, so that what was measured is kept, whatever comes
            out.mkdir(parents=True, exist_ok=True)
            table = pd.DataFrame(rows)
            text = _markdown(table, circumstances(device, table), time.monotonic() - began)
            write_atomically(out / f"study-{device.type}.md", text)
    return [line for row in rows for line in _lines(row)]


def with_library(job: Job, corpus_folder: Path, work: Path) -> dict:
    """Crops once, then the folds, as notebook 04 does."""
    began = time.perf_counter()
    corpus = load_afew_va(corpus_folder)
    crops = build_crops(corpus, job.px, cache=work / "crops")
    cropped = time.perf_counter()
    recipe = training.Recipe("bench", epochs=job.epochs, batch_size=job.batch_size, lr=job.lr)
    splits = subject_folds(corpus.frames, FOLDS, seed=SEED)
    runs = [
        training.train(training.Training(job.model, recipe, crops, split, SEED), work / "runs")
        for split in splits
    ]
    trained = time.perf_counter()
    predictions = read_predictions(runs)
    results = evaluate(predictions, 1, names=["RMSE"], bootstrap=Bootstrap(0))
    seconds = time.perf_counter() - began
    limit = _limit(job, corpus_folder, crops.images, crops.va, splits)
    return _outcome(seconds, results, predictions) | {
        "crops": cropped - began, "training": trained - cropped, "limit": limit,
    }  # fmt: skip


def with_script(job: Job, corpus_folder: Path, work: Path) -> dict:
    """The script: a data set that decodes, a loop per fold, a checkpoint per epoch; the epoch with
    the least error on the validation part is tested."""
    device = training.default_device()
    cores = os.cpu_count() or 1
    # On two cores, loading processes take from the loop what they give.
    workers = min(16, cores) if device.type == "cuda" or cores > 2 else 0
    began = time.perf_counter()
    corpus = load_afew_va(corpus_folder)
    faces = FaceFrames(corpus, job.px)
    splits = subject_folds(corpus.frames, FOLDS, seed=SEED)
    tables = []

    def loader(rows: np.ndarray, shuffle: bool = False) -> DataLoader:
        return DataLoader(
            Subset(faces, rows), job.batch_size, shuffle=shuffle, drop_last=shuffle,
            num_workers=workers, pin_memory=device.type == "cuda", persistent_workers=workers > 0,
        )  # fmt: skip

    for split in splits:
        torch.manual_seed(SEED)
        model = build_model(job.model, None, job.px)
        loop = Torchvision(model, Task(job.model, job.px, job.batch_size, job.lr), device)
        train, val, test = loader(split.train, True), loader(split.val), loader(split.test)
        least = np.inf
        for _ in range(job.epochs):
            loop.train((x.to(device), y.to(device)) for x, y in train)
            predicted, true = _predictions(loop.model, val, device)
            error = float(((predicted - true) ** 2).mean())
            state = {"model": loop.model.state_dict(), "optimizer": loop.optimizer.state_dict()}
            torch.save(state, work / f"checkpoint-{split.fold}.pth")
            if error < least:
                least = error
                torch.save(state["model"], work / f"best-{split.fold}.pth")
        loop.model.load_state_dict(torch.load(work / f"best-{split.fold}.pth", weights_only=True))
        predicted, _ = _predictions(loop.model, test, device)
        tables.append(
            prediction_table(
                predicted,
                corpus,
                split.test,
                model=job.model,
                recipe="bench",
                train_corpus=corpus.label,
                fold=split.fold,
                seed=SEED,
                split=split.by,
            )
        )
        del train, val, test  # their processes
    predictions = pd.concat(tables, ignore_index=True)
    results = evaluate(predictions, 1, names=["RMSE"], bootstrap=Bootstrap(0))
    return _outcome(time.perf_counter() - began, results, predictions)


def _predictions(
    model: nn.Module, loader: DataLoader, device: torch.device
) -> tuple[np.ndarray, np.ndarray]:
    """(n, 2) predictions and labels, as torchvision's `evaluate`: in float32."""
    model.eval()
    predicted, true = [], []
    with torch.inference_mode():
        for x, y in loader:
            predicted.append(model(x.to(device)).float().cpu())
            true.append(y)
    return torch.cat(predicted).numpy().clip(-1, 1), torch.cat(true).numpy()


def _outcome(seconds: float, results: pd.DataFrame, predictions: pd.DataFrame) -> dict:
    rmse = results[results["fold"] == "mean"].set_index("dimension")["value"]
    return {
        "seconds": seconds,
        "rmse": [float(rmse[d]) for d in DIMENSIONS],
        "tested": sorted(zip(predictions["clip"], predictions["frame"], strict=True)),
    }


def _limit(
    job: Job, corpus_folder: Path, images: np.ndarray, va: np.ndarray, splits: list[Split]
) -> float:
    """Seconds that cannot be saved: decoding each frame once by all cores, the training steps at
    the rate of the loop on pictures in memory, and the predictions at theirs."""
    files = sorted(corpus_folder.rglob("*.png"))
    raw = [path.read_bytes() for path in files[:40]]
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    began = time.perf_counter()
    for png in raw:
        cv2.imdecode(np.frombuffer(png, np.uint8), cv2.IMREAD_COLOR)
    decode = (time.perf_counter() - began) / len(raw) * len(files) / (os.cpu_count() or 1)
    cv2.setNumThreads(threads)

    device = training.default_device()
    recipe = training.Recipe("bench", epochs=1, batch_size=job.batch_size, lr=job.lr)
    model = build_model(job.model, None, job.px).to(device, memory_format=torch.channels_last)
    optimizer = training.build_optimizer(model, recipe)
    step = fastest_step(model, optimizer, recipe)
    x, y = on_device(images, device), torch.from_numpy(va).to(device)
    rows = splits[0].train
    rates = []
    for epoch in range(2):  # the first one warms up
        began = time.perf_counter()
        losses = training.epoch_losses(model, optimizer, recipe, x, y, rows, epoch, SEED, step)
        losses.double().mean().item()  # waits for the device, as a training does
        rates.append(len(rows) / (time.perf_counter() - began))
    training.predict(model, x, rows, device)  # kernels are chosen
    began = time.perf_counter()
    training.predict(model, x, rows, device)
    predict_rate = len(rows) / (time.perf_counter() - began)
    steps = job.epochs * sum(len(split.train) for split in splits)
    # In every epoch the validation part, after the last the test part and again validation.
    predictions = sum((job.epochs + 1) * len(split.val) + len(split.test) for split in splits)
    return decode + steps / rates[-1] + predictions / predict_rate


def compared(job: Job, outcomes: dict[str, list[dict]]) -> dict:
    """One row: seconds of both, their ratio, what of the limit is reached, and the errors.

    Raises:
        UserError: other frames were tested, or the errors differ by more than luck.
    """
    ours, script = outcomes[OURS], outcomes[SCRIPT]
    if any(one["tested"] != ours[0]["tested"] for one in ours + script):
        raise UserError("the two were not tested on the same frames; nothing can be compared.")
    rmse = [np.mean([one["rmse"] for one in ones], axis=0) for ones in (ours, script)]
    if np.abs(rmse[0] - rmse[1]).max() > SAME_WITHIN:
        raise UserError(
            f"{job.model}: RMSE (valence, arousal) is {rmse[0].round(3)} here and "
            f"{rmse[1].round(3)} by the script; they do not do the same."
        )
    fast, slow = (min(one["seconds"] for one in ones) for ones in (ours, script))
    best = min(ours, key=lambda one: one["seconds"])
    return {
        "model": job.model, "px": job.px, "batch": job.batch_size, "epochs": job.epochs,
        "frames": len(best["tested"]), "seconds": fast, "seconds of the script": slow,
        "times as fast": slow / fast, "wanted": job.wanted,
        "crops (s)": best["crops"], "training (s)": best["training"],
        "limit (s)": best["limit"], "of the limit": fast / best["limit"],
        "RMSE": rmse[0], "RMSE of the script": rmse[1],
    }  # fmt: skip


def _lines(row: dict) -> list[str]:
    met = "met" if row["times as fast"] >= row["wanted"] else "missed"
    return [
        f"{model_name(row['model'])}, {row['px']} px, batch {row['batch']}, {row['frames']} frames "
        f"on disk, {FOLDS} folds, epochs: {row['epochs']}; metrics:",
        f"  vaaffect {row['seconds']:.1f} s, {SCRIPT} {row['seconds of the script']:.1f} s: "
        f"{row['times as fast']:.1f} times as fast (wanted {row['wanted']:g}: {met})",
        f"  of it crops {row['crops (s)']:.1f} s, training {row['training (s)']:.1f} s; "
        f"{row['of the limit']:.2f} times the limit of {row['limit (s)']:.1f} s "
        f"(wanted 1.15: {'met' if row['of the limit'] <= 1.15 else 'missed'})",
        f"  RMSE valence, arousal: {_pair(row['RMSE'])}, script {_pair(row['RMSE of the script'])}",
    ]


def _pair(values: np.ndarray) -> str:
    return " / ".join(f"{value:.3f}" for value in values)


def _markdown(table: pd.DataFrame, about: dict[str, str], seconds: float) -> str:
    shown = table.assign(
        model=table["model"].map(model_name),
        **{name: table[name].map(_pair) for name in ("RMSE", "RMSE of the script")},
    )
    text = io.StringIO()
    text.write("# From frames on disk to five-fold metrics\n\n")
    text.write(
        f"`python -m vaaffect bench study`, {seconds:.0f} s. Both ways start at the annotations of "
        f"a simulated corpus in AFEW-VA's layout, cut {FOLDS} folds by subject, train from the "
        "same weights with the same SGD, choose the epoch on the validation part and end with the "
        "metrics of the test parts. The script decodes pictures with PIL in every epoch and trains "
        "as torchvision's reference does. Seconds: of the better turn. The limit: each frame "
        "decoded once by all cores, steps and predictions at the rate of pictures in memory, "
        "measured in the same process. What is paid once (starting, trying kernels, recording) "
        "weighs more in so short a study than in a long one. RMSE (valence / arousal) shows that "
        "both do the same; after so few epochs it says nothing else.\n\n"
    )
    text.write(to_markdown(shown))
    text.write("\n\n")
    text.writelines(f"- {name}: {value}\n" for name, value in about.items())
    return text.getvalue()


def _in_own_process(way: Callable[..., dict], *arguments: object) -> dict:
    """What one way left in memory, or set for its process, must not help or hurt the next."""
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(1, mp_context=spawn) as process:
        return process.submit(way, *arguments).result()
