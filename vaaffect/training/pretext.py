"""Weights to start from where ImageNet's cannot be had: networks that learned to find landmarks.

A pretext task asks a network for something that needs no rater. Here it is where the 68 landmarks
of a face lie in its crop, for drawn people who are in no fold of the study. What the network has
learned of faces is kept; its last layer, and with it the answer to that question, is thrown away.
The same idea carries ImageNet's classes over to faces (Yosinski et al. 2014).
"""

import hashlib
import json
import time
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from ..base import UserError, held, read_manifest, report_epoch, sha256_of, write_atomically
from ..corpora import Crops, pretext_crops
from .adapt import adapt
from .batches import on_device
from .epoch import build_optimizer, train_epoch
from .networks import Start, backbone_of, build_model, head_name, head_of, put_head
from .recipe import Recipe
from .step import autocast_dtype, default_device, fastest_step, keep_freed_memory, raw_predictions

VERSION = 1  # change it when the same configuration would give other weights
HELD_OUT = 10  # one person in so many is kept out of the pretext training, to see what was learned


def starts(
    recipes: Sequence[tuple[str, Recipe]],
    world: dict,
    epochs: int,
    folder: Path,
    *,
    apart: Sequence[Crops],
    seed: int = 0,
) -> dict[tuple[str, str], Start]:
    """What each training starts from whose recipe's weights are "pretext".

    Args:
        recipes: (model, recipe) pairs. A network that reads clips starts from its backbone's
            weights; they are those of the backbone itself where it is among the pairs.
        world: whose faces, fields of simulator.worlds.WildWorld.
        epochs: of the pretext training.
        folder: in which sets of weights are kept.
        apart: the study's crops; the pretext faces have their size.
        seed: of the pretext training.

    Returns:
        By (model, name of the recipe); empty where no recipe asks.

    Raises:
        UserError: as of `pretrain`.
    """
    asked = [(model, recipe) for model, recipe in recipes if recipe.weights == "pretext"]
    if not asked:
        return {}
    faces = pretext_crops(world, int(apart[0].images.shape[1]))
    own = dict(reversed(asked))
    started = {}
    for model, recipe in asked:
        seeing = backbone_of(model) or model
        how = recipe if seeing == model else own.get(seeing, recipe)
        started[model, recipe.name] = pretrain(
            seeing, pretext_recipe(how, epochs), faces, folder, apart=apart, seed=seed
        )
    return started


def pretext_recipe(recipe: Recipe, epochs: int) -> Recipe:
    """A recipe's optimizer on the pretext task: from random weights, pictures neither mirrored nor
    moved, since the landmarks would have to follow. Of a recipe for clips, as many pictures."""
    return replace(
        recipe, batch_size=recipe.batch_size * recipe.sequence, sequence=1,
        name="pretext", epochs=epochs, weights="none", trained="all", stop="epochs",
        flip=False, shift=0.0, loss="mse", density_weighting=0.0, dropout=None, averaging="none",
    )  # fmt: skip


def pretrain(
    model_name: str,
    recipe: Recipe,
    faces: Crops,
    folder: Path,
    *,
    apart: Sequence[Crops] = (),
    seed: int = 0,
) -> Start:
    """Train a network to find landmarks, or read what an earlier call with this configuration made.

    Args:
        model_name: one of models.NAMES.
        recipe: as of `pretext_recipe`.
        faces: crops with landmarks, of other people than the study's.
        folder: in which sets of weights are kept.
        apart: the study's crops.
        seed: of the initial weights, batch order and augmentation.

    Raises:
        UserError: somebody is in `faces` and in the study, too few people, damaged weights.
    """
    people = set(faces.frames["subject"])
    for crops in apart:
        if people & set(crops.frames["subject"]):
            raise UserError(
                f"the pretext faces share people with {crops.label}, so that its test folds would "
                "have been seen; give PRETEXT another seed."
            )
    if len(people) < HELD_OUT:
        raise UserError(f"a pretext task needs at least {HELD_OUT} people; PRETEXT has fewer.")
    device = default_device()
    config = {
        "version": VERSION,
        "model": model_name,
        "recipe": asdict(recipe),
        "faces": faces.key,
        "image_size": int(faces.images.shape[1]),
        "seed": seed,
        "device": device.type,
        "precision": str(autocast_dtype(device)).removeprefix("torch."),
        "torch": torch.__version__,
    }
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode()).hexdigest()[:8]
    made = folder / f"{model_name}_pretext_{digest}"
    with held(made):
        if read_manifest(made) is None:
            _pretrain(model_name, recipe, faces, made, config, device)
    return Start(made / "weights.pt", read_manifest(made)["sha256"]["weights.pt"])


def learned(started: dict[tuple[str, str], Start]) -> pd.DataFrame:
    """How well each network found the landmarks of people who were held out.

    Returns:
        model, epochs, people (held out), error (mean distance of a found landmark from the true
        one, in percent of the crop's side), blind_error (the same for the mean face, the answer of
        who sees nothing).
    """
    rows = []
    for (model, _), start in started.items():
        manifest = read_manifest(start.path.parent)
        row = {"model": model, "epochs": manifest["recipe"]["epochs"]}
        rows.append(row | {k: manifest[k] for k in ("people", "error", "blind_error")})
    return pd.DataFrame(rows)


def targets(landmarks: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What the network is to answer: landmarks, each coordinate with mean 0 and spread 1.

    Args:
        landmarks: (N, 68, 2) in pixels of the crop.
        rows: (n,) from which mean and spread are taken.

    Returns:
        (N, 136) float32 targets, (136,) mean and (136,) standard deviation in pixels.
    """
    flat = landmarks.reshape(len(landmarks), -1).astype(np.float64)
    mean, sd = flat[rows].mean(axis=0), flat[rows].std(axis=0)
    sd = np.maximum(sd, 1e-3)  # the outermost points define the box, and hardly move in it
    return ((flat - mean) / sd).astype(np.float32), mean, sd


def _pretrain(
    name: str, recipe: Recipe, faces: Crops, made: Path, config: dict, device: torch.device
) -> None:
    people = np.unique(faces.frames["subject"])
    out = faces.frames["subject"].isin(people[::HELD_OUT]).to_numpy()
    train, held_out = np.flatnonzero(~out), np.flatnonzero(out)
    wanted, mean, sd = targets(faces.landmarks, train)

    keep_freed_memory()
    torch.backends.cudnn.benchmark = True  # shapes stay the same; without effect on a CPU
    torch.manual_seed(config["seed"])
    network = adapt(build_model(name, None, config["image_size"]), recipe, name)
    put_head(network, nn.Linear(head_of(network).in_features, wanted.shape[1]))
    network.to(device, memory_format=torch.channels_last)
    optimizer = build_optimizer(network, recipe)
    step = fastest_step(network, optimizer, recipe)
    images, y = on_device(faces.images, device), torch.from_numpy(wanted).to(device)
    history = []
    for epoch in range(recipe.epochs):
        started = time.monotonic()
        loss = train_epoch(
            network, optimizer, recipe, images, y, train, epoch, config["seed"], step
        )
        if not np.isfinite(loss):
            raise UserError(
                f"the pretext training of {name} diverged in epoch {epoch + 1}; use a smaller lr "
                f"than {recipe.lr}."
            )
        found = raw_predictions(network, images, held_out, device).float().cpu().numpy()
        val = float(np.mean((found - wanted[held_out]) ** 2))
        seconds = time.monotonic() - started
        history.append({"epoch": epoch + 1, "train_mse": loss, "val_mse": val, "seconds": seconds})
        report_epoch(f"{name} pretext", epoch + 1, recipe.epochs, loss, seconds)

    side = faces.images.shape[1]
    true = faces.landmarks[held_out]
    distance = {
        "error": np.linalg.norm((found * sd + mean).reshape(true.shape) - true, axis=2).mean(),
        "blind_error": np.linalg.norm(mean.reshape(1, -1, 2) - true, axis=2).mean(),
    }
    weights = {k: v for k, v in network.state_dict().items()
               if not k.startswith(f"{head_name(network)}.")}  # fmt: skip
    torch.save(weights, made / "weights.pt")
    write_atomically(made / "history.csv", pd.DataFrame(history).to_csv(index=False))
    manifest = config | {k: float(100 * v / side) for k, v in distance.items()}
    manifest["people"] = len(people[::HELD_OUT])
    manifest["sha256"] = {n: sha256_of(made / n) for n in ("weights.pt", "history.csv")}
    write_atomically(made / "manifest.json", json.dumps(manifest, indent=1))
