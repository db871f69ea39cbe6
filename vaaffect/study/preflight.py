"""What a study is about to do, need and take, and everything in it that cannot work, in seconds.

Nothing is drawn, decoded, cropped or trained for it. Corpora are read as their loaders read them;
of simulated ones the worlds' numbers tell how large they will be.
"""

import os
import shutil
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from ..base import UserError, at_once, paths, printable, shown
from . import workload
from .folders import checked_report_folder
from .profiles import load_profile
from .sizes import BASELINE_FIT, PREDICTION_ROW_ON_DISK, PREDICTION_ROW_PEAK, crops_on_disk
from .steps import Step, all_parameters, read_steps
from .trainings import how_to_train, weights_files

if TYPE_CHECKING:  # torch takes seconds, and a mistake in a profile is told at once
    from ..corpora import Corpus
    from ..training import How, Recipe, Training

KINDS = {"wild": "WILD", "lab": "LAB"}  # of corpora, and the parameter with the simulated world
LONG = 1000  # seconds of trainings, beyond which it is worth measuring how long they take here
GB = 1e9


@dataclass
class Preflight:
    """A table of what was looked at, and what cannot work."""

    rows: list[tuple[str, str]] = field(default_factory=list)  # what, and what is said of it
    refusals: list[str] = field(default_factory=list)  # a sentence each, with file and cure
    downloads: list[str] = field(default_factory=list)  # networks whose weights are fetched
    seconds: float | None = None  # that trainings take, at the caps, where it was measured

    def lines(self) -> list[str]:
        """The table, a line per row."""
        width = max((len(name) for name, _ in self.rows), default=0)
        return [f"  {name:<{width}}  {said}" for name, said in self.rows]

    def refuse(self) -> None:
        """UserError where something cannot work; it names everything that cannot."""
        if len(self.refusals) == 1:
            raise UserError(self.refusals[0])
        if self.refusals:
            said = "\n".join(f"- {one}" for one in self.refusals)
            raise UserError(f"{len(self.refusals)} things must be put right first:\n{said}")

    def tried(self, function: Callable, *arguments: Any) -> Any:
        """What a function returns; None where it refuses, which is noted."""
        try:
            return function(*arguments)
        except UserError as error:
            if str(error) not in self.refusals:
                self.refusals.append(str(error))
            return None


def check_study(name: str, changes: Sequence[str] = (), out: Path | None = None) -> Preflight:
    """Look at a study as `run_study` would begin it; UserError where its profile cannot be read."""
    profile = load_profile(name, paths.NOTEBOOKS, changes)
    folder = checked_report_folder(out, profile.name)
    runs = paths.study_runs_folder(profile.name, folder)
    how, _ = how_to_train(None)
    steps = read_steps(profile, shown(folder))
    return look(steps, steps, runs, folder, how, measure=True)


def look(
    steps: Sequence[Step], training: Sequence[Step], runs: Path, folder: Path, how: "How",
    measure: bool,
) -> Preflight:  # fmt: skip
    """Look at everything that a study of these steps needs.

    Args:
        steps: its notebooks.
        training: those of them whose trainings are to be done.
        runs, folder: where trainings and the report go.
        how: trainings are done.
        measure: whether this machine's speed is measured, which takes some ten seconds.
    """
    found, union = Preflight(), all_parameters(steps)
    notebooks = [step.parameters for step in training if "RECIPE" in step.parameters]
    _look_at_parameters(found, union)
    frames = {}
    for kind, name in KINDS.items():
        if name in union:
            frames[kind] = found.tried(_look_at_corpus, found, union, kind)
    if "FOLDS" in union:
        for kind, table in frames.items():
            if table is not None:
                found.tried(_look_at_folds, found, union, kind, table[1])
    _look_at_dlib(found, union, frames)
    loads: list[workload.Load] = []
    # What is refused so far keeps the trainings from being listed.
    if notebooks and not found.refusals and len(frames) == len(KINDS):
        crops = {
            kind: workload.without_pixels(label, table, union["SIZE"])
            for kind, (label, table, _) in frames.items()
        }
        # As one notebook: each would cut the same folds again.
        together = all_parameters([step for step in training if "RECIPE" in step.parameters])
        trainings = found.tried(workload.listed, [together], crops)
        if trainings is not None:
            for training in workload.smallest(trainings):
                found.tried(_check_training, training)
            loads = workload.counted(trainings, runs)
            _look_at_room(found, union, crops, trainings, runs, folder, how)
    if notebooks:
        _look_at_weights(found, union, loads)
    if not found.refusals:
        for label, sha256 in weights_files(notebooks).items():
            found.rows.append(("file of weights", f"{label}: SHA-256 {sha256[:8]}…"))
    _look_at_trainings(found, loads, union.get("SIZE", 0), how, measure and not found.refusals)
    return found


def _look_at_parameters(found: Preflight, union: Mapping[str, Any]) -> None:
    from ..classical import check_names
    from ..training import NETWORK_NAMES, parameter_faults

    found.refusals += parameter_faults(union)
    for name in union.get("BASELINES", ()):
        if name not in NETWORK_NAMES:
            found.tried(check_names, [name])
    if not [name for name in union.get("BASELINES", ["-"]) if name not in NETWORK_NAMES]:
        found.tried(check_names, [])


def _look_at_corpus(
    found: Preflight, union: Mapping[str, Any], kind: str
) -> "tuple[str, pd.DataFrame, Corpus | None]":
    """(label, frames, corpus or None where it is simulated)."""
    from ..corpora import CORPUS_NAMES, data, fold_warnings, losses

    if union["DATA"] == "simulated":
        frames = data.sketch_corpus(kind, union[KINDS[kind]])
        name = CORPUS_NAMES[data.corpus_name(kind)]
        label, corpus, said = f"{name} (simulated)", None, "drawn by the simulator"
    else:
        corpus = data.read_corpus(kind, union["DATA"], {})
        frames, label, name = corpus.frames, corpus.label, CORPUS_NAMES[corpus.name]
        root = printable(corpus.root)
        said = f"{root}, lost: {losses(corpus.problems)} (python -m vaaffect check says why)"
    counts = f"{frames['clip'].nunique()} clips, {len(frames)} frames, "
    counts += f"{frames['subject'].nunique()} subjects"
    found.rows.append((label, f"{counts}; {said}"))
    found.rows += [(label, warning) for warning in fold_warnings(frames, union["FOLDS"])]
    return label, frames, corpus


def _look_at_folds(
    found: Preflight, union: Mapping[str, Any], kind: str, frames: pd.DataFrame
) -> None:
    from ..corpora import CORPUS_NAMES, data, subject_folds

    name = CORPUS_NAMES[data.corpus_name(kind)]
    try:
        splits = subject_folds(frames, union["FOLDS"], seed=union.get("FOLD_SEED", 0))
    except UserError as error:
        raise UserError(f"{name}: {error}") from error
    tested = [frames["subject"].iloc[split.test].nunique() for split in splits]
    spread = f"{min(tested)} to {max(tested)}" if len(set(tested)) > 1 else f"{tested[0]}"
    found.rows.append((f"folds of {name}", f"{len(splits)}, {spread} test subjects each"))


def _look_at_dlib(
    found: Preflight, union: Mapping[str, Any], frames: Mapping[str, tuple | None]
) -> None:
    from ..corpora import dlib_model, landmarks_are_kept

    lab = frames.get("lab")
    if lab is None:
        return
    _, table, corpus = lab
    kept = landmarks_are_kept(corpus) if corpus is not None else any(paths.LANDMARKS.glob("*-*"))
    by_camera = union.get("LANDMARKS") == "dlib"
    try:
        dlib_model()
        said = "installed"
    except UserError as error:
        said = str(error).rstrip(".")
        if not kept:
            found.refusals.append(
                f"{lab[0]} has no landmarks, and {said}; or copy data/landmarks from a machine on "
                "which they were found."
            )
        if by_camera:
            found.refusals.append(
                f"Notebook 06 finds landmarks with dlib, and {said}; or use --set LANDMARKS=exact."
            )
    todo = "kept" if corpus is not None and kept else f"to be found in {len(table)} frames"
    found.rows.append(("dlib", f"{said}; landmarks of {lab[0]}: {todo}"))


def _look_at_weights(
    found: Preflight, union: Mapping[str, Any], loads: Sequence[workload.Load]
) -> None:
    """ImageNet's weights of the networks that are still to be trained; of all of the study, where
    trainings could not be counted."""
    from ..training import can_be_fetched, imagenet_fault, imagenet_file, imagenet_networks

    todo = {load.model for load in loads if load.finished < load.trainings}
    needed = imagenet_networks(union, todo if loads else None)
    faults = {model: fault for model in needed if (fault := imagenet_fault(model))}
    # One address tells whether there is a network.
    online = bool(faults) and can_be_fetched(imagenet_file(next(iter(faults)))[0])
    for model in needed:
        url, path = imagenet_file(model)
        said = str(path)
        if model in faults:
            said = f"to be downloaded from {url}" if online else f"missing or damaged: {path}"
        found.rows.append((f"ImageNet, {model}", said))
    if online:
        found.downloads += faults
        return
    cure = "; or start from random weights with --set RECIPE.weights=none."
    found.refusals += [fault.rstrip(".") + cure for fault in faults.values()]


def _look_at_room(
    found: Preflight, union: Mapping[str, Any], crops: Mapping[str, Any],
    trainings: "Sequence[Training]", runs: Path, folder: Path, how: "How",
) -> None:  # fmt: skip
    """Disk, memory and the GPU."""
    from ..classical import MOST_ROWS
    from ..training import Plan

    frames = sum(len(one.frames) for one in crops.values())
    sides = {union["SIZE"], union.get("SHOWN", union["SIZE"])}
    of_crops = sum(crops_on_disk(frames, side) for side in sides)
    if any(changes.get("whole_pictures") for changes in union.get("COMPONENTS", {}).values()):
        of_crops += crops_on_disk(len(crops["wild"].frames), union["SIZE"])
    weights = {model: _bytes_of(model, recipe, union["SIZE"])
               for model, recipe in {t.model: t.recipe for t in trainings}.items()}  # fmt: skip
    kept = sum(weights[t.model] for t in trainings if t.keep_model)
    # A checkpoint holds the weights, the best ones, and what the optimizer remembers (AdamW: two).
    checkpoints = 4 * how.jobs * max(weights.values())
    tested = [len(t.split.test) + sum(len(o.frames) for o in t.other_corpora) for t in trainings]
    rows = sum(tested)
    on_disk = {
        paths.CROPS: of_crops,
        runs: kept + checkpoints + PREDICTION_ROW_ON_DISK * rows,
        folder: 0.1 * GB,
    }
    _compare_with_disk(found, on_disk)

    plan = Plan.from_parameters({**union, "CROPS": crops})
    of_baselines = len(plan.classical) * 2 * sum(len(one.frames) for one in crops.values())
    rows_05 = sum(n for n, t in zip(tested, trainings, strict=True) if t.other_corpora)
    fitted = at_once(2) if plan.classical else 0  # at a time, 2 GiB each
    peaks = {
        "notebook 05": PREDICTION_ROW_PEAK * (rows_05 + of_baselines),
        "baselines": fitted * BASELINE_FIT * min(1.0, frames / MOST_ROWS) ** 2,
        "trainings": (how.jobs if not how.cluster else 0) * max(weights.values()) * 4,
    }
    largest = max(peaks, key=peaks.get)
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    said = f"about {max(1, peaks[largest] / GB):.0f} GB at most ({largest})"
    found.rows.append(("memory", f"{said}; this machine has {memory / GB:.0f} GB"))
    if peaks[largest] > memory:
        found.rows.append(("memory", f"{largest} may not fit; use --jobs, or a larger machine"))
    found.rows.append(("GPU", _gpu()))


def _check_training(training: "Training") -> None:
    try:
        training.check()
    except UserError as error:
        raise UserError(f"{training.model}: {error}") from error


def _bytes_of(model: str, recipe: "Recipe", size: int) -> int:
    import torch

    from ..training import build_model

    weights = "imagenet" if recipe.weights == "imagenet" else None
    with torch.device("meta"):
        network = build_model(model, weights, size, load=False)
    return sum(4 * value.numel() for value in network.state_dict().values())


def _compare_with_disk(found: Preflight, on_disk: Mapping[Path, float]) -> None:
    """A row for each disk, and a refusal where it is too small."""
    needed: dict[int, float] = {}
    places: dict[int, Path] = {}
    for folder, size in on_disk.items():
        present = next(p for p in (folder, *folder.parents) if p.exists())
        disk = present.stat().st_dev
        needed[disk] = needed.get(disk, 0.0) + size
        places.setdefault(disk, present)
    crops = on_disk[paths.CROPS]
    there = sum(p.stat().st_size for p in paths.CROPS.glob("*/images.npy"))
    for disk, size in needed.items():
        free = shutil.disk_usage(places[disk]).free
        said = f"{shown(places[disk])}: {size / GB:.1f} GB, {free / GB:.0f} GB are free"
        if places[disk].is_relative_to(paths.DATA.parent) and there:
            said += f"; {there / GB:.1f} GB of crops, of whatever study, are there already"
        found.rows.append(("disk", f"{said} (crops {crops / GB:.1f} GB)"))
        if size - there > free:
            found.refusals.append(
                f"{places[disk]}: {size / GB:.1f} GB are needed and {free / GB:.1f} GB are free; "
                "free some space, or use a smaller SIZE."
            )


def _gpu() -> str:
    import torch

    if not torch.cuda.is_available():
        return "none; trainings run on the CPU"
    each = [torch.cuda.get_device_properties(n) for n in range(torch.cuda.device_count())]
    return ", ".join(f"{one.name} with {one.total_memory / GB:.0f} GB" for one in each)


def _look_at_trainings(
    found: Preflight, loads: Sequence[workload.Load], size: int, how: "How", measure: bool
) -> None:
    for model in dict.fromkeys(load.model for load in loads):
        of_model = [load for load in loads if load.model == model]
        number, done = sum(one.trainings for one in of_model), sum(one.finished for one in of_model)
        said = f"{number} trainings"
        said += f", {done} of them finished" if done else ""
        if done < number:
            pictures = sum(load.pictures for load in of_model)
            said += f"; {pictures:,} training pictures at most (at the caps)"
        found.rows.append((model, said))
    if not measure or how.cluster or not loads:
        return
    seconds = workload.estimated(list(loads), size, how)
    if isinstance(seconds, str):
        found.rows.append(("time", f"could not be measured: {seconds}"))
        return
    found.seconds = seconds
    hours = f"{seconds / 3600:.1f} hours" if seconds > 5400 else f"{seconds / 60:.0f} minutes"
    at_once = f", {how.jobs} at a time" if how.jobs > 1 else ""
    found.rows.append((
        "time",
        f"trainings{at_once}: {hours} at most, at the caps, from {workload.SECONDS:g} seconds of "
        "measuring here; a rule that stops a training may end it sooner",
    ))  # fmt: skip
