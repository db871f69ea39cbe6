import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import StoppedError, stop_after
from torch import nn

from vaaffect import training
from vaaffect.base.errors import UserError
from vaaffect.classical.baselines import constant_predictor
from vaaffect.corpora.folds import leaking_folds, subject_folds
from vaaffect.results import metrics
from vaaffect.results.predictions import check_predictions, read_predictions
from vaaffect.training import loop
from vaaffect.training.batches import augment
from vaaffect.training.epoch import build_optimizer, epoch_losses
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import (
    is_finished,
    load_checkpoint,
    load_model,
    read_done,
    read_history,
    save_checkpoint,
)
from vaaffect.training.spec import Training

RECIPE = Recipe("quick", epochs=3, batch_size=4, lr=0.005, schedule="one-cycle", flip=True)


@pytest.fixture(scope="module")
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


def read(run) -> pd.DataFrame:
    return pd.read_parquet(run / "predictions.parquet")


def test_a_finished_run_holds_what_the_study_needs(tiny_crops, split, tmp_path):
    recipe = dataclasses.replace(RECIPE, jitter=0.1)
    run = train(Training("resnet10", recipe, tiny_crops, split, keep_model=True), tmp_path)
    assert sorted(p.name for p in run.iterdir()) == [
        "config.json",
        "done.json",
        "history.csv",
        "model.pt",
        "predictions.parquet",
        "validation.parquet",
    ]
    table = read(run)
    check_predictions(table)
    expected = tiny_crops.frames.iloc[split.test]
    assert table["valence_true"].tolist() == expected["valence"].tolist()
    assert set(table["subject"]) == set(expected["subject"])
    # The stored model is the one that predicted.
    pred = training.predict(
        load_model(run), torch.from_numpy(tiny_crops.images), split.test, torch.device("cpu")
    )
    assert np.array_equal(pred, table[["valence_pred", "arousal_pred"]])
    # Beside it the inner validation part, by the same weights: what the epoch was chosen by.
    inner = read_predictions([run], "validation")
    assert set(inner["subject"]) == set(tiny_crops.frames["subject"].iloc[split.val])
    error = inner[["valence_pred", "arousal_pred"]].to_numpy() - tiny_crops.va[split.val]
    best = json.loads((run / "done.json").read_text())["best_val_mse"]
    assert np.mean(error**2) == pytest.approx(best, rel=1e-6)
    history = pd.read_csv(run / "history.csv")
    assert list(history["epoch"]) == [1, 2, 3]
    done = json.loads((run / "done.json").read_text())
    assert done["best_epoch"] == history["epoch"][history["val_mse"].idxmin()]


@pytest.mark.parametrize("averaging", ["none", "ema"])
def test_labels_on_the_corpus_scale_are_another_training_with_predictions_in_the_same_range(
    tiny_crops, split, tmp_path, averaging
):
    # With SGD: a network that puts out labels times ten, divided by ten, is what must come out.
    ten_fold = dataclasses.replace(tiny_crops, native_scale=10.0)
    recipe = Recipe("native", 3, 4, lr=1e-4, labels="native", averaging=averaging)
    native = Training("vgg_tiny_bn", recipe, ten_fold, split, keep_model=True)
    run = train(native, tmp_path)
    table, device = read(run), torch.device("cpu")
    stored = training.predict(
        load_model(run), torch.from_numpy(ten_fold.images), split.test, device
    )
    columns = ["valence_pred", "arousal_pred"]
    np.testing.assert_allclose(stored, table[columns], atol=2e-3)  # bfloat16 where there is one
    unit = dataclasses.replace(native, recipe=dataclasses.replace(recipe, labels="unit"))
    plain = train(unit, tmp_path)
    assert not np.allclose(read(plain)[columns], table[columns], atol=2e-3)
    history = read_history(run)
    np.testing.assert_allclose(history["val_loss"], 100 * history["val_mse"], rtol=1e-6)
    if averaging == "ema":
        return
    torch.manual_seed(0)
    network = build_model("vgg_tiny_bn", image_size=tiny_crops.images.shape[1])
    network.to(memory_format=torch.channels_last)
    images, va = training.resident(tiny_crops, device)
    optimizer = build_optimizer(network, recipe)
    errors = [
        epoch_losses(network, optimizer, recipe, images, 10 * va, split.train, epoch, 0).mean()
        for epoch in range(3)
    ]
    np.testing.assert_allclose(history["train_mse"], np.array(errors) / 100, rtol=0.02)


def test_the_epoch_is_chosen_by_the_loss_that_is_trained(tiny_crops, split, tmp_path):
    recipe = Recipe("ccc", 6, 4, "adamw", 0.003, loss="ccc")
    run = train(Training("vgg_tiny_bn", recipe, tiny_crops, split), tmp_path)
    history, done = read_history(run), read_done(run)
    assert done["best_epoch"] == history["epoch"][history["val_loss"].idxmin()]
    inner = read_predictions([run], "validation")
    cccs = [metrics.ccc(inner[f"{d}_true"], inner[f"{d}_pred"]) for d in ("valence", "arousal")]
    cccs = np.nan_to_num(cccs)  # of valence, which all of these frames have in common
    assert 1 - np.mean(cccs) == pytest.approx(history["val_loss"].min(), abs=1e-4)


def test_another_corpus_is_predicted_whole_by_the_chosen_weights(tiny_crops, split, tmp_path):
    other = dataclasses.replace(
        tiny_crops,
        label="other",
        images=tiny_crops.images[::-1].copy(),
        frames=tiny_crops.frames[::-1],
    )
    run = train(Training("resnet10", RECIPE, tiny_crops, split, other_corpora=[other]), tmp_path)
    table = read(run)
    check_predictions(table)
    here, there = (table[table["test_corpus"] == c.label] for c in (tiny_crops, other))
    assert len(here) == len(split.test) and len(there) == len(other.frames)
    key = ["clip", "frame"]
    both = here.merge(there, on=key, suffixes=("", "_there"))
    assert len(both) == len(here)
    # The same pictures under another name get the same answers, up to rounding: kernels differ with
    # the number of pictures. bfloat16 has 8 significant bits, and answers are below one.
    precision = training.autocast_dtype(torch.device("cpu"))
    rounding = 1e-5 if precision == torch.float32 else 2**-8
    assert np.allclose(both["valence_pred"], both["valence_pred_there"], rtol=0, atol=rounding)
    small = dataclasses.replace(other, images=other.images[:, :16, :16].copy())
    with pytest.raises(UserError, match="crops of other have another size"):
        train(Training("resnet10", RECIPE, tiny_crops, split, other_corpora=[small]), tmp_path)


def test_the_same_seed_gives_the_same_predictions_and_another_does_not(tiny_crops, split, tmp_path):
    tables = [
        read(train(Training("resnet10", RECIPE, tiny_crops, split, seed), tmp_path / name))
        for name, seed in [("a", 0), ("b", 0), ("c", 1)]
    ]
    pd.testing.assert_frame_equal(tables[0], tables[1], check_exact=True)
    assert not np.allclose(tables[0]["valence_pred"], tables[2]["valence_pred"])


def test_a_finished_run_is_not_trained_again(tiny_crops, split, tmp_path, monkeypatch):
    run = train(Training("vgg_tiny_bn", RECIPE, tiny_crops, split), tmp_path)
    before = (run / "done.json").stat().st_mtime_ns
    with monkeypatch.context() as patch:
        patch.setattr(loop, "epoch_losses", None)
        assert train(Training("vgg_tiny_bn", RECIPE, tiny_crops, split), tmp_path) == run
    assert (run / "done.json").stat().st_mtime_ns == before
    other = train(
        Training("vgg_tiny_bn", dataclasses.replace(RECIPE, lr=0.01), tiny_crops, split), tmp_path
    )
    assert other != run


@pytest.mark.parametrize("model", ["resnet10", "vgg_tiny_bn"])  # the second one has dropout
def test_an_interrupted_training_ends_like_an_undisturbed_one(
    model, tiny_crops, split, tmp_path, monkeypatch
):
    whole = read(train(Training(model, RECIPE, tiny_crops, split), tmp_path / "whole"))
    args = (Training(model, RECIPE, tiny_crops, split), tmp_path / "parts")
    saved = stop_after(monkeypatch, 2)
    with pytest.raises(StoppedError):
        train(*args)
    resumed = read(train(*args))
    assert saved == [1, 2]  # and the third epoch, which ends with results, in the second attempt
    pd.testing.assert_frame_equal(whole, resumed)


def test_a_damaged_checkpoint_is_named_and_the_one_before_used(tmp_path, capsys):
    for epoch in (1, 2, 3):
        save_checkpoint(tmp_path, {"epoch": epoch}, epoch)
    kept = sorted(p.name[:17] for p in tmp_path.glob("*.pt"))
    assert kept == ["checkpoint_000002", "checkpoint_000003"]
    newest = max(tmp_path.glob("*.pt"))
    newest.write_bytes(newest.read_bytes()[:-10])
    assert load_checkpoint(tmp_path, torch.device("cpu")) == {"epoch": 2}
    assert newest.name in capsys.readouterr().out
    # The epoch is trained again: its checkpoint takes the place of the damaged one, not of the one
    # before, even where the other file's name sorts later.
    newest.rename(tmp_path / "checkpoint_000003_ffffffffffffffff.pt")
    save_checkpoint(tmp_path, {"epoch": 3}, 3)
    kept = sorted(p.name[:17] for p in tmp_path.glob("*.pt"))
    assert kept == ["checkpoint_000002", "checkpoint_000003"]
    assert load_checkpoint(tmp_path, torch.device("cpu")) == {"epoch": 3}


def test_damaged_results_are_refused(tiny_crops, split, tmp_path):
    run = train(Training("vgg_tiny_bn", RECIPE, tiny_crops, split), tmp_path)
    (run / "predictions.parquet").write_bytes(b"")
    with pytest.raises(UserError, match=r"predictions\.parquet: is damaged .*; delete the"):
        train(Training("vgg_tiny_bn", RECIPE, tiny_crops, split), tmp_path)
    assert not is_finished(tmp_path / "nowhere")
    with pytest.raises(UserError, match="holds no trained model"):
        load_model(tmp_path / "nowhere")


def test_test_rows_do_not_influence_training(tiny_crops, split, tmp_path):
    images = np.array(tiny_crops.images)
    images[split.test] = 0
    blind = dataclasses.replace(tiny_crops, images=images)
    seen, unseen = (
        train(Training("resnet10", RECIPE, crops, split), tmp_path / name)
        for name, crops in [("seen", tiny_crops), ("unseen", blind)]
    )
    columns = ["epoch", "train_mse", "val_mse"]
    histories = [pd.read_csv(run / "history.csv")[columns] for run in (seen, unseen)]
    pd.testing.assert_frame_equal(*histories)
    assert not np.allclose(read(seen)["valence_pred"], read(unseen)["valence_pred"])


def test_a_training_says_what_its_folds_keep_apart(tiny_crops, split, tmp_path):
    leaking = leaking_folds(tiny_crops.frames, "frame", folds=2)[0]
    recipe = dataclasses.replace(RECIPE, epochs=1)
    with pytest.raises(AssertionError, match=r"subject s\w+ is in \w+ and in"):
        honest = dataclasses.replace(leaking, by="subject")
        train(Training("resnet10", recipe, tiny_crops, honest), tmp_path)
    assert not list(tmp_path.iterdir())
    run = train(Training("resnet10", recipe, tiny_crops, leaking), tmp_path)
    assert set(read(run)["split"]) == {"frame"}
    assert json.loads((run / "config.json").read_text())["by"] == "frame"
    assert set(read(train(Training("resnet10", recipe, tiny_crops, split), tmp_path))["split"]) == {
        "subject"
    }


def test_a_network_can_learn_one_batch_by_heart(tiny_crops):
    torch.manual_seed(0)
    model = build_model("resnet10", image_size=32)
    images, va = training.resident(tiny_crops, torch.device("cpu"))
    recipe = Recipe(epochs=60, batch_size=16, lr=0.01)
    optimizer = torch.optim.SGD(model.parameters(), recipe.lr, recipe.momentum)
    rows = np.arange(16)
    losses = [
        training.epoch_losses(model, optimizer, recipe, images, va, rows, epoch, 0)
        for epoch in range(recipe.epochs)
    ]
    assert losses[-1] < 0.05 * losses[0]


def test_momentum_is_pytorchs_without_one_minus_beta():
    weight = nn.Parameter(torch.zeros(1))
    optimizer = torch.optim.SGD([weight], 0.1, 0.9)
    for _ in range(2):
        weight.grad = torch.ones(1)
        optimizer.step()
    assert weight.item() == pytest.approx(-0.1 - 0.1 * 1.9)


def test_input_is_in_minus_one_to_one_and_flips_mirror():
    images = torch.arange(256, dtype=torch.uint8).view(1, 16, 16, 1).expand(-1, -1, -1, 3)
    x = training.to_input(images)
    assert (x.min().item(), x.max().item()) == (-1, 1)
    assert x.shape == (1, 3, 16, 16)
    many = x.repeat(64, 1, 1, 1)
    draws = torch.rand(6, 64, generator=torch.Generator().manual_seed(0))
    flipped = augment(many, Recipe(flip=True), draws)
    mirrored = (flipped == x.flip(3)).all(dim=(1, 2, 3))
    assert 16 < mirrored.sum() < 48
    assert ((flipped == x).all(dim=(1, 2, 3)) ^ mirrored).all()
    shifted = augment(many, Recipe(shift=0.2), draws)
    assert shifted.shape == many.shape and shifted.abs().max() <= 1
    middles = shifted[:, 0, 8, 8]  # the picture is a ramp, so its middle tells the shift
    assert middles.unique().numel() > 30
    assert (middles - x[0, 0, 8, 8]).abs().max() <= 0.2 * 1.2 * 16 / 15 + 0.05
    jittered = augment(many, Recipe(jitter=0.2), draws)
    assert jittered.abs().max() <= 1
    assert (jittered - x).abs().amax(dim=(1, 2, 3)).unique().numel() > 30


def test_bad_trainings_are_refused(tiny_crops, split, tmp_path):
    with pytest.raises(UserError, match="fewer than one batch of 5000"):
        train(
            Training("resnet10", dataclasses.replace(RECIPE, batch_size=5000), tiny_crops, split),
            tmp_path,
        )
    with pytest.raises(UserError, match="diverged in epoch"):
        wild = dataclasses.replace(RECIPE, lr=1e6, schedule="constant")
        train(Training("vgg_tiny_bn", wild, tiny_crops, split), tmp_path)


def test_the_constant_predictor_is_the_training_mean(tiny_crops):
    splits = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)
    table = constant_predictor(tiny_crops, splits)
    check_predictions(table)
    assert len(table) == len(tiny_crops.frames)
    for split in splits:
        mine = table[table["fold"] == split.fold]
        mean = tiny_crops.va[split.train].mean(axis=0)
        assert np.allclose(mine[["valence_pred", "arousal_pred"]], mean)
