"""Made-up predictions, a predictor that finds no face, and what is in a folder."""

import hashlib
from pathlib import Path

import numpy as np
import pandas as pd

from vaaffect.results import PREDICTION_COLUMNS, Bootstrap, evaluate, fold_summary


def predictions(seed: int = 0, subjects: int = 20, folds: int = 4) -> pd.DataFrame:
    """Predictions of known quality: half of the label plus noise, by subject and clip."""
    rng = np.random.default_rng(seed)
    rows = []
    for subject in range(subjects):
        habit = 0.1 * rng.normal(size=2)
        for clip in range(3):
            mood = rng.uniform(-0.8, 0.8, 2)
            for frame in range(5):
                true = np.clip(mood + 0.05 * rng.normal(size=2), -1, 1)
                pred = np.clip(0.5 * true + habit + 0.1 * rng.normal(size=2), -1, 1)
                group = ("m", "r", "A", "A", "subject", 0, subject % folds)
                rows.append((*group, f"s{subject}", f"{subject}-{clip}", frame, *true, *pred))
    return pd.DataFrame(rows, columns=PREDICTION_COLUMNS)


def elsewhere(folds: int = 4) -> pd.DataFrame:
    """Every fold's network predicts every frame of another corpus, with an error of its own."""
    table = predictions(folds=1)
    parts = []
    for fold in range(folds):
        noise = np.random.default_rng(fold).normal(0, 0.02, (len(table), 2))
        pred = (table[["valence_pred", "arousal_pred"]] + noise).clip(-1, 1)
        parts.append(table.assign(fold=fold, test_corpus="B").assign(**pred))
    return pd.concat(parts, ignore_index=True)


def transferred() -> pd.DataFrame:
    """Trained on A and on B, tested on both; a model and the constant."""
    parts = []
    for train, other in (("A", "B"), ("B", "A")):
        parts.append(predictions().assign(train_corpus=train, test_corpus=train))
        parts.append(elsewhere().assign(train_corpus=train, test_corpus=other))
    table = pd.concat(parts)
    constant = table.assign(model="constant", valence_pred=0.1, arousal_pred=0.2)
    return fold_summary(evaluate(pd.concat([table, constant]), 1, bootstrap=Bootstrap(50)))


def contents(folder: Path) -> dict[str, str]:
    """Every file below a folder with the hash of its bytes."""
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


class Nobody:
    """A predictor that finds no face, at once."""

    tracker = None

    def reset(self) -> None:
        pass

    def __call__(self, picture: np.ndarray) -> list:
        return []
