"""The data of a study, by name: what a notebook's DATA, WILD and LAB parameters mean.

There are two kinds of corpora, in the wild (AFEW-VA) and in the laboratory (SEMAINE). "simulated"
writes one with the simulator (once) and reads it with the loader of the real one; "real" reads the
licensed copy that an environment variable points to, by an absolute path or one from the project's
folder, and "real, 40 clips of 60 frames" takes a part of each (`take_part`). There is no fallback
between them. Each corpus is read once per process.
"""

import os
import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import LANDMARKS, ROOT, SIMULATED, UserError, files_state, report_step, stage
from ..simulator import (
    LabWorld,
    WildWorld,
    exact_landmarks,
    wild_truth,
    world_key,
    write_afew_va,
    write_semaine,
)
from .afew_va import load_afew_va
from .corpus import CORPUS_NAMES, DIMENSIONS, VARIABLES, Corpus
from .crops import Crops, build_crops
from .landmarks import landmark_corpus
from .semaine import EVERY, load_semaine

StepProgress = Callable[[str, int, int], None]  # (what is being done, done, in all)

_AFEW_VA = ("afew-va", WildWorld, write_afew_va, load_afew_va)
_SEMAINE = ("semaine", LabWorld, write_semaine, load_semaine)
_PART = re.compile(r"real, (\d+) clips of (\d+) frames")  # a value of DATA
# By kind, which in capitals is the notebooks' parameter with the fields of the world.
_SOURCES = {"wild": _AFEW_VA, "lab": _SEMAINE, "pretext": _AFEW_VA}
_READ: dict[tuple, Corpus] = {}  # what was read in this process, see `_once`
_MOST_READ = 8  # a study has three corpora, with and without landmarks


def wild_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus in the wild: AFEW-VA (`data` "real"), or one simulated from `world`, which has
    fields of simulator.WildWorld ("simulated").

    UserError: unknown `data` or `world` key, no path to the real corpus, an unusable corpus.
    """
    return _corpus("wild", data, world, progress)


def lab_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus of the laboratory: SEMAINE, or one simulated from fields of simulator.LabWorld.

    As `wild_corpus`, but dlib finds the landmarks; UserError where they are needed and it is not
    installed.
    """
    return _corpus("lab", data, world, progress)


def wild_crops(data: str, world: dict, size: int, whole_pictures: bool = False) -> Crops:
    """Crops of the corpus in the wild at `size` pixels, made once and kept; `whole_pictures` as of
    `build_crops`."""
    return _crops(wild_corpus(data, world), size, whole_pictures)


def landmarks_are_exact(data: str, world: dict) -> bool:
    """Whether the corpus in the wild has the landmarks that were drawn, which no photograph offers.
    AFEW-VA's were found by a tracker and corrected; a simulated `world` with a `landmark_error` has
    such ones."""
    return data == "simulated" and not world_of("wild", world).landmark_error


def drawn_landmarks(frames: pd.DataFrame, world: dict) -> np.ndarray:
    """The exact landmarks (N, 68, 2) float32 of frames (columns clip and frame) of the simulated
    corpus in the wild, in pixels of its pictures: for ceilings, and to measure errors.

    `world` has fields of simulator.WildWorld; UserError where the frames are of another one.
    """
    drawn = world_of("wild", world)
    truth, wanted = (
        pd.MultiIndex.from_frame(table[["clip", "frame"]]) for table in (wild_truth(drawn), frames)
    )
    rows = truth.get_indexer(wanted)
    if (rows < 0).any():
        clip, frame = wanted[int(np.argmin(rows))]
        raise UserError(
            f"WILD has no frame {frame} of clip {clip}; give the world of these frames."
        )
    return exact_landmarks(drawn)[rows]


def with_exact_landmarks(crops: Crops, world: dict) -> Crops:
    """Crops of the simulated corpus in the wild with its `drawn_landmarks`, in pixels of its
    pictures, for a ceiling: what the drawn faces show, and no method may use."""
    points = drawn_landmarks(crops.frames, world)
    return replace(crops, landmarks=points, key=f"{crops.key} exact landmarks")


def lab_crops(data: str, world: dict, size: int) -> Crops:
    """Crops of the laboratory corpus at `size` pixels, made once and kept."""
    return _crops(lab_corpus(data, world), size)


def pretext_crops(world: dict, size: int, whole_pictures: bool = False) -> Crops:
    """Crops at `size` pixels of subjects drawn for a pretext task alone, made once and kept; they
    live in a simulator.WildWorld with the fields `world`. `whole_pictures` as of `build_crops`."""
    return _crops(_corpus("pretext", "simulated", world, report_step), size, whole_pictures)


def prepare_data(parameters: dict, progress: StepProgress) -> dict[str, str]:
    """Make the data of a study before its first notebook; returns {name: fingerprint}. `parameters`
    are DATA, WILD, LAB, and PRETEXT where RECIPE asks for such weights."""
    corpora = [
        wild_corpus(parameters["DATA"], parameters["WILD"], progress),
        lab_corpus(parameters["DATA"], parameters["LAB"], progress),
    ]
    hashes = {corpus.label: corpus.fingerprint() for corpus in corpora}
    if parameters.get("RECIPE", {}).get("weights") == "pretext":
        corpus = _corpus("pretext", "simulated", parameters["PRETEXT"], progress)
        hashes["faces of the pretext task (simulated)"] = corpus.fingerprint()
    return hashes


@stage("data")
def _corpus(kind: str, data: str, fields: dict, progress: StepProgress) -> Corpus:
    corpus = read_corpus(kind, data, fields, progress)
    landmark_progress = partial(progress, f"landmarks of {CORPUS_NAMES[corpus.name]}")
    place = "landmarks", kind, corpus.root, data, files_state(corpus.root), LANDMARKS
    return _once(
        place, lambda: landmark_corpus(corpus, cache=LANDMARKS, progress=landmark_progress)
    )


def read_corpus(kind: str, data: str, fields: dict, progress: StepProgress = report_step) -> Corpus:
    """A corpus ("wild", "lab" or "pretext") as its loader reads it, without looking for landmarks;
    a simulated one is drawn first. UserError as of `wild_corpus`."""
    root = _root(kind, data, fields, progress)
    part = _PART.fullmatch(data)
    place = "read", kind, root, data, files_state(root)
    load = _SOURCES[kind][3]
    return _once(place, lambda: load(root) if part is None else _part_of(load(root), part))


def _part_of(corpus: Corpus, part: re.Match) -> Corpus:
    return take_part(corpus, *map(int, part.groups()))


def _once(place: tuple, make: Callable[[], Corpus]) -> Corpus:
    """What was made of a place in this process, unless a file there has changed: to look at sizes
    and times takes a fraction of a second, to read AFEW-VA or SEMAINE takes many."""
    if place not in _READ:
        corpus = make()
        while len(_READ) >= _MOST_READ:
            del _READ[next(iter(_READ))]
        _READ[place] = corpus
    return _READ[place].copy()


def _root(kind: str, data: str, fields: dict, progress: StepProgress) -> Path:
    """The folder of a corpus; a simulated one is drawn first."""
    key, _, write, _ = _SOURCES[kind]
    if data == "simulated":
        world = world_of(kind, fields)
        # Another version of the simulator draws into another folder.
        root = SIMULATED / f"{kind}-{world_key(world)[:8]}"
        write(root, world, progress=partial(progress, f"draw {CORPUS_NAMES[key]}"))
        return root
    if data != "real" and _PART.fullmatch(data) is None:
        raise UserError(
            f'DATA is {data!r}; use "simulated", "real", or "real, 40 clips of 60 frames".'
        )
    path = os.environ.get(VARIABLES[key])
    if not path:
        raise UserError(
            f"{VARIABLES[key]} is not set; set it to the folder of your {CORPUS_NAMES[key]} copy "
            "(data/README.md says how to obtain it), or use DATA simulated."
        )
    return ROOT / Path(path).expanduser()  # wherever a command or a kernel runs


def take_part(corpus: Corpus, clips: int, frames: int) -> Corpus:
    """So many clips of a corpus, and the first so many annotated frames of each.

    The clips are of as many subjects as possible: one of each subject, then a second one of each,
    and so on, in the order of their ids. UserError: not one clip or frame.
    """
    if not (clips and frames):
        raise UserError(f"DATA asks for {clips} clips of {frames} frames; use 1 or more of each.")
    table = corpus.frames[["subject", "clip"]].drop_duplicates().sort_values(["subject", "clip"])
    turn = table.groupby("subject").cumcount()
    chosen = table.assign(turn=turn).sort_values(["turn", "subject"])["clip"].iloc[:clips]
    is_first = corpus.frames.groupby("clip").cumcount() < frames
    rows = np.flatnonzero(corpus.frames["clip"].isin(chosen) & is_first)
    return replace(
        corpus,
        frames=corpus.frames.iloc[rows].reset_index(drop=True),
        landmarks=None if corpus.landmarks is None else corpus.landmarks[rows],
        part=f"{len(chosen)} clips",
    )


def sketch_corpus(kind: str, fields: dict) -> pd.DataFrame:
    """Which frames a simulated corpus will have, without drawing it: columns subject, clip, frame,
    valence and arousal, the labels all zero. UserError as of `world_of`."""
    world = world_of(kind, fields)
    every = EVERY if isinstance(world, LabWorld) else 1
    count = world.sessions if isinstance(world, LabWorld) else world.clips
    frames = [len(range(0, world.frame_count(clip), every)) for clip in range(count)]
    clips = np.repeat(np.arange(count), frames)
    subjects = np.array([world.subject_of(clip) for clip in range(count)])[clips]
    numbers = np.concatenate([np.arange(many) for many in frames])
    table = {"subject": subjects, "clip": clips, "frame": numbers}
    return pd.DataFrame(table | dict.fromkeys(DIMENSIONS, 0.0))


def corpus_name(kind: str) -> str:
    """The key in CORPUS_NAMES of a kind of corpus."""
    return _SOURCES[kind][0]


def world_of(kind: str, fields: dict) -> WildWorld | LabWorld:
    """The world of a kind ("wild", "lab" or "pretext") with these fields. UserError: unknown field,
    or an impossible world."""
    _, world, _, _ = _SOURCES[kind]
    known = world.__dataclass_fields__
    if unknown := sorted(set(fields) - set(known)):
        raise UserError(
            f"unknown {kind.upper()} key {unknown[0]!r}; such a world has: {', '.join(known)}."
        )
    return world(**fields)


@stage("crops")
def _crops(corpus: Corpus, size: int, whole_pictures: bool = False) -> Crops:
    what = "resize whole pictures" if whole_pictures else "crop faces"
    progress = partial(report_step, f"{what} of {CORPUS_NAMES[corpus.name]}")
    return build_crops(corpus, size, whole_pictures=whole_pictures, progress=progress)
