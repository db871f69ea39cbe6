"""The table of predictions: a row per test frame, the same columns whoever predicts."""

from pathlib import Path

import numpy as np
import pandas as pd

from .crops import Crops
from .errors import UserError

DIMENSIONS = ("valence", "arousal")
# What identifies a model whose folds belong together.
GROUP = ["model", "recipe", "train_corpus", "test_corpus", "split", "seed"]
VALUES = ["valence_true", "arousal_true", "valence_pred", "arousal_pred"]
COLUMNS = [*GROUP, "fold", "subject", "clip", "frame", *VALUES]


def prediction_table(
    pred: np.ndarray,
    crops: Crops,
    rows: np.ndarray,
    *,
    model: str,
    recipe: str,
    train_corpus: str,
    fold: int,
    seed: int,
    split: str = "subject",
) -> pd.DataFrame:
    """Predictions in the study's form, columns COLUMNS.

    Args:
        pred: (n, 2) predictions, columns (valence, arousal), in [-1, 1].
        crops: what was tested on.
        rows: (n,) rows of `crops` that were predicted.
        model: name of the model, as of models.NAMES or baselines.
        recipe: name of the way it was trained.
        train_corpus: label of the data it was trained on.
        fold: number of the fold.
        seed: of the training.
        split: what the folds keep apart, as of splits.KINDS.
    """
    frames = crops.frames.iloc[rows].reset_index(drop=True)
    table = frames[["subject", "clip", "frame"]].assign(
        model=model,
        recipe=recipe,
        train_corpus=train_corpus,
        test_corpus=crops.label,
        split=split,
        seed=seed,
        fold=fold,
        valence_true=frames["valence"],
        arousal_true=frames["arousal"],
        valence_pred=pred[:, 0].astype(np.float64),
        arousal_pred=pred[:, 1].astype(np.float64),
    )
    return table[COLUMNS]


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse predictions that cannot be evaluated honestly.

    Raises:
        UserError: a missing column, no rows, a value that is not a finite number, or the same frame
            predicted twice by one model (within one fold where it was trained on another corpus:
            there, the network of every fold predicts every frame).
    """
    missing = [name for name in COLUMNS if name not in predictions]
    if missing:
        raise UserError(f"predictions have no column {missing[0]!r}; train again to renew them.")
    if predictions.empty:
        raise UserError("there are no predictions to evaluate; train at least one fold.")
    for name in VALUES:
        bad = ~np.isfinite(predictions[name].to_numpy(np.float64))
        if bad.any():
            row = predictions.loc[bad].iloc[0]
            raise UserError(
                f"{name} of {row['model']}, fold {row['fold']}, clip {row['clip']}, frame "
                f"{row['frame']} is not a finite number ({bad.sum()} such rows); train it again."
            )
    within = predictions["train_corpus"] == predictions["test_corpus"]
    frame = [*GROUP, "clip", "frame"]
    for rows, key in ((predictions[within], frame), (predictions[~within], [*frame, "fold"])):
        twice = rows.duplicated(key)
        if twice.any():
            row = rows.loc[twice].iloc[0]
            raise UserError(
                f"{row['model']} predicts clip {row['clip']}, frame {row['frame']} of "
                f"{row['test_corpus']} more than once; each frame belongs to the test part of "
                "exactly one fold."
            )


def read_predictions(runs: list[Path]) -> pd.DataFrame:
    """The predictions of finished runs, one under the other."""
    tables = [pd.read_parquet(run / "predictions.parquet") for run in runs]
    return pd.concat(tables, ignore_index=True)
