"""What networks predict for real people's neutral and smiling faces: tables, a figure, a page.

No picture is written, and no file name: of what was left out, only the reasons and how many.
"""

from collections.abc import Mapping
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from ..base import REPORTS, provenance, report_folder, write_atomically
from ..classical import CONSTANT
from ..results import smiles
from ..training import STARTS
from . import plots, tables
from .record import Record
from .sentences import from_template
from .tables import UNDEFINED, estimate, row_name, save_table, to_markdown

NAME = "people"  # what tables and the figure of the command begin with
CHANCE = 0.5  # the proportion of a constant
PEOPLE_VARIABLE = "VAAFFECT_PEOPLE"  # points to a folder of photographs
NOT_GIVEN = (
    f"Not measured in this study: set {PEOPLE_VARIABLE} to a folder with neutral and smiling "
    "photographs of the same people (data/README.md says which), then run notebooks 06 and 99 "
    "again (`--only 06 99`)."
)
# Tables of every number, and what they say first.
_CAPTIONS = {
    "effects": "Every measure. low_people and high_people: over people alone.",
    "trainings": "Every training by itself; intervals over people.",
    "gaps": "A group minus the people in the other groups of the same trait.",
}
_MARKERS = ("o", "s", "^", "D", "v")  # of the corpora that networks were trained on


def words(results: smiles.SmileResults) -> str:
    """What was measured, and what was not; one paragraph."""
    corpora = [corpus for corpus, *_ in results.starts]
    return from_template(
        "people", people=results.people, data=results.data, drawn_people=results.simulated,
        drawn_networks=all(corpus.endswith("(simulated)") for corpus in corpora),
        alone=set(results.starts.values()) <= {"none", "pretext"}, citation=results.citation,
    )  # fmt: skip


def findings(results: smiles.SmileResults) -> str:
    """How many networks are above chance, which groups differ, what was left out; Markdown."""
    everybody = results.effects[results.effects["trait"] == smiles.EVERYBODY]
    networks = everybody[everybody["measure"] == smiles.HIGHER].query("model != @CONSTANT")
    gaps = results.gaps[results.gaps["measure"] == smiles.HIGHER].query("model != @CONSTANT")
    return from_template(
        "people_findings", networks=networks, gaps=gaps, reasons=results.reasons, chance=CHANCE,
        network_name=network_name, estimate=estimate,
    )  # fmt: skip


def results_in(record: Record) -> tuple[Record, str] | None:
    """Where the results on photographs are that a report shows, and what their tables begin with:
    the study's own, else those in reports/people; None where there are neither."""
    committed = REPORTS / NAME
    manifest = provenance.read_study_manifest(committed / "manifest.json")
    for source, name in ((record, "06_people"), (Record(committed, manifest), NAME)):
        if source.has(f"{name}_smiles"):
            return source, name
    return None


def origin(record: Record) -> str:
    """By which networks the results that a report shows were made; Markdown."""
    found = results_in(record)
    if found is None:
        return NOT_GIVEN
    source, _ = found
    if source is record:
        return "Measured with those networks of this study that kept their weights."
    made, networks = source.manifest, len(source.manifest["networks"])
    commit = made["commit"] or "unknown"
    return (
        f"{NOT_GIVEN} What follows is the committed result of reports/people, of {networks} "
        f"trained networks, by the code of commit {commit[:10]}, {made['made']}."
    )


def network_name(row: Mapping[str, object]) -> str:
    """A network, whether it is from scratch, and the corpus that it was trained on."""
    if row["model"] == CONSTANT:
        return tables.model_name(CONSTANT)
    return f"{row_name(row['model'], row['recipe'])} trained on {row['train_corpus']}"


def smile_table(results: smiles.SmileResults) -> pd.DataFrame:
    """A row per network and recipe: everybody."""
    shown = results.effects[results.effects["trait"] == smiles.EVERYBODY]
    return _wide(results, shown).drop(columns=["trait", "group"])


def group_table(results: smiles.SmileResults) -> pd.DataFrame:
    """A row per network, recipe and group of people."""
    shown = results.effects[results.effects["trait"] != smiles.EVERYBODY]
    return _wide(results, shown.query("model != @CONSTANT"))


def _wide(results: smiles.SmileResults, effects: pd.DataFrame) -> pd.DataFrame:
    """A column of Estimates per measure."""
    names = {smiles.HIGHER: "valence higher for the smile (proportion)",
             smiles.SHIFT: "valence shift", smiles.AROUSAL: "arousal shift"}  # fmt: skip
    rows = []
    for (*network, trait, group), cells in effects.groupby(
        [*smiles.NETWORK, "trait", "group"], sort=False
    ):
        corpus, model, recipe = network
        first, by_measure = cells.iloc[0], cells.set_index("measure")
        start = results.starts.get((corpus, model, recipe))
        row = {"trait": trait, "group": group, "trained on": UNDEFINED if start is None else corpus}
        row |= {"network": row_name(model, recipe), "recipe": recipe}
        row["starts from"] = UNDEFINED if start is None else STARTS.get(start, "a file")
        row |= {"trainings": first["trainings"], "people": first["people"]}
        for measure, name in names.items():
            row[name] = str(estimate(by_measure.loc[measure], "value"))
        rows.append(row | {"data": results.data})
    columns = ["trait", "group", "trained on", "network", "recipe", "starts from", "trainings",
               "people"]  # fmt: skip
    return pd.DataFrame(rows, columns=[*columns, *names.values(), "data"])


def smile_figure(results: smiles.SmileResults) -> Figure:
    """The proportion of people whose smile gets the higher valence: everybody, and by group.

    The colour is the network's family, hollow without transfer, and the marker the corpus that it
    was trained on.
    """
    shown = results.effects.query("model != @CONSTANT and measure == @smiles.HIGHER")
    networks = list(dict.fromkeys(zip(*(shown[name] for name in smiles.NETWORK), strict=True)))
    corpora = list(dict.fromkeys(corpus for corpus, *_ in networks))
    groups = shown.drop_duplicates(["trait", "group"])
    height = 1.2 + len(groups) * (0.2 + 0.1 * len(networks)) + 0.1 * len(networks)
    fig, ax = plt.subplots(figsize=(8, max(3.2, height)), layout="constrained")
    ax.axvline(CHANCE, color="black", ls="--", lw=1, label="chance (a constant)", zorder=1)
    offsets = np.linspace(-0.25, 0.25, len(networks)) if len(networks) > 1 else [0.0]
    names = [network_name(dict(zip(smiles.NETWORK, key, strict=True))) for key in networks]
    for network, name, offset in zip(networks, names, offsets, strict=True):
        corpus, model, recipe = network
        own = shown[(shown[smiles.NETWORK] == list(network)).all(axis=1)]
        colour, marker = plots.model_colour(model), _MARKERS[corpora.index(corpus) % len(_MARKERS)]
        places = [
            list(zip(groups["trait"], groups["group"], strict=True)).index(key) + offset
            for key in zip(own["trait"], own["group"], strict=True)
        ]
        ax.hlines(places, own["low"], own["high"], color=colour, lw=1.5, zorder=2)
        hollow = results.starts[network] == "none"
        name = f"{name} ({recipe})" if names.count(name) > 1 else name
        ax.plot(own["value"], places, marker, ls="none", ms=6, color=colour, zorder=3,
                mfc="white" if hollow else colour, label=name)  # fmt: skip
    labels = [
        f"{group if trait == smiles.EVERYBODY else f'{trait}: {group}'} ({people})"
        for trait, group, people in groups[["trait", "group", "people"]].itertuples(index=False)
    ]
    ax.set(yticks=range(len(groups)), yticklabels=labels, ylim=(len(groups) - 0.5, -0.5))
    ax.set(xlim=(0, 1.01), ylabel="people (how many)")
    ax.set_xlabel("proportion of people whose smile gets the higher valence, 95 % interval")
    ax.set_title(f"Posed smiles, no valence/arousal labels: {results.data}", fontsize="small")
    ax.grid(False, axis="y")
    fig.legend(fontsize="x-small", loc="outside lower center", ncols=2)
    return fig


def save_smiles(results: smiles.SmileResults, out: str, name: str) -> pd.DataFrame:
    """Write tables OUT/tables/NAME_*.csv and .md and OUT/figures/NAME.png; returns the table of
    everybody."""
    text = words(results)
    everybody = save_table(smile_table(results), out, f"{name}_smiles", text)
    save_table(group_table(results), out, f"{name}_groups", f"By group. {text}")
    every = {"effects": results.effects, "trainings": results.trainings, "gaps": results.gaps}
    for kind, table in every.items():
        table = table.assign(data=results.data)
        save_table(table, out, f"{name}_{kind}", f"{_CAPTIONS[kind]} {text}")
    plots.save_figure(smile_figure(results), out, name)
    return everybody


def page_files(out: Path) -> list[tuple[Path, str]]:
    """(file, in words) of everything that `write_page` writes into a folder."""
    names = [f"tables/{NAME}_{kind}" for kind in ("smiles", "groups", *_CAPTIONS)]
    files = [f"{name}{ending}" for name in names for ending in (".csv", ".md")]
    files = [*files, f"figures/{NAME}.png", "README.md", "manifest.json"]
    return [(out / name, f"the result's {Path(name).name}") for name in files]


def is_page(out: Path) -> bool:
    """Whether a folder holds what `write_page` wrote."""
    return "photographs" in provenance.read_study_manifest(out / "manifest.json")


def write_page(
    results: smiles.SmileResults, out: Path, networks: list[dict], fingerprint: str
) -> None:
    """Write what `save_smiles` does, OUT/README.md to read it, and OUT/manifest.json: the code, the
    machine, the photographs (`fingerprint`) and the networks that were measured."""
    plots.use_style()
    table = save_smiles(results, str(out), NAME)
    plt.close("all")
    manifest = {
        **provenance.environment(), "made": provenance.utc_now(),
        "photographs": {"data": results.data, "citation": results.citation,
                        "people": results.people, "sha256": fingerprint},
        "networks": networks,
    }  # fmt: skip
    provenance.write_study_manifest(report_folder(str(out)) / "manifest.json", manifest)
    groups = to_markdown(group_table(results).drop(columns=["recipe", "data"]))
    text = from_template(
        "people_page", words=words(results), findings=findings(results), figure=NAME,
        table=to_markdown(table.drop(columns=["data"])), groups=groups, run=manifest,
    )  # fmt: skip
    write_atomically(report_folder(str(out)) / "README.md", f"{text}\n")
