"""The model card and the data card of a study, written from its tables and its manifest.

The texts are in `template/`. Headings follow Mitchell et al., *Model cards for model reporting*
(2019), and Gebru et al., *Datasheets for datasets* (2021).
"""

from ..base import write_atomically
from ..classical import CONSTANT
from ..corpora import DIMENSIONS
from . import sentences
from .record import Record
from .tables import format_number, group_table, model_name


def write_cards(record: Record) -> None:
    """Write `model_card.md` and `data_card.md` into the report folder."""
    for name, text in (("model_card", model_card(record)), ("data_card", data_card(record))):
        write_atomically(record.folder / f"{name}.md", f"{text}\n")


def model_card(record: Record) -> str:
    """The model card of a study's networks; Markdown."""
    networks, constant = record.networks(), model_name(CONSTANT)
    headline = record.headline()
    results = "04_group_results"
    density = record.table("04_density").set_index(["model", "dimension", "density"])["RMSE"]
    return sentences.from_template(
        "model_card",
        record=record,
        run=record.manifest,
        sentences=sentences,
        networks=networks,
        constant=constant,
        dimensions=DIMENSIONS,
        recipes=record.recipes(),
        headline=headline[headline["model"].isin([constant, *networks])],
        groups=group_table(record.table(results)) if record.has(results) else None,
        seeds=record.summary("04")["seeds"].iloc[0],
        density=density.sort_index(),
    )


def data_card(record: Record) -> str:
    """The data card of a study's corpora; Markdown."""
    parameters = record.parameters()
    return sentences.from_template(
        "data_card",
        record=record,
        run=record.manifest,
        dimensions=DIMENSIONS,
        labels=record.table("01_constant_predictor").to_dict("records"),
        worlds={
            name: parameters[name] for name in ("WILD", "LAB", "PRETEXT") if name in parameters
        },
        size=parameters.get("SIZE"),
        agreement=[
            f"{format_number(row['PCC'])} ({row['dimension']})"
            for row in record.table("01_raters").to_dict("records")
        ],
        problems=record.table("01_problems"),
    )
