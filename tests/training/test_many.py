"""Several trainings at once: the same results, whoever fails is named, nobody stays behind."""

import dataclasses
import json
import multiprocessing
import os
import pickle
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from toy_study import Toy

from vaaffect.__main__ import main
from vaaffect.base import in_workers, paths
from vaaffect.base.errors import UserError
from vaaffect.base.progress import Tail
from vaaffect.corpora.crops import build_crops
from vaaffect.corpora.folds import Split, subject_folds
from vaaffect.study.display import Display, FanOut
from vaaffect.training import cluster, many, run_folder
from vaaffect.training import step as training_step
from vaaffect.training.many import How, train_all
from vaaffect.training.pretext import PretextStart, pretext_recipe
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training

RECIPE = Recipe("quick", epochs=2, batch_size=4, lr=0.005, flip=True)
SHARE = max(1, len(os.sched_getaffinity(0)) // 2)  # cores of each of two workers


@pytest.fixture(scope="module")
def splits(tiny_crops) -> list[Split]:
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)


@pytest.fixture(scope="module")
def trainings(tiny_crops, splits) -> list[Training]:
    return [
        Training("vgg_tiny_bn", RECIPE, tiny_crops, split, seed, keep_model=split.fold == 0)
        for split in splits
        for seed in (1, 2)
    ]


@pytest.fixture
def listen(tmp_path, monkeypatch) -> Tail:
    """What the trainings report."""
    monkeypatch.setenv("VAAFFECT_PROGRESS", str(tmp_path / "events.jsonl"))
    return Tail(tmp_path / "events.jsonl")


def tables(runs: list[Path]) -> list[pd.DataFrame]:
    return [pd.read_parquet(run / "predictions.parquet") for run in runs]


def test_two_at_a_time_give_what_one_after_the_other_gives(trainings, tmp_path, listen):
    before = torch.get_num_threads()
    torch.set_num_threads(SHARE)
    try:
        alone = train_all(trainings, tmp_path / "alone")
    finally:
        torch.set_num_threads(before)
    listen.read()
    together = train_all([*trainings, trainings[0]], tmp_path / "together", How(jobs=2))
    events = listen.read()
    assert together.pop() == together[0]  # asked for twice, trained once
    assert [run.name for run in together] == [run.name for run in alone]
    for one, other in zip(tables(alone), tables(together), strict=True):
        pd.testing.assert_frame_equal(one, other)  # to the last bit
    for run, one in zip(together, trainings, strict=True):
        assert json.loads((run / "done.json").read_text())["machine"]["threads"] == SHARE
        assert (run / "model.pt").exists() == one.keep_model

    # The display learns from every process.
    assert {event["training"] for event in events if "epoch" in event} == {0, 1, 2, 3}
    assert sorted(event["ended"] for event in events if "ended" in event) == [0, 1, 2, 3]
    assert events[0]["fanout"]["at_once"] == 2 and {"fanout": None} in events

    # What is finished costs nothing, and no process.
    written = [(run / "done.json").stat().st_mtime_ns for run in together]
    assert train_all(trainings, tmp_path / "together", How(jobs=2)) == together
    assert [(run / "done.json").stat().st_mtime_ns for run in together] == written
    assert "at_once" in (plan := listen.read()[0]["fanout"]) and plan["ended"] == [0, 1, 2, 3]


def test_the_same_run_with_and_without_its_model_is_trained_once(trainings, tmp_path, listen):
    twins = [dataclasses.replace(trainings[0], keep_model=keep) for keep in (False, True)]
    first, second = train_all(twins, tmp_path)
    assert first == second and (first / "model.pt").exists()
    assert sum("epoch" in event for event in listen.read()) == RECIPE.epochs


def test_code_that_changes_meanwhile_is_noticed(trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(many, "train", lambda training, runs: runs / "another_digest")
    with pytest.raises(UserError, match="seed 1: the code that trains was changed meanwhile"):
        train_all(trainings[:1], tmp_path)


def test_weights_to_start_from_are_made_once_before_who_needs_them(trainings, tmp_path, listen):
    recipe = dataclasses.replace(RECIPE, weights="pretext")
    world = {"clips": 12, "subjects": 12, "frames": (1, 1), "seed": 9}
    size = trainings[0].crops.images.shape[1]
    start = PretextStart("vgg_tiny_bn", pretext_recipe(recipe, 1), world, size, 0, tmp_path / "s")
    several = [dataclasses.replace(one, recipe=recipe, start=start) for one in trainings[:2]]
    runs = train_all([*several, trainings[2]], tmp_path / "runs", How(jobs=2))
    assert all(run_folder.is_finished(run, False) for run in runs)
    events = listen.read()
    [pretext] = [i for i, event in enumerate(events) if "pretext" in event.get("what", "")]
    [plan] = [event["fanout"] for event in events if event.get("fanout")]
    assert len(plan["epochs"]) == 4  # the pretext training is one of them
    after = [
        i for i, event in enumerate(events) if "epoch" in event and event["training"] in (0, 1)
    ]
    assert after and pretext < min(after)

    bad = dataclasses.replace(start, recipe=dataclasses.replace(start.recipe, lr=1e9))
    several = [dataclasses.replace(one, start=bad) for one in several]
    with pytest.raises(UserError, match=r"2 of 3 trainings failed(?s:.*)diverged in epoch 1"):
        train_all([*several, trainings[2]], tmp_path / "runs", How(jobs=2))


def test_another_number_of_threads_changes_the_last_bits(trainings, tmp_path, monkeypatch):
    monkeypatch.setattr(training_step, "autocast_dtype", lambda device: torch.float32)
    before = torch.get_num_threads()
    slow = dataclasses.replace(trainings[0], recipe=dataclasses.replace(RECIPE, lr=0.0001))
    found = []  # rounding grows with the learning rate
    for threads in (1, 2):
        torch.set_num_threads(threads)
        [run] = train_all([slow], tmp_path / str(threads))
        found.append(tables([run])[0][["valence_pred", "arousal_pred"]])
    torch.set_num_threads(before)
    assert np.allclose(*found, atol=1e-5)


def test_who_fails_is_named_and_the_others_are_kept(trainings, tmp_path):
    good = trainings[0]
    wild = dataclasses.replace(good, recipe=dataclasses.replace(RECIPE, lr=1e6), weight_seed=7)
    rows = dataclasses.replace(good.split, test=np.array([10**6]))
    beyond = dataclasses.replace(good, split=rows)
    with pytest.raises(UserError) as error:
        train_all([wild, beyond, good], tmp_path, How(jobs=2))
    message = str(error.value)
    assert message.startswith("2 of 3 trainings failed, the others are finished and kept;")
    assert "vgg_tiny_bn (quick) on AFEW-VA (simulated), fold 0 by subject, seed 7: " in message
    assert "diverged in epoch" in message and "use a smaller lr" in message
    assert "IndexError" in message
    [trace] = (tmp_path / "errors").iterdir()
    assert str(trace) in message and "Traceback (most recent call last)" in trace.read_text()
    finished = [path.parent for path in tmp_path.glob("*/done.json")]
    assert train_all([good], tmp_path, How(jobs=2)) == finished


def test_a_killed_worker_is_named_and_running_again_completes(trainings, tmp_path, listen):
    longer = dataclasses.replace(RECIPE, epochs=6)
    several = [dataclasses.replace(one, recipe=longer) for one in trainings[:3]]
    killed = []

    def kill() -> None:
        while not any("epoch" in event for event in listen.read()):
            time.sleep(0.01)
        [*_, victim] = multiprocessing.active_children()
        os.kill(victim.pid, signal.SIGKILL)
        killed.append(victim.pid)

    killer = threading.Thread(target=kill)
    killer.start()
    with pytest.raises(UserError) as error:
        train_all(several, tmp_path / "runs", How(jobs=2))
    killer.join()
    assert killed and not multiprocessing.active_children()
    message = str(error.value)
    assert "1 of 3 trainings failed, the others are finished and kept" in message
    assert "its process was killed (SIGKILL)" in message
    [named] = [one for one in several if str(one) in message]
    assert len(list((tmp_path / "runs").glob("*/done.json"))) == 2
    runs = train_all(several, tmp_path / "runs", How(jobs=2))
    completed = tables(runs)[several.index(named)]
    before = torch.get_num_threads()
    torch.set_num_threads(SHARE)
    [undisturbed] = tables(train_all([named], tmp_path / "whole"))
    torch.set_num_threads(before)
    pd.testing.assert_frame_equal(completed, undisturbed)


class Damaged:
    """A task that cannot be unpickled. (Built-in functions: a worker need not import this file.)"""

    def __reduce__(self):
        return int, ("damaged",)


def test_a_task_that_cannot_be_opened_fails_alone_with_its_reason():
    outcomes = dict(in_workers(abs, [(-1,), (Damaged(),), (-3,)], 1, abs))
    assert (outcomes[0], outcomes[2]) == (1, 3)
    assert outcomes[1].reason.endswith("invalid literal for int() with base 10: 'damaged'")


SCRIPT = """
import os, time
from vaaffect.base import in_workers
def start(place):
    os.write(1, b"ready\\n")  # in one piece: where Python does not buffer, print writes two
if __name__ == "__main__":
    list(in_workers(time.sleep, [(600,), (600,)], 2, start))
"""


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGKILL])
def test_no_worker_outlives_the_one_who_started_it(how, tmp_path):
    (tmp_path / "script.py").write_text(SCRIPT)
    parent = subprocess.Popen(
        [sys.executable, tmp_path / "script.py"],
        env=os.environ | {"PYTHONPATH": str(paths.ROOT)},
        start_new_session=True,  # as a terminal's foreground group
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert [parent.stdout.readline() for _ in range(2)] == ["ready\n"] * 2
    assert len(members(parent.pid)) >= 3
    os.killpg(parent.pid, how) if how == signal.SIGINT else parent.kill()
    said = parent.communicate(timeout=60)[1]
    if how == signal.SIGINT:  # one traceback: the parent's
        assert said.count("Traceback") == 1 and said.rstrip().endswith("KeyboardInterrupt"), said
    end = time.monotonic() + 30
    while members(parent.pid):
        assert time.monotonic() < end, members(parent.pid)
        time.sleep(0.1)


def members(session: int) -> list[str]:
    """Processes of a session that still live."""
    lines = subprocess.run(["ps", "-eo", "sid,stat,args"], capture_output=True, text=True).stdout
    fields = [line.split(maxsplit=2) for line in lines.splitlines()[1:]]
    return [args for sid, stat, args in fields if sid == str(session) and "Z" not in stat]


def test_crops_travel_as_their_folder(tiny_corpus, tmp_path):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    packed = pickle.dumps(crops)
    assert len(packed) < 1000
    opened = pickle.loads(packed)
    assert isinstance(opened.images, np.memmap) and opened.images.filename == crops.images.filename
    pd.testing.assert_frame_equal(opened.frames, crops.frames)
    assert (opened.key, opened.label) == (crops.key, crops.label)

    changed = [
        dataclasses.replace(crops, images=np.array(crops.images)),
        dataclasses.replace(crops, images=crops.images[::-1]),
        dataclasses.replace(crops, frames=crops.frames[::-1]),
        dataclasses.replace(crops, label="other"),
    ]
    for other in changed:
        with pytest.raises(UserError, match="crops differ from those that were to go"):
            pickle.dumps(other)
    with pytest.raises(UserError, match="not in a folder"):
        pickle.dumps(dataclasses.replace(crops, folder=None))

    moved = tmp_path / "moved" / crops.folder.name
    shutil.copytree(crops.folder, moved)
    packed = pickle.dumps(dataclasses.replace(crops, folder=moved))
    with (moved / "images.npy").open("r+b") as file:
        file.seek(500)
        file.write(b"\0\1\2")
    with pytest.raises(UserError, match=r"images\.npy: is damaged"):
        pickle.loads(packed)
    shutil.rmtree(moved)
    with pytest.raises(UserError, match="holds no crops"):
        pickle.loads(packed)


# How: the command line and the environment


def test_the_environment_says_how(monkeypatch):
    for name in (many.JOBS, many.CLUSTER, many.OPTIONS):
        monkeypatch.delenv(name, raising=False)
    assert How.from_environment() is None
    monkeypatch.setenv(many.JOBS, "3")
    assert How.from_environment() == How(3)
    assert How(3).variables()[many.JOBS] == "3" and How(3).arguments() == " --jobs 3"
    for bad in ("0", "two", "-1", "1.5"):
        monkeypatch.setenv(many.JOBS, bad)
        with pytest.raises(UserError, match=f"is '?{bad}'?; use a whole number above 0"):
            How.from_environment()
    monkeypatch.delenv(many.JOBS)
    monkeypatch.setenv(many.CLUSTER, "pbs")
    with pytest.raises(UserError, match="is 'pbs'; use \"slurm\""):
        How.from_environment()


def test_options_of_a_cluster():
    options = cluster.read_options(["partition=gpu", "gpus=0", "minutes=30"])
    assert (options.partition, options.gpus, options.minutes) == ("gpu", 0, 30)
    for bad in ("walltime=3", "gpus", "cpus=0", "minutes=1h"):
        with pytest.raises(UserError, match=f"--cluster-options {bad}: "):
            cluster.read_options([bad])
    with pytest.raises(UserError, match="no cluster: add --cluster slurm"):
        How(options=("gpus=1",))


def test_what_a_cluster_needs_is_named(monkeypatch, capsys):
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: None)
    assert main(["study", "--cluster", "slurm"]) == 1
    assert "install it with: python -m pip install submitit" in capsys.readouterr().err
    monkeypatch.undo()
    monkeypatch.setattr(cluster.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setenv("PATH", "/nowhere")
    assert main(["study", "--cluster", "slurm", "--cluster-options", "cpus=2"]) == 1
    assert "needs the command sbatch, which is not on the PATH" in capsys.readouterr().err


def test_how_is_no_parameter_of_a_study(tmp_path):
    hashes = []
    toy = Toy(tmp_path)
    for how in (None, How(jobs=2)):
        seen = toy.out.parent / "seen"
        code = f"import os\nopen({str(seen)!r}, 'w').write(os.environ.get('VAAFFECT_JOBS', ''))"
        toy.write("00_start", ["# Start", code])
        toy.run(only=["00"], how=how)
        assert seen.read_text() == str((how or How.of_this_machine()).jobs)
        hashes.append(json.loads((toy.out / "manifest.json").read_text())["parameters_hash"])
    assert hashes[0] == hashes[1]
    toy.write("00_start", ["# Start", "1 / 0"])
    with pytest.raises(UserError, match=r"continue with: .* --jobs 2 --resume"):
        toy.run(only=["00"], how=how)


# Progress


def test_a_fan_out_foretells_its_end(capsys, monkeypatch):
    plan = {"epochs": [4, 4, 4, 10], "kinds": ["a", "a", "a", "b"], "ended": [0], "at_once": 2}
    fan = FanOut(plan)
    assert fan.remaining() == (0, False) and fan.describe() == "1/4 trainings, 2 at once"
    fan.note({"training": 1, "epoch": 1, "epochs": 4, "seconds": 2.0})
    assert fan.remaining() == (pytest.approx(8), False)  # the longest; b is unknown
    fan.note({"training": 3, "epoch": 8, "epochs": 10, "seconds": 1.0})
    assert fan.remaining() == (pytest.approx((3 * 2 + 4 * 2 + 2 * 1) / 2), True)
    fan.note({"ended": 1})
    assert fan.describe() == "2/4 trainings, 2 at once, ETA 00:08"

    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    display = Display(["04"], {"04": 1.0})
    display.start("04")
    display.follow("04", [{"fanout": plan}])
    display.follow("04", [{"ended": 1}])
    event = {"what": "net fold 0", "epoch": 2, "epochs": 4, "seconds": 30.0, "training": 2}
    display.follow("04", [event])
    assert display.remaining() >= 60  # two epochs to go; how long those of b take is unknown
    line = capsys.readouterr().out.split("\r")[-1]
    assert "2/4 trainings, 2 at once  net" in line and line.endswith("ETA 01:00")
    display.follow("04", [{"fanout": None}])
    assert display.running["04"].fanout is None and display.remaining() < 10
