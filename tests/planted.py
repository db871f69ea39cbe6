"""Corpora as landmarks and labels alone: planned by the simulator, not drawn, so that truths can be
planted and models fitted in a second."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from vaaffect.corpora.corpus import hashed_subject
from vaaffect.corpora.crops import Crops
from vaaffect.corpora.problems import PROBLEM_COLUMNS
from vaaffect.simulator import landmarks_of
from vaaffect.simulator.laboratory import LabWorld, session_plan
from vaaffect.simulator.worlds import WildWorld, clip_plan

Change = Callable[[np.ndarray, np.ndarray], np.ndarray]  # (labels (2,), units) -> units


def wild(world: WildWorld, label: str = "wild", change: Change | None = None) -> Crops:
    """Films; `change` may alter what a face with some label shows."""
    rows, points = [], []
    for index in range(world.clips):
        plan = clip_plan(world, index)
        for t, scene in enumerate(plan.scenes):
            va = plan.labels[t] / 10
            units = plan.units[t] if change is None else change(va, plan.units[t])
            points.append(landmarks_of(plan.subject.identity, units, scene, world.size))
            rows.append((hashed_subject(plan.subject.actor), plan.clip, t, *va))
    return _crops(label, 10.0, rows, points)


def lab(world: LabWorld, label: str = "lab", every: int = 10) -> Crops:
    """The laboratory; labels are the true affect."""
    rows, points = [], []
    for index in range(world.sessions):
        plan = session_plan(world, index)
        who = hashed_subject(f"lab {plan.subject.number}")
        for t in range(0, len(plan.scenes), every):
            scene, units = plan.scenes[t], plan.units[t]
            points.append(landmarks_of(plan.subject.identity, units, scene, world.size))
            rows.append((who, str(plan.number), t, *plan.affect[t]))
    return _crops(label, 1.0, rows, points)


def deformed(label: str, nuisance: float, seed: int, subjects: int = 30, frames: int = 6) -> Crops:
    """Faces that deform by their affect, and by something else that looks half like it and varies
    by so much; laboratories hold such things still. All corpora deform alike."""
    laws = np.random.default_rng(0)
    face, valence, arousal, other = laws.normal(size=(4, 68, 2))
    other = 0.5 * (valence + arousal) + 0.7 * other
    rng = np.random.default_rng(seed)
    rows, points = [], []
    for subject in range(subjects):
        habit = 0.1 * rng.normal(size=(68, 2))
        for frame in range(frames):
            va, z = rng.normal(0, 0.3, 2).clip(-1, 1), nuisance * rng.normal()
            shown = 0.3 * (va[0] * valence + va[1] * arousal + z * other)
            points.append(face + habit + shown + 0.05 * rng.normal(size=(68, 2)))
            rows.append((f"{label} {seed} {subject}", f"{subject}", frame, *va))
    return _crops(label, 1.0, rows, points)


def _crops(label: str, scale: float, rows: list[tuple], points: list[np.ndarray]) -> Crops:
    frames = pd.DataFrame(rows, columns=["subject", "clip", "frame", "valence", "arousal"])
    frames = frames.assign(source="", source_index=0, time_s=0.0)
    nothing = np.zeros((len(frames), 1, 1, 3), np.uint8)
    problems = pd.DataFrame(columns=PROBLEM_COLUMNS)
    return Crops(label, scale, nothing, np.stack(points), frames, problems, f"{label} {Path()}")
