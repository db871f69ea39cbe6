"""Side-by-side measurements beside named peers: `python -m vaaffect bench WHAT`.

small: simulator, crops, landmarks, bootstrap. live: the live loop. training (with loaders, peers,
ceilings, report): one training. whole_study: from frames on disk to metrics. growth: seconds and
memory against the size of a study. coverage: how many intervals hold the truth. calibration,
landmark_error: how hard the simulated wild world is, and how like dlib's its landmarks are.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaaffect.base import REPORTS, UserError


def measure(
    what: str, quick: bool, out: Path | None, world: Mapping[str, Any] | None = None
) -> Iterable[str]:
    """The lines of one benchmark; `quick` and `out` (folder of the report) are for train, study,
    growth, coverage and calibration, `world` (as of `bench_calibration`) for calibration.
    UserError: given to another one."""
    world = dict(world or {})
    if what in ("train", "study", "growth", "coverage"):
        out = out or (None if quick else REPORTS / "benchmarks")
    elif (quick or out) and what != "calibration":
        raise UserError(f"bench {what} has no --quick and no --out; leave them out.")
    if any(world.values()) and what != "calibration":
        raise UserError("--profile, --set, --networks: for bench calibration only; leave them out.")
    if what == "calibration":
        from .calibration import bench_calibration

        return bench_calibration(quick, out, **world)
    if what == "landmark-error":
        from .landmark_error import bench_landmark_error

        return bench_landmark_error()
    if what == "train":
        from .training import bench_training

        return bench_training(quick, out)
    if what == "study":
        from .whole_study import bench_study

        return bench_study(quick, out)
    if what == "growth":
        from .growth import bench_growth

        return bench_growth(quick, out)
    if what == "coverage":
        from .coverage import bench_coverage

        return bench_coverage(quick, out)
    if what == "live":
        from .live import bench_live

        return bench_live()
    from . import small

    return getattr(small, f"bench_{what}")()
