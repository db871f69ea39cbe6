"""What the face in a film does not tell about its label: knobs of the wild world.

A simulated label is nearly a function of the face that was drawn; a real one is not, and that, more
than dim light or turned heads, is what makes AFEW-VA hard. Each knob is 0 (or what it has always
been) by default, and draws its random numbers from a stream of its own: a world with a knob at 0 is
the world that it would be if the knob did not exist.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np

from .circumplex import ACTION_UNITS

# Streams of random numbers, as in `worlds`.
_CONTEXT, _RESTING, _STYLE, _EXPRESSIVENESS, _SWAY, _MOOD, _CLIP_MOOD = range(21, 28)

Pair = tuple[float, float]  # of valence and arousal


@dataclass(frozen=True, kw_only=True)
class Ambiguity:
    """How loosely labels and faces go together, beside what `difficulty` does.

    `context`: SD (valence, arousal), between clips, of what the face shows about the labelled
    affect. Annotators saw the scene, heard the voice and knew how the story goes on; the face of
    the clip alone says something else.

    `resting`: SD (valence, arousal), between persons, of the same difference: what a person's face
    seems to show while it shows nothing. Some look grim or sleepy whatever they feel.

    `style`: SD of the log of a gain for each person and action unit: some smile with the eyes,
    some with the mouth alone. `expressiveness`: SD of the log of a person's gain on all of them.
    `subtlety` is what every action unit is divided by: good actors do little, while the drawn
    prototypes are those of posed pictures.

    `sway`: SD of slow movements of each action unit that mean nothing: speech, chewing, habits.

    `label_offset`: SD, between clips, of how far the annotators are off, in valence and arousal
    alike. Unlike `context` it widens the distribution of the labels.

    `mood`: proportion, 0 to 1, of the variance of affect between clips that lies between persons:
    an actor plays one part in a film, and a film has its mood. Labels are distributed as before,
    but clips of one person are alike, so folds that share persons leak.
    """

    context: Pair = (0.0, 0.0)
    resting: Pair = (0.0, 0.0)
    style: float = 0.0
    expressiveness: float = 0.0
    subtlety: float = 1.0
    sway: float = 0.0
    label_offset: float = 0.025
    mood: float = 0.0

    def __post_init__(self) -> None:
        # Lists come from JSON and YAML; equal worlds must compare equal.
        object.__setattr__(self, "context", tuple(self.context))
        object.__setattr__(self, "resting", tuple(self.resting))

    def conditions(self) -> list[tuple[bool, str]]:
        """What must be true of the knobs, each with what is wrong otherwise."""
        pairs = [
            (
                len(pair) == 2 and min(pair) >= 0,
                f"{name} must be two SDs (valence, arousal) of at least 0, not {pair}",
            )
            for name, pair in (("context", self.context), ("resting", self.resting))
        ]
        names = ("style", "expressiveness", "sway", "label_offset")
        return [
            *pairs,
            *(
                (getattr(self, name) >= 0, f"{name} must be at least 0, not {getattr(self, name)}")
                for name in names
            ),
            (self.subtlety >= 0.5, f"subtlety must be at least 0.5, not {self.subtlety}"),
            (0 <= self.mood <= 1, f"mood must be 0 to 1, not {self.mood}"),
        ]


def shown_affect(world: Any, index: int, number: int, affect: np.ndarray) -> np.ndarray:
    """What the face shows (T, 2) in [-1, 1] while the affect that is labelled is `affect` (T, 2):
    in clip `index` of a world, which person `number` is in."""
    parts = ((_CONTEXT, world.context, index), (_RESTING, world.resting, number))
    for stream, spread, piece in parts:
        if any(spread):
            rng = np.random.default_rng([world.seed, stream, piece])
            affect = affect + rng.normal(0, 1, 2) * spread
    return np.clip(affect, -1, 1) if any((*world.context, *world.resting)) else affect


def gains(world: Any, number: int) -> np.ndarray:
    """What each action unit (n_aus,) of person `number` is multiplied by, beside what `difficulty`
    does to the person's expressiveness."""
    logs = np.full(len(ACTION_UNITS), -np.log(world.subtlety))
    if world.expressiveness:
        rng = np.random.default_rng([world.seed, _EXPRESSIVENESS, number])
        logs += world.expressiveness * rng.normal()
    if world.style:
        rng = np.random.default_rng([world.seed, _STYLE, number])
        logs += world.style * rng.normal(0, 1, len(logs))
    return np.exp(logs)


def sway_stream(world: Any, index: int) -> np.random.Generator:
    """The random numbers of clip `index`'s movements that mean nothing."""
    return np.random.default_rng([world.seed, _SWAY, index])


def in_mood(
    world: Any, index: int, number: int, kind: int, lots: np.ndarray, shares: np.ndarray
) -> tuple[int, np.ndarray]:
    """The kind of clip `index` and its place (2,), standard normal numbers, within the kind, once
    the mood of person `number` has had its part in them.

    `kind` and `lots` are what they would be without moods, `shares` how frequent kinds are. A clip
    is distributed as it was: it takes the person's own kind with a certain probability, which has
    the same distribution, and its place is a sum of two such numbers, scaled to a variance of 1.
    """
    if not world.mood:
        return kind, lots
    person = np.random.default_rng([world.seed, _MOOD, number])
    own_kind = int(person.choice(len(shares), p=shares))
    own_lots = person.normal(0, 1, 2)
    # Two clips share a kind if both take it, with a probability of `mood` then.
    part = np.sqrt(world.mood)
    takes_own = np.random.default_rng([world.seed, _CLIP_MOOD, index]).random() < part
    mixed = part * own_lots + np.sqrt(1 - world.mood) * lots
    return (own_kind if takes_own else kind), mixed
