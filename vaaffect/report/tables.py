"""Tables as files: CSV with every digit for programs, Markdown for people."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ..base import report_folder
from ..classical import DISPLAY
from ..corpora import DIMENSIONS
from ..results import FROM_SCRATCH, RATER, evaluation
from ..training import NETWORK_NAMES

UNIT = evaluation.UNIT_SCALE
LONG = 40  # letters of a cell that may be broken into lines
UNDEFINED = "–"  # a metric that does not exist, such as the correlation of a constant
_NAMES = DISPLAY | NETWORK_NAMES | {RATER: "one rater"}


@dataclass(frozen=True)
class Estimate:
    """A number with its interval, as a cell of a table. How it is written is said here only."""

    value: float  # nan where it does not exist
    low: float
    high: float
    sd: float | None = None  # between the folds; None where it is not shown

    @property
    def centre(self) -> str:
        """`0.63`, or `0.63 ± 0.02`."""
        centre = format_number(self.value)
        return centre if self.sd is None else f"{centre} ± {format_number(self.sd)}"

    @property
    def interval(self) -> str:
        """`[0.57, 0.69]`."""
        return f"[{format_number(self.low)}, {format_number(self.high)}]"

    def __str__(self) -> str:
        return f"{self.centre} {self.interval}" if np.isfinite(self.value) else UNDEFINED


def estimate(row: Mapping[str, float], value: str = "mean", sd: str | None = None) -> Estimate:
    """The estimate in a row with `low` and `high`; `value` and `sd` name the other columns."""
    return Estimate(row[value], row["low"], row["high"], None if sd is None else row[sd])


def model_name(model: str) -> str:
    """A model's name as people write it."""
    return _NAMES.get(model, model)


def row_name(model: str, recipe: str) -> str:
    """A model's name in a table where it stands with several recipes."""
    return model_name(model) + (f", {FROM_SCRATCH}" if recipe.endswith(FROM_SCRATCH) else "")


def with_model_names(text: str) -> str:
    """A sentence of a table with models named as people write them, and real minus signs."""
    for name in sorted(_NAMES, key=len, reverse=True):
        text = text.replace(name, _NAMES[name])
    return text.replace(" - ", " − ")


def format_number(value: float, digits: int = 2) -> str:
    """A number with fixed digits and a real minus sign; UNDEFINED for nan."""
    if not np.isfinite(value):
        return UNDEFINED
    return f"{value:.{digits}f}".replace("-", "−")


def save_table(table: pd.DataFrame, out: str, name: str, caption: str) -> pd.DataFrame:
    """Write OUT/tables/NAME.csv and NAME.md, without the index; returns the table, so that a cell
    can show it.

    The name begins with the notebook's number. The caption says what the numbers are, on which
    data, on which scale; it stands above the Markdown.
    """
    folder = report_folder(out) / "tables"
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / f"{name}.csv", index=False, lineterminator="\n")
    (folder / f"{name}.md").write_text(f"{caption}\n\n{to_markdown(table)}\n", encoding="utf-8")
    return table


def to_markdown(table: pd.DataFrame) -> str:
    """A pipe table; floats are rounded to three digits, numbers are aligned to the right."""
    numeric = [pd.api.types.is_numeric_dtype(table[c]) for c in table]
    lines = [
        "| " + " | ".join(str(c) for c in table) + " |",
        "|" + "|".join("---:" if right else "---" for right in numeric) + "|",
    ]
    for row in table.itertuples(index=False):
        cells = [format_number(x, 3) if isinstance(x, float) else str(x) for x in row]
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


def show(table: pd.DataFrame, digits: int = 3) -> Styler:
    """A table for a notebook: no index, rounded, intervals on a line of their own.

    Sentences are broken into lines, and long headers after a comma or before a bracket, so that a
    table fits the page's width.
    """
    table = table.rename(columns=lambda c: c.replace(", ", ",<br>").replace(" (", "<br>("))

    def cell(value: object) -> str:
        if isinstance(value, float):
            return format_number(value, digits)
        return str(value).replace(" [", "<br>[")

    # The default id is random; this one is the same each time, and another for another table.
    uuid = hashlib.sha256(table.to_csv().encode()).hexdigest()[:8]
    styles = {}
    for name in table.select_dtypes(exclude=["number", "bool"]):
        cells = table[name].astype(str)
        words = cells.str.match(r"[^\W\d_]+ ").any()  # "lr 0.001" is no number
        if words or not cells.str.contains(r"\d\.\d").any():
            props = "text-align: left"
            if cells.str.len().max() > LONG:
                props += "; white-space: normal; min-width: 11em"
            styles[name] = [{"selector": "", "props": props}]
    style = table.style.hide(axis="index").format(cell).set_uuid(uuid)
    return style.set_table_styles(styles)


def fold_table(summary: pd.DataFrame) -> pd.DataFrame:
    """The five-fold table: a row per dimension and model, a column of Estimates per metric.

    `summary` is as of `evaluation.fold_summary`, here and below; RMSE is on the [-1, 1] scale.
    """
    unit = summary[summary["scale"] == UNIT]
    rows = []
    for dimension in DIMENSIONS:
        models = unit[unit["dimension"] == dimension].groupby(["model", "recipe"], sort=False)
        for (model, recipe), cells in models:
            row = {"dimension": dimension, "model": row_name(model, recipe), "recipe": recipe}
            first, by_metric = cells.iloc[0], cells.set_index("metric")
            row |= {m: estimate(by_metric.loc[m], sd="sd") for m in ("RMSE", "PCC", "ICC", "CCC")}
            row |= {"folds": first["folds"], "seeds": first["seeds"], "frames": first["n"]}
            rows.append(row | {"data": first["test_corpus"]})
    return pd.DataFrame(rows)


def headline(summary: pd.DataFrame, metrics: tuple[str, ...] = ("CCC", "RMSE")) -> pd.DataFrame:
    """A row per model, a column of Estimates per dimension and metric."""
    unit = summary[summary["scale"] == UNIT].set_index(["dimension", "metric"])
    rows = []
    for (model, recipe), cells in unit.groupby(["model", "recipe"], sort=False):
        row = {"model": row_name(model, recipe)}
        for dimension in DIMENSIONS:
            row |= {f"{dimension} {m}": estimate(cells.loc[dimension, m]) for m in metrics}
        first = cells.iloc[0]
        rows.append(row | {"frames": first["n"], "data": first["test_corpus"]})
    return pd.DataFrame(rows)


def transfer_table(summary: pd.DataFrame) -> pd.DataFrame:
    """Of two corpora, a row per test corpus, dimension and model: within-corpus Estimates beside
    cross-corpus ones. Only numbers with the same test corpus and dimension may be compared."""
    unit = summary[summary["scale"] == UNIT]
    rows = []
    for (test, dimension, model, recipe), cells in unit.groupby(
        ["test_corpus", "dimension", "model", "recipe"], sort=False
    ):
        row = {"tested on": test, "dimension": dimension, "model": row_name(model, recipe)}
        for metric in ("CCC", "RMSE"):
            by_corpus = cells[cells["metric"] == metric].set_index("train_corpus")
            (other,) = set(by_corpus.index) - {test}
            row[f"{metric}, trained there"] = estimate(by_corpus.loc[test])
            row[f"{metric}, trained elsewhere"] = estimate(by_corpus.loc[other])
        rows.append(row | {"frames": cells["n"].iloc[0]})
    order = list(dict.fromkeys(row["model"] for row in rows))
    rows.sort(key=lambda row: (row["tested on"], DIMENSIONS.index(row["dimension"]),
                               order.index(row["model"])))  # fmt: skip
    return pd.DataFrame(rows)


def group_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """A row per group and model, a column of Estimates per dimension and metric; `estimates` as of
    `subgroups.by_group`, of one seed."""
    rows = []
    for (trait, group), of_group in estimates.groupby(["trait", "group"], sort=False):
        for (model, recipe), cells in of_group.groupby(["model", "recipe"], sort=False):
            first = cells.iloc[0]
            row = {"trait": trait, "group": group, "model": row_name(model, recipe)}
            row |= {"people": first["subjects"], "frames": first["frames"]}
            for cell in cells.to_dict("records"):
                row[f"{cell['dimension']} {cell['metric']}"] = estimate(cell, "value")
            rows.append(row | {"data": first["test_corpus"]})
    return pd.DataFrame(rows)
