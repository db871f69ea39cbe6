"""From a training inside a notebook's kernel to a line on the terminal.

The study names a file in the environment variable VAAFFECT_PROGRESS. Code in the kernel appends a
JSON line per event with `report_epoch` and `report_step`; the study reads the file and shows the
latest event with the time that remains. Without the variable (a notebook opened in JupyterLab, or
run with papermill by hand) the reports go nowhere.

Events: an epoch of a training or a step of something else (`report_epoch`, `report_step`); and, of
a list of trainings, {"fanout": its plan, or null at its end} and {"ended": number of a training}.
"""

import json
import os
import shutil
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

VARIABLE = "VAAFFECT_PROGRESS"
LINE_EVERY = 15.0  # seconds between two lines where there is no terminal to redraw
_tags: dict = {}  # see `tagged`


@contextmanager
def tagged(**tags: object) -> Iterator[None]:
    """Add these to all that is reported meanwhile: which of many trainings it comes from."""
    before = dict(_tags)
    _tags.update(tags)
    try:
        yield
    finally:
        _tags.clear()
        _tags.update(before)


def report(event: dict) -> None:
    """Append an event to the study's progress file, if there is a study; never fails a training."""
    path = os.environ.get(VARIABLE)
    if not path:
        return
    line = (json.dumps(_tags | event) + "\n").encode()
    try:
        # One write to a file opened for appending: lines of several processes do not mix.
        handle = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(handle, line)
        finally:
            os.close(handle)
    except OSError:
        pass  # progress is a courtesy: a full disk shows itself where results are written


def report_epoch(
    what: str,
    epoch: int,
    epochs: int,
    loss: float | None,
    seconds: float,
    left: float | None = None,
) -> None:
    """Report that epoch `epoch` of `epochs` ended after `seconds`, with its training loss.

    `left` are the seconds that the training needs until it ends, at most, where known.
    """
    event = {"what": what, "epoch": epoch, "epochs": epochs, "loss": loss, "seconds": seconds}
    report(event if left is None else event | {"left": left})


def report_step(what: str, done: int, total: int) -> None:
    """Report that `done` of `total` equal pieces of work are done."""
    report({"what": what, "done": done, "total": total})


def describe(event: dict) -> str:
    """An event in words: `vgg11_bn fold 0  epoch 2/4  loss 0.081  00:12 left`."""
    parts = [str(event.get("what", ""))]
    if "epoch" in event:
        parts.append(f"epoch {event['epoch']}/{event.get('epochs', '?')}")
    if "done" in event:
        parts.append(f"{event['done']}/{event.get('total', '?')}")
    if isinstance(event.get("loss"), int | float):
        parts.append(f"loss {event['loss']:.3f}")
    if isinstance(event.get("left"), int | float):
        parts.append(f"{clock(event['left'])} left")
    return "  ".join(part for part in parts if part)


def clock(seconds: float) -> str:
    """Seconds as mm:ss, or h:mm:ss from an hour on."""
    whole = max(0, round(seconds))
    hours, minutes, rest = whole // 3600, whole // 60 % 60, whole % 60
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes:02d}:{rest:02d}"


def eta(
    expected_done: Sequence[float],
    seconds_done: Sequence[float],
    expected_now: float,
    elapsed_now: float,
    expected_later: Sequence[float],
    known_now: float = 0.0,
) -> float:
    """Seconds that remain, from what was expected and how long it took so far.

    Expectations come from another machine or an earlier run, so they are scaled by the ratio of
    measured to expected time of the steps done so far in this run.

    Args:
        expected_done: expected seconds of each step that was run and has ended.
        seconds_done: the seconds they took.
        expected_now: expected seconds of the step that is running.
        elapsed_now: seconds it has run.
        expected_later: expected seconds of each step still to come.
        known_now: seconds that the running step needs at least, as it says itself.
    """
    ratio = sum(seconds_done) / sum(expected_done) if sum(expected_done) > 0 else 1.0
    total_now = expected_now * ratio
    if elapsed_now > total_now:
        # Late: the steps to come will be late as well, and this one is not about to end at once.
        total_now = 1.1 * elapsed_now
        ratio = (sum(seconds_done) + elapsed_now) / max(sum(expected_done) + expected_now, 1e-9)
    return max(total_now - elapsed_now, known_now) + ratio * sum(expected_later)


class FanOut:
    """A list of trainings that run side by side, as their events tell it.

    Args:
        plan: epochs and kind of each training (those of one kind take about as long per epoch),
            the numbers of those that have ended already, and how many run at once.
    """

    def __init__(self, plan: dict):
        self.epochs, self.kinds = plan["epochs"], plan["kinds"]
        self.ended, self.at_once = set(plan["ended"]), plan["at_once"]
        self.epoch: dict[int, int] = {}  # of each training that has reported
        self.seconds: dict[str, list[float]] = {}  # of the epochs so far, by kind

    def note(self, event: dict) -> None:
        """Take note of an event."""
        if "ended" in event:
            self.ended.add(event["ended"])
        number = event.get("training", -1)
        if "epoch" in event and 0 <= number < len(self.epochs):
            self.epoch[number] = event["epoch"]
            self.seconds.setdefault(self.kinds[number], []).append(event["seconds"])

    def remaining(self) -> float | None:
        """Seconds until the last training ends; None before the first epoch of any."""
        measured = {kind: sum(values) / len(values) for kind, values in self.seconds.items()}
        if not measured:
            return None
        other = sum(measured.values()) / len(measured)  # of a kind that has not begun
        left = [
            (self.epochs[i] - self.epoch.get(i, 0)) * measured.get(self.kinds[i], other)
            for i in range(len(self.epochs))
            if i not in self.ended
        ]
        return max(sum(left) / max(1, self.at_once), max(left)) if left else 0.0

    def describe(self) -> str:
        """`3/10 trainings, 2 at once, ETA 01:20`."""
        at_once = f", {self.at_once} at once" if self.at_once > 1 else ""
        left = self.remaining()
        end = "" if left is None else f", ETA {clock(left)}"
        return f"{len(self.ended)}/{len(self.epochs)} trainings{at_once}{end}"


class Display:
    """The study's view of itself: a live line on a terminal, a line now and then elsewhere.

    Args:
        steps: the names of the steps, in their order.
        expected: expected seconds per step name.
        stream: where the lines go.
        live: redraw one line (default: where the stream is a terminal).
    """

    def __init__(
        self, steps: Sequence[str], expected: dict[str, float], stream: TextIO, live: bool | None
    ):
        self.steps, self.expected, self.stream = list(steps), expected, stream
        self.live = stream.isatty() if live is None else live
        self.started = time.monotonic()
        self.done: dict[str, float] = {}  # seconds of the steps run so far, kept ones left out
        self.kept: set[str] = set()
        self.now: str | None = None
        self.now_started = 0.0
        self.event: dict = {}
        self.fanout: FanOut | None = None
        self._last_line = 0.0
        self._lock = threading.Lock()

    def keep(self, step: str) -> None:
        """Say that a step's earlier result is kept."""
        self.kept.add(step)
        self.say(f"{self._label(step)}  kept")

    def start(self, step: str) -> None:
        """Begin a step."""
        with self._lock:
            self.now, self.now_started = step, time.monotonic()
            self.event, self.fanout, self._last_line = {}, None, time.monotonic()
        if not self.live:
            self.say(f"{self._label(step)}  starts")

    def end(self, failed: bool = False) -> float:
        """End the running step and return its seconds."""
        with self._lock:
            step, seconds = self.now, time.monotonic() - self.now_started
            self.now = None
            if not failed:
                self.done[step] = seconds
        self.say(f"{self._label(step)}  {'FAILED after' if failed else 'done in'} {clock(seconds)}")
        return seconds

    def say(self, text: str) -> None:
        """Print a line that stays."""
        clear = "\r\x1b[2K" if self.live else ""
        print(f"{clear}{text}", file=self.stream, flush=True)

    def show(self, event: dict) -> None:
        """Take note of an event, and draw."""
        self.note(event)
        self.draw()

    def note(self, event: dict) -> None:
        """Take note of an event."""
        if "fanout" in event:
            self.fanout = FanOut(event["fanout"]) if event["fanout"] else None
        elif self.fanout is not None:
            self.fanout.note(event)
        if "what" in event:
            self.event = event

    def elapsed(self) -> float:
        """Seconds since the study began."""
        return time.monotonic() - self.started

    def remaining(self) -> float:
        """Seconds until the study ends."""
        later = [s for s in self.steps if s not in self.done and s not in self.kept]
        # Data that was there already says nothing about the speed of this machine.
        found = self.done.get("data", 0.0) < 0.1 * self.expected.get("data", 0.0)
        done = {k: v for k, v in self.done.items() if not (found and k == "data")}
        return eta(
            [self.expected[step] for step in done],
            list(done.values()),
            self.expected.get(self.now, 0.0),
            time.monotonic() - self.now_started if self.now else 0.0,
            [self.expected[step] for step in later if step != self.now],
            (self.fanout.remaining() or 0.0) if self.fanout else 0.0,
        )

    def draw(self) -> None:
        """Redraw the live line, or print one if the last is old enough."""
        with self._lock:
            now = time.monotonic()
            if self.now is None or not (self.live or now - self._last_line >= LINE_EVERY):
                return
            self._last_line = now
            tail = f"elapsed {clock(self.elapsed())}  ETA {clock(self.remaining())}"
            many = self.fanout.describe() if self.fanout else ""
            said = "  ".join(filter(None, [self._label(self.now), many, describe(self.event)]))
            if self.live:
                width = shutil.get_terminal_size().columns - 1
                said = said[: max(0, width - len(tail) - 2)]  # the study's own ETA stays in sight
                self.stream.write(f"\r\x1b[2K{f'{said}  {tail}'[:width]}")
                self.stream.flush()
            else:
                print(f"{said}  {tail}", file=self.stream, flush=True)

    def _label(self, step: str) -> str:
        return f"[{self.steps.index(step) + 1}/{len(self.steps)}] {step}"


class Tail:
    """Follows a progress file in a thread and shows its latest event on a display.

    Use as a context manager, or `read` it; the file need not exist yet.
    """

    def __init__(self, path: Path, display: Display | None = None, every: float = 0.5):
        self.path, self.display, self.every = Path(path), display, every
        self._position, self._rest = 0, b""
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
        self._position += len(chunk)
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        events = []
        for line in lines:
            try:
                event = json.loads(line)
            except ValueError:
                continue
            if isinstance(event, dict):
                events.append(event)
        return events

    def _follow(self) -> None:
        while not self._stop.wait(self.every):
            events = self.read()
            for event in events:
                self.display.note(event)
            self.display.draw()
