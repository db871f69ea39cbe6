"""Folds by subject: nobody is seen in training and in test.

The corpus ships the actor of each clip; splitting by clip or by frame instead lets a network
recognise people, and is only done to price that leak.
"""

import hashlib
from dataclasses import dataclass

import numpy as np
import pandas as pd
from sklearn.model_selection import StratifiedGroupKFold

from .errors import UserError


@dataclass(frozen=True)
class Split:
    """Row numbers of one fold's three parts.

    Attributes:
        fold: 0-based number of the fold.
        train: rows that weights are fitted to.
        val: rows of other subjects that choose the epoch.
        test: rows of yet other subjects, read once.
    """

    fold: int
    train: np.ndarray
    val: np.ndarray
    test: np.ndarray

    def fingerprint(self) -> str:
        """SHA-256 over the three sets of rows."""
        digest = hashlib.sha256()
        for rows in (self.train, self.val, self.test):
            digest.update(rows.astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()


def label_strata(va: np.ndarray) -> np.ndarray:
    """Cut the valence-arousal plane into nine cells, so that folds get similar labels.

    Args:
        va: (N, 2) labels in [-1, 1].

    Returns:
        (N,) cell numbers 0-8: tercile of valence times three plus tercile of arousal.
    """
    terciles = [np.searchsorted(np.quantile(x, [1 / 3, 2 / 3]), x) for x in va.T]
    return 3 * terciles[0] + terciles[1]


def subject_folds(
    frames: pd.DataFrame, folds: int = 5, val_share: float = 0.2, seed: int = 0
) -> list[Split]:
    """Cut a corpus into folds by subject, with an inner validation part in each.

    Both cuts balance the labels over the plane as far as whole subjects allow
    (scikit-learn's StratifiedGroupKFold).

    Args:
        frames: one row per frame, with subject, valence and arousal.
        folds: number of folds; every frame is tested in exactly one.
        val_share: share of a fold's non-test subjects that chooses the epoch.
        seed: shuffles subjects.

    Raises:
        UserError: fewer subjects than the cuts need.
    """
    subjects = frames["subject"].to_numpy()
    present = len(np.unique(subjects))
    inner = max(2, round(1 / val_share))
    if present < folds + inner - 1:
        raise UserError(
            f"{present} subjects are too few for {folds} subject-disjoint folds with an inner "
            f"validation part; use at least {folds + inner - 1} subjects or fewer folds."
        )
    strata = label_strata(frames[["valence", "arousal"]].to_numpy())
    splits = []
    for fold, (rest, test) in enumerate(_cut(strata, subjects, folds, seed)):
        kept, held = next(_cut(strata[rest], subjects[rest], inner, seed + 1 + fold))
        split = Split(fold, rest[kept], rest[held], test)
        assert_subject_disjoint(split, frames)
        splits.append(split)
    return splits


def _cut(strata: np.ndarray, groups: np.ndarray, parts: int, seed: int):
    counts = np.bincount(strata)
    # A cell with fewer frames than parts cannot be spread over them; count it with the fullest.
    strata = np.where(counts[strata] < parts, counts.argmax(), strata)
    cutter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
    return cutter.split(strata, strata, groups)


def assert_subject_disjoint(split: Split, frames: pd.DataFrame) -> None:
    """Raise AssertionError if a subject is in two parts of a split, or a part is empty."""
    parts = {name: getattr(split, name) for name in ("train", "val", "test")}
    seen: dict[str, str] = {}
    for name, rows in parts.items():
        assert len(rows), f"fold {split.fold}: the {name} part is empty"
        for subject in frames["subject"].iloc[rows].unique():
            assert subject not in seen, (
                f"fold {split.fold}: subject {subject} is in {seen[subject]} and in {name}"
            )
            seen[subject] = name


def split_table(splits: list[Split], frames: pd.DataFrame) -> pd.DataFrame:
    """One row per fold and part: subjects, clips, frames, mean valence and arousal."""
    rows = []
    for split in splits:
        for part in ("train", "val", "test"):
            here = frames.iloc[getattr(split, part)]
            rows.append(
                {
                    "fold": split.fold,
                    "part": part,
                    "subjects": here["subject"].nunique(),
                    "clips": here["clip"].nunique(),
                    "frames": len(here),
                    "mean valence": here["valence"].mean(),
                    "mean arousal": here["arousal"].mean(),
                }
            )
    return pd.DataFrame(rows)
