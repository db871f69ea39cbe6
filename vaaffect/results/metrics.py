"""Agreement between true and predicted values: RMSE, PCC, three ICCs, CCC, SAGR.

Each is a formula over a few statistics of the frames (`Statistics`), and those come by two ways.
`rmse`, `ccc` and so on centre two arrays first, and are exact for any offset. `FROM_MOMENTS` starts
from sums that may be added up and weighted (`moments`), which makes a bootstrap cheap: drawing a
subject twice is counting that subject's sums twice (`evaluation.py`).

None of them may be averaged over batches: only RMSE's square decomposes at all.

Variances and covariances divide by n, as Lin (1989) does. Libraries that divide by n - 1 and leave
the squared difference of the means as it is (torchmetrics does) give a CCC that is larger by a
fraction of the order 1/n. Of the ICCs, 5.3 and ICC(3,1) are the same number and do not depend on
that choice; ICC(2,1) tends to CCC for many frames: the only difference is of the order 1/n.
"""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np

# A variance below this fraction of the mean square counts as zero: a constant whose mean is not a
# binary fraction has a rounding-error variance, not a real one.
_CONSTANT = 1e-13


class Statistics(NamedTuple):
    """What the metrics are formulas of; numbers, or arrays of one shape."""

    n: np.ndarray  # frames
    gap: np.ndarray  # mean true - mean predicted
    var_t: np.ndarray  # population variance (divided by n); nan where the vector is constant
    var_p: np.ndarray
    cov: np.ndarray  # population covariance
    mse: np.ndarray  # mean squared error
    agree: np.ndarray  # frames of equal sign


def moments(true: np.ndarray, pred: np.ndarray, shift: float = 0.0) -> np.ndarray:
    """The sums that every metric is a function of, of (n,) labels and predictions in one unit.

    `shift` is subtracted from both before summing; choose the mean of `true`, so that squares stay
    small and nothing cancels. Differences and variances do not depend on it. Returns (7,): n,
    sum t, sum p, sum t^2, sum p^2, sum t p, number of frames with equal sign.
    """
    true, pred = _vectors(true, pred)
    t, p = true - shift, pred - shift
    return np.array([t.size, t.sum(), p.sum(), t @ t, p @ p, t @ p, _agree(true, pred)])


def from_moments(m: np.ndarray) -> Statistics:
    """Statistics of moments (..., 7) that share one shift; nan where there are no frames.

    Good to about eight digits while the two means are less than a thousand standard deviations
    apart; values and predictions in [-1, 1] are.
    """
    n, t, p, tt, pp, tp, agree = (m[..., i] for i in range(7))
    n = np.where(n > 0, n, np.nan)
    mean_t, mean_p = t / n, p / n
    var_t, var_p = tt / n - mean_t**2, pp / n - mean_p**2
    var_t = np.where(var_t > _CONSTANT * tt / n, var_t, np.nan)
    var_p = np.where(var_p > _CONSTANT * pp / n, var_p, np.nan)
    mse = np.maximum(tt - 2 * tp + pp, 0) / n
    return Statistics(n, mean_t - mean_p, var_t, var_p, tp / n - mean_t * mean_p, mse, agree)


def from_arrays(true: np.ndarray, pred: np.ndarray) -> Statistics:
    """Statistics of two (n,) arrays, each centred on its own mean; nan when empty."""
    true, pred = _vectors(true, pred)
    if not true.size:
        return Statistics(*np.full(7, np.nan))
    n = np.float64(true.size)
    t, p = true - true.mean(), pred - pred.mean()
    # Twice, because the mean itself is rounded: without it, an offset of 1e8 leaves its mark.
    t, p = t - t.mean(), p - p.mean()
    error = true - pred
    var_t = t @ t / n if np.ptp(true) > 0 else np.float64("nan")
    var_p = p @ p / n if np.ptp(pred) > 0 else np.float64("nan")
    agree = _agree(true, pred)
    return Statistics(n, error.mean(), var_t, var_p, t @ p / n, error @ error / n, agree)


def _vectors(true: np.ndarray, pred: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    true, pred = np.asarray(true, np.float64), np.asarray(pred, np.float64)
    if true.shape != pred.shape or true.ndim != 1:
        raise ValueError(f"true {true.shape} and pred {pred.shape} must be equal and 1-D")
    return true, pred


def _agree(true: np.ndarray, pred: np.ndarray) -> float:
    """Frames of equal sign; nan, as every other sum, where a value is nan and so has no sign."""
    if np.isnan(true).any() or np.isnan(pred).any():
        return np.nan
    return float(np.count_nonzero(np.sign(true) == np.sign(pred)))


def _mean_squares(s: Statistics) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Between frames, between the two judges, and residual (Shrout & Fleiss 1979, table 1)."""
    unbiased = s.n / (s.n - 1)
    between_frames = unbiased * (s.var_t + s.var_p + 2 * s.cov) / 2
    between_judges = s.n * s.gap**2 / 2
    residual = unbiased * (s.var_t + s.var_p - 2 * s.cov) / 2
    return between_frames, between_judges, residual


def _icc_2_1(s: Statistics) -> np.ndarray:
    """Absolute agreement of two judges: it sees an offset. nan too where all squares vanish."""
    frames, judges, residual = _mean_squares(s)
    below = frames + residual + 2 * (judges - residual) / s.n
    return (frames - residual) / np.where(below > 0, below, np.nan)


def _icc_3_1(s: Statistics) -> np.ndarray:
    """Consistency of two fixed judges, label and prediction."""
    frames, _, residual = _mean_squares(s)
    return (frames - residual) / (frames + residual)


_FORMULAS: dict[str, Callable[[Statistics], np.ndarray]] = {
    "RMSE": lambda s: np.sqrt(s.mse),
    "PCC": lambda s: np.clip(s.cov / np.sqrt(s.var_t * s.var_p), -1, 1),
    "ICC": lambda s: 2 * s.cov / (s.var_t + s.var_p),
    "CCC": lambda s: 2 * s.cov / (s.var_t + s.var_p + s.gap**2),
    "SAGR": lambda s: s.agree / s.n,
    "ICC(2,1)": _icc_2_1,
    "ICC(3,1)": _icc_3_1,
}
# What the study's tables hold. ICC(3,1) is ICC again, ICC(2,1) is CCC for many frames.
REPORTED = ("RMSE", "PCC", "ICC", "CCC", "SAGR")


# Undefined is nan and no accident: constant clips are common.
@np.errstate(invalid="ignore", divide="ignore")
def _on_moments(name: str, m: np.ndarray) -> np.ndarray:
    return _FORMULAS[name](from_moments(m))


@np.errstate(invalid="ignore", divide="ignore")
def _on_arrays(name: str, true: np.ndarray, pred: np.ndarray) -> float:
    return float(_FORMULAS[name](from_arrays(true, pred)))


# Every metric as a function of moments (..., 7), giving values (...).
FROM_MOMENTS: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    name: partial(_on_moments, name) for name in _FORMULAS
}


def rmse(true: np.ndarray, pred: np.ndarray) -> float:
    """Root-mean-square error of two (n,) arrays (thesis, equation 5.1), in their unit, from 0 up.

    nan when empty and where a value is nan; ValueError for arrays that are not equally long and
    one-dimensional; here and in all the others.
    """
    return _on_arrays("RMSE", true, pred)


def pcc(true: np.ndarray, pred: np.ndarray) -> float:
    """Pearson's correlation of two (n,) arrays (thesis, 5.2), in [-1, 1].

    Blind to offset and gain; nan where one of the arrays is constant.
    """
    return _on_arrays("PCC", true, pred)


def icc(true: np.ndarray, pred: np.ndarray) -> float:
    """The thesis's intra-class correlation (5.3) of two (n,) arrays: 2 cov / (var_t + var_p).

    In [-1, 1]. It has no term for a difference of the means, so it cannot see a constant bias. With
    the mean squares between frames F and residual E, F - E is proportional to 2 cov and F + E to
    var_t + var_p by the same factor: it is exactly Shrout & Fleiss's ICC(3,1) of two judges. nan
    where one of the arrays is constant.
    """
    return _on_arrays("ICC", true, pred)


def ccc(true: np.ndarray, pred: np.ndarray) -> float:
    """Lin's (1989) concordance of two (n,) arrays, in [-1, 1]; punishes offset and gain too.

    2 cov / (var_t + var_p + (mean_t - mean_p)^2). Equal to `icc` when the means agree, smaller in
    magnitude otherwise; nan where one of the arrays is constant.
    """
    return _on_arrays("CCC", true, pred)


def sagr(true: np.ndarray, pred: np.ndarray) -> float:
    """Sign agreement (Nicolaou et al. 2011) of two (n,) arrays, in [0, 1]; nan when empty.

    Zero is a sign of its own: a frame annotated exactly 0 agrees only with exactly 0. nan has none.
    """
    return _on_arrays("SAGR", true, pred)
