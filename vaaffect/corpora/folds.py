"""Folds by subject: nobody is seen in training and in test.

The corpus ships the actor of each clip; splitting by clip or by frame instead lets a network
recognise people, and is only done to measure the effect of that leak.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from ..base import UserError
from .corpus import PSEUDONYM
from .problems import counted

PARTS = ("train", "val", "test")
LEAST = 2  # subjects in a part: no result is to be about one face
MOST = 0.5  # of the frames; a subject with more is most of what a study is about
KINDS = ("subject", "clip", "frame")  # what a split may keep whole; only the first one is honest


@dataclass(frozen=True)
class Split:
    """Row numbers of one fold's three parts."""

    fold: int  # from 0
    train: np.ndarray  # rows that weights are fitted to
    val: np.ndarray  # other rows, which choose the epoch or the hyperparameters
    test: np.ndarray  # yet other rows, read once
    # What the parts share nothing of: "subject", or in a leaking split "clip" or "frame".
    # `assert_disjoint` checks that the rows keep this promise.
    by: str = "subject"

    def __post_init__(self) -> None:
        if self.by not in KINDS:
            raise UserError(f"a split is by {', by '.join(KINDS)}, not by {self.by!r}.")

    def fingerprint(self) -> str:
        """SHA-256 over the three sets of rows."""
        digest = hashlib.sha256()
        for rows in (self.train, self.val, self.test):
            digest.update(rows.astype(np.int64).tobytes() + b"|")
        return digest.hexdigest()


def label_strata(va: np.ndarray) -> np.ndarray:
    """Nine cells of the plane, so that folds get similar labels: (N,) numbers 0 to 8, three times
    the tercile of valence plus that of arousal, for labels (N, 2)."""
    terciles = [np.searchsorted(np.quantile(x, [1 / 3, 2 / 3]), x) for x in va.T]
    return 3 * terciles[0] + terciles[1]


def subject_folds(
    frames: pd.DataFrame, folds: int = 5, val_share: float = 0.2, seed: int = 0
) -> list[Split]:
    """Cut a corpus into folds by subject, with an inner validation part in each. Both cuts balance
    the labels over the plane as far as whole subjects allow (scikit-learn's StratifiedGroupKFold).

    `frames` has one row per frame, with subject, valence and arousal; every frame is tested in
    exactly one of the `folds`. `val_share` of a fold's other subjects choose the epoch. `seed`
    orders subjects whom the balance does not tell apart. Where balance alone would test on a single
    subject, subjects are dealt out evenly: each test part has LEAST or more, and so have the other
    parts where enough are left. UserError: fewer subjects than the cuts need, or folds < 2.
    """
    return _folds(frames, "subject", folds, val_share, seed)


def leaking_folds(
    frames: pd.DataFrame, by: str, folds: int = 5, val_share: float = 0.2, seed: int = 0
) -> list[Split]:
    """Folds that leak on purpose, only to measure the effect of the leak.

    As `subject_folds`, with the same number of folds and the same balance over the plane, but with
    the same subjects on both sides. A result from these folds says how well a model knows subjects
    that it was trained on; it is no estimate for held-out ones, and tables call it by its `split`.

    `by` "clip" keeps clips whole; "frame" deals out single frames, near copies of each other.
    UserError: another `by`, or as of `subject_folds`.
    """
    if by not in KINDS[1:]:
        raise UserError(f'folds leak by "clip" or by "frame", not by {by!r}; use subject_folds.')
    return _folds(frames, by, folds, val_share, seed)


def with_fewer_subjects(split: Split, frames: pd.DataFrame, share: float, seed: int = 0) -> Split:
    """A split with a part of its training subjects; who validates and who is tested stays.

    Training subjects are put in a random order by `seed` and the fold, and the first ones are kept,
    so that those of a smaller share are among those of a larger one. `share` is the proportion that
    is kept, above 0 and below 1, of subjects. UserError: another share, or fewer than two subjects.
    """
    subjects = frames["subject"].to_numpy()[split.train]
    present = np.unique(subjects)
    count = round(share * len(present)) if 0 < share < 1 else 0
    if count < 2:
        raise UserError(
            f"fold {split.fold}: {share:g} of its {len(present)} training subjects cannot be "
            "trained on; use a share below 1 that leaves two subjects or more."
        )
    order = np.random.default_rng([seed, split.fold]).permutation(present)
    return replace(split, train=split.train[np.isin(subjects, order[:count])])


def _folds(frames: pd.DataFrame, by: str, folds: int, val_share: float, seed: int) -> list[Split]:
    if folds < 2 or not 0 < val_share < 1:
        raise UserError(f"folds = {folds}, val_share = {val_share}; use folds >= 2, 0 < share < 1.")
    units, inner = _units(frames, by), max(2, round(1 / val_share))
    present, least = len(np.unique(units)), LEAST if by == "subject" else 1
    if present < (fewest := _fewest(folds, inner, least)):
        raise UserError(
            f"{_few(present, by)} for {folds} {by}-disjoint folds with an inner validation part; "
            f"use at least {fewest} {by}s or another number of folds."
        )
    strata = label_strata(frames[["valence", "arousal"]].to_numpy())
    splits = []
    tests = _cut(strata, units, folds, seed, lambda n: least <= n <= present - inner)
    for fold, test in enumerate(tests):
        rest = np.setdiff1d(np.arange(len(frames)), test)
        left = len(np.unique(units[rest]))
        low = least if left > inner and left >= 2 * least else 1
        high = max(low, left - least)

        def fits(count: int, low: int = low, high: int = high) -> bool:
            return low <= count <= high

        held = _cut(strata[rest], units[rest], inner, seed + 1 + fold, fits, first=True)[0]
        kept = np.setdiff1d(np.arange(len(rest)), held)
        split = Split(fold, rest[kept], rest[held], test, by)
        assert_disjoint(split, frames)
        splits.append(split)
    return splits


def _fewest(folds: int, inner: int, least: int) -> int:
    """How many subjects the folds need, if they are dealt out evenly: `least` for each test part,
    and beside the largest one for each of the `inner` shares, of which one is for validation."""
    count = max(least * folds, folds + inner - 1)
    while count - math.ceil(count / folds) < inner:
        count += 1
    return count


def _few(number: int, unit: str) -> str:
    return f"{counted(number, unit)} {'is' if number == 1 else 'are'} too few"


def _units(frames: pd.DataFrame, by: str) -> np.ndarray:
    """Of which unit each row is, all rows of which stay together."""
    return np.arange(len(frames)) if by == "frame" else frames[by].to_numpy()


def _cut(
    strata: np.ndarray, units: np.ndarray, parts: int, seed: int, fits: Callable[[int], bool],
    first: bool = False,
) -> list[np.ndarray]:  # fmt: skip
    """The rows of each part, where the number of units in each `fits`; with `first`, of one part
    alone."""
    balanced = _balanced(strata, units, parts, seed)
    cut = [next(balanced)] if first else list(balanced)
    if all(fits(len(np.unique(units[rows]))) for rows in cut):
        return cut
    # Balance alone may leave a subject of many frames by itself, whatever the seed.
    cut = _dealt(strata, units, parts, seed)
    return [rows for rows in cut if fits(len(np.unique(units[rows])))] if first else cut


def _balanced(strata: np.ndarray, units: np.ndarray, parts: int, seed: int) -> Iterator[np.ndarray]:
    """The rows of each part, as scikit-learn balances the strata."""
    # Worker processes import this room too, and scikit-learn takes a second.
    from sklearn.model_selection import StratifiedGroupKFold, StratifiedKFold

    counts = np.bincount(strata)
    # A cell with fewer frames than parts cannot be spread over them; count it with the fullest.
    strata = np.where(counts[strata] < parts, counts.argmax(), strata)
    if len(np.unique(units)) == len(units):
        # The cutter of groups goes through them one by one: too slow where each frame is a group.
        cut = StratifiedKFold(parts, shuffle=True, random_state=seed).split(strata, strata)
    else:
        cutter = StratifiedGroupKFold(parts, shuffle=True, random_state=seed)
        cut = cutter.split(strata, strata, units)
    return (rows for _, rows in cut)


def _dealt(strata: np.ndarray, units: np.ndarray, parts: int, seed: int) -> list[np.ndarray]:
    """The rows of each part where the numbers of units differ by one at most: each unit, the most
    telling ones first, goes to one of the parts with the fewest units, to the one by which the
    strata are spread most evenly."""
    names, unit_of = np.unique(units, return_inverse=True)
    shares = np.zeros((len(names), strata.max() + 1))
    np.add.at(shares, (unit_of, strata), 1)
    mixed = np.random.default_rng(seed).permutation(len(names))
    order = mixed[np.argsort(-shares[mixed].std(axis=1), kind="stable")]
    shares /= np.maximum(shares.sum(axis=0), 1)
    part_of, number = np.empty(len(names), int), np.zeros(parts, int)
    held = np.zeros((parts, shares.shape[1]))
    for unit in order:
        candidates = np.flatnonzero(number == number.min())
        tried = held + np.eye(parts)[candidates][:, :, None] * shares[unit]
        part = part_of[unit] = candidates[tried.std(axis=1).mean(axis=1).argmin()]
        held[part] += shares[unit]
        number[part] += 1
    return [np.flatnonzero(part_of[unit_of] == part) for part in range(parts)]


def fold_warnings(frames: pd.DataFrame, folds: int = 5, val_share: float = 0.2) -> list[str]:
    """Sentences about what makes `folds` by subject impossible, or a result of them one about a
    single face: too few subjects, or one with most of the frames. `frames` has the column
    subject."""
    sizes, warnings = frames["subject"].value_counts(), []
    fewest = _fewest(folds, max(2, round(1 / val_share)), LEAST)
    if len(sizes) < fewest:
        few = _few(len(sizes), "subject")
        warnings.append(f"{few} for {folds} folds by subject, which need {fewest}.")
    if sizes.iloc[0] > MOST * len(frames):
        warnings.append(
            f"subject {sizes.index[0]} is seen in {sizes.iloc[0] / len(frames):.0%} of the frames, "
            "so that results are mostly about one face; is this one subject?"
        )
    return warnings


def spread_rows(rows: np.ndarray, frames: pd.DataFrame, count: int) -> np.ndarray:
    """`count` of some rows of a corpus, in ascending order, always the same: as many subjects as
    there are or fit, then as many of their clips, and of a clip frames from anywhere in it.

    The first rows of a part would be one clip, frame after frame. All rows where they are fewer.
    """
    mixed = np.random.default_rng(0).permutation(np.sort(rows))
    part = frames.iloc[mixed][["subject", "clip"]].reset_index(drop=True)
    for unit in ("clip", "subject"):  # each in turn gives one row more
        turn = part.groupby(unit, sort=False).cumcount().to_numpy()
        order = np.argsort(turn, kind="stable")
        part, mixed = part.iloc[order].reset_index(drop=True), mixed[order]
    return np.sort(mixed[:count])


def assert_disjoint(split: Split, frames: pd.DataFrame) -> None:
    """Raise AssertionError unless a split keeps what its `by` promises, or if a part is empty.

    by "subject": nobody is in two parts. "clip": no clip is. "frame": no row is.
    """
    units, unit_name = _units(frames, split.by), "row" if split.by == "frame" else split.by
    seen: dict[object, str] = {}
    for name in PARTS:
        rows = getattr(split, name)
        assert len(rows), f"fold {split.fold}: the {name} part is empty"
        for unit in np.unique(units[rows]):
            where = f"fold {split.fold}: {unit_name} {unit} is in {seen.get(unit)} and in {name}"
            assert unit not in seen, where
            seen[unit] = name


def assert_subject_disjoint(split: Split, frames: pd.DataFrame) -> None:
    """As `assert_disjoint` by subject, whatever the split's `by` says."""
    assert_disjoint(replace(split, by="subject"), frames)


def split_manifest(splits: list[Split], frames: pd.DataFrame) -> pd.DataFrame:
    """Who was where: enough to check the folds, or to cut another copy of the corpus alike.

    Returns one row per fold, part and clip: split (the fold's `by`), fold, part, subject, clip,
    frames (how many of the clip), fingerprint (`Split.fingerprint`, as in the configuration of each
    training). The frames of part "test" add up to the corpus. UserError: a subject that is not a
    loader's pseudonym; the table is made to be published.
    """
    named = [s for s in frames["subject"].unique() if not PSEUDONYM.fullmatch(str(s))]
    if named:
        raise UserError(
            f"{len(named)} subjects have no pseudonym of a loader, so that a manifest might tell "
            "names; load the corpus with load_afew_va or load_semaine."
        )
    tables = []
    for split, part, rows in _parts(splits, frames):
        count = rows.groupby(["subject", "clip"]).size().rename("frames").reset_index()
        about = pd.DataFrame({"split": split.by, "fold": split.fold, "part": part}, count.index)
        tables.append(about.join(count).assign(fingerprint=split.fingerprint()))
    return pd.concat(tables, ignore_index=True)


def _parts(splits: list[Split], frames: pd.DataFrame) -> Iterator[tuple[Split, str, pd.DataFrame]]:
    """Every part of every split, with its frames."""
    for split in splits:
        for part in PARTS:
            yield split, part, frames.iloc[getattr(split, part)]


def split_table(splits: list[Split], frames: pd.DataFrame) -> pd.DataFrame:
    """One row per fold and part: subjects, clips, frames, mean valence and arousal."""
    columns = ["fold", "part", "subjects", "clips", "frames", "mean valence", "mean arousal"]
    table = []
    for split, part, rows in _parts(splits, frames):
        counts = rows["subject"].nunique(), rows["clip"].nunique(), len(rows)
        means = rows["valence"].mean(), rows["arousal"].mean()
        table.append((split.fold, part, *counts, *means))
    return pd.DataFrame(table, columns=columns)
