"""Finished work on another machine: what travels, what stays, and what a study makes of it."""

import io
import json
import tarfile
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from toy_study import Toy

from vaaffect.base import UserError, paths
from vaaffect.corpora import subject_folds
from vaaffect.corpora.crops import build_crops
from vaaffect.study import travel
from vaaffect.training import (
    Recipe,
    Training,
    holds_model,
    is_finished,
    load_model,
    loop,
    read_history,
    train,
)


@pytest.fixture
def machine(tmp_path, monkeypatch):
    """Makes folders of their own the place of everything, as on another machine."""

    def move(name):
        home = tmp_path / name
        monkeypatch.setattr(paths, "RUNS", home / "runs")
        monkeypatch.setattr(paths, "REPORTS", home / "reports")
        monkeypatch.setattr(travel, "LANDMARKS", home / "landmarks")
        monkeypatch.setattr(travel, "CROPS", home / "crops")
        home.mkdir(exist_ok=True)
        return home

    return move


@pytest.fixture
def training(tiny_crops):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    recipe = Recipe("r", 1, 8, lr=0.01)
    return Training("resnet10", recipe, tiny_crops, split, keep_model=True)


def test_a_finished_training_is_found_elsewhere_but_for_its_weights(
    machine, training, tmp_path, monkeypatch
):
    file = tmp_path / "p.tar.xz"
    here = machine("here")
    run = train(training, paths.RUNS / "p")
    assert holds_model(run)
    (said,) = travel.pack("p", file)
    assert said.startswith("p: 1 finished trainings, no notebook") and file.stat().st_size < 1e6

    machine("there")
    assert travel.unpack(file)[0].startswith("p: 1 finished trainings")
    there = paths.RUNS / "p" / training.name
    monkeypatch.setattr(loop, "_fit", lambda *_: pytest.fail("it was trained again"))
    assert train(training, paths.RUNS / "p") == there
    pd.testing.assert_frame_equal(read_history(there), read_history(run))
    tables = [pd.read_parquet(place / "predictions.parquet") for place in (run, there)]
    pd.testing.assert_frame_equal(*tables)
    assert is_finished(there, with_model=True) and not holds_model(there)
    with pytest.raises(UserError, match=r"its weights stayed on the machine that trained it \(c"):
        load_model(there)
    assert (here / "runs" / "p" / training.name / "model.pt").is_file()
    assert travel.unpack(file)[0].startswith("p: 0 finished")  # they are here already


def test_what_is_finished_here_stays_and_what_is_not_is_replaced(machine, training, tmp_path):
    file = tmp_path / "p.tar.xz"
    machine("here")
    train(training, paths.RUNS / "p")
    travel.pack("p", file)
    machine("there")
    mine = train(training, paths.RUNS / "p")
    travel.unpack(file)
    assert holds_model(mine)
    (mine / "done.json").unlink()
    (mine / "checkpoint_000001_x.pt").write_text("half")
    travel.unpack(file)
    assert is_finished(mine) and not list(mine.glob("checkpoint*"))


def test_damaged_trainings_are_left_out_and_those_here_replaced(machine, training, tmp_path):
    file = tmp_path / "p.tar.xz"
    machine("here")
    runs = paths.RUNS / "p"
    sound, bad = (train(replace(training, weight_seed=seed), runs) for seed in (0, 1))
    done = (bad / "done.json").read_bytes()
    (bad / "done.json").write_bytes(b"")
    said, left_out = travel.pack("p", file)
    assert said.startswith("p: 1 finished trainings")
    assert left_out.startswith(f"left out: {bad / 'done.json'}: is damaged (")
    # Where a file of a run is damaged, the whole one of the other machine takes its place.
    (bad / "done.json").write_bytes(done)
    travel.pack("p", file)
    for name in ("done.json", "config.json", "predictions.parquet"):
        (bad / name).write_bytes(b"")
        assert travel.unpack(file)[0].startswith("p: 1 finished")
        assert is_finished(bad) and holds_model(sound)


def test_executed_notebooks_travel_and_a_study_keeps_them(machine, tmp_path):
    file = tmp_path / "small.tar.xz"
    (tmp_path / "a").mkdir()
    toy = Toy(tmp_path / "a")
    machine("here")
    toy.run(out=paths.REPORTS / "small")
    config = paths.RUNS / "small" / "net_fold0"
    config.mkdir(parents=True, exist_ok=True)
    about = {"model": "m", "recipe": {"name": "r"}, "data": "AFEW-VA", "by": "subject", "fold": 0,
             "seed": 0, "image_size": 32}  # fmt: skip
    (config / "config.json").write_text(json.dumps(about))
    done = {"best_epoch": 1, "best_val_mse": 0.1, "epochs": 1, "files": {}}
    (config / "done.json").write_text(json.dumps(done))
    said, warned = travel.pack("small", file)
    assert "notebooks 00, 03, 99" in said
    assert "licence" in warned  # its config names real data

    there = machine("there")
    assert "notebooks 00, 03, 99" in travel.unpack(file)[0]
    toy.run(out=paths.REPORTS / "small")
    assert [toy.runs_of(number) for number in ("00", "03", "99")] == [1, 1, 1]
    assert (there / "reports" / "small" / "tables" / "03_a.csv").read_text() == "x\n1\n"
    manifest = json.loads((there / "reports" / "small" / "manifest.json").read_text())
    assert manifest["status"] == "complete" and set(manifest["notebooks"]) == {"00", "03", "99"}

    toy.write("03_train", ["# Other", "print(1)"])  # elsewhere the code was another one
    machine("third")
    travel.unpack(file)
    toy.run(out=paths.REPORTS / "small")
    assert [toy.runs_of(number) for number in ("00", "03")] == [1, 2]
    assert "no notebook" in travel.unpack(file)[0]  # those here were executed later
    manifest = paths.REPORTS / "small" / "manifest.json"
    later = json.loads((tmp_path / "there/reports/small/manifest.json").read_text())
    later["notebooks"]["03"]["finished"] = "2999-01-01T00:00:00Z"
    (tmp_path / "there/reports/small/manifest.json").write_text(json.dumps(later))
    machine("there")
    travel.pack("small", file)
    machine("third")
    assert "notebooks 03;" in travel.unpack(file)[0]
    assert json.loads(manifest.read_text())["notebooks"]["03"]["finished"].startswith("2999")


def test_drawn_crops_are_compared_with_those_here(machine, tmp_path, tiny_corpus):
    crops = build_crops(tiny_corpus, 32, cache=machine("here") / "crops")
    split = subject_folds(crops.frames, folds=2, val_share=0.34)[0]
    train(Training("resnet10", Recipe("r", 1, 8, lr=0.01), crops, split), paths.RUNS / "p")
    travel.pack("p", tmp_path / "p.tar.xz")

    there = machine("there")
    assert "not made here yet" in travel.unpack(tmp_path / "p.tar.xz")[1]
    build_crops(tiny_corpus, 32, cache=there / "crops")
    assert "of 8 crops 0.00% of the values differ" in travel.unpack(tmp_path / "p.tar.xz")[1]
    monkeyed = travel._some(there / "crops" / crops.folder.name) ^ 1
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(travel, "_some", lambda _: monkeyed)
        said = travel.unpack(tmp_path / "p.tar.xz")[1]
    assert "100.00% of the values differ from those here, by 1 of 255" in said


def test_landmarks_of_people_stay(machine, tmp_path, training):
    from vaaffect.base import kept

    here = machine("here")
    train(training, paths.RUNS / "p")
    for label in ("SEMAINE", "SEMAINE (simulated)"):

        def build(folder, label=label):
            np.save(folder / "landmarks.npy", np.zeros((1, 68, 2)))
            return {"label": label}

        kept(here / "landmarks" / label.replace(" ", "-"), build)
    travel.pack("p", tmp_path / "p.tar.xz")
    there = machine("there")
    travel.unpack(tmp_path / "p.tar.xz")
    (folder,) = (there / "landmarks").glob("*")
    assert folder.name == "SEMAINE-(simulated)" and (folder / "landmarks.npy").is_file()


def test_a_pack_overwrites_no_file_but_an_earlier_pack(machine, tmp_path, training):
    machine("here")
    run = train(training, paths.RUNS / "p")
    link, other, file = tmp_path / "link.tar.xz", tmp_path / "mine.txt", tmp_path / "new" / "p"
    link.hardlink_to(run / "predictions.parquet")
    other.write_text("years of work")
    kept = (run / "predictions.parquet").read_bytes()
    for path, said in (
        (link, "predictions.parquet, which is read, and would be overwritten by the pack"),
        (run / "model.pt", "model.pt: is read and would be overwritten by the pack"),
        (other, "mine.txt: is there already and is no earlier result of this command"),
        (tmp_path, "is a folder, and a file is needed for the pack"),
    ):
        with pytest.raises(UserError, match=said):
            travel.pack("p", path)
    assert (run / "predictions.parquet").read_bytes() == kept
    assert other.read_text() == "years of work"
    for _ in range(2):
        travel.pack("p", file)
    assert [path.name for path in file.parent.iterdir()] == ["p"]
    there = machine("there")
    place = there / "runs" / "p" / run.name / "config.json"
    place.parent.mkdir(parents=True)
    place.hardlink_to(file)
    with pytest.raises(UserError, match="which is read, and would be overwritten by runs/"):
        travel.unpack(file)
    assert place.samefile(file) and len(list(place.parent.iterdir())) == 1


def test_what_was_not_packed_is_refused(machine, tmp_path):
    machine("here")
    with pytest.raises(UserError, match="holds no finished training; run the study first"):
        travel.pack("p", tmp_path / "p.tar.xz")
    with pytest.raises(UserError, match="there is no such file"):
        travel.unpack(tmp_path / "none.tar.xz")
    (tmp_path / "text.tar.xz").write_text("no archive")
    with pytest.raises(UserError, match="cannot be read"):
        travel.unpack(tmp_path / "text.tar.xz")
    for name, content in (
        ("other", b"x"),
        ("content.json", b'{"profile": "p", "files": {"a": 1}}'),
    ):
        with tarfile.open(tmp_path / "other.tar.xz", "w:xz") as archive:
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
        with pytest.raises(UserError, match=r"was not packed by|is damaged at a"):
            travel.unpack(tmp_path / "other.tar.xz")
