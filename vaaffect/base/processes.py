"""The same function over many tasks, by all cores.

`in_processes` is for many short tasks that succeed or fail together, `in_workers` for a few long
ones, of which each may fail alone.
"""

import math
import multiprocessing
import os
import pickle
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import forkserver
from multiprocessing.connection import Connection, wait
from multiprocessing.context import BaseContext
from pathlib import Path

from .errors import UserError

_PRELOADED: dict[str, None] = {}  # see `forks`
_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")  # of a container: microseconds of CPU, per period


def cores() -> int:
    """How many processes may compute at a time: the cores that this one may use, or fewer where a
    container's limit says so (the machine may have many more)."""
    mine = getattr(os, "sched_getaffinity", None)  # macOS has none
    usable = len(mine(0)) if mine else os.cpu_count() or 1
    try:
        quota, period = map(int, _CPU_LIMIT.read_text().split())
    except (OSError, ValueError):  # no such file, or "max": no limit
        return usable
    return max(1, min(usable, math.ceil(quota / period)))


def at_once(gigabytes: float = 4) -> int:
    """How many computations run at a time unless the user says so: one per core, and not more than
    the machine has memory for, if each takes so many `gigabytes`. A process with PyTorch has four.
    """
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return max(1, min(cores(), round(memory / gigabytes / 2**30)))


def compute_with(threads: int) -> None:
    """From now on the libraries of this process compute with so many threads, and so do those of
    the programs that it starts. (Variables do that for libraries that are not loaded yet.)"""
    import threadpoolctl

    os.environ["OMP_NUM_THREADS"] = str(threads)
    threadpoolctl.threadpool_limits(threads)
    if cv2 := sys.modules.get("cv2"):
        cv2.setNumThreads(threads)
    if torch := sys.modules.get("torch"):
        torch.set_num_threads(threads)


@contextmanager
def with_variables(variables: Mapping[str, str]) -> Iterator[None]:
    """With these environment variables, for this process and those that it starts meanwhile."""
    before = dict(os.environ)
    os.environ.update(variables)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


@contextmanager
def unswayed() -> Iterator[None]:
    """Whatever the shell says, figures go into files, and the processes that start meanwhile warn
    as Python does by itself (one that warns more would do so in the pages of a study)."""
    options = sys.warnoptions[:]
    sys.warnoptions.clear()  # those of PYTHONWARNINGS and -W, which multiprocessing hands on
    try:
        with with_variables({"MPLBACKEND": "agg", "PYTHONWARNINGS": ""}):
            yield
    finally:
        sys.warnoptions[:] = options


def forks(*modules: str) -> BaseContext:
    """Where processes are forked from: Python's own fork server, which computes nothing. Modules
    named until the first process starts are imported once, for all of them.

    (To fork a process that has started threads, PyTorch's for example, can deadlock.)
    """
    _PRELOADED.update(dict.fromkeys(modules))
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload([*_PRELOADED])
    return context


def in_processes(
    function: Callable, tasks: Sequence[tuple], workers: int | None = None
) -> Iterator[tuple[int, object]]:
    """Call a module's `function(*task)` for every task; yields (number of the task, result), in the
    order in which they are done.

    `workers` are processes: None is one per core, 1 stays in this process. UserError where one was
    killed, for lack of memory for example.
    """
    workers = min(workers or cores(), len(tasks))
    if workers <= 1:
        for number, task in enumerate(tasks):
            yield number, function(*task)
        return
    context = forks(function.__module__)
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_begin) as pool:
        with _undisturbed():
            futures = {pool.submit(function, *task): number for number, task in enumerate(tasks)}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        except BrokenProcessPool as error:
            raise UserError(
                "A worker process was ended, perhaps for lack of memory; close other programs and "
                "run again."
            ) from error
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


@contextmanager
def _undisturbed() -> Iterator[None]:
    """Signals wait until the end of the block: a process that is left while it starts complains."""
    # The fork server would hand the blocked signals on to its processes, which could not be ended.
    forkserver.ensure_running()
    signals = {signal.SIGINT, signal.SIGTERM, signal.SIGALRM}
    before = signal.pthread_sigmask(signal.SIG_BLOCK, signals)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _begin() -> None:
    """What a process of a pool does first."""
    import cv2  # only by processes that work: not everybody who imports this room draws

    end_with_parent()  # else it would wait for ever for the next task of one that was killed
    cv2.setNumThreads(1)  # one process per core already


@dataclass(frozen=True)
class Failure:
    """Why a task has no result."""

    reason: str  # what to tell the user
    trace: str = ""  # the traceback of an error that nobody expected


def attempt(function: Callable, *arguments: object) -> object:
    """What the function returns, or a Failure that says why it raised."""
    try:
        return function(*arguments)
    except UserError as error:
        return Failure(str(error))
    except Exception as error:
        return Failure(f"{type(error).__name__}: {error}", traceback.format_exc())


def in_workers(
    function: Callable, tasks: Sequence[tuple], workers: int, start: Callable[[int], None],
    after: Mapping[int, int] | None = None,
) -> Iterator[tuple[int, object]]:  # fmt: skip
    """Call `function(*task)` for every task; one that fails, or is killed, leaves the others alone.

    Yields (number of the task, result or Failure), in the order in which they end. Whoever stops
    asking must close the generator: that ends the processes.

    Args:
        function: a module's function, so that another process can import it.
        tasks: its arguments, each a tuple of things that can be pickled.
        workers: processes at a time.
        start: called first in each process, with its place (0 to workers - 1).
        after: {task: another one} that has to end before it begins, well or not; no circles.
    """
    # Not pebble's ProcessPool: a worker that dies before it has acknowledged its task (while it
    # unpickles, or starts) breaks that whole pool or loses the task, and its workers have no place,
    # by which a new one would take over the GPU of the one that died.
    todo, after = dict(enumerate(tasks)), after or {}
    unfinished = set(todo)
    free = list(range(min(workers, len(todo))))[::-1]  # places
    idle: dict[int, _Worker] = {}  # by place
    busy: dict[Connection, _Worker] = {}
    try:
        while unfinished:
            ready = [number for number in todo if after.get(number) not in unfinished]
            for number in ready[: len(free)]:
                place = free.pop()
                worker = idle.pop(place, None) or _Worker(function, start, place)
                busy[worker.connection] = worker
                worker.take(number, todo.pop(number))
            for connection in wait(list(busy)):
                worker = busy.pop(connection)
                number, result = worker.number, worker.result()
                if not isinstance(result, Failure) or worker.process.is_alive():
                    idle[worker.place] = worker
                free.append(worker.place)
                unfinished.remove(number)
                yield number, result
    finally:
        for worker in busy.values():
            worker.process.terminate()
        for worker in idle.values():
            worker.connection.close()  # tells it to go
        for worker in [*busy.values(), *idle.values()]:
            worker.process.join()


class _Worker:
    """A process at its `place`, the line to it, and the `number` of the task it is at."""

    def __init__(self, function: Callable, start: Callable[[int], None], place: int):
        self.place, self.number = place, -1
        context = forks(function.__module__)
        self.connection, its_end = context.Pipe()
        arguments = (its_end, function, start, place, dict(os.environ))
        self.process = context.Process(target=_work, args=arguments, daemon=True)
        with _undisturbed():
            self.process.start()
        its_end.close()  # so that a dead worker ends the line

    def take(self, number: int, task: tuple) -> None:
        self.number = number
        # Where the process has died already, `result` says so.
        with suppress(BrokenPipeError):
            self.connection.send(task)

    def result(self) -> object:
        try:
            return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self.process.join()
        code = self.process.exitcode
        if code < 0:
            name = signal.Signals(-code).name
            return Failure(f"its process was killed ({name}), perhaps for lack of memory")
        return Failure(f"its process ended by itself, with exit code {code}")


def _work(
    connection: Connection, function: Callable, start: Callable[[int], None], place: int,
    environment: dict[str, str],
) -> None:  # fmt: skip
    """What a worker does: task after task, until the line is closed."""
    # Ctrl-C reaches every process of the terminal; it is the one that waits which ends the others.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    os.environ.update(environment)  # the fork server has what was so when it started
    end_with_parent()
    start(place)

    def call(task: bytes) -> object:  # unpickling can fail too: crops are looked at on arrival
        return function(*pickle.loads(task))

    with suppress(EOFError):
        while True:
            connection.send(attempt(call, connection.recv_bytes()))


def end_with_parent() -> None:
    """From now on this process ends when the one that started it does: one that is killed cannot
    end those whose results nobody waits for any more."""

    def follow() -> None:
        wait([multiprocessing.parent_process().sentinel])
        os._exit(1)

    threading.Thread(target=follow, daemon=True).start()
