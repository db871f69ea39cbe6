import dataclasses

import nbformat
import numpy as np
import pandas as pd
import pytest
import yaml

from vaaffect.base import NOTEBOOKS, REPORTS
from vaaffect.base.errors import UserError
from vaaffect.corpora import data, folds
from vaaffect.corpora.corpus import hashed_subject
from vaaffect.corpora.folds import (
    PARTS,
    Split,
    assert_disjoint,
    assert_subject_disjoint,
    fold_warnings,
    label_strata,
    leaking_folds,
    split_manifest,
    split_table,
    spread_rows,
    subject_folds,
    with_fewer_subjects,
)
from vaaffect.simulator.worlds import clip_plan


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


def unequal(subjects: int, seed: int) -> pd.DataFrame:
    """Frames of subjects of whom some are seen for long and some for moments."""
    rng = np.random.default_rng(seed)
    rows = [
        (hashed_subject(f"{seed} {subject}"), f"{subject}-{clip}", *mood + 0.1 * rng.normal(size=2))
        for subject in range(subjects)
        for clip in range(rng.integers(1, 8))
        for mood in [rng.uniform(-0.6, 0.6, 2)]
        for _ in range(rng.integers(4, 40))
    ]
    return pd.DataFrame(rows, columns=["subject", "clip", "valence", "arousal"])


@pytest.mark.parametrize("subjects", [10, 12, 16])
def test_no_part_is_about_one_face(subjects):
    for seed in range(30):
        table = unequal(subjects, seed)
        splits = subject_folds(table, folds=5, seed=seed)
        for split in splits:
            for part in PARTS:
                assert table["subject"].iloc[getattr(split, part)].nunique() >= 2
        tested = np.concatenate([split.test for split in splits])
        assert sorted(tested) == list(range(len(table)))
        again = subject_folds(table, folds=5, seed=seed)
        assert [s.fingerprint() for s in splits] == [s.fingerprint() for s in again]


def test_subjects_dealt_out_evenly_keep_folds_alike():
    """Where scikit-learn's cut is refused, the labels are still balanced, and not by chance."""
    spreads = []
    for seed in range(10):
        table = unequal(20, seed)
        va = table[["valence", "arousal"]].to_numpy()
        names, units = np.unique(table["subject"], return_inverse=True)
        mixed = np.random.default_rng(seed).permutation(np.arange(len(names)) % 5)

        def spread(cut, va=va):
            strata = label_strata(va)
            shares = np.stack([np.bincount(strata[rows], minlength=9) for rows in cut])
            return (shares / shares.sum(axis=0)).std(axis=0).mean()

        dealt = folds._dealt(label_strata(va), units, 5, seed)
        assert [len(np.unique(units[rows])) for rows in dealt] == [4] * 5
        by_chance = [np.flatnonzero(mixed[units] == part) for part in range(5)]
        spreads.append((spread(dealt), spread(by_chance)))
    ours, random = np.mean(spreads, axis=0)
    assert ours < 0.8 * random


def test_the_folds_of_the_demo_are_the_published_ones():
    """A study that was finished goes on with the folds that it was trained on."""
    parameters = yaml.safe_load((NOTEBOOKS / "profiles/demo.yaml").read_text()).get("all", {})
    cells = nbformat.read(NOTEBOOKS / "04_cross_validation.ipynb", 4).cells
    (declared,) = [c.source for c in cells if c.source.startswith("PROFILE: str")]
    exec(declared, defaults := {})
    parameters = defaults | parameters
    world = data.world_of("wild", parameters["WILD"])
    rows = [
        (hashed_subject(plan.subject.actor), plan.clip, *(label / 10))
        for plan in (clip_plan(world, index) for index in range(world.clips))
        for label in plan.labels
    ]
    table = pd.DataFrame(rows, columns=["subject", "clip", "valence", "arousal"])
    splits = subject_folds(table, parameters["FOLDS"], seed=parameters["FOLD_SEED"])
    published = pd.read_csv(REPORTS / "demo/tables/04_split_manifest.csv")
    prints = published[published["split"] == "subject"].groupby("fold")["fingerprint"].unique()
    assert prints.map(list).tolist() == [[split.fingerprint()] for split in splits]


def test_few_subjects_and_a_giant_one_are_warned_of():
    assert fold_warnings(frames()) == []
    (few,) = fold_warnings(frames(subjects=6))
    assert few == "6 subjects are too few for 5 folds by subject, which need 10."
    table = frames(subjects=1)
    few, giant = fold_warnings(table)
    assert few.startswith("1 subject is too few") and "is seen in 100% of the frames" in giant
    table = frames()
    table.loc[: int(0.61 * len(table)), "subject"] = hashed_subject("one")
    (giant,) = fold_warnings(table)
    assert giant.startswith(f"subject {hashed_subject('one')} is seen in 61% of the frames")


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
    with pytest.raises(UserError, match="use at least 10 subjects or another number"):
        subject_folds(frames(subjects=9))
    assert len(subject_folds(frames(subjects=10))) == 5
    with pytest.raises(UserError, match=r"9 subjects are too few for 2 .* at least 10 subjects"):
        subject_folds(frames(subjects=9), folds=2)
    assert len(subject_folds(frames(subjects=10), folds=2)) == 2
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
    with pytest.raises(UserError, match="1 subjects have no pseudonym") as error:
        split_manifest(splits, table)
    assert "Ada" not in str(error.value)


def test_a_manifest_knows_the_pseudonyms_of_real_corpora():
    table = frames()
    table["subject"] = "afew-va-" + pd.Series(pd.factorize(table["subject"])[0] + 1).map(
        "{:03d}".format
    )
    assert len(split_manifest(subject_folds(table), table))


def test_rows_are_spread_over_subjects_and_clips():
    sizes = {("a", "1"): 50, ("a", "2"): 3, ("b", "3"): 40, ("c", "4"): 1, ("c", "5"): 30}
    keys = [key for key, size in sizes.items() for _ in range(size)]
    table = pd.DataFrame(keys, columns=["subject", "clip"])
    part = np.flatnonzero(table["clip"] != "3")[::-1]  # of a and c
    four = spread_rows(part, table, 4)
    assert sorted(table["clip"].iloc[four]) == ["1", "2", "4", "5"]
    twelve = table.iloc[spread_rows(part, table, 12)]
    assert twelve["subject"].value_counts().to_dict() == {"a": 6, "c": 6}
    assert twelve["clip"].value_counts().to_dict() == {"1": 3, "2": 3, "4": 1, "5": 5}
    assert np.ptp(twelve.index[twelve["clip"] == "5"]) > 5  # not one after the other
    everything = spread_rows(part, table, 1000)
    assert np.array_equal(everything, np.sort(part))
    assert np.array_equal(spread_rows(part, table, 12), spread_rows(part[::-1], table, 12))


def test_split_table_counts():
    table = frames()
    counted = split_table(subject_folds(table), table)
    assert (counted.groupby("fold")["frames"].sum() == len(table)).all()
    assert (counted.groupby("fold")["subjects"].sum() == table["subject"].nunique()).all()
