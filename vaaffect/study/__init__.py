"""A profile -> executed notebooks and a report.

Comes in: a YAML profile, checked against the notebooks. Goes out: a report folder.
"""

from .preflight import check_study
from .profiles import load_profile, notebook_sources
from .request import Request
from .run import run_study

__all__ = ["Request", "check_study", "load_profile", "notebook_sources", "run_study"]
