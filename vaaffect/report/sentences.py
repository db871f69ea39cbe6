"""The sentences of the report, printed from the tables of a study; no result is computed here."""

from collections.abc import Iterable, Mapping
from pathlib import Path

import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from PIL import Image

from ..classical import CONSTANT
from ..corpora import DIMENSIONS
from ..results import FEWEST, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .record import Record
from .tables import estimate, format_number, headline, to_markdown

PAGE_WIDTH = 912  # CSS pixels between the margins of a page, see template/pages.css
THESIS_TITLE = "*Deep affective computing* (Universitat Pompeu Fabra, 2019)"


def abstract(record: Record) -> str:
    """The question, the data, the findings, and the verdicts; Markdown, three parts."""
    corpora = listed(
        f"{row['frames']} frames of {row['subjects']} subjects ({row['data']})"
        for row in record.table("01_corpora").to_dict("records")
    )
    folds = record.summary("04")["folds"].iloc[0]
    question = (
        f"This report runs again, and examines, {THESIS_TITLE}, which finetuned VGG11-bn and "
        "ResNet152 to predict valence (unpleasant to pleasant) and arousal (calm to excited) from "
        f"faces of the corpora AFEW-VA and SEMAINE. Here {listed(record.networks())} are trained "
        f"and tested on {corpora}, in {folds} subject-disjoint folds: each frame is tested once, "
        "by a network that was not trained on its subject."
    )
    if record.simulated:
        question += (
            " **The faces of this study are drawn by a simulator: its numbers show what the method "
            "does, and say nothing about people.**"
        )
    findings = [
        _within_corpus(record),
        "Tested on the other corpus and compared with within-corpus models, "
        f"{cross_corpus(record.table('05_lost'))}.",
        _leakage(record),
        _subgroups(record),
        "Intervals are at 95 %, from a bootstrap over subjects.",
    ]
    return "\n\n".join([question, " ".join(filter(None, findings)), hypotheses(record)])


def _within_corpus(record: Record) -> str:
    saved = record.table("04_against_constant").set_index(["model", "dimension"])
    saved = saved["error saved, mean (%)"]
    table = record.headline()
    sentences = []
    for model in record.networks():
        ccc = {d: table.loc[model, f"{d} CCC"] for d in DIMENSIONS}
        rmse = {d: f"{abs(saved[model, d]):.0f} % {'smaller' if saved[model, d] > 0 else 'larger'}"
                for d in DIMENSIONS}  # fmt: skip
        sentences.append(
            f"{model} reaches a CCC of {both(ccc)}; its RMSE is {both(rmse)} than that of the "
            "constant baseline (training mean)."
        )
    return (
        "Concordance (CCC) is 1 where predictions and labels agree. "
        f"On {record.wild}, {' '.join(sentences)}"
    )


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


def _leakage(record: Record) -> str:
    effects = record.table("04_leak")
    largest = effects.loc[effects["price of the frame leak"].idxmax()]
    return (
        "Frame-level (random) folds instead of subject-disjoint ones would have raised the CCC by "
        f"up to {format_number(largest['price of the frame leak'])} ({largest['dimension']}, "
        f"{largest['model']}): the effect of data leakage."
    )


def _subgroups(record: Record) -> str:
    if not record.has("04_group_gaps"):
        return ""
    gaps = record.network_gaps().dropna(subset="low")
    if gaps.empty:
        return ""
    return (
        f"Between the ends of {listed(gaps['trait'].unique())}, the 95 % interval excludes zero "
        f"for {int(gaps['decided'].sum())} of {len(gaps)} differences in RMSE, bias or CCC."
    )


def hypotheses(record: Record) -> str:
    """Which hypotheses hold on these data; Markdown, a line per verdict."""
    claims = record.claims()
    lines = ["Hypotheses from the thesis, on these data:", ""]
    for verdict in (SUPPORTED, NOT_SUPPORTED, UNDECIDED):
        rows = claims[claims["verdict"] == verdict].to_dict("records")
        if rows:
            statements = "; ".join(f"{row['statement']} ({row['claim']})" for row in rows)
            lines.append(f"- **{verdict}**: {statements}.")
    return "\n".join([*lines, ""])


def corpora(record: Record) -> str:
    """The corpora, a line each; Markdown."""
    lines = [
        f"- **{row['data']}**: {row['frames']} frames of {row['subjects']} subjects in "
        f"{row['clips']} clips; {row['problems listed']} problems listed and passed over."
        for row in record.table("01_corpora").to_dict("records")
    ]
    if record.simulated:
        lines.append(
            "\nBoth are written by the simulator in the layouts of the real corpora, which are "
            "given out under a licence, and are loaded by the loaders of the real ones."
        )
    return "\n".join(lines)


def methods(record: Record) -> str:
    """The protocol, from the parameters of the run; Markdown."""
    return from_template("methods", parameters=record.parameters())


def provenance(record: Record) -> str:
    """Code, versions, machines, seconds and hashes of the run; Markdown."""
    return from_template("provenance", run=record.manifest)


def from_template(name: str, **facts: object) -> str:
    """The text `template/NAME.md.j2` with its facts; Markdown."""
    return _TEXTS.get_template(f"{name}.md.j2").render(facts).rstrip("\n")


def group_gaps(gaps: pd.DataFrame) -> str:
    """How many differences between groups are significant, and how large these are; Markdown.

    Args:
        gaps: as of `between_groups`, of networks; models named as people write them.
    """
    gaps = gaps.dropna(subset="low")
    if gaps.empty:
        return f"No two groups have {FEWEST} subjects each, so that nothing can be compared."
    decided = gaps[gaps["decided"]]
    smallest = gaps.groupby("trait", sort=False)["subjects"].min()
    sizes = ", ".join(f"{count} for {trait}" for trait, count in smallest.items())
    lines = [
        f"Of {len(gaps)} differences between the two ends of a trait, {len(decided)} have a 95 % "
        "interval that excludes zero; where there is no difference at all, one in twenty would "
        f"too. The smaller of the two groups has this many subjects: {sizes}.",
        "",
    ]
    lines += [
        f"- {row['model']}, {row['dimension']}: {row['metric']} of *{row['compared']}* minus that "
        f"of *{row['reference']}* ({row['trait']}) is {estimate(row, 'difference')}."
        for row in decided.to_dict("records")
    ]
    return "\n".join(lines)


def beyond(record: Record) -> str:
    """What the ablation starts from, beside the constant: how much there was to gain."""
    summary = record.summary("07")
    (thesis,) = headline(summary[summary["recipe"] == "thesis"]).to_dict("records")
    (constant,) = headline(summary[summary["model"] == CONSTANT]).to_dict("records")
    epochs = record.parameters("07").get("ABLATION_EPOCHS")
    after = f" after {epochs} epochs" if epochs else ""
    return (
        f"The thesis's recipe itself reaches{after} a CCC of "
        f"{both({d: thesis[f'{d} CCC'] for d in DIMENSIONS})} and an RMSE of "
        f"{both({d: thesis[f'{d} RMSE'] for d in DIMENSIONS})}; the RMSE of the constant baseline "
        f"is {both({d: constant[f'{d} RMSE'] for d in DIMENSIONS})}. A recipe that was made for "
        "many epochs has more to gain from anything that learns faster."
    )


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


_TEXTS = Environment(
    loader=FileSystemLoader(Path(__file__).with_name("template")),
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEXTS.filters |= {"listed": listed, "number": format_number, "table": to_markdown}
