"""`python -m vaaffect bench calibration`: is a simulated wild world as hard as AFEW-VA?

A stand-in has the right difficulty if the methods that have been tried on the real corpus reach
about the same correlations on it, in the same order. Each method is fitted on five folds by
subject; beside its PCC stand what is aimed at and what has been published. Beside the wild world it
is told how far the raters of the laboratory agree.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
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
from vaaffect.report.literature import published_pcc
from vaaffect.report.tables import model_name
from vaaffect.results import Bootstrap, evaluate, read_predictions
from vaaffect.simulator import (
    LabWorld,
    WildWorld,
    exact_landmarks,
    wild_truth,
    world_key,
    write_afew_va,
)
from vaaffect.simulator.landmark_error import found_landmarks
from vaaffect.study.profiles import default_values, load_profile, notebook_sources
from vaaffect.training import How, Plan, Training, backbone_of, train_all

from .rater_agreement import rater_agreement

NOTEBOOK = "04"  # whose parameters a profile gives
FRESH = 4000  # seed of the worlds that are measured, which no study reports on
NAME = "calibration"  # of the folder of trainings

Range = tuple[float, float]


@dataclass(frozen=True)
class Target:
    """PCC of (valence, arousal) that a method should reach, each at least and at most."""

    valence: Range
    arousal: Range


# After Kossaifi et al. 2017 (shape, appearance, several kernels), the thesis (finetuned networks)
# and Kollias et al. 2019 (CNN-RNN). The first is what a face shows at all, which nobody published.
CEILING = Target((0.70, 1.0), (0.70, 1.0))
SHAPE = Target((0.35, 0.41), (0.40, 0.45))
APPEARANCE = Target((0.25, 0.35), (0.25, 0.35))
KERNELS = Target((0.40, 0.40), (0.45, 0.45))
CNN = Target((0.43, 0.49), (0.38, 0.43))
CNN_RNN = Target((0.51, 0.51), (0.58, 0.58))

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
    changes: Sequence[str] = (), networks: Sequence[str] = (), seeds: Sequence[int] = (),
) -> Iterable[str]:  # fmt: skip
    """Measure one world, or worlds that differ in the seed alone.

    Args:
        quick: the rows on landmarks alone, for which nothing is drawn.
        out: folder for calibration.csv and calibration.md, raters.csv, and world.json, which says
            what was measured; none is written if it is None.
        profile: whose WILD, LAB, SIZE and recipes; None is the demo with a fresh seed.
        changes: as of `load_profile`, "WILD.context=[0.2, 0.1]" for example.
        networks: trained with the profile's recipe.
        seeds: of the worlds; the figures are then means over them, with their SD. None is the one
            of the parameters.

    Returns lines to print.
    """
    parameters = parameters_of(profile, changes)
    seeds = list(seeds) or [data.world_of("wild", dict(parameters["WILD"])).seed]
    tables = []
    for seed in seeds:
        wild = {**parameters["WILD"], "seed": seed}
        table, world = calibration({**parameters, "WILD": wild}, networks, quick)
        tables.append(table)
        yield f"world: {_said(wild)}; crops of {parameters['SIZE']} pixels"
        yield labels_said(world)
    table = over_seeds(tables)
    yield from shown(table)
    labs = [data.world_of("lab", {**parameters["LAB"], "seed": seed}) for seed in seeds]
    raters = raters_over_seeds(labs)
    yield from raters_shown(raters)
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / "calibration.csv", table.to_csv(index=False))
        write_atomically(out / "calibration.md", "\n".join(markdown(table)) + "\n")
        write_atomically(out / "raters.csv", raters.to_csv(index=False))
        facts = {"WILD": _seedless(world), "LAB": _seedless(labs[0]), "seeds": seeds}
        facts |= {name: parameters[name] for name in ("SIZE", "FOLDS", "FOLD_SEED")}
        write_atomically(out / "world.json", json.dumps(facts, indent=1) + "\n")


def _seedless(world: WildWorld | LabWorld) -> dict[str, Any]:
    return {name: value for name, value in asdict(world).items() if name != "seed"}


def parameters_of(profile: str | None, changes: Sequence[str]) -> dict[str, Any]:
    """What notebook 04 is given by a profile with changes, over its defaults."""
    (source,) = [path for path in notebook_sources() if path.name.startswith(NOTEBOOK)]
    defaults = default_values(source)
    if not profile:
        changes = [f"WILD.seed={FRESH}", f"LAB.seed={FRESH}", *changes]
    chosen = load_profile(profile or "demo", changes=changes)
    return defaults | chosen.parameters_for(source, PROFILE=NAME)


def calibration(
    parameters: Mapping[str, Any], networks: Sequence[str] = (), quick: bool = False,
    home: Path = DATA,
) -> tuple[pd.DataFrame, WildWorld]:  # fmt: skip
    """The table of a world, and the world. What is made for it is kept in the folders of `home`.

    Columns: landmarks, method, folds (what is kept apart), frames, valence, arousal (PCC, mean over
    the folds), target valence, target arousal (text), published (as what), published valence,
    published arousal.
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
    published = None if target is None or whose == EXACT else published_pcc(method)
    row["published"] = "" if published is None else published.system
    for dimension in DIMENSIONS:
        row[f"target {dimension}"] = _range(target and getattr(target, dimension))
        row[f"published {dimension}"] = (
            np.nan if published is None else getattr(published, dimension)
        )
    return row


def over_seeds(tables: Sequence[pd.DataFrame]) -> pd.DataFrame:
    """One table of several worlds that differ in the seed alone: PCC and frames are means, and
    columns "valence SD", "arousal SD" (nan for one world) and "seeds" are added."""
    table, count = tables[0].copy(), len(tables)
    table["frames"] = np.mean([one["frames"] for one in tables], axis=0).round().astype(int)
    table.insert(table.columns.get_loc("frames") + 1, "seeds", count)
    place = table.columns.get_loc(DIMENSIONS[-1])
    for offset, name in enumerate(DIMENSIONS, 1):
        values = np.stack([one[name].to_numpy(float) for one in tables])
        table[name] = values.mean(axis=0)
        spread = values.std(axis=0, ddof=1) if count > 1 else np.nan
        table.insert(place + offset, f"{name} SD", spread)
    return table


def _range(bounds: Range | None) -> str:
    if bounds is None:
        return ""
    low, high = bounds
    if high >= 1:
        return f"at least {low:.2f}"
    return f"{low:.2f}" if low == high else f"{low:.2f} to {high:.2f}"


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


def raters_over_seeds(worlds: Sequence[LabWorld]) -> pd.DataFrame:
    """`rater_agreement`, mean over worlds, with "alpha SD" and "PCC SD" (nan for one world)."""
    tables = pd.concat(rater_agreement(world) for world in worlds)
    grouped = tables.groupby("dimension", sort=False)
    spread = grouped[["alpha", "PCC"]].std().add_suffix(" SD")
    return grouped.mean().join(spread).reset_index().assign(seeds=len(worlds))


def raters_shown(raters: pd.DataFrame) -> Iterable[str]:
    """The agreement of raters as lines for a terminal."""
    yield "raters of the laboratory, medians: Cronbach's alpha (aim); PCC with the others' mean"
    for row in raters.to_dict("records"):
        alpha, pcc = (_figure(row, name) for name in ("alpha", "PCC"))
        yield f"{row['dimension']:36s} {alpha} ({row['aim']:.2f}); {pcc}"


def _figure(row: Mapping[str, Any], name: str) -> str:
    """A figure with its SD over worlds, where there are several."""
    if not np.isfinite(row[name]):
        return "–"
    spread = row[f"{name} SD"]
    return f"{row[name]:.2f}" + (f" ± {spread:.2f}" if np.isfinite(spread) else "")


def shown(table: pd.DataFrame) -> list[str]:
    """The table as lines for a terminal."""
    lines = [
        f"{'':36s} {'frames':>6s}   {'V':>11s} {'A':>11s}   {'target V':>13s} {'target A':>13s}   "
        f"{'published V/A'}"
    ]
    for row in table.to_dict("records"):
        pcc = [f"{_figure(row, d):>11s}" for d in DIMENSIONS]
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
    heads = ["method", "landmarks", "folds by", "frames", "seeds", "valence", "arousal",
             "target valence", "target arousal", "published as", "published valence",
             "published arousal"]  # fmt: skip
    yield "| " + " | ".join(heads) + " |"
    yield "|" + "---|" * len(heads)
    for row in table.to_dict("records"):
        known = [row[f"published {d}"] for d in DIMENSIONS]
        cells = [model_name(row["method"]), row["landmarks"], row["folds"], str(row["frames"])]
        cells += [str(row["seeds"]), *(_figure(row, d) for d in DIMENSIONS)]
        cells += [row[f"target {d}"] for d in DIMENSIONS] + [row["published"]]
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
