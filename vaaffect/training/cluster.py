"""A job array of SLURM: the same function over many tasks, each a job of its own.

submitit (https://github.com/facebookincubator/submitit) carries function, arguments and results
through files on a file system that all nodes share; the nodes must find this Python. Whether a job
is still in the queue is asked of `squeue`: submitit's `sacct` needs a cluster with accounting.
"""

# Not submitit's local executor too, for `--jobs`: it starts all jobs at once, however many, each in
# a fresh interpreter, which imports PyTorch anew for every training.

import importlib.util
import os
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from ..base import Failure, Tail, UserError, attempt, report_event

LOOK_EVERY = 1.0  # seconds between two looks at the results
ASK_EVERY = 15.0  # seconds between two questions to the queue, which all users share
GRACE = 30.0  # seconds that a result may take to be seen here, after its job has left the queue


@dataclass(frozen=True)
class Options:
    """What a job asks for; partition, account and qos as in sbatch, the cluster's where empty."""

    partition: str = ""
    account: str = ""
    qos: str = ""
    # A training that needs longer is put back into the queue, at most three times, and goes on from
    # its last checkpoint.
    minutes: int = 240
    gpus: int = -1  # per training; by default one where the partition has GPUs, else none
    cpus: int = 4  # cores per training
    memory: int = 0  # GB per training; 0 is the cluster's default
    parallel: int = 64  # trainings at a time


def read_options(texts: Sequence[str]) -> Options:
    """Options from texts `key=value`; a UserError names an unknown key or a wrong value."""
    known = {field.name: field.type for field in fields(Options)}
    values: dict[str, Any] = {}
    for text in texts:
        key, separator, value = text.partition("=")
        if key not in known or not separator:
            raise UserError(
                f"--cluster-options {text}: use key=value with one of the keys {', '.join(known)}."
            )
        if known[key] is not int:
            values[key] = value
        elif value.isdecimal() and (int(value) > 0 or key in ("gpus", "memory")):
            values[key] = int(value)
        else:
            raise UserError(f"--cluster-options {text}: {key} must be a whole number above 0.")
    return Options(**values)


def require() -> None:
    """Refuse (UserError) where no job can be sent: submitit or SLURM's commands are missing."""
    if importlib.util.find_spec("submitit") is None:
        raise UserError(
            "--cluster slurm needs the package submitit; install it with: "
            "python -m pip install submitit"
        )
    for command in ("sbatch", "squeue", "scancel", "sinfo"):
        if shutil.which(command) is None:
            raise UserError(
                f"--cluster slurm needs the command {command}, which is not on the PATH; run this "
                "on a login node of the cluster, or use --jobs."
            )


def gpus(options: Options) -> int:
    """GPUs per job: as asked for, else one where the partition has any (asked of SLURM)."""
    if options.gpus >= 0:
        return options.gpus
    command = ["sinfo", "--noheader", "--format=%G"]
    if options.partition:
        command.append(f"--partition={options.partition}")
    answer = subprocess.run(command, capture_output=True, text=True)
    if answer.returncode:
        raise UserError(f"SLURM does not answer: {answer.stderr.strip()}")
    return int("gpu" in answer.stdout)


def in_jobs(
    function: Callable, tasks: Sequence[tuple], folder: Path, options: Options, gpus: int
) -> Iterator[tuple[int, object]]:
    """Call a module's `function(*task, events)` for every task, each in a job of one array.

    Yields (number of the task, result or Failure) as they end; closing it cancels what is left.
    `folder`, shared by all nodes, gets batch files, results, logs and what the jobs report, each
    in its own file `events`, since appending to one from several nodes is not safe.
    """
    if not tasks:
        return
    import submitit

    # Not the same folder twice: SLURM may begin again with job 1 after a reinstallation.
    stamp = datetime.now(UTC).strftime("%Y%m%d-%H%M%S")
    folder = folder / f"{stamp}-{os.getpid()}"
    folder.mkdir(parents=True)
    events = [folder / f"events-{number}.jsonl" for number in range(len(tasks))]
    executor = submitit.AutoExecutor(folder, cluster="slurm")
    resources = {
        "slurm_partition": options.partition, "slurm_account": options.account,
        "slurm_qos": options.qos, "gpus_per_node": gpus, "mem_gb": options.memory,
    }  # fmt: skip
    executor.update_parameters(
        name="vaaffect", timeout_min=options.minutes, cpus_per_task=options.cpus,
        slurm_array_parallelism=options.parallel, stderr_to_stdout=True,
        **{key: value for key, value in resources.items() if value},
    )  # fmt: skip
    calls = [(*task, path) for task, path in zip(tasks, events, strict=True)]
    try:
        jobs = executor.map_array(_Resumable(function), *zip(*calls, strict=True))
    except submitit.core.utils.FailedJobError as error:
        raise UserError(
            f"SLURM refused the jobs: {str(error).strip()}; change --cluster-options."
        ) from error
    left = dict(enumerate(jobs))
    try:
        yield from _collect(left, [Tail(path) for path in events])
    finally:
        if left:  # interrupted
            jobs = {job.job_id.split("_")[0] for job in left.values()}
            subprocess.run(["scancel", *jobs], capture_output=True)


@dataclass(frozen=True)
class _Resumable:
    """A function that submitit may put back into the queue when a job's time is up."""

    function: Callable

    def __call__(self, *arguments: Any) -> object:
        return attempt(self.function, *arguments)

    def checkpoint(self, *arguments: Any) -> Any:
        """The same again: trainings write checkpoints themselves."""
        import submitit

        return submitit.helpers.DelayedSubmission(self, *arguments)


def _collect(left: dict[int, Any], tails: list[Tail]) -> Iterator[tuple[int, object]]:
    """Wait for submitit's jobs; takes out of `left` each one that has ended."""
    asked = float("-inf")
    gone: dict[int, float] = {}  # since when a job is missing in the queue
    while left:
        time.sleep(LOOK_EVERY)
        now = time.monotonic()
        if now - asked >= ASK_EVERY:
            asked, queued = now, _queued()
            for number, job in left.items():
                if queued is None or job.job_id in queued:
                    gone.pop(number, None)
                else:
                    gone.setdefault(number, now)
        for number, job in list(left.items()):
            for event in tails[number].read():
                report_event(event)
            any(job.paths.folder.iterdir())  # makes a network file system look again
            if job.paths.result_pickle.exists():
                del left[number]
                yield number, attempt(job.result)
            elif number in gone and now - gone[number] >= GRACE:
                del left[number]
                yield number, Failure(_why_lost(job))


def _queued() -> set[str] | None:
    """The jobs of this user that wait or run; None when SLURM does not answer just now."""
    command = ["squeue", "--noheader", "--array", "--format=%i", f"--user={os.getuid()}"]
    answer = subprocess.run(command, capture_output=True, text=True)
    return set(answer.stdout.split()) if answer.returncode == 0 else None


def _why_lost(job: Any) -> str:
    """What is known of a job that left the queue without a result."""
    log = job.paths.stdout
    lines = log.read_text(errors="replace").splitlines() if log.exists() else []
    said = [line for line in lines if "slurmstepd: error:" in line or "oom" in line.lower()]
    about = f" ({said[-1].split('error:')[-1].strip(' *')})" if said else ""
    where = f"its log is {log}" if lines else "it never began"
    return f"its job {job.job_id} was cancelled or killed{about}; {where}"
