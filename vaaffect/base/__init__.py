"""What every room stands on: errors, paths, files, text, processes, progress events, provenance.

Nothing of the field is in here: no face, no label, no network.
"""

from . import cache, paths
from .cache import code_digest, digest, kept
from .errors import Terminated, TimeOver, UserError
from .files import (
    files_state,
    find_files,
    held,
    known_sha256,
    listing,
    naming,
    sha256_of,
    sync,
    walk,
    whole,
    write_atomically,
)  # fmt: skip
from .outputs import holds, refuse_to_overwrite
from .paths import (
    CROPS,
    FEATURES,
    LANDMARKS,
    NOTEBOOKS,
    REPORTS,
    ROOT,
    RUNS,
    SIMULATED,
    expanded,
    report_folder,
    runs_folder,
    shown,
)  # fmt: skip
from .processes import (
    Failure,
    at_once,
    attempt,
    compute_with,
    cores,
    end_with_parent,
    forks,
    in_processes,
    in_workers,
    with_variables,
)
from .progress import VARIABLE, Tail, report_epoch, report_event, report_step, stage, tagged
from .text import decode_text, located, printable

__all__ = [
    "CROPS", "FEATURES", "LANDMARKS", "NOTEBOOKS", "REPORTS", "ROOT", "RUNS", "SIMULATED",
    "VARIABLE", "Failure", "Tail", "Terminated", "TimeOver", "UserError", "at_once", "attempt",
    "cache", "code_digest", "compute_with", "cores", "decode_text", "digest", "end_with_parent",
    "expanded", "files_state", "find_files", "forks", "held", "holds", "in_processes", "in_workers",
    "kept", "known_sha256", "listing", "located", "naming", "paths", "printable",
    "refuse_to_overwrite", "report_epoch", "report_event", "report_folder", "report_step",
    "runs_folder", "sha256_of", "shown", "stage", "sync", "tagged", "walk", "whole",
    "with_variables", "write_atomically",
]  # fmt: skip
