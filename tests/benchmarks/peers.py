"""The training loops that ours is compared with, each in a process of its own.

All train the same network from the same weights on the same batches with the same loss and the
same SGD; they differ in memory layout, precision, which SGD, and what they do around a step. A
process each, because what one sets for its process (memory that is kept, cuDNN's search for
algorithms) would help or hurt the others.
"""

import ctypes
import hashlib
import importlib.util
import logging
import multiprocessing
import os
import tempfile
import time
import warnings
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader

from vaaffect.base.errors import UserError
from vaaffect.training.batches import to_input
from vaaffect.training.epoch import build_optimizer, epoch_losses, predict, set_rate
from vaaffect.training.memory import keep_freed_memory
from vaaffect.training.networks import build_model
from vaaffect.training.recipe import Recipe
from vaaffect.training.step import (
    GRAPH_UP_TO,
    autocast_dtype,
    default_device,
    fastest_step,
)

NEEDED = ("lightning", "timm")  # the extra `bench` of pyproject.toml
_STOP_S = 10  # a process that has not ended by then is ended


@dataclass(frozen=True)
class Task:
    """What all contenders of a comparison are given.

    Attributes:
        model: one of models.NAMES.
        image_size: side of the pictures, for building the model.
        batch_size: pictures per step.
        lr: learning rate of SGD with momentum 0.9; see `Runner.set_lr`.
        dropout: False sets its probability to 0: in another precision or memory layout the same
            seed drops other units, and losses could not be compared.
        seed: of the initial weights.
        threads: of the processor; 0 takes PyTorch's choice.
    """

    model: str
    image_size: int
    batch_size: int
    lr: float = 0.001
    dropout: bool = True
    seed: int = 0
    threads: int = 0

    @property
    def recipe(self) -> Recipe:
        """The task in the words of training.py."""
        return Recipe(name="bench", epochs=1, batch_size=self.batch_size, lr=self.lr)


class Contender:
    """One way to train; subclasses say how.

    `prepare` is not timed: peers get pictures that are already floating point, normalised and in
    memory, which no loader of theirs would give them for nothing. Ours gathers and converts within
    its timed loop.
    """

    name = ""
    like = ""  # where this way to train is taken from

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        self.device, self.task = device, task
        self.model = model.to(device)
        self.optimizer = torch.optim.SGD(model.parameters(), task.lr, task.recipe.momentum)
        self.seconds = float("nan")  # of the last training, without what surrounds its loop

    @staticmethod
    def precision(device: torch.device) -> str:
        """In which precision the layers compute."""
        return "fp32"

    def prepare(self, images: Tensor, va: Tensor, batches: Tensor) -> Sequence:
        """(N, S, S, 3) uint8, (N, 2), (steps, B) row numbers -> [(x (B, 3, S, S), y (B, 2))]."""
        return [(to_input(images[rows]).contiguous(), va[rows]) for rows in batches]

    def train(self, batches: Iterable) -> list[float]:
        """One step per batch; the losses before each step."""
        raise NotImplementedError

    def losses(self, images: Tensor, va: Tensor, batches: Tensor) -> list[float]:
        """The loss of each step, which is what the gate compares."""
        return self.train(self.prepare(images, va, batches))

    def begin(self) -> None:
        """Start the clock."""
        _wait_for(self.device)
        self._began = time.perf_counter()

    def end(self) -> None:
        """Stop the clock."""
        _wait_for(self.device)
        self.seconds = time.perf_counter() - self._began


class Author(Contender):
    """The loop of a notebook: float32, channels first, SGD as it comes, weight by weight."""

    name = "plain fp32 loop"
    like = "the usual tutorial loop; SGD with foreach=False"

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        super().__init__(model, task, device)
        self.optimizer = torch.optim.SGD(
            model.parameters(), task.lr, task.recipe.momentum, foreach=False
        )

    def train(self, batches: Iterable) -> list[float]:
        """See Contender."""
        losses = []
        self.model.train()
        self.begin()
        for x, y in batches:
            self.optimizer.zero_grad()
            loss = nn.functional.mse_loss(self.model(x), y)
            loss.backward()
            self.optimizer.step()
            losses.append(loss.item())
        self.end()
        return losses


class Torchvision(Contender):
    """torchvision's script: channels first; `--amp`, which is float16 with a scaler, on CUDA only;
    three numbers are read back in every step (there loss and two accuracies, here loss and two
    errors)."""

    name = "torchvision style"
    like = "pytorch/vision, references/classification/train.py, train_one_epoch"

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        super().__init__(model, task, device)
        torch.backends.cudnn.benchmark = True
        self.scaler = self._scaler() if device.type == "cuda" else None

    @staticmethod
    def precision(device: torch.device) -> str:
        """Its --amp, where that exists."""
        return "fp16" if device.type == "cuda" else "fp32"

    @staticmethod
    def _scaler() -> torch.amp.GradScaler:
        """Its scale begins lower than by default (2**16), at which a first step may be left out:
        usual in a training, but here losses of the same steps are compared."""
        return torch.amp.GradScaler("cuda", init_scale=2.0**12)

    def train(self, batches: Iterable) -> list[float]:
        """See Contender."""
        meters: list[tuple[float, float, float]] = []
        self.model.train()
        self.begin()
        for image, target in batches:
            with torch.autocast("cuda", torch.float16) if self.scaler else nullcontext():
                output = self.model(image)
                loss = nn.functional.mse_loss(output, target)
            self.optimizer.zero_grad()
            if self.scaler:
                self.scaler.scale(loss).backward()
                self.scaler.step(self.optimizer)
                self.scaler.update()
            else:
                loss.backward()
                self.optimizer.step()
            errors = (output.detach() - target).abs().mean(0)
            meters.append((loss.item(), errors[0].item(), errors[1].item()))
        self.end()
        return [loss for loss, *_ in meters]


class Timm(Contender):
    """timm's script with --channels-last --amp --amp-dtype bfloat16, its own optimizer and meter;
    the gradients are set to None after the step, the loss is read back in every step."""

    name = "timm style"
    like = "huggingface/pytorch-image-models, train.py, train_one_epoch; timm.optim, timm.utils"

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        from timm.optim import create_optimizer_v2

        super().__init__(model, task, device)
        torch.backends.cudnn.benchmark = True
        self.model = self.forward = model.to(memory_format=torch.channels_last)
        # "momentum" is SGD without Nesterov's change, which "sgd" has there.
        self.optimizer = create_optimizer_v2(
            model, opt="momentum", lr=task.lr, momentum=task.recipe.momentum, weight_decay=0.0
        )

    @staticmethod
    def precision(device: torch.device) -> str:
        """bfloat16 where the hardware computes with it."""
        return "bf16" if autocast_dtype(device) == torch.bfloat16 else "fp32"

    def train(self, batches: Iterable) -> list[float]:
        """See Contender."""
        from timm.utils import AverageMeter

        losses, meter = [], AverageMeter()
        mixed = self.precision(self.device) == "bf16"
        self.model.train()
        self.optimizer.zero_grad()
        self.begin()
        for image, target in batches:
            image = image.contiguous(memory_format=torch.channels_last)
            with torch.autocast(self.device.type, torch.bfloat16) if mixed else nullcontext():
                output = self.forward(image)
                loss = nn.functional.mse_loss(output, target)
            loss.backward()
            self.optimizer.step()
            meter.update(loss.item(), len(image))
            losses.append(meter.val)
            self.optimizer.zero_grad()
        self.end()
        return losses


class TimmCompiled(Timm):
    """The same with --torchcompile."""

    name = "timm style, compiled"
    like = "the same script with --torchcompile inductor"

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        super().__init__(model, task, device)
        self.forward = torch.compile(self.model)


class Lightning(Contender):
    """Lightning's Trainer; its bars, checkpoints and loggers are off. The clock runs within its
    epoch, so what it does before the first batch is left out."""

    name = "Lightning 32-true"
    like = "lightning.Trainer(precision='32-true')"
    flag = "32-true"

    def train(self, batches: Iterable) -> list[float]:
        """See Contender."""
        import lightning

        contender, losses = self, []

        class Module(lightning.LightningModule):
            def __init__(self) -> None:
                super().__init__()
                self.net = contender.model

            def training_step(self, batch: tuple[Tensor, Tensor], _: int) -> Tensor:
                x, y = batch
                loss = nn.functional.mse_loss(self.net(x), y)
                self.log("train_loss", loss)
                return loss

            def configure_optimizers(self) -> torch.optim.Optimizer:
                return contender.optimizer

        class Watch(lightning.Callback):
            def on_train_epoch_start(self, *_: object) -> None:
                contender.begin()

            def on_train_batch_end(self, trainer, module, outputs, *_: object) -> None:
                losses.append(outputs["loss"].detach())

            def on_train_epoch_end(self, *_: object) -> None:
                contender.end()

        logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # advice about workers and loggers
            trainer = lightning.Trainer(
                accelerator=self.device.type, devices=1, precision=self.flag, max_epochs=1,
                benchmark=True, logger=False, enable_checkpointing=False, callbacks=[Watch()],
                enable_progress_bar=False, enable_model_summary=False,
            )  # fmt: skip
            self.model.train()
            # A bare list would be taken for several loaders.
            loader = DataLoader(batches, batch_size=None)
            trainer.fit(Module(), train_dataloaders=loader)
            self.model.to(self.device)  # it was put back on the CPU
        return [float(loss) for loss in losses]


class LightningMixed(Lightning):
    """The same with its bfloat16 option."""

    name = "Lightning bf16-mixed"
    like = "lightning.Trainer(precision='bf16-mixed')"
    flag = "bf16-mixed"

    @staticmethod
    def precision(device: torch.device) -> str:
        """By its flag."""
        return "bf16"


class Ours(Contender):
    """epoch.epoch_losses, with what `loop.train` sets up around it for a training long enough
    that compiling pays."""

    name = "vaaffect"
    like = "vaaffect/training/epoch.py, epoch_losses; step.py, fastest_step"

    def __init__(self, model: nn.Module, task: Task, device: torch.device) -> None:
        keep_freed_memory()
        torch.backends.cudnn.benchmark = True
        self.device, self.recipe, self.epoch = device, task.recipe, 0
        self.model = model.to(device, memory_format=torch.channels_last)
        self.optimizer = build_optimizer(model, task.recipe)
        compiled = device.type == "cuda" and task.batch_size > GRAPH_UP_TO
        self.step = fastest_step(model, self.optimizer, self.recipe, compiled=compiled)

    precision = staticmethod(Timm.precision)

    def prepare(self, images: Tensor, va: Tensor, batches: Tensor) -> Sequence:
        """Rows; epoch_losses shuffles them itself, the same ones in another order."""
        return images, va, batches.flatten().cpu().numpy()

    def train(self, batches: Iterable) -> list[float]:
        """One number, the mean: nothing is read back within an epoch."""
        images, va, rows = batches
        self.epoch += 1
        self.begin()
        losses = epoch_losses(
            self.model, self.optimizer, self.recipe, images, va, rows, self.epoch, 0, self.step
        )
        loss = float(losses.double().mean())
        self.end()
        return [loss]

    def losses(self, images: Tensor, va: Tensor, batches: Tensor) -> list[float]:
        """An epoch per batch, so that each loss is seen."""
        return [self.train(self.prepare(images, va, rows[None]))[0] for rows in batches]


def contenders(device: torch.device) -> list[type[Contender]]:
    """Who takes part on a device; the first one is the reference of the gates, the last is ours."""
    mixed = [LightningMixed] if autocast_dtype(device) == torch.bfloat16 else []
    compiled = [TimmCompiled] if device.type == "cuda" else []  # on a CPU it is slower
    return [Author, Torchvision, Lightning, *mixed, Timm, *compiled, Ours]


def need_libraries() -> None:
    """Raises UserError where the peers' libraries are not installed."""
    missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
    if missing:
        raise UserError(
            f"bench train needs {' and '.join(missing)} to compare with; install the extra with "
            "`python -m pip install -e '.[bench]'`, or run `make bench-train`."
        )


class Runner:
    """A contender at work in this process."""

    def __init__(self, contender: type[Contender]) -> None:
        self.kind = contender
        self.device = default_device()
        self.threads = torch.get_num_threads()

    def call(self, method: str, *arguments: object) -> object:
        """One of the methods below by its name. A peer may raise anything; here it is UserError."""
        try:
            return getattr(self, method)(*arguments)
        except Exception as error:
            raise UserError(f"{self.kind.name}: {type(error).__name__}: {error}") from error

    def start(self, task: Task, images: np.ndarray, va: np.ndarray) -> str:
        """Build the network anew and put the data on the device.

        Args:
            task: what to train.
            images: (N, S, S, 3) uint8.
            va: (N, 2) float32.

        Returns:
            A hash of the initial weights.
        """
        self.contender = self.loader = None  # frees the last one's memory first
        torch.compiler.reset()  # or what it saw of the last network's sizes would count for this
        torch.set_num_threads(task.threads or self.threads)
        torch.manual_seed(task.seed)
        model = build_model(task.model, None, task.image_size)
        if not task.dropout:
            for module in model.modules():
                if isinstance(module, nn.Dropout):
                    module.p = 0.0
        digest = hashlib.sha256()
        for value in model.state_dict().values():
            digest.update(value.numpy().tobytes())
        self.images = torch.from_numpy(images).to(self.device)
        self.va = torch.from_numpy(va).to(self.device)
        self.contender = self.kind(model, task, self.device)
        return digest.hexdigest()

    def losses(self, batches: np.ndarray) -> list[float]:
        """The loss of each step. batches: (steps, B) row numbers."""
        return self.contender.losses(self.images, self.va, self._rows(batches))

    def seconds(self, batches: np.ndarray, discard: int = 0) -> float:
        """Time of training on some batches, one after the other.

        Args:
            batches: (steps, B) row numbers.
            discard: further steps before the clock starts, on the first batch: memory has to be
                had again after other contenders used it.
        """
        rows = self._rows(batches)
        if discard:
            first = self.contender.prepare(self.images, self.va, rows[:1].repeat(discard, 1))
            self.contender.train(first)
        self.contender.train(self.contender.prepare(self.images, self.va, rows))
        self.contender.optimizer.zero_grad(set_to_none=True)
        _give_back(self.device)
        return self.contender.seconds

    def seconds_fed(self, files: list[str]) -> float:
        """Time of an epoch of timm's loop on timm's loader, whose workers run already.

        Args:
            files: pictures, row by row, perhaps several times over; the same ones until the next
                `start`.
        """
        from .loaders import timm_loader

        if self.loader is None:
            task = self.contender.task
            self.loader = timm_loader(files, task.image_size, task.batch_size, self.device)
            for _ in self.loader:  # its workers start in the first epoch, and stay
                pass
        self.contender.train((x, self.va[rows % len(self.va)]) for x, rows in self.loader)
        return self.contender.seconds

    def set_lr(self, lr: float) -> None:
        """Another learning rate from the next step on."""
        set_rate(self.contender.optimizer, lr)
        if isinstance(self.contender, Ours):  # its loop takes the rate from the recipe
            self.contender.recipe = replace(self.contender.recipe, lr=lr)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """(n, 2) predictions for (n, S, S, 3) uint8 pictures, by the same code for everyone."""
        rows = np.arange(len(images))
        return predict(self.contender.model, torch.from_numpy(images), rows, self.device)

    def _rows(self, batches: np.ndarray) -> Tensor:
        return torch.from_numpy(batches).to(self.device)


class Worker:
    """A Runner in another process. Raises UserError with what went wrong over there."""

    def __init__(self, contender: type[Contender]) -> None:
        self.kind = contender
        context = multiprocessing.get_context("spawn")
        self._pipe, far_end = context.Pipe()
        self._process = context.Process(target=_serve, args=(contender, far_end))
        self._process.start()
        far_end.close()

    def call(self, method: str, *arguments: object) -> object:
        """See Runner."""
        try:
            self._pipe.send((method, arguments))
            good, value = self._pipe.recv()
        except (OSError, EOFError) as error:
            raise UserError(
                f"{self.kind.name}: its process ended; most often memory ran out."
            ) from error
        if not good:
            raise UserError(value)
        return value

    def close(self) -> None:
        """End the process."""
        self._pipe.close()
        self._process.join(_STOP_S)
        if self._process.is_alive():
            self._process.terminate()


def _serve(contender: type[Contender], pipe: multiprocessing.connection.Connection) -> None:
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TORCHINDUCTOR_CACHE_DIR"] = folder  # nobody reads what another has compiled
        _serve_calls(contender, pipe)


def _serve_calls(contender: type[Contender], pipe: multiprocessing.connection.Connection) -> None:
    runner = Runner(contender)
    while True:
        try:
            method, arguments = pipe.recv()
        except (EOFError, KeyboardInterrupt):
            return
        try:
            answer = True, runner.call(method, *arguments)
        except UserError as error:
            answer = False, str(error)
        try:
            pipe.send(answer)
        except OSError:
            return  # nobody waits for it any more


def _give_back(device: torch.device) -> None:
    """Free memory goes back to the system: all contenders are kept, and it is for one at a time."""
    if device.type == "cuda":
        torch.cuda.empty_cache()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc only
    if trim is not None:
        trim(0)


def _wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize()
