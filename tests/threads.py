"""How many threads compute where the tests run side by side (pytest-xdist, `make test`)."""

import os

SIDE_BY_SIDE = "PYTEST_XDIST_WORKER" in os.environ

if SIDE_BY_SIDE:  # read when PyTorch or a BLAS is loaded, so conftest.py imports this first
    os.environ["OMP_NUM_THREADS"] = "1"
    os.environ["OMP_WAIT_POLICY"] = "passive"  # no spinning on a shared core; changes no number


def users_environment() -> dict[str, str]:
    """Variables for a study as a user would run it, on as many cores as a test may take here."""
    return {name: value for name, value in os.environ.items() if not name.startswith("PYTEST_")}
