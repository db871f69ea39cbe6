"""kill -9 at any moment, then again: the predictions are those of an undisturbed training.

Real processes and real signals. The children come from a fork server that has imported PyTorch
already, so that a start takes milliseconds.
"""

import multiprocessing
import os
import random
import signal
import time
from functools import partial
from pathlib import Path

import pandas as pd
import pytest
import torch

from vaaffect.corpora.crops import Crops
from vaaffect.corpora.folds import Split, subject_folds
from vaaffect.training import loop
from vaaffect.training import run_folder as run_files
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training

SEED = 20
RECIPE = Recipe("kill", epochs=16, batch_size=4, lr=0.005, schedule="one-cycle", flip=True)


def train_here(crops: Crops, split: Split, folder: Path, how: str = "") -> None:
    """A whole training, with a checkpoint after each epoch; `how` says what kills it, and where."""
    torch.set_num_threads(1)
    loop.CHECKPOINT_SECONDS = 0
    if how == "half written":
        torch.save = partial(half_then_die, torch.save)
    if how == "before the rename":
        run_files.sync = partial(die_at_checkpoint, run_files.sync)
    training = Training("vgg_tiny_bn", RECIPE, crops, split, keep_model=True)
    loop.train(training, folder)


def half_then_die(save, state, path: Path) -> None:
    save(state, path)
    if state.get("progress", {}).get("epoch") == 4:
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
        os.kill(os.getpid(), signal.SIGKILL)


def die_at_checkpoint(sync, path: Path) -> None:
    sync(path)
    if path.name == "checkpoint.writing" and list(path.parent.glob("checkpoint_000003_*")):
        os.kill(os.getpid(), signal.SIGKILL)


@pytest.fixture(scope="module")
def start(tiny_crops):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["vaaffect.training.loop", "pytest"])

    def start(folder: Path, how: str = ""):
        process = context.Process(target=train_here, args=(tiny_crops, split, folder, how))
        process.start()
        return process

    return start


@pytest.fixture(scope="module")
def undisturbed(start, tmp_path_factory) -> tuple[pd.DataFrame, float]:
    """Its predictions, and the seconds from the run folder's making to its end."""
    folder = tmp_path_factory.mktemp("whole")
    process = start(folder)
    wait_for(process, folder, "*/config.json")
    began = time.monotonic()
    process.join()
    assert process.exitcode == 0
    return read(folder), time.monotonic() - began


def read(folder: Path) -> pd.DataFrame:
    [run] = folder.iterdir()
    assert {p.name for p in run.iterdir()} == {
        "config.json", "done.json", "history.csv", "model.pt", "predictions.parquet",
        "validation.parquet",
    }  # fmt: skip
    history = run_files.read_history(run)
    assert list(history["epoch"]) == list(range(1, RECIPE.epochs + 1))
    return pd.read_parquet(run / "predictions.parquet")


def wait_for(process, folder: Path, pattern: str) -> None:
    """Wait until a file is there, or the process has ended."""
    while process.is_alive() and not any(folder.glob(pattern)):
        time.sleep(0.0002)


@pytest.mark.parametrize("kills", [4, pytest.param(10, marks=pytest.mark.thorough)])
def test_kills_at_random_moments(kills, start, undisturbed, tmp_path):
    whole, seconds = undisturbed
    rng = random.Random(SEED)
    # So many checkpoints, then a part of an epoch, well before the end: neither a busy machine nor
    # a fast one shifts it there.
    moments = [(rng.randrange(RECIPE.epochs - 6), rng.random()) for _ in range(kills)]
    print(f"seed {SEED}, an undisturbed training takes {seconds:.2f} s")
    interrupted, while_writing, reruns = 0, 0, {}
    for number, (epoch, part) in enumerate(moments):
        folder = tmp_path / str(number)
        process = start(folder)
        wait_for(process, folder, f"*/checkpoint_{epoch:06d}_*" if epoch else "*/config.json")
        time.sleep(part * seconds / RECIPE.epochs)
        if number % 2:
            wait_for(process, folder, "*/checkpoint.writing")
        process.kill()
        process.join()
        left = sorted(p.name for p in next(folder.iterdir()).iterdir())
        print(f"killed {part:.3f} epochs after epoch {epoch}, left {', '.join(left)}")
        interrupted += process.exitcode == -signal.SIGKILL
        while_writing += "checkpoint.writing" in left
        reruns[folder] = start(folder)  # while the next one is trained and killed
    for folder, again in reruns.items():
        again.join()
        assert again.exitcode == 0
        pd.testing.assert_frame_equal(read(folder), whole, check_exact=True)
    assert interrupted >= 0.75 * kills  # a kill after the end would prove nothing
    assert while_writing >= kills // 4


@pytest.mark.parametrize("how", ["half written", "before the rename"])
def test_a_kill_while_a_checkpoint_is_written(how, start, undisturbed, tmp_path):
    process = start(tmp_path, how)
    process.join()
    assert process.exitcode == -signal.SIGKILL
    [run] = tmp_path.iterdir()
    whole_epochs = {p.name.split("_")[1] for p in run.glob("checkpoint_*.pt")}
    assert max(whole_epochs) == "000003" and (run / "checkpoint.writing").exists()
    again = start(tmp_path)
    again.join()
    assert again.exitcode == 0
    pd.testing.assert_frame_equal(read(tmp_path), undisturbed[0], check_exact=True)
