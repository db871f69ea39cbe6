"""The data of a study, by name: what a notebook's DATA, WILD and LAB parameters mean.

There are two kinds of corpora, in the wild (AFEW-VA) and in the laboratory (SEMAINE). "simulated"
writes one with the simulator (once) and reads it with the loader of the real one; "real" reads the
licensed copy that an environment variable points to. There is no fallback between them.
"""

import os
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from ..base import LANDMARKS, SIMULATED, UserError, report_step
from ..simulator import LabWorld, WildWorld, write_afew_va, write_semaine
from ..simulator import world_key as key_of_world
from . import afew_va, semaine
from .corpus import CORPUS_NAMES, Corpus
from .crops import Crops, build_crops
from .landmarks import landmark_corpus

StepProgress = Callable[[str, int, int], None]  # (what is being done, done, in all)


@dataclass(frozen=True)
class _Source:
    """How one kind of corpus is read, and how it is simulated."""

    name: str  # key of CORPUS_NAMES
    variable: str  # the environment variable of the licensed copy
    load: Callable[[Path], Corpus]
    world: type
    write: Callable[..., dict]


_AFEW_VA = _Source("afew-va", afew_va.VARIABLE, afew_va.load_afew_va, WildWorld, write_afew_va)
_SEMAINE = _Source("semaine", semaine.VARIABLE, semaine.load_semaine, LabWorld, write_semaine)
# By kind, which in capitals is the notebooks' parameter with the fields of the world.
_SOURCES = {"wild": _AFEW_VA, "lab": _SEMAINE, "pretext": _AFEW_VA}


def world_key(kind: str, world: dict) -> str:
    """What identifies a simulated corpus, without drawing it: the same on every machine.

    Another world has another key, and so has the same one drawn by other code.

    Args:
        kind: "wild", "lab" or "pretext".
        world: fields of simulator.WildWorld, for "lab" of simulator.LabWorld.

    Raises:
        UserError: an unknown field, or an impossible world.
    """
    return key_of_world(_world(kind, world))


def wild_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus in the wild: AFEW-VA, or a simulated one.

    Args:
        data: "simulated" or "real".
        world: fields of simulator.worlds.WildWorld; used when simulated.
        progress: called while simulating.

    Raises:
        UserError: unknown `data` or `world` key, no path to the real corpus, an unusable corpus.
    """
    return _corpus("wild", data, world, progress)


def lab_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus of the laboratory: SEMAINE, or a simulated one; landmarks found by dlib.

    Args:
        data: "simulated" or "real".
        world: fields of simulator.laboratory.LabWorld; used when simulated.
        progress: called while simulating and while landmarks are found.

    Raises:
        UserError: as `wild_corpus`; or landmarks are needed and dlib is not installed.
    """
    return _corpus("lab", data, world, progress)


def wild_crops(data: str, world: dict, size: int) -> Crops:
    """Crops of the corpus in the wild at `size` pixels, made once and kept."""
    return _crops(wild_corpus(data, world), size)


def lab_crops(data: str, world: dict, size: int) -> Crops:
    """Crops of the laboratory corpus at `size` pixels, made once and kept."""
    return _crops(lab_corpus(data, world), size)


def pretext_crops(world: dict, size: int) -> Crops:
    """Crops of people drawn for a pretext task alone, see `pretext.py`; made once and kept.

    Args:
        world: fields of simulator.worlds.WildWorld.
        size: side of the crops in pixels.
    """
    return _crops(_corpus("pretext", "simulated", world, report_step), size)


def prepare_data(parameters: dict, progress: StepProgress) -> dict[str, str]:
    """Make the data of a study before its first notebook; returns {name: fingerprint}.

    Args:
        parameters: DATA, WILD, LAB, and PRETEXT where RECIPE asks for such weights.
        progress: called while simulating and while landmarks are found.
    """
    corpora = [
        wild_corpus(parameters["DATA"], parameters["WILD"], progress),
        lab_corpus(parameters["DATA"], parameters["LAB"], progress),
    ]
    hashes = {corpus.label: corpus.fingerprint() for corpus in corpora}
    if parameters.get("RECIPE", {}).get("weights") == "pretext":
        corpus = _corpus("pretext", "simulated", parameters["PRETEXT"], progress)
        hashes["faces of the pretext task (simulated)"] = corpus.fingerprint()
    return hashes


def _corpus(kind: str, data: str, world: dict, progress: StepProgress) -> Corpus:
    source = _SOURCES[kind]
    name = CORPUS_NAMES[source.name]
    if data == "real":
        path = os.environ.get(source.variable)
        if not path:
            raise UserError(
                f"{source.variable} is not set; set it to the folder of your {name} copy "
                "(data/README.md says how to obtain it), or use DATA simulated."
            )
        root = Path(path).expanduser()
    elif data == "simulated":
        drawn = _world(kind, world)
        # Another version of the simulator draws into another folder.
        root = SIMULATED / f"{kind}-{key_of_world(drawn)[:8]}"
        source.write(root, drawn, progress=partial(progress, f"draw {name}"))
    else:
        raise UserError(f'DATA is {data!r}; use "simulated" or "real".')
    found = partial(progress, f"landmarks of {name}")
    return landmark_corpus(source.load(root), cache=LANDMARKS, progress=found)


def _world(kind: str, world: dict) -> WildWorld | LabWorld:
    """The world with these fields."""
    fields = _SOURCES[kind].world.__dataclass_fields__
    if unknown := sorted(set(world) - set(fields)):
        raise UserError(
            f"unknown {kind.upper()} key {unknown[0]!r}; such a world has: {', '.join(fields)}."
        )
    return _SOURCES[kind].world(**world)


def _crops(corpus: Corpus, size: int) -> Crops:
    progress = partial(report_step, f"crop faces of {CORPUS_NAMES[corpus.name]}")
    return build_crops(corpus, size, progress=progress)
