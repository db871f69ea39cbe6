import dataclasses

import numpy as np
import pytest
import torch

from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.simulator.worlds import WildWorld
from vaaffect.training import pretext
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model, head_name
from vaaffect.training.pretext import PretextStart
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training
from vaaffect.training.starting_weights import start_from

QUICK = Recipe("quick", epochs=4, batch_size=8, lr=0.003, optimizer="adamw", weights="pretext")


@pytest.fixture
def faces(tiny_crops, monkeypatch):
    """The same faces under other subjects' names stand for drawn ones; returns what was drawn."""
    frames = tiny_crops.frames.assign(subject="x" + tiny_crops.frames["subject"].astype(str))
    faces, drawn = dataclasses.replace(tiny_crops, frames=frames), []

    def draw(world, size, whole_pictures):
        drawn.append((world, size))
        return faces

    monkeypatch.setattr(pretext, "pretext_crops", draw)
    return drawn


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("pretext")


@pytest.fixture
def start(faces, folder):
    return PretextStart("resnet10", pretext.pretext_recipe(QUICK, 12), {}, 32, 0, folder)


def test_targets_are_standardised_and_can_be_undone(tiny_crops):
    rows = np.arange(len(tiny_crops.frames) // 2)
    wanted, mean, sd = pretext.targets(tiny_crops.landmarks, rows)
    moving = sd > 2e-3
    assert np.allclose(wanted[rows].mean(axis=0), 0, atol=1e-3)
    assert np.allclose(wanted[rows][:, moving].std(axis=0), 1, atol=1e-3)
    again = (wanted * sd + mean).reshape(tiny_crops.landmarks.shape)
    assert np.allclose(again, tiny_crops.landmarks, atol=1e-3)


def test_a_network_learns_where_landmarks_lie_and_is_not_trained_twice(faces, start):
    path = start.weights()
    (row,) = pretext.learned({("resnet10", "quick"): start}).to_dict("records")
    assert row["epochs"] == 12 and row["people"] >= 1
    assert 0 < row["error"] < 100 and 0 < row["blind_error"] < 100
    before, drawings = path.stat().st_mtime_ns, len(faces)
    assert start.weights() == path and path.stat().st_mtime_ns == before
    assert len(faces) == drawings
    other = dataclasses.replace(start, recipe=pretext.pretext_recipe(QUICK, 1))
    assert other.weights().read_bytes() != path.read_bytes()


def test_nothing_is_drawn_or_trained_before_a_training_starts(
    faces, tiny_crops, tmp_path, monkeypatch
):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    recipe = dataclasses.replace(QUICK, epochs=1)
    world, made_as = {"subjects": 12}, pretext.pretext_recipe(recipe, 1)
    start = PretextStart("resnet10", made_as, world, 32, 4, tmp_path / "pretext")
    work = Training("resnet10", recipe, tiny_crops, split, start=start)
    assert work.name and not faces and not (tmp_path / "pretext").exists()
    run = train(work, tmp_path / "runs")
    assert faces == [(world, 32)]
    # A finished run is used where the weights that it started from never came.
    moved = dataclasses.replace(start, folder=tmp_path / "nowhere")
    monkeypatch.setattr(pretext, "_pretrain", None)
    assert train(dataclasses.replace(work, start=moved), tmp_path / "runs") == run
    assert not (tmp_path / "nowhere").exists()


def test_the_key_is_made_from_everything_that_determines_the_weights(start):
    assert dataclasses.replace(start, world={"seed": WildWorld().seed}).key == start.key
    for changes in (
        {"model": "vgg_tiny_bn"},
        {"recipe": pretext.pretext_recipe(QUICK, 11)},
        {"world": {"subjects": 13}},
        {"size": 36},
        {"seed": 1},
    ):
        assert dataclasses.replace(start, **changes).key != start.key
    with pytest.raises(UserError, match=r"unknown PRETEXT key 'people'; such a world has: .*clips"):
        dataclasses.replace(start, world={"people": 3})


def test_a_network_starts_from_all_weights_but_the_last_layer(start):
    torch.manual_seed(3)
    fresh = build_model("resnet10", image_size=32)
    torch.manual_seed(3)
    begun = build_model("resnet10", image_size=32)
    start_from(begun, start.weights(), "resnet10")
    stored = torch.load(start.weights(), weights_only=True)
    for name, value in begun.state_dict().items():
        if name.startswith(head_name(begun)):
            assert torch.equal(value, fresh.state_dict()[name])
        else:
            assert torch.equal(value, stored[name])
    with pytest.raises(UserError, match="another network"):
        start_from(build_model("vgg_tiny_bn", image_size=32), start.weights(), "vgg_tiny_bn")


def test_damaged_weights_are_named(start, tmp_path):
    quick = dataclasses.replace(start, folder=tmp_path, recipe=pretext.pretext_recipe(QUICK, 1))
    path = quick.weights()
    path.write_bytes(path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"weights\.pt: is damaged"):
        quick.weights()


def test_subjects_of_the_study_cannot_be_in_the_pretext(tiny_crops, start, tmp_path, monkeypatch):
    quick = dataclasses.replace(start, folder=tmp_path, recipe=pretext.pretext_recipe(QUICK, 1))
    monkeypatch.setattr(pretext, "pretext_crops", lambda world, size, whole: tiny_crops)
    with pytest.raises(UserError, match="share subjects with"):
        quick.weights([tiny_crops])
    assert not list(tmp_path.glob("*/weights.pt"))
    quick.weights()  # of another study
    with pytest.raises(UserError, match="share subjects with"):
        quick.weights([tiny_crops])
    few = tiny_crops.frames["subject"].isin(tiny_crops.frames["subject"].unique()[:3]).to_numpy()
    few = dataclasses.replace(tiny_crops, frames=tiny_crops.frames[few])
    monkeypatch.setattr(pretext, "pretext_crops", lambda world, size, whole: few)
    with pytest.raises(UserError, match="at least"):
        dataclasses.replace(quick, seed=1).weights()


def test_training_starts_from_the_pretext_and_says_so(tiny_crops, start, tmp_path):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    recipe = dataclasses.replace(QUICK, epochs=1)
    transferred = Training("resnet10", recipe, tiny_crops, split)
    twin = dataclasses.replace(recipe, name="quick from scratch", weights="none")
    scratch = dataclasses.replace(transferred, recipe=twin)
    learned = train(dataclasses.replace(transferred, start=start), tmp_path)
    assert learned != train(scratch, tmp_path)
    with pytest.raises(UserError, match="give `start`"):
        train(transferred, tmp_path)
    with pytest.raises(UserError, match="give `start`"):
        train(dataclasses.replace(scratch, start=start), tmp_path)
