"""Where the error is: which kind of mistake, at which labels, for which subjects.

Every function takes a table of predictions (PREDICTION_COLUMNS) and gives a tidy table with a row
per model (GROUP) and whatever it is cut by. Labels, predictions and errors are in [-1, 1]; an error
is predicted - true.
"""

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from .bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, interval, subject_draws
from .metrics import from_arrays, pcc
from .predictions import VALUES, by_fold, by_model


def ccc_losses(predictions: pd.DataFrame) -> pd.DataFrame:
    """The correlation, scale and location terms of 1 - CCC.

    Lin (1989): CCC = PCC x C_b with C_b = 2 / (v + 1/v + u^2), gain v = sd_pred / sd_true and
    location shift u = (mean_pred - mean_true) / sqrt(sd_pred sd_true).

    The three losses repair one thing after the other, and add up to 1 - CCC exactly:

        lost_offset       = ICC - CCC    what moving the predictions to the labels' mean brings
        lost_gain         = PCC - ICC    what then stretching them to the labels' spread brings
        lost_correlation  = 1 - PCC      what no line through the predictions can repair

    So the thesis's three coefficients, side by side, say where its networks fail. In the other
    order (gain first) the parts of offset and gain would differ; this order is fixed because the
    offset is repaired by one number, the gain by two. With a negative correlation, repairs make
    agreement worse and their parts are negative.

    Returns GROUP, dimension, CCC, PCC, C_b, gain, shift, lost_offset, lost_gain, lost_correlation,
    folds; each computed within a fold and averaged over the folds (so that the losses still add up
    to 1 - CCC, but the mean of PCC x C_b is not the product of the means). nan where a fold has a
    constant.
    """
    rows = []
    for head, model_rows in by_model(predictions):
        folds = by_fold(model_rows).values()
        for dimension in DIMENSIONS:
            losses = pd.DataFrame(_ccc_losses(fold_rows, dimension) for fold_rows in folds)
            averages = losses.mean(skipna=False).to_dict()
            rows.append(head | {"dimension": dimension} | averages | {"folds": len(losses)})
    return pd.DataFrame(rows)


def _ccc_losses(fold_rows: pd.DataFrame, dimension: str) -> dict[str, float]:
    s = from_arrays(fold_rows[f"{dimension}_true"], fold_rows[f"{dimension}_pred"])
    sd_t, sd_p = np.sqrt(s.var_t), np.sqrt(s.var_p)
    pcc, icc = s.cov / (sd_t * sd_p), 2 * s.cov / (s.var_t + s.var_p)
    gain, shift = sd_p / sd_t, -s.gap / np.sqrt(sd_p * sd_t)
    c_b = 2 / (gain + 1 / gain + shift**2)
    ccc = pcc * c_b
    losses = {"lost_offset": icc - ccc, "lost_gain": pcc - icc, "lost_correlation": 1 - pcc}
    return {"CCC": ccc, "PCC": pcc, "C_b": c_b, "gain": gain, "shift": shift} | losses


def cell_of(va: np.ndarray, cells: int) -> np.ndarray:
    """Of labels (N, 2) in [-1, 1], the cells of the plane: (N, 2) numbers from 0 to cells - 1."""
    return np.clip(np.floor((va + 1) / 2 * cells), 0, cells - 1).astype(int)


def by_density(predictions: pd.DataFrame, cells: int = 9) -> pd.DataFrame:
    """The error where labels are common and where they are rare.

    The plane is cut into cells x cells. Cells are sorted by how many frames of the test corpus they
    hold and cut where a third and two thirds of the frames are reached: as few cells as hold a
    third of all frames are "dense", and as many are "sparse". A cell is not cut, so the parts are
    thirds only roughly.

    Returns GROUP, density ("dense", "middle", "sparse"), dimension, cells (how many), frames (rows
    that were predicted; by each fold's network where it comes from another corpus), subjects, RMSE,
    bias (mean error); pooled over the folds.
    """
    rows = []
    for head, model_rows in by_model(predictions):
        true, error = _labels_and_errors(model_rows)
        index = cell_of(true, cells) @ [cells, 1]
        held = np.bincount(index, minlength=cells**2)
        order = np.argsort(-held, kind="stable")
        # Where the middle of a cell's frames stands in the row of all frames.
        middle = (np.cumsum(held[order]) - held[order] / 2) / held.sum()
        part_of = np.empty(cells**2, int)
        part_of[order] = np.searchsorted([1 / 3, 2 / 3], middle)
        for part, density in enumerate(("dense", "middle", "sparse")):
            inside = part_of[index] == part
            sizes = {"cells": int(((part_of == part) & (held > 0)).sum())}
            sizes |= _sizes(model_rows[inside])
            for axis, dimension in enumerate(DIMENSIONS):
                cut = {"density": density, "dimension": dimension}
                rows.append(head | cut | sizes | _error(error[inside, axis]))
    return pd.DataFrame(rows)


def over_plane(predictions: pd.DataFrame, cells: int = 9) -> pd.DataFrame:
    """The error in each of cells x cells parts of the plane: how large, and where it points.

    Returns GROUP, valence and arousal (centre of the cell), frames, subjects, RMSE_valence,
    RMSE_arousal, RMSE (root of the mean of both squares), error_valence, error_arousal (mean error
    vector); pooled over the folds, cells without frames left out.
    """
    rows = []
    for head, model_rows in by_model(predictions):
        true, error = _labels_and_errors(model_rows)
        cell_of_row = cell_of(true, cells)
        for cell in np.unique(cell_of_row, axis=0):
            inside = (cell_of_row == cell).all(axis=1)
            square, mean = (error[inside] ** 2).mean(axis=0), error[inside].mean(axis=0)
            row = head | dict(zip(DIMENSIONS, (2 * cell + 1) / cells - 1, strict=True))
            row |= _sizes(model_rows[inside])
            row |= {f"RMSE_{d}": np.sqrt(square[i]) for i, d in enumerate(DIMENSIONS)}
            row["RMSE"] = np.sqrt(square.mean())
            rows.append(row | {f"error_{d}": mean[i] for i, d in enumerate(DIMENSIONS)})
    return pd.DataFrame(rows)


def by_subject(predictions: pd.DataFrame) -> pd.DataFrame:
    """The error for each subject, worst first within a model and dimension.

    Returns GROUP, subject, dimension, clips, frames (that were seen), RMSE, bias (mean error);
    pooled over the folds that test this subject.
    """
    tables = []
    for head, model_rows in by_model(predictions):
        for axis, dimension in enumerate(DIMENSIONS):
            rows = []
            for subject, subject_rows in model_rows.groupby("subject", sort=False):
                _, error = _labels_and_errors(subject_rows)
                seen = subject_rows[["clip", "frame"]].drop_duplicates()
                cut = {"subject": subject, "dimension": dimension}
                sizes = {"clips": seen["clip"].nunique(), "frames": len(seen)}
                rows.append(head | cut | sizes | _error(error[:, axis]))
            table = pd.DataFrame(rows)
            tables.append(table.sort_values(["RMSE", "subject"], ascending=[False, True]))
    return pd.concat(tables, ignore_index=True)


def _labels_and_errors(rows: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """(N, 2) labels and errors, columns (valence, arousal)."""
    values = rows[VALUES].to_numpy(np.float64)
    return values[:, :2], values[:, 2:] - values[:, :2]


def _sizes(rows: pd.DataFrame) -> dict[str, int]:
    return {"frames": len(rows), "subjects": rows["subject"].nunique()}


def _error(error: np.ndarray) -> dict[str, float]:
    if not len(error):
        return {"RMSE": np.nan, "bias": np.nan}
    return {"RMSE": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}


def regressed(label: float, mean: float, r: float) -> float:
    """What is expected from regression to the mean: the average prediction for faces labelled
    `label` of a least squares predictor whose predictions correlate with the labels by `r`.

    It is mean + r^2 (label - mean), `mean` being that of the training labels: for the best linear
    predictor, cov(pred, y) = var(pred) = r^2 var(y). A negative or undefined r counts as 0, the
    correlation of a constant.
    """
    return mean + np.clip(np.nan_to_num(r), 0, None) ** 2 * (label - mean)


@stage("metrics and intervals")
def neutral_bias(
    predictions: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> pd.DataFrame:
    """What is predicted for neutral faces, and what the training labels alone let one expect.

    Two expectations need no network. `mean_label`, the mean of the training labels, is the constant
    baseline. `foretold` is what is expected from regression to the mean (`regressed`), for a face
    labelled 0 and a network with the correlation of the test fold.

    Neutral frames are those labelled exactly (0, 0). The training labels of a fold are those of the
    other folds; UserError for a cross-corpus model, whose training labels are not here.

    Returns GROUP, dimension, mean_label, foretold, observed (mean prediction for neutral frames),
    low, high (of observed), frames, subjects (that have neutral frames). All pooled over the folds,
    by number of neutral frames; nan without any.
    """
    rows = []
    for head, model_rows in by_model(predictions):
        folds = by_fold(model_rows)
        weights = subject_draws(folds, bootstrap).weights
        neutral = model_rows[_is_neutral(model_rows)]
        sizes = {"frames": len(neutral[["clip", "frame"]].drop_duplicates())}
        sizes["subjects"] = neutral["subject"].nunique()
        counts = np.array([_is_neutral(fold_rows).sum() for fold_rows in folds.values()])
        fraction = counts / max(len(neutral), 1)
        means = np.stack([_training_mean(model_rows, fold) for fold in folds])
        for axis, dimension in enumerate(DIMENSIONS):
            label = means[:, axis]
            r = [
                pcc(fold_rows[f"{dimension}_true"], fold_rows[f"{dimension}_pred"])
                for fold_rows in folds.values()
            ]
            r = np.nan_to_num(r).clip(0)
            row = {"mean_label": fraction @ label, "foretold": fraction @ ((1 - r**2) * label)}
            if not len(neutral):
                row = dict.fromkeys(row, np.nan)
            # Of each sample: the sum of the predictions for neutral frames, and their number.
            sums = sum(weights[k] @ _neutral_sums(part, dimension) for k, part in folds.items())
            with np.errstate(invalid="ignore", divide="ignore"):
                samples = sums[:, 0] / sums[:, 1]
            row["observed"] = mean = neutral[f"{dimension}_pred"].mean()
            # Only subjects with neutral frames say anything about them.
            freedom = sizes["subjects"] - 1
            row["low"], row["high"] = interval(mean, samples, freedom, level=bootstrap.level)
            rows.append(head | {"dimension": dimension} | row | sizes)
    return pd.DataFrame(rows)


def _is_neutral(rows: pd.DataFrame) -> np.ndarray:
    return (rows[VALUES[:2]] == 0).all(axis=1).to_numpy()


def _training_mean(model_rows: pd.DataFrame, fold: str) -> np.ndarray:
    """(2,) mean label of what a fold's network was trained on: the other folds."""
    model, train, test = model_rows[["model", "train_corpus", "test_corpus"]].iloc[0]
    others = model_rows[model_rows["fold"] != int(fold)]
    if train != test or others.empty:
        raise UserError(
            f"{model} was trained on frames of {train} that are not in these predictions, so its "
            "mean training label is not known; give within-corpus models with all their folds."
        )
    return others[["valence_true", "arousal_true"]].mean().to_numpy(np.float64)


def _neutral_sums(fold_rows: pd.DataFrame, dimension: str) -> np.ndarray:
    """(subjects, 2) sum of the predictions for neutral frames and their number; subjects sorted."""
    subjects, index = np.unique(fold_rows["subject"].to_numpy(), return_inverse=True)
    chosen = _is_neutral(fold_rows).astype(np.float64)
    predicted = fold_rows[f"{dimension}_pred"].to_numpy(np.float64) * chosen
    return np.stack([np.bincount(index, x, len(subjects)) for x in (predicted, chosen)], axis=1)
