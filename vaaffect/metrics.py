"""Agreement between true and predicted values: RMSE, PCC, ICC, CCC, SAGR.

All five are functions of six sums over the frames (`moments`). That makes them exact on pooled
predictions however the frames are grouped, and it makes a bootstrap over clips cheap: resampling
clips is a weighted sum of their moments (`evaluation.py`).

None of them may be averaged over batches: only RMSE's square decomposes at all.
"""

from collections.abc import Callable

import numpy as np

# The columns of a moments array. t: true, p: predicted, both minus a common shift.
N, T, P, TT, PP, TP, AGREE = range(7)

# A variance below this fraction of the mean square counts as zero: a constant whose mean is not a
# binary fraction has a rounding-error variance, not a real one.
_CONSTANT = 1e-13


def moments(true: np.ndarray, pred: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """The sums that every metric is a function of.

    Args:
        true: (n,) annotations of one dimension, any unit.
        pred: (n,) predictions, same unit.
        shift: subtracted from both before summing; choose the mean of `true`, so that squares
            stay small and nothing cancels. Differences and variances do not depend on it.

    Returns:
        (7,) n, sum t, sum p, sum t^2, sum p^2, sum t p, number of frames with equal sign.

    Raises:
        ValueError: when the two do not have the same one-dimensional shape.
    """
    true, pred = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    if true.shape != pred.shape or true.ndim != 1:
        raise ValueError(f"true {true.shape} and pred {pred.shape} must be equal and 1-D")
    t, p = true - shift, pred - shift
    agree = np.count_nonzero(np.sign(true) == np.sign(pred))
    return np.array([t.size, t.sum(), p.sum(), t @ t, p @ p, t @ p, agree])


def _spread(m: np.ndarray) -> tuple[np.ndarray, ...]:
    """Means, population variances and covariance; nan variances where a vector is constant."""
    n = np.where(m[..., N] > 0, m[..., N], np.nan)
    mean_t, mean_p = m[..., T] / n, m[..., P] / n
    var_t = m[..., TT] / n - mean_t**2
    var_p = m[..., PP] / n - mean_p**2
    var_t = np.where(var_t > _CONSTANT * m[..., TT] / n, var_t, np.nan)
    var_p = np.where(var_p > _CONSTANT * m[..., PP] / n, var_p, np.nan)
    return mean_t, mean_p, var_t, var_p, m[..., TP] / n - mean_t * mean_p


def rmse_from(m: np.ndarray) -> np.ndarray:
    """Root-mean-square error (thesis, equation 5.1). m: (..., 7). In the unit of the labels."""
    n = np.where(m[..., N] > 0, m[..., N], np.nan)
    return np.sqrt(np.maximum(m[..., TT] - 2 * m[..., TP] + m[..., PP], 0) / n)


def pcc_from(m: np.ndarray) -> np.ndarray:
    """Pearson's correlation coefficient (thesis, 5.2). In [-1, 1]; blind to offset and gain."""
    _, _, var_t, var_p, cov = _spread(m)
    return np.clip(cov / np.sqrt(var_t * var_p), -1, 1)


def icc_from(m: np.ndarray) -> np.ndarray:
    """Intra-class correlation as the thesis writes it (5.3): 2 cov / (var_t + var_p).

    In [-1, 1]. It has no term for a difference of the means, so it cannot see a constant bias.
    """
    _, _, var_t, var_p, cov = _spread(m)
    return 2 * cov / (var_t + var_p)


def ccc_from(m: np.ndarray) -> np.ndarray:
    """Concordance correlation coefficient (Lin 1989). In [-1, 1]; punishes offset and gain too.

    Equal to `icc_from` when the means agree, smaller in magnitude otherwise.
    """
    mean_t, mean_p, var_t, var_p, cov = _spread(m)
    return 2 * cov / (var_t + var_p + (mean_t - mean_p) ** 2)


def sagr_from(m: np.ndarray) -> np.ndarray:
    """Sign agreement (Nicolaou et al. 2011): share of frames with equal sign, zero being its own.

    In [0, 1]. A frame annotated exactly 0 agrees only with a prediction of exactly 0.
    """
    return m[..., AGREE] / np.where(m[..., N] > 0, m[..., N], np.nan)


FROM_MOMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "RMSE": rmse_from,
    "PCC": pcc_from,
    "ICC": icc_from,
    "CCC": ccc_from,
    "SAGR": sagr_from,
}


def _of_arrays(name: str, true: np.ndarray, pred: np.ndarray) -> float:
    true = np.asarray(true, np.float64)
    shift = float(true.mean()) if true.size else 0.0
    with np.errstate(invalid="ignore", divide="ignore"):
        return float(FROM_MOMENTS[name](moments(true, pred, shift)))


def rmse(true: np.ndarray, pred: np.ndarray) -> float:
    """Root-mean-square error of two (n,) arrays, in their unit; nan when empty."""
    return _of_arrays("RMSE", true, pred)


def pcc(true: np.ndarray, pred: np.ndarray) -> float:
    """Pearson's correlation of two (n,) arrays; nan where one of them is constant."""
    return _of_arrays("PCC", true, pred)


def icc(true: np.ndarray, pred: np.ndarray) -> float:
    """The thesis's ICC (5.3) of two (n,) arrays; nan where one of them is constant."""
    return _of_arrays("ICC", true, pred)


def ccc(true: np.ndarray, pred: np.ndarray) -> float:
    """Lin's concordance of two (n,) arrays; nan where one of them is constant."""
    return _of_arrays("CCC", true, pred)


def sagr(true: np.ndarray, pred: np.ndarray) -> float:
    """Sign agreement of two (n,) arrays, in [0, 1]; nan when empty."""
    return _of_arrays("SAGR", true, pred)
