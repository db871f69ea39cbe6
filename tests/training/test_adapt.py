"""Normalisation and dropout: what a recipe changes in a network goes wherever the network goes."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torchvision import models as zoo

from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.live.backends import FromBytes
from vaaffect.live.predictor import Predictor
from vaaffect.training.adapt import adapt
from vaaffect.training.batches import to_input
from vaaffect.training.epoch import predict
from vaaffect.training.frozen_features import cached_features
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model, put_head
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import load_model, read_config
from vaaffect.training.spec import Training

CPU = torch.device("cpu")
RECIPE = Recipe("imagenet-scale", epochs=2, batch_size=8, lr=0.01, normalisation="imagenet")


def network(name="resnet10", **changes):
    torch.manual_seed(0)
    return adapt(build_model(name, image_size=32), Recipe(**changes), name).eval()


def test_imagenet_normalisation_is_torchvisions(tiny_crops):
    crops = torch.from_numpy(tiny_crops.images[:4])
    preset = zoo.ResNet18_Weights.IMAGENET1K_V1.transforms()
    wanted = (crops.permute(0, 3, 1, 2) / 255 - torch.tensor(preset.mean).view(3, 1, 1)) / (
        torch.tensor(preset.std).view(3, 1, 1)
    )
    changed, plain = network(normalisation="imagenet"), network()
    assert torch.allclose(changed.normalise(to_input(crops)), wanted, atol=1e-5)
    with torch.no_grad():
        assert torch.allclose(changed(to_input(crops)), plain(wanted), atol=1e-5)
        assert not torch.allclose(changed(to_input(crops)), plain(to_input(crops)), atol=1e-3)
    assert changed.state_dict().keys() == plain.state_dict().keys()


def test_without_normalisation_a_network_sees_bytes(tiny_crops):
    crops = torch.from_numpy(tiny_crops.images[:4])
    changed = network(normalisation="none")
    seen = changed.normalise(to_input(crops))
    assert torch.allclose(seen, crops.permute(0, 3, 1, 2).float(), atol=1e-3)
    assert changed.state_dict().keys() == network().state_dict().keys()


def test_a_trained_network_is_used_with_its_own_normalisation_everywhere(tiny_crops, tmp_path):
    split = subject_folds(tiny_crops.frames, 2, val_share=0.34)[0]
    run = train(Training("resnet10", RECIPE, tiny_crops, split, keep_model=True), tmp_path)
    config = read_config(run)
    assert config["recipe"]["normalisation"] == "imagenet"
    images = torch.from_numpy(tiny_crops.images)
    model = load_model(run)
    stored = predict(model, images, split.test, CPU)
    table = pd.read_parquet(run / "predictions.parquet")
    assert np.array_equal(stored, table[["valence_pred", "arousal_pred"]].astype(np.float32))
    # What `live` and `predict` read with, and what `export` writes.
    few = tiny_crops.images[split.test]
    assert np.array_equal(Predictor.from_run(run, device="cpu").network(few), stored)
    with torch.inference_mode():
        exported = FromBytes(load_model(run))(images[split.test]).numpy()
    assert np.allclose(exported, stored, atol=2e-2)  # bfloat16 on some CPUs
    one, whole = images[split.test[:1]], FromBytes(load_model(run))
    program = torch.export.export(whole, (one,))
    assert torch.allclose(program.module()(one), whole(one), atol=1e-5)
    # Without it the same weights answer otherwise.
    bare = build_model("resnet10", image_size=32)
    bare.load_state_dict(model.state_dict())
    assert not np.allclose(predict(bare, images, split.test, CPU), stored, atol=2e-2)


def test_features_of_another_normalisation_are_other_features(tiny_crops, tmp_path):
    found = []
    for normalisation in ("unit", "imagenet"):
        backbone = network(normalisation=normalisation)
        put_head(backbone, nn.Identity())
        found.append(cached_features(backbone, "resnet10", tiny_crops, CPU, tmp_path))
    assert len(list(tmp_path.glob("*/manifest.json"))) == 2
    assert not np.allclose(found[0], found[1], atol=1e-2)


def test_dropout_is_set_where_there_is_some_and_refused_elsewhere(tiny_crops, tmp_path):
    assert [m.p for m in network("vgg_tiny_bn").modules() if isinstance(m, nn.Dropout)] == [0.5]
    changed = network("vgg_tiny_bn", dropout=0.0)
    assert [m.p for m in changed.modules() if isinstance(m, nn.Dropout)] == [0.0]
    network("resnet10", dropout=0.0)  # none is what it has
    with pytest.raises(UserError, match=r"sets dropout to 0\.3, but resnet10 has no dropout layer"):
        network("resnet10", dropout=0.3)
    split = subject_folds(tiny_crops.frames, 2, val_share=0.34)[0]
    bad = dataclasses.replace(RECIPE, dropout=0.3)
    with pytest.raises(UserError, match="resnet10 has no dropout layer"):
        train(Training("resnet10", bad, tiny_crops, split), tmp_path)
    with pytest.raises(UserError, match="dropout is 1; use a share from 0 to below 1"):
        Recipe(dropout=1)
    with pytest.raises(UserError, match='trains the "head", and dropout layers come before it'):
        Recipe(trained="head", dropout=0.1)
    with pytest.raises(UserError, match="unknown normalisation 'zero'; use one of \"unit\""):
        Recipe(normalisation="zero")
