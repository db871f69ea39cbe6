"""Weights to start from where ImageNet's cannot be had: networks that learned to find landmarks.

The pretext task needs no rater: where the 68 landmarks of a face lie in its crop, for drawn people
who are in no fold of the study. What the network has learned of faces is kept, its last layer is
thrown away, as ImageNet's classes are carried over to faces (Yosinski et al. 2014).
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..base import UserError, cache, code_digest, digest, kept, report_epoch, write_atomically
from ..corpora import Crops, pretext_crops
from ..simulator import WildWorld
from . import distributed
from .adapt import new_network
from .batches import on_device
from .epoch import build_optimizer, epoch_losses
from .identity import learning_code
from .memory import keep_freed_memory
from .networks import head_name, head_of, put_head
from .recipe import Recipe
from .run_folder import machine
from .step import default_device, fastest_step, raw_predictions

HELD_OUT = 10  # one subject in so many is kept out of the pretext training, to see what was learned
_ROOMS = Path(__file__).parents[1]
# Modules of the corpora room that drawn faces with known landmarks do not pass through.
_NOT_FACES = ("__init__.py", "check.py", "folds.py", "landmarks.py", "semaine.py", "tracking.py")


@dataclass(frozen=True)
class PretextStart:
    """Weights to start from, known by what they are made from; made when a training needs them."""

    model: str  # the network that finds landmarks
    recipe: Recipe  # as of `pretext_recipe`
    world: dict  # whose faces, fields of simulator.WildWorld
    size: int  # side of their crops in pixels
    seed: int  # of the initial weights, batch order and augmentation
    folder: Path  # in which sets of weights are kept
    whole_pictures: bool = False  # in place of face crops, as of `corpora.build_crops`

    def __post_init__(self) -> None:
        for key in self.world:
            if key not in WildWorld.__dataclass_fields__:
                known = ", ".join(WildWorld.__dataclass_fields__)
                raise UserError(f"unknown PRETEXT key {key!r}; such a world has: {known}.")

    @property
    def key(self) -> str:
        """A digest of everything that determines the weights; no face is drawn for it."""
        faces = asdict(WildWorld(**self.world)), self.size
        code = learning_code(), code_digest(Path(__file__)), code_digest(_ROOMS / "simulator")
        crops = code_digest(_ROOMS / "corpora", but=_NOT_FACES)
        kind = ["whole pictures"] if self.whole_pictures else []
        return digest(self.model, asdict(self.recipe), faces, self.seed, code, crops, *kind)

    @property
    def faces(self) -> int:
        """How many faces it draws, those of held-out subjects among them."""
        world = WildWorld(**self.world)
        return sum(world.frame_count(clip) for clip in range(world.clips))

    def draw(self) -> bool:
        """Whether the weights are missing. Their faces are drawn then, by all cores."""
        missing = cache.opened(self._home) is None
        if missing:
            self._crops()
        return missing

    def weights(self, study: Sequence[Crops] = ()) -> Path:
        """The file of weights; where it is missing, faces are drawn and a network learns. Subjects
        of the study's crops must not be among the faces (UserError)."""
        self.manifest(study)
        return self._home / "weights.pt"

    def manifest(self, study: Sequence[Crops] = ()) -> dict:
        """What is known of the weights, made as by `weights`: see `_pretrain`."""

        def build(folder: Path) -> dict:
            if distributed.count() > 1:  # torchrun
                raise UserError(f"{folder}: is missing; train by one process first.")
            faces = self._crops()
            subjects = sorted(set(faces.frames["subject"]))
            _refuse_shared(subjects, study)
            return _pretrain(self, faces, folder) | {"subjects": subjects}

        manifest = kept(self._home, build)
        _refuse_shared(manifest["subjects"], study)
        return manifest

    def _crops(self) -> Crops:
        return pretext_crops(self.world, self.size, self.whole_pictures)

    @property
    def _home(self) -> Path:
        return self.folder / f"{self.model}_pretext_{self.key[:8]}"


def pretext_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """A recipe's optimizer on the pretext task: from random weights, pictures neither mirrored nor
    moved, since the landmarks would have to follow. Of a recipe for clips, as many pictures."""
    return replace(
        recipe, batch_size=recipe.batch_size * recipe.sequence, sequence=1,
        name="pretext", epochs=epochs, weights="none", trained="all", stop="epochs",
        flip=False, shift=0.0, loss="mse", density_weighting=0.0, dropout=None, averaging="none",
    )  # fmt: skip


def learned(started: Mapping[tuple[str, str], object]) -> pd.DataFrame:
    """How well each network that starts from the pretext task (`Plan.starts`) finds the landmarks
    of held-out subjects; trains what is missing.

    Columns: model, epochs, people (held out), error (mean distance of a predicted landmark from the
    true one, in percent of the crop's side), blind_error (the same for the mean face).
    """
    rows = [
        start.manifest() | {"model": model, "epochs": start.recipe.epochs}
        for (model, _), start in started.items()
        if isinstance(start, PretextStart)
    ]
    return pd.DataFrame(rows, columns=["model", "epochs", "people", "error", "blind_error"])


def targets(landmarks: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """(N, 136) float32 targets of a network, (136,) mean and (136,) standard deviation in pixels.

    Targets are (N, 68, 2) landmarks in pixels, each coordinate with mean 0 and sd 1 over `rows`.
    """
    flat = landmarks.reshape(len(landmarks), -1).astype(np.float64)
    mean, sd = flat[rows].mean(axis=0), flat[rows].std(axis=0)
    sd = np.maximum(sd, 1e-3)  # the outermost points define the box, and hardly move in it
    return ((flat - mean) / sd).astype(np.float32), mean, sd


def _refuse_shared(subjects: Sequence, study: Sequence[Crops]) -> None:
    for crops in study:
        if not set(crops.frames["subject"]).isdisjoint(subjects):
            raise UserError(
                f"the pretext faces share subjects with {crops.label}, so that its test folds "
                "would have been seen; give PRETEXT another seed."
            )


def _pretrain(start: PretextStart, faces: Crops, folder: Path) -> dict:
    """Train a network to find landmarks, and keep its weights; returns what it has learned."""
    subjects = np.unique(faces.frames["subject"])
    if len(subjects) < HELD_OUT:
        raise UserError(f"a pretext task needs at least {HELD_OUT} subjects; PRETEXT has fewer.")
    is_held_out = faces.frames["subject"].isin(subjects[::HELD_OUT]).to_numpy()
    train, held_out = np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out)
    wanted, mean, sd = targets(faces.landmarks, train)

    model, recipe, device = start.model, start.recipe, default_device()
    keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # shapes stay the same; without effect on a CPU
    torch.manual_seed(start.seed)
    network = new_network(model, recipe, start.size)
    put_head(network, nn.Linear(head_of(network).in_features, wanted.shape[1]))
    network.to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(network, recipe)
    step = fastest_step(network, optimizer, recipe)
    images, y = on_device(faces.images, device), torch.from_numpy(wanted).to(device)
    history = []
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        losses = epoch_losses(network, optimizer, recipe, images, y, train, epoch, start.seed, step)
        loss = float(losses.double().mean())
        if not np.isfinite(loss):
            raise UserError(
                f"the pretext training of {model} diverged in epoch {epoch + 1}; use a smaller lr "
                f"than {recipe.lr}."
            )
        predicted = raw_predictions(network, images, held_out, device).float().cpu().numpy()
        val = float(np.mean((predicted - wanted[held_out]) ** 2))
        seconds = time.monotonic() - started
        history.append({"epoch": epoch + 1, "train_mse": loss, "val_mse": val, "seconds": seconds})
        report_epoch(f"{model} pretext", epoch + 1, recipe.epochs, loss, seconds)

    true = faces.landmarks[held_out]
    distance = {
        "error": np.linalg.norm((predicted * sd + mean).reshape(true.shape) - true, axis=2).mean(),
        "blind_error": np.linalg.norm(mean.reshape(1, -1, 2) - true, axis=2).mean(),
    }
    weights = {k: v for k, v in network.state_dict().items()
               if not k.startswith(f"{head_name(network)}.")}  # fmt: skip
    torch.save(weights, folder / "weights.pt")
    write_atomically(folder / "history.csv", pd.DataFrame(history).to_csv(index=False))
    percent = {name: float(100 * value / start.size) for name, value in distance.items()}
    made_from = {"model": model, "recipe": asdict(recipe), "world": start.world, "seed": start.seed}
    return made_from | percent | {"people": len(subjects[::HELD_OUT]), "machine": machine()}
