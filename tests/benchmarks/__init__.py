"""Side-by-side measurements beside named peers: `python -m vaaffect bench WHAT`.

small: simulator, crops, landmarks, bootstrap. live: the live loop. training (with loaders, peers,
ceilings, report): one training. whole_study: from frames on disk to metrics. growth: seconds and
memory against the size of a study. rehearsal: the thesis's study on corpora with the counts of the
real ones. coverage: how many intervals hold the truth. recipes: the same
search of a recipe for every network of a profile. smiles: experiments on what makes networks read
the smiles of real people. calibration, rater_agreement, landmark_error: how
hard the simulated wild world is, how far the laboratory's raters agree, and how like dlib's its
landmarks are.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from vaaffect.base import REPORTS, UserError


def measure(
    what: str, quick: bool, out: Path | None, world: Mapping[str, Any] | None = None
) -> Iterable[str]:
    """The lines of one benchmark; `quick` is for train, study, growth, coverage, rehearse and
    calibration, `out` (folder of the report) for these and recipes, and `world` (as of
    `bench_calibration`) for calibration and, but for networks and seeds, recipes. UserError: given
    to another one."""
    world = {name: value for name, value in (world or {}).items() if value}
    known = {"calibration": {"profile", "changes", "networks", "seeds"},
             "recipes": {"profile", "changes"}, "smiles": {"profile", "changes"}}  # fmt: skip
    if what in ("train", "study", "growth", "coverage", "rehearse"):
        out = out or (None if quick else REPORTS / "benchmarks")
    elif (quick and what != "calibration") or (out and what not in known):
        raise UserError(f"bench {what} has no --quick and no --out; leave them out.")
    if not set(world) <= known.get(what, set()):
        raise UserError(
            "--networks, --seeds: for bench calibration only; --profile, --set: for it, recipes "
            "and smiles only; leave them out."
        )
    if what == "calibration":
        from .calibration import bench_calibration

        return bench_calibration(quick, out, **world)
    if what == "recipes":
        from .recipes import bench_recipes

        return bench_recipes(out or REPORTS / "recipes", **world)
    if what == "smiles":
        from .smiles import bench_smiles

        return bench_smiles(out or REPORTS / "people", **world)
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
    if what == "rehearse":
        from .rehearsal import bench_rehearsal

        return bench_rehearsal(quick, out)
    if what == "coverage":
        from .coverage import bench_coverage

        return bench_coverage(quick, out)
    if what == "live":
        from .live import bench_live

        return bench_live()
    from . import small

    return getattr(small, f"bench_{what}")()
