"""What can be done with predictions after a training: smoothing in time, and correcting a bias.

Neither looks at a test label. Smoothing uses the neighbouring frames of a clip; a correction is
fitted on the inner validation part of a fold and applied to the test part of the same fold.
"""

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from .predictions import GROUP

_FOLD = [*GROUP, "fold"]
_PREDICTED = [f"{dimension}_pred" for dimension in DIMENSIONS]


def smoothed(predictions: pd.DataFrame, frames: float) -> pd.DataFrame:
    """Each prediction replaced by a mean over its clip, in which near frames count most.

    A frame at a distance of d frames weighs exp(-d^2 / (2 frames^2)). The mean looks into the
    future too, so it is for recordings, not for a camera (`predictor.Smoother` is).

    Frame numbers count the film's frames, so that a corpus that keeps one frame in ten has
    distances of ten. UserError unless `frames` is above 0 and some clip has several frames.
    """
    if not frames > 0:
        raise UserError(f"smoothing takes a number of frames above 0, not {frames}.")
    predictions = predictions.reset_index(drop=True)
    values = predictions[_PREDICTED].to_numpy(np.float64)
    time = predictions["frame"].to_numpy(np.float64)
    clips = predictions.groupby([*_FOLD, "subject", "clip"], sort=False).indices.values()
    if all(len(rows) == 1 for rows in clips):
        raise UserError("smoothing needs clips of several frames; here each clip is one picture.")
    mean = np.empty_like(values)
    for rows in clips:
        weights = np.exp(-((time[rows, None] - time[rows]) ** 2) / (2 * frames**2))
        mean[rows] = weights @ values[rows] / weights.sum(axis=1, keepdims=True)
    return predictions.assign(**dict(zip(_PREDICTED, mean.T, strict=True)))


def corrections(validation: pd.DataFrame) -> pd.DataFrame:
    """The gain and the offset that give predictions the mean and the spread of their labels.

    Of all straight lines that keep the order this one makes CCC largest on the rows it is fitted on
    (there CCC becomes PCC); it makes the squared error larger where PCC is low. AVEC's entries
    centre and scale like this (Trigeorgis et al. 2016). A constant prediction is only moved.

    Returns GROUP, fold, dimension, gain, offset: corrected = gain x predicted + offset.
    """
    rows = []
    for key, fold_rows in validation.groupby(_FOLD, sort=False):
        for dimension in DIMENSIONS:
            true, pred = fold_rows[f"{dimension}_true"], fold_rows[f"{dimension}_pred"]
            varies = pred.max() > pred.min()  # the spread of a constant is a rounding error
            gain = true.std(ddof=0) / pred.std(ddof=0) if varies else 1.0
            rows.append((*key, dimension, gain, true.mean() - gain * pred.mean()))
    return pd.DataFrame(rows, columns=[*_FOLD, "dimension", "gain", "offset"])


def apply_corrections(predictions: pd.DataFrame, lines: pd.DataFrame) -> pd.DataFrame:
    """Predictions after the corrections of their folds, clipped to [-1, 1].

    `lines` are as of `corrections`, of the same models and folds.
    """
    result = predictions.copy()
    for dimension in DIMENSIONS:
        line = predictions[_FOLD].merge(
            lines[lines["dimension"] == dimension], "left", _FOLD, validate="many_to_one"
        )
        if line["gain"].isna().any():
            raise UserError(
                "these predictions have a fold without a correction; fit corrections on the inner "
                "validation parts of the same runs."
            )
        column = f"{dimension}_pred"
        result[column] = line["gain"].to_numpy() * predictions[column].to_numpy()
        result[column] = (result[column] + line["offset"].to_numpy()).clip(-1, 1)
    return result


def corrected_across_subjects(validation: pd.DataFrame) -> pd.DataFrame:
    """Validation predictions, each subject's corrected by what the other subjects of the fold say.

    To ask on the validation part whether a correction is worth it: fitted on the very rows, it
    always seems to be. Where a part has a single subject this cannot be asked: predictions are nan.
    """
    parts = []
    for _, fold_rows in validation.groupby(_FOLD, sort=False):
        for subject, subject_rows in fold_rows.groupby("subject", sort=False):
            others = fold_rows[fold_rows["subject"] != subject]
            if len(others):
                parts.append(apply_corrections(subject_rows, corrections(others)))
            else:
                parts.append(subject_rows.assign(**dict.fromkeys(_PREDICTED, np.nan)))
    return pd.concat(parts, ignore_index=True)
