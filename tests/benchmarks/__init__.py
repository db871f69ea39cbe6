"""Side-by-side measurements beside named peers: `python -m vaaffect bench WHAT`.

small: simulator, crops, landmarks, bootstrap. live: the live loop. training (with loaders, peers,
ceilings, report): one training. whole_study: from frames on disk to metrics.
"""

from collections.abc import Iterable
from pathlib import Path


def measure(what: str, quick: bool, out: Path | None) -> Iterable[str]:
    """The lines of one benchmark; `quick` and `out` (folder of the report) are for train, study."""
    if what == "train":
        from .training import bench_training

        return bench_training(quick, out)
    if what == "study":
        from .whole_study import bench_study

        return bench_study(quick, out)
    if what == "live":
        from .live import bench_live

        return bench_live()
    from . import small

    return getattr(small, f"bench_{what}")()
