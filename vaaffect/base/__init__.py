"""What every room stands on: errors, paths, files, processes, progress events, provenance.

Nothing of the field is in here: no face, no label, no network.
"""

from . import cache, paths
from .cache import code_digest, digest, kept
from .errors import Terminated, TimeOver, UserError
from .files import find_files, held, sha256_of, sync, write_atomically
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
from .processes import Failure, attempt, cores, end_with_parent, in_processes, in_workers
from .progress import VARIABLE, Tail, report_epoch, report_event, report_step, tagged

__all__ = [
    "CROPS", "FEATURES", "LANDMARKS", "NOTEBOOKS", "REPORTS", "ROOT", "RUNS", "SIMULATED",
    "VARIABLE", "Failure", "Tail", "Terminated", "TimeOver", "UserError", "attempt", "cache",
    "code_digest", "cores", "digest", "end_with_parent", "find_files", "held", "in_processes",
    "in_workers", "kept", "paths", "report_epoch", "report_event", "report_folder", "report_step",
    "runs_folder", "sha256_of", "shown", "sync", "tagged", "write_atomically",
]  # fmt: skip
