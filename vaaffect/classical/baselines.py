"""Baselines: the constant (training mean), and regressions on features of the face.

Kossaifi et al. (2017) compared support vector regression, random forests and multiple kernels with
finetuned networks on AFEW-VA; in this study these methods get the networks' folds, rows and rules.
Their weights see the training rows alone, the inner validation rows choose the hyperparameters,
there is no refit on both, and the test rows are predicted once.
"""

import difflib
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pandas as pd
import skimage
import sklearn
from threadpoolctl import threadpool_limits

from ..base import UserError, at_once, code_digest, digest, kept, stage
from ..base import cache as store
from ..corpora import DIMENSIONS, Crops, Split, assert_disjoint
from ..results import joined, prediction_table
from ..training import backbone_of
from .features import FEATURES
from .methods import AT_ONCE, BASELINES, Blocks, choose, preparation

CONSTANT = "constant"  # how predictions and results call the constant predictor
CEILING = "ridge-on-exact-landmarks"  # no method, see `landmark_ceiling`

# Of each part of a fold, evenly spaced: a kernel's cost grows with the square of the rows and more,
# while neighbouring frames are near copies.
MOST_ROWS = 4000
_GIGABYTES = 2  # of memory for a fit: sums of kernels of MOST_ROWS rows take 1.3
_TABLE = "predictions.parquet"

DISPLAY = {CONSTANT: "constant (training mean)", CEILING: "ceiling: ridge on exact landmarks"}
DISPLAY |= {name: baseline.name for name, baseline in BASELINES.items()}


def reads_landmarks(name: str) -> bool:
    """Whether a baseline or a network gets landmarks' positions, with the picture or alone."""
    if name in BASELINES:
        return "geometry" in BASELINES[name].features
    return backbone_of(name) is not None


def fair_baselines(names: Iterable[str], exact_landmarks: bool) -> list[str]:
    """The methods that networks of pixels may be compared with: all, unless the corpus has exact
    landmarks, which no photograph offers; then those that do not read landmarks."""
    return [name for name in names if not (exact_landmarks and reads_landmarks(name))]


def landmark_ceiling(
    exact_crops: Crops, splits: Sequence[Split], *, seed: int = 0, cache: Path | None = None
) -> pd.DataFrame:
    """What drawn faces show: ridge regression on exact landmarks (`data.with_exact_landmarks`), on
    the folds and frames of the others. It is a ceiling and no method: it has a name of its own,
    which no list of baselines has. A table as of `fit_baselines`, model CEILING."""
    fitted = fit_baselines(exact_crops, splits, ["geometry-ridge"], seed=seed, cache=cache)
    return fitted.assign(model=CEILING)


def constant_predictor(
    crops: Crops, splits: list[Split], elsewhere: Crops | None = None
) -> pd.DataFrame:
    """The constant baseline: the mean training label for every test frame, fold by fold.

    The smallest squared error that is possible without looking at the face. Its RMSE is close to
    the labels' standard deviation; its correlations are undefined. `elsewhere` is another corpus,
    of which every frame is predicted instead of the test folds. Returns a table as of
    `prediction_table`.
    """
    tables = []
    for split in splits:
        assert_disjoint(split, crops.frames)
        mean = crops.va[split.train].astype(np.float64).mean(axis=0)
        rows = split.test if elsewhere is None else np.arange(len(elsewhere.frames))
        pred = np.tile(mean, (len(rows), 1))
        fold = {"train_corpus": crops.label, "fold": split.fold, "split": split.by}
        names = {"model": CONSTANT, "recipe": "training mean"}
        tables.append(prediction_table(pred, elsewhere or crops, rows, **names, **fold, seed=0))
    return joined(tables)


@stage("baselines")
def fit_baselines(
    crops: Crops, splits: Sequence[Split], names: Iterable[str], elsewhere: Sequence[Crops] = (), *,
    seed: int = 0, cache: Path | None = None,
) -> pd.DataFrame:  # fmt: skip
    """Fit baselines on each fold and predict its test rows, and every frame of other corpora.

    Valence and arousal are fitted separately, each with hyperparameters of its own: those of the
    smallest squared error on the fold's inner validation rows. The same seed gives the same
    predictions, however many cores there are.

    Args:
        names: keys of BASELINES.
        elsewhere: other corpora; their crops may have another size.
        seed: of random forests and of randomised principal components.
        cache: folder in which predictions are kept; later calls with the same inputs read them.

    Returns a table as of `prediction_table`, by name, then by fold; predictions clipped to [-1, 1].
    UserErrors: an unknown name, landmarks without a shape, a damaged cache or a full disk.
    """
    names = check_names(names)
    for split in splits:
        assert_disjoint(split, crops.frames)
    corpora = [crops, *elsewhere]
    with TemporaryDirectory() as temporary:  # where predictions lie that nobody wants to keep
        root = cache or Path(temporary)
        jobs = {
            root / _folder_name(name, split, corpora, seed): (name, split)
            for name in names
            for split in splits
        }
        missing = {folder: job for folder, job in jobs.items() if store.opened(folder) is None}
        wanted = {kind for name, _ in missing.values() for kind in BASELINES[name].features}
        wanted = sorted(wanted)  # measured once, for all folds
        features = [{kind: _measure(kind, corpus) for kind in wanted} for corpus in corpora]

        def fit(folder: Path) -> None:
            kept(folder, lambda folder: _fit(folder, *jobs[folder], corpora, features, seed))

        # One thread of BLAS per fit: faster for small matrices, and sums whose order never changes.
        with threadpool_limits(1, "blas"), ThreadPoolExecutor(at_once(_GIGABYTES)) as pool:
            list(pool.map(fit, missing))
        tables = [pd.read_parquet(folder / _TABLE) for folder in jobs]
    return joined(tables)


def check_names(names: Iterable[str]) -> list[str]:
    """The names, each once; UserError for one that is no key of BASELINES, or none at all."""
    names = list(dict.fromkeys(names))
    for name in names:
        if name not in BASELINES:
            (near,) = difflib.get_close_matches(name, BASELINES, 1, 0)
            raise UserError(
                f"unknown baseline {name!r}; the nearest is {near!r}, and there are: "
                f"{', '.join(BASELINES)}."
            )
    if not names:
        raise UserError(f"no baseline is named; choose from {', '.join(BASELINES)}.")
    return names


def _measure(kind: str, crops: Crops) -> np.ndarray:
    return FEATURES[kind](crops.landmarks if kind == "geometry" else crops.images)


def _folder_name(name: str, split: Split, corpora: list[Crops], seed: int) -> str:
    code = code_digest(Path(__file__).parent, but=("__init__.py",))
    versions = [sklearn.__version__, skimage.__version__]
    key = digest(code, [[c.label, c.key] for c in corpora], split.fingerprint(), versions)
    return f"{name}_{split.by}_fold{split.fold}_seed{seed}_{key[:16]}"


def _fit(
    folder: Path, name: str, split: Split, corpora: list[Crops], features: list[dict], seed: int
) -> dict[str, str]:
    """Write the predictions of one method on one fold; returns the regressor of each dimension."""
    baseline, crops = BASELINES[name], corpora[0]
    train, val = thinned(split.train), thinned(split.val)
    preparations = {
        kind: preparation(kind, len(train), seed).fit(features[0][kind][train])
        for kind in baseline.features
    }

    def prepared(corpus: int, rows: np.ndarray) -> Blocks:
        return [p.transform(features[corpus][kind][rows]) for kind, p in preparations.items()]

    blocks = prepared(0, train)
    x_train, x_val = np.hstack(blocks), np.hstack(prepared(0, val))
    va = crops.va.astype(np.float64)
    chosen = [
        choose(baseline.candidates(blocks, seed), x_train, va[train, d], x_val, va[val, d])
        for d in range(2)
    ]
    tables = []
    for corpus, tested in enumerate(corpora):
        rows = split.test if corpus == 0 else np.arange(len(tested.frames))
        parts = []
        for i in range(0, len(rows), AT_ONCE):  # all rows of a corpus fill memory, in every thread
            x = np.hstack(prepared(corpus, rows[i : i + AT_ONCE]))
            parts.append(np.column_stack([regressor.predict(x) for regressor in chosen]))
        pred = np.concatenate(parts).clip(-1, 1)
        fold = {"train_corpus": crops.label, "fold": split.fold, "split": split.by}
        names = {"model": name, "recipe": "inner validation"}  # which chose the hyperparameters
        tables.append(prediction_table(pred, tested, rows, **names, **fold, seed=seed))
    joined(tables).to_parquet(folder / _TABLE, index=False)
    return dict(zip(DIMENSIONS, map(repr, chosen), strict=True))


def thinned(rows: np.ndarray) -> np.ndarray:
    """At most MOST_ROWS of some rows, evenly spaced over them, in their order."""
    if len(rows) <= MOST_ROWS:
        return rows
    return rows[np.linspace(0, len(rows) - 1, MOST_ROWS).round().astype(int)]
