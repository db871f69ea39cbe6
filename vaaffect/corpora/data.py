"""The data of a study, by name: what a notebook's DATA, WILD and LAB parameters mean.

There are two kinds of corpora, in the wild (AFEW-VA) and in the laboratory (SEMAINE). "simulated"
writes one with the simulator (once) and reads it with the loader of the real one; "real" reads the
licensed copy that an environment variable points to. There is no fallback between them.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from ..base import LANDMARKS, SIMULATED, UserError, report_step
from ..simulator import LabWorld, WildWorld, recordings, write_afew_va, write_semaine, writers
from . import afew_va, semaine
from .corpus import CORPUS_NAMES, Corpus
from .crops import Crops, build_crops
from .landmarks import landmark_corpus

StepProgress = Callable[[str, int, int], None]  # (what is being done, done, in all)


@dataclass(frozen=True)
class _Kind:
    """How one kind of corpus is read, and how it is simulated."""

    name: str  # key of corpus.NAMES
    parameter: str  # the notebooks' parameter with the fields of `world`
    variable: str  # the environment variable of the licensed copy
    load: Callable[[Path], Corpus]
    world: type
    write: Callable[..., dict]
    version: int  # of what `write` writes


_WILD = _Kind(
    "afew-va",
    "WILD",
    afew_va.VARIABLE,
    afew_va.load_afew_va,
    WildWorld,
    write_afew_va,
    writers.VERSION,
)
_PRETEXT = replace(_WILD, parameter="PRETEXT")
_LAB = _Kind(
    "semaine",
    "LAB",
    semaine.VARIABLE,
    semaine.load_semaine,
    LabWorld,
    write_semaine,
    recordings.VERSION,
)


def wild_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus in the wild: AFEW-VA, or a simulated one.

    Args:
        data: "simulated" or "real".
        world: fields of simulator.worlds.WildWorld; used when simulated.
        progress: called while simulating.

    Raises:
        UserError: unknown `data` or `world` key, no path to the real corpus, an unusable corpus.
    """
    return _corpus(_WILD, data, world, progress)


def lab_corpus(data: str, world: dict, progress: StepProgress = report_step) -> Corpus:
    """The corpus of the laboratory: SEMAINE, or a simulated one; landmarks found by dlib.

    Args:
        data: "simulated" or "real".
        world: fields of simulator.laboratory.LabWorld; used when simulated.
        progress: called while simulating and while landmarks are found.

    Raises:
        UserError: as `wild_corpus`; or landmarks are needed and dlib is not installed.
    """
    return _corpus(_LAB, data, world, progress)


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
    return _crops(_corpus(_PRETEXT, "simulated", world, report_step), size)


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
        corpus = _corpus(_PRETEXT, "simulated", parameters["PRETEXT"], progress)
        hashes["faces of the pretext task (simulated)"] = corpus.fingerprint()
    return hashes


def _corpus(kind: _Kind, data: str, world: dict, progress: StepProgress) -> Corpus:
    name = CORPUS_NAMES[kind.name]
    if data == "real":
        path = os.environ.get(kind.variable)
        if not path:
            raise UserError(
                f"{kind.variable} is not set; set it to the folder of your {name} copy "
                "(data/README.md says how to obtain it), or use DATA simulated."
            )
        root = Path(path).expanduser()
    elif data == "simulated":
        root = _simulated(kind, world, lambda done, total: progress(f"draw {name}", done, total))
    else:
        raise UserError(f'DATA is {data!r}; use "simulated" or "real".')
    corpus = kind.load(root)
    return landmark_corpus(
        corpus,
        cache=LANDMARKS,
        progress=lambda done, total: progress(f"landmarks of {name}", done, total),
    )


def _simulated(kind: _Kind, world: dict, progress: Callable[[int, int], None]) -> Path:
    unknown = set(world) - set(kind.world.__dataclass_fields__)
    if unknown:
        known = ", ".join(kind.world.__dataclass_fields__)
        raise UserError(
            f"unknown {kind.parameter} key {sorted(unknown)[0]!r}; such a world has: {known}."
        )
    chosen = kind.world(**world)
    # Another version of the simulator draws into another folder.
    world = json.dumps(asdict(chosen) | {"version": kind.version}, sort_keys=True)
    digest = hashlib.sha256(world.encode()).hexdigest()[:8]
    root = SIMULATED / f"{kind.parameter.lower()}-{digest}"
    kind.write(root, chosen, progress=progress)
    return root


def _crops(corpus: Corpus, size: int) -> Crops:
    what = f"crop faces of {CORPUS_NAMES[corpus.name]}"
    return build_crops(corpus, size, progress=lambda done, total: report_step(what, done, total))
