"""Tables of the report as HTML: readable at page width, on a phone and in print.

What is the same in all rows of a block stands in the block's heading, not in a column.
"""

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
import pandas as pd
from IPython.display import HTML

from ..results import NOT_MEASURED, NOT_SUPPORTED, NOT_TESTED, SUPPORTED, UNDECIDED
from .tables import UNDEFINED, Estimate, format_number, with_model_names

_MARKS = {SUPPORTED: ("yes", "✓"), NOT_SUPPORTED: ("no", "✗"), UNDECIDED: ("open", "?"),
          NOT_MEASURED: ("open", "–"), NOT_TESTED: ("open", "–")}  # fmt: skip


def claims_table(claims: pd.DataFrame) -> HTML:
    """A row per claim, as of `claims.claims_frame`: its verdict first, then what it says, what the
    thesis found, what exactly was shown here, what the verdict is about, and the effect."""
    rows = []
    for row in claims.to_dict("records"):
        seeds = f"{row['seeds']} {'seed' if row['seeds'] == 1 else 'seeds'}"
        about = f"{row['unit']}{f' <small>{seeds}</small>' if row['seeds'] else ''}"
        small = [f"The thesis: {row['thesis']}.", f"Here: {with_model_names(row['sentence'])}"]
        effect = _effect(row["effect"], row["low"], row["high"], plus=True)
        rows.append(
            _verdict_row(row["claim"], row["verdict"], row["statement"], small, about, effect)
        )
    heads = ("claim", "verdict", "what was expected, what the thesis found, what was shown here",
             "about", "effect [95 %]")  # fmt: skip
    return _verdict_table(rows, heads)


def statements_table(statements: pd.DataFrame) -> HTML:
    """A row per statement, as of `statements.statements_frame`, in the order of their verdicts:
    section, verdict, what the thesis states and what was measured, what the interval is over, and
    the effect."""
    order = (SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_TESTED)
    rows = []
    for row in sorted(statements.to_dict("records"), key=lambda row: order.index(row["verdict"])):
        small = [with_model_names(f"{name}: {row[column]}.")
                 for name, column in (("Here", "measured"), ("Why", "why"), ("Data", "data"))
                 if row[column] not in ("nothing", "none")]  # fmt: skip
        over = "" if row["over"] == "none" else row["over"]
        # A ratio may lie close to the 1 that it is held against.
        effect = _effect(row["value"], row["low"], row["high"], digits=3)
        rows.append(
            _verdict_row(row["section"], row["verdict"], row["statement"], small, over, effect)
        )
    heads = ("section", "verdict", "what the thesis states, and what was measured here",
             "interval over", "effect [95 %]")  # fmt: skip
    return _verdict_table(rows, heads)


def _effect(value: float, low: float, high: float, plus: bool = False, digits: int = 2) -> str:
    """An effect and its interval; with `plus`, positive numbers get a sign."""
    if not np.isfinite(value):
        return NOT_MEASURED
    value, low, high = (
        ("+" if plus and number > 0 else "") + format_number(number, digits)
        for number in (value, low, high)
    )
    return f"{value} <br>[{low}, {high}]" if low != UNDEFINED else value


def _verdict_row(
    key: str, verdict: str, statement: str, small: Sequence[str], about: str, effect: str
) -> str:
    kind, mark = _MARKS[verdict]
    lines = "".join(f"<small>{escape(text)}</small>" for text in small)
    return (
        f'<tr><th scope="row">{key}</th>'
        f'<td class="verdict {kind}"><span>{mark} {verdict}</span></td>'
        f'<td class="statement">{escape(statement)}{lines}</td>'
        f'<td>{about}</td><td class="effect">{effect}</td></tr>'
    )


def _verdict_table(rows: Sequence[str], heads: Sequence[str]) -> HTML:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return HTML(
        f'<table class="claims"><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody>'
        "</table>"
    )


def blocks(
    table: pd.DataFrame, by: Sequence[str], caption: str, notes: Sequence[str] = (), digits: int = 2
) -> HTML:
    """A table in blocks of rows.

    Args:
        table: its first column that is not in `by` or `notes` names the rows; cells are Estimates,
            numbers or text.
        by: columns of which each combination is a block; their values are its heading.
        caption: stands above it.
        notes: columns that go into the block's heading where the block agrees, and else in small
            print under the row's name.
        digits: of numbers.
    """
    first, *others = shown = [column for column in table if column not in (*by, *notes)]
    parts = []
    for key, rows in table.groupby(list(by), sort=False) if by else [((), table)]:
        same = [str(rows[note].iloc[0]) for note in notes if rows[note].nunique() == 1]
        title = " · ".join([*map(str, key), *same])
        lines = [f'<tr class="block"><th colspan="{len(shown)}" scope="rowgroup">'
                 f"<span>{escape(title)}</span></th></tr>"] if title else []  # fmt: skip
        differ = [note for note in notes if rows[note].nunique() > 1]
        for row in rows.to_dict("records"):
            small = "; ".join(str(row[note]) for note in differ)
            small = f"<small>{escape(small)}</small>" if small else ""
            cells = "".join(f"<td>{_cell(row[name], digits)}</td>" for name in others)
            lines.append(f'<tr><th scope="row">{escape(str(row[first]))}{small}</th>{cells}</tr>')
        parts.append(f"<tbody>{''.join(lines)}</tbody>")
    # Long headings break after a comma or before a bracket.
    heads = [escape(name).replace(", ", ",<br>").replace(" (", "<br>(") for name in shown]
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return HTML(
        f'<table class="report"><caption>{escape(caption)}</caption>'
        f"<thead><tr>{head}</tr></thead>{''.join(parts)}</table>"
    )


def text_table(table: pd.DataFrame, caption: str, small: Mapping[str, str] | None = None) -> HTML:
    """A table of sentences, a row per row, at page width. `small` are columns that stand in small
    print under another one, {column: the one above it}, where they are not empty."""
    small = dict(small or {})
    shown = [column for column in table if column not in small]
    lines = []
    for row in table.to_dict("records"):
        cells = []
        for column in shown:
            below = [name for name, above in small.items() if above == column and row[name]]
            notes = "".join(f"<small>{escape(f'{name}: {row[name]}')}</small>" for name in below)
            tag = 'th scope="row"' if column == shown[0] else "td"
            cells.append(f"<{tag}>{escape(str(row[column]))}{notes}</{tag.split()[0]}>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in shown)
    return HTML(
        f'<table class="texts"><caption>{escape(caption)}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(lines)}</tbody></table>"
    )


def comparison_blocks(table: pd.DataFrame, number: int, caption: str) -> HTML:
    """Table 1, 2, 3 or 4 of the thesis, as of `literature.measured_and_published`: measured rows in
    blocks of their own, then published."""
    pairs = zip(table["trained on"], table["tested on"], strict=True)
    where = [f"on {test}" if train == test else f"trained on {train}, tested on {test}"
             for train, test in pairs]  # fmt: skip
    scale = [f"labels in {text}" if text.startswith("[") else f"scale {text}"
             for text in table["scale"]]  # fmt: skip
    table = table.drop(columns=["trained on", "tested on"]).assign(where=where, scale=scale)
    by = ["block", "where"] if number == 4 else ["block"]
    notes = ["where", "scale", "protocol", "source"]
    return blocks(table, by, caption, [note for note in notes if note not in by])


def _cell(value: object, digits: int) -> str:
    if isinstance(value, Estimate) and np.isfinite(value.value):
        return f"{value.centre}<br><small>{value.interval}</small>"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return format_number(value, digits)
    return escape(str(value)).replace(" [", "<br>[")
