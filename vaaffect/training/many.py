"""Many trainings at once: in this process, in several, or as jobs of a cluster.

Runs are independent: where they are trained changes how long they take, and the last bits alone
(another number of threads rounds sums in another order). So it is no parameter of a study; the
command line or environment variables say it (see `How`).
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import torch

from ..base import (
    VARIABLE,
    Failure,
    UserError,
    at_once,
    cores,
    in_workers,
    report_event,
    stage,
    tagged,
)
from . import cluster
from .loop import train
from .pretext import PretextStart
from .run_folder import is_finished
from .spec import Training

JOBS, CLUSTER, OPTIONS = "VAAFFECT_JOBS", "VAAFFECT_CLUSTER", "VAAFFECT_CLUSTER_OPTIONS"


@dataclass(frozen=True)
class How:
    """How a list of trainings is worked off."""

    jobs: int = 1  # trainings at a time on this machine; 1 is one after the other in this process
    cluster: str = ""  # "slurm" sends them out as a job array; "" stays on this machine
    options: tuple[str, ...] = ()  # of the cluster, `key=value` (see cluster.Options)

    def __post_init__(self) -> None:
        if self.jobs < 1:
            raise UserError(f"{JOBS} (or --jobs) is {self.jobs}; use a whole number above 0.")
        if self.cluster not in ("", "slurm"):
            raise UserError(f'{CLUSTER} (or --cluster) is {self.cluster!r}; use "slurm".')
        if self.options and not self.cluster:
            raise UserError("options of a cluster are given, but no cluster: add --cluster slurm.")
        if self.cluster:
            cluster.read_options(self.options)
            cluster.require()

    @classmethod
    def of_this_machine(cls) -> "How":
        """What a study does unless it is told: on a CPU as many trainings at a time as there are
        cores, for small networks a core each is faster than a training on all; on a GPU one."""
        return cls(1 if torch.cuda.is_available() else at_once())

    @classmethod
    def from_environment(cls) -> "How | None":
        """What VAAFFECT_JOBS, VAAFFECT_CLUSTER and VAAFFECT_CLUSTER_OPTIONS say; None: nothing."""
        if not any(os.environ.get(name) for name in (JOBS, CLUSTER, OPTIONS)):
            return None
        jobs = os.environ.get(JOBS) or "1"
        if not jobs.isdecimal():
            raise UserError(f"{JOBS} is {jobs!r}; use a whole number above 0.")
        options = tuple(os.environ.get(OPTIONS, "").split())
        return cls(int(jobs), os.environ.get(CLUSTER, ""), options)

    def variables(self) -> dict[str, str]:
        """The same as environment variables."""
        return {JOBS: str(self.jobs), CLUSTER: self.cluster, OPTIONS: " ".join(self.options)}

    def arguments(self) -> str:
        """The same as arguments of `python -m vaaffect study`."""
        if not self.cluster:
            return f" --jobs {self.jobs}"
        options = f" --cluster-options {' '.join(self.options)}" if self.options else ""
        return f" --cluster {self.cluster}{options}"


@stage("waiting for trainings")
def train_all(
    trainings: Sequence[Training], runs: Path, how: How | None = None, apart: bool = False
) -> list[Path]:
    """Do all trainings and return their run folders, in the same order.

    Those that are finished already cost nothing, wherever they were trained. When some fail, the
    others are brought to their end all the same, then a UserError names each with the reason (with
    `jobs` 1 the first failure is raised at once). Damaged runs are named before anything is
    trained. Where to train, the environment says by default; `apart` keeps a single training at a
    time out of this process too.
    """
    how = how or How.from_environment() or How()
    names = [training.name for training in trainings]
    by_name: dict[str, int] = {}  # the same training twice is trained once, and keeps its model
    for number in sorted(range(len(trainings)), key=lambda n: not trainings[n].keep_model):
        by_name.setdefault(names[number], number)
    todo = _unfinished({n: runs / name for name, n in by_name.items()}, trainings)
    starts: list[PretextStart] = []  # each once, before several trainings want the same weights
    for number in todo:
        start = trainings[number].start
        if start is not None and start not in starts and start.draw():
            starts.append(start)
    failures: dict[int, Failure] = {}
    side_by_side = cluster.read_options(how.options).parallel if how.cluster else how.jobs
    plan = {  # for the study's display; the pretext trainings are the last
        "epochs": [of.recipe.epochs for of in (*trainings, *starts)],
        # Trainings whose epochs take about as long.
        "kinds": [f"{t.model} {t.recipe.name} {t.crops.label}" for t in trainings]
        + [f"{start.model} {start.recipe.name}" for start in starts],
        "ended": [number for number in range(len(trainings)) if number not in todo],
        "at_once": side_by_side if todo else 0,
    }
    report_event({"fanout": plan})
    tasks = {len(trainings) + place: start for place, start in enumerate(starts)}
    tasks |= {number: trainings[number] for number in todo}
    try:
        with closing(_outcomes(tasks, runs, how, apart)) as outcomes:  # ends processes and jobs
            for number, outcome in outcomes:
                report_event({"ended": number})
                if number >= len(trainings):
                    continue  # each training that needed these weights tells why there are none
                if isinstance(outcome, Failure):
                    failures[number] = outcome
                elif outcome.name != names[number]:
                    failures[number] = Failure("the code that trains was changed meanwhile")
    finally:
        report_event({"fanout": None})
    if failures:
        raise UserError(_named(trainings, failures, runs))
    return [runs / name for name in names]


def _unfinished(runs: Mapping[int, Path], trainings: Sequence[Training]) -> list[int]:
    """The numbers of the trainings that are still to be done; UserError names every damaged run."""
    todo, damages = [], []
    for number, run in sorted(runs.items()):
        try:
            if not is_finished(run, trainings[number].keep_model):
                todo.append(number)
        except UserError as damage:
            damages.append(str(damage))
    if damages:
        raise UserError("\n".join(damages))
    return todo


def _outcomes(
    tasks: Mapping[int, Training | PretextStart], runs: Path, how: How, apart: bool
) -> Iterator[tuple[int, object]]:
    """Train where it was said; yields (number, run folder or Failure) as they end."""
    if not tasks:
        return
    if how.jobs == 1 and not how.cluster and not apart:
        for number, task in tasks.items():
            yield number, _train(task, number, runs)
        return
    if how.cluster:
        for number, task in tasks.items():
            if isinstance(task, PretextStart):
                yield number, _train(task, number, runs)
        runs = runs.resolve()
        options = cluster.read_options(how.options)
        gpus = cluster.gpus(options)
        numbers = [n for n, task in tasks.items() if isinstance(task, Training)]
        calls = [(tasks[number], number, runs, options.cpus, gpus) for number in numbers]
        jobs = cluster.in_jobs(_train_in_job, calls, runs / "slurm", options, gpus)
    else:
        start = partial(set_up, max(1, cores() // how.jobs), gpus_here())
        numbers, items = list(tasks), list(tasks.values())
        calls = [(task, number, runs) for number, task in tasks.items()]
        after = {
            place: items.index(task.start)
            for place, task in enumerate(items)
            if isinstance(task, Training) and task.start in items
        }
        jobs = in_workers(_train, calls, how.jobs, start, after)
    with closing(jobs):
        for place, outcome in jobs:
            yield numbers[place], outcome


def _train(task: Training | PretextStart, number: int, runs: Path) -> Path:
    """What every process and every job does."""
    with tagged(training=number):
        return task.weights() if isinstance(task, PretextStart) else train(task, runs)


def gpus_here() -> list[str]:
    """What this process's GPUs are called, for CUDA_VISIBLE_DEVICES."""
    count, visible = torch.cuda.device_count(), os.environ.get("CUDA_VISIBLE_DEVICES")
    return (visible.split(",") if visible else [str(gpu) for gpu in range(count)])[:count]


def set_up(threads: int, gpus: Sequence[str], place: int) -> None:
    """Give a process its share of the machine, before it touches torch's devices."""
    torch.set_num_threads(threads)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]


def _train_in_job(
    training: Training, number: int, runs: Path, cpus: int, gpus: int, events: Path
) -> Path:
    """What a job of a cluster does. A node without the GPU that was asked for is an error."""
    os.environ[VARIABLE] = str(events)
    torch.set_num_threads(cpus)
    if not gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # the run is one of a CPU, whatever the node has
    elif not torch.cuda.is_available():
        raise UserError(
            f"a GPU was asked for, but torch finds none on {os.uname().nodename}; name another "
            "partition in --cluster-options, or gpus=0 to train on CPUs."
        )
    return _train(training, number, runs)


def _named(trainings: Sequence[Training], failures: dict[int, Failure], runs: Path) -> str:
    """Every training that failed, and why; tracebacks go to a file."""
    lines = []
    for number, failure in sorted(failures.items()):
        lines.append(f"  {trainings[number]}: {failure.reason}")
        if failure.trace:
            traces = runs / "errors"
            traces.mkdir(parents=True, exist_ok=True)
            path = traces / f"{trainings[number].model}_{number:03d}.txt"
            path.write_text(f"{trainings[number]}\n\n{failure.trace}")
            lines[-1] += f" (traceback: {path})"
    left = "the others are finished and kept" if len(failures) < len(trainings) else "none is left"
    return (
        f"{len(failures)} of {len(trainings)} trainings failed, {left}; put this right and run "
        "again:\n" + "\n".join(lines)
    )
