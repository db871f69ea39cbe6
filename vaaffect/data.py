"""The data of a study, by name: what a notebook's DATA and WORLD parameters mean.

"simulated" writes a corpus with the simulator (once) and reads it with the loader of the real one;
"real" reads the licensed copy that VAAFFECT_AFEW_VA points to. There is no fallback between them.
"""

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path

from .afew_va import load_afew_va
from .corpus import Corpus
from .crops import Crops, build_crops
from .errors import UserError
from .paths import SIMULATED
from .progress import report_step
from .simulator.worlds import WildWorld
from .simulator.writers import write_afew_va

AFEW_VA_VARIABLE = "VAAFFECT_AFEW_VA"


def wild_corpus(
    data: str, world: dict, progress: Callable[[int, int], None] | None = None
) -> Corpus:
    """The in-the-wild corpus.

    Args:
        data: "simulated" or "real".
        world: fields of simulator.worlds.WildWorld; used when simulated.
        progress: called with (frames written, frames in all) while simulating.

    Raises:
        UserError: unknown `data` or `world` key, no path to the real corpus, an unusable corpus.
    """
    if data == "real":
        path = os.environ.get(AFEW_VA_VARIABLE)
        if not path:
            raise UserError(
                f"{AFEW_VA_VARIABLE} is not set; set it to the folder of your AFEW-VA copy "
                "(data/README.md says how to obtain it), or use DATA simulated."
            )
        return load_afew_va(Path(path).expanduser())
    if data != "simulated":
        raise UserError(f'DATA is {data!r}; use "simulated" or "real".')
    unknown = set(world) - set(WildWorld.__dataclass_fields__)
    if unknown:
        known = ", ".join(WildWorld.__dataclass_fields__)
        raise UserError(f"unknown WORLD key {sorted(unknown)[0]!r}; a world has: {known}.")
    fields = {k: tuple(v) if isinstance(v, list) else v for k, v in world.items()}
    chosen = WildWorld(**fields)
    digest = hashlib.sha256(json.dumps(asdict(chosen), sort_keys=True).encode()).hexdigest()[:8]
    root = SIMULATED / f"wild-{chosen.clips}-clips-{digest}"
    write_afew_va(root, chosen, progress=progress)
    return load_afew_va(root)


def wild_crops(data: str, world: dict, size: int) -> Crops:
    """Crops of the in-the-wild corpus at `size` pixels, made once and kept."""
    corpus = wild_corpus(data, world, lambda done, total: report_step("simulate", done, total))
    return build_crops(
        corpus, size, progress=lambda done, total: report_step("crop faces", done, total)
    )


def prepare(parameters: dict, progress: Callable[[int, int], None]) -> dict[str, str]:
    """Make the data of a study before its first notebook; returns {name: fingerprint}."""
    corpus = wild_corpus(parameters["DATA"], parameters["WORLD"], progress)
    return {corpus.label: corpus.fingerprint()}
