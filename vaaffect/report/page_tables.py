"""Tables of the report as HTML: readable at page width, on a phone and in print.

What is the same in all rows of a block stands in the block's heading, not in a column.
"""

import re
from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML

from ..results import NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .record import Record, in_words
from .sentences import claims
from .tables import UNDEFINED, format_number

_MARKS = {SUPPORTED: ("yes", "✓"), NOT_SUPPORTED: ("no", "✗"), UNDECIDED: ("open", "?")}


def claims_table(record: Record) -> HTML:
    """A row per claim: its verdict first, then what it says, what the thesis found, what was
    compared here, and the effect."""
    rows = []
    for row in claims(record).to_dict("records"):
        kind, mark = _MARKS[row["verdict"]]
        effect = "not measured"
        if np.isfinite(row["effect"]):
            bounds = f"{_signed(row['low'])}, {_signed(row['high'])}"
            effect = f"{_signed(row['effect'])} <br>[{bounds}]"
        compared = escape(in_words(row["comparison"]))
        if row["data"] != "none":
            compared = f"Here: {compared}. On {escape(row['data'])}"
        rows.append(
            f'<tr><th scope="row">{row["claim"]}</th>'
            f'<td class="verdict {kind}"><span>{mark} {row["verdict"]}</span></td>'
            f'<td class="statement">{escape(row["statement"])}'
            f"<small>The thesis: {escape(row['thesis'])}.</small>"
            f"<small>{compared[0].upper()}{compared[1:]}.</small></td>"
            f'<td class="effect">{effect}</td></tr>'
        )
    heads = ("claim", "verdict", "what was expected, what the thesis found, what was compared here",
             "effect [95 %]")  # fmt: skip
    head = "".join(f'<th scope="col">{h}</th>' for h in heads)
    body = "".join(rows)
    return HTML(
        f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'
    )


def blocks(
    table: pd.DataFrame,
    by: Sequence[str],
    caption: str,
    notes: Sequence[str] = (),
    digits: int = 2,
) -> HTML:
    """A table in blocks of rows.

    Args:
        table: its first column that is not in `by` or `notes` names the rows.
        by: columns of which each combination is a block; their values are its heading.
        caption: stands above it.
        notes: columns that go into the block's heading where the block agrees, and else in small
            print under the row's name.
        digits: of numbers that are not text already.
    """
    shown = [column for column in table if column not in (*by, *notes)]
    parts = []
    groups = table.groupby(list(by), sort=False) if by else [((), table)]
    for key, of in groups:
        same = [str(of[note].iloc[0]) for note in notes if of[note].nunique() == 1]
        title = " · ".join([*(str(k) for k in key), *same])
        rows = [f'<tr class="block"><th colspan="{len(shown)}" scope="rowgroup">'
                f"<span>{escape(title)}</span></th></tr>"] if title else []  # fmt: skip
        differ = [note for note in notes if of[note].nunique() > 1]
        rows += [_row(row, shown, differ, digits) for row in of.to_dict("records")]
        parts.append(f"<tbody>{''.join(rows)}</tbody>")
    head = "".join(f'<th scope="col">{_heading(name)}</th>' for name in shown)
    return HTML(
        f'<table class="report"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>{''.join(parts)}</table>"
    )


def thesis_table(record: Record, which: int) -> HTML:
    """Table 1, 2, 3 or 4 of the thesis: measured rows in blocks of their own, then published."""
    table = record.table(f"05_thesis_{which}")
    pairs = zip(table["trained on"], table["tested on"], strict=True)
    where = [f"on {test}" if train == test else f"trained on {train}, tested on {test}"
             for train, test in pairs]  # fmt: skip
    table = table.assign(block=table["block"], where=where, scale="labels in " + table["scale"])
    table["scale"] = table["scale"].str.replace("labels in not stated", "scale not stated")
    table = table.drop(columns=["trained on", "tested on"])
    by = ["block", "where"] if which == 4 else ["block"]
    notes = ["scale", "protocol", "source"] if which == 4 else ["where", "scale", "protocol",
                                                                "source"]  # fmt: skip
    return blocks(table, by, record.caption(f"05_thesis_{which}"), notes)


def without(table: pd.DataFrame, *columns: str, **renamed: str) -> pd.DataFrame:
    """A table without some columns and with others renamed."""
    return table.drop(columns=[c for c in columns if c in table]).rename(columns=renamed)


def _row(
    row: Mapping[str, object], shown: Sequence[str], differ: Sequence[str], digits: int
) -> str:
    first, *others = shown
    small = "; ".join(str(row[note]) for note in differ)
    small = f"<small>{escape(small)}</small>" if small else ""
    cells = "".join(f"<td>{_cell(row[name], digits)}</td>" for name in others)
    return f'<tr><th scope="row">{escape(str(row[first]))}{small}</th>{cells}</tr>'


def _cell(value: object, digits: int) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value, digits)
    text = escape(UNDEFINED if value is None else str(value))
    return re.sub(r" (\[[^\]]*\])$", r"<br><small>\1</small>", text)


def _heading(name: str) -> str:
    return escape(name).replace(", ", ",<br>").replace(" (", "<br>(")


def _signed(value: float) -> str:
    return ("+" if value > 0 else "") + format_number(value)
