"""`python -m vaaffect bench recipes`: the same search for every network of a comparison.

Networks are compared fairly if each is trained as well as the same effort can find out. So all have
one recipe family (RECIPE), and the same settings of the learning rate and the number of epochs are
tried for each, on the development worlds: the study's worlds with another seed, DEVELOPMENT_SEED,
which no result is reported on. A setting is judged by the error on the inner validation part alone;
no test fold is read.
"""

import itertools
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaaffect.base import runs_folder, write_atomically
from vaaffect.report.tables import model_name
from vaaffect.training import How, Plan, Training, train_all

from .calibration import parameters_of

NAME = "recipes"  # of the folder of trainings
RATES = (0.001, 0.003, 0.01)  # largest learning rates, tried for every network
PASSES = (12, 25)  # epochs, tried for every network
FOLDS = 3  # of the study's, whose inner parts judge a setting
LEVEL = 0.02  # by which proportion more epochs must lower the error to be worth while


def bench_recipes(
    out: Path, profile: str | None = None, changes: Sequence[str] = ()
) -> Iterable[str]:
    """Search the recipes of a profile's MODELS; lines to print.

    Writes recipes.csv and recipes.md into the folder `out`: network, lr, epochs, error (mean
    squared error on the inner validation part, of the best epoch, as a proportion of the labels'
    variance, mean over corpora and folds), `wild` and `lab` (the same by corpus), drop (by which
    proportion the error still falls in the last fifth of the epochs), chosen.
    """
    parameters = parameters_of(profile or "demo", changes)
    table = searched(parameters, RATES, PASSES)
    out.mkdir(parents=True, exist_ok=True)
    write_atomically(out / "recipes.csv", table.round(5).to_csv(index=False))
    write_atomically(out / "recipes.md", "\n".join(_markdown(table)) + "\n")
    yield from _markdown(table)


def searched(
    parameters: Mapping[str, Any], rates: Sequence[float], passes: Sequence[int]
) -> pd.DataFrame:
    """The table of `bench_recipes`, for notebook 04's parameters with DEVELOPMENT_SEED."""
    seed = {"seed": parameters["DEVELOPMENT_SEED"]}
    worlds = {name: {**parameters[name], **seed} for name in ("WILD", "LAB")}
    settings = [
        (model, rate, epochs)
        for model in parameters["MODELS"]
        for rate, epochs in itertools.product(rates, passes)
    ]
    trainings: list[Training] = []
    keys: list[tuple] = []
    for model, rate, epochs in settings:
        values = {"name": f"lr {rate:g}, {epochs} epochs", "lr": rate, "epochs": epochs}
        ours = {**worlds, "MODELS": [model], "BASELINES": [], "SCRATCH": "none", "PROFILE": NAME,
                "PER_MODEL": {model: values}}  # fmt: skip
        plan = Plan.from_parameters({**parameters, **ours})
        for on in ("wild", "lab"):
            for split in plan.folds_of(on)[:FOLDS]:
                trainings.append(plan.training(model, split=split, on=on))
                keys.append((model, rate, epochs, on))
    runs = train_all(trainings, runs_folder(NAME), How.of_this_machine())
    rows = [
        dict(zip(("model", "lr", "epochs", "on"), key, strict=True)) | _judged(training, run)
        for key, training, run in zip(keys, trainings, runs, strict=True)
    ]
    by_setting = pd.DataFrame(rows).groupby(["model", "lr", "epochs"], sort=False)
    table = by_setting[["error", "drop"]].mean()
    for on in ("wild", "lab"):
        table[on] = by_setting.apply(lambda r, on=on: r.loc[r["on"] == on, "error"].mean())
    table = table.reset_index()
    return table.assign(chosen=np.isin(table.index, [*_chosen(table)]))


def _judged(training: Training, run: Path) -> dict[str, float]:
    """Of a finished training: its error on the inner part, and by how much that still falls."""
    errors = pd.read_csv(run / "history.csv")["val_mse"].to_numpy()
    frames = training.crops.frames
    variance = frames[["valence", "arousal"]].to_numpy().var(axis=0).mean()
    last = max(1, len(errors) // 5)
    before = errors[-2 * last : -last]
    drop = 1 - errors[-last:].mean() / before.mean() if len(before) else np.nan
    return {"error": errors.min() / variance, "drop": drop}


def _chosen(table: pd.DataFrame) -> Iterable[int]:
    """Of each network the setting of the fewest epochs whose error is within LEVEL of the least."""
    for _, rows in table.groupby("model", sort=False):
        near = rows[rows["error"] <= rows["error"].min() * (1 + LEVEL)]
        yield near.sort_values(["epochs", "error"]).index[0]


def _markdown(table: pd.DataFrame) -> Iterable[str]:
    heads = ["network", "learning rate", "epochs", "error", "in the wild", "in the laboratory",
             "still falls by", "chosen"]  # fmt: skip
    yield "| " + " | ".join(heads) + " |"
    yield "|---|" + "---:|" * (len(heads) - 2) + "---|"
    for row in table.to_dict("records"):
        cells = [model_name(row["model"]), f"{row['lr']:g}", str(row["epochs"])]
        cells += [f"{row[name]:.3f}" for name in ("error", "wild", "lab")]
        cells += [f"{100 * row['drop']:.1f} %", "yes" if row["chosen"] else ""]
        yield "| " + " | ".join(cells) + " |"
