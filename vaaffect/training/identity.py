"""Which code decides what a training learns: a change of it makes other runs, by itself."""

from pathlib import Path

from ..base import code_digest

# Modules of this room that do not decide what a given training learns: which trainings there are
# (their fields are in the identity), where they run, in which files results are kept, names, and
# whether a file is the one that its name says.
# Weights of a pretext task have a key of their own.
NOT_LEARNING = (
    "__init__.py", "ablation.py", "checks.py", "cluster.py", "fairness.py", "identity.py",
    "many.py", "plan.py", "pretext.py", "run_folder.py", "spec.py", "speed.py",
    "torch_cache.py",
)  # fmt: skip


def learning_code() -> str:
    """A digest of the code that trains; it stands where a version would have to be raised."""
    return code_digest(Path(__file__).parent, but=NOT_LEARNING)
