import os
import subprocess
import sys
from functools import partial

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from vaaffect import training
from vaaffect.base.errors import UserError
from vaaffect.corpora.folds import subject_folds
from vaaffect.training import batches
from vaaffect.training import step as fast
from vaaffect.training.adapt import adapt
from vaaffect.training.batches import Batch
from vaaffect.training.epoch import build_optimizer, epoch_losses
from vaaffect.training.loop import train
from vaaffect.training.networks import build_model
from vaaffect.training.recipe import Recipe
from vaaffect.training.run_folder import read_done, read_history
from vaaffect.training.spec import Training
from vaaffect.training.step import FixedStep, raw_predictions, take_step, warm_up, worth_compiling

CPU = torch.device("cpu")
LR = 2**-8  # as exact in float32 as in float64: a tensor and a number mean the same


def recipe_of(optimizer: str) -> Recipe:
    return Recipe("step", 2, 4, optimizer, LR, flip=True, shift=0.05, jitter=0.1)


def fresh(recipe, tensor_rate=False, name="vgg_tiny_bn"):
    torch.manual_seed(0)
    model = build_model(name, image_size=32).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(model, recipe)
    if tensor_rate:
        optimizer.param_groups[0]["lr"] = torch.tensor(recipe.lr)
    return model, optimizer


def weights(model):
    return {name: value.clone() for name, value in model.state_dict().items()}


def assert_same(a, b):
    assert a.keys() == b.keys()
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_a_step_on_fixed_tensors_is_the_plain_step_bit_for_bit(optimizer, tiny_crops):
    recipe = recipe_of(optimizer)
    images, va = training.resident(tiny_crops, CPU)
    rows = np.arange(22)
    results = []
    for fixed in (False, True):
        model, opt = fresh(recipe, tensor_rate=fixed)
        step = partial(take_step, model, opt, recipe)
        if fixed:
            step = FixedStep(step, model, opt, record=False)
        losses = [epoch_losses(model, opt, recipe, images, va, rows, e, 0, step) for e in (0, 1)]
        results.append((torch.cat(losses), weights(model)))
    assert torch.equal(results[0][0], results[1][0]) and len(results[0][0]) == 10
    assert_same(results[0][1], results[1][1])


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
def test_weights_seen_in_memory_order_are_updated_as_they_are(optimizer, tiny_crops):
    recipe = recipe_of(optimizer)
    results = []
    for plain in (False, True):
        model, opt = fresh(recipe)
        if plain:
            opt._optimizer_step_pre_hooks.clear()
            opt._optimizer_step_post_hooks.clear()
        for number in range(3):
            torch.manual_seed(number)  # dropout
            take_step(model, opt, recipe, batch_of(tiny_crops, 4))
        results.append((weights(model), opt.state_dict()["state"]))
    (new, state), (old, plain_state) = results
    assert_same(new, old)
    for number, values in plain_state.items():
        assert_same(state[number], values)
    filters = [p for p in model.parameters() if p.ndim == 4]
    assert all(p.is_contiguous(memory_format=torch.channels_last) for p in filters)
    assert all(p.grad.shape == p.shape for p in filters)

    model, opt = fresh(recipe)
    take_step(model, opt, recipe, batch_of(tiny_crops, 4))
    with CopiesSeen() as copies:
        opt.step()
    assert copies.seen == 0


class CopiesSeen(TorchDispatchMode):
    """Counts what an optimizer copies before its fused kernel: weights that are not contiguous."""

    def __init__(self):
        super().__init__()
        self.seen = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        if "_fused_" in function.__name__:
            lists = [some for some in args if isinstance(some, list)]
            self.seen += sum(not x.is_contiguous() for some in lists for x in some)
        return function(*args, **(kwargs or {}))


def test_a_fixed_step_takes_over_all_of_a_batch():
    random = torch.Generator().manual_seed(0)
    shapes = ((4, 2, 8, 8, 3), (4, 2, 2), (6, 4), (4, 2), (4, 2, 136))  # with weights and landmarks
    seen = []
    step = FixedStep(lambda batch: seen.append(batch.clone()), None, None, record=False)
    given = [Batch(*(torch.rand(shape, generator=random) for shape in shapes)) for _ in range(2)]
    for batch in given:
        step(batch)
    for batch, arrived in zip(given, seen, strict=True):
        assert all(map(torch.equal, vars(batch).values(), vars(arrived).values()))


class HostWork(TorchDispatchMode):
    """Notes every operation that touches host memory or waits for a GPU."""

    def __init__(self):
        super().__init__()
        self.seen = []

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        out = function(*args, **(kwargs or {}))
        tensors = [x for x in tree_leaves((args, kwargs, out)) if isinstance(x, torch.Tensor)]
        waits = (torch.ops.aten._local_scalar_dense.default, torch.ops.aten.nonzero.default)
        if function in waits or any(x.device.type == "cpu" for x in tensors):
            self.seen.append(str(function))
        return out


class NoMemory(nn.Module):
    """In the place of recurrent layers, whose kernels on a GPU cannot be imagined without one."""

    def forward(self, x):
        return x[..., :128], None


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("vgg_tiny_bn", {"density_weighting": 0.5, "loss": "mse+ccc", "normalisation": "imagenet"}),
        ("resnet10", {"loss": "ccc"}),
        ("affwildnet_resnet10", {"loss": "ccc", "sequence": 3}),
    ],
)
@pytest.mark.filterwarnings("ignore:CUDA is not available", "ignore:Accessing the data pointer")
def test_a_step_on_a_gpu_asks_nothing_of_the_host(name, changes, monkeypatch):
    """On an imagined GPU, whose tensors have shapes and no values: forward and loss of a step that
    can be recorded. The backward pass and the optimizer's are PyTorch's own, and need a real one.
    """
    recipe = Recipe("step", batch_size=4, flip=True, shift=0.05, jitter=0.1, **changes)
    batches._mirror.cache_clear()
    with FakeTensorMode():
        with torch.device("cuda"):
            model = adapt(build_model(name, image_size=32), recipe, name).train()
            frames = (4, recipe.sequence) if recipe.sequence > 1 else (4,)
            batch = Batch(
                torch.zeros(*frames, 32, 32, 3, dtype=torch.uint8), torch.zeros(*frames, 2),
                torch.zeros(6, 4), torch.zeros(frames),
                torch.zeros(*frames, 136) if recipe.sequence > 1 else None,
            )  # fmt: skip
        if recipe.sequence > 1:
            model.memory = NoMemory()
        optimizer = torch.optim.SGD(model.parameters(), LR)
        monkeypatch.setattr(torch.Tensor, "backward", lambda loss: None)
        monkeypatch.setattr(optimizer, "step", lambda: None)
        take_step(model, optimizer, recipe, batch)  # constants reach the GPU
        with HostWork() as host:
            error = take_step(model, optimizer, recipe, batch)
    batches._mirror.cache_clear()
    assert error.device.type == "cuda" and host.seen == []


@pytest.mark.parametrize("optimizer", ["sgd", "adamw"])
@pytest.mark.parametrize("steps_before", [0, 2])
def test_warming_up_leaves_no_trace(optimizer, steps_before, tiny_crops):
    recipe = recipe_of(optimizer)
    batch = batch_of(tiny_crops, 4)
    results = []
    for warm in (False, True):
        model, opt = fresh(recipe)
        step = partial(take_step, model, opt, recipe)
        for number in range(steps_before):
            torch.manual_seed(number)  # dropout
            step(batch)
        if warm:
            addresses = [p.data_ptr() for p in model.parameters()]
            warm_up(step, batch, model, opt)
            assert addresses == [p.data_ptr() for p in model.parameters()]
        for number in range(2):
            torch.manual_seed(10 + number)
            step(batch)
        results.append(weights(model))
    assert_same(*results)


def test_batches_of_one_size_give_the_same_answers(tiny_crops):
    images, _ = training.resident(tiny_crops, CPU)
    model, _ = fresh(recipe_of("sgd"))
    sizes = []
    model.register_forward_pre_hook(lambda _, inputs: sizes.append(len(inputs[0])))
    rows = np.random.default_rng(0).permutation(len(images))[:21]
    plain = raw_predictions(model, images, rows, CPU, 8)
    assert sizes == [8, 8, 5]
    even = raw_predictions(model, images, rows, CPU, 8, even=True)
    assert sizes[3:] == [8, 8, 8] and even.shape == plain.shape
    assert torch.allclose(even, plain, atol=1e-5)
    few = raw_predictions(model, images, rows[:3], CPU, 8, even=True)
    assert sizes[6:] == [3] and torch.allclose(few, plain[:3], atol=1e-5)


def batch_of(crops, size):
    images, va = training.resident(crops, CPU)
    draws = torch.rand(6, size, generator=torch.Generator().manual_seed(1))
    return Batch(images[:size], va[:size], draws)


def test_images_that_stay_on_disk_arrive_the_same_in_blocks(tiny_crops, monkeypatch):
    images, _ = training.resident(tiny_crops, CPU)
    order = torch.randperm(60, generator=torch.Generator().manual_seed(0)).view(15, 4)
    # Four batches to a block: the last block holds three.
    monkeypatch.setattr(batches, "BLOCK_BYTES", 4 * 4 * images[0].nbytes + 1)
    blocks = batches.gather_in_blocks(images, order, CPU)
    arrived = [some.clone() for some in blocks]  # the buffers are used again
    assert torch.equal(torch.stack(arrived), images[order])
    assert torch.equal(torch.stack(list(batches.gather(images, order, CPU))), images[order])


def test_compiling_must_pay():
    # 100 s are 2500 x 100 / (1 - 1 / 1.3) images.
    assert not worth_compiling(1_083_000, 2500, 1.3, 100)
    assert worth_compiling(1_084_000, 2500, 1.3, 100)
    gain, seconds = fast.COMPILING["cpu"]
    assert not worth_compiling(10**12, 1.0, gain, seconds)


class Plain(nn.Module):
    """A network without batch normalisation and dropout."""

    def __init__(self):
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(3, 8, 3, 2),
            nn.Tanh(),
            nn.AdaptiveAvgPool2d(3),
            nn.Flatten(),
            nn.Linear(72, 2),
        )

    def forward(self, x):
        return self.layers(x)


@pytest.mark.parametrize("parts", [2, 3, 8])
def test_parts_have_the_gradient_of_the_batch(parts, tiny_crops, monkeypatch):
    # In float32 whatever the machine: in bfloat16 a part's rounding differs from the batch's.
    monkeypatch.setattr(fast, "autocast_dtype", lambda device: torch.float32)
    recipe = Recipe(batch_size=20, lr=0.0, flip=True, shift=0.1, jitter=0.1)
    batch = batch_of(tiny_crops, 20)
    torch.manual_seed(0)
    model = Plain()
    optimizer = build_optimizer(model, recipe)
    gradients, losses = [], []
    for n in (1, parts):
        losses.append(take_step(model, optimizer, recipe, batch, n).item())
        gradients.append(torch.cat([p.grad.flatten() for p in model.parameters()]))
    assert losses[1] == pytest.approx(losses[0], rel=1e-6)
    size = gradients[0].abs().max()
    assert size > 0.01
    assert (gradients[0] - gradients[1]).abs().max() < 1e-6 * size


@pytest.fixture
def split(tiny_crops):
    return subject_folds(tiny_crops.frames, folds=2, val_share=0.34)[0]


def runs_out_above(monkeypatch, images, epoch=1, step=1, error=torch.OutOfMemoryError):
    """Networks whose memory runs out where more than `images` are trained at a time.

    From the `step`-th pass of the `epoch`-th epoch on, which the networks know by its seed.
    """
    early = [int(np.random.SeedSequence([0, e]).generate_state(1)[0]) for e in range(epoch - 1)]
    passes = {}

    def watch(module, args):
        if module.training and torch.initial_seed() not in early:
            seed = torch.initial_seed()
            passes[seed] = passes.get(seed, 0) + 1
            if len(args[0]) > images and passes[seed] >= step:
                raise error("CUDA out of memory. Tried to allocate 1 GiB")

    def build(*args):
        model = build_model(*args)
        model.register_forward_pre_hook(watch)
        return model

    monkeypatch.setattr("vaaffect.training.adapt.build_model", build)


def test_where_memory_runs_out_batches_are_divided(
    tiny_crops, split, tmp_path, monkeypatch, capsys
):
    recipe = Recipe("memory", 4, 8, lr=0.005, flip=True)
    work = Training("vgg_tiny_bn", recipe, tiny_crops, split)
    whole = train(work, tmp_path / "whole")
    # In the middle of the third epoch: the first two stay whole.
    runs_out_above(monkeypatch, 2, epoch=3, step=2)
    run = train(work, tmp_path / "divided")
    said = capsys.readouterr().out
    assert "memory ran out in epoch 3" in said and "in 2 parts of at most 4 images" in said
    assert "in 4 parts of at most 2 images" in said and "batch normalisation sees one" in said
    assert read_done(run)["parts"] == {"3": 4} and read_done(whole)["parts"] == {}
    history, before = read_history(run), read_history(whole)
    assert list(history["parts"]) == [1, 1, 4, 4] and set(before["parts"]) == {1}
    columns = ["train_mse", "val_mse"]
    pd.testing.assert_frame_equal(history[columns][:2], before[columns][:2], check_exact=True)
    assert (history["train_mse"][2:] != before["train_mse"][2:]).all()


def test_a_divided_training_ends_the_same_whenever_it_was_saved(
    tiny_crops, split, tmp_path, monkeypatch
):
    recipe = Recipe("memory", 4, 8, lr=0.005)
    runs_out_above(monkeypatch, 4, epoch=3, step=2)
    tables = []
    for seconds in (0.0, 1e9):  # a checkpoint after each epoch, or none: then it begins anew
        work = Training("vgg_tiny_bn", recipe, tiny_crops, split)
        monkeypatch.setattr("vaaffect.training.loop.CHECKPOINT_SECONDS", seconds)
        run = train(work, tmp_path / str(seconds))
        assert list(read_history(run)["parts"]) == [1, 1, 2, 2]
        tables.append(pd.read_parquet(run / "predictions.parquet"))
    pd.testing.assert_frame_equal(*tables, check_exact=True)


def test_memory_for_less_than_two_images_is_a_clear_error(tiny_crops, split, tmp_path, monkeypatch):
    runs_out_above(monkeypatch, 1)
    work = Training("vgg_tiny_bn", Recipe(epochs=1, batch_size=8), tiny_crops, split)
    with pytest.raises(UserError, match="memory does not suffice to train vgg_tiny_bn on even two"):
        train(work, tmp_path)


def test_other_errors_are_not_taken_for_memory(tiny_crops, split, tmp_path, monkeypatch):
    work = Training("vgg_tiny_bn", Recipe(epochs=1, batch_size=8), tiny_crops, split)
    runs_out_above(monkeypatch, 1, error=ValueError)
    with pytest.raises(ValueError, match="out of memory"):
        train(work, tmp_path)
    runs_out_above(monkeypatch, 1, error=RuntimeError)
    with pytest.raises(RuntimeError, match="out of memory"):
        train(work, tmp_path)


LIMITED = """
import resource, sys, torch
from pathlib import Path
import numpy as np, pandas as pd
torch.set_num_threads(1)
from vaaffect.corpora import Crops, subject_folds
from vaaffect.training import Recipe, Training, adapt, loop, read_history, step

class Waves(torch.nn.Module):  # much memory per image, little else; no batch normalisation
    def __init__(self, *_):
        super().__init__()
        self.scales = torch.nn.Parameter(torch.linspace(1, 20, 20))
        self.head = torch.nn.Linear(60, 2)

    def forward(self, x):
        return self.head(torch.cat([torch.sin(k * x).mean((2, 3)) for k in self.scales], 1))

step.autocast_dtype = lambda device: torch.float32
adapt.build_model = Waves
rng = np.random.default_rng(0)
n, side = 96, 192
frames = pd.DataFrame({
    "subject": [f"s{i // 12}" for i in range(n)], "clip": [f"c{i // 4}" for i in range(n)],
    "frame": range(n), "valence": rng.uniform(-1, 1, n), "arousal": rng.uniform(-1, 1, n),
})
images = rng.integers(0, 256, (n, side, side, 3), np.uint8)
crops, small = (
    Crops("noise", 1.0, of, np.zeros((n, 68, 2), np.float32), frames, frames[:0], key)
    for of, key in ((images, "key"), (np.ascontiguousarray(images[:, :16, :16]), "small"))
)
split = subject_folds(frames, folds=2, val_share=0.25)[0]
recipe = Recipe("limited", epochs=2, batch_size=32, lr=0.05)
# What a training loads on its way must be there before: a library does not fit into what is left.
loop.train(Training("resnet10", recipe, small, split), Path(sys.argv[1] + "-small"))
used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
limit = used + int(sys.argv[2]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
run = loop.train(Training("resnet10", recipe, crops, split), Path(sys.argv[1]))
print("parts", read_history(run)["parts"].iloc[0])
"""


def limited(folder, megabytes):
    argv = [sys.executable, "-c", LIMITED, str(folder), str(megabytes)]
    return subprocess.run(argv, capture_output=True, text=True)


def test_a_process_whose_memory_is_limited_divides_its_batches(tmp_path):
    much, less = limited(tmp_path / "much", 4000), limited(tmp_path / "less", 350)
    assert much.returncode == 0 and "parts 1" in much.stdout, much.stderr
    assert less.returncode == 0, less.stderr
    assert "memory ran out in epoch 1" in less.stdout
    assert "DefaultCPUAllocator: can't allocate memory" in less.stdout
    assert int(less.stdout.rsplit("parts ", 1)[1]) in (2, 4, 8)
    # Without batch normalisation, dividing changes nothing but rounding.
    tables = [
        pd.read_parquet(next((tmp_path / name).glob("*/predictions.parquet")))
        for name in ("much", "less")
    ]
    columns = ["valence_pred", "arousal_pred"]
    pd.testing.assert_frame_equal(*(t[columns] for t in tables), rtol=0, atol=1e-5)
    assert tables[0][columns].std().min() > 1e-3


def test_predictions_divide_their_batches_too():
    sizes = []

    class Small(nn.Module):
        def forward(self, x):
            sizes.append(len(x))
            if len(x) > 10:
                raise torch.OutOfMemoryError("out of memory")
            return x[:, :2]

    features = torch.rand(50, 5)
    rows = np.arange(3, 40)
    assert torch.equal(raw_predictions(Small(), features, rows, CPU), features[3:40, :2])
    assert sizes == [37, 37, 32, 16, 8, 8, 8, 8, 5]


def test_bfloat16_is_not_emulated_where_onednn_is_told_to_use_less_than_the_processor_has():
    program = (
        "import torch; from vaaffect.training import autocast_dtype; "
        "print(autocast_dtype(torch.device('cpu')))"
    )
    limited = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2"}
    argv = [sys.executable, "-c", program]
    done = subprocess.run(argv, env=limited, capture_output=True, text=True)
    assert done.stdout.strip() == "torch.float32", done.stderr
