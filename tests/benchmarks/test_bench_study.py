"""`bench study`: both ways do the same, and nobody's time is told before that is known."""

import numpy as np
import pytest

from benchmarks.whole_study import OURS, QUICK, SCRIPT, bench_study, compared
from vaaffect.base.errors import UserError


def outcome(seconds: float, rmse: tuple = (0.3, 0.2), tested: tuple = ((1, 0), (1, 1))) -> dict:
    return {"seconds": seconds, "rmse": list(rmse), "tested": list(tested),
            "crops": 0.5, "training": 1.0, "limit": 1.6}  # fmt: skip


@pytest.mark.thorough  # three quarters of a minute, for a benchmark
def test_a_tiny_study_both_ways(tmp_path):
    lines = bench_study(quick=True, out=tmp_path, say=lambda line: None)
    assert lines[0].startswith("VGG-tiny-bn, 32 px, batch 4, 80 frames on disk, 5 folds")
    assert "times as fast" in lines[1] and "of it crops" in lines[2]
    text = (tmp_path / "study-cpu.md").read_text()
    assert "| VGG-tiny-bn |" in text and "- commit: " in text


def test_seconds_are_those_of_the_better_turn():
    row = compared(QUICK[0], {OURS: [outcome(2), outcome(3)], SCRIPT: [outcome(9), outcome(8)]})
    assert row["seconds"] == 2 and row["times as fast"] == 4
    assert row["of the limit"] == pytest.approx(1.25)
    assert np.allclose(row["RMSE"], [0.3, 0.2])


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (outcome(9, rmse=(0.3, 0.3)), "they do not do the same"),
        (outcome(9, tested=((1, 0), (1, 2))), "not tested on the same frames"),
    ],
)
def test_what_is_not_the_same_is_not_compared(other, said):
    with pytest.raises(UserError, match=said):
        compared(QUICK[0], {OURS: [outcome(2)], SCRIPT: [other]})
