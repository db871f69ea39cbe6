"""Worlds: who is filmed, what they feel, and how they are filmed, without drawing anything.

Planning is cheap, and the plan of a clip depends on the world's seed and the clip's index alone,
so clips can be planned and rendered in any order and by any process.
"""

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.random import Generator

from ..base import UserError
from . import ambiguity
from .appearance import Identity, Scene, sample_identity, sample_scene
from .circumplex import ACTION_UNITS, action_units

MOST_CLIPS = 9999  # AFEW-VA has 600

# Streams of random numbers: the second number of each seed says what it is for. The laboratory
# and `ambiguity` have numbers of their own.
_SUBJECT, _ORDER, _CLIP = 1, 2, 3

# Kinds of clips: share, where the affect lies (valence, arousal), and how far clips spread around
# it. Chosen by hand so that the labels look like those of films: most of them near neutral, more
# unpleasant than pleasant ones, arousal that rises with |valence|.
_KINDS = (
    (0.10, (0.0, 0.0), (0.0, 0.0)),
    (0.24, (-0.03, 0.12), (0.09, 0.10)),
    (0.18, (0.37, 0.38), (0.16, 0.17)),
    (0.20, (-0.21, 0.37), (0.11, 0.14)),
    (0.12, (-0.57, 0.58), (0.14, 0.16)),
    (0.13, (-0.26, -0.17), (0.15, 0.14)),
    (0.03, (0.08, 0.62), (0.10, 0.13)),
)
_LOWEST, _HIGHEST = np.array([-0.82, -0.52]), np.array([0.74, 0.86])


@dataclass(frozen=True)
class WildWorld(ambiguity.Ambiguity):
    """Many people in films: varied pose, light, surroundings, occlusion; integer labels.

    `frames` is the least and the greatest number of frames of a clip; `fps` is the film's speed and
    `frame_step` says that every so-manieth frame of it is kept, so that short clips still move
    through the plane. `difficulty` runs from 0 (frontal, even light, everyone equally expressive)
    to 1; what faces do not tell about labels is said by the fields of `Ambiguity`.

    `landmark_error` is the root mean square distance of the landmarks that are written from the
    exact ones, as a fraction of the distance between the outer eye corners: AFEW-VA's were found by
    a tracker and corrected (see `landmark_error.py`). Raises UserError when a number is impossible.
    """

    clips: int = 120
    subjects: int = 60
    frames: tuple[int, int] = (8, 16)
    seed: int = 0
    difficulty: float = 0.5
    size: tuple[int, int] = (720, 576)  # width, height in pixels
    fps: float = 25.0
    frame_step: int = 5
    landmark_error: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        # Lists come from JSON and YAML; equal worlds must compare equal.
        object.__setattr__(self, "frames", tuple(self.frames))
        object.__setattr__(self, "size", tuple(self.size))
        low, high = self.frames if len(self.frames) == 2 else (0, 0)
        error = self.landmark_error
        spans = "frames must be (least, greatest) with 1 <= least <= greatest"
        require(
            self,
            (1 <= self.clips <= MOST_CLIPS, f"clips must be 1 to {MOST_CLIPS}, not {self.clips}"),
            (1 <= low <= high <= 99999, f"{spans}: {self.frames}"),
            (self.frame_step >= 1, f"frame_step must be at least 1, not {self.frame_step}"),
            (0 <= error <= 0.5, f"landmark_error must be 0 to 0.5, not {error}"),
            *self.conditions(),
        )

    def subject_of(self, index: int) -> int:
        """Who is in clip `index`: everyone once, in a random order, before anyone appears again."""
        return in_turn([self.seed, _ORDER], index, self.subjects)

    def frame_count(self, index: int) -> int:
        """How many frames clip `index` has, without planning it."""
        rng = np.random.default_rng([self.seed, _CLIP, index])
        return int(rng.integers(self.frames[0], self.frames[1] + 1))


def require(world: Any, *conditions: tuple[bool, str]) -> None:
    """Raises UserError with the first condition that a world breaks: one of every world, or one of
    these, each with what is wrong otherwise."""
    size = world.size
    wide = len(size) == 2 and min(size) >= 64
    common = (
        (world.subjects >= 1, f"subjects must be at least 1, not {world.subjects}"),
        (0 <= world.difficulty <= 1, f"difficulty must be 0 to 1, not {world.difficulty}"),
        (wide, f"size must be (width, height) of at least 64 pixels, not {size}"),
        (world.fps > 0, f"fps must be positive, not {world.fps}"),
        (world.seed >= 0, f"seed must not be negative: {world.seed}"),
    )
    for possible, otherwise in (*common, *conditions):
        if not possible:
            raise UserError(f"Impossible simulated world: {otherwise}.")


@dataclass(frozen=True)
class Subject:
    """A person of a world. Labels cannot be read perfectly: people differ in what they show."""

    number: int
    actor: str  # invented
    identity: Identity
    expressiveness: float  # gain on the action units


@dataclass(frozen=True)
class ClipPlan:
    """Everything that is needed to draw and to label one clip of T frames."""

    clip: str  # "001" ..
    subject: Subject
    frames: tuple[int, ...]  # T, numbers of the film's frames, of which some are left out
    affect: np.ndarray  # (T, 2) true valence and arousal in [-1, 1]
    shown: np.ndarray  # (T, 2) what the face shows of them, see `Ambiguity`
    labels: np.ndarray  # (T, 2) integers in [-10, 10]
    units: np.ndarray  # (T, n_aus) action units in [0, 1]
    scenes: tuple[Scene, ...]  # T


def subject(world: WildWorld, number: int) -> Subject:
    """Person `number` (0 .. subjects - 1) of a world; worlds of another seed have other people."""
    rng = np.random.default_rng([world.seed, _SUBJECT, number])
    person = sample_subject(rng, number, world.difficulty)
    return replace(person, actor=f"{person.actor} of world {world.seed}")


def sample_subject(rng: Generator, number: int, difficulty: float) -> Subject:
    """A random person, to be known as `number`."""
    identity = sample_identity(rng, difficulty)
    gain = float(np.clip(np.exp(rng.normal(0.05, 0.05 + 0.40 * difficulty)), 0.5, 1.7))
    return Subject(number, f"Actor {number + 1:03d}", identity, gain)


def in_turn(stream: list[int], index: int, count: int) -> int:
    """Which of `count` things is number `index` of a row that holds all of them in random order,
    then all of them in another, and so on; `stream` says which random numbers are used."""
    round_, place = divmod(index, count)
    return int(np.random.default_rng([*stream, round_]).permutation(count)[place])


def sway(rng: Generator, time: np.ndarray, columns: int, rates: tuple = (0.15, 0.7)) -> np.ndarray:
    """Slow random movement (T, columns) with a standard deviation of about 1; `time` (T,) is in
    seconds, `rates` are the slowest and the fastest movement in Hz."""
    rate = rng.uniform(*rates, (3, columns))
    phases = rng.uniform(0, 2 * np.pi, (3, columns))
    waves = np.sin(2 * np.pi * rate * time[:, None, None] + phases)
    return waves.sum(axis=1) * np.sqrt(2 / 3)


def takes(scene: Scene, angles: np.ndarray, **changing: np.ndarray) -> tuple[Scene, ...]:
    """A scene for each of T frames: its angles (T, 3), yaw, pitch and roll, and the fields
    named, (T,) or (T, 2), change; the others stay."""
    changing |= zip(("yaw", "pitch", "roll"), angles.T, strict=True)
    columns = ([tuple(v) if np.ndim(v) else v for v in c.tolist()] for c in changing.values())
    rows = zip(*columns, strict=True)
    return tuple(replace(scene, **dict(zip(changing, row, strict=True))) for row in rows)


def _affect(
    rng: Generator, world: WildWorld, index: int, time: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """True affect (T, 2) of a clip, and which of the two dimensions are held constant (2,)."""
    shares = np.array([kind[0] for kind in _KINDS])
    shares = shares / shares.sum()
    kind, lots = rng.choice(len(_KINDS), p=shares), rng.normal(0, 1, 2)
    number = world.subject_of(index)
    kind, lots = ambiguity.in_mood(world, index, number, kind, lots, shares)
    _, middle, spread = _KINDS[kind]
    peak = middle + lots * spread
    length = max(time[-1], 1e-6)
    # Half of the clips start milder than they become, or the other way round.
    milder = rng.uniform(0.15, 0.75) if rng.random() < 0.55 else 1.0
    onset = np.clip((time / length - rng.uniform(0.1, 0.5)) / rng.uniform(0.25, 0.5), 0, 1)
    onset = onset * onset * (3 - 2 * onset)
    onset = 1 - onset if rng.random() < 0.35 else onset
    strength = milder + (1 - milder) * onset
    wander = sway(rng, time, 2) * rng.uniform(0.02, 0.09)
    still = rng.random(2) < np.array([0.22, 0.12])
    if kind == 0 or rng.random() < 0.06:
        still[:] = True
    path = np.where(still, peak, peak * strength[:, None] + wander * (kind != 0))
    # Pleasant and calm at once is what films hardly show.
    calm = (path[:, 0] > 0.03) & (path[:, 1] < 0)
    path[:, 1] = np.where(calm, -0.4 * path[:, 1], path[:, 1])
    return np.clip(path, _LOWEST, _HIGHEST), still


def _labels(rng: Generator, world: WildWorld, affect: np.ndarray, still: np.ndarray) -> np.ndarray:
    """What annotators write down: an offset per clip, a slow wobble, whole numbers."""
    offset = rng.normal(0, world.label_offset, 2)
    wobble = np.cumsum(rng.normal(0, 0.008, affect.shape), axis=0)
    seen = affect + np.where(still, 0.0, offset + wobble)
    return np.clip(np.round(10 * seen), -10, 10).astype(int)


def _expression(
    rng: Generator, world: WildWorld, index: int, person: Subject, shown: np.ndarray,
    time: np.ndarray,
) -> np.ndarray:  # fmt: skip
    """Action units (T, n_aus): the affect as this person shows it, with speech and blinks."""
    units = action_units(shown) * person.expressiveness * ambiguity.gains(world, person.number)
    units = units + 0.045 * world.difficulty * sway(rng, time, units.shape[1])
    if world.sway:
        idle = sway(ambiguity.sway_stream(world, index), time, units.shape[1])
        units = units + world.sway * idle
    at = {name: i for i, name in enumerate(ACTION_UNITS)}
    if rng.random() < 0.6 * world.difficulty:
        speech = np.abs(rng.normal(0, 1, len(time))) * rng.uniform(0.3, 1.0)
        units[:, at["lips_part"]] += 0.5 * speech
        units[:, at["jaw_drop"]] += 0.16 * speech
    blink = rng.random(len(time)) < 0.06 * world.difficulty
    units[:, at["lid_droop"]] += np.where(blink, rng.uniform(0.5, 1.0, len(time)), 0.0)
    return np.clip(units, 0, 1)


def _takes(rng: Generator, world: WildWorld, time: np.ndarray) -> tuple[Scene, ...]:
    """The scene of every frame: one take whose pose and gaze drift and whose noise is renewed."""
    scene = sample_scene(rng, world.difficulty)
    angles = sway(rng, time, 3) * np.array([5, 2.5, 2.5]) * (0.25 + world.difficulty)
    gaze = sway(rng, time, 2) * 0.16 * world.difficulty
    drift = sway(rng, time, 3) * np.array([0.008, 0.006, 0.004])
    pose = np.array([scene.yaw, scene.pitch, scene.roll])
    return takes(
        scene,
        np.clip(pose + angles, (-34, -18, -22), (34, 20, 22)),
        gaze=scene.gaze + gaze * (1, 0.5),
        centre=scene.centre + drift[:, :2],
        scale=scene.scale + drift[:, 2],
        noise_phase=rng.integers(0, 2**16, len(time)),
    )


def clip_plan(world: WildWorld, index: int) -> ClipPlan:
    """The plan of clip `index` (0 .. clips - 1). Raises IndexError for another index."""
    if not 0 <= index < world.clips:
        raise IndexError(f"clip {index} of a world of {world.clips} clips")
    rng = np.random.default_rng([world.seed, _CLIP, index])
    count = int(rng.integers(world.frames[0], world.frames[1] + 1))
    time = np.arange(count) * world.frame_step / world.fps
    person = subject(world, world.subject_of(index))
    affect, still = _affect(rng, world, index, time)
    shown = ambiguity.shown_affect(world, index, person.number, affect)
    return ClipPlan(
        clip=f"{index + 1:03d}",
        subject=person,
        frames=tuple(range(0, count * world.frame_step, world.frame_step)),
        affect=affect,
        shown=shown,
        labels=_labels(rng, world, affect, still),
        units=_expression(rng, world, index, person, shown, time),
        scenes=_takes(rng, world, time),
    )
