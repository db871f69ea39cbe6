"""Published figures, and the thesis's tables 1 to 4 with measured rows beside them.

Literature never enters a measured mean. Every row says whose figure it is, on which data, on which
scale, and under which protocol, because most of them were not obtained in the same way.
"""

from dataclasses import dataclass

import numpy as np
import pandas as pd

from ..corpora import DIMENSIONS
from .tables import UNIT, estimate, format_number, row_name

THESIS = "thesis (Ulloa Rodríguez 2019)"
KOSSAIFI = "[7] Kossaifi et al. 2017, as quoted in the thesis"
KOLLIAS = "[17] Kollias et al. 2019, as quoted in the thesis"

METRICS = ("RMSE", "PCC", "ICC")  # of the thesis's tables, in their order
TITLES = {
    1: "PCC in the wild, beside AffWildNet",
    2: "In the wild, five folds",
    3: "In the laboratory",
    4: "From one corpus to the other",
}
NATIVE = "[-10, 10]"  # of AFEW-VA's labels


@dataclass(frozen=True)
class Published:
    """One row of a table of the thesis."""

    table: int  # its number, 1 to 4
    system: str  # as it is called there
    source: str  # whose figures they are
    train: str  # the data, by name
    test: str
    scale: str  # of the labels, and so of RMSE
    protocol: str  # what is known about the split
    valence: tuple[float, float, float]  # RMSE, PCC, ICC; nan where not given
    arousal: tuple[float, float, float]


_NAN = float("nan")
_FIVE = "5 folds, whether by person is not said"
_BEST = "best single fold of those trained"
_MIX = "best of several models, a different one per figure"

PUBLISHED = (
    Published(1, "AffWildNet", KOLLIAS, "Aff-Wild, then AFEW-VA", "AFEW-VA", NATIVE, "not quoted",
              (_NAN, 0.514, _NAN), (_NAN, 0.575, _NAN)),
    Published(1, "ResNet152, finetuned", THESIS, "AFEW-VA", "AFEW-VA", NATIVE, _FIVE,
              (_NAN, 0.49, _NAN), (_NAN, 0.432, _NAN)),
    Published(2, "best of [7]", KOSSAIFI, "AFEW-VA", "AFEW-VA", NATIVE, _MIX,
              (2.639, 0.407, 0.29), (2.229, 0.45, 0.356)),
    Published(2, "ResNet152, finetuned", THESIS, "AFEW-VA", "AFEW-VA", NATIVE, _FIVE,
              (1.556, 0.49, 0.392), (1.513, 0.432, 0.303)),
    Published(2, "VGG11, finetuned", THESIS, "AFEW-VA", "AFEW-VA", NATIVE, _FIVE,
              (2.509, 0.434, 0.325), (2.392, 0.377, 0.264)),
    Published(3, "best of [7]", KOSSAIFI, "SEMAINE", "SEMAINE", "not stated", _MIX,
              (2.087, 0.35, 0.331), (1.608, 0.272, 0.245)),
    Published(3, "VGG11, finetuned", THESIS, "SEMAINE", "SEMAINE", UNIT, _BEST,
              (0.586, 0.240, 0.208), (0.511, 0.336, 0.318)),
    Published(3, "ResNet152, finetuned", THESIS, "SEMAINE", "SEMAINE", UNIT, _BEST,
              (0.608, 0.187, 0.161), (0.519, 0.282, 0.269)),
    Published(4, "ResNet152, finetuned", THESIS, "AFEW-VA", "SEMAINE", UNIT, "one network",
              (0.545, 0.315, 0.253), (0.657, 0.3049, 0.1945)),
    Published(4, "VGG11, finetuned", THESIS, "SEMAINE", "AFEW-VA", NATIVE, "one network",
              (2.016, 0.1155, 0.0925), (2.111, 0.139, 0.108)),
    Published(4, "ResNet152, finetuned", THESIS, "SEMAINE", "AFEW-VA", NATIVE, "one network",
              (1.898, 0.030, 0.026), (2.028, 0.121, 0.112)),
)  # fmt: skip


def published_frame() -> pd.DataFrame:
    """Every published figure in a row: table, system, source, train, test, scale, dimension,
    metric, value; figures that were not given are left out."""
    rows = []
    for published in PUBLISHED:
        head = {name: getattr(published, name)
                for name in ("table", "system", "source", "train", "test", "scale")}  # fmt: skip
        for dimension in DIMENSIONS:
            for metric, value in zip(METRICS, getattr(published, dimension), strict=True):
                if np.isfinite(value):
                    rows.append(head | {"dimension": dimension, "metric": metric, "value": value})
    return pd.DataFrame(rows)


def measured_and_published(table: int, summary: pd.DataFrame, wild: str, lab: str) -> pd.DataFrame:
    """A table of the thesis: first what was measured here, then what was published.

    Args:
        table: 1 to 4.
        summary: as of `evaluation.fold_summary`, of everything that was trained and tested.
        wild, lab: labels of the two corpora, as in the columns train_corpus and test_corpus.

    Returns:
        Columns `block` ("measured here" or "published"), `system`, `trained on`, `tested on`,
        `scale`, `protocol`, a column per dimension and metric, `source`. Measured cells are
        Estimates. RMSE is on the test corpus's own scale, as in the thesis.
    """
    pairs = {1: [(wild, wild)], 2: [(wild, wild)], 3: [(lab, lab)], 4: [(wild, lab), (lab, wild)]}
    metrics = ("PCC",) if table == 1 else METRICS
    rows = [
        _measured(cells, metrics)
        for train, test in pairs[table]
        for _, cells in summary[
            (summary["train_corpus"] == train) & (summary["test_corpus"] == test)
        ].groupby(["model", "recipe"], sort=False)
    ]
    rows += [_published(row, metrics) for row in PUBLISHED if row.table == table]
    return pd.DataFrame(rows)


def _measured(cells: pd.DataFrame, metrics: tuple[str, ...]) -> dict:
    first = cells.iloc[0]
    scale = next((scale for scale in cells["scale"].unique() if scale != UNIT), UNIT)
    row = {
        "block": "measured here",
        "system": row_name(first["model"], first["recipe"]),
        "trained on": first["train_corpus"],
        "tested on": first["test_corpus"],
        "scale": scale,
        "protocol": f"{int(first['folds'])} folds by {first['split']}",
    }
    by_metric = cells.set_index(["dimension", "metric", "scale"])
    for dimension in DIMENSIONS:
        for metric in metrics:
            key = dimension, metric, scale if metric == "RMSE" else UNIT
            row[f"{dimension} {metric}"] = estimate(by_metric.loc[key])
    return row | {"source": "this study"}


def _published(published: Published, metrics: tuple[str, ...]) -> dict:
    row = {
        "block": "published",
        "system": published.system,
        "trained on": published.train,
        "tested on": published.test,
        "scale": published.scale,
        "protocol": published.protocol,
    }
    for dimension in DIMENSIONS:
        values = dict(zip(METRICS, getattr(published, dimension), strict=True))
        row |= {f"{dimension} {metric}": format_number(values[metric], 3) for metric in metrics}
    return row | {"source": published.source}
