"""The model card and the data card of a study, written from its tables and its manifest.

Headings follow Mitchell et al., *Model cards for model reporting* (2019), and Gebru et al.,
*Datasheets for datasets* (2021).
"""

from ..base import write_atomically
from ..classical import CONSTANT, DISPLAY
from ..corpora import DIMENSIONS
from . import sentences
from .record import Record, listed
from .tables import to_markdown

CARDS = {"model_card": "Model card", "data_card": "Data card"}

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
The networks see one picture, without voice, words or history.
- A face at rest that looks stern, old, tired or painted is read as an expression.
- Consent: the networks need nobody's consent to work, which is why whoever points a camera does."""


def write_cards(record: Record) -> None:
    """Write `model_card.md` and `data_card.md` into the report folder."""
    for name, text in (("model_card", model_card(record)), ("data_card", data_card(record))):
        write_atomically(record.folder / f"{name}.md", text)


def model_card(record: Record) -> str:
    """The model card of a study's networks; Markdown."""
    recipes = record.recipes()
    training = to_markdown(recipes) if len(recipes) else "Run by hand: see each notebook."
    parts = {
        "Details": _details(record),
        "Intended use, and what is out of scope": _USES,
        "What reading faces cannot tell": _CANNOT,
        "Training": f"{sentences.methods(record)}\n\n{training}",
        "Data": "Trained and tested on the corpora of the [data card](data_card.md), each person "
        f"in one part only.\n\n{sentences.data(record)}",
        "Evaluation": f"{record.caption('04_headline')}\n\n{_own_rows(record)}\n\n"
        f"{sentences.verdicts(record)}",
        "In another place": f"{record.caption('05_lost')}\n\n"
        f"{to_markdown(record.table('05_lost'))}",
        "Groups": _groups(record),
        "Limits": _limits(record),
    }
    return _card("Model card", parts)


def data_card(record: Record) -> str:
    """The data card of a study's corpora; Markdown."""
    parts = {
        "Motivation": "To train and to test networks that answer with the valence and the arousal "
        "that people see in a face, on people whom the network has not met.",
        "Composition": f"{record.caption('01_corpora')}\n\n"
        f"{to_markdown(record.table('01_corpora'))}\n\n{_labels(record)}",
        "Collection": _collection(record),
        "Preparation": _preparation(record),
        "Problems found": f"{record.caption('01_problems')}\n\n"
        f"{to_markdown(record.table('01_problems'))}"
        if len(record.table("01_problems"))
        else "None.",
        "Uses": "To study methods. Not to draw conclusions about people from drawn faces, and not "
        "to train anything that decides about a person; see the [model card](model_card.md).",
        "Distribution and consent": "AFEW-VA and SEMAINE are given out by their authors, for "
        "research, under an agreement; neither is in this repository, and no picture of theirs is "
        "in a report's tables. The people of SEMAINE agreed to be recorded; actors in films were "
        "not asked for this use. Drawn people cannot be asked and need not be.",
        "Fingerprints": "\n".join(
            f"- {name}: `{digest}`" for name, digest in record.manifest.get("data", {}).items()
        )
        or "Run by hand: not noted.",
    }
    return _card("Data card", parts)


def _card(title: str, parts: dict[str, str]) -> str:
    body = "\n\n".join(f"## {heading}\n\n{text}" for heading, text in parts.items())
    return f"# {title}\n\n{body}\n"


def _details(record: Record) -> str:
    run = record.manifest
    networks = listed(record.networks())
    made = f", by commit `{run['commit']}`, {run['started'][:10]}" if run.get("commit") else ""
    faces = "drawn by a simulator, **not people**" if record.simulated else "of real people"
    return (
        f"{networks}: convolutional networks with two outputs, valence and arousal in [−1, 1], "
        f"finetuned on faces {faces}{made}. One network per fold; that of "
        "the first fold is kept for the live notebook. Licence of the code: MIT."
    )


def _own_rows(record: Record) -> str:
    table = record.table("04_headline")
    constant = table["model"].iloc[0]
    return to_markdown(table[table["model"].isin([constant, *record.networks()])])


def _groups(record: Record) -> str:
    if not record.has("04_groups"):
        return "Not measured in this study: nothing is known."
    real = "" if record.simulated else (
        "Skin tone and age are not recorded in this corpus: nothing is known about them.\n\n"
    )  # fmt: skip
    caption = record.caption("04_groups")
    return (
        f"{real}{caption}\n\n{to_markdown(record.table('04_groups'))}\n\n{sentences.gaps(record)}"
    )


def _limits(record: Record) -> str:
    folds = record.table("04_five_folds")
    lines = [
        f"- The intervals are about people like the {record.table('01_corpora')['subjects'].sum()} "
        "of these corpora, not about anybody else.",
        f"- {folds['seeds'].iloc[0]} seed(s) per network: the luck of a seed is not in them.",
        *(
            f"- {row['model']}, {row['dimension']}: RMSE is {row['dense']:.2f} on the most common "
            f"third of the labels and {row['sparse']:.2f} on the rarest; always answering the mean "
            f"has {row['dense of constant']:.2f} and {row['sparse of constant']:.2f}."
            for row in _by_density(record)
        ),
    ]
    if record.simulated:
        lines.insert(0, "- The faces are drawn. Nothing here is evidence about real faces.")
    return "\n".join(lines)


def _by_density(record: Record) -> list[dict]:
    table = record.table("04_density")
    wide = table.pivot_table("RMSE", ["model", "dimension"], "density", sort=False)
    constant = wide.loc[DISPLAY[CONSTANT]].add_suffix(" of constant")
    return wide.loc[record.networks()].join(constant).reset_index().to_dict("records")


def _labels(record: Record) -> str:
    lines = []
    for row in record.table("01_constant_predictor").to_dict("records"):
        lines.append(
            f"- {row['data']}, {row['dimension']}: mean label {row['mean label']:.2f}; who always "
            f"answers it has an RMSE of {row['RMSE of always answering the mean']:.2f}."
        )
    return "\n".join(["Labels are in [−1, 1].", "", *lines]).replace(" -0", " −0")


def _collection(record: Record) -> str:
    if not record.simulated:
        return (
            "AFEW-VA: clips of feature films, labelled frame by frame (Kossaifi et al. 2017). "
            "SEMAINE: conversations recorded in a laboratory, rated over time by several people "
            "(McKeown et al. 2012)."
        )
    given = record.parameters()
    worlds = "; ".join(
        f"`{name}`: " + ", ".join(f"{key} {value}" for key, value in given[name].items())
        for name in ("WILD", "LAB", "PRETEXT")
        if name in given
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
    raters = record.table("01_raters")
    agree = listed([f"{row['PCC']:.2f} ({row['dimension']})" for row in raters.to_dict("records")])
    return (
        "Faces are cut out by the box around 68 landmarks"
        + (f" and scaled to {size} × {size} pixels" if size else "")
        + "; the names of people become hashes when a corpus is read. In the laboratory the label "
        f"is the mean of the raters; one rater agrees with the mean of the others by a PCC of "
        f"{agree}, median over traces. Both dimensions, {listed(list(DIMENSIONS))}, are in [−1, 1]."
    )
