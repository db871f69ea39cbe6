"""The study's view of itself: steps, what runs now, and the time that remains.

The line is drawn by hand: tqdm counts what is done, and here the end of the line, with the study's
own ETA, has to stay in sight however long the rest is.
"""

import shutil
import sys
import threading
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from tqdm import tqdm

ALONE = ("data", "trainings")  # steps that use all cores
LINE_EVERY = 15.0  # seconds between two lines where there is no terminal to redraw


def describe(event: dict) -> str:
    """An event in words: `vgg11_bn fold 0  epoch 2/4  loss 0.081  00:12 left`."""
    parts = [event["what"]] if "what" in event else []
    if "epoch" in event:
        parts.append(f"epoch {event['epoch']}/{event['epochs']}")
    if "done" in event:
        parts.append(f"{event['done']}/{event['total']}")
    if event.get("loss") is not None:
        parts.append(f"loss {event['loss']:.3f}")
    if "left" in event:
        parts.append(f"{clock(event['left'])} left")
    return "  ".join(parts)


def clock(seconds: float) -> str:
    """Seconds as mm:ss, or h:mm:ss from an hour on."""
    return tqdm.format_interval(max(0, round(seconds)))


class FanOut:
    """A list of trainings that run side by side, as their events tell it.

    `plan`: epochs and kind of each training (those of one kind take about as long per epoch), the
    numbers of those that have ended already, and how many run at once.
    """

    def __init__(self, plan: dict):
        self.epochs, self.kinds = plan["epochs"], plan["kinds"]
        self.before, self.ended = set(plan["ended"]), set(plan["ended"])
        self.at_once = plan["at_once"]
        self.epoch: dict[int, int] = {}  # of each training that has reported
        self.seconds: dict[str, list[float]] = {}  # of the epochs so far, by kind

    def note(self, event: dict) -> None:
        if "ended" in event:
            self.ended.add(event["ended"])
        number = event.get("training", -1)
        if "epoch" in event and 0 <= number < len(self.epochs):
            self.epoch[number] = event["epoch"]
            self.seconds.setdefault(self.kinds[number], []).append(event["seconds"])

    def remaining(self) -> tuple[float, bool]:
        """Seconds until the last training ends, and whether that is all: kinds of which no epoch
        has been measured are left out."""
        left = []
        known = True
        for i, epochs in enumerate(self.epochs):
            if i not in self.ended:
                seconds = self.seconds.get(self.kinds[i], [])
                known = known and bool(seconds)
                epoch = sum(seconds) / len(seconds) if seconds else 0.0
                left.append((epochs - self.epoch.get(i, 0)) * epoch)
        return (max(sum(left) / max(1, self.at_once), max(left)) if left else 0.0), known

    def share(self) -> float:
        """Which proportion of the epochs that were to be trained is over."""
        todo = {i: epochs for i, epochs in enumerate(self.epochs) if i not in self.before}
        over = sum(e if i in self.ended else self.epoch.get(i, 0) for i, e in todo.items())
        return over / max(1, sum(todo.values()))

    def describe(self) -> str:
        """`3/10 trainings, 2 at once, ETA 01:20`."""
        at_once = f", {self.at_once} at once" if self.at_once > 1 else ""
        left, known = self.remaining()
        end = f", ETA {clock(left)}" if known else ""
        return f"{len(self.ended)}/{len(self.epochs)} trainings{at_once}{end}"


@dataclass
class Running:
    """A step that runs now."""

    started: float  # as of time.monotonic
    event: dict = field(default_factory=dict)  # the latest
    fanout: FanOut | None = None


class Display:
    """A live line on a terminal, a line now and then elsewhere.

    `expected` are seconds per step, and `at_once` says how many run side by side; beside data,
    trainings and the steps in `alone` nothing runs. Of the steps in `guessed` nobody knows how long
    they take in this study: they are counted, and no part of the ETA.
    """

    def __init__(
        self, steps: Sequence[str], expected: dict[str, float], at_once: int = 1,
        alone: Iterable[str] = (), guessed: Iterable[str] = (),
    ):  # fmt: skip
        self.steps, self.expected, self.at_once = list(steps), expected, at_once
        self.alone, self.guessed = {*ALONE, *alone}, {*guessed}
        self.live = sys.stdout.isatty()  # one line is redrawn
        self.started = time.monotonic()
        self.done: dict[str, float] = {}  # seconds of the steps run so far, kept ones left out
        self.kept: set[str] = set()
        self.running: dict[str, Running] = {}
        self._last_line = 0.0
        self._lock = threading.Lock()

    def keep(self, step: str) -> None:
        """Say that a step's earlier result is kept."""
        self.kept.add(step)
        self.say(f"{self._label(step)}  kept")

    def start(self, step: str) -> None:
        with self._lock:
            self.running[step] = Running(time.monotonic())
            self._last_line = time.monotonic()
        if not self.live:
            self.say(f"{self._label(step)}  starts")

    def end(self, step: str, failed: bool = False) -> float:
        """End a running step and return its seconds."""
        with self._lock:
            seconds = time.monotonic() - self.running.pop(step).started
            if not failed:
                self.done[step] = seconds
        self.say(f"{self._label(step)}  {'FAILED after' if failed else 'done in'} {clock(seconds)}")
        return seconds

    def say(self, text: str) -> None:
        """Print a line that stays."""
        clear = "\r\x1b[2K" if self.live else ""
        print(f"{clear}{text}", flush=True)

    def follow(self, step: str, events: list[dict]) -> None:
        """Take note of some events of a step, and draw."""
        if running := self.running.get(step):
            for event in events:
                if "fanout" in event:
                    running.fanout = FanOut(event["fanout"]) if event["fanout"] else None
                elif running.fanout is not None:
                    running.fanout.note(event)
                if "what" in event:
                    running.event = event
        self._draw()

    def unfinished(self) -> list[str]:
        """The steps that run or are still to come."""
        return [step for step in self.steps if step not in (*self.done, *self.kept)]

    def elapsed(self) -> float:
        """Seconds since the study began."""
        return time.monotonic() - self.started

    def remaining(self) -> float:
        """Seconds until the study ends, from what was expected of the steps and what they took;
        guessed steps count for what their trainings tell.

        Expectations come from another machine or an earlier run, so they are scaled by the ratio of
        measured to expected time.
        """
        measured = {step: took for step, took in self.done.items() if step not in self.guessed}
        # Data that was there already says nothing about the speed of this machine.
        if measured.get("data", 0.0) < 0.1 * self.expected.get("data", 0.0):
            measured.pop("data", None)
        took, planned = sum(measured.values()), sum(self.expected[step] for step in measured)
        ratio = took / planned if planned > 0 else 1.0
        left = {}
        for step, running in self.running.items():
            elapsed, total = time.monotonic() - running.started, self.expected[step] * ratio
            trainings, known = running.fanout.remaining() if running.fanout else (0.0, False)
            share = running.fanout.share() if running.fanout else 0.0
            at_this_pace = elapsed * (1 - share) / share if share else 0.0
            if known or step in self.guessed:
                left[step] = trainings if known else at_this_pace
                continue
            if share:  # the further it is, the more its own pace counts
                mixed = (1 - share) ** 2 * total + share * at_this_pace
                left[step] = max(mixed, trainings)
                continue
            if elapsed > total:
                # Late: the steps to come will be late as well, and this one does not end at once.
                total = 1.1 * elapsed
                ratio = (took + elapsed) / max(planned + self.expected[step], 1e-9)
            left[step] = max(total - elapsed, trainings)
        later = [s for s in self.unfinished() if s not in {*self.running, *self.guessed}]
        alone = sum(self.expected[s] for s in later if s in self.alone)  # all cores work on them
        beside = sum(self.expected[s] for s in later if s not in self.alone)
        longest = max(left.values(), default=0.0)
        many = sum(left.values()) + ratio * beside
        if any(step in self.alone for step in left):
            return longest + ratio * (alone + beside / self.at_once)
        return max(longest, many / self.at_once) + ratio * alone

    def _draw(self) -> None:
        """Redraw the live line, or print one if the last is old enough."""
        with self._lock:
            now = time.monotonic()
            if not self.running or not (self.live or now - self._last_line >= LINE_EVERY):
                return
            self._last_line = now
            tail = f"elapsed {clock(self.elapsed())}  {self._eta()}"
            parts = []
            for step, running in self.running.items():
                many = running.fanout.describe() if running.fanout else ""
                said = [self._label(step), many, describe(running.event)]
                parts.append("  ".join(filter(None, said)))
            said = "  ".join(parts)
            if self.live:
                width = shutil.get_terminal_size().columns - 1
                said = said[: max(0, width - len(tail) - 2)]  # the study's own ETA stays in sight
                print(f"\r\x1b[2K{f'{said}  {tail}'[:width]}", end="", flush=True)
            else:
                print(f"{said}  {tail}", flush=True)

    def _eta(self) -> str:
        """`ETA 01:20`, and how many steps it leaves out."""
        unknown = [step for step in self.unfinished() if step in self.guessed]
        running = [self.running[step].fanout for step in unknown if step in self.running]
        known = {id(many) for many in running if many is not None and many.remaining()[1]}
        count = len(unknown) - len(known)
        if not count:
            return f"ETA {clock(self.remaining())}"
        steps = "1 step" if count == 1 else f"{count} steps"
        return f"ETA {clock(self.remaining())} and {steps} of unknown length"

    def _label(self, step: str) -> str:
        return f"[{self.steps.index(step) + 1}/{len(self.steps)}] {step}"
