"""One training by several processes is the training of one, up to rounding."""

import json
import os
import pickle
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from vaaffect import onefold, paths, training
from vaaffect.errors import UserError
from vaaffect.fanout import Training
from vaaffect.splits import subject_folds
from vaaffect.training import Recipe

SCRIPT = """
import pickle, sys
from pathlib import Path
import torch
from vaaffect import distributed, training
training.autocast_dtype = lambda device: torch.float32  # bfloat16 would drown what is compared
torch.set_num_threads(1)
with distributed.processes():
    for work in pickle.loads(Path(sys.argv[1]).read_bytes()):
        run = work.run(Path(sys.argv[2]))
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
    # Batch normalisation in the first, dropout too in the second; three of a batch of 5 go to one.
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    recipe = Recipe("two", epochs=2, batch_size=6, lr=0.002, flip=True, shift=0.1, jitter=0.1)
    odd = Recipe("odd", epochs=2, batch_size=5, lr=0.002, flip=True)
    work = [
        Training("resnet10", recipe, tiny_crops, split, keep_model=True),
        Training("vgg_tiny_bn", recipe, tiny_crops, split),
        Training("resnet10", odd, tiny_crops, split),
    ]
    together = by_processes(2, work, tmp_path)
    monkeypatch.setattr(training, "autocast_dtype", lambda device: torch.float32)
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    for one in work:
        alone = one.run(tmp_path / "alone")
        run = together / alone.name  # how many processes train is no part of the name
        ours, theirs = (pd.read_csv(folder / "history.csv") for folder in (alone, run))
        columns = ["train_mse", "val_mse"]
        assert len(ours) == 2 and ours["train_mse"].nunique() == 2
        assert np.allclose(theirs[columns], ours[columns], rtol=1e-5, atol=0), (ours, theirs)
        predictions = [
            pd.read_parquet(folder / "predictions.parquet")[["valence_pred", "arousal_pred"]]
            for folder in (alone, run)
        ]
        assert np.allclose(*predictions, atol=1e-4)
        done = json.loads((run / "done.json").read_text())
        assert (done["processes"], done["threads"]) == (2, 1)
    torch.set_num_threads(before)
    # Weights and running statistics have the names of an ordinary network.
    stored = [torch.load(f / "model.pt") for f in sorted(tmp_path.glob("*/resnet10_two*"))]
    assert len(stored) == 2 and stored[0].keys() == stored[1].keys()
    for name, value in stored[0].items():
        assert torch.allclose(value, stored[1][name], rtol=1e-3, atol=1e-5), name


def test_one_training_by_hand_is_the_one_of_the_study():
    """The parameters come from the profile, over the notebook's own."""
    values = onefold.parameters("smoke", "04")
    assert (values["FOLDS"], values["SIZE"], values["RECIPE"]["name"]) == (3, 32, "smoke")
    assert onefold.parameters("demo", "05")["RECIPE"]["name"] == "demo"
    with pytest.raises(UserError, match="no model 'resnet152'; it has vgg_tiny_bn, resnet10"):
        onefold.train_fold("smoke", "resnet152", 0, "wild")
    with pytest.raises(UserError, match="no fold 3; it has 0 to 2"):
        onefold.train_fold("smoke", "resnet10", 3, "lab")
