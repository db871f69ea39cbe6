"""What every room stands on: errors, paths, files, processes, progress events, provenance.

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
    sha256_of,
    sync,
    write_atomically,
)
from .paths import (
    CROPS,
    FEATURES,
    LANDMARKS,
    NOTEBOOKS,
    REPORTS,
    ROOT,
    RUNS,
    SIMULATED,
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

__all__ = [
    "CROPS", "FEATURES", "LANDMARKS", "NOTEBOOKS", "REPORTS", "ROOT", "RUNS", "SIMULATED",
    "VARIABLE", "Failure", "Tail", "Terminated", "TimeOver", "UserError", "at_once", "attempt",
    "cache", "code_digest", "compute_with", "cores", "digest", "end_with_parent", "files_state",
    "find_files", "forks", "held", "in_processes", "in_workers", "kept", "known_sha256", "paths",
    "report_epoch", "report_event", "report_folder", "report_step", "runs_folder", "sha256_of",
    "shown", "stage", "sync", "tagged", "with_variables", "write_atomically",
]  # fmt: skip
