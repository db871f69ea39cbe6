"""How much a study trains, counted before any crop is made; and how long that takes here."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from ..base import UserError
from ..base.cache import read_record

if TYPE_CHECKING:  # torch takes seconds, and a mistake in a profile is told at once
    from ..corpora import Crops
    from ..training import How, Recipe, Training

SECONDS = 10.0  # for which this machine's speed is measured
PREDICTING = 1 / 3  # of what a picture costs in training: a forward pass, none backward
BEGIN = 3.0  # seconds to begin and to end a training


@dataclass
class Load:
    """What is trained of one network with one recipe; pictures are counted at the caps."""

    model: str
    recipe: "Recipe"
    trainings: int = 0
    finished: int = 0  # of these; a run with such a name of network, recipe, fold and seed is there
    pictures: int = 0  # that are still to be learned from, each epoch counted
    predicted: int = 0  # that are still to be predicted

    def seconds(self, per_picture: float) -> float:
        """Of one process after the other."""
        left = self.trainings - self.finished
        return per_picture * (self.pictures + PREDICTING * self.predicted) + BEGIN * left


def without_pixels(label: str, frames: pd.DataFrame, size: int) -> "Crops":
    """Crops that have frames and no pictures: enough to cut folds and to list trainings."""
    from ..corpora import Crops

    images = np.broadcast_to(np.uint8(0), (len(frames), size, size, 3))
    points = np.broadcast_to(np.float32(0), (len(frames), 68, 2))
    nothing = pd.DataFrame(columns=["path", "reason"])
    return Crops(label, 1.0, images, points, frames, nothing, f"sketch of {label}")


def listed(
    notebooks: Iterable[Mapping[str, Any]], crops: "Mapping[str, Crops]"
) -> "list[Training]":
    """The trainings of notebooks with these parameters, on these crops ("wild" and "lab")."""
    from ..training import all_trainings

    return all_trainings(*({**parameters, "CROPS": crops} for parameters in notebooks))


def smallest(trainings: "Iterable[Training]") -> "list[Training]":
    """Of each network, recipe and corpus the training that learns from the fewest frames."""
    found: dict[tuple, Training] = {}
    for training in sorted(trainings, key=lambda one: len(one.split.train)):
        found.setdefault((training.model, training.recipe.name, training.crops.label), training)
    return list(found.values())


def counted(trainings: "Iterable[Training]", runs: Path) -> list[Load]:
    """The work in these trainings, and in the pretext trainings that they start from, by network
    and recipe; what is finished in the folder `runs` is none."""
    from ..training.pretext import PretextStart

    done, loads, starts = _finished(runs), {}, {}
    for training in trainings:
        recipe = training.recipe
        load = loads.setdefault((training.model, recipe.name), Load(training.model, recipe))
        load.trainings += 1
        if _description(training) in done:
            load.finished += 1
            continue
        split = training.split
        load.pictures += recipe.epochs * len(split.train)
        others = sum(len(crops.frames) for crops in training.other_corpora)
        load.predicted += (recipe.epochs + 1) * len(split.val) + len(split.test) + others
        if isinstance(training.start, PretextStart):
            starts[training.start.key] = training.start
    for start in starts.values():
        load = Load(start.model, start.recipe, 1, pictures=start.recipe.epochs * start.faces)
        if not (runs / f"{start.model}_pretext_{start.key[:8]}" / "manifest.json").exists():
            loads[start.model, "pretext"] = load
    return [*loads.values()]


def _description(training: "Training") -> tuple:
    split = training.split
    return (training.model, training.recipe.name, training.crops.label, split.by, split.fold,
            training.weight_seed)  # fmt: skip


def _finished(runs: Path) -> set[tuple]:
    """What the finished runs say of themselves. Whether they are those that are looked for, their
    names alone tell, for which the crops are needed."""
    found = set()
    for path in runs.glob("*/done.json"):
        try:
            read_record(path)
            config = read_record(path.with_name("config.json")) or {}
            keys = ("model", "data", "by", "fold", "seed")
            model, label, by, fold, seed = (config[key] for key in keys)
            found.add((model, config["recipe"]["name"], label, by, fold, seed))
        except (UserError, KeyError, TypeError):  # damaged, which is said later
            continue
    return found


def estimated(loads: list[Load], size: int, how: "How") -> "float | str":
    """Seconds that the rest of the trainings takes on this machine, measured in SECONDS; or why
    that could not be measured."""
    from ..training import measured_speed

    kinds: dict[tuple, tuple[str, Recipe]] = {}
    for load in loads:
        if load.pictures:
            kinds.setdefault(_kind(load), (load.model, load.recipe))
    if not kinds:
        return 0.0
    speed = measured_speed([*kinds.values()], size, how, SECONDS)
    if isinstance(speed, str):
        return speed
    per_picture = dict(zip(kinds, speed, strict=True))
    total = sum(load.seconds(per_picture[_kind(load)]) for load in loads if load.pictures)
    return total / how.jobs


def _kind(load: Load) -> tuple:
    """What decides how long a picture takes."""
    return load.model, load.recipe.batch_size, load.recipe.sequence
