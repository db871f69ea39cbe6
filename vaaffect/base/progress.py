"""From a training inside a notebook's kernel to a line on the terminal.

The study names a file in the environment variable VAAFFECT_PROGRESS. Code in the kernel appends a
JSON line per event; the study shows the latest with the time that remains. Without the variable (a
notebook opened in JupyterLab, or run with papermill by hand) the reports go nowhere.

Events: an epoch of a training or a step of something else (`report_epoch`, `report_step`); and, of
a list of trainings, {"fanout": its plan, or null at its end} and {"ended": number of a training};
and {"stage": what was done, "seconds": how long} (`stage`).
"""

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

VARIABLE = "VAAFFECT_PROGRESS"
_tags: dict = {}  # see `tagged`
_stages = threading.local()  # see `stage`


@contextmanager
def tagged(**tags: object) -> Iterator[None]:
    """Add these to all that is reported meanwhile: which of many trainings it comes from."""
    _tags.update(tags)
    try:
        yield
    finally:
        _tags.clear()


def report_event(event: dict) -> None:
    """Append an event to the study's progress file, if there is a study; never fails a training."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    line = (json.dumps(_tags | event) + "\n").encode()
    # Progress is a courtesy: a full disk shows itself where results are written. One unbuffered
    # write to a file opened for appending: lines of several processes do not mix.
    with suppress(OSError), Path(path).open("ab", buffering=0) as file:
        file.write(line)


def report_epoch(
    what: str, epoch: int, epochs: int, loss: float | None, seconds: float,
    left: float | None = None,
) -> None:  # fmt: skip
    """Report that epoch `epoch` of `epochs` ended after `seconds`, with its training loss.

    `left` are the seconds that the training needs until it ends, at most, where known.
    """
    event = {"what": what, "epoch": epoch, "epochs": epochs, "loss": loss, "seconds": seconds}
    report_event(event if left is None else event | {"left": left})


def report_step(what: str, done: int, total: int) -> None:
    """Report that `done` of `total` equal pieces of work are done."""
    report_event({"what": what, "done": done, "total": total})


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Report how many seconds the block takes, less those of stages inside it; also a decorator."""
    outer, _stages.inside = getattr(_stages, "inside", 0.0), 0.0
    started = time.perf_counter()
    try:
        yield
    finally:
        took = time.perf_counter() - started
        report_event({"stage": name, "seconds": round(took - _stages.inside, 4)})
        _stages.inside = outer + took


class Tail:
    """Follows a progress file, which need not exist yet: `read` it, or let a thread (as a context
    manager) give `follow`, twice a second, the events since the last look, perhaps none.
    """

    def __init__(self, path: Path, follow: Callable[[list[dict]], None] = lambda events: None):
        self.path, self.follow = path, follow
        self._position = 0  # of the first line that has not been read
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._follow, daemon=True)

    def __enter__(self) -> "Tail":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def read(self) -> list[dict]:
        """The events written since the last call; a line still being written waits."""
        if not self.path.exists():
            return []
        with self.path.open("rb") as file:
            file.seek(self._position)
            chunk = file.read()
        whole = chunk[: chunk.rfind(b"\n") + 1]
        self._position += len(whole)
        events = []
        for line in whole.splitlines():
            with suppress(ValueError):
                events.append(json.loads(line))
        return [event for event in events if isinstance(event, dict)]

    def _follow(self) -> None:
        while not self._stop.wait(0.5):
            self.follow(self.read())
