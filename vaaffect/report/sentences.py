"""The sentences of the report, printed from the tables of a study; no result is computed here.

The texts are in `template/`.
"""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from ..classical import CEILING, CONSTANT
from ..corpora import DIMENSIONS
from ..results import FEWEST, NOT_MEASURED, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .record import Record
from .tables import Estimate, estimate, format_number, headline, model_name, to_markdown

PAGE_WIDTH = 912  # CSS pixels between the margins of a page, see template/pages.css


def abstract(record: Record) -> str:
    """The question, the data, the findings, and the verdicts; Markdown, three parts."""
    models, effects = record.headline(), record.table("04_leak")
    saved = record.table("04_against_constant").set_index(["model", "dimension"])
    saved = saved["error saved, mean (%)"]
    findings = []
    for model in record.networks():
        rmse = {d: f"{abs(saved[model, d]):.0f} % {'smaller' if saved[model, d] > 0 else 'larger'}"
                for d in DIMENSIONS}  # fmt: skip
        ccc = {d: models.loc[model, f"{d} CCC"] for d in DIMENSIONS}
        findings.append({"model": model, "ccc": both(ccc), "rmse": both(rmse)})
    return from_template(
        "abstract", record=record, findings=findings, hypotheses=hypotheses(record),
        corpora=record.table("01_corpora").to_dict("records"),
        folds=record.summary("04")["folds"].iloc[0],
        cross_corpus=cross_corpus(record.table("05_lost")),
        leak=effects.loc[effects["price of the frame leak"].idxmax()],
        gaps=record.network_gaps().dropna(subset="low") if record.has("04_group_gaps") else (),
    )  # fmt: skip


def cross_corpus(lost: pd.DataFrame) -> str:
    """Of table 05_lost: how often networks from each corpus are worse and better, in words."""
    parts = []
    for corpus, rows in lost.groupby("trained on", sort=False):
        worse = int((rows["decided"] & (rows["difference"] < 0)).sum())
        better = int((rows["decided"] & (rows["difference"] > 0)).sum())
        parts.append(
            f"models trained on {corpus} are significantly worse in {worse} of {len(rows)} "
            f"comparisons (95 % interval excludes zero), significantly better in {better}, and "
            f"undecided in {len(rows) - worse - better}"
        )
    return "; ".join(parts)


def hypotheses(record: Record) -> str:
    """Which hypotheses hold on these data, and which were not measured; Markdown, a line each."""
    verdicts = SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_MEASURED
    return from_template("hypotheses", claims=record.claims(), verdicts=verdicts)


def limits(record: Record) -> str:
    """What this study cannot say; Markdown."""
    return from_template("limits", record=record)


def corpora(record: Record) -> str:
    """The corpora, a line each; Markdown."""
    return from_template("corpora", record=record)


def methods(record: Record) -> str:
    """The protocol, from the parameters of the run; Markdown."""
    return from_template("methods", parameters=record.parameters())


def landmark_rows(simulated: bool, exact: bool) -> str:
    """What rows of methods that read landmarks are worth beside those of networks; Markdown.

    `exact`: as of `data.landmarks_are_exact`.
    """
    return from_template(
        "landmark_rows", simulated=simulated, exact=exact, ceiling=model_name(CEILING)
    )


def leaks(price: pd.DataFrame) -> str:
    """How often leaking folds raise the CCC significantly, and by how much at most; Markdown.
    `price` is the table 04_leak."""
    kinds = []
    for kind in ("clip", "frame"):
        column, low, high = (f"{name} of the {kind} leak" for name in ("price", "low", "high"))
        most = price.loc[price[column].idxmax()]
        kinds.append({
            "kind": kind, "raised": int((price[low] > 0).sum()), "cases": len(price),
            "lowered": int((price[high] < 0).sum()), "most": most,
            "price": Estimate(most[column], most[low], most[high]),
        })  # fmt: skip
    return from_template("leaks", kinds=kinds)


def provenance(record: Record) -> str:
    """Code, versions, machines, seconds and hashes of the run; Markdown."""
    return from_template("provenance", run=record.manifest)


def group_gaps(gaps: pd.DataFrame) -> str:
    """How many differences between groups are significant, and how large these are; Markdown.

    `gaps` are as of `subgroups.between_groups`, of networks; models named as people write them.
    """
    gaps = gaps.dropna(subset="low")
    smallest = gaps.groupby("trait", sort=False)["subjects"].min()
    facts = {"gaps": gaps, "smallest": smallest, "fewest": FEWEST, "estimate": estimate}
    return from_template("group_gaps", **facts)


def beyond(record: Record) -> str:
    """What the ablation starts from, beside the constant: how much there was to gain."""
    summary = record.summary("07")
    (thesis,) = headline(summary[summary["recipe"] == "thesis"]).to_dict("records")
    (constant,) = headline(summary[summary["model"] == CONSTANT]).to_dict("records")
    return from_template(
        "beyond",
        epochs=record.parameters("07").get("ABLATION_EPOCHS"),
        rate=record.parameters("07").get("THESIS", {}).get("lr"),
        ccc=both({d: thesis[f"{d} CCC"] for d in DIMENSIONS}),
        rmse=both({d: thesis[f"{d} RMSE"] for d in DIMENSIONS}),
        constant=both({d: constant[f"{d} RMSE"] for d in DIMENSIONS}),
    )


def from_template(name: str, **facts: object) -> str:
    """The text `template/NAME.md.j2` with its facts; Markdown."""
    return _TEXTS.get_template(f"{name}.md.j2").render(facts).rstrip("\n")


def page_width(picture: Path) -> int:
    """How wide a figure is shown, in CSS pixels: as it was drawn, at most the page's width."""
    with Image.open(picture) as image:
        return min(PAGE_WIDTH, round(image.width * 100 / 150))


def captioned(text: str) -> str:
    """A figure's caption, for Markdown."""
    return f'<p class="caption">{text}</p>'


def both(values: Mapping[str, object]) -> str:
    """`a for valence and b for arousal`."""
    return " and ".join(f"{values[dimension]} for {dimension}" for dimension in DIMENSIONS)


def listed(words: Iterable[str]) -> str:
    """`a, b and c`."""
    *others, last = words
    return f"{', '.join(others)} and {last}" if others else last


_TEXTS = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
_TEXTS.loader = FileSystemLoader(Path(__file__).with_name("template"))
_TEXTS.filters |= {"listed": listed, "number": format_number, "table": to_markdown}
