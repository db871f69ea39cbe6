import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import StoppedError, stop_after

from vaaffect import training
from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.results.predictions import check_predictions
from vaaffect.training import frozen_features, loop, step
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model, head_of, put_head
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import load_model
from vaaffect.training.spec import Training

CPU = torch.device("cpu")
RECIPE = Recipe("head", epochs=20, batch_size=8, lr=0.01, trained="head")


@pytest.fixture
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


@pytest.fixture(autouse=True)
def features(tmp_path, monkeypatch):
    """The folder of cached features, empty before each test."""
    monkeypatch.setattr(loop, "FEATURES", tmp_path / "features")
    return loop.FEATURES


@pytest.fixture
def computed(monkeypatch):
    """How often features were computed."""
    calls = []
    compute = frozen_features.raw_predictions
    monkeypatch.setattr(
        frozen_features, "raw_predictions", lambda *args: calls.append(1) or compute(*args)
    )
    return calls


@pytest.mark.parametrize("name", ["resnet10", "vgg_tiny_bn"])
def test_only_the_head_learns_and_the_stored_model_predicts(
    name, tiny_crops, split, tmp_path, computed
):
    other = replace(tiny_crops, label="other", images=tiny_crops.images[::-1].copy(), key="other")
    runs = tmp_path / "runs"
    work = Training(name, RECIPE, tiny_crops, split, other_corpora=[other], keep_model=True)
    run = train(work, runs)
    table = pd.read_parquet(run / "predictions.parquet")
    check_predictions(table)
    assert len(table) == len(split.test) + len(other.frames)
    # As trained: nothing but the head differs from where it started, batch statistics included.
    torch.manual_seed(0)
    start = build_model(name, image_size=32).state_dict()
    end = load_model(run).state_dict()
    changed = {key for key, value in start.items() if not torch.equal(value, end[key])}
    assert changed == {"fc.weight", "fc.bias"} or changed == {
        "classifier.3.weight", "classifier.3.bias"
    }  # fmt: skip
    # As predicted: from features, what the whole network says of the pictures.
    images = torch.from_numpy(tiny_crops.images)
    pred = training.predict(load_model(run), images, split.test, CPU)
    mine = table[table["test_corpus"] == tiny_crops.label][["valence_pred", "arousal_pred"]]
    precise = training.autocast_dtype(CPU) == torch.float32
    assert np.allclose(pred, mine, rtol=0, atol=1e-5 if precise else 2**-6)
    history = pd.read_csv(run / "history.csv")
    if name == "resnet10":  # the features of an untrained VGG this small say next to nothing
        assert history["train_mse"].iloc[-1] < 0.9 * history["train_mse"].iloc[0]
    # Once per crops and weights: not for another recipe, but for other weights.
    assert len(computed) == 2
    train(replace(work, recipe=replace(RECIPE, lr=0.02)), runs)
    assert len(computed) == 2
    train(replace(work, weight_seed=1), runs)
    assert len(computed) == 4


def test_features_are_what_the_last_layer_reads(tiny_crops, tmp_path):
    torch.manual_seed(0)
    network = build_model("vgg_tiny_bn", image_size=32)
    head = head_of(network)
    x = training.to_input(torch.from_numpy(tiny_crops.images))
    with torch.no_grad(), step.autocast(CPU):
        whole = network.eval()(x).float()
    put_head(network, torch.nn.Identity())
    features = frozen_features.cached_features(network, "vgg_tiny_bn", tiny_crops, CPU, tmp_path)
    assert features.shape == (len(tiny_crops.frames), 64) and features.dtype == np.float32
    with torch.no_grad(), step.autocast(CPU):
        again = head(torch.from_numpy(features)).float()
    precise = training.autocast_dtype(CPU) == torch.float32
    assert torch.allclose(whole, again, rtol=0, atol=1e-5 if precise else 2**-7)


def test_damaged_features_are_named(tiny_crops, split, tmp_path, features):
    work = Training("resnet10", RECIPE, tiny_crops, split)
    train(work, tmp_path / "a")
    [path] = features.glob("*/features.npy")
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(UserError, match=r"features\.npy: is damaged .* delete the folder"):
        train(work, tmp_path / "b")
    # An unfinished folder is nobody's.
    (path.parent / "manifest.json").unlink()
    train(work, tmp_path / "b")
    assert json.loads((path.parent / "manifest.json").read_text())["crops"] == tiny_crops.key


def test_the_head_resumes_too(tiny_crops, split, tmp_path, monkeypatch):
    work = Training("vgg_tiny_bn", RECIPE, tiny_crops, split)
    whole = train(work, tmp_path / "whole")
    stop_after(monkeypatch, 7)
    with pytest.raises(StoppedError):
        train(work, tmp_path / "parts")
    parts = train(work, tmp_path / "parts")
    tables = [pd.read_parquet(run / "predictions.parquet") for run in (whole, parts)]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
