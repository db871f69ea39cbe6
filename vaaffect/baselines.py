"""What every network must beat."""

import numpy as np
import pandas as pd

from .crops import Crops
from .predictions import prediction_table
from .splits import Split, assert_subject_disjoint

CONSTANT = "constant"  # how predictions and results call the constant predictor


def constant_predictor(
    crops: Crops, splits: list[Split], elsewhere: Crops | None = None
) -> pd.DataFrame:
    """Predict the mean training label for every test frame, fold by fold.

    The smallest squared error that is possible without looking at the face. Its RMSE is close to
    the labels' standard deviation; its correlations are undefined.

    Args:
        crops: frames and labels.
        splits: the folds that the networks were trained on.
        elsewhere: another corpus, of which every frame is predicted instead of the test folds.

    Returns:
        A prediction table as of `predictions.prediction_table`, model "constant".
    """
    tables = []
    for split in splits:
        assert_subject_disjoint(split, crops.frames)
        mean = crops.va[split.train].astype(np.float64).mean(axis=0)
        tested = elsewhere or crops
        rows = split.test if elsewhere is None else np.arange(len(elsewhere.frames))
        tables.append(
            prediction_table(
                np.tile(mean, (len(rows), 1)),
                tested,
                rows,
                model=CONSTANT,
                recipe="training mean",
                train_corpus=crops.label,
                fold=split.fold,
                seed=0,
            )
        )
    return pd.concat(tables, ignore_index=True)
