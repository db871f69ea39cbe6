import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import StoppedError, stop_after

from vaaffect import training
from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.corpora.landmarks import MIRRORED
from vaaffect.live.export import export_run
from vaaffect.live.predictor import Predictor, find_run
from vaaffect.results.predictions import check_predictions
from vaaffect.training import clip_network
from vaaffect.training.batches import augment, augment_points, gather, gather_in_blocks, to_input
from vaaffect.training.clip_network import ClipNetwork, windows
from vaaffect.training.loop import train
from vaaffect.training.many import How, train_all
from vaaffect.training.networks import build_model
from vaaffect.training.plan import Plan
from vaaffect.training.pretext import pretext_recipe
from vaaffect.training.recipe import Recipe, recipe_for
from vaaffect.training.run_folder import load_model
from vaaffect.training.spec import Training
from vaaffect.training.starting_weights import start_from
from vaaffect.training.step import autocast, take_step

CPU = torch.device("cpu")
NAME = "affwildnet_resnet10"
RECIPE = Recipe(
    "clips", epochs=3, batch_size=2, sequence=3, optimizer="adamw", lr=0.002, loss="ccc", flip=True,
    shift=0.05,
)  # fmt: skip


@pytest.fixture(scope="module")
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


def cut(lengths: dict[str, int], length: int, shuffled: bool = True):
    """Windows of clips with so many frames, and the frames they were cut from."""
    frames = pd.DataFrame(
        [(clip, frame) for clip, n in lengths.items() for frame in range(n)],
        columns=["clip", "frame"],
    )
    n = len(frames)
    crops = type("Crops", (), {})()
    crops.frames, crops.landmarks = frames, np.zeros((n, 68, 2), np.float32)
    crops.images = np.zeros((n, 8, 8, 3), np.uint8)
    rows = np.random.default_rng(0).permutation(n) if shuffled else np.arange(n)
    return windows(crops, rows, length, CPU), frames, rows


@pytest.mark.parametrize("length", [2, 3, 4, 7])
def test_each_frame_counts_once_in_windows_of_one_clip_in_order(length):
    made, frames, rows = cut({"b": 7, "a": 1, "c": 4, "d": 2}, length)
    assert np.array_equal(np.sort(made.rows[made.counts]), np.arange(len(frames)))
    for of in made.rows:
        assert frames["clip"].iloc[of].nunique() == 1
        assert set(np.diff(frames["frame"].iloc[of])) <= {0, 1}
    # Answers find their way back to the frames that were asked for.
    answers = torch.from_numpy(np.stack([made.rows, -made.rows], 2)).float()
    assert np.array_equal(made.in_order(answers)[:, 0], rows)


def test_the_rest_of_a_clip_reaches_back_and_a_short_clip_is_held():
    made, _, _ = cut({"a": 7, "b": 2}, 3, shuffled=False)
    assert made.rows.tolist() == [[0, 1, 2], [3, 4, 5], [4, 5, 6], [7, 8, 8]]
    assert made.counts.astype(int).tolist() == [[1, 1, 1], [1, 1, 1], [0, 0, 1], [1, 1, 0]]


def test_what_follows_a_frame_does_not_change_its_answer():
    torch.manual_seed(0)
    for cell in ("gru", "lstm"):
        name = NAME if cell == "gru" else "affwildnet_lstm_resnet10"
        network = build_model(name, image_size=32).eval()
        assert isinstance(network.memory, clip_network.CELLS[cell])
        x, points = torch.rand(2 * 4, 3, 32, 32), torch.rand(2, 4, 136)
        with torch.no_grad():
            whole = network(x, points)
            x.view(2, 4, 3, 32, 32)[:, 2:] = 0
            points[:, 3:] = 0
            other = network(x, points)
        assert whole.shape == (2, 4, 2)
        assert torch.allclose(whole[:, :2], other[:, :2], atol=1e-6)
        assert (whole[:, 2:] - other[:, 2:]).abs().min() > 1e-6


def test_landmarks_and_the_past_reach_the_answer():
    torch.manual_seed(0)
    network = build_model(NAME, image_size=32).eval()
    x, points = torch.rand(3, 3, 32, 32), torch.rand(1, 3, 136, requires_grad=True)
    network(x, points)[0, 2].sum().backward()
    assert (points.grad[0].abs().amax(1) > 0).all()


@pytest.mark.parametrize("backbone", ["vgg_tiny_bn", "vgg16", "convnext_tiny", "squeezenet1_1"])
def test_any_network_can_look_at_the_pictures(backbone):
    network = build_model(f"affwildnet_{backbone}", image_size=32).eval()
    with torch.no_grad():
        assert network(torch.rand(2, 3, 32, 32), torch.rand(1, 2, 136)).shape == (1, 2, 2)
    seen = sum(isinstance(m, torch.nn.Linear) for m in network.backbone.modules())
    assert seen == (36 if backbone == "convnext_tiny" else 0)  # it has some in its blocks


def test_landmarks_move_with_their_pictures():
    size = 64
    rng = np.random.default_rng(0)
    places = rng.uniform(20, 44, (4, 68, 2)).round().astype(np.float32)
    recipe = Recipe(flip=True, shift=0.2)
    draws = torch.rand(6, 4, generator=torch.Generator().manual_seed(1))
    assert len(set((draws[0] < 0.5).tolist())) == 2  # some mirrored, some not
    points = torch.from_numpy(clip_network.points_of(places, size)).unsqueeze(1)
    moved = augment_points(points, recipe, draws).view(4, 68, 2)
    for point in (0, 36, 48, 60):
        images = torch.zeros(4, size, size, 3, dtype=torch.uint8)
        for i, (x, y) in enumerate(places[:, point].astype(int)):
            images[i, y, x] = 255
        seen = augment(to_input(images), recipe, draws).mean(1) + 1  # a spot of light
        grid = torch.arange(size, dtype=torch.float32)
        total = seen.sum((1, 2))
        found = torch.stack([(seen.sum(1) * grid).sum(1), (seen.sum(2) * grid).sum(1)], 1)
        found = clip_network.points_of(found.div(total[:, None]).view(4, 1, 2).numpy(), size)
        for i in range(4):
            mirrored = bool(draws[0, i] < 0.5)
            told = moved[i, MIRRORED.index(point) if mirrored else point]
            assert np.allclose(found[i], told, atol=1.5 / size)
    assert sorted(MIRRORED) == list(range(68))
    assert all(MIRRORED[MIRRORED[i]] == i for i in range(68))


def test_mirrored_numbers_are_those_of_a_mirrored_face(tiny_crops):
    # The landmarks of faces, mirrored with and without new numbers: only with them is it a face.
    points = clip_network.points_of(tiny_crops.landmarks, tiny_crops.images.shape[1])
    shape = points.reshape(-1, 68, 2).mean(axis=0)
    swapped = shape[MIRRORED] * [-1, 1]
    assert np.abs(swapped - shape).max() < 0.15 < np.abs(shape * [-1, 1] - shape).max()


def test_windows_travel_in_blocks_as_they_do_at_once(monkeypatch):
    images = torch.arange(20 * 2 * 2 * 3).view(20, 2, 2, 3)
    order = torch.randint(0, 20, (5, 2, 3), generator=torch.Generator().manual_seed(0))
    monkeypatch.setattr("vaaffect.training.batches.BLOCK_BYTES", images[0].nbytes * 6 * 2)
    blocks = gather_in_blocks(images, order, CPU)  # into buffers that are used again
    for a, b in zip(blocks, gather(images, order, CPU), strict=True):
        assert a.shape == (2, 3, 2, 2, 3) and torch.equal(a, b)


def test_held_frames_have_no_say_in_the_loss(tiny_crops):
    recipe = dataclasses.replace(RECIPE, flip=False, shift=0.0, optimizer="sgd", lr=0.01)

    def fresh():
        torch.manual_seed(0)
        model = build_model(NAME, image_size=32)
        return model, torch.optim.SGD(model.parameters(), recipe.lr)

    model, optimizer = fresh()
    batches = []

    def keep(batch):
        batches.append(batch)
        return take_step(model, optimizer, recipe, batch)

    clips = tiny_crops.frames["clip"].unique()[:2]
    of = windows(tiny_crops, np.flatnonzero(tiny_crops.frames["clip"].isin(clips)), 5, CPU)
    images, va = torch.from_numpy(tiny_crops.images), torch.from_numpy(tiny_crops.va)
    training.epoch_losses(model, optimizer, recipe, images, va, of, 0, 0, keep)
    (batch,) = batches
    assert (batch.weights == 0).any() and batch.points.shape == (2, 5, 136)

    # The same step by hand, without the places that do not count, and with them.
    far = {}
    for name, places in {"without": batch.weights > 0, "with": batch.weights >= 0}.items():
        other, optimizer = fresh()
        with autocast(CPU):
            pred = other.train()(to_input(batch.images), batch.points).float()
        p, t = pred[places], batch.va[places]
        spread = p.var(0, correction=0) + t.var(0, correction=0) + (p.mean(0) - t.mean(0)) ** 2
        concordance = 2 * ((p - p.mean(0)) * (t - t.mean(0))).mean(0) / spread
        (1 - concordance).mean().backward()
        optimizer.step()
        start = torch.cat([value.detach().flatten() for value in fresh()[0].parameters()])
        mine, theirs = (
            torch.cat([value.detach().flatten() for value in m.parameters()]) - start
            for m in (model, other)
        )
        far[name] = float((mine - theirs).norm() / theirs.norm())
    assert far["without"] < 0.02 and far["with"] > 0.1, far


def test_a_training_on_clips_is_like_any_other(tiny_crops, split, tmp_path):
    other = dataclasses.replace(tiny_crops, label="other")
    work = Training(NAME, RECIPE, tiny_crops, split, other_corpora=[other], keep_model=True)
    run = train(work, tmp_path)
    table = pd.read_parquet(run / "predictions.parquet")
    check_predictions(table)
    here = table[table["test_corpus"] == tiny_crops.label]
    assert len(here) == len(split.test)
    other = table[table["test_corpus"] == "other"].merge(tiny_crops.frames, on=["clip", "frame"])
    assert len(other) == len(tiny_crops.frames)
    assert (other["valence_true"] == other["valence"]).all()
    assert here["valence_true"].tolist() == tiny_crops.frames["valence"].iloc[split.test].tolist()
    assert len(pd.read_csv(run / "history.csv")) == 3
    assert json.loads((run / "config.json").read_text())["recipe"]["sequence"] == 3
    # The stored network is the one that predicted, each frame at its place in its clip.
    model = load_model(run)
    assert isinstance(model, ClipNetwork)
    of = windows(tiny_crops, split.test[::-1].copy(), 3, CPU)
    pred = training.predict(model, torch.from_numpy(tiny_crops.images), of, CPU)
    assert np.allclose(pred[::-1], here[["valence_pred", "arousal_pred"]], atol=2**-7)
    # It reads no single pictures.
    with pytest.raises(UserError, match="reads clips with their landmarks; choose a run"):
        Predictor.from_run(run)
    with pytest.raises(UserError, match="reads clips with their landmarks; choose a run"):
        export_run(run, tmp_path / "net.onnx")
    with pytest.raises(UserError, match="no run folder and no profile with a kept model"):
        find_run(str(tmp_path))


def test_a_training_on_clips_goes_on_where_it_was_stopped(tiny_crops, split, tmp_path, monkeypatch):
    whole = train(Training(NAME, RECIPE, tiny_crops, split), tmp_path / "whole")
    args = (Training(NAME, RECIPE, tiny_crops, split), tmp_path / "parts")
    stop_after(monkeypatch, 2)
    with pytest.raises(StoppedError):
        train(*args)
    run = train(*args)
    tables = [pd.read_parquet(of / "predictions.parquet") for of in (whole, run)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)


@pytest.mark.thorough  # test_many trains networks of pictures so, and this takes two processes more
def test_clips_and_pictures_are_trained_side_by_side(tiny_crops, split, tmp_path):
    plain = Recipe("plain", epochs=1, batch_size=8)
    trainings = [
        Training(NAME, dataclasses.replace(RECIPE, epochs=1), tiny_crops, split),
        Training("resnet10", plain, tiny_crops, split),
    ]
    runs = train_all(trainings, tmp_path, How(jobs=2))
    table = pd.concat([pd.read_parquet(run / "predictions.parquet") for run in runs])
    assert table.groupby("model").size().tolist() == [len(split.test)] * 2


def test_a_network_of_clips_starts_from_what_its_backbone_has_learned(tiny_crops, tmp_path):
    own = Recipe("own", batch_size=8, weights="pretext", optimizer="adamw")
    clips = dataclasses.replace(RECIPE, weights="pretext")
    world = {"clips": 10, "subjects": 10, "frames": [2, 2], "seed": 7}
    plan = Plan("p", size=32, pretext=world)
    made = plan.starts_for([(NAME, clips), ("resnet10", own)])
    assert made[NAME, "clips"] == made["resnet10", "own"]
    path = dataclasses.replace(made[NAME, "clips"], folder=tmp_path).weights([tiny_crops])
    learned = torch.load(path, weights_only=True)
    for name in (NAME, "affwildnet_lstm_resnet10"):
        network = build_model(name, image_size=32)
        start_from(network, path, name)
        state = network.state_dict()
        assert all(torch.equal(state[f"backbone.{key}"], value) for key, value in learned.items())
    with pytest.raises(UserError, match="weights of another network"):
        start_from(build_model("affwildnet_resnet18", image_size=32), path, "resnet18")
    assert pretext_recipe(clips, 1).batch_size == 6 and pretext_recipe(clips, 1).sequence == 1


def test_pieces_that_do_not_fit_are_refused(tiny_crops, split, tmp_path):
    with pytest.raises(UserError, match=r"resnet10 reads one picture.* or take affwildnet_resn"):
        recipe_for("resnet10", {}, {"resnet10": {"sequence": 4}})
    work = Training(NAME, RECIPE, tiny_crops, split)

    def changed(**changes):
        return dataclasses.replace(work, recipe=dataclasses.replace(RECIPE, **changes))

    with pytest.raises(UserError, match="reads clips; give its recipe a sequence of 2 frames"):
        train(changed(sequence=1), tmp_path)
    with pytest.raises(UserError, match="learns as a whole"):
        recipe_for(NAME, {"trained": "head", "sequence": 3}, {})
    with pytest.raises(UserError, match="sequence >= 1"):
        Recipe(sequence=0)
    longest = tiny_crops.frames.iloc[split.train].groupby("clip").size()
    said = f"no clip of .* has 80 annotated frames .*{longest.idxmax()}, has 4.* at most 4"
    with pytest.raises(UserError, match=said):
        train(changed(sequence=80), tmp_path)
    with pytest.raises(UserError, match="windows of 3 frames are fewer than one batch of 500"):
        train(changed(batch_size=500), tmp_path)
    with pytest.raises(UserError, match="did you mean affwildnet_resnet"):
        build_model("affwildnet_resnet51")
