"""The same function over many tasks, by all cores."""

import multiprocessing
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool

import cv2

from .errors import UserError


def in_processes(
    function: Callable, tasks: Sequence[tuple], workers: int | None = None
) -> Iterator[tuple[int, object]]:
    """Call `function(*task)` for every task, in as many processes as there are cores.

    Args:
        function: a module's function, so that another process can import it.
        tasks: its arguments, each a tuple of things that can be pickled.
        workers: processes; None is one per core, 1 stays in this process.

    Yields:
        (number of the task, result), in the order in which they are done.

    Raises:
        UserError: a process was killed, for lack of memory for example.
    """
    workers = min(workers or os.cpu_count() or 1, len(tasks))
    if workers <= 1:
        for number, task in enumerate(tasks):
            yield number, function(*task)
        return
    # "spawn": forking a process that has started torch's threads can deadlock.
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_one_thread) as pool:
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


def _one_thread() -> None:
    cv2.setNumThreads(1)  # one process per core already
