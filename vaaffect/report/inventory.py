"""What the thesis has, row by row, and where this study has it or why it does something else."""

from pathlib import Path

import pandas as pd

_ROWS = Path(__file__).with_name("inventory.csv")
THERE, DIFFERENT = "there", "different"


def inventory() -> pd.DataFrame:
    """Columns section (of the thesis), thesis (what it has, in our words), status (THERE or
    DIFFERENT) and where_or_why (notebooks and modules, or the reason)."""
    return pd.read_csv(_ROWS, dtype=str, keep_default_na=False)


def inventory_counts() -> str:
    """How many rows are there and how many are different, in a sentence."""
    counts = inventory()["status"].value_counts()
    return (
        f"Of {counts.sum()} things that the thesis has, {counts[THERE]} are in this study as they "
        f"are in the thesis, and {counts[DIFFERENT]} are different or left out; "
        "`vaaffect/report/inventory.csv` says of each where it is, or why."
    )
