import dataclasses

import numpy as np
import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.corpora.corpus import hashed_subject
from vaaffect.corpora.folds import (
    PARTS,
    Split,
    assert_disjoint,
    assert_subject_disjoint,
    label_strata,
    leaking_folds,
    split_manifest,
    split_table,
    subject_folds,
    with_fewer_subjects,
)


def frames(subjects: int = 30, clips: int = 3, length: int = 8, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"s{subject}", f"{subject}-{clip}", *np.clip(mood + 0.1 * rng.normal(size=2), -1, 1))
        for subject in range(subjects)
        for clip in range(clips)
        for mood in [rng.uniform(-0.8, 0.8, 2)]
        for _ in range(length)
    ]
    table = pd.DataFrame(rows, columns=["subject", "clip", "valence", "arousal"])
    table["subject"] = table["subject"].map(hashed_subject)
    return table.assign(frame=table.groupby("clip").cumcount())


def test_no_subject_is_in_two_parts_and_every_frame_is_tested_once():
    table = frames()
    splits = subject_folds(table, folds=5, seed=1)
    for split in splits:
        parts = [set(table["subject"].iloc[rows]) for rows in (split.train, split.val, split.test)]
        assert all(parts)
        assert not (parts[0] & parts[1] or parts[0] & parts[2] or parts[1] & parts[2])
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(table)))


def test_fewer_training_subjects_are_among_the_more_and_validation_and_test_stay():
    table = frames()
    people = table["subject"].to_numpy()
    for split in subject_folds(table, folds=3):
        half, quarter = (with_fewer_subjects(split, table, share, seed=1) for share in (0.5, 0.25))
        assert_subject_disjoint(half, table)
        assert np.array_equal(half.val, split.val) and np.array_equal(half.test, split.test)
        kept = [set(people[s.train]) for s in (quarter, half, split)]
        assert kept[0] < kept[1] < kept[2]
        assert [len(some) for some in kept] == [round(len(kept[2]) * x) for x in (0.25, 0.5, 1)]
        # Whole subjects, in the order of the rows.
        assert np.array_equal(half.train, split.train[np.isin(people[split.train], [*kept[1]])])
        other = with_fewer_subjects(split, table, 0.5, seed=2)
        assert set(people[other.train]) != kept[1]
        assert len({s.fingerprint() for s in (split, half, quarter, other)}) == 4


@pytest.mark.parametrize("share", [0, 1, -0.5, 0.01])
def test_a_share_that_cannot_be_trained_on_is_refused(share):
    table = frames()
    with pytest.raises(UserError, match=r"fold 0: .* training subjects cannot be"):
        with_fewer_subjects(subject_folds(table)[0], table, share)


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
    with pytest.raises(
        UserError, match=r"6 subjects are too few for 2 .* leaves 3 .* needs 5; use"
    ):
        subject_folds(frames(subjects=6), folds=2)
    with pytest.raises(UserError, match="folds >= 2"):
        subject_folds(frames(), folds=1)
    few = frames(subjects=2, clips=2, length=2)
    with pytest.raises(UserError, match="4 clips are too few for 5 clip-disjoint folds"):
        leaking_folds(few, "clip")
    with pytest.raises(UserError, match="8 frames are too few"):
        leaking_folds(few, "frame")


@pytest.mark.parametrize("by", ["clip", "frame"])
def test_leaking_folds_leak_what_they_say_and_no_more(by):
    table = frames()
    splits = leaking_folds(table, by, folds=5, seed=1)
    assert len(splits) == 5 and {split.by for split in splits} == {by}
    for split in splits:
        parts = [table.iloc[getattr(split, part)] for part in PARTS]
        train, val, test = (set(part["subject"]) for part in parts)
        assert len(train & test) > 5 and len(train & val) > 5
        clips = set(parts[0]["clip"]) & set(parts[2]["clip"])
        assert bool(clips) == (by == "frame")
        assert len(parts[1]) == pytest.approx(0.2 * (len(table) - len(parts[2])), rel=0.3)
    tested = np.concatenate([split.test for split in splits])
    assert sorted(tested) == list(range(len(table)))
    again = leaking_folds(table, by, folds=5, seed=1)
    assert [s.fingerprint() for s in splits] == [s.fingerprint() for s in again]
    means = [table.iloc[s.test][["valence", "arousal"]].mean() for s in splits]
    assert np.ptp(np.stack(means), axis=0).max() < 0.35


def test_a_leaking_split_is_refused_under_an_honest_name():
    table = frames()
    for by in ("clip", "frame"):
        split = leaking_folds(table, by)[0]
        assert_disjoint(split, table)
        with pytest.raises(AssertionError, match=r"subject s\w+ is in \w+ and in"):
            assert_disjoint(dataclasses.replace(split, by="subject"), table)
    with pytest.raises(AssertionError, match=r"clip \S+ is in train and in"):
        assert_disjoint(dataclasses.replace(split, by="clip"), table)
    twice = dataclasses.replace(split, train=np.append(split.train, split.val[0]))
    with pytest.raises(AssertionError, match=r"row \d+ is in train and in val"):
        assert_disjoint(twice, table)


def test_kinds_of_splits_are_checked():
    with pytest.raises(UserError, match="not by 'actor'"):
        Split(0, *(np.arange(2) for _ in PARTS), by="actor")
    with pytest.raises(UserError, match="use subject_folds"):
        leaking_folds(frames(), "subject")


@pytest.mark.parametrize("by", ["subject", "clip", "frame"])
def test_the_manifest_accounts_for_every_frame_and_names_nobody(by):
    table = frames(subjects=12)
    splits = subject_folds(table, 3) if by == "subject" else leaking_folds(table, by, 3)
    manifest = split_manifest(splits, table)
    assert list(manifest) == ["split", "fold", "part", "subject", "clip", "frames", "fingerprint"]
    assert set(manifest["split"]) == {by}
    tested = manifest[manifest["part"] == "test"].groupby("clip")["frames"].sum()
    assert tested.to_dict() == table.groupby("clip").size().to_dict()
    for split in splits:
        mine = manifest[manifest["fold"] == split.fold]
        assert mine["frames"].sum() == len(table)
        assert set(mine["fingerprint"]) == {split.fingerprint()}
        # What the auditor does: nobody is in two parts of a fold, if the folds are honest.
        parts = mine.groupby("subject")["part"].nunique()
        assert (parts == 1).all() == (by == "subject")
    assert manifest["subject"].str.fullmatch("s[0-9a-f]{8}").all()


def test_a_manifest_with_names_is_refused():
    table = frames()
    splits = subject_folds(table)
    table.loc[0, "subject"] = "Ada Lovelace"
    with pytest.raises(UserError, match="1 subjects are not hashes") as error:
        split_manifest(splits, table)
    assert "Ada" not in str(error.value)


def test_split_table_counts():
    table = frames()
    counted = split_table(subject_folds(table), table)
    assert (counted.groupby("fold")["frames"].sum() == len(table)).all()
    assert (counted.groupby("fold")["subjects"].sum() == table["subject"].nunique()).all()
