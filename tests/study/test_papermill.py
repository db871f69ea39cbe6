"""A notebook of the study run by hand with plain papermill, without the runner."""

import json
import os
import subprocess
import sys

import pandas as pd
import pytest

from vaaffect.study.profiles import notebook_sources


@pytest.mark.thorough  # half a minute; test_study.py runs a toy's notebook so
def test_papermill_by_hand_works(tmp_path):
    wild = "{clips: 20, subjects: 12, frames: [2, 3], seed: 2}"
    lab = "{sessions: 2, subjects: 2, seconds: [3, 4], seed: 2}"
    [source] = [path for path in notebook_sources() if path.name.startswith("03")]
    given = {"EPOCHS": 2, "SIZE": 32, "FOLDS": 3, "PROFILE": "by-hand", "OUT": tmp_path}
    recipe = "{name: x, batch_size: 4, lr: 0.001}"
    yaml = f"{{MODELS: [resnet10], WILD: {wild}, LAB: {lab}, RECIPE: {recipe}}}"
    parameters = [word for name, value in given.items() for word in ("-p", name, str(value))]
    command = [sys.executable, "-m", "papermill", source, tmp_path / "out.ipynb"]
    done = subprocess.run(
        [*command, "-k", "python3", *parameters, "-y", yaml],
        cwd=tmp_path,
        env=os.environ | {"VAAFFECT_RUNS": str(tmp_path / "runs")},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    trained = {}  # the notebook also trains with other rules, of other names
    for config in (tmp_path / "runs").glob("*/config.json"):
        name = json.loads(config.read_text())["recipe"]["name"]
        trained[name] = len(pd.read_csv(config.with_name("history.csv")))
    assert trained["x"] == 2
