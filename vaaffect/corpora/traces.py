"""Raters' traces as they lie on disk, FEELtrace files: a line per sample, `seconds rating`."""

import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import decode_text

FARTHEST = 1.2  # FEELtrace's scale is [-1, 1]; a little beyond is the hand, more is not

_SHOWN = 40  # characters of a line in an error


def _form(mark: str, separator: str) -> re.Pattern:
    number = rf"([-+]?\d+(?:{mark}\d+)?(?:[eE][-+]?\d+)?)"
    return re.compile(rf"\s*{number}\s*{separator}\s*{number}\s*(?:{separator})?\s*")


# What spreadsheets make of "0.02 0.5": 0,02 0,5 or 0.02;0.5 or 0,02;0,5 or 0.02,0.5
_FORMS = [_form(",", r",?\s"), _form(r"\.", ";"), _form(",", ";"), _form(r"\.", ",")]


def read_trace(path: Path) -> tuple[np.ndarray, np.ndarray, int]:
    """A FEELtrace file: times (n,) in seconds, ratings (n,), and how many lines were passed over:
    no two finite numbers, or not later than the line before (empty lines do not count).

    Files that have gone through a spreadsheet are read where their meaning is certain: decimal
    commas, numbers separated by semicolons, or by commas if they have decimal points; UTF-16.
    ValueError, which says what is on which line: no ratings, one alone, times that do not rise,
    other lines than pairs of numbers, or a rating far outside [-1, 1].
    """
    lines = decode_text(path.read_bytes(), errors="replace").splitlines()
    filled = [line for line in lines if line and not line.isspace()]
    table = _pairs(filled)
    table = table[np.isfinite(table).all(axis=1)]
    pairs = len(table)
    if pairs:
        later = table[1:, 0] > np.maximum.accumulate(table[:, 0])[:-1]
        table = table[np.concatenate([[True], later])]
    if len(table) < 2:
        raise ValueError(_fault(lines, pairs))
    farthest = float(table[np.abs(table[:, 1]).argmax(), 1])
    if abs(farthest) > FARTHEST:
        raise ValueError(f"trace reaches {farthest:g}, beyond FEELtrace's scale of [-1, 1]")
    return table[:, 0], table[:, 1], len(filled) - len(table)


def _pairs(lines: list[str]) -> np.ndarray:
    """The pairs of numbers (n, 2) among some lines, in the form in which most lines are pairs; nan
    for a word."""
    with suppress(ValueError):  # by far the fastest, where each line is a pair of numbers
        if lines and (table := np.loadtxt(lines, comments=None, ndmin=2)).shape[1] == 2:
            return table
    best = _numbers([pair for line in lines if len(pair := line.split()) == 2])
    if not any("," in line or ";" in line for line in lines):
        return best
    for form in _FORMS:
        matches = [match for line in lines if (match := form.fullmatch(line))]
        if form is _FORMS[-1] and not any("." in match[0] for match in matches):
            continue  # 1,5 may be one number as well
        table = _numbers([[text.replace(",", ".") for text in match.groups()] for match in matches])
        if len(table) > np.isfinite(best).all(axis=1).sum():
            best = table
    return best


def _numbers(pairs: list[Sequence[str]]) -> np.ndarray:
    numbers = pd.to_numeric(np.array(pairs, dtype=object).ravel(), errors="coerce")
    return numbers.astype(np.float64).reshape(-1, 2)


def _fault(lines: list[str], pairs: int) -> str:
    """What is wrong with lines among which are so many pairs of numbers, too few for a trace."""
    if pairs > 1:
        return f"the times of the trace's {pairs} ratings do not rise"
    for number, line in enumerate(lines, 1):
        numbers = re.findall(r"[^\s;,]*\d[^\s;,]*", line)
        if len(numbers) > 1 and not np.isfinite(_pairs([line])).all(axis=1).any():
            return (
                f"trace cannot be read: its line {number} is {_shown(line)}, which is not "
                "certainly `seconds rating`"
            )
    if pairs:
        return "trace holds one rating alone"
    filled = [f": its line {number} is {_shown(line)}"
              for number, line in enumerate(lines, 1) if line.strip()]  # fmt: skip
    return f"trace holds no ratings{filled[0] if filled else ''}"


def _shown(line: str) -> str:
    return repr(line if len(line) <= _SHOWN else f"{line[:_SHOWN]}...")
