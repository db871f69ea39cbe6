"""The sentences of the report, printed from the tables of a study; no result is computed here."""

from pathlib import Path

import pandas as pd

from ..corpora import DIMENSIONS
from ..results import FEWEST, NOT_SUPPORTED, SUPPORTED, UNDECIDED
from .record import Record, both, listed
from .tables import format_number

PAGE_WIDTH = 912  # CSS pixels between the margins of a page, see pages.css
THESIS = "*Deep affective computing* (Universitat Pompeu Fabra, 2019)"


def claims(record: Record) -> pd.DataFrame:
    """All verdicts, in the order of the claims."""
    parts = [record.table("05_claims"), record.table("06_claim")]
    return pd.concat(parts).sort_values("claim", kind="stable", ignore_index=True)


def abstract(record: Record) -> str:
    """What was asked, on which data, what was found, and the verdicts; Markdown, three parts."""
    asked = (
        f"This report runs again, and examines, {THESIS}, which finetuned VGG11-bn and ResNet152 "
        "to read valence (unpleasant to pleasant) and arousal (calm to excited) from faces of the "
        f"corpora AFEW-VA and SEMAINE. {_asked(record)}"
    )
    faces = (
        " **The faces of this study are drawn by a simulator: its numbers show what the method "
        "does, and say nothing about people.**"
    ) * record.simulated
    found = [_found(record), _abroad(record), _leaks(record), _unfair(record)]
    ending = "Intervals are at 95 %, from a bootstrap over people."
    return "\n\n".join(
        [f"{asked}{faces}", " ".join([*filter(None, found), ending]), verdicts(record)]
    )


def _asked(record: Record) -> str:
    facts = record.table("01_corpora")
    corpora = [
        f"{row['frames']} frames of {row['subjects']} people ({row['data']})"
        for row in facts.to_dict("records")
    ]
    folds = record.table("04_five_folds")["folds"].iloc[0]
    return (
        f"Here {listed(record.networks())} are trained and tested on {listed(corpora)}, in {folds} "
        "folds by person: each frame is tested once, by a network that has never seen its person."
    )


def _found(record: Record) -> str:
    saved = record.table("04_against_constant").set_index(["model", "dimension"])
    sentences = []
    for model in record.networks():
        ccc = {d: record.headline(model, d, "CCC") for d in DIMENSIONS}
        less = {d: saved.loc[(model, d), "error saved, mean (%)"] for d in DIMENSIONS}
        gain = {d: f"{abs(v):.0f} % {'smaller' if v > 0 else 'larger'}" for d, v in less.items()}
        sentences.append(
            f"{model} reaches a CCC of {both(ccc)}; its error (RMSE) is {both(gain)} than that of "
            "always answering the mean label."
        )
    scale = "Concordance (CCC) is 1 where answers and labels agree."
    return f"{scale} On {record.wild}, {' '.join(sentences)}"


def _abroad(record: Record) -> str:
    return (
        "Taken to the other corpus and compared with those that were trained there, "
        f"{abroad(record.table('05_lost'))}."
    )


def abroad(lost: pd.DataFrame) -> str:
    """Of table 05_lost: how often networks from each corpus are worse and better, in words."""
    parts = []
    for home, of in lost.groupby("trained on", sort=False):
        worse, better = (int((of["decided"] & (sign * of["difference"] > 0)).sum())
                         for sign in (-1, 1))  # fmt: skip
        parts.append(
            f"networks from {home} are decidedly worse in {worse} of {len(of)} cases, decidedly "
            f"better in {better}, and undecided in {len(of) - worse - better}"
        )
    return "; ".join(parts)


def _leaks(record: Record) -> str:
    price = record.table("04_leak")
    worst = price.loc[price["price of the frame leak"].idxmax()]
    most, what = format_number(worst["price of the frame leak"]), worst["dimension"]
    return (
        "Folds that deal out single frames instead of people would have raised the CCC by up to "
        f"{most} ({what}, read by {worst['model']})."
    )


def _unfair(record: Record) -> str:
    if not record.has("04_group_gaps"):
        return ""
    gaps = record.table("04_group_gaps")
    gaps = gaps[gaps["model"].isin(record.networks()) & gaps["low"].notna()]
    if gaps.empty:
        return ""
    traits = listed(list(dict.fromkeys(gaps["trait"])))
    return (
        f"Between the ends of {traits}, {int(gaps['decided'].sum())} of {len(gaps)} differences in "
        "error, bias or agreement are beyond chance at this level."
    )


def verdicts(record: Record) -> str:
    """Which hypotheses hold on these data; Markdown, a line per verdict."""
    of = claims(record)
    lines = []
    for verdict in (SUPPORTED, NOT_SUPPORTED, UNDECIDED):
        rows = of[of["verdict"] == verdict]
        said = [f"{row['statement']} ({row['claim']})" for row in rows.to_dict("records")]
        if said:
            lines.append(f"- **{verdict}**: {'; '.join(said)}.")
    return "\n".join(["Hypotheses from the thesis, on these data:", "", *lines, ""])


def data(record: Record) -> str:
    """The corpora, a line each; Markdown."""
    lines = [
        f"- **{row['data']}**: {row['frames']} frames of {row['subjects']} people in "
        f"{row['clips']} clips; {row['problems listed']} problems listed and passed over."
        for row in record.table("01_corpora").to_dict("records")
    ]
    if record.simulated:
        lines.append(
            "\nBoth are written by the simulator in the layouts of the real corpora, which are "
            "given out under a licence, and read by the loaders of the real ones."
        )
    return "\n".join(lines)


def methods(record: Record) -> str:
    """The protocol, from the parameters of the run; Markdown."""
    given = record.parameters()
    if not given:
        return (
            "These notebooks were run by hand, not by the study's runner, so that their parameters "
            "are not noted; they stand at the beginning of each notebook."
        )
    seeds = len(given["SEEDS"])
    lines = [
        f"- **Input.** The box around the 68 landmarks, cut out and scaled to {given['SIZE']} × "
        f"{given['SIZE']} pixels (the thesis: 224 × 224), bytes scaled to [−1, 1].",
        f"- **Folds.** {given['FOLDS']} folds, cut by person and balanced over the plane. Of each "
        "fold's other people, some choose the epoch (inner validation); the rest train. The test "
        "part is predicted once.",
        f"- **Training.** One loss over both dimensions; {seeds} "
        f"{'seed' if seeds == 1 else 'seeds'} of weights and order. The table below has the rest.",
        f"- **Intervals.** {given['RESAMPLES']} bootstrap samples of people, each with all clips "
        "and frames, within folds; models are compared in pairs, on the same people in each "
        "sample.",
        "- **Baselines.** Always the mean label of the training part; regressions on landmarks, "
        "HOG and LBP, on the same folds, with hyperparameters from the inner validation part.",
    ]
    return "\n".join(lines)


def provenance(record: Record) -> str:
    """Code, versions, device, seconds and hashes of the run; Markdown."""
    run = record.manifest
    if not run:
        return "Run by hand: commit, versions and seconds are at the end of each notebook."
    changes = " with uncommitted changes" if run.get("dirty") else ""
    device = run["device"]
    where = device.get("gpu") or f"{device['cpu']}, {device.get('threads', '?')} threads"
    seconds = {
        number: f"{number} {taken:.0f} s"
        for number, taken in run["seconds"].items()
        if number != "99"  # is being written
    }
    packages = [f"{name} {version}" for name, version in run["packages"].items()]
    lines = [
        f"- **Profile** {run['profile']}: {run['title']}.",
        f"- **Code**: commit `{run['commit'] or 'unknown'}`{changes}, started {run['started']}.",
        f"- **Machine**: {where}; {run['platform']}, Python {run['python']}.",
        f"- **Time per step**: {', '.join(seconds.values())}.",
        f"- **Packages**: {', '.join(packages)}.",
        *(f"- **Data**, SHA-256 of {name}: `{digest}`." for name, digest in run["data"].items()),
    ]
    return "\n".join(lines)


def gaps(record: Record) -> str:
    """Which groups differ beyond chance, and how far; Markdown."""
    of = record.table("04_group_gaps")
    return gaps_in_words(of[of["model"].isin(record.networks())])


def gaps_in_words(gaps: pd.DataFrame) -> str:
    """How many groups differ beyond chance, and how far; Markdown.

    Args:
        gaps: as of `between_groups`, of networks; models named as people write them.
    """
    gaps = gaps[gaps["low"].notna()]
    if gaps.empty:
        return f"No two groups have {FEWEST} people each, so that nothing can be compared."
    decided = gaps[gaps["decided"]]
    people = gaps.groupby("trait", sort=False)["subjects"].min()
    sizes = ", ".join(f"{count} for {trait}" for trait, count in people.items())
    head = (
        f"Of {len(gaps)} differences between the two ends of a trait, {len(decided)} have an "
        "interval that leaves 0 out; where there is no difference at all, one in twenty would too. "
        f"The smaller of the two groups has this many people: {sizes}."
    )
    lines = [
        f"- {row['model']}, {row['dimension']}: {row['metric']} of *{row['compared']}* minus that "
        f"of *{row['reference']}* ({row['trait']}) is {format_number(row['difference'])} "
        f"[{format_number(row['low'])}, {format_number(row['high'])}]."
        for row in decided.to_dict("records")
    ]
    return "\n".join([head, "", *lines])


def beyond(record: Record) -> str:
    """What the ablation starts from, beside the constant: how much there was to gain."""
    table = record.table("07_recipes").set_index("recipe")
    constant, base = table.iloc[0], table.loc["thesis"]
    epochs = record.parameters("07").get("ABLATION_EPOCHS")
    given = f" after {epochs} epochs" if epochs else ""
    return (
        f"The thesis's recipe itself reaches{given} a CCC of "
        f"{both({d: base[f'{d} CCC'] for d in DIMENSIONS})} and an RMSE of "
        f"{both({d: base[f'{d} RMSE'] for d in DIMENSIONS})}; the constant's is "
        f"{both({d: constant[f'{d} RMSE'] for d in DIMENSIONS})}. A recipe that was made for many "
        "epochs has more to gain from anything that learns faster."
    )


def page_width(picture: Path) -> int:
    """How wide a figure is shown, in CSS pixels: as it was drawn, at most the page's width."""
    with picture.open("rb") as file:
        head = file.read(24)
    return min(PAGE_WIDTH, round(int.from_bytes(head[16:20], "big") * 100 / 150))


def captioned(text: str) -> str:
    """A figure's caption, for Markdown."""
    return f'<p class="caption">{text}</p>'
