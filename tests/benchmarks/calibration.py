"""`python -m vaaffect bench calibration`: is a simulated wild world as hard as AFEW-VA?

A stand-in has the right difficulty if the methods that have been tried on the real corpus reach
about the same correlations on it, in the same order. Each method is fitted on five folds by
subject; beside its PCC stand what is aimed at and what has been published.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from vaaffect.base import UserError, runs_folder, write_atomically
from vaaffect.base.paths import DATA
from vaaffect.classical import CONSTANT, constant_predictor, fit_baselines
from vaaffect.corpora import (
    DIMENSIONS,
    Crops,
    Split,
    build_crops,
    data,
    landmark_corpus,
    leaking_folds,
    load_afew_va,
    subject_folds,
)
from vaaffect.report.literature import published_frame
from vaaffect.report.tables import model_name
from vaaffect.results import Bootstrap, evaluate, read_predictions
from vaaffect.simulator import (
    WildWorld,
    exact_landmarks,
    wild_truth,
    world_key,
    write_afew_va,
)
from vaaffect.simulator.landmark_error import found_landmarks
from vaaffect.study.profiles import default_values, load_profile, notebook_sources
from vaaffect.training import How, Plan, Training, backbone_of, train_all

NOTEBOOK = "04"  # whose parameters a profile gives
FRESH = 4000  # the world's seed: no study and no tuning has seen it
NAME = "calibration"  # of the folder of trainings

# A first search for a world as hard as AFEW-VA, which no study uses yet. It is not found: HOG
# predicts arousal too badly, a small network from random weights predicts valence worse than
# landmarks do, and arousal by landmarks is within its target for one seed and above it for another.
CALIBRATED: dict[str, Any] = {
    "difficulty": 0.3,
    "size": (360, 288),
    "context": (0.15, 0.12),
    "resting": (0.05, 0.04),
    "style": 0.25,
    "expressiveness": 0.2,
    "subtlety": 2.2,
    "mood": 0.3,
    "landmark_error": 0.12,
}

Range = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """PCC of (valence, arousal) that a method should reach, each at least and at most, and where it
    has been published: a table of the thesis and the system's name there, "" for nowhere."""

    valence: Range
    arousal: Range
    table: int = 0
    system: str = ""


# After Kossaifi et al. 2017 (shape, appearance, several kernels), the thesis (finetuned networks)
# and Kollias et al. 2019 (CNN-RNN). The first is what a face shows at all, which nobody published.
CEILING = Target((0.70, 1.0), (0.70, 1.0))
SHAPE = Target((0.35, 0.41), (0.40, 0.45))
APPEARANCE = Target((0.25, 0.35), (0.25, 0.35))
KERNELS = Target((0.40, 0.40), (0.45, 0.45), 2, "best of [7]")
CNN = Target((0.43, 0.49), (0.38, 0.43), 2, "VGG11, finetuned")
CNN_RNN = Target((0.51, 0.51), (0.58, 0.58), 1, "AffWildNet")

EXACT = "exact"
FOUND = "as written"
DLIB = "dlib's"
# (whose landmarks, method, target)
ROWS = (
    (EXACT, "geometry-ridge", CEILING),
    (FOUND, "geometry-ridge", SHAPE),
    (FOUND, "geometry-forest", SHAPE),
    (DLIB, "geometry-ridge", SHAPE),
    (DLIB, "geometry-forest", SHAPE),
    (FOUND, "hog-svr", APPEARANCE),
    (FOUND, "lbp-svr", APPEARANCE),
    (FOUND, "multikernel-svr", KERNELS),
)
LEAKS = ("geometry-ridge", "hog-svr", "multikernel-svr")  # fitted on folds by clip too


def bench_calibration(
    quick: bool = False, out: Path | None = None, profile: str | None = None,
    changes: Sequence[str] = (), networks: Sequence[str] = (),
) -> Iterable[str]:  # fmt: skip
    """Measure one world.

    Args:
        quick: the rows on landmarks alone, for which nothing is drawn.
        out: folder for calibration.csv and calibration.md; none is written if it is None.
        profile: whose WILD, SIZE and recipes; None is the demo with CALIBRATED and a fresh seed.
        changes: as of `load_profile`, "WILD.context=[0.2, 0.1]" for example.
        networks: trained with the profile's recipe.

    Returns lines to print.
    """
    parameters = parameters_of(profile, changes)
    table, world = calibration(parameters, networks, quick)
    yield f"world: {_said(parameters['WILD'])}; crops of {parameters['SIZE']} pixels"
    yield labels_said(world)
    yield from shown(table)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "calibration.csv", table.to_csv(index=False))
        write_atomically(out / "calibration.md", "\n".join(markdown(table)) + "\n")


def parameters_of(profile: str | None, changes: Sequence[str]) -> dict[str, Any]:
    """What notebook 04 is given by a profile with changes, over its defaults."""
    (source,) = [path for path in notebook_sources() if path.name.startswith(NOTEBOOK)]
    defaults = default_values(source)
    if not profile:
        fields = defaults["WILD"] | {"seed": FRESH} | CALIBRATED
        first = [f"WILD.{name}={_yaml(value)}" for name, value in fields.items()]
        changes = [*first, *changes]
    chosen = load_profile(profile or "demo", changes=changes)
    return defaults | chosen.parameters_for(source, PROFILE=NAME)


def _yaml(value: Any) -> str:
    return str(list(value) if isinstance(value, tuple) else value)


def calibration(
    parameters: Mapping[str, Any], networks: Sequence[str] = (), quick: bool = False,
    home: Path = DATA,
) -> tuple[pd.DataFrame, WildWorld]:  # fmt: skip
    """The table of a world, and the world. What is made for it is kept in the folders of `home`.

    Columns: landmarks, method, folds (what is kept apart), frames, valence, arousal (PCC, mean over
    the folds), target valence, target arousal (text), published valence, published arousal.
    """
    world = data.world_of("wild", dict(parameters["WILD"]))
    folds, seed = parameters["FOLDS"], parameters["FOLD_SEED"]
    sets = planned(world) if quick else drawn(world, parameters["SIZE"], home)
    splits = {name: subject_folds(crops.frames, folds, seed=seed) for name, crops in sets.items()}
    rows = [_constant(sets[FOUND], splits[FOUND])]
    for whose, crops in sets.items():
        wanted = {method: target for name, method, target in ROWS if name == whose}
        if quick:
            wanted = {m: target for m, target in wanted.items() if m.startswith("geometry")}
        fitted = fit_baselines(crops, splits[whose], list(wanted), cache=home / "features")
        rows += [
            _row(whose, method, fitted[fitted["model"] == method], target)
            for method, target in wanted.items()
        ]
    if world.mood and not quick:
        leaking = leaking_folds(sets[FOUND].frames, "clip", folds, seed=seed)
        fitted = fit_baselines(sets[FOUND], leaking, LEAKS, cache=home / "features")
        rows += [_row(FOUND, m, fitted[fitted["model"] == m], None) for m in LEAKS]
    if networks and not quick:
        rows += _networks(parameters, networks, sets[FOUND], splits[FOUND])
    return pd.DataFrame(rows), world


def planned(world: WildWorld) -> dict[str, Crops]:
    """A world's exact and written landmarks, for which no picture is drawn."""
    from planted import wild  # beside the tests, as this is

    exact = wild(world)
    points = exact.landmarks.copy()
    clips = exact.frames["clip"].to_numpy()
    for index in range(world.clips):
        rows = clips == f"{index + 1:03d}"
        points[rows] = found_landmarks(world, index, points[rows])
    key = world_key(world)
    return {
        EXACT: replace(exact, key=f"exact {key}"),
        FOUND: replace(exact, landmarks=points, key=f"written {key}"),
    }


def drawn(world: WildWorld, size: int, home: Path) -> dict[str, Crops]:
    """A world's crops of `size` pixels, by whose landmarks they were cut out."""
    root = home / "simulated" / f"wild-{world_key(world)[:8]}"
    write_afew_va(root, world)
    written = load_afew_va(root)
    names = wild_truth(world)
    if any(names[key].tolist() != written.frames[key].tolist() for key in ("clip", "frame")):
        raise UserError(f"{written.root}: some frames are missing; delete it and run again.")
    corpora = {
        EXACT: replace(written, landmarks=exact_landmarks(world)),
        FOUND: written,
        # Less the frames in which it finds no face.
        DLIB: landmark_corpus(replace(written, landmarks=None), cache=home / "landmarks"),
    }
    return {name: build_crops(c, size, cache=home / "crops") for name, c in corpora.items()}


def _networks(
    parameters: Mapping[str, Any], networks: Sequence[str], crops: Crops, splits: Sequence[Split]
) -> list[dict]:
    """A row per network, trained with the recipe that the parameters give it."""
    ours = {"MODELS": list(networks), "BASELINES": [], "SCRATCH": "none", "PROFILE": NAME}
    plan = Plan.from_parameters({**parameters, **ours})
    seed = plan.weight_seeds[0]
    trainings = [
        Training(
            model, recipe, crops, split, weight_seed=seed,
            start=plan.starts.get((model, recipe.name)),
        )
        for model, recipe in plan.finetuned
        for split in splits
    ]  # fmt: skip
    runs = train_all(trainings, runs_folder(NAME), How.of_this_machine())
    predictions = read_predictions(runs)
    return [
        _row(FOUND, name, predictions[predictions["model"] == name],
             CNN if backbone_of(name) is None else CNN_RNN)
        for name in networks
    ]  # fmt: skip


def _constant(crops: Crops, splits: list[Split]) -> dict:
    """The row of the constant baseline, whose correlation is undefined."""
    return _row("", CONSTANT, constant_predictor(crops, splits), None)


def _row(whose: str, method: str, predictions: pd.DataFrame, target: Target | None) -> dict:
    results = evaluate(predictions, 1, names=("PCC",), bootstrap=Bootstrap(0))
    means = results[results["fold"] == "mean"].set_index("dimension")
    row = {"landmarks": whose, "method": method, "folds": predictions["split"].iloc[0],
           "frames": int(means["n"].iloc[0])}  # fmt: skip
    row |= {dimension: float(means["value"][dimension]) for dimension in DIMENSIONS}
    published = _published(target)
    for dimension in DIMENSIONS:
        row[f"target {dimension}"] = _range(target and getattr(target, dimension))
        row[f"published {dimension}"] = published.get(dimension, np.nan)
    return row


def _range(bounds: Range | None) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    if high >= 1:
        return f"at least {low:.2f}"
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


def _published(target: Target | None) -> dict[str, float]:
    if target is None or not target.table:
        return {}
    figures = published_frame()
    one = figures[
        (figures["table"] == target.table)
        & (figures["system"] == target.system)
        & (figures["metric"] == "PCC")
    ]
    return dict(zip(one["dimension"], one["value"], strict=True))


def distance(value: float, bounds: Range) -> float:
    """How far a value lies outside of its bounds, with its sign; 0 inside."""
    low, high = bounds
    return min(value - low, 0.0) + max(value - high, 0.0)


def labels_said(world: WildWorld) -> str:
    """How the world's labels are distributed, one line."""
    from planted import wild

    va = wild(world).va
    mean, sd = va.mean(axis=0), va.std(axis=0)
    return (
        f"labels of {len(va)} frames: mean {mean[0]:.2f} / {mean[1]:.2f}, "
        f"SD {sd[0]:.2f} / {sd[1]:.2f}"
    )


def shown(table: pd.DataFrame) -> list[str]:
    """The table as lines for a terminal."""
    lines = [
        f"{'':36s} {'frames':>6s}   {'V':>5s} {'A':>5s}   {'target V':>13s} {'target A':>13s}   "
        f"{'published V/A'}"
    ]
    for row in table.to_dict("records"):
        pcc = [f"{row[d]:5.2f}" if np.isfinite(row[d]) else "    –" for d in DIMENSIONS]
        targets = [f"{row[f'target {d}']:>13s}" for d in DIMENSIONS]
        known = [row[f"published {d}"] for d in DIMENSIONS]
        figures = " / ".join(f"{value:.2f}" for value in known) if np.isfinite(known).all() else ""
        name = _name(row)
        lines.append(
            f"{name:36s} {row['frames']:6d}   {' '.join(pcc)}   {' '.join(targets)}   {figures}"
        )
    return lines


def markdown(table: pd.DataFrame) -> Iterable[str]:
    """The table in Markdown."""
    heads = ["method", "landmarks", "folds by", "frames", "valence", "arousal", "target valence",
             "target arousal", "published valence", "published arousal"]  # fmt: skip
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in table.to_dict("records"):
        figures = [row[d] for d in DIMENSIONS]
        known = [row[f"published {d}"] for d in DIMENSIONS]
        cells = [model_name(row["method"]), row["landmarks"], row["folds"], str(row["frames"])]
        cells += [f"{value:.3f}" if np.isfinite(value) else "–" for value in figures]
        cells += [row[f"target {d}"] for d in DIMENSIONS]
        cells += [f"{value:.3f}" if np.isfinite(value) else "" for value in known]
        yield "| " + " | ".join(cells) + " |"


def _name(row: Mapping[str, Any]) -> str:
    parts = [model_name(row["method"])]
    if row["method"].startswith("geometry"):
        parts.append(row["landmarks"])
    if row["folds"] != "subject":
        parts.append(f"folds by {row['folds']}")
    return "; ".join(parts)


def _said(world: Mapping[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in world.items())
