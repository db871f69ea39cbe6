"""Predictions -> tidy results: metrics, intervals, error analysis, hypotheses.

Comes in: a table of predictions, a row per frame, of any model. Goes out: metrics pooled within
folds with intervals over subjects, paired differences, errors by kind, label and group, verdicts.
Nothing in this room knows how a model works.
"""

from . import (
    bootstrap,
    claims,
    epoch_statements,
    error_analysis,
    evaluation,
    metrics,
    smiles,
    statements,
    subgroups,
)
from .bootstrap import FEWEST, Bootstrap, clip_weights, interval
from .claims import NOT_MEASURED, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .comparisons import differences, in_within_corpus_folds, mean_difference, paired_difference
from .evaluation import evaluate, fold_summary
from .postprocessing import apply_corrections, corrected_across_subjects, corrections, smoothed
from .power import power
from .predictions import (
    FROM_SCRATCH,
    GROUP,
    PREDICTION_COLUMNS,
    RATER,
    check_predictions,
    joined,
    prediction_table,
    read_predictions,
)
from .raters import rater_predictions
from .smiles import EXPRESSIONS, SMILE_COLUMNS, SmileResults, smile_effects, smile_gaps
from .statements import NOT_TESTED
from .subgroups import turn

__all__ = [
    "EXPRESSIONS", "FEWEST", "FROM_SCRATCH", "GROUP", "NOT_MEASURED", "NOT_SUPPORTED", "NOT_TESTED",
    "PREDICTION_COLUMNS", "RATER", "SMILE_COLUMNS", "SUPPORTED", "UNDECIDED", "Bootstrap",
    "SmileResults", "apply_corrections", "bootstrap", "check_predictions", "claims", "clip_weights",
    "corrected_across_subjects", "corrections", "differences", "epoch_statements", "error_analysis",
    "evaluate", "evaluation", "fold_summary", "in_within_corpus_folds", "interval", "joined",
    "mean_difference", "metrics", "paired_difference", "power", "prediction_table",
    "rater_predictions", "read_predictions", "smile_effects", "smile_gaps", "smiles", "smoothed",
    "statements", "subgroups", "turn",
]  # fmt: skip
