"""`bench calibration`: the table of a world, and that the calibrated one is as hard as AFEW-VA."""

import numpy as np
import pytest

from benchmarks.calibration import (
    CALIBRATED,
    EXACT,
    FOUND,
    FRESH,
    bench_calibration,
    calibration,
    distance,
    parameters_of,
)
from vaaffect.base import UserError
from vaaffect.corpora import DIMENSIONS

SMALL = ["WILD.clips=60", "WILD.subjects=30", "WILD.frames=[2, 2]", "WILD.size=[180, 144]"]


def test_parameters_are_the_profiles_with_the_calibrated_world():
    parameters = parameters_of("", ["SIZE=64"])
    assert parameters["WILD"]["seed"] == FRESH and parameters["SIZE"] == 64
    for name, value in CALIBRATED.items():
        assert np.array_equal(parameters["WILD"][name], value)
    assert "context" not in parameters_of("demo", [])["WILD"]
    assert parameters_of("smoke", ["WILD.style=0.3"])["WILD"]["style"] == 0.3
    with pytest.raises(UserError, match="no profile"):
        parameters_of("unknown", [])


def test_landmarks_alone_need_no_drawing(tmp_path):
    lines = list(bench_calibration(
        quick=True, out=tmp_path, changes=[*SMALL, "WILD.landmark_error=0.05"], profile="demo"
    ))  # fmt: skip
    assert lines[0].startswith("world: clips 60, subjects 30")
    assert lines[1].startswith("labels of 120 frames: mean ")
    assert [line.split("  ")[0] for line in lines[3:]] == [
        "constant (training mean)", "landmarks, ridge; exact", "landmarks, ridge; as written",
        "landmarks, random forest; as written",
    ]  # fmt: skip
    assert (tmp_path / "calibration.md").read_text().count("\n") == 6
    assert (tmp_path / "calibration.csv").exists()


def test_errors_of_landmarks_and_context_cost_correlation(tmp_path):
    def ridge(*changes: str) -> dict[str, np.ndarray]:
        parameters = parameters_of("demo", [*SMALL, "WILD.clips=200", *changes])
        table, _ = calibration(parameters, quick=True, home=tmp_path)
        table = table[table["method"] == "geometry-ridge"].set_index("landmarks")
        return {name: table.loc[name, [*DIMENSIONS]].to_numpy(float) for name in (EXACT, FOUND)}

    plain, erring = ridge(), ridge("WILD.landmark_error=0.1")
    assert np.array_equal(plain[EXACT], plain[FOUND]) and np.all(plain[EXACT] > 0.8)
    assert np.array_equal(erring[EXACT], plain[EXACT])
    assert np.all(erring[FOUND] < plain[FOUND] - 0.1)
    hidden = ridge("WILD.context=[0.3, 0.0]")[EXACT]
    assert hidden[0] < plain[EXACT][0] - 0.15


def test_distances_from_a_target():
    assert distance(0.5, (0.4, 0.6)) == 0
    assert distance(0.3, (0.4, 0.6)) == pytest.approx(-0.1)
    assert distance(0.7, (0.4, 0.6)) == pytest.approx(0.1)
