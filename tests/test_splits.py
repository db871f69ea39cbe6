import dataclasses

import numpy as np
import pandas as pd
import pytest

from vaaffect.errors import UserError
from vaaffect.splits import assert_subject_disjoint, label_strata, split_table, subject_folds


def frames(subjects: int = 30, clips: int = 3, length: int = 8, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"s{subject}", f"{subject}-{clip}", *np.clip(mood + 0.1 * rng.normal(size=2), -1, 1))
        for subject in range(subjects)
        for clip in range(clips)
        for mood in [rng.uniform(-0.8, 0.8, 2)]
        for _ in range(length)
    ]
    return pd.DataFrame(rows, columns=["subject", "clip", "valence", "arousal"])


def test_no_subject_is_in_two_parts_and_every_frame_is_tested_once():
    table = frames()
    splits = subject_folds(table, folds=5, seed=1)
    for split in splits:
        parts = [set(table["subject"].iloc[rows]) for rows in (split.train, split.val, split.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(table)))


def test_folds_resemble_each_other_in_their_labels():
    table = frames(subjects=60)
    stratified = [table.iloc[s.test][["valence", "arousal"]].mean() for s in subject_folds(table)]
    assert np.ptp(np.stack(stratified), axis=0).max() < 0.35
    assert set(label_strata(table[["valence", "arousal"]].to_numpy())) == set(range(9))


def test_a_seed_fixes_the_folds_and_another_changes_them():
    table = frames()
    prints = [[s.fingerprint() for s in subject_folds(table, seed=seed)] for seed in (0, 0, 1)]
    assert prints[0] == prints[1] != prints[2]


def test_a_leaking_split_is_caught():
    table = frames()
    split = subject_folds(table)[0]
    leaking = dataclasses.replace(split, train=np.append(split.train, split.test[0]))
    with pytest.raises(AssertionError, match="is in train and in test"):
        assert_subject_disjoint(leaking, table)
    with pytest.raises(AssertionError, match="val part is empty"):
        assert_subject_disjoint(dataclasses.replace(split, val=split.val[:0]), table)


def test_too_few_subjects_are_refused():
    with pytest.raises(UserError, match="8 subjects are too few for 5 subject-disjoint folds"):
        subject_folds(frames(subjects=8))
    assert len(subject_folds(frames(subjects=9))) == 5


def test_split_table_counts():
    table = frames()
    counted = split_table(subject_folds(table), table)
    assert (counted.groupby("fold")["frames"].sum() == len(table)).all()
    assert (counted.groupby("fold")["subjects"].sum() == table["subject"].nunique()).all()
