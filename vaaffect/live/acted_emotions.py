"""Section 5.2 of the thesis, repeated on many people: acted emotions, expected ranges, verdicts.

The thesis's author acted neutral, happy and angry in front of the live system, and compared its
predictions with ranges he expected. Here the simulator draws many people who act, so that a mean
prediction has an interval.

The simulator spreads the emotions evenly over the plane and draws them elsewhere than the thesis
expects them: no prediction could be right for the face and within that range. So each range keeps
the thesis's width and is moved to where the face was drawn; the thesis's own stands beside it. An
emotion for which the thesis names no range has one as wide as that of anger.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from ..results import Bootstrap, clip_weights, interval, metrics
from ..results.error_analysis import regressed
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
_DIFFICULTY = 0.3  # of the scene and of the differences between people, see `worlds.WildWorld`
_SIZE = (480, 360)  # (width, height) of the pictures
WITHIN, OUTSIDE, UNDECIDED = "within", "outside", "undecided"
_TOGETHER = len(THESIS_RANGES) * len(DIMENSIONS)  # margins that H3 is about, see `check_poses`
_FIT, _TEST = 41, 42  # streams of random numbers: the people of one are never those of the other


@dataclass(frozen=True)
class Pose:
    """A drawn person who acts an emotion."""

    emotion: str  # of `circumplex.EMOTIONS`
    person: int  # number of the person
    va: np.ndarray  # (2,) where the emotion was drawn, (valence, arousal) in [-1, 1]
    picture: np.ndarray  # (H, W, 3) uint8 RGB
    landmarks: np.ndarray  # (68, 2) float32, exact, in pixels


def draw_poses(
    people: int, emotions: Sequence[str] = tuple(EMOTIONS), *, seed: int = 0, others: bool = False
) -> Iterator[Pose]:
    """Several people, one after the other, each acting every emotion in front of a camera.

    With `others` the same seed gives other people, to fit a correction on.
    """
    for person in range(people):
        rng = np.random.default_rng([seed, _FIT if others else _TEST, person])
        subject = sample_subject(rng, person, _DIFFICULTY)
        scene = sample_scene(rng, _DIFFICULTY)
        for emotion in emotions:
            va = STRENGTH * np.array(EMOTIONS[emotion])
            units = np.clip(action_units(va) * subject.expressiveness, 0, 1)
            yield Pose(emotion, person, va, *render(subject.identity, units, scene, _SIZE))


def predict_poses(predictor: Predictor, poses: Iterator[Pose], exact: bool = False) -> pd.DataFrame:
    """What a predictor predicts for poses, each a clip of its own.

    `exact` takes the simulator's landmarks, where dlib is not installed to look for the face.
    Returns a row per pose: emotion, person, and valence and arousal, each `_true` and `_pred`; nan
    where no face was found.
    """
    rows = []
    for pose in poses:
        if exact:
            predictions = predictor.predict_faces(pose.picture, [(0, pose.landmarks)])
        else:
            predictor.reset()
            predictions = predictor(pose.picture)
        row = {"emotion": pose.emotion, "person": pose.person}
        va = predictions[0].va if predictions else (np.nan, np.nan)
        for dimension, true, predicted in zip(DIMENSIONS, pose.va, va, strict=True):
            row |= {f"{dimension}_true": true, f"{dimension}_pred": float(predicted)}
        rows.append(row)
    return pd.DataFrame(rows)


def check_poses(
    predictions: pd.DataFrame,
    data: str,
    *,
    correlation: Sequence[float],
    mean_label: Sequence[float],
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """Whether the mean prediction for each emotion lies within its expected range.

    Args:
        predictions: as of `predict_poses`; rows with nan are left out.
        data: whose predictions for whom they are, for the table.
        correlation: (2,) of the network's predictions with labels, on subjects that it was not
            trained on (`correlations`).
        mean_label: (2,) of its training part.
        bootstrap: how intervals over people are made.

    Returns a row per emotion and dimension: emotion, dimension, drawn (where the face was drawn),
    answer (the mean prediction over people), low, high (its 95 % interval), r (the correlation),
    by_correlation (what a network with this correlation is expected to predict for the drawn
    affect, see `error_analysis.regressed`), expected_low, expected_high (the range), margin (how
    far inside the range the mean lies; negative outside), margin_low, margin_high (the least and
    greatest margin in the interval that holds for the six of the thesis's three emotions in two
    dimensions at once: Bonferroni, each at 1 - 0.05 / 6), verdict (WITHIN where the whole 95 %
    interval is inside the range, OUTSIDE where it is beside it, UNDECIDED otherwise), thesis (its
    own range), people, data. All in [-1, 1]. UserError for fewer than two people.
    """
    together = replace(bootstrap, level=1 - (1 - bootstrap.level) / _TOGETHER)
    seen = predictions.dropna()
    if seen["person"].nunique() < 2:
        raise UserError("an interval over people needs predictions for at least two of them.")
    rows = []
    for emotion, emotion_rows in seen.groupby("emotion", sort=False):
        per_person = emotion_rows.groupby("person")
        for i, dimension in enumerate(DIMENSIONS):
            drawn = float(emotion_rows[f"{dimension}_true"].iloc[0])
            thesis_low, thesis_high = THESIS_RANGES.get(emotion, THESIS_RANGES["anger"])[i]
            half = (thesis_high - thesis_low) / 2
            least, most = drawn - half, drawn + half
            by_person = per_person[f"{dimension}_pred"].mean()
            mean, low, high = _mean(by_person, bootstrap)
            outer, inner = _margins(low, high, least, most)
            verdict = WITHIN if outer > 0 else OUTSIDE if inner < 0 else UNDECIDED
            margin_low, margin_high = _margins(*_mean(by_person, together)[1:], least, most)
            thesis = f"{thesis_low:+.1f} to {thesis_high:+.1f}" if emotion in THESIS_RANGES else ""
            rows.append({
                "emotion": emotion, "dimension": dimension, "drawn": drawn,
                "answer": mean, "low": low, "high": high, "r": correlation[i],
                "by_correlation": regressed(drawn, mean_label[i], correlation[i]),
                "expected_low": least, "expected_high": most,
                "margin": min(mean - least, most - mean),
                "margin_low": margin_low, "margin_high": margin_high, "verdict": verdict,
                "thesis": thesis, "people": per_person.ngroups, "data": data,
            })  # fmt: skip
    return pd.DataFrame(rows)


def correlations(tested: pd.DataFrame) -> np.ndarray:
    """(2,) PCC of predictions with labels, (valence, arousal); columns as of PREDICTION_COLUMNS."""
    return np.array([metrics.pcc(tested[f"{d}_true"], tested[f"{d}_pred"]) for d in DIMENSIONS])


def offset_of(predictions: pd.DataFrame) -> np.ndarray:
    """(2,) mean error on neutral faces, (valence, arousal): what `without_offset` takes away.

    To be fitted on other people than those whose predictions are then corrected.
    """
    neutral = predictions[predictions["emotion"] == "neutral"].dropna()
    return np.array([(neutral[f"{d}_pred"] - neutral[f"{d}_true"]).mean() for d in DIMENSIONS])


def without_offset(predictions: pd.DataFrame, offset: np.ndarray) -> pd.DataFrame:
    """A copy of predictions, moved by -offset (2,) and clipped to [-1, 1]."""
    columns = [f"{dimension}_pred" for dimension in DIMENSIONS]
    return predictions.assign(**(predictions[columns] - offset).clip(-1, 1))


def _margins(low: float, high: float, least: float, most: float) -> tuple[float, float]:
    """The least and the greatest distance inside the range [least, most] in an interval."""
    nearest = np.clip((least + most) / 2, low, high)  # to the middle of the range
    return min(low - least, most - high), float(min(nearest - least, most - nearest))


def _mean(by_person: pd.Series, bootstrap: Bootstrap) -> tuple[float, float, float]:
    """The mean over people, with its interval from people drawn anew."""
    rng = np.random.default_rng(bootstrap.seed)
    weights = clip_weights(by_person.index.to_numpy(), bootstrap.resamples, rng)
    samples = weights @ by_person.to_numpy() / weights.sum(axis=1)
    value = float(by_person.mean())
    return value, *interval(value, samples, len(by_person) - 1, level=bootstrap.level)
