"""Every trained network of a study on pairs of photographs of the same person.

Faces are found and cropped as `python -m vaaffect predict` does it, once for all networks. Each
network predicts for all crops in a batch, as in the test of its training; a batch adds up in
another order than single pictures, so the last bits differ from those of `predict`. What the
predictions say is in `results.smiles`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
import torch

from ..base import UserError, digest, refuse_to_overwrite, sha256_of, stage
from ..classical import CONSTANT
from ..corpora import DIMENSIONS, PROBLEM_COLUMNS, FacesTracker, crop_face, read_image
from ..report import smile_report, tables
from ..results import (
    EXPRESSIONS,
    SMILE_COLUMNS,
    Bootstrap,
    SmileResults,
    smile_effects,
    smile_gaps,
)
from ..training import read_config
from .photographs import PhotoPairs
from .predictor import Predictor, Tracker

NO_FACE = "no face found"  # the reason in a list of problems
# What differs between the trainings of one network and recipe.
_OF_ONE_TRAINING = ("fold", "split", "seed")


@dataclass(frozen=True)
class Measured:
    """What the networks predict for the people of whom both faces were found."""

    pairs: PhotoPairs  # these people; among the problems, pictures without a face
    predictions: pd.DataFrame  # SMILE_COLUMNS, a row per training and person; the constant's first
    starts: dict[tuple[str, str, str], str]  # (train_corpus, model, recipe): "pretext", "none", ...
    runs: list[Path]  # what was measured


def choose_runs(runs: Sequence[Path]) -> list[Path]:
    """The runs of a folder that belong together: of a network and recipe on a corpus those of its
    newest version (code, crops, other settings), on folds by subject."""
    versions: dict[tuple, dict[str, list[Path]]] = {}
    newest: dict[str, int] = {}
    for run in runs:
        config = read_config(run)
        if config["by"] != "subject":  # trained on leaking folds
            continue
        network = config["data"], config["model"], config["recipe"]["name"]
        shared = {key: value for key, value in config.items() if key not in _OF_ONE_TRAINING}
        version = digest(shared)
        versions.setdefault(network, {}).setdefault(version, []).append(run)
        made = (run / "done.json").stat().st_mtime_ns
        newest[version] = max(made, newest.get(version, 0))
    return [run for found in versions.values() for run in found[max(found, key=newest.get)]]


@stage("photographs of people")
def measure(
    pairs: PhotoPairs,
    runs: Sequence[Path],
    *,
    tracker: Tracker | None = None,
    device: torch.device | str | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Measured:
    """Predict for both photographs of each person with the network of every run.

    Args:
        pairs: as of `load_people`.
        runs: run folders that kept a network of pictures, each training once.
        tracker: finds the face; dlib by default. Of several faces the largest is taken.
        device: that networks compute on; a GPU if there is one.
        progress: called with (steps done, steps in all): a step is a picture or a network.

    A picture that cannot be read, or shows no face, takes its person out and is listed among the
    problems. UserError: a run without a model or of a network that reads clips, or dlib is missing.
    """
    configs = {run: read_config(run) for run in runs}
    sizes = sorted({config["image_size"] for config in configs.values()})
    total = len(EXPRESSIONS) * len(pairs.people) + len(configs)
    done = 0

    def step() -> None:
        nonlocal done
        done += 1
        if progress is not None:
            progress(done, total)

    tracker = FacesTracker(thorough=True) if tracker is None else tracker  # as for single images
    problems, kept = [], []
    crops: dict[int, list[list[np.ndarray]]] = {size: [] for size in sizes}
    for row, person in enumerate(pairs.people.to_dict("records")):
        of_person = []
        for expression in EXPRESSIONS:
            cut, reason = _crops(pairs.root / person[expression], sizes, tracker)
            if cut is None:
                problems.append((person[expression], reason, "picture"))
            else:
                of_person.append(cut)
            step()
        if len(of_person) == len(EXPRESSIONS):
            kept.append(row)
            for size, images in zip(sizes, zip(*of_person, strict=True), strict=True):
                crops[size].append(list(images))
    people = pairs.people.iloc[kept].reset_index(drop=True)
    listed = pd.concat([pairs.problems, pd.DataFrame(problems, columns=PROBLEM_COLUMNS)])
    pairs = replace(pairs, people=people, problems=listed.reset_index(drop=True))
    if people.empty:
        first = ": ".join(pairs.problems.iloc[-1][["path", "reason"]])
        raise UserError(f"{pairs.root}: not one person has a face in both photographs; {first}.")

    tables, starts = [_table("none", CONSTANT, CONSTANT, 0, 0, people, _zeros(len(people)))], {}
    for run, config in configs.items():
        recipe = config["recipe"]
        predictor = Predictor.from_run(run, device=device)
        network = config["data"], config["model"], recipe["name"]
        images = np.stack([image for pair in crops[config["image_size"]] for image in pair])
        va = predictor.network(images).astype(np.float64)
        va = va.reshape(len(people), len(EXPRESSIONS), len(DIMENSIONS))
        tables.append(_table(*network, config["fold"], config["seed"], people, va))
        starts[network] = recipe["weights"]
        step()
    return Measured(pairs, pd.concat(tables, ignore_index=True), starts, list(configs))


def networks_of(measured: Measured) -> list[dict]:
    """What was measured, for a manifest: run, network, and the SHA-256 of its weights."""
    return [{"run": run.name, "weights": sha256_of(run / "model.pt")} for run in measured.runs]


def _zeros(people: int) -> np.ndarray:
    """What a constant predicts: it is about differences, so any constant will do."""
    return np.zeros((people, len(EXPRESSIONS), len(DIMENSIONS)))


def _crops(
    path: Path, sizes: Sequence[int], tracker: Tracker
) -> tuple[list[np.ndarray] | None, str | None]:
    """The largest face of a picture, (size, size, 3) uint8 RGB for each size; or why there is none.

    These are the steps of `Predictor.__call__`.
    """
    picture, reason = read_image(path)
    if picture is None:
        return None, reason
    tracker.reset()
    faces = tracker(picture)
    if not faces:
        return None, NO_FACE
    _, points = faces[0]
    try:
        return [crop_face(picture, points, size)[0] for size in sizes], None
    except ValueError as error:  # the points lie outside the picture
        return None, str(error)


def _table(
    train_corpus: str, model: str, recipe: str, fold: int, seed: int, people: pd.DataFrame,
    va: np.ndarray,
) -> pd.DataFrame:  # fmt: skip
    """The predictions of one training, va (people, expressions, dimensions), as SMILE_COLUMNS."""
    table = pd.DataFrame({"person": people["person"]})
    for i, dimension in enumerate(DIMENSIONS):
        for j, expression in enumerate(EXPRESSIONS):
            table[f"{dimension}_{expression}"] = va[:, j, i]
    same = {"train_corpus": train_corpus, "model": model, "recipe": recipe, "fold": fold}
    return table.assign(**same, seed=seed)[SMILE_COLUMNS]


def smile_results(measured: Measured, bootstrap: Bootstrap) -> SmileResults:
    """What the report needs: effects with intervals, and counts of what was left out."""
    pairs, predictions = measured.pairs, measured.predictions
    effects, gaps = (
        function(predictions, pairs.people, bootstrap=bootstrap)
        for function in (smile_effects, smile_gaps)
    )
    trainings = smile_effects(predictions, pairs.people, single=True, bootstrap=bootstrap)
    reasons = pairs.problems["reason"].value_counts().sort_index().to_dict()
    return SmileResults(
        pairs.label, pairs.citation, pairs.simulated, len(pairs.people), reasons, effects,
        trainings, gaps, measured.starts,
    )  # fmt: skip


def report_on(
    pairs: PhotoPairs, runs: Sequence[Path], out: Path,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[pd.DataFrame, str]:  # fmt: skip
    """Measure as `measure` does, and write tables, a figure and a page into the folder `out`.

    Returns what was left out, PROBLEM_COLUMNS, and what was found, in Markdown. UserError, besides
    those of `measure`: in the folder are files of the same names that no earlier call wrote, some
    of the photographs' or the runs' for example.
    """
    pictures = [pairs.root / name for name in pairs.people[[*EXPRESSIONS]].to_numpy().ravel()]
    others = [path for folder in (pairs.root, *runs) for path in folder.iterdir()]
    refuse_to_overwrite(
        [*pictures, *others], smile_report.page_files(out), lambda _: smile_report.is_page(out)
    )
    measured = measure(pairs, runs, progress=progress)
    results = smile_results(measured, Bootstrap())
    smile_report.write_page(results, out, networks_of(measured), measured.pairs.fingerprint())
    table = tables.to_markdown(smile_report.smile_table(results))
    text = "\n\n".join((smile_report.words(results), table, smile_report.findings(results)))
    return measured.pairs.problems, text
