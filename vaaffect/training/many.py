"""Many trainings at once: in this process, in several, or as jobs of a cluster.

Trainings do not know of each other, so where they run changes how long they take and nothing else
but the last bits (sums are rounded in another order by another number of threads). That is why it
is no parameter of a study: the command line or environment variables say it (see `How`).

torch is imported where it is used: the command line reads this module too.
"""

import glob
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ..base import VARIABLE, Failure, UserError, in_workers, report_event, tagged
from . import cluster

if TYPE_CHECKING:
    from ..corpora import Crops, Split
    from .networks import Start
    from .recipe import Recipe

JOBS, CLUSTER, OPTIONS = "VAAFFECT_JOBS", "VAAFFECT_CLUSTER", "VAAFFECT_CLUSTER_OPTIONS"


@dataclass(frozen=True)
class How:
    """How a list of trainings is worked off.

    Attributes:
        jobs: trainings at a time on this machine; 1 is one after the other in this process.
        cluster: "slurm" sends them out as a job array; "" stays on this machine.
        options: of the cluster, `key=value` (see cluster.Options).

    Raises:
        UserError: a value that cannot be meant, or a cluster that cannot be reached from here.
    """

    jobs: int = 1
    cluster: str = ""
    options: tuple[str, ...] = ()

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
    def from_environment(cls) -> "How":
        """What VAAFFECT_JOBS, VAAFFECT_CLUSTER and VAAFFECT_CLUSTER_OPTIONS say."""
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


@dataclass(frozen=True)
class Training:
    """One network on one fold; the fields are the arguments of `loop.train`."""

    model: str
    recipe: "Recipe"
    crops: "Crops"
    split: "Split"
    seed: int = 0
    elsewhere: Sequence["Crops"] = ()
    start: "Start | None" = None
    keep_model: bool = False

    def __str__(self) -> str:
        return (
            f"{self.model} ({self.recipe.name}) on {self.crops.label}, fold {self.split.fold} by "
            f"{self.split.by}, seed {self.seed}"
        )

    def config(self) -> dict:
        """What determines the result of this training, if it runs in this process."""
        from . import loop as training

        return training.run_config(
            self.model,
            self.recipe,
            self.crops,
            self.split,
            self.seed,
            self.elsewhere,
            self.start,
        )

    def run(self, runs: Path) -> Path:
        """Train here and now (see `loop.train`)."""
        from . import loop as training

        return training.train(
            self.model,
            self.recipe,
            self.crops,
            self.split,
            runs,
            seed=self.seed,
            elsewhere=self.elsewhere,
            start=self.start,
            keep_model=self.keep_model,
        )


def train_all(trainings: Sequence[Training], runs: Path, how: How | None = None) -> list[Path]:
    """Do all trainings and return their run folders, in the same order.

    Those that are finished already cost nothing. When some fail, the others are brought to their
    end all the same (with `jobs` 1 the first failure is raised at once, as `train` raised it).

    Args:
        trainings: what to train.
        runs: folder of run folders.
        how: where to train; by default what the environment says.

    Raises:
        UserError: trainings that failed, each with the reason.
    """
    how = how or How.from_environment()
    options = cluster.read_options(how.options) if how.cluster else None
    gpus = cluster.gpus(options) if options else 0
    done: dict[int, Path] = {}
    first_of: dict[str, int] = {}  # the same training twice is trained once
    same = []
    for number, training in enumerate(trainings):
        run = _finished(training, runs, ("cuda" if gpus else "cpu") if options else None)
        if run is not None:
            done[number] = run
        key = json.dumps([training.config(), training.keep_model])
        same.append(first_of.setdefault(key, number))
    todo = [number for number in range(len(trainings)) if number not in done]
    todo = [number for number in todo if same[number] == number]
    failures: dict[int, Failure] = {}
    at_once = (options.parallel if options else how.jobs) if todo else 0
    with _announced(trainings, done, at_once):
        if options:
            outcomes = _in_jobs(trainings, todo, runs, options, gpus)
        elif how.jobs == 1:
            outcomes = ((number, _train(trainings[number], number, runs)) for number in todo)
        else:
            outcomes = _in_workers(trainings, todo, runs, how.jobs)
        with closing(outcomes):  # ends the processes and jobs, whatever happens here
            for number, outcome in outcomes:
                report_event({"ended": number})
                if isinstance(outcome, Failure):
                    failures[number] = outcome
                else:
                    done[number] = Path(outcome)
    if failures:
        raise UserError(_named(trainings, failures, runs))
    return [done[number if number in done else same[number]] for number in range(len(trainings))]


def _train(training: Training, number: int, runs: Path) -> Path:
    """What every process and every job does."""
    with tagged(training=number):
        return training.run(runs)


def _in_workers(
    trainings: Sequence[Training], todo: Sequence[int], runs: Path, jobs: int
) -> Iterator[tuple[int, object]]:
    """Train in `jobs` processes, which share the cores and the GPUs of this machine."""
    cores = len(os.sched_getaffinity(0))
    start = partial(_set_up, max(1, cores // jobs), _visible_gpus())
    tasks = [(trainings[number], number, runs) for number in todo]
    with closing(in_workers(_train, tasks, jobs, start)) as outcomes:
        for place, outcome in outcomes:
            yield todo[place], outcome


def _set_up(threads: int, gpus: Sequence[str], place: int) -> None:
    """Give a process its share of the machine, before it touches torch's devices."""
    import torch

    torch.set_num_threads(threads)
    if gpus:
        os.environ["CUDA_VISIBLE_DEVICES"] = gpus[place % len(gpus)]


def _visible_gpus() -> list[str]:
    """The GPUs of this process, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    count = torch.cuda.device_count()
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    names = given.split(",") if given else [str(number) for number in range(count)]
    return names[:count]


def _in_jobs(
    trainings: Sequence[Training],
    todo: Sequence[int],
    runs: Path,
    options: cluster.Options,
    gpus: int,
) -> Iterator[tuple[int, object]]:
    """Train as jobs of a cluster."""
    runs = runs.resolve()
    tasks = [(trainings[number], number, runs, options.cpus, gpus) for number in todo]
    jobs = cluster.in_jobs(_train_in_job, tasks, runs / "slurm", options, gpus, report_event)
    with closing(jobs) as outcomes:
        for place, outcome in outcomes:
            yield todo[place], outcome


def _train_in_job(
    training: Training, number: int, runs: Path, cpus: int, gpus: int, events: Path
) -> Path:
    """What a job of a cluster does. A node without the GPU that was asked for is an error."""
    import torch

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


def _finished(training: Training, runs: Path, device: str | None) -> Path | None:
    """The finished run of a training, if there is one.

    Args:
        device: that of a cluster's nodes, where this machine's own says nothing: a login node has
            no GPU, and nodes may differ in the precision of their CPUs.
    """
    from .run_folder import is_finished, run_name

    config = training.config()
    if device is None:
        run = runs / run_name(config)
        return run if is_finished(run, training.keep_model) else None
    wanted = json.loads(json.dumps(config | {"device": device}))
    same_but_hash = glob.escape(run_name(config).rsplit("_", 1)[0]) + "_*/config.json"
    for path in sorted(runs.glob(same_but_hash)):
        found = json.loads(path.read_text()) | {"precision": wanted["precision"]}
        if found == wanted and is_finished(path.parent, training.keep_model):
            return path.parent
    return None


@contextmanager
def _announced(
    trainings: Sequence[Training], done: dict[int, Path], at_once: int
) -> Iterator[None]:
    """Tell the study's display what is to come, and when it is over."""
    plan = {
        "epochs": [training.recipe.epochs for training in trainings],
        # Trainings whose epochs take about as long.
        "kinds": [f"{t.model} {t.recipe.name} {t.crops.label}" for t in trainings],
        "ended": sorted(done),
        "at_once": at_once,
    }
    report_event({"fanout": plan})
    try:
        yield
    finally:
        report_event({"fanout": None})


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
    rest = "the others are finished and kept" if len(failures) < len(trainings) else "none is left"
    return (
        f"{len(failures)} of {len(trainings)} trainings failed, {rest}; put this right and run "
        "again:\n" + "\n".join(lines)
    )
