"""The model card and the data card of a study, written from its tables and its manifest.

Headings follow Mitchell et al., *Model cards for model reporting* (2019), and Gebru et al.,
*Datasheets for datasets* (2021).
"""

import pandas as pd

from ..base import write_atomically
from ..classical import CONSTANT
from ..corpora import DIMENSIONS
from . import sentences
from .record import Record
from .sentences import listed
from .tables import format_number, group_table, model_name, to_markdown

_USES = """\
**Intended.** Teaching and method research: to see how such networks are trained, tested and \
compared, where they fail, and what a number about them is worth. For people who can read the \
evaluation below.

**Out of scope.** Nothing that decides about a person, or treats one differently: hiring, school, \
policing, borders, courts, insurance, health, advertising, driving, surveillance of crowds or of \
workplaces. No inference of what somebody feels, thinks, intends or is. Laws forbid some of these \
uses: in the European Union, inferring emotions at work and in schools (AI Act, article 5)."""

_CANNOT = """\
- Valence and arousal are what raters believed to see. People hide, act and mask what they feel; \
the same face means different things in different situations and cultures (Barrett et al. 2019). \
The networks are given one picture, without voice, words or history.
- For a face at rest that looks stern, old, tired or painted, they predict an expression.
- Consent: the networks need nobody's consent to work, which is why whoever points a camera does."""


def write_cards(record: Record) -> None:
    """Write `model_card.md` and `data_card.md` into the report folder."""
    for name, text in (("model_card", model_card(record)), ("data_card", data_card(record))):
        write_atomically(record.folder / f"{name}.md", text)


def model_card(record: Record) -> str:
    """The model card of a study's networks; Markdown."""
    recipes = record.recipes()
    training = to_markdown(recipes) if len(recipes) else "Run by hand: see each notebook."
    headline = record.headline()
    headline = headline[headline["model"].isin([model_name(CONSTANT), *record.networks()])]
    parts = {
        "Details": _details(record),
        "Intended use, and what is out of scope": _USES,
        "What cannot be predicted from a face": _CANNOT,
        "Training": f"{sentences.methods(record)}\n\n{training}",
        "Data": "Trained and tested on the corpora of the [data card](data_card.md), each subject "
        f"in one part only.\n\n{sentences.corpora(record)}",
        "Evaluation": f"{_captioned(record, '04_headline', headline)}\n\n"
        f"{sentences.hypotheses(record)}",
        "Cross-corpus generalization": _captioned(record, "05_lost", record.table("05_lost")),
        "Groups": _groups(record),
        "Limits": _limits(record),
    }
    return _card("Model card", parts)


def data_card(record: Record) -> str:
    """The data card of a study's corpora; Markdown."""
    corpora, problems = record.table("01_corpora"), record.table("01_problems")
    hashes = [f"- {name}: `{digest}`" for name, digest in record.manifest.get("data", {}).items()]
    parts = {
        "Motivation": "To train and to test networks that predict the valence and the arousal that "
        "people see in a face, on held-out subjects.",
        "Composition": f"{_captioned(record, '01_corpora', corpora)}\n\n{_labels(record)}",
        "Collection": _collection(record),
        "Preparation": _preparation(record),
        "Problems found": _captioned(record, "01_problems", problems) if len(problems) else "None.",
        "Uses": "To study methods. Not to draw conclusions about people from drawn faces, and not "
        "to train anything that decides about a person; see the [model card](model_card.md).",
        "Distribution and consent": "AFEW-VA and SEMAINE are given out by their authors, for "
        "research, under an agreement; neither is in this repository, and no picture of theirs is "
        "in a report's tables. The subjects of SEMAINE agreed to be recorded; actors in films were "
        "not asked for this use. Drawn people cannot be asked and need not be.",
        "Fingerprints": "\n".join(hashes) or "Run by hand: not noted.",
    }
    return _card("Data card", parts)


def _card(title: str, parts: dict[str, str]) -> str:
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts.items())
    return f"# {title}\n\n{body}\n"


def _captioned(record: Record, name: str, table: pd.DataFrame) -> str:
    return f"{record.caption(name)}\n\n{to_markdown(table)}"


def _details(record: Record) -> str:
    run = record.manifest
    made = f", by commit `{run['commit']}`, {run['started'][:10]}" if run.get("commit") else ""
    faces = "drawn by a simulator, **not people**" if record.simulated else "of real people"
    return (
        f"{listed(record.networks())}: convolutional networks with two outputs, valence and "
        f"arousal in [−1, 1], finetuned on faces {faces}{made}. One network per fold; that of "
        "the first fold is kept for the live notebook. Licence of the code: MIT."
    )


def _groups(record: Record) -> str:
    if not record.has("04_group_results"):
        return "Not measured in this study: nothing is known."
    table = group_table(record.table("04_group_results"))
    text = f"{_captioned(record, '04_groups', table)}\n\n"
    text += sentences.group_gaps(record.network_gaps())
    if record.simulated:
        return text
    unknown = "Skin tone and age are not recorded in this corpus: nothing is known about them."
    return f"{unknown}\n\n{text}"


def _limits(record: Record) -> str:
    subjects = record.table("01_corpora")["subjects"].sum()
    lines = [
        f"- The intervals are about subjects like the {subjects} of these corpora, not about "
        "anybody else.",
        f"- {record.summary('04')['seeds'].iloc[0]} seed(s) per network: the variation between "
        "seeds is not in them.",
    ]
    rmse = (
        record.table("04_density").set_index(["model", "dimension", "density"])["RMSE"].sort_index()
    )
    for model in record.networks():
        for dimension in DIMENSIONS:
            network, constant = rmse[model, dimension], rmse[model_name(CONSTANT), dimension]
            lines.append(
                f"- {model}, {dimension}: RMSE is {network['dense']:.2f} on the most common third "
                f"of the labels and {network['sparse']:.2f} on the rarest; the constant baseline "
                f"has {constant['dense']:.2f} and {constant['sparse']:.2f}."
            )
    if record.simulated:
        lines.insert(0, "- The faces are drawn. Nothing here is evidence about real faces.")
    return "\n".join(lines)


def _labels(record: Record) -> str:
    lines = [
        f"- {row['data']}, {row['dimension']}: mean label {format_number(row['mean label'])}; the "
        "constant baseline has an RMSE of "
        f"{format_number(row['RMSE of always answering the mean'])}."
        for row in record.table("01_constant_predictor").to_dict("records")
    ]
    return "\n".join(["Labels are in [−1, 1].", "", *lines])


def _collection(record: Record) -> str:
    if not record.simulated:
        return (
            "AFEW-VA: clips of feature films, labelled frame by frame (Kossaifi et al. 2017). "
            "SEMAINE: conversations recorded in a laboratory, rated over time by several people "
            "(McKeown et al. 2012)."
        )
    parameters = record.parameters()
    worlds = "; ".join(
        f"`{name}`: " + ", ".join(f"{key} {value}" for key, value in parameters[name].items())
        for name in ("WILD", "LAB", "PRETEXT")
        if name in parameters
    )
    return (
        "Written by the simulator: drawn faces whose expression follows valence and arousal, with "
        "people who differ in proportions, skin, hair, age and expressiveness, in two worlds that "
        "imitate films and a laboratory, in the file layouts of AFEW-VA and SEMAINE. What is drawn "
        "is known exactly. Not imitated: photographs, the meaning of a scene, of speech or of the "
        "body, ageing, make-up, differences between cultures, profiles, several people in one "
        "picture." + (f" Parameters: {worlds}." if worlds else "")
    )


def _preparation(record: Record) -> str:
    size = record.parameters().get("SIZE")
    agreement = listed(
        f"{row['PCC']:.2f} ({row['dimension']})"
        for row in record.table("01_raters").to_dict("records")
    )
    return (
        "Faces are cut out by the box around 68 landmarks"
        + (f" and scaled to {size} × {size} pixels" if size else "")
        + "; the names of subjects become hashes when a corpus is read. In the laboratory the "
        "label is the mean of the raters; one rater agrees with the mean of the others by a PCC of "
        f"{agreement}, median over traces. Both dimensions, {listed(DIMENSIONS)}, are in [−1, 1]."
    )
