"""The model card and the data card of a study, written from its tables and its manifest.

The texts are in `template/`. Headings follow Mitchell et al., *Model cards for model reporting*
(2019), and Gebru et al., *Datasheets for datasets* (2021).
"""

from ..base import write_atomically
from ..classical import CONSTANT
from ..corpora import DIMENSIONS
from . import plots, sentences
from .record import Record
from .tables import group_table, model_name


def write_cards(record: Record) -> None:
    """Write `model_card.md` and `data_card.md` into the report folder."""
    figures = sorted((record.folder / "figures").glob("*.png"))
    faces = [path.stem for path in figures if plots.shows_faces(path)]
    for name in ("model_card", "data_card"):
        text = sentences.from_template(
            name, record=record, run=record.manifest, parameters=record.parameters(),
            dimensions=DIMENSIONS, constant=model_name(CONSTANT), group_table=group_table,
            sentences=sentences, faces=faces,
        )  # fmt: skip
        write_atomically(record.folder / f"{name}.md", f"{text}\n")
