"""The parts of training that need a GPU: recorded and compiled steps, memory, resuming.

They agree up to rounding with what runs on every machine: a GPU may add in another order each time.
"""

from functools import partial

import numpy as np
import pytest
import torch
from interrupted import StoppedError, stop_after

from vaaffect import training
from vaaffect.corpora import subject_folds
from vaaffect.training import Recipe, Training, memory, read_done, read_history
from vaaffect.training import step as fast
from vaaffect.training.batches import gather, gather_in_blocks
from vaaffect.training.epoch import build_optimizer, epoch_losses
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model

if not torch.cuda.is_available():
    pytest.skip("needs a GPU", allow_module_level=True)

GPU = torch.device("cuda")
RECIPE = Recipe("gpu", epochs=3, batch_size=8, optimizer="adamw", lr=1e-3, flip=True, shift=0.05,
                jitter=0.1)  # fmt: skip


def losses_of(crops, name, recipe=RECIPE, epochs=3, **how):
    """Each step's loss, with a fresh network."""
    torch.manual_seed(0)
    model = build_model(name, image_size=32).to(GPU, memory_format=torch.channels_last)
    optimizer = build_optimizer(model, recipe)
    step = how.pop("step", fast.fastest_step)(model, optimizer, recipe, **how)
    images, va = training.resident(crops, GPU)
    rows = np.arange(48)
    losses = [epoch_losses(model, optimizer, recipe, images, va, rows, e, 0, step)
              for e in range(epochs)]  # fmt: skip
    return torch.cat(losses).cpu().numpy(), step


def eager(model, optimizer, recipe):
    return partial(fast.take_step, model, optimizer, recipe)


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("name", ["resnet10", "vgg_tiny_bn"])
def test_a_recorded_step_is_the_eager_one(name, optimizer, tiny_crops):
    recipe = Recipe("r", 3, 8, optimizer, 1e-3, flip=True, shift=0.05, jitter=0.1)
    recorded, step = losses_of(tiny_crops, name, recipe)
    assert step.graph is not None
    plain, _ = losses_of(tiny_crops, name, recipe, step=eager)
    assert len(plain) == 18 and np.isfinite(plain).all()
    if name == "resnet10":  # dropout draws other numbers in a recorded step
        np.testing.assert_allclose(recorded, plain, rtol=0.05, atol=0.005)
    assert recorded[-6:].mean() == pytest.approx(plain[-6:].mean(), rel=0.3)


def test_a_compiled_step_is_the_eager_one(tiny_crops):
    compiled, _ = losses_of(tiny_crops, "resnet10", compiled=True)
    plain, _ = losses_of(tiny_crops, "resnet10", step=eager)
    np.testing.assert_allclose(compiled, plain, rtol=0.05, atol=0.005)


def test_dropout_is_drawn_anew_in_each_replay():
    layer = torch.nn.Dropout(0.5).to(GPU)
    x = torch.ones(64, 64, device=GPU)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        kept = layer(x)
    seen = []
    for _ in range(2):
        graph.replay()
        seen.append(kept.clone())
    assert not torch.equal(*seen)


@pytest.mark.parametrize("name", ["resnet10", "vgg_tiny_bn"])
def test_where_a_recording_has_no_memory_the_step_is_eager(name, tiny_crops):
    def greedy(model, optimizer, recipe):
        def step(batch):
            if torch.cuda.is_current_stream_capturing():
                torch.empty(2**43, dtype=torch.uint8, device=GPU)  # more than any GPU has
            return fast.take_step(model, optimizer, recipe, batch)

        return fast.FixedStep(step, model, optimizer, record=True)

    losses, step = losses_of(tiny_crops, name, step=greedy)
    assert step.graph is None
    plain, _ = losses_of(tiny_crops, name, step=eager)
    np.testing.assert_allclose(losses, plain, rtol=0.05, atol=0.005)


def test_an_interrupted_training_goes_on(tiny_crops, tmp_path):
    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    work = Training("resnet10", RECIPE, tiny_crops, split)
    whole = train(work, tmp_path / "whole")
    with pytest.MonkeyPatch.context() as patch, pytest.raises(StoppedError):
        stop_after(patch, 2)
        train(work, tmp_path / "stopped")
    run = train(work, tmp_path / "stopped")
    columns = ["train_mse", "val_mse"]
    np.testing.assert_allclose(
        read_history(run)[columns], read_history(whole)[columns], rtol=0.1, atol=0.01
    )
    assert read_done(run)["machine"]["device"].startswith("cuda")


def test_where_memory_runs_out_batches_are_divided(tiny_crops, tmp_path, capsys):
    class Large(torch.nn.Module):  # about 100 MB an image
        def __init__(self):
            super().__init__()
            self.scales = torch.nn.Parameter(torch.linspace(1, 20, 2**13, device="cpu"))
            self.head = torch.nn.Linear(3, 2)

        def forward(self, x):
            waves = torch.sin(x.mean((2, 3)).unsqueeze(-1) * self.scales)
            waves = waves.unsqueeze(-1) * torch.ones(1024, device=x.device)
            return self.head(waves.mean((2, 3)))

    split = subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]
    work = Training("resnet10", Recipe("memory", 2, 16, lr=0.01), tiny_crops, split)
    _, total = torch.cuda.mem_get_info()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("vaaffect.training.adapt.build_model", lambda *_: Large())
        torch.cuda.set_per_process_memory_fraction(3 * 2**30 / total)
        try:
            run = train(work, tmp_path)
        finally:
            torch.cuda.set_per_process_memory_fraction(1.0)
    assert max(read_done(run)["parts"].values()) in (2, 4, 8), capsys.readouterr().out


def test_an_error_that_ended_a_recording_is_recognized():
    out_of_memory = torch.OutOfMemoryError("CUDA out of memory")
    ended = RuntimeError("CUDA error: operation failed due to a previous error during capture")
    assert not memory.is_out_of_memory(ended)
    ended.__context__ = out_of_memory
    assert memory.is_out_of_memory(ended)


def test_bfloat16_is_what_the_gpu_computes_with():
    native = torch.cuda.get_device_capability()[0] >= 8
    assert training.autocast_dtype(GPU) == (torch.bfloat16 if native else torch.float32)


def test_pictures_from_the_host_are_those_on_the_gpu(tiny_crops, monkeypatch):
    monkeypatch.setattr("vaaffect.training.batches.BLOCK_BYTES", 3 * 4 * 32 * 32 * 3)
    host = torch.from_numpy(tiny_crops.images)
    order = torch.randperm(40).view(10, 4)
    here = [x.clone() for x in gather(host.to(GPU), order, GPU)]
    there = [x.clone() for x in gather_in_blocks(host, order, GPU)]
    assert all(map(torch.equal, here, there)) and len(here) == len(there) == 10
