"""One training by several processes is the training of one, up to rounding."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from vaaffect.base import paths
from vaaffect.corpora.folds import subject_folds
from vaaffect.training import step as training_step
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training

SCRIPT = """
import pickle, sys
from pathlib import Path
import torch
from vaaffect.training import distributed, step, train
# bfloat16 would drown what is compared.
step.autocast_dtype = lambda device: torch.float32
torch.set_num_threads(1)
with distributed.processes():
    for work in pickle.loads(Path(sys.argv[1]).read_bytes()):
        run = train(work, Path(sys.argv[2]))
        assert (run / "done.json").exists()  # everyone waits until the first one has written
"""


def by_processes(count: int, work: list[Training], folder: Path) -> Path:
    """Train by torchrun; returns the folder of runs."""
    (folder / "work.pickle").write_bytes(pickle.dumps(work))
    (folder / "script.py").write_text(SCRIPT)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node"]
    arguments = [folder / "script.py", folder / "work.pickle", folder / f"by{count}"]
    done = subprocess.run(
        [*torchrun, str(count), *arguments],
        cwd=paths.ROOT,
        env=os.environ | {"PYTHONPATH": str(paths.ROOT), "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    return folder / f"by{count}"


def test_two_processes_train_like_one(tiny_crops, tmp_path, monkeypatch):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    # Rounding grows while a network learns, by another number of threads as by processes: at ten
    # times this rate, ten times in each epoch and more.
    steps = Recipe("steps", epochs=3, batch_size=6, lr=0.0003, flip=True, shift=0.1, jitter=0.1)
    # One step with an odd batch: shares of unequal size, and a gradient that is compared as it is.
    odd = len(split.train) - (len(split.train) + 1) % 2
    # Concordance is no mean over frames: only sums over all processes make it that of the batch.
    losses = {"loss": "mse+ccc", "density_weighting": 0.5}
    one_step = Recipe("one-step", epochs=1, batch_size=odd, lr=0.1, momentum=0.0, **losses)
    work = [
        Training("vgg_tiny_bn", steps, tiny_crops, split, keep_model=True),  # has dropout too
        Training("resnet10", one_step, tiny_crops, split, keep_model=True),
    ]
    together = by_processes(2, work, tmp_path)
    monkeypatch.setattr(training_step, "autocast_dtype", lambda device: torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    pairs = [(train(one, tmp_path / "alone"), one) for one in work]
    torch.set_num_threads(before)
    for alone, one in pairs:
        run = together / alone.name  # how many processes train is no part of the name
        ours, theirs = (pd.read_csv(folder / "history.csv") for folder in (alone, run))
        assert len(ours) == one.recipe.epochs and ours["train_mse"].is_unique
        assert np.allclose(theirs["train_mse"], ours["train_mse"], rtol=1e-5, atol=0)
        machine = json.loads((run / "done.json").read_text())["machine"]
        assert (machine["processes"], machine["threads"]) == (2, 1)
        # The weights moved, and to the same place; running statistics too. Names are unchanged.
        torch.manual_seed(0)
        first = build_model(one.model, None, 32).state_dict()
        mine, other = (torch.load(folder / "model.pt") for folder in (alone, run))
        assert mine.keys() == other.keys() == first.keys()
        moved = {name: (mine[name] - first[name]).double().norm() for name in first}
        apart = {name: (mine[name] - other[name]).double().norm() for name in first}
        learned = [name for name in first if not name.endswith("num_batches_tracked")]
        most = max(moved[name] for name in learned)
        assert all(moved[n] > 0 and apart[n] == 0 for n in first if n not in learned)
        # Without the biases that batch normalisation cancels.
        ratios = [float(apart[n] / moved[n]) for n in learned if moved[n] > 1e-4 * most]
        assert len(ratios) > 10 and np.median(ratios) < 1e-4
        assert max(ratios) < 5e-2  # one maximum of a pooling may be another one after rounding
    # Three epochs of VGG end with the same predictions.
    predictions = [
        pd.read_parquet(folder / pairs[0][0].name / "predictions.parquet")
        for folder in (together, tmp_path / "alone")
    ]
    columns = ["valence_pred", "arousal_pred"]
    assert np.allclose(predictions[0][columns], predictions[1][columns], atol=1e-5)
