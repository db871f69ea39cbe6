"""A profile -> executed notebooks and a report.

Comes in: a YAML profile, checked against the notebooks. Goes out: a report folder.
"""

from .profiles import load_profile, notebook_number, notebook_sources, read_parameters
from .request import Request
from .run import run_study

__all__ = [
    "Request", "load_profile", "notebook_number", "notebook_sources", "read_parameters",
    "run_study",
]  # fmt: skip
