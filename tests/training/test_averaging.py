"""Weight averaging: the mean is the one of the formula, and a resumed training has the same."""

import dataclasses

import numpy as np
import pandas as pd
import pytest
import torch
from interrupted import StoppedError, stop_after
from torch import nn

from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.training.averaging import SWA_FROM, Average
from vaaffect.training.batches import to_input
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model
from vaaffect.training.recipe import Recipe
from vaaffect.training.spec import Training
from vaaffect.training.step import autocast_dtype

RECIPE = Recipe("mean", epochs=6, batch_size=4, lr=0.005, flip=True)
CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


def noisy_walk(model: nn.Linear, average: Average, steps: int) -> list[torch.Tensor]:
    """Move the weights as a training would; returns them after each step."""
    generator, path = torch.Generator().manual_seed(1), []

    @torch.no_grad()
    def step(batch):
        model.weight += torch.randn(model.weight.shape, generator=generator)

    for _ in range(steps):
        average.step_and_follow(step, None)
        path.append(model.weight.detach().clone())
    return path


def test_ema_is_the_recursion_written_by_hand():
    model = nn.Linear(3, 2)
    mean = model.weight.detach().clone()
    average = Average(model, dataclasses.replace(RECIPE, averaging="ema", decay=0.8))
    for t, weight in enumerate(noisy_walk(model, average, 60)):
        d = min(0.8, (1 + t) / (10 + t))
        mean = d * mean + (1 - d) * weight
    assert torch.allclose(average.model.weight, mean, atol=1e-6)
    assert not torch.allclose(average.current.weight, model.weight)


def test_swa_is_the_plain_mean_of_the_last_epochs():
    model = nn.Linear(3, 2)
    average = Average(model, dataclasses.replace(RECIPE, epochs=8, averaging="swa"))
    ends = []
    for epoch in range(1, 9):
        ends += noisy_walk(model, average, 5)[-1:]
        average.after_epoch(epoch)
        if epoch <= SWA_FROM * 8:
            assert average.current is model
    assert torch.allclose(average.model.weight, torch.stack(ends[6:]).mean(0), atol=1e-6)


def test_the_mean_gets_the_statistics_of_the_training_pictures(tiny_crops, monkeypatch):
    torch.manual_seed(0)
    model = build_model("resnet10", image_size=32)
    average = Average(model, dataclasses.replace(RECIPE, averaging="ema"))
    average.count = 1
    images = torch.from_numpy(tiny_crops.images)
    monkeypatch.setattr("vaaffect.training.averaging.STATISTICS_BATCH", 12)
    rows = np.arange(36)
    average.renew_statistics(images, rows, CPU)
    # The first layer's input is known: its statistics can be computed in one go.
    with torch.no_grad():
        seen = model.conv1(to_input(images[:36]))
    found = average.model.bn1
    near = {"rtol": 0, "atol": 2e-2 if autocast_dtype(CPU) == torch.bfloat16 else 1e-4}
    assert torch.allclose(found.running_mean, seen.mean((0, 2, 3)), **near)
    ratio = found.running_var / seen.var((0, 2, 3))
    assert ratio.min() > 0.9 and ratio.max() < 1.05  # within batches, so a little less
    assert found.momentum == model.bn1.momentum and not found.training
    assert torch.equal(model.bn1.running_mean, torch.zeros(64))  # the learner's own are its own


@pytest.mark.parametrize("averaging", ["ema", "swa"])
def test_an_interrupted_average_ends_like_an_undisturbed_one(
    averaging, tiny_crops, split, tmp_path, monkeypatch
):
    made = []

    def note(*arguments):
        made.append(Average(*arguments))
        return made[-1]

    monkeypatch.setattr("vaaffect.training.loop.Average", note)
    recipe = dataclasses.replace(RECIPE, averaging=averaging)
    work = Training("vgg_tiny_bn", recipe, tiny_crops, split, keep_model=True)
    whole = train(work, tmp_path / "whole")
    saved = stop_after(monkeypatch, 2, 5)
    for _ in range(2):
        with pytest.raises(StoppedError):
            train(work, tmp_path / "parts")
    parts = train(work, tmp_path / "parts")
    assert saved == [1, 2, 3, 4, 5]  # the last one in the third attempt
    for name in ("predictions", "validation"):
        tables = [pd.read_parquet(run / f"{name}.parquet") for run in (whole, parts)]
        pd.testing.assert_frame_equal(*tables)
    # Whichever epoch was chosen, the means at the end are the same bits, and no network's own.
    first, last = made[0], made[-1]
    assert first.count == last.count > 1
    ours, theirs = first.model.state_dict(), last.model.state_dict()
    assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    own = first.learner.state_dict()["classifier.0.weight"]
    assert not torch.allclose(ours["classifier.0.weight"], own, atol=1e-5)


def test_bad_averages_are_refused():
    with pytest.raises(UserError, match='unknown averaging \'mean\'; use one of "none", "ema"'):
        Recipe(averaging="mean")
    with pytest.raises(UserError, match="decay is 1; use a number between 0 and 1"):
        Recipe(decay=1)
