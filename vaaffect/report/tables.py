"""Tables as files: CSV with every digit for programs, Markdown for people."""

import hashlib

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from ..base import report_folder
from ..classical import DISPLAY
from ..corpora import DIMENSIONS
from ..results import FROM_SCRATCH, RATER
from ..training import NETWORK_NAMES

LONG = 40  # letters of a cell that may be broken into lines
UNDEFINED = "–"  # a metric that does not exist, such as the correlation of a constant


def model_name(model: str) -> str:
    """A model's name as people write it."""
    return (DISPLAY | NETWORK_NAMES | {RATER: "one rater"}).get(model, model)


def row_name(model: str, recipe: str) -> str:
    """A model's name in a table where it stands with several recipes."""
    return model_name(model) + (f", {FROM_SCRATCH}" if recipe.endswith(FROM_SCRATCH) else "")


def format_number(value: float, digits: int = 2) -> str:
    """A number with fixed digits and a real minus sign; UNDEFINED for nan."""
    if not np.isfinite(value):
        return UNDEFINED
    return f"{value:.{digits}f}".replace("-", "−")


def save_table(table: pd.DataFrame, out: str, name: str, caption: str) -> pd.DataFrame:
    """Write OUT/tables/NAME.csv and NAME.md; returns the table, so that a cell can show it.

    Args:
        table: what to write; its index is left out.
        out: the notebook's OUT.
        name: file name without ending, beginning with the notebook's number.
        caption: what the numbers are, on which data, on which scale. Stands above the Markdown.
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
    """A table for a notebook or a page: no index, rounded, intervals on a line of their own.

    Sentences are broken into lines, so that what stands beside them is seen.

    Long headers break after a comma or before a bracket, so that a table fits the page's width.
    """
    table = table.rename(columns=lambda c: c.replace(", ", ",<br>").replace(" (", "<br>("))

    def cell(value: object) -> str:
        if isinstance(value, float):
            return format_number(value, digits)
        return str(value).replace(" [", "<br>[")

    text = [c for c in table if not pd.api.types.is_numeric_dtype(table[c])]
    names = [c for c in text if not table[c].astype(str).str.contains(r"\d\.\d").any()]
    # The default id is random; this one is the same each time, and another for another table.
    uuid = hashlib.sha256(table.to_csv().encode()).hexdigest()[:8]
    left = [{"selector": "", "props": "text-align: left"}]
    sentence = [{"selector": "", "props": "text-align: left; white-space: normal; min-width: 11em"}]
    styles = {
        name: sentence if table[name].astype(str).str.len().max() > LONG else left for name in names
    }
    style = table.style.hide(axis="index").format(cell).set_uuid(uuid)
    return style.set_table_styles(styles)


def fold_table(
    summary: pd.DataFrame, metrics: tuple[str, ...] = ("RMSE", "PCC", "ICC", "CCC")
) -> pd.DataFrame:
    """The five-fold table: a row per dimension and model, a column per metric.

    Each cell reads `mean ± standard deviation between folds [interval of the mean]`.

    Args:
        summary: as of `evaluation.fold_summary`.
        metrics: which ones, in which order; RMSE on the [-1, 1] scale.
    """
    chosen = summary[summary["scale"] == "[-1, 1]"]
    rows = []
    for dimension in DIMENSIONS:
        for (model, recipe), cells in chosen[chosen["dimension"] == dimension].groupby(
            ["model", "recipe"], sort=False
        ):
            by_metric = cells.set_index("metric")
            row = {"dimension": dimension, "model": row_name(model, recipe), "recipe": recipe}
            row |= {name: _cell(by_metric.loc[name]) for name in metrics}
            first = cells.iloc[0]
            row |= {"folds": first["folds"], "seeds": first["seeds"], "frames": first["n"]}
            row["data"] = first["test_corpus"]
            rows.append(row)
    return pd.DataFrame(rows)


def headline(summary: pd.DataFrame, metrics: tuple[str, ...] = ("CCC", "RMSE")) -> pd.DataFrame:
    """A row per model, a column per dimension and metric: `mean [interval of the mean]`.

    Args:
        summary: as of `evaluation.fold_summary`.
        metrics: which ones; RMSE on the [-1, 1] scale.
    """
    chosen = summary[summary["scale"] == "[-1, 1]"].set_index(["dimension", "metric"])
    rows = []
    for (model, recipe), cells in chosen.groupby(["model", "recipe"], sort=False):
        row = {"model": row_name(model, recipe)}
        for dimension in DIMENSIONS:
            row |= {f"{dimension} {m}": mean_and_interval(cells.loc[dimension, m]) for m in metrics}
        first = cells.iloc[0]
        rows.append(row | {"frames": first["n"], "data": first["test_corpus"]})
    return pd.DataFrame(rows)


def transfer_table(
    summary: pd.DataFrame, metrics: tuple[str, ...] = ("CCC", "RMSE")
) -> pd.DataFrame:
    """A row per test corpus, dimension and model: trained there, beside trained elsewhere.

    Each cell reads `mean [interval of the mean]`. Only numbers of one row, or of rows with the same
    test corpus and dimension, may be compared.

    Args:
        summary: as of `evaluation.fold_summary`, two training and two test corpora.
        metrics: which ones; RMSE on the [-1, 1] scale.
    """
    chosen = summary[summary["scale"] == "[-1, 1]"]
    rows = []
    for (test, dimension, model, recipe), cells in chosen.groupby(
        ["test_corpus", "dimension", "model", "recipe"], sort=False
    ):
        row = {"tested on": test, "dimension": dimension, "model": row_name(model, recipe)}
        for metric in metrics:
            of = cells[cells["metric"] == metric].set_index("train_corpus")
            (elsewhere,) = set(of.index) - {test}
            row[f"{metric}, trained there"] = mean_and_interval(of.loc[test])
            row[f"{metric}, trained elsewhere"] = mean_and_interval(of.loc[elsewhere])
        rows.append(row | {"frames": cells["n"].iloc[0]})
    order = {model: i for i, model in enumerate(dict.fromkeys(row["model"] for row in rows))}
    rows.sort(key=lambda row: (row["tested on"], DIMENSIONS.index(row["dimension"]),
                               order[row["model"]]))  # fmt: skip
    return pd.DataFrame(rows)


def group_table(estimates: pd.DataFrame) -> pd.DataFrame:
    """A row per group and model, a column per dimension and metric: `value [interval]`.

    Args:
        estimates: as of `subgroups.by_group`, one seed.
    """
    rows = []
    for (trait, group), of_group in estimates.groupby(["trait", "group"], sort=False):
        for (model, recipe), of in of_group.groupby(["model", "recipe"], sort=False):
            row = {"trait": trait, "group": group, "model": row_name(model, recipe)}
            row |= {"people": of["subjects"].iloc[0], "frames": of["frames"].iloc[0]}
            cells = of.rename(columns={"value": "mean"}).set_index(["dimension", "metric"])
            row |= {" ".join(key): mean_and_interval(cells.loc[key]) for key in cells.index}
            rows.append(row | {"data": of["test_corpus"].iloc[0]})
    return pd.DataFrame(rows)


def mean_and_interval(row: pd.Series) -> str:
    """`mean [low, high]` of a row of `evaluation.fold_summary`."""
    if not np.isfinite(row["mean"]):
        return UNDEFINED
    return (
        f"{format_number(row['mean'])} [{format_number(row['low'])}, {format_number(row['high'])}]"
    )


def _cell(row: pd.Series) -> str:
    if not np.isfinite(row["mean"]):
        return UNDEFINED
    spread = f"{format_number(row['mean'])} ± {format_number(row['sd'])}"
    return f"{spread} [{format_number(row['low'])}, {format_number(row['high'])}]"
