"""Damaged run folders: every file is named with the cure, and a sound run beside it is found."""

import json
import os
import shutil
from pathlib import Path

import pytest
import torch
from rights import without_rights

from vaaffect.__main__ import main
from vaaffect.base import UserError
from vaaffect.corpora import subject_folds
from vaaffect.live import find_run, find_runs
from vaaffect.results.predictions import read_predictions
from vaaffect.training import Recipe, Training, train
from vaaffect.training.many import train_all
from vaaffect.training.memory import read_memory
from vaaffect.training.run_folder import (
    holds_model,
    is_finished,
    load_model,
    read_config,
    read_done,
    read_histories,
    read_history,
)

RECORDS, TABLES = ("done.json", "config.json"), ("history.csv", "predictions.parquet")
OTHERS = {
    "empty": lambda content: b"",
    "half": lambda content: content[: len(content) // 2],
    "no text": lambda content: b"\xff\xfe\x00 \x80",
    "another kind": lambda content: b"[1, 2]",
    "a number": lambda content: b"3",
    "nothing known": lambda content: b"{}",
}


@pytest.fixture
def beside(run, tmp_path) -> tuple[Path, Path]:
    """A sound run and one to be damaged, whose validation error is the smaller one."""
    good, bad = (Path(shutil.copytree(run, tmp_path / "runs" / name)) for name in ("good", "bad"))
    rewrite(bad, best_val_mse=0.0)
    return good, bad


def rewrite(run: Path, **changes: object) -> None:
    """Other values in done.json."""
    (run / "done.json").write_text(json.dumps(read_done(run) | changes))


def refused(function, *arguments) -> str:
    with pytest.raises(UserError) as error:
        function(*arguments)
    return str(error.value)


@pytest.mark.parametrize("damage", OTHERS)
@pytest.mark.parametrize("name", RECORDS)
def test_a_damaged_record_is_named_by_all_who_read_it(beside, name, damage, capsys):
    good, bad = beside
    path = bad / name
    path.write_bytes(OTHERS[damage](path.read_bytes()))
    reader = {"done.json": read_done, "config.json": read_config}[name]
    for function in (reader, is_finished, holds_model, load_model):
        said = refused(function, bad)
        assert said.startswith(f"{path}: is damaged (") and "\n" not in said
        assert f"delete the folder {bad} and run again" in said
    assert f"{path}: is damaged" in refused(find_run, str(bad))
    # Beside it the sound one is found, and the other one is named.
    assert find_runs(str(bad.parent)) == [good] and find_run(str(bad.parent)) == good
    assert f"left out: {path}: is damaged" in capsys.readouterr().err


@pytest.mark.parametrize("damage", ["empty", "half", "no text", "missing"])
@pytest.mark.parametrize("name", ["config.json", *TABLES, "validation.parquet", "model.pt"])
def test_a_damaged_file_of_a_finished_run_is_named(beside, name, damage, capsys):
    good, bad = beside
    path = bad / name
    if damage == "missing":
        path.unlink()
    else:
        path.write_bytes(OTHERS[damage](path.read_bytes()))
    for function in (is_finished, holds_model, load_model):
        said = refused(function, bad)
        assert said.startswith((f"{path}: is damaged (", f"{bad}: is no run folder, it has no c"))
    assert find_run(str(bad.parent)) == good


@pytest.mark.parametrize("damage", ["empty", "no text", "another kind", "missing"])
def test_tables_that_are_none_are_named_by_those_who_read_them_alone(beside, damage):
    _, bad = beside
    for name, read in (
        ("history.csv", read_history),
        ("predictions.parquet", lambda run: read_predictions([run])),
    ):
        path = bad / name
        content = path.read_bytes()
        path.unlink()
        if damage != "missing":
            path.write_bytes(OTHERS[damage](content))
        assert refused(read, bad).startswith(f"{path}: is damaged (")


def test_weights_that_changed_without_a_trace_are_named(beside):
    """A disk that forgets: size and time of the file are what they were."""
    _, bad = beside
    path = bad / "model.pt"
    state = path.stat()
    torch.save({"fc.weight": torch.zeros(3)}, path)
    path.write_bytes(path.read_bytes().ljust(state.st_size, b"x")[: state.st_size])
    os.utime(path, ns=(state.st_atime_ns, state.st_mtime_ns))
    assert is_finished(bad)
    assert refused(load_model, bad).startswith(f"{path}: is damaged (it holds no weights of resnet")


def test_a_config_of_no_network_is_named(beside):
    _, bad = beside
    config = read_config(bad)
    done = read_done(bad)
    del done["files"]["config.json"]
    (bad / "done.json").write_text(json.dumps(done))
    for change in ({"model": "resnet17"}, {"recipe": {"speed": 1}}, {"recipe": []}):
        (bad / "config.json").write_text(json.dumps(config | change))
        assert refused(load_model, bad).startswith(f"{bad / 'config.json'}: is damaged (it desc")


def test_files_that_nobody_may_read_are_named(run, public_folder):
    copy = Path(shutil.copytree(run, public_folder / "run"))
    os.utime(copy / "model.pt")  # so that it is hashed
    for name in (*RECORDS, "model.pt"):
        with without_rights(copy / name):
            said = refused(is_finished, copy)
        assert said.startswith(f"{copy / name}: cannot be read (Permission denied); make it")
    with without_rights(copy):
        assert "done.json: cannot be read (Permission denied)" in refused(is_finished, copy)
    assert is_finished(copy)


def test_weights_without_a_finished_training_hide_no_sound_run(beside, capsys):
    good, bad = beside
    assert find_run(str(bad.parent)) == bad  # it has the smaller error
    done = read_done(bad)
    # Trained again to keep its weights, and killed before done.json: it speaks of what was before.
    files = {name: stamp for name, stamp in done["files"].items() if name != "model.pt"}
    rewrite(bad, files=files)
    assert find_runs(str(bad.parent)) == [good]
    # Its weights stayed on another machine; these came from who knows where.
    rewrite(bad, elsewhere={"model.pt": done["files"]["model.pt"]})
    assert find_runs(str(bad.parent)) == [good]
    (bad / "done.json").unlink()
    assert find_runs(str(bad.parent)) == [good]
    assert capsys.readouterr().err == ""  # unfinished ones are no damage
    assert "holds no trained model; runs with a model are runs: good" in refused(find_run, str(bad))
    assert "holds no finished training; train it to its end" in refused(read_done, bad)
    (good / "done.json").write_bytes(b"")
    assert f"{good / 'done.json'}: is damaged" in refused(find_runs, str(bad.parent))


def test_the_command_line_says_so_in_one_sentence(beside, tmp_path, capsys):
    import cv2
    import numpy as np

    _, bad = beside
    (bad / "done.json").write_bytes(b"")
    cv2.imwrite(str(tmp_path / "grey.png"), np.full((64, 64, 3), 128, np.uint8))
    assert main(["predict", str(tmp_path / "grey.png"), "--run", str(bad)]) == 1
    said = capsys.readouterr().err
    assert said.startswith(f"vaaffect: {bad / 'done.json'}: is damaged (") and "Trace" not in said


@pytest.fixture(scope="module")
def work(tiny_crops) -> list[Training]:
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    recipe = Recipe("r", epochs=1, batch_size=8)
    return [Training("vgg_tiny_bn", recipe, tiny_crops, split, weight_seed=n) for n in range(3)]


def test_all_damaged_trainings_are_named_before_anything_is_trained(work, tmp_path, monkeypatch):
    first, second = (train(training, tmp_path) for training in work[:2])
    (first / "done.json").write_bytes(b"")
    (second / "history.csv").write_bytes(b"epoch")
    said = refused(train_all, work, tmp_path).splitlines()
    assert [line.partition(": is damaged")[0] for line in said] == [
        str(first / "done.json"), str(second / "history.csv"),
    ]  # fmt: skip
    assert not (tmp_path / work[2].name).exists()
    # As each sentence advises, the folders are deleted: trained again, they are what they were.
    before = read_predictions([first])
    shutil.rmtree(first)
    shutil.rmtree(second)
    assert read_predictions(train_all(work, tmp_path)[:1]).equals(before)
    assert len(read_histories([first, second])) == 2


def test_a_damaged_note_of_memory_is_named(work, tmp_path):
    for content in ("", "[]", '{"one": 2}', '{"1": []}'):
        (tmp_path / "memory.json").write_text(content)
        assert f"{tmp_path / 'memory.json'}: is damaged (" in refused(read_memory, tmp_path)
    (tmp_path / "memory.json").write_text('{"3": 4}')
    assert read_memory(tmp_path) == {3: 4}


def test_all_of_a_run_is_on_the_disk_before_there_is_a_file_that_says_so(
    work, tmp_path, monkeypatch
):
    synced, fsync = [], os.fsync

    def watched(handle: int) -> None:
        path = Path(f"/proc/self/fd/{handle}").readlink()
        synced.append((path.name, (tmp_path / work[0].name / "done.json").exists()))
        fsync(handle)

    monkeypatch.setattr(os, "fsync", watched)
    run = train(work[0], tmp_path)
    before = {name for name, finished in synced if not finished}
    assert {
        "config.json", "history.csv", "predictions.parquet.writing", "validation.parquet.writing",
        run.name, f"done.json.{os.getpid()}",
    } <= before  # fmt: skip
    assert synced[-1] == (run.name, True)  # and then its name
    stamps = read_done(run)["files"]
    assert set(stamps) == {path.name for path in run.iterdir()} - {"done.json"}
