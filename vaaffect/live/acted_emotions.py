"""Section 5.2 of the thesis, repeated on many people: acted emotions, expected ranges, verdicts.

The thesis's author acted neutral, happy and angry in front of the live system, and compared the
answers with ranges he expected on AFEW-VA's scale. Here the simulator draws many people who act,
so that an answer has an interval.

The thesis's anger lies higher up in the plane than the simulator's, which spreads the emotions
evenly (`simulator/circumplex.py`): nobody could answer a face drawn at the one place within a range
around the other. So each range keeps the thesis's width and is moved to where the face was drawn.
The thesis's own range stands beside it. For the other emotions the thesis names no range; theirs is
as wide as that of anger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from ..results import Bootstrap, clip_weights, interval
from ..simulator import EMOTIONS, action_units, render, sample_scene, sample_subject
from .predictor import Predictor

# Section 5.2, in [-1, 1] (there: AFEW-VA's [-10, 10]): valence, arousal. Neutral should be
# "practically 0", and -1.03 is called odd: less than one step of the scale.
THESIS_RANGES = {
    "neutral": ((-0.1, 0.1), (-0.1, 0.1)),
    "happiness": ((0.4, 0.7), (0.3, 0.5)),
    "anger": ((-0.5, -0.3), (0.6, 0.8)),
}
STRENGTH = 0.8  # of the acted emotions: then happiness lies within the thesis's range
WITHIN, OUTSIDE, UNDECIDED = "within", "outside", "undecided"
_FIT, _TEST = 41, 42  # streams of random numbers: the people of one are never those of the other


@dataclass(frozen=True)
class Pose:
    """A drawn person who acts an emotion.

    Attributes:
        emotion: of `circumplex.EMOTIONS`.
        person: number of the person.
        va: (2,) where the emotion was drawn, (valence, arousal) in [-1, 1].
        picture: (H, W, 3) uint8 RGB.
        landmarks: (68, 2) float32, exact, in pixels.
    """

    emotion: str
    person: int
    va: np.ndarray
    picture: np.ndarray
    landmarks: np.ndarray


def draw_poses(
    people: int,
    emotions: Sequence[str] = tuple(EMOTIONS),
    *,
    difficulty: float = 0.3,
    seed: int = 0,
    others: bool = False,
    size: tuple[int, int] = (480, 360),
) -> Iterator[Pose]:
    """Several people, each acting every emotion in front of a camera.

    Args:
        people: how many.
        emotions: what they act.
        difficulty: of the scene and of the differences between people, 0 to 1; see
            `worlds.WildWorld`.
        seed: of the people.
        others: draw other people with the same seed, to fit a correction on.
        size: (width, height) of the pictures.

    Yields:
        Poses, person after person.
    """
    for person in range(people):
        rng = np.random.default_rng([seed, _FIT if others else _TEST, person])
        who = sample_subject(rng, person, difficulty)
        scene = sample_scene(rng, difficulty)
        for emotion in emotions:
            va = STRENGTH * np.array(EMOTIONS[emotion])
            units = np.clip(action_units(va) * who.expressiveness, 0, 1)
            yield Pose(emotion, person, va, *render(who.identity, units, scene, size))


def read_poses(predictor: Predictor, poses: Iterator[Pose], exact: bool = False) -> pd.DataFrame:
    """What a predictor answers to poses.

    Args:
        predictor: reads the pictures; each is a clip of its own.
        poses: as of `draw_poses`.
        exact: take the simulator's landmarks instead of looking for the face (where dlib is not
            installed).

    Returns:
        A row per pose: emotion, person, and valence and arousal, each `_true` and `_pred`; nan
        where no face was found.
    """
    rows = []
    for pose in poses:
        if exact:
            readings = predictor.read(pose.picture, [(0, pose.landmarks)])
        else:
            predictor.reset()
            readings = predictor(pose.picture)
        answer = readings[0].va if readings else (np.nan, np.nan)
        row = {"emotion": pose.emotion, "person": pose.person}
        for i, dimension in enumerate(DIMENSIONS):
            row |= {f"{dimension}_true": pose.va[i], f"{dimension}_pred": float(answer[i])}
        rows.append(row)
    return pd.DataFrame(rows)


def check_poses(readings: pd.DataFrame, data: str, *, bootstrap: Bootstrap) -> pd.DataFrame:
    """Whether the mean answer to each emotion lies within its expected range.

    Args:
        readings: as of `read_poses`; rows with nan are left out.
        data: what was read by what, for the table.
        bootstrap: how intervals over people are made.

    Returns:
        A row per emotion and dimension: emotion, dimension, drawn (where the face was drawn),
        answer (mean over people), low, high (its interval), expected_low, expected_high (the
        range), margin (how far inside the range the answer lies; negative outside), margin_low,
        margin_high (the least and greatest margin in the interval), verdict (WITHIN where the whole
        interval is inside the range, OUTSIDE where it is beside it, UNDECIDED otherwise), thesis
        (its own range), people, data. All in [-1, 1].

    Raises:
        UserError: fewer than two people.
    """
    found = readings.dropna()
    if found["person"].nunique() < 2:
        raise UserError("an interval over people needs readings of at least two of them.")
    rows = []
    for emotion, of in found.groupby("emotion", sort=False):
        for i, dimension in enumerate(DIMENSIONS):
            drawn = float(of[f"{dimension}_true"].iloc[0])
            expected = _expected(emotion, i, drawn)
            answer, low, high = _mean(of, f"{dimension}_pred", bootstrap)
            least, most = _margins(low, high, *expected)
            own = THESIS_RANGES.get(emotion)
            rows.append(
                {
                    "emotion": emotion,
                    "dimension": dimension,
                    "drawn": drawn,
                    "answer": answer,
                    "low": low,
                    "high": high,
                    "expected_low": expected[0],
                    "expected_high": expected[1],
                    "margin": min(answer - expected[0], expected[1] - answer),
                    "margin_low": least,
                    "margin_high": most,
                    "verdict": _verdict(least, most),
                    "thesis": "" if own is None else "{:+.1f} to {:+.1f}".format(*own[i]),
                    "people": of["person"].nunique(),
                    "data": data,
                }
            )
    return pd.DataFrame(rows)


def offset_of(readings: pd.DataFrame) -> np.ndarray:
    """(2,) mean error on neutral faces, (valence, arousal): what `corrected` takes away.

    To be fitted on other people than those that are then corrected.
    """
    neutral = readings[readings["emotion"] == "neutral"].dropna()
    return np.array(
        [(neutral[f"{d}_pred"] - neutral[f"{d}_true"]).mean() for d in DIMENSIONS], float
    )


def without_offset(readings: pd.DataFrame, offset: np.ndarray) -> pd.DataFrame:
    """A copy of readings, moved by -offset (2,) and clipped to [-1, 1]."""
    moved = {
        f"{d}_pred": (readings[f"{d}_pred"] - offset[i]).clip(-1, 1)
        for i, d in enumerate(DIMENSIONS)
    }
    return readings.assign(**moved)


def _expected(emotion: str, dimension: int, drawn: float) -> tuple[float, float]:
    """The range of an emotion: as wide as the thesis's, around the place where it was drawn."""
    low, high = THESIS_RANGES.get(emotion, THESIS_RANGES["anger"])[dimension]
    return drawn - (high - low) / 2, drawn + (high - low) / 2


def _mean(of: pd.DataFrame, column: str, bootstrap: Bootstrap) -> tuple[float, float, float]:
    """The mean over people, with its interval from people drawn anew."""
    by_person = of.groupby("person")[column].mean()
    rng = np.random.default_rng(bootstrap.seed)
    weights = clip_weights(by_person.index.to_numpy(), bootstrap.resamples, rng)
    samples = weights @ by_person.to_numpy() / weights.sum(axis=1)
    value = float(by_person.mean())
    return value, *interval(value, samples, len(by_person) - 1, level=bootstrap.level)


def _margins(low: float, high: float, least: float, most: float) -> tuple[float, float]:
    """The least and the greatest distance into [least, most] of the values in [low, high]."""
    nearest = np.clip((least + most) / 2, low, high)  # to the middle of the range
    return min(low - least, most - high), float(min(nearest - least, most - nearest))


def _verdict(least: float, most: float) -> str:
    if least > 0:
        return WITHIN
    return OUTSIDE if most < 0 else UNDECIDED
