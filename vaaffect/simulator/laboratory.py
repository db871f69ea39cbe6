"""The second world, a laboratory: who talks to whom, what they feel, and what raters write down.

As in `worlds` nothing is drawn, and the plan of a session depends on the world and the session's
index alone.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta

import numpy as np
from numpy.random import Generator

from .appearance import Scene
from .circumplex import ACTION_UNITS, action_units
from .worlds import Subject, in_turn, require, sample_subject, sway, takes

_STEP = 0.02  # seconds between two samples of a rater

# Whom people talk to, and the mood that this puts them in: (valence, arousal).
CHARACTERS = {
    "Poppy": (0.46, 0.27),
    "Obadiah": (-0.36, -0.28),
    "Spike": (-0.40, 0.36),
    "Prudence": (0.08, 0.04),
}

# Streams of random numbers, none of which the wild world uses: other people with the same seed.
_SUBJECT, _ORDER, _CHARACTERS, _VISIT, _SESSION, _RATER, _TRACES = range(11, 18)

# The visits to which sessions belong, four in every eight sessions, and their places in the visit.
_VISITS = ((0, 0), (0, 1), (1, 0), (1, 1), (2, 0), (2, 1), (2, 2), (3, 0))

_OTHER_CODES = ("Agre", "An", "Am")  # begin like arousal's: a trap for whoever looks for "DA"
# Seconds before and after the video in which affect is known, for raters who lag; at least.
_MARGIN = 2.0
_FARTHEST_GAIN = 2.5  # SDs of a rater's gain from 1, beyond which it is cut


@dataclass(frozen=True)
class LabWorld:
    """A few people who talk to four characters, filmed from the front and rated all the time.

    `seconds` is the least and the greatest length of a session, `raters` how many people rate,
    `size` the video's (width, height) in pixels and `fps` its speed; `difficulty` runs from 0
    (still and equally expressive people) to 1.

    How raters differ, in valence and arousal alike: `rater_gain` is the SD of their gains around 1,
    `rater_offset` that of their offsets, `rater_lag` the least and the greatest delay in seconds,
    `rater_noise` the SD of what a trace says besides, slow movements that no other rater shares.
    The defaults are careful raters, who agree better than real ones do. Mariooryad & Busso (2015,
    "Correcting time-continuous emotional labels by modeling the reaction lag of evaluators") found
    delays of 1 to 6 seconds; in the sessions of a world, which are shorter, moods turn faster too.

    Raises UserError when a number is impossible.
    """

    sessions: int = 24
    subjects: int = 12
    seconds: tuple[float, float] = (20.0, 30.0)
    seed: int = 0
    difficulty: float = 0.5
    size: tuple[int, int] = (352, 288)
    fps: float = 12.5
    raters: int = 6
    rater_gain: float = 0.2
    rater_offset: float = 0.08
    rater_lag: tuple[float, float] = (0.2, 1.0)
    rater_noise: float = 0.05

    def __post_init__(self) -> None:
        # Lists come from JSON and YAML; equal worlds must compare equal.
        object.__setattr__(self, "seconds", tuple(self.seconds))
        object.__setattr__(self, "size", tuple(self.size))
        object.__setattr__(self, "rater_lag", tuple(self.rater_lag))
        low, high = self.seconds if len(self.seconds) == 2 else (0, 0)
        spans = "seconds must be (least, greatest) with 3 <= least <= greatest"
        lag = self.rater_lag
        lags = "rater_lag must be (least, greatest) with 0 <= least <= greatest <= 10"
        even, two = all(side % 2 == 0 for side in self.size), self.fps * low >= 2
        require(
            self,
            (self.sessions >= 1, f"sessions must be at least 1, not {self.sessions}"),
            (3 <= low <= high <= 3600, f"{spans}: {self.seconds}"),
            (two, f"fps must give every session two frames at least, not {self.fps}"),
            (even, f"size must be even, as videos are: {self.size}"),
            (self.raters >= 2, f"raters must be at least 2, not {self.raters}"),
            (
                0 <= self.rater_gain < 1 / _FARTHEST_GAIN,
                f"rater_gain must be 0 to less than {1 / _FARTHEST_GAIN}, not {self.rater_gain}",
            ),
            (self.rater_offset >= 0, f"rater_offset must not be negative: {self.rater_offset}"),
            (self.rater_noise >= 0, f"rater_noise must not be negative: {self.rater_noise}"),
            (len(lag) == 2 and 0 <= lag[0] <= lag[1] <= 10, f"{lags}: {lag}"),
        )

    def subject_of(self, index: int) -> int:
        """Who is in session `index`: everyone pays one visit before anyone pays another."""
        return in_turn([self.seed, _ORDER], visit_of(index)[0], self.subjects)

    def frame_count(self, index: int) -> int:
        """How many video frames session `index` has, without planning it."""
        rng = np.random.default_rng([self.seed, _SESSION, index])
        return round(float(rng.uniform(*self.seconds)) * self.fps)


@dataclass(frozen=True)
class DrawnTrace:
    """What one rater wrote about one dimension of one session: N samples."""

    rater: int
    code: str  # of the dimension: "V", "A", "I" ...
    rows: np.ndarray  # (N, 2) seconds and values in [-1, 1]
    flaws: tuple[tuple[int, str], ...]  # broken lines, and before which sample they stand


@dataclass(frozen=True)
class SessionPlan:
    """Everything that is needed to draw and to rate one session, T frames of video."""

    number: int  # 1 ..
    recording: int  # 1 ..: one visit of the subject
    character: str
    subject: Subject
    operator: int  # who plays the character
    stamp: str  # when the video starts (invented), "2008.12.05.16.03.15"
    affect: np.ndarray  # (T, 2) true valence and arousal in [-1, 1]
    units: np.ndarray  # (T, n_aus) action units in [0, 1]
    scenes: tuple[Scene, ...]  # T
    traces: tuple[DrawnTrace, ...]


def subject(world: LabWorld, number: int) -> Subject:
    """Person `number` (0 .. subjects - 1) of a world."""
    rng = np.random.default_rng([world.seed, _SUBJECT, number])
    return sample_subject(rng, number, world.difficulty)


def rater(world: LabWorld, number: int) -> tuple[np.ndarray, np.ndarray, float]:
    """How rater `number` (1 .. raters) of a world rates in all sessions, as (gain, offset, lag):
    gain * affect + offset, each (2,), lag seconds late."""
    rng = np.random.default_rng([world.seed, _RATER, number])
    farthest = _FARTHEST_GAIN * world.rater_gain
    gain = np.clip(rng.normal(1, world.rater_gain, 2), 1 - farthest, 1 + farthest)
    return gain, rng.normal(0, world.rater_offset, 2), float(rng.uniform(*world.rater_lag))


def visit_of(index: int) -> tuple[int, int]:
    """To which visit session `index` belongs, and which session of the visit it is; from 0."""
    visit, place = _VISITS[index % 8]
    return 4 * (index // 8) + visit, place


def session_plan(world: LabWorld, index: int) -> SessionPlan:
    """The plan of session `index` (0 .. sessions - 1). Raises IndexError for another index."""
    if not 0 <= index < world.sessions:
        raise IndexError(f"session {index} of a world of {world.sessions} sessions")
    rng = np.random.default_rng([world.seed, _SESSION, index])
    seconds = float(rng.uniform(*world.seconds))
    time = np.arange(round(seconds * world.fps)) / world.fps
    visit, place = visit_of(index)
    # Four sessions in a row have four characters, so those of one visit never share one.
    character = list(CHARACTERS)[in_turn([world.seed, _CHARACTERS], index, len(CHARACTERS))]
    person = subject(world, world.subject_of(index))
    margin = max(_MARGIN, world.rater_lag[1])
    clock, mood = _mood(rng, CHARACTERS[character], seconds, margin)
    affect = _at(time, clock, mood)
    return SessionPlan(
        number=index + 1,
        recording=visit + 1,
        character=character,
        subject=person,
        operator=101 + visit % 3,
        stamp=_stamp(world, visit, place),
        affect=affect,
        units=_expression(rng, world, person, affect, time),
        scenes=_takes(rng, world, time),
        traces=_traces(world, index, clock, mood, seconds),
    )


def _stamp(world: LabWorld, visit: int, place: int) -> str:
    rng = np.random.default_rng([world.seed, _VISIT, visit])
    later = timedelta(days=visit, minutes=11 * place, seconds=int(rng.integers(0, 8 * 3600)))
    return f"{datetime(2008, 12, 1, 9) + later:%Y.%m.%d.%H.%M.%S}"


def _mood(
    rng: Generator, tendency: tuple[float, float], seconds: float, margin: float
) -> tuple[np.ndarray, np.ndarray]:
    """A clock (n,) that starts `margin` seconds before the video and ends as long after it, and
    true affect (n, 2) on it."""
    clock = np.arange(-margin, seconds + margin, _STEP)
    peak = np.array(tendency) + rng.normal(0, 0.09, 2)
    turns = clock * rng.uniform(0.035, 0.075) + rng.random()
    depth = 0.12 + 0.88 * (0.5 - 0.5 * np.cos(2 * np.pi * turns))  # into the mood and out again
    mood = peak * depth[:, None] + 0.11 * sway(rng, clock, 2, (0.04, 0.16))
    return clock, np.clip(mood, -0.75, 0.75)


def _at(time: np.ndarray, clock: np.ndarray, values: np.ndarray) -> np.ndarray:
    """Values (n, 2) of a clock (n,) at other times (m,): (m, 2)."""
    return np.stack([np.interp(time, clock, column) for column in values.T], axis=-1)


def _expression(
    rng: Generator, world: LabWorld, person: Subject, affect: np.ndarray, time: np.ndarray
) -> np.ndarray:
    """Action units (T, n_aus): the affect as this person shows it, with speech and blinks."""
    units = action_units(affect) * person.expressiveness
    units = units + 0.04 * world.difficulty * sway(rng, time, units.shape[1])
    at = {name: i for i, name in enumerate(ACTION_UNITS)}
    # People take turns: they talk for some seconds, then they listen.
    talks = np.clip(0.4 + sway(rng, time, 1, (0.06, 0.2))[:, 0], 0, 1)
    speech = talks * np.abs(rng.normal(0, 1, len(time))) * (0.3 + 0.7 * world.difficulty)
    units[:, at["lips_part"]] += 0.35 * speech
    units[:, at["jaw_drop"]] += 0.11 * speech
    for blink in np.cumsum(rng.exponential(3.5, int(time[-1]) + 1)):
        units[:, at["lid_droop"]] += np.clip(1.1 - np.abs(time - blink) / 0.14, 0, 1)
    return np.clip(units, 0, 1)


def _takes(rng: Generator, world: LabWorld, time: np.ndarray) -> tuple[Scene, ...]:
    """The scene of every frame: a fixed camera, a fixed light, a head that moves a little."""
    most = 2 + 6 * world.difficulty
    angles = np.clip(sway(rng, time, 3) * (0.40, 0.30, 0.28) * most, -most, most)
    gaze = sway(rng, time, 2) * np.array([0.22, 0.10]) * (0.3 + 0.7 * world.difficulty)
    centre = np.array([0.5, 0.44]) + rng.uniform(-1, 1, 2) * np.array([0.03, 0.008])
    centre = centre + sway(rng, time, 2) * np.array([0.006, 0.003])
    scale = rng.uniform(0.242, 0.262) + sway(rng, time, 1)[:, 0] * 0.002
    phases = rng.integers(0, 2**16, len(time))
    scene = Scene(
        light=(-0.12, -0.36, 0.925),
        light_colour=(252.0, 250.0, 248.0),
        ambient=0.68,
        backdrop_seed=int(rng.integers(0, 2**31)),
        noise=0.5 + 1.2 * world.difficulty,
    )
    return takes(scene, angles, gaze=gaze, centre=centre, scale=scale, noise_phase=phases)


def _traces(
    world: LabWorld, index: int, clock: np.ndarray, mood: np.ndarray, seconds: float
) -> tuple[DrawnTrace, ...]:
    """Valence and arousal by the raters who were there, and two dimensions nobody asked for."""
    rng = np.random.default_rng([world.seed, _TRACES, index])
    there = rng.random((world.raters, 2)) > 0.15
    for dimension in (0, 1):  # two raters at least
        there[rng.permutation(world.raters)[:2], dimension] = True

    def trace(number: int, code: str, seen: np.ndarray) -> DrawnTrace:
        return _trace(rng, number, code, clock, seen, seconds, world.rater_noise)

    traces = []
    for number in range(1, world.raters + 1):
        gain, offset, lag = rater(world, number)
        seen = gain * _at(clock - lag, clock, mood) + offset
        for dimension, code in enumerate("VA"):
            if there[number - 1, dimension]:
                traces.append(trace(number, code, seen[:, dimension]))
    intense = np.hypot(*mood.T) * 1.4
    other = str(rng.choice(_OTHER_CODES))
    for code, seen in (("I", intense), (other, 0.3 * sway(rng, clock, 1, (0.03, 0.1))[:, 0])):
        number = int(rng.integers(1, world.raters + 1))
        traces.append(trace(number, code, seen))
    return tuple(traces)


def _trace(
    rng: Generator, number: int, code: str, clock: np.ndarray, seen: np.ndarray, seconds: float,
    noise: float,
) -> DrawnTrace:  # fmt: skip
    """One trace: slow noise, and the faults that real ones have."""
    seen = seen + noise * sway(rng, clock, 1, (0.05, 0.3))[:, 0]
    # Some stop before the video does, some a moment after it.
    early = rng.random() < 0.3
    end = seconds * (1 - rng.uniform(0, 0.04)) if early else seconds + rng.uniform(0, 0.6)
    time = _STEP * np.arange(int(end / _STEP) + 1)
    if rng.random() < 1 / 8:
        start = rng.uniform(0.15, 0.5) * seconds
        stop = start + rng.uniform(1.05, 1.1 + 0.1 * seconds)
        time = time[(time < start) | (time > stop)]
    values = np.clip(np.interp(time, clock, seen), -1, 1)
    flaws = []
    if rng.random() < 1 / 6:
        flaws.append((int(rng.integers(1, len(time))), ""))
    if rng.random() < 1 / 8:
        place = int(rng.integers(1, len(time)))
        flaws.append((place, f"{time[place]:.2f}"))
    return DrawnTrace(number, code, np.column_stack([time, values]), tuple(sorted(flaws)))
