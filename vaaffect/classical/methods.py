"""The regressions on features: what each looks at, and what may be chosen for it."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KernelCenterer, StandardScaler
from sklearn.svm import SVR

_COMPONENTS = 100  # of the principal components that stand for HOG and LBP
_EPSILON = 0.05  # half the width of SVR's tube, where errors cost nothing; labels have steps of 0.1
_COSTS = (0.3, 1, 3, 10)
_WIDTHS = (0.1, 0.3, 1)  # of RBF kernels' gamma, as fractions of scikit-learn's "scale"
AT_ONCE = 2000  # rows of a large corpus that are prepared and predicted at a time

Blocks = list[np.ndarray]  # one (n, d) array per feature set


class SumOfKernelsSVR(RegressorMixin, BaseEstimator):
    """Support vector regression on a weighted sum of RBF kernels, one per feature set.

    Each kernel weighs as much as it agrees with the labels of the training rows: centred alignment,
    algorithm "align" of Cortes, Mohri & Rostamizadeh (JMLR 2012). Of the columns of X, `widths`
    says how many belong to each feature set, in order; `gammas` are those of their kernels, `C` is
    SVR's price of errors.
    """

    def __init__(self, widths: tuple[int, ...], gammas: tuple[float, ...], C: float):  # noqa: N803
        self.widths = widths
        self.gammas = gammas
        self.C = C

    def fit(self, X: np.ndarray, y: np.ndarray) -> "SumOfKernelsSVR":  # noqa: N803
        """X: (n, sum of widths) prepared features; y: (n,) labels."""
        self.blocks_ = self._blocks(X)
        sets = zip(self.blocks_, self.gammas, strict=True)
        kernels = [rbf_kernel(block, gamma=gamma) for block, gamma in sets]
        agreement = np.array([max(0.0, alignment(kernel, y)) for kernel in kernels])
        total = agreement.sum()
        even = np.full(len(kernels), 1 / len(kernels))
        self.weights_ = agreement / total if total > 0 else even  # (sets,), of sum 1
        kernel = sum(w * k for w, k in zip(self.weights_, kernels, strict=True))
        self.svr_ = SVR(kernel="precomputed", C=self.C, epsilon=_EPSILON).fit(kernel, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """X: (n, sum of widths) -> (n,)."""
        sets = zip(self.weights_, self._blocks(X), self.blocks_, self.gammas, strict=True)
        return self.svr_.predict(sum(w * rbf_kernel(new, old, gamma=g) for w, new, old, g in sets))

    def _blocks(self, x: np.ndarray) -> Blocks:
        return np.split(x, np.cumsum(self.widths)[:-1], axis=1)


class FastSVR(SVR):
    """scikit-learn's SVR with an RBF kernel. Its predictions are the same to rounding, but by a
    product of matrices, in a fifth of the time: networks' test rows are many."""

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """X: (n, features) -> (n,)."""
        kernel = rbf_kernel(X, self.support_vectors_, gamma=self._gamma)
        return kernel @ self.dual_coef_[0] + self.intercept_


def alignment(kernel: np.ndarray, y: np.ndarray) -> float:
    """The cosine between a kernel (n, n) and y yᵀ of (n,) labels, centred; 0 for constant ones."""
    centred = KernelCenterer().fit_transform(kernel)
    y = y - y.mean()
    size = np.linalg.norm(centred) * (y @ y)
    return float(y @ centred @ y / size) if size > 0 else 0.0


def _ridges(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    return [Ridge(alpha) for alpha in (0.1, 1, 10, 100, 1000, 10000)]


def _svrs(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    gammas = [width * _scale(blocks[0]) for width in _WIDTHS]
    return [FastSVR(C=cost, gamma=gamma, epsilon=_EPSILON) for cost in _COSTS for gamma in gammas]


def _forests(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    return [
        RandomForestRegressor(100, min_samples_leaf=leaf, max_features=0.2, random_state=seed)
        for leaf in (2, 5)
    ]


def _sums_of_kernels(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    columns = tuple(block.shape[1] for block in blocks)
    scales = [_scale(block) for block in blocks]
    gammas = [tuple(width * scale for scale in scales) for width in _WIDTHS]
    return [SumOfKernelsSVR(columns, each, cost) for cost in _COSTS for each in gammas]


def _scale(block: np.ndarray) -> float:
    """scikit-learn's gamma="scale": one over the expected squared distance, but for a factor."""
    variance = block.var()
    return float(1 / (block.shape[1] * variance)) if variance > 0 else 1.0


@dataclass(frozen=True)
class Baseline:
    """A method: its features, and the regressors that the inner validation chooses from."""

    name: str  # in tables
    features: tuple[str, ...]  # keys of FEATURES
    # (prepared training features, seed) -> regressors, none of them fitted
    candidates: Callable[[Blocks, int], list[BaseEstimator]]


BASELINES = {
    "geometry-ridge": Baseline("landmarks, ridge", ("geometry",), _ridges),
    "geometry-svr": Baseline("landmarks, SVR", ("geometry",), _svrs),
    "geometry-forest": Baseline("landmarks, random forest", ("geometry",), _forests),
    "hog-ridge": Baseline("HOG, ridge", ("hog",), _ridges),
    "hog-svr": Baseline("HOG, SVR", ("hog",), _svrs),
    "lbp-svr": Baseline("LBP, SVR", ("lbp",), _svrs),
    "multikernel-svr": Baseline("multi-kernel SVR", ("geometry", "hog", "lbp"), _sums_of_kernels),
}


def preparation(kind: str, rows: int, seed: int) -> Pipeline:
    """The steps from a feature set to a regressor's input, to be fitted on so many training rows.

    Each column gets mean 0 and variance 1; HOG and LBP, of many columns that go together, are then
    reduced to principal components. Of the histograms of LBP the square root is taken first:
    distances between such roots are Hellinger's.
    """
    steps = [FunctionTransformer(np.sqrt)] if kind == "lbp" else []
    steps.append(StandardScaler())
    if kind != "geometry":
        steps.append(PCA(min(_COMPONENTS, rows - 1), random_state=seed))
    return make_pipeline(*steps)


def choose(
    candidates: list[BaseEstimator], x_train: np.ndarray, y_train: np.ndarray, x_val: np.ndarray,
    y_val: np.ndarray,
) -> BaseEstimator:  # fmt: skip
    """The fitted candidate with the smallest squared error on the inner validation rows."""
    fitted = [candidate.fit(x_train, y_train) for candidate in candidates]
    errors = [np.mean((f.predict(x_val).clip(-1, 1) - y_val) ** 2) for f in fitted]
    return fitted[int(np.argmin(errors))]
