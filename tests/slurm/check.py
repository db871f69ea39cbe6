"""Trainings of a study as jobs of a real SLURM; run by run.sh, which starts it.

One training fails on purpose, one is killed with scancel, both are named; the same call again
completes them; every prediction is that of a training in this process.
"""

import dataclasses
import json
import os
import signal
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path

import pandas as pd
import torch

from vaaffect.base.errors import UserError
from vaaffect.base.progress import Tail
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.crops import build_crops
from vaaffect.corpora.folds import subject_folds
from vaaffect.simulator.worlds import WildWorld
from vaaffect.simulator.writers import write_afew_va
from vaaffect.training import cluster
from vaaffect.training.many import How, train_all
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training

HOW = How(cluster="slurm", options=("cpus=1", "parallel=2", "minutes=20"))
STARTED = time.monotonic()


def say(text: str) -> None:
    """A line of the log: nothing of this machine but the time it took."""
    print(f"{time.monotonic() - STARTED:5.0f} s  {text}", flush=True)


def main(shared: Path) -> None:
    """All of it; an AssertionError is a failure."""
    cluster.ASK_EVERY, cluster.GRACE = 1.0, 3.0  # nobody else uses this queue or this disk
    version = subprocess.run(["sinfo", "--version"], capture_output=True, text=True).stdout.strip()
    say(f"{version}, one node, {len(os.sched_getaffinity(0))} cores, no accounting, no GPU")
    write_afew_va(shared / "corpus", WildWorld(clips=20, subjects=10, frames=(3, 4), seed=3))
    crops = build_crops(load_afew_va(shared / "corpus"), 32, cache=shared / "crops")
    splits = subject_folds(crops.frames, folds=2, val_share=0.34)
    recipe = Recipe("tiny", epochs=3, batch_size=4, lr=0.002, flip=True)
    good = [
        Training(name, recipe, crops, split, other_corpora=(crops,), keep_model=split.fold == 0)
        for split in splits
        for name in ("vgg_tiny_bn", "resnet10")
    ]
    # Long enough to be found and killed; short enough to be completed by the second call.
    long = dataclasses.replace(good[0], recipe=dataclasses.replace(recipe, name="long", epochs=200))
    wrong = dataclasses.replace(
        good[1], recipe=dataclasses.replace(recipe, name="wrong", lr=1e6, epochs=40)
    )
    runs = shared / "runs"
    os.environ["VAAFFECT_PROGRESS"] = str(shared / "events.jsonl")
    heard = Tail(shared / "events.jsonl")

    killed = []

    def kill() -> None:
        """scancel the job of training 0 after its first epoch, at once: submitit ignores SIGTERM,
        so that a short training would end well while SLURM still waits. On some machines slurmd's
        signal reaches the job's script and not its step, so the step's process is ended too."""
        while not [path for path in runs.glob("slurm/*/events-0.jsonl") if path.stat().st_size]:
            time.sleep(0.1)
        queue = ["squeue", "--noheader", "--array", "--states=RUNNING", "--format=%i"]
        jobs = subprocess.run(queue, capture_output=True, text=True).stdout.split()
        [job] = [job for job in jobs if job.endswith("_0")]
        subprocess.run(["scancel", "--full", "--signal=KILL", job], check=True)
        for process in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):  # it has ended meanwhile
                step = b"SLURM_ARRAY_TASK_ID=0\0" in (process / "environ").read_bytes()
                if step and b"submitit" in (process / "cmdline").read_bytes():
                    os.kill(int(process.name), signal.SIGKILL)
        killed.append(job)

    killer = threading.Thread(target=kill)
    killer.start()
    try:
        train_all([long, wrong, *good], runs, HOW)
    except UserError as error:
        message = str(error)
    else:
        raise AssertionError("a killed and a failing training were not noticed")
    killer.join()
    told = {event["training"] for event in heard.read() if "epoch" in event}
    assert told >= {2, 3, 4, 5}, told  # what jobs report arrives here
    first, *named = message.splitlines()
    assert first.startswith("2 of 6 trainings failed, the others are finished and kept"), message
    assert len(named) == 2, message
    assert named[0].startswith(f"  {long}: its job {killed[0]} was cancelled or killed"), message
    assert named[1].startswith(f"  {wrong}: ") and "diverged in epoch" in named[1], message
    finished = sorted(path.parent.name for path in runs.glob("*/done.json"))
    assert len(finished) == len(good), finished
    say("6 trainings as an array, 2 at a time: one diverged, one was ended by scancel;")
    say("both are named with the reason, the other 4 are finished")
    say(f"  {named[0].strip().split(';')[0]}")

    before = {path: path.stat().st_mtime_ns for path in runs.glob("*/done.json")}
    again = train_all([long, *good], runs, HOW)
    assert all(path.stat().st_mtime_ns == when for path, when in before.items())
    assert len(again) == 5 and (again[0] / "done.json").exists()
    say("the same call without the diverging one trains the cancelled one alone")

    torch.set_num_threads(1)
    here = train_all([long, *good], shared / "here", How())
    for there, mine in zip(again, here, strict=True):
        assert there.name == mine.name
        assert json.loads((there / "done.json").read_text())["machine"]["threads"] == 1
        tables = [pd.read_parquet(run / "predictions.parquet") for run in (there, mine)]
        pd.testing.assert_frame_equal(*tables)
    say(f"all {len(here)} predictions equal those of this process, to the last bit")

    queue = subprocess.run(["squeue", "--noheader"], capture_output=True, text=True)
    assert queue.stdout == "", queue.stdout
    say("nothing is left in the queue: passed")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
