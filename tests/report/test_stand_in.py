"""The stand-in beside AFEW-VA: what was measured, on which world, and what has been published."""

import json
from dataclasses import asdict

import numpy as np
import pandas as pd
import pytest
from benchmarks.calibration import bench_calibration

from vaaffect.base.errors import UserError
from vaaffect.report import stand_in
from vaaffect.report.tables import Estimate
from vaaffect.simulator import WildWorld

SMALL = ["WILD.clips=40", "WILD.subjects=20", "WILD.frames=[2, 2]", "LAB.sessions=8"]


@pytest.fixture(scope="module")
def measured(tmp_path_factory):
    """What the benchmark writes about two small worlds with an error of landmarks."""
    folder = tmp_path_factory.mktemp("calibration")
    changes = [*SMALL, "WILD.landmark_error=0.05", "SIZE=40"]
    list(bench_calibration(True, folder, "demo", changes, seeds=[3, 4]))
    return folder


def test_the_measured_table_is_read_as_it_was_written(measured):
    calibration = stand_in.read_calibration(measured)
    assert calibration.seeds == (3, 4) and calibration.size == 40
    assert calibration.world["landmark_error"] == 0.05
    table = stand_in.calibration_table(calibration)
    assert table["method"].tolist() == ["landmarks, ridge"] * 2 + ["landmarks, random forest"]
    assert table["landmarks"].tolist() == ["exact", "as written", "as written"]
    row = calibration.table.query("method == 'geometry-forest'").iloc[0]
    shown = f"{row['valence']:.2f} ± {row['valence SD']:.2f}".replace("-", "−")
    assert table.iloc[2]["valence"] == shown
    assert table.iloc[2]["published as"] == "best of [7]"
    assert table.iloc[2]["published arousal"] == 0.45
    assert table.iloc[:2][["published valence", "published arousal"]].isna().all(axis=None)


def test_one_world_has_no_spread_and_leaking_folds_are_left_out(measured, tmp_path):
    table = pd.read_csv(measured / "calibration.csv")
    table[["valence SD", "arousal SD"]] = np.nan
    leaking = table[table["method"] == "geometry-ridge"].assign(folds="clip")
    pd.concat([table, leaking]).to_csv(tmp_path / "calibration.csv", index=False)
    (tmp_path / "world.json").write_text((measured / "world.json").read_text())
    shown = stand_in.calibration_table(stand_in.read_calibration(tmp_path))
    assert len(shown) == 3 and not shown["valence"].str.contains("±").any()


def test_words_say_on_which_world_it_was_measured(measured):
    calibration = stand_in.read_calibration(measured)
    same = {**calibration.world, "seed": 0}
    said = stand_in.calibration_words(calibration, same)
    assert "worlds of seeds 3 and 4 with crops of 40 pixels" in said
    assert "has another seed, 0." in said and "this study's world is the measured one" in said
    assert "one of these seeds, 4." in stand_in.calibration_words(calibration, same | {"seed": 4})
    # Fields that are left out have their defaults: lists and tuples are the same.
    usual = asdict(WildWorld())
    few = {name: list(value) if isinstance(value, list | tuple) else value
           for name, value in same.items() if value != usual[name]}  # fmt: skip
    assert 0 < len(few) < len(same)
    assert stand_in.calibration_words(calibration, few) == said
    other = stand_in.calibration_words(calibration, same | {"mood": 0.4, "clips": 60})
    assert "mood (here 0.4, there 0.3)" in other and "clips (here 60, there 40)" in other
    assert "about another world" in other and "is the measured one" not in other


def test_nothing_measured_is_said_and_what_is_damaged_is_named(measured, tmp_path):
    assert stand_in.read_calibration(tmp_path) is None
    said = stand_in.calibration_words(None, {"clips": 30})
    assert "has not been measured" in said and "bench calibration --out" in said
    assert len(said.splitlines()) == 1
    (tmp_path / "calibration.csv").write_text((measured / "calibration.csv").read_text())
    with pytest.raises(UserError, match=r"world\.json is missing or damaged; make both anew"):
        stand_in.read_calibration(tmp_path)
    (tmp_path / "world.json").write_text(json.dumps({"WILD": {}}))
    with pytest.raises(UserError, match="damaged"):
        stand_in.read_calibration(tmp_path)


def test_a_study_stands_beside_what_has_been_published(record):
    summary = record.summary("04")
    table = stand_in.stand_in_table(summary, record.wild)
    assert table["method"].tolist() == ["VGG11-bn"]  # nobody has published ResNet18
    row = table.iloc[0]
    chosen = summary.query("model == 'vgg11_bn' and dimension == 'arousal' and metric == 'PCC'")
    assert isinstance(row["arousal"], Estimate)
    assert row["arousal"].value == pytest.approx(chosen["mean"].iloc[0])
    assert (row["published valence"], row["published arousal"]) == (0.434, 0.377)
    assert "Ulloa" in row["source"] and row["data"] == record.wild
    without = summary[summary["model"] != "vgg11_bn"]
    assert stand_in.stand_in_table(without, record.wild).empty
