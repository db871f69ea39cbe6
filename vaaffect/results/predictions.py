"""The table of predictions: a row per test frame, the same columns for every model."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import numpy as np
import pandas as pd
from pandas.api.types import union_categoricals

from ..base import UserError
from ..base.cache import damaged
from ..corpora import DIMENSIONS, Crops

FROM_SCRATCH = "from scratch"  # how the recipe's name ends of a network that has a finetuned twin
RATER = "rater"  # the model of a table in which raters stand in place of seeds
# What identifies a model; its trainings with several seeds are repetitions.
MODEL = ["model", "recipe", "train_corpus", "test_corpus", "split"]
GROUP = [*MODEL, "seed"]  # the rows whose folds belong together
VALUES = ["valence_true", "arousal_true", "valence_pred", "arousal_pred"]
PREDICTION_COLUMNS = [*GROUP, "fold", "subject", "clip", "frame", *VALUES]
# A study of the real corpora has ten million rows, each with the same few names: these columns are
# categories, and a row takes less than half of the bytes.
NAMES = [*MODEL, "subject", "clip"]
_NUMBERS = {"seed": np.int32, "fold": np.int32, "frame": np.int32}
_CORPORA = ["train_corpus", "test_corpus"]  # compared with each other: the same categories


def prediction_table(
    pred: np.ndarray,
    crops: Crops,
    rows: np.ndarray,
    *,
    model: str,
    recipe: str,
    train_corpus: str,
    fold: int,
    seed: int,
    split: str = "subject",
) -> pd.DataFrame:
    """Predictions in the study's form, columns PREDICTION_COLUMNS.

    `pred` (n, 2) holds valence and arousal in [-1, 1], of (n,) `rows` of the tested `crops`;
    `recipe` is the name of the way in which `model` was trained on the corpus labelled
    `train_corpus`; `split` says what the folds keep apart, as `Split.by`.
    """
    names = {"model": model, "recipe": recipe, "train_corpus": train_corpus, "split": split}
    names |= {"test_corpus": crops.label, "fold": fold, "seed": seed}
    frames = crops.frames.iloc[rows].reset_index(drop=True)
    table = frames[["subject", "clip", "frame"]].assign(**names)
    for axis, dimension in enumerate(DIMENSIONS):
        table[f"{dimension}_true"] = frames[dimension]
        table[f"{dimension}_pred"] = pred[:, axis].astype(np.float64)
    return joined([table])


def joined(tables: Iterable[pd.DataFrame]) -> pd.DataFrame:
    """Tables of predictions (PREDICTION_COLUMNS), one under the other, in little memory.

    As `pd.concat`, which gives up categories where two tables have different ones: names are
    categories here, whole numbers have 32 bits. UserError for a missing column.
    """
    tables = list(tables)
    for table in tables:
        _check_columns(table)
    columns = {}
    for name in PREDICTION_COLUMNS:
        parts = [table[name] for table in tables]
        if name in NAMES:
            columns[name] = union_categoricals([pd.Categorical(part) for part in parts])
        else:
            columns[name] = np.concatenate(parts).astype(_NUMBERS.get(name, np.float64), copy=False)
    corpora = sorted({label for name in _CORPORA for label in columns[name].categories})
    for name in _CORPORA:
        columns[name] = columns[name].set_categories(corpora)
    return pd.DataFrame(columns, copy=False)


def check_predictions(predictions: pd.DataFrame) -> None:
    """Refuse predictions that cannot be evaluated honestly.

    UserError for a missing column, no rows, an empty cell, a value that is not a finite number; the
    same frame predicted twice by one model (within one fold where it was trained on another corpus:
    there, the network of every fold predicts every frame); a frame with two labels or two subjects;
    folds that are not 0, 1, ..., or not the same for models that are compared; fewer subjects than
    folds, a fold of one subject, or a subject in two folds that claim to keep subjects apart.
    """
    _check_columns(predictions)
    _check_cells(predictions)
    _check_frames(predictions)
    comparable: dict[tuple, tuple[str, set]] = {}
    for group, model_rows in predictions.groupby(GROUP, sort=False):
        _check_folds(group, model_rows, comparable)


def frame_numbers(predictions: pd.DataFrame) -> np.ndarray:
    """(rows,) whole numbers, equal for rows of the same frame of the same test corpus."""
    frames = predictions["frame"].to_numpy(np.int64)
    number = pd.factorize(predictions["test_corpus"])[0].astype(np.int64)
    for codes, count in (
        (pd.factorize(predictions["clip"])[0], predictions["clip"].nunique()),
        (frames - frames.min(initial=0), np.ptp(frames) + 1 if len(frames) else 1),
    ):
        number = number * count + codes
    return number


def _check_columns(predictions: pd.DataFrame) -> None:
    missing = [name for name in PREDICTION_COLUMNS if name not in predictions]
    if missing:
        raise UserError(f"predictions have no column {missing[0]!r}; train again to renew them.")


def _check_cells(predictions: pd.DataFrame) -> None:
    if predictions.empty:
        raise UserError("there are no predictions to evaluate; train at least one fold.")
    for name in VALUES:
        bad = ~np.isfinite(predictions[name].to_numpy(np.float64))
        if bad.any():
            row = predictions.loc[bad].iloc[0]
            raise UserError(
                f"{name} of {row['model']}, fold {row['fold']}, clip {row['clip']}, frame "
                f"{row['frame']} is not a finite number ({bad.sum()} such rows); train it again."
            )
    # Grouping leaves rows out whose key is empty, without a word.
    empty = predictions[PREDICTION_COLUMNS].isna().any()
    if empty.any():
        raise UserError(
            f"predictions have rows without {empty.idxmax()}; train again to renew them."
        )


def _check_frames(predictions: pd.DataFrame) -> None:
    number = frame_numbers(predictions)
    within = (predictions["train_corpus"] == predictions["test_corpus"]).to_numpy(bool)
    fold = np.where(within, -1, predictions["fold"])
    for rows in predictions.groupby(GROUP, sort=False).indices.values():
        twice = pd.DataFrame({"fold": fold[rows], "frame": number[rows]}).duplicated().to_numpy()
        if twice.any():
            row = predictions.iloc[rows[twice][0]]
            raise UserError(
                f"{row['model']} predicts clip {row['clip']}, frame {row['frame']} of "
                f"{row['test_corpus']} more than once; each frame belongs to the test part of "
                "exactly one fold."
            )
    # A rater is compared with the mean of the other raters, each with another one.
    judged = np.flatnonzero((predictions["model"] != RATER).to_numpy(bool))
    frame, frames = pd.factorize(number[judged])
    first = np.empty(len(frames), int)  # row of each frame
    first[frame[::-1]] = judged[::-1]
    subject = pd.factorize(predictions["subject"])[0]
    differs = np.zeros(len(judged), bool)
    for facts in (subject, *(predictions[f"{d}_true"].to_numpy() for d in DIMENSIONS)):
        differs |= facts[judged] != facts[first[frame]]
    if differs.any():
        row = predictions.iloc[judged[differs][0]]
        raise UserError(
            f"clip {row['clip']}, frame {row['frame']} of {row['test_corpus']} has two labels or "
            "two subjects in these predictions; they come from different versions of the corpus, "
            "train all models on the same one."
        )


def _check_folds(group: tuple, model_rows: pd.DataFrame, comparable: dict) -> None:
    """The folds of one training; `comparable` gathers those that its like must have too."""
    model, recipe, train, test, split, seed = group
    place = f"on {test}" if train == test else f"from {train} on {test}"
    name = f"{model} ({recipe}, seed {seed}) {place}"
    subjects = model_rows[["fold", "subject"]].drop_duplicates()
    folds = set(subjects["fold"])
    missing = set(range(len(folds))) - folds
    if missing:
        raise UserError(
            f"{name} has folds {_listed(folds)}, so fold {min(missing)} is missing; train it."
        )
    first, known = comparable.setdefault((train, test, split), (name, folds))
    if folds != known:
        raise UserError(
            f"{name} has folds {_listed(folds)} where {first} has {_listed(known)}; "
            "train the missing ones."
        )
    count = subjects["subject"].nunique()
    if count < len(folds):
        raise UserError(
            f"{name} is tested on {count} subjects in {len(folds)} folds; use fewer folds."
        )
    per_fold = subjects.groupby("fold").size()
    if per_fold.min() < 2:
        raise UserError(
            f"fold {per_fold.idxmin()} of {name} tests a single subject, which says nothing about "
            "others; use fewer folds."
        )
    twice = subjects.duplicated("subject")
    if train == test and split == "subject" and twice.any():
        raise UserError(
            f"subject {subjects.loc[twice, 'subject'].iloc[0]} is tested in two folds of {name}, "
            "so one of its networks was trained on that subject; cut the folds by subject."
        )


def _listed(values: Iterable) -> str:
    return ", ".join(str(value) for value in sorted(values))


def by_model(predictions: pd.DataFrame) -> Iterator[tuple[dict, pd.DataFrame]]:
    """Each training's GROUP as a dict and its rows, in order of appearance; checked first."""
    check_predictions(predictions)
    for group, model_rows in predictions.groupby(GROUP, sort=False):
        yield dict(zip(GROUP, group, strict=True)), model_rows


def by_fold(model_rows: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The rows of each fold, "0" first."""
    return {str(fold): fold_rows for fold, fold_rows in model_rows.groupby("fold")}


def read_predictions(runs: list[Path], table: str = "predictions") -> pd.DataFrame:
    """The predictions of finished runs (folders), one under the other.

    `table`: "predictions", of the test parts; or "validation", of the inner validation parts, which
    overlap from fold to fold: what is fitted or chosen on them is so within a fold. UserError where
    one is missing or damaged.
    """
    return joined(_read(run / f"{table}.parquet") for run in runs)


def _read(path: Path) -> pd.DataFrame:
    try:
        return pd.read_parquet(path)
    except (OSError, ValueError) as error:  # it is missing, or no table
        raise damaged(path, "it is no table of predictions") from error
