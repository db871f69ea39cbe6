"""Where the error is: which kind of mistake, at which labels, for which subjects.

Every function takes a table of predictions (PREDICTION_COLUMNS) and gives a tidy table with a row
per model (GROUP) and whatever it is cut by. Labels, predictions and errors are in [-1, 1]; an error
is predicted - true.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..base import UserError, stage
from ..corpora import DIMENSIONS
from .bootstrap import DEFAULT_BOOTSTRAP, Bootstrap, Estimate, Spread, interval, subject_draws
from .evaluation import model_terms
from .metrics import from_arrays
from .predictions import MODEL, VALUES, by_fold, by_model


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


def regressed(label: float, mean: float | np.ndarray, r: float | np.ndarray) -> float | np.ndarray:
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
        neutral = model_rows[_is_neutral(model_rows)]
        sizes = {"frames": len(neutral[["clip", "frame"]].drop_duplicates())}
        sizes["subjects"] = neutral["subject"].nunique()
        for dimension, (estimates, _) in _neutral_estimates(model_rows, bootstrap).items():
            row = {name: estimate.value for name, estimate in estimates.items()}
            observed = estimates["observed"]
            # Only subjects with neutral frames say anything about them.
            freedom = sizes["subjects"] - 1
            bounds = interval(observed.value, observed.samples, freedom, level=bootstrap.level)
            row["low"], row["high"] = bounds
            rows.append(head | {"dimension": dimension} | row | sizes)
    return pd.DataFrame(rows)


@dataclass(frozen=True)
class NeutralSize:
    """Whether the bias on neutral faces has the expected size, see `size_of_neutral_bias`."""

    value: float
    spread: Spread  # over subjects to test and to train on, and over seeds where there are several
    subjects: int  # that have neutral frames
    seeds: int  # of the network that has fewest


@stage("metrics and intervals")
def size_of_neutral_bias(
    predictions: pd.DataFrame, *, bootstrap: Bootstrap = DEFAULT_BOOTSTRAP
) -> NeutralSize:
    """How far the mean prediction p for neutral frames reaches beyond half of the way from (0, 0)
    to what is expected from regression to the mean, e (`neutral_bias`): p . e / |e| - |e| / 2.

    It is positive where p is nearer to e than to (0, 0). Averaged over each network's seeds, then
    over networks, all on the same corpus. In each bootstrap sample p, the correlations and the
    training labels behind e are those of the same subjects for all networks and seeds. UserError
    where there is no network.
    """
    sizes: dict[tuple, list[tuple[Estimate, np.ndarray]]] = {}
    for model, model_rows in predictions.groupby(MODEL, sort=False):
        sizes[model] = [
            _beyond_half(_neutral_estimates(rows, bootstrap))
            for _, rows in model_rows.groupby("seed")
        ]
    if not sizes:
        raise UserError("there are no predictions of these networks; name some that are in them.")
    neutral = predictions.loc[_is_neutral(predictions), "subject"].nunique()
    average = Estimate.mean([
        Estimate.mean([size for size, _ in by_seed]) for by_seed in sizes.values()
    ])  # fmt: skip
    folds = np.mean([np.mean([each for _, each in by_seed], axis=0) for by_seed in sizes.values()],
                    axis=0)  # fmt: skip
    # Only subjects with neutral frames say anything about them.
    spreads = [Spread.of_samples(average.samples, neutral - 1)]
    spreads.append(Spread.of_training(folds[np.isfinite(folds)]))
    spreads += [
        Spread.of_mean([size.value / len(sizes) for size, _ in by_seed])
        for by_seed in sizes.values()
        if len(by_seed) > 1
    ]
    seeds = min(len(by_seed) for by_seed in sizes.values())
    return NeutralSize(average.value, Spread.sum(spreads), neutral, seeds)


def _beyond_half(
    estimates: dict[str, tuple[dict[str, Estimate], pd.DataFrame]],
) -> tuple[Estimate, np.ndarray]:
    """The size of one training, see `size_of_neutral_bias`, and its values in each fold (nan where
    a fold has no neutral frames): the size is their average by number of such frames."""

    def pairs(kind: str) -> np.ndarray:  # (2 of p and e, dimensions, ...)
        columns = [[getattr(by[name], kind) for by, _ in estimates.values()]
                   for name in ("observed", "foretold")]  # fmt: skip
        return np.array(columns)

    def beyond(observed: np.ndarray, expected: np.ndarray) -> np.ndarray:
        length = np.linalg.norm(expected, axis=0)
        with np.errstate(invalid="ignore", divide="ignore"):
            return (observed * expected).sum(axis=0) / length - length / 2

    whole = Estimate(float(beyond(*pairs("value"))), beyond(*pairs("samples")))
    expected = pairs("value")[1]
    direction = expected / max(np.linalg.norm(expected), 1e-12)
    folds = [table["observed"] - table["foretold"] / 2 for _, table in estimates.values()]
    return whole, direction @ np.array(folds)


def _neutral_estimates(
    model_rows: pd.DataFrame, bootstrap: Bootstrap
) -> dict[str, tuple[dict[str, Estimate], pd.DataFrame]]:
    """By dimension: mean_label, foretold and observed of `neutral_bias`, of one training; and a
    table of the same with a row per fold."""
    model, train, test = model_rows[["model", "train_corpus", "test_corpus"]].iloc[0]
    folds = by_fold(model_rows)
    if train != test or len(folds) < 2:
        raise UserError(
            f"{model} was trained on frames of {train} that are not in these predictions, so its "
            "mean training label is not known; give within-corpus models with all their folds."
        )
    draws = subject_draws(folds, bootstrap)
    found = {}
    for dimension in DIMENSIONS:
        sums = {k: _sums(rows, dimension, draws.subjects[k]) for k, rows in folds.items()}
        (term,) = model_terms(model_rows, ["PCC"], draws, [dimension])
        (r,) = term.by_seed.values()
        # The reported values, then those of each sample, from the same sums.
        reported = _neutral_values(
            {k: each.sum(axis=0, keepdims=True) for k, each in sums.items()},
            {k: np.array([r[k].value]) for k in folds},
        )
        resampled = _neutral_values(
            {k: draws.weights[k] @ each for k, each in sums.items()},
            {k: r[k].samples for k in folds},
        )
        values, samples = (_pooled(each) for each in (reported, resampled))
        by_name = {name: Estimate(float(values[name][0]), samples[name]) for name in values}
        rows = pd.DataFrame({k: {n: v[0] for n, v in fold.items()} for k, fold in reported.items()})
        found[dimension] = by_name, rows.T
    return found


def _neutral_values(
    sums: dict[str, np.ndarray], r: dict[str, np.ndarray]
) -> dict[str, dict[str, np.ndarray]]:
    """By fold: mean_label, foretold, observed and how many neutral frames, (n,) each, from `_sums`
    (n, 4) and correlations (n,) of each fold; nan where a fold has no such frames."""
    everything = sum(sums.values())
    found = {}
    with np.errstate(invalid="ignore", divide="ignore"):
        for fold, each in sums.items():
            labels, frames = (everything - each)[:, :2].T  # of the other folds
            mean, (predicted, neutral) = labels / frames, each[:, 2:].T
            expected = regressed(0.0, mean, r[fold])
            found[fold] = {"mean_label": mean, "foretold": expected,
                           "observed": predicted / neutral, "neutral": neutral}  # fmt: skip
    return found


def _pooled(by_fold: dict[str, dict[str, np.ndarray]]) -> dict[str, np.ndarray]:
    """The averages over the folds by number of neutral frames."""
    weights = {fold: values["neutral"] for fold, values in by_fold.items()}
    names = ("mean_label", "foretold", "observed")
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            name: sum(
                np.where(weights[fold] > 0, weights[fold] * values[name], 0)
                for fold, values in by_fold.items()
            )
            / sum(weights.values())
            for name in names
        }


def _is_neutral(rows: pd.DataFrame) -> np.ndarray:
    return (rows[VALUES[:2]] == 0).all(axis=1).to_numpy()


def _sums(fold_rows: pd.DataFrame, dimension: str, subjects: np.ndarray) -> np.ndarray:
    """(subjects, 4) of each of the sorted subjects: the sum of the labels and their number, the sum
    of the predictions for neutral frames and their number."""
    neutral = _is_neutral(fold_rows).astype(np.float64)
    labels = fold_rows[f"{dimension}_true"].to_numpy(np.float64)
    predicted = fold_rows[f"{dimension}_pred"].to_numpy(np.float64) * neutral
    index = np.searchsorted(subjects, fold_rows["subject"].to_numpy())
    columns = (labels, np.ones(len(labels)), predicted, neutral)
    return np.stack([np.bincount(index, x, len(subjects)) for x in columns], axis=1)
