"""What a run is: what was to be learned, and not on what machine."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
import torch

from vaaffect.base import UserError, cache
from vaaffect.corpora.folds import subject_folds
from vaaffect.training import identity, loop, run_folder, spec, step
from vaaffect.training.loop import train
from vaaffect.training.pretext import PretextStart
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import is_finished, load_checkpoint, read_done, save_checkpoint
from vaaffect.training.spec import Training

RECIPE = Recipe("quick", epochs=2, batch_size=4, lr=0.005)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def splits(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)


@pytest.fixture(scope="module")
def work(tiny_crops, splits):
    return Training("vgg_tiny_bn", RECIPE, tiny_crops, splits[0])


@pytest.fixture(scope="module")
def finished(work, tmp_path_factory):
    return train(work, tmp_path_factory.mktemp("runs"))


def test_everything_that_is_to_be_learned_is_in_the_name(work, splits, monkeypatch):
    start = PretextStart("vgg_tiny_bn", RECIPE, {}, 32, 0, Path("nowhere"))
    names = {work.name}
    for changes in (
        {"model": "resnet10"},
        {"recipe": dataclasses.replace(RECIPE, lr=0.004)},
        {"crops": dataclasses.replace(work.crops, key="other")},
        {"crops": dataclasses.replace(work.crops, label="other")},
        {"split": splits[1]},
        {"split": dataclasses.replace(work.split, train=work.split.train[1:])},
        {"weight_seed": 1},
        {"other_corpora": (work.crops,)},
        {"start": start},
        {"start": dataclasses.replace(start, seed=1)},
    ):
        names.add(dataclasses.replace(work, **changes).name)
    assert len(names) == 11
    assert dataclasses.replace(work, keep_model=True).name == work.name
    monkeypatch.setattr(spec, "learning_code", lambda: "another step")
    assert work.name not in names


def test_modules_that_do_not_decide_what_is_learned_are_named_one_by_one():
    room = {path.name for path in Path(spec.__file__).parent.glob("*.py")}
    assert {"loop.py", "epoch.py", "step.py", "recipe.py"} <= room - set(identity.NOT_LEARNING)
    assert set(identity.NOT_LEARNING) - room == set()


def test_a_run_that_another_machine_has_finished_is_found_and_used(
    work, finished, tmp_path, monkeypatch
):
    run = shutil.copytree(finished, tmp_path / finished.name)
    done = read_done(run)
    assert done["machine"].keys() == {
        "device", "precision", "torch", "python", "threads", "processes", "compiled", "seconds",
    }  # fmt: skip
    done["machine"] |= {"device": "cuda, a large one", "torch": "9.9", "threads": 64}
    (run / "done.json").write_text(json.dumps(done))
    monkeypatch.setattr(step, "autocast_dtype", lambda device: torch.bfloat16)
    monkeypatch.setattr(torch, "__version__", "8.8")
    monkeypatch.setattr(loop, "_fit", None)  # nothing is trained
    assert train(work, tmp_path) == run


def test_a_copied_run_is_hashed_once(finished, tmp_path, monkeypatch):
    hashed, sha256_of = [], cache.sha256_of
    monkeypatch.setattr(
        cache, "sha256_of", lambda path: hashed.append(path.name) or sha256_of(path)
    )
    assert is_finished(finished) and hashed == []
    shutil.copytree(finished, tmp_path / "copy", copy_function=shutil.copyfile)
    for _ in range(2):
        assert is_finished(tmp_path / "copy")
        names = ["config.json", "history.csv", "predictions.parquet", "validation.parquet"]
        assert hashed == names


def test_a_run_from_before_there_were_stamps_can_still_be_used(finished, tmp_path):
    run = shutil.copytree(finished, tmp_path / "old")
    done = read_done(run)
    done["sha256"] = {name: sha256 for name, (sha256, *_) in done.pop("files").items()}
    (run / "done.json").write_text(json.dumps(done))
    assert is_finished(run) and read_done(run)["files"].keys() == done["sha256"].keys()
    (run / "predictions.parquet").write_bytes(b"")
    with pytest.raises(UserError, match="is damaged"):
        is_finished(run)


def test_a_name_with_a_slash_makes_one_folder(work, tmp_path):
    names = {"AdamW/cosine", "AdamW\\cosine", "../up", "x" * 300}
    folders = set()
    for name in names:
        recipe = dataclasses.replace(RECIPE, name=name, epochs=1)
        run = train(dataclasses.replace(work, recipe=recipe), tmp_path)
        assert run.parent == tmp_path and run_folder.read_config(run)["recipe"]["name"] == name
        folders.add(run)
    assert set(tmp_path.iterdir()) == folders and len(folders) == len(names)


def test_a_checkpoint_of_another_device_goes_on_here(work, tmp_path):
    """On a GPU the learning rate is a tensor: on a CPU it must be a number again, and, worse, a
    number that a GPU found would be recorded once and for all."""
    run = tmp_path / work.name
    state = loop._start(work, None, run, CPU)
    saved = loop._checkpoint(state)
    saved["optimizer"]["param_groups"][0]["lr"] = torch.tensor(0.5)
    run.mkdir()
    save_checkpoint(run, saved, 1)
    assert torch.is_tensor(load_checkpoint(run, CPU)["optimizer"]["param_groups"][0]["lr"])
    again = loop._start(work, None, run, CPU)
    assert again.optimizer.param_groups[0]["lr"] == RECIPE.lr
    assert not torch.is_tensor(again.optimizer.param_groups[0]["lr"])


def test_frames_of_a_sequence_are_images_of_a_step():
    assert step.waits_for_python(Recipe(batch_size=64))
    assert not step.waits_for_python(Recipe(batch_size=65))
    assert not step.waits_for_python(Recipe(batch_size=8, sequence=80))
