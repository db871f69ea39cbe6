"""How small a difference between two networks a study can decide, and what a larger one could."""

from collections.abc import Mapping

import pandas as pd

from .bootstrap import Bootstrap
from .comparisons import mean_difference


def power(
    predictions: pd.DataFrame,
    one: str,
    other: str,
    corpus: str,
    others: Mapping[str, tuple[int, int]],
    *,
    bootstrap: Bootstrap,
) -> pd.DataFrame:
    """The smallest difference in CCC (mean of both dimensions) between two architectures that is
    decided on a corpus: the true one whose interval excludes zero with a probability of 80 %.

    Measured here, and extrapolated to other studies, {name: (subjects, seeds)}, from the parts of
    the variance here (`Difference.smallest_with`).

    Returns study, how ("measured" or "extrapolated"), subjects, seeds, smallest, unit, data.
    """
    corpora = {"train_corpus": corpus, "test_corpus": corpus}
    pair = {"model": one} | corpora, {"model": other} | corpora
    d = mean_difference(predictions, [pair], metric="CCC", bootstrap=bootstrap)
    rows = [("this study", "measured", d.subjects, d.seeds, d.smallest)]
    rows += [
        (name, "extrapolated", *sizes, d.smallest_with(*sizes, bootstrap.level))
        for name, sizes in others.items()
    ]
    table = pd.DataFrame(rows, columns=["study", "how", "subjects", "seeds", "smallest"])
    return table.assign(unit=d.unit, data=corpus)
