"""What every network must beat: not looking at the face, and how faces were read before networks.

Kossaifi et al. (2017) compared support vector regression, random forests and multiple kernels with
finetuned networks on AFEW-VA; here these methods get the networks' folds, rows and rules. Their
weights see the training rows alone, the inner validation rows choose the hyperparameters, there is
no refit on both, and the test rows are predicted once.
"""

import difflib
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import skimage
import sklearn
from sklearn.base import BaseEstimator, RegressorMixin
from sklearn.decomposition import PCA
from sklearn.ensemble import RandomForestRegressor
from sklearn.linear_model import Ridge
from sklearn.metrics.pairwise import rbf_kernel
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import FunctionTransformer, KernelCenterer, StandardScaler
from sklearn.svm import SVR
from threadpoolctl import threadpool_limits

from ..base import UserError, read_manifest, write_atomically
from ..corpora import Crops, Split, assert_disjoint
from ..results import prediction_table
from ..training import backbone_of
from .features import FEATURES

VERSION = 1  # change it when the same inputs would give other predictions
CONSTANT = "constant"  # how predictions and results call the constant predictor
RECIPE = "inner validation"  # what chose the hyperparameters

# Of each part of a fold, evenly spaced: a kernel's cost grows with the square of the rows and more,
# while neighbouring frames are near copies.
MOST_ROWS = 4000
_COMPONENTS = 100  # of the principal components that stand for HOG and LBP
_EPSILON = 0.05  # half the width of SVR's tube, where errors cost nothing; labels have steps of 0.1
_COSTS = (0.3, 1, 3, 10)
_WIDTHS = (0.1, 0.3, 1)  # of RBF kernels' gamma, as shares of scikit-learn's "scale"
_AT_ONCE = 2000  # rows of a kernel between a large corpus and the training rows

Blocks = list[np.ndarray]  # one (n, d) array per feature set


class SumOfKernelsSVR(RegressorMixin, BaseEstimator):
    """Support vector regression on a weighted sum of RBF kernels, one per feature set.

    Each kernel weighs as much as it agrees with the labels of the training rows: centred alignment,
    algorithm "align" of Cortes, Mohri & Rostamizadeh (JMLR 2012).

    Attributes:
        widths: how many columns of X belong to each feature set, in order.
        gammas: of each RBF kernel.
        C: SVR's price of errors.
        weights_: (sets,) after `fit`; not negative, of sum 1.
    """

    def __init__(self, widths: tuple[int, ...], gammas: tuple[float, ...], C: float):  # noqa: N803
        self.widths = widths
        self.gammas = gammas
        self.C = C

    def fit(self, X: np.ndarray, y: np.ndarray) -> "SumOfKernelsSVR":  # noqa: N803
        """X: (n, sum of widths) prepared features; y: (n,) labels."""
        self.blocks_ = self._blocks(X)
        kernels = [
            rbf_kernel(block, gamma=gamma)
            for block, gamma in zip(self.blocks_, self.gammas, strict=True)
        ]
        agreement = np.array([max(0.0, alignment(kernel, y)) for kernel in kernels])
        total = agreement.sum()
        even = np.full(len(kernels), 1 / len(kernels))
        self.weights_ = agreement / total if total > 0 else even
        kernel = sum(w * k for w, k in zip(self.weights_, kernels, strict=True))
        self.svr_ = SVR(kernel="precomputed", C=self.C, epsilon=_EPSILON).fit(kernel, y)
        return self

    def predict(self, X: np.ndarray) -> np.ndarray:  # noqa: N803
        """X: (n, sum of widths) -> (n,)."""
        parts = [X[i : i + _AT_ONCE] for i in range(0, len(X), _AT_ONCE)]
        return np.concatenate([self._predict_part(part) for part in parts])

    def _predict_part(self, part: np.ndarray) -> np.ndarray:
        of = zip(self.weights_, self._blocks(part), self.blocks_, self.gammas, strict=True)
        return self.svr_.predict(sum(w * rbf_kernel(new, old, gamma=g) for w, new, old, g in of))

    def _blocks(self, x: np.ndarray) -> Blocks:
        return np.split(x, np.cumsum(self.widths)[:-1], axis=1)


def alignment(kernel: np.ndarray, y: np.ndarray) -> float:
    """Centred alignment of a kernel with labels: the cosine between K and y yᵀ, both centred.

    Args:
        kernel: (n, n), symmetric.
        y: (n,) labels.

    Returns:
        In [-1, 1]; 0 where the labels or the kernel are constant.
    """
    centred = KernelCenterer().fit_transform(kernel)
    y = y - y.mean()
    size = np.linalg.norm(centred) * (y @ y)
    return float(y @ centred @ y / size) if size > 0 else 0.0


def _ridges(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    return [Ridge(alpha) for alpha in (0.1, 1, 10, 100, 1000, 10000)]


def _svrs(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    scale = _scale(blocks[0])
    return [
        SVR(C=cost, gamma=width * scale, epsilon=_EPSILON) for cost in _COSTS for width in _WIDTHS
    ]


def _forests(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    return [
        RandomForestRegressor(100, min_samples_leaf=leaf, max_features=0.2, random_state=seed)
        for leaf in (2, 5)
    ]


def _sums_of_kernels(blocks: Blocks, seed: int) -> list[BaseEstimator]:
    widths = tuple(block.shape[1] for block in blocks)
    scales = [_scale(block) for block in blocks]
    return [
        SumOfKernelsSVR(widths, tuple(width * scale for scale in scales), cost)
        for cost in _COSTS
        for width in _WIDTHS
    ]


def _scale(block: np.ndarray) -> float:
    """scikit-learn's gamma="scale": one over the expected squared distance, but for a factor."""
    variance = block.var()
    return float(1 / (block.shape[1] * variance)) if variance > 0 else 1.0


@dataclass(frozen=True)
class Baseline:
    """A method: what it looks at, and the regressors that the inner validation chooses from.

    Attributes:
        name: how tables call it.
        features: names of features.FEATURES.
        candidates: (prepared training features, seed) -> regressors, none of them fitted.
    """

    name: str
    features: tuple[str, ...]
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
DISPLAY: dict[str, str] = {
    CONSTANT: "constant (training mean)",
    **{name: baseline.name for name, baseline in BASELINES.items()},
}


def reads_landmarks(name: str) -> bool:
    """Whether a method, or a network, is given landmarks' positions, with the picture or alone."""
    if name in BASELINES:
        return "geometry" in BASELINES[name].features
    return backbone_of(name) is not None


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

    Raises:
        AssertionError: a split's parts share what its `by` says they do not.
    """
    tables = []
    for split in splits:
        assert_disjoint(split, crops.frames)
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
                split=split.by,
            )
        )
    return pd.concat(tables, ignore_index=True)


def fit_baselines(
    crops: Crops,
    splits: Sequence[Split],
    names: Iterable[str],
    elsewhere: Sequence[Crops] = (),
    *,
    seed: int = 0,
    cache: Path | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> pd.DataFrame:
    """Fit baselines on each fold and predict its test rows, and every frame of other corpora.

    Valence and arousal are fitted separately, each with hyperparameters of its own: those of the
    smallest squared error on the fold's inner validation rows. The same seed gives the same
    predictions, however many cores there are.

    Args:
        crops: pictures, landmarks and labels.
        splits: the folds that the networks are trained on.
        names: keys of BASELINES.
        elsewhere: other corpora; their crops may have another size.
        seed: of random forests and of randomised principal components.
        cache: folder in which predictions are kept; later calls with the same inputs read them.
        progress: called with (fits done, fits in all), a fit being one method on one fold.

    Returns:
        A prediction table as of `predictions.prediction_table`, recipe RECIPE, predictions clipped
        to [-1, 1]; by name, then by fold.

    Raises:
        AssertionError: a split's parts share what its `by` says they do not.
        UserError: an unknown name, landmarks without a shape, a damaged cache or a full disk.
    """
    names = _known(names)
    for split in splits:
        assert_disjoint(split, crops.frames)
    corpora = [crops, *elsewhere]
    jobs = [(name, split) for name in names for split in splits]
    folders = [_folder(cache, name, split, corpora, seed) for name, split in jobs]
    tables = [None if folder is None else _read(folder) for folder in folders]
    missing = [number for number, table in enumerate(tables) if table is None]
    wanted = {kind for number in missing for kind in BASELINES[jobs[number][0]].features}
    features = [
        {kind: _measure(kind, c) for kind in FEATURES if kind in wanted}  # the same for every fold
        for c in corpora
    ]

    def fit(number: int) -> tuple[pd.DataFrame, list[str]]:
        name, split = jobs[number]
        return _fit(name, split, corpora, features, seed)

    # One thread of BLAS per fit: faster for small matrices, and sums whose order never changes.
    with threadpool_limits(1, "blas"), ThreadPoolExecutor(os.cpu_count()) as pool:
        futures = {pool.submit(fit, number): number for number in missing}
        for done, future in enumerate(as_completed(futures), len(jobs) - len(missing) + 1):
            number = futures[future]
            tables[number], chosen = future.result()
            if folders[number] is not None:
                _write(folders[number], tables[number], chosen)
            if progress is not None:
                progress(done, len(jobs))
    return pd.concat(tables, ignore_index=True)


def _known(names: Iterable[str]) -> list[str]:
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in BASELINES:
            near = difflib.get_close_matches(name, BASELINES, 1, 0)
            raise UserError(
                f"unknown baseline {name!r}; the nearest is {near[0]!r}, and there are: "
                f"{', '.join(BASELINES)}."
            )
    if not names:
        raise UserError(f"no baseline is named; choose from {', '.join(BASELINES)}.")
    return names


def _measure(kind: str, crops: Crops) -> np.ndarray:
    return FEATURES[kind](crops.landmarks if kind == "geometry" else crops.images)


def _fit(
    name: str,
    split: Split,
    corpora: list[Crops],
    features: list[dict[str, np.ndarray]],
    seed: int,
) -> tuple[pd.DataFrame, list[str]]:
    """The predictions of one method on one fold, and the regressors chosen for (V, A)."""
    baseline, home = BASELINES[name], corpora[0]
    train, val = thinned(split.train), thinned(split.val)
    tested = [(home, split.test), *((c, np.arange(len(c.frames))) for c in corpora[1:])]
    preparations = {
        kind: preparation(kind, len(train), seed).fit(features[0][kind][train])
        for kind in baseline.features
    }

    def prepared(corpus: int, rows: np.ndarray) -> Blocks:
        return [p.transform(features[corpus][kind][rows]) for kind, p in preparations.items()]

    blocks = prepared(0, train)
    x_train, x_val = np.hstack(blocks), np.hstack(prepared(0, val))
    va = home.va.astype(np.float64)
    chosen = [
        _choose(baseline.candidates(blocks, seed), x_train, va[train, d], x_val, va[val, d])
        for d in range(2)
    ]
    tables = []
    for corpus, (crops, rows) in enumerate(tested):
        x = np.hstack(prepared(corpus, rows))
        pred = np.column_stack([regressor.predict(x) for regressor in chosen]).clip(-1, 1)
        tables.append(
            prediction_table(
                pred,
                crops,
                rows,
                model=name,
                recipe=RECIPE,
                train_corpus=home.label,
                fold=split.fold,
                seed=seed,
                split=split.by,
            )
        )
    return pd.concat(tables, ignore_index=True), [repr(regressor) for regressor in chosen]


def _choose(
    candidates: list[BaseEstimator],
    x_train: np.ndarray,
    y_train: np.ndarray,
    x_val: np.ndarray,
    y_val: np.ndarray,
) -> BaseEstimator:
    """The fitted candidate with the smallest squared error on the inner validation rows."""
    fitted = [candidate.fit(x_train, y_train) for candidate in candidates]
    errors = [np.mean((f.predict(x_val).clip(-1, 1) - y_val) ** 2) for f in fitted]
    return fitted[int(np.argmin(errors))]


def thinned(rows: np.ndarray) -> np.ndarray:
    """At most MOST_ROWS of some rows, evenly spaced over them, in their order."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int)]


def preparation(kind: str, rows: int, seed: int) -> Pipeline:
    """The steps from a feature set to a regressor's input, to be fitted on training rows only.

    Each column gets mean 0 and variance 1; HOG and LBP, of many columns that go together, are then
    reduced to principal components. Of the histograms of LBP the square root is taken first:
    distances between such roots are Hellinger's.

    Args:
        kind: a key of features.FEATURES.
        rows: how many rows it will be fitted to.
        seed: of randomised principal components.
    """
    steps = [FunctionTransformer(np.sqrt)] if kind == "lbp" else []
    steps.append(StandardScaler())
    if kind != "geometry":
        steps.append(PCA(min(_COMPONENTS, rows - 1), random_state=seed))
    return make_pipeline(*steps)


def _folder(
    cache: Path | None, name: str, split: Split, corpora: list[Crops], seed: int
) -> Path | None:
    if cache is None:
        return None
    settings = {
        "version": VERSION,
        "name": name,
        "corpora": [[c.label, c.key] for c in corpora],
        "fold": split.fold,
        "by": split.by,
        "split": split.fingerprint(),
        "seed": seed,
        "libraries": [sklearn.__version__, skimage.__version__],
    }
    digest = hashlib.sha256(json.dumps(settings).encode()).hexdigest()[:16]
    return cache / f"{name}_{split.by}_fold{split.fold}_seed{seed}_{digest}"


def _read(folder: Path) -> pd.DataFrame | None:
    if read_manifest(folder) is None:
        return None
    return pd.read_parquet(folder / "predictions.parquet")


def _write(folder: Path, table: pd.DataFrame, chosen: list[str]) -> None:
    """Predictions, then the manifest: it says that they are whole, and what was chosen."""
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    manifest = {
        "valence": chosen[0],
        "arousal": chosen[1],
        "sha256": {"predictions.parquet": hashlib.sha256(file.getvalue()).hexdigest()},
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(folder / "predictions.parquet", file.getvalue())
        write_atomically(folder / "manifest.json", json.dumps(manifest, indent=1))
    except OSError as error:
        raise UserError(
            f"{folder}: cannot be written ({error.strerror or error}); free some space or make "
            "the folder writable, then run again."
        ) from error
