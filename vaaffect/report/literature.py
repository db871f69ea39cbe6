"""Published figures, and the thesis's tables 1 to 4 with measured rows beside them.

Literature never enters a measured mean. Every row says whose figure it is, on which data, on which
scale, and under which protocol, because most of them were not obtained in the same way.
"""

import itertools
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from ..corpora import DIMENSIONS
from ..training import backbone_of
from .tables import UNDEFINED, UNIT, estimate, row_name

_PUBLISHED = Path(__file__).with_name("published.csv")  # a row per row of the thesis's tables
METRICS = ("RMSE", "PCC", "ICC")  # of the thesis's tables, in their order
TITLES = {
    1: "PCC in the wild, beside AffWildNet",
    2: "In the wild, five folds",
    3: "In the laboratory",
    4: "From one corpus to the other",
}

# Under which name a method of this study is published with figures on AFEW-VA: (table, system). The
# thesis says of [7] that its largest PCC are those of random forests, so for kernels they are what
# no method of [7] exceeded.
_PUBLISHED_AS = {
    "geometry-forest": (2, "best of [7]"),
    "multikernel-svr": (2, "best of [7]"),
    "vgg11": (2, "VGG11, finetuned"),
    "vgg11_bn": (2, "VGG11, finetuned"),
    "resnet152": (2, "ResNet152, finetuned"),
}
_CLIP_NETWORK = (1, "AffWildNet")  # whatever its backbone


@dataclass(frozen=True)
class PublishedPCC:
    """PCC of a method on AFEW-VA, as it was published."""

    system: str  # its name there
    source: str
    valence: float
    arousal: float


def published_pcc(method: str) -> PublishedPCC | None:
    """What has been published on AFEW-VA for a baseline or a network, by its name in code; None for
    nothing. Protocols differ, see `published.csv`."""
    known = _PUBLISHED_AS.get(method) or (_CLIP_NETWORK if backbone_of(method) else None)
    if known is None:
        return None
    number, system = known
    figures = published_frame()
    chosen = figures[
        (figures["table"] == number) & (figures["system"] == system) & (figures["metric"] == "PCC")
    ]
    pcc = chosen.set_index("dimension")["value"]
    return PublishedPCC(
        system, chosen["source"].iloc[0], *(float(pcc[name]) for name in DIMENSIONS)
    )


def published_frame() -> pd.DataFrame:
    """Every published figure in a row: table, system, source, train, test, scale, dimension,
    metric, value; figures that were not given are left out."""
    heads = ["table", "system", "source", "train", "test", "scale"]
    figures = pd.read_csv(_PUBLISHED).drop(columns="protocol").melt(heads, var_name="figure")
    figures[["dimension", "metric"]] = figures["figure"].str.split(" ", expand=True)
    return figures[[*heads, "dimension", "metric", "value"]].dropna(ignore_index=True)


def measured_and_published(table: int, summary: pd.DataFrame, wild: str, lab: str) -> pd.DataFrame:
    """Table 1, 2, 3 or 4 of the thesis: first what was measured here, then what was published.

    `summary` is as of `evaluation.fold_summary`, of everything that was trained and tested; `wild`
    and `lab` are the labels of the two corpora in it. The columns are `block` ("measured here" or
    "published"), `system`, `trained on`, `tested on`, `scale`, `protocol`, one per dimension and
    metric, and `source`. Measured cells are Estimates. RMSE is on the test corpus's own scale, as
    in the thesis.
    """
    pairs = {1: [(wild, wild)], 2: [(wild, wild)], 3: [(lab, lab)], 4: [(wild, lab), (lab, wild)]}
    figures = list(itertools.product(DIMENSIONS, ("PCC",) if table == 1 else METRICS))
    rows = []
    for train, test in pairs[table]:
        pair = summary[(summary["train_corpus"] == train) & (summary["test_corpus"] == test)]
        by_model = pair.groupby(["model", "recipe"], sort=False)
        rows += [_measured(cells, figures) for _, cells in by_model]
    # Published figures are shown digit by digit as they were published.
    printed = pd.read_csv(_PUBLISHED, dtype=str, keep_default_na=False)
    for row in printed[printed["table"] == str(table)].to_dict("records"):
        published = {"block": "published", "system": row["system"], "trained on": row["train"],
                     "tested on": row["test"], "scale": row["scale"],
                     "protocol": row["protocol"]}  # fmt: skip
        names = (f"{dimension} {metric}" for dimension, metric in figures)
        published |= {name: row[name] or UNDEFINED for name in names}
        rows.append(published | {"source": row["source"]})
    return pd.DataFrame(rows)


def _measured(cells: pd.DataFrame, figures: list[tuple[str, str]]) -> dict[str, object]:
    """The row of one model and pair of corpora; `figures` are (dimension, metric)."""
    first, scales = cells.iloc[0], cells["scale"].unique()
    scale = next((scale for scale in scales if scale != UNIT), UNIT)
    row = {"block": "measured here", "system": row_name(first["model"], first["recipe"]),
           "trained on": first["train_corpus"], "tested on": first["test_corpus"], "scale": scale,
           "protocol": f"{int(first['folds'])} folds by {first['split']}"}  # fmt: skip
    by_metric = cells.set_index(["dimension", "metric", "scale"])
    for dimension, metric in figures:
        key = dimension, metric, scale if metric == "RMSE" else UNIT
        row[f"{dimension} {metric}"] = estimate(by_metric.loc[key])
    return row | {"source": "this study"}
