"""Where the error is: which kind of mistake, at which labels, for whom.

Every function takes a table of predictions (PREDICTION_COLUMNS) and gives a tidy table with a row
per model (GROUP) and whatever it is cut by. Labels, predictions and errors are in [-1, 1]; an error
is predicted - true.
"""

from collections.abc import Callable, Mapping

import numpy as np
import pandas as pd

from ..base import UserError
from ..corpora import DIMENSIONS
from .bootstrap import SubjectSampler, interval
from .metrics import from_arrays
from .predictions import GROUP, VALUES, check_predictions


def ccc_losses(predictions: pd.DataFrame) -> pd.DataFrame:
    """What 1 - CCC is lost to: offset, gain, correlation.

    Lin (1989): CCC = PCC x C_b with C_b = 2 / (v + 1/v + u^2), gain v = sd_pred / sd_true and
    location shift u = (mean_pred - mean_true) / sqrt(sd_pred sd_true).

    The three losses repair one thing after the other, and add up to 1 - CCC exactly:

        lost_offset       = ICC - CCC    what moving the predictions to the labels' mean brings
        lost_gain         = PCC - ICC    what then stretching them to the labels' spread brings
        lost_correlation  = 1 - PCC      what no line through the predictions can repair

    So the thesis's three coefficients, side by side, say where its networks fail. In the other
    order (gain first) the shares of offset and gain would differ; this order is fixed because the
    offset is repaired by one number, the gain by two. With a negative correlation, repairs make
    agreement worse and their shares are negative.

    Returns:
        GROUP, dimension, CCC, PCC, C_b, gain, shift, lost_offset, lost_gain, lost_correlation,
        folds; each computed within a fold and averaged over the folds (so that the losses still add
        up to 1 - CCC, while the mean of PCC x C_b is not the product of the means). nan where a
        fold has a constant.
    """
    return _averaged(predictions, _ccc_losses)


def _ccc_losses(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    s = from_arrays(true, pred)
    sd_t, sd_p = np.sqrt(s.var_t), np.sqrt(s.var_p)
    pcc, icc = s.cov / (sd_t * sd_p), 2 * s.cov / (s.var_t + s.var_p)
    gain, shift = sd_p / sd_t, -s.gap / np.sqrt(sd_p * sd_t)
    c_b = 2 / (gain + 1 / gain + shift**2)
    ccc = pcc * c_b
    return {
        "CCC": ccc,
        "PCC": pcc,
        "C_b": c_b,
        "gain": gain,
        "shift": shift,
        "lost_offset": icc - ccc,
        "lost_gain": pcc - icc,
        "lost_correlation": 1 - pcc,
    }


def squared_error(predictions: pd.DataFrame) -> pd.DataFrame:
    """The mean squared error in three parts that add up exactly.

    MSE = bias^2 + (sd_pred - r sd_true)^2 + (1 - r^2) var_true, with r the correlation (Murphy,
    Monthly Weather Review 1988, equation 12). `bias2` goes away by moving the predictions,
    `gain_error` by stretching them to the spread that their correlation deserves (r sd_true, not
    sd_true: timid is right for who is unsure), and `unexplained` by nothing short of a better
    network. A constant prediction has r = 0.

    Returns:
        GROUP, dimension, mse, bias (mean error), bias2, gain_error, unexplained, folds; each
        computed within a fold and averaged over the folds.
    """
    return _averaged(predictions, _squared_error)


def _squared_error(true: np.ndarray, pred: np.ndarray) -> dict[str, float]:
    s = from_arrays(true, pred)
    var_t, var_p = np.nan_to_num([s.var_t, s.var_p])  # nan stands for a constant
    sd_t, sd_p = np.sqrt([var_t, var_p])
    r = s.cov / (sd_t * sd_p) if sd_t * sd_p > 0 else 0.0
    return {
        "mse": s.mse,
        "bias": -s.gap,
        "bias2": s.gap**2,
        "gain_error": (sd_p - r * sd_t) ** 2,
        "unexplained": (1 - r**2) * var_t,
    }


def _averaged(
    predictions: pd.DataFrame, parts: Callable[[np.ndarray, np.ndarray], dict[str, float]]
) -> pd.DataFrame:
    """parts(true, pred) of each fold, averaged over the folds, by model and dimension."""
    check_predictions(predictions)
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        for dimension in DIMENSIONS:
            of_folds = pd.DataFrame(
                parts(d[f"{dimension}_true"].to_numpy(), d[f"{dimension}_pred"].to_numpy())
                for _, d in of_model.groupby("fold")
            )
            averages = of_folds.mean(skipna=False).to_dict()
            head = dict(zip(GROUP, group, strict=True)) | {"dimension": dimension}
            rows.append(head | averages | {"folds": len(of_folds)})
    return pd.DataFrame(rows)


def cell_of(va: np.ndarray, cells: int) -> np.ndarray:
    """The cell of the plane in which each label lies.

    Args:
        va: (N, 2) labels (valence, arousal) in [-1, 1].
        cells: along each axis.

    Returns:
        (N, 2) numbers from 0 to cells - 1.
    """
    return np.clip(np.floor((va + 1) / 2 * cells), 0, cells - 1).astype(int)


def by_density(predictions: pd.DataFrame, cells: int = 9) -> pd.DataFrame:
    """The error where labels are common and where they are rare.

    The plane is cut into cells x cells. Cells are sorted by how many frames of the test corpus they
    hold and cut where a third and two thirds of the frames are reached: as few cells as hold a
    third of all frames are "dense", and as many are "sparse". A cell is not cut, so the parts are
    thirds only roughly.

    Returns:
        GROUP, density ("dense", "middle", "sparse"), dimension, cells (how many), frames (rows that
        were predicted; by each fold's network where it comes from another corpus), subjects, RMSE,
        bias (mean error); pooled over the folds.
    """
    check_predictions(predictions)
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        true, _, error = _values(of_model)
        index = cell_of(true, cells) @ [cells, 1]
        held = np.bincount(index, minlength=cells**2)
        order = np.argsort(-held, kind="stable")
        # Where the middle of a cell's frames stands in the row of all frames.
        middle = (np.cumsum(held[order]) - held[order] / 2) / held.sum()
        part_of = np.empty(cells**2, int)
        part_of[order] = np.searchsorted([1 / 3, 2 / 3], middle)
        for part, density in enumerate(("dense", "middle", "sparse")):
            here = part_of[index] == part
            for axis, dimension in enumerate(DIMENSIONS):
                head = dict(zip(GROUP, group, strict=True))
                head |= {"density": density, "dimension": dimension}
                head["cells"] = int(((part_of == part) & (held > 0)).sum())
                sizes = {"frames": int(here.sum()), "subjects": _people(of_model, here)}
                rows.append(head | sizes | _error(error[here, axis]))
    return pd.DataFrame(rows)


def over_plane(predictions: pd.DataFrame, cells: int = 9) -> pd.DataFrame:
    """The error in each cell of the plane: how large, and where it points.

    Args:
        predictions: a row per frame.
        cells: along each axis.

    Returns:
        GROUP, valence and arousal (centre of the cell), frames, subjects, RMSE_valence,
        RMSE_arousal, RMSE (root of the mean of both squares), error_valence, error_arousal (mean
        error vector); pooled over the folds, cells without frames left out.
    """
    check_predictions(predictions)
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        true, _, error = _values(of_model)
        at = cell_of(true, cells)
        for cell in np.unique(at, axis=0):
            here = (at == cell).all(axis=1)
            centre = (2 * cell + 1) / cells - 1
            square = (error[here] ** 2).mean(axis=0)
            row = dict(zip(GROUP, group, strict=True))
            row |= dict(zip(DIMENSIONS, centre, strict=True))
            row |= {"frames": int(here.sum()), "subjects": _people(of_model, here)}
            row |= {f"RMSE_{d}": np.sqrt(square[i]) for i, d in enumerate(DIMENSIONS)}
            row["RMSE"] = np.sqrt(square.mean())
            mean = error[here].mean(axis=0)
            rows.append(row | {f"error_{d}": mean[i] for i, d in enumerate(DIMENSIONS)})
    return pd.DataFrame(rows)


def by_subject(predictions: pd.DataFrame) -> pd.DataFrame:
    """The error for each person, worst first within a model and dimension.

    Returns:
        GROUP, subject, dimension, clips, frames (that were seen), RMSE, bias (mean error); pooled
        over the folds that test this person.
    """
    check_predictions(predictions)
    rows = []
    for (*group, subject), of in predictions.groupby([*GROUP, "subject"], sort=False):
        *_, error = _values(of)
        head = dict(zip(GROUP, group, strict=True)) | {"subject": subject}
        seen = of[["clip", "frame"]].drop_duplicates()
        sizes = {"clips": seen["clip"].nunique(), "frames": len(seen)}
        for axis, dimension in enumerate(DIMENSIONS):
            rows.append(head | {"dimension": dimension} | sizes | _error(error[:, axis]))
    table = pd.DataFrame(rows)
    number = table.groupby([*GROUP, "dimension"], sort=False).ngroup()
    order = pd.DataFrame({"number": number, "RMSE": -table["RMSE"], "subject": table["subject"]})
    return table.loc[order.sort_values(list(order)).index].reset_index(drop=True)


def _values(predictions: pd.DataFrame) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 2) labels, predictions and errors, columns (valence, arousal)."""
    values = predictions[VALUES].to_numpy(np.float64)
    return values[:, :2], values[:, 2:], values[:, 2:] - values[:, :2]


def _people(predictions: pd.DataFrame, here: np.ndarray) -> int:
    return predictions.loc[here, "subject"].nunique()


def _error(error: np.ndarray) -> dict[str, float]:
    if not len(error):
        return {"RMSE": np.nan, "bias": np.nan}
    return {"RMSE": float(np.sqrt(np.mean(error**2))), "bias": float(error.mean())}


def neutral_bias(
    predictions: pd.DataFrame,
    trained_on: Mapping[str, np.ndarray] | None = None,
    *,
    within: float = 0.0,
    resamples: int = 1000,
    level: float = 0.95,
    seed: int = 0,
) -> pd.DataFrame:
    """What neutral faces are read as, and what the training labels alone foretell.

    Two predictions that need no network. `mean_label`, the mean of the training labels, is the
    answer of who sees nothing. Who sees something answers between it and the truth: the least
    squares predictor with correlation r to the label y has, on average over the frames labelled y,
    the answer mean + r^2 (y - mean) (regression to the mean: for the best linear predictor,
    cov(pred, y) = var(pred) = r^2 var(y)). For y = 0 that is `foretold` = (1 - r^2) mean. r is the
    correlation of the test fold, negative ones counting as 0, like that of a constant.

    Args:
        predictions: a row per frame.
        trained_on: training corpus -> its (N, 2) labels, for models tested on another corpus. At
            home, the training labels are those of the other folds, which are in the predictions.
        within: how far from 0 both labels may be in a frame that counts as neutral; SEMAINE's
            traces are never exactly 0.
        resamples, level, seed: of the bootstrap over people, see `bootstrap.py`.

    Returns:
        GROUP, dimension, mean_label, foretold, observed (mean answer on neutral frames), low, high
        (of observed), frames, subjects (that have neutral frames). All pooled over the folds, by
        number of neutral frames; nan without any.

    Raises:
        UserError: when a model was trained on a corpus whose labels are not known.
    """
    check_predictions(predictions)
    draw = SubjectSampler(resamples, seed)
    rows = []
    for group, of_model in predictions.groupby(GROUP, sort=False):
        head = dict(zip(GROUP, group, strict=True))
        folds = {str(k): d for k, d in of_model.groupby("fold")}
        weights = draw(folds).weights
        neutral = of_model[_is_neutral(of_model, within)]
        people = neutral["subject"].nunique()
        frames = len(neutral[["clip", "frame"]].drop_duplicates())
        share = np.array([_is_neutral(of, within).sum() for of in folds.values()])
        share = share / max(len(neutral), 1)
        priors = np.stack([_training_mean(head, of_model, fold, trained_on) for fold in folds])
        for axis, dimension in enumerate(DIMENSIONS):
            prior = priors[:, axis]
            r = np.array([_correlation(of, dimension) for of in folds.values()])
            told = {"mean_label": share @ prior, "foretold": share @ ((1 - r**2) * prior)}
            if not frames:
                told = dict.fromkeys(told, np.nan)
            # Of each sample: the sum of the answers on neutral frames, and their number.
            sums = sum(weights[fold] @ _neutral_sums(of, dimension, within)
                       for fold, of in folds.items())  # fmt: skip
            with np.errstate(invalid="ignore", divide="ignore"):
                samples = sums[:, 0] / sums[:, 1]
            observed = neutral[f"{dimension}_pred"].mean()
            # Only people with neutral frames say anything here.
            low, high = interval(observed, samples, people - 1, None, level)
            found = {"observed": observed, "low": low, "high": high}
            sizes = {"frames": frames, "subjects": people}
            rows.append(head | {"dimension": dimension} | told | found | sizes)
    return pd.DataFrame(rows)


def _is_neutral(predictions: pd.DataFrame, within: float) -> np.ndarray:
    true = predictions[["valence_true", "arousal_true"]].to_numpy(np.float64)
    return (np.abs(true) <= within).all(axis=1)


def _training_mean(
    head: dict, of_model: pd.DataFrame, fold: str, trained_on: Mapping[str, np.ndarray] | None
) -> np.ndarray:
    """(2,) mean label of what a fold's network was trained on."""
    train = head["train_corpus"]
    if train == head["test_corpus"]:
        others = of_model[of_model["fold"] != int(fold)]
        if len(others):
            return others[["valence_true", "arousal_true"]].mean().to_numpy(np.float64)
    if train not in (trained_on or {}):
        raise UserError(
            f"{head['model']} was trained on {train}, whose labels are not known here; give them "
            f"as trained_on={{{train!r}: labels}}."
        )
    return np.asarray(trained_on[train], np.float64).mean(axis=0)


def _correlation(of_fold: pd.DataFrame, dimension: str) -> float:
    s = from_arrays(of_fold[f"{dimension}_true"], of_fold[f"{dimension}_pred"])
    r = s.cov / np.sqrt(s.var_t * s.var_p)
    return max(float(np.nan_to_num(r)), 0.0)


def _neutral_sums(of_fold: pd.DataFrame, dimension: str, within: float) -> np.ndarray:
    """(people, 2) sum of the answers on neutral frames, and their number; people sorted."""
    people, index = np.unique(of_fold["subject"].to_numpy(), return_inverse=True)
    chosen = _is_neutral(of_fold, within).astype(np.float64)
    answers = of_fold[f"{dimension}_pred"].to_numpy(np.float64) * chosen
    return np.stack([np.bincount(index, x, len(people)) for x in (answers, chosen)], axis=1)
