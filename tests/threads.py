"""How many threads compute where the tests run side by side (pytest-xdist, `make test`)."""

import os

SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ
THREADS = "OMP_NUM_THREADS"
_users = os.environ.get(THREADS)

if SIDE_BY_SIDE:  # read when PyTorch or a BLAS is loaded, so conftest.py imports this first
    os.environ[THREADS] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"  # no spinning on a shared core; changes no number


def users_environment() -> dict[str, str]:
    """Variables for a study as a user would run it: with as many threads as there are cores."""
    variables = {k: v for k, v in os.environ.items() if not k.startswith("PYTEST_")}
    variables.pop(THREADS, None)
    return variables if _users is None else variables | {THREADS: _users}
