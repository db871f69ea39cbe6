import dataclasses

import numpy as np
import pytest
import torch

from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.training import loop as training
from vaaffect.training import pretext
from vaaffect.training.networks import Start, build_model, head_name, start_from
from vaaffect.training.recipe import Recipe, recipes_for

QUICK = Recipe("quick", epochs=4, batch_size=8, lr=0.003, optimizer="adamw", weights="pretext")


@pytest.fixture(scope="module")
def faces(tiny_crops):
    """The same faces under other people's names."""
    frames = tiny_crops.frames.assign(subject="x" + tiny_crops.frames["subject"].astype(str))
    return dataclasses.replace(tiny_crops, frames=frames)


@pytest.fixture(scope="module")
def start(faces, tmp_path_factory):
    folder = tmp_path_factory.mktemp("pretext")
    return pretext.pretrain("resnet10", pretext.pretext_recipe(QUICK, 12), faces, folder)


def test_targets_are_standardised_and_can_be_undone(tiny_crops):
    rows = np.arange(len(tiny_crops.frames) // 2)
    wanted, mean, sd = pretext.targets(tiny_crops.landmarks, rows)
    moving = sd > 2e-3
    assert np.allclose(wanted[rows].mean(axis=0), 0, atol=1e-3)
    assert np.allclose(wanted[rows][:, moving].std(axis=0), 1, atol=1e-3)
    again = (wanted * sd + mean).reshape(tiny_crops.landmarks.shape)
    assert np.allclose(again, tiny_crops.landmarks, atol=1e-3)


def test_a_network_learns_where_landmarks_lie_and_is_not_trained_twice(faces, start):
    (row,) = pretext.learned({("resnet10", "quick"): start}).to_dict("records")
    assert row["epochs"] == 12 and row["people"] >= 1
    assert 0 < row["error"] < 100 and 0 < row["blind_error"] < 100
    before = start.path.stat().st_mtime_ns
    folder = start.path.parent.parent
    again = pretext.pretrain("resnet10", pretext.pretext_recipe(QUICK, 12), faces, folder)
    assert again == start and start.path.stat().st_mtime_ns == before
    other = pretext.pretrain("resnet10", pretext.pretext_recipe(QUICK, 1), faces, folder)
    assert other.sha256 != start.sha256


def test_a_network_starts_from_all_weights_but_the_last_layer(start):
    torch.manual_seed(3)
    fresh = build_model("resnet10", image_size=32)
    torch.manual_seed(3)
    begun = build_model("resnet10", image_size=32)
    start_from(begun, start)
    stored = torch.load(start.path, weights_only=True)
    for name, value in begun.state_dict().items():
        if name.startswith(head_name(begun)):
            assert torch.equal(value, fresh.state_dict()[name])
        else:
            assert torch.equal(value, stored[name])
    with pytest.raises(UserError, match="another network"):
        start_from(build_model("vgg_tiny_bn", image_size=32), start)


def test_damaged_weights_are_named(start, tmp_path):
    path = tmp_path / "weights.pt"
    path.write_bytes(start.path.read_bytes()[:-1] + b"?")
    with pytest.raises(UserError, match=r"weights\.pt: is damaged"):
        start_from(build_model("resnet10", image_size=32), Start(path, start.sha256))


def test_people_of_the_study_cannot_be_in_the_pretext(tiny_crops, faces, tmp_path):
    recipe = pretext.pretext_recipe(QUICK, 1)
    with pytest.raises(UserError, match="share people with"):
        pretext.pretrain("resnet10", recipe, tiny_crops, tmp_path, apart=[tiny_crops])
    few = faces.frames["subject"].isin(faces.frames["subject"].unique()[:3]).to_numpy()
    few = dataclasses.replace(
        faces, frames=faces.frames[few], images=faces.images[few], landmarks=faces.landmarks[few]
    )
    with pytest.raises(UserError, match="at least"):
        pretext.pretrain("resnet10", recipe, few, tmp_path)


def test_training_starts_from_the_pretext_and_says_so(tiny_crops, start, tmp_path):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    train = lambda recipe, **more: training.train(  # noqa: E731
        "resnet10", recipe, tiny_crops, split, tmp_path, **more
    )
    twins = recipes_for(
        ["resnet10"], dataclasses.asdict(dataclasses.replace(QUICK, epochs=1)), {}, ["resnet10"]
    )
    (_, transferred), (_, scratch) = twins
    assert scratch.weights == "none" and scratch.name == "quick from scratch"
    runs = train(transferred, start=start), train(scratch)
    assert runs[0] != runs[1]
    with pytest.raises(UserError, match="give `start`"):
        train(transferred)
    with pytest.raises(UserError, match="give `start`"):
        train(scratch, start=start)


def test_from_scratch_needs_a_twin():
    base = {"name": "x", "weights": "pretext"}
    with pytest.raises(UserError, match="add it to MODELS"):
        recipes_for(["resnet10"], base, {}, ["vgg_tiny_bn"])
    with pytest.raises(UserError, match="starts from random weights anyway"):
        recipes_for(["resnet10"], {"name": "x"}, {}, ["resnet10"])
