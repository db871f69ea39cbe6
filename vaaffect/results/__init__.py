"""Predictions -> tidy results: metrics, intervals, error analysis, hypotheses.

Comes in: a table of predictions, a row per frame, whoever predicted. Goes out: metrics pooled
within folds with intervals over subjects, paired differences, errors by kind, label and group,
verdicts. Nothing here knows how a model works.
"""

from . import bootstrap, claims, error_analysis, evaluation, metrics, subgroups
from .bootstrap import clip_weights, interval
from .claims import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .evaluation import evaluate, fold_summary
from .postprocessing import apply_corrections, corrected_across_people, corrections, smoothed
from .predictions import (
    FROM_SCRATCH,
    GROUP,
    PREDICTION_COLUMNS,
    check_predictions,
    prediction_table,
    read_predictions,
)
from .raters import RATER, rater_predictions
from .subgroups import FEWEST, turn

__all__ = [
    "FEWEST",
    "FROM_SCRATCH",
    "GROUP",
    "NOT_SUPPORTED",
    "PREDICTION_COLUMNS",
    "RATER",
    "SUPPORTED",
    "UNDECIDED",
    "apply_corrections",
    "bootstrap",
    "check_predictions",
    "claims",
    "clip_weights",
    "corrected_across_people",
    "corrections",
    "error_analysis",
    "evaluate",
    "evaluation",
    "fold_summary",
    "interval",
    "metrics",
    "prediction_table",
    "rater_predictions",
    "read_predictions",
    "smoothed",
    "subgroups",
    "turn",
]
