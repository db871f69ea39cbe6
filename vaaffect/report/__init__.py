"""Tidy tables -> what people read: tables, figures, sentences, pages, cards, PDF.

Comes in: results, and the report folder that a study has written. Goes out: `tables/`, `figures/`,
the report and the pages. No result is computed here. (`pages` and `pdf` are for the runner.)
"""

from . import (
    cards,
    diagrams,
    error_plots,
    literature,
    plots,
    sentences,
    smile_report,
    stand_in,
    tables,
)
from .departures import departures_table
from .inventory import inventory_counts
from .page_tables import blocks, claims_table, comparison_blocks, statements_table, text_table
from .record import read_record

__all__ = [
    "blocks", "cards", "claims_table", "comparison_blocks", "departures_table", "diagrams",
    "error_plots", "inventory_counts", "literature", "plots", "read_record", "sentences",
    "smile_report", "stand_in", "statements_table", "tables", "text_table",
]  # fmt: skip
