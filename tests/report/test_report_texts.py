"""The report's sentences and tables, and the cards: they say what the tables say."""

import html
import json
import re
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.classical import CEILING
from vaaffect.report import cards, literature, plots, sentences, tables
from vaaffect.report.page_tables import (
    blocks,
    claims_table,
    comparison_blocks,
    statements_table,
)
from vaaffect.report.record import Record, read_record
from vaaffect.report.sentences import listed
from vaaffect.report.tables import Estimate, with_model_names
from vaaffect.results import NOT_SUPPORTED, NOT_TESTED, SUPPORTED, UNDECIDED, statements
from vaaffect.training import STARTS, weights_label


def change(record: Record, name: str, where, column: str, value) -> None:
    table = record.table(name)
    table.loc[where(table), column] = value
    table.to_csv(record.path(name), index=False)


def make_real(record: Record) -> None:
    """The same tables as if they were of the licensed corpora."""
    for path in record.folder.glob("tables/*"):
        path.write_text(path.read_text().replace(" (simulated)", ""))


def change_mean(record: Record, number: str, where, estimate: Estimate) -> None:
    """Change the mean over folds of one model, dimension and metric."""
    for column in ("value", "low", "high"):
        change(record, f"{number}_results", lambda t: where(t) & (t["fold"] == "mean"),
               column, getattr(estimate, column))  # fmt: skip


def of(model: str, dimension: str, metric: str):
    return lambda t: (
        (t["model"] == model)
        & (t["dimension"] == dimension)
        & (t["metric"] == metric)
        & (t["scale"] == "[-1, 1]")
        & ~t["recipe"].str.endswith("from scratch")
    )


def test_what_is_read_again_is_what_was_written(record):
    """The tables of the notebooks and those of the report are of the same numbers."""
    for name, again in (
        ("04_headline", record.headline()),
        ("04_groups", tables.group_table(record.table("04_group_results"))),
    ):
        written = record.table(name).astype(str)
        pd.testing.assert_frame_equal(
            again.astype(str).reset_index(drop=True), written, check_dtype=False
        )
    assert "VGG11-bn" in record.headline().index
    shown = set(record.transfer()["model"])
    assert shown == {"VGG11-bn", "ResNet18", "constant (training mean)"}


def test_the_abstract_follows_the_tables(record):
    before = sentences.abstract(record)
    change_mean(record, "04", of("vgg11_bn", "valence", "CCC"), Estimate(0.111, 0.1, 0.2))
    change(record, "04_against_constant", lambda t: t.index == 0, "error saved, mean (%)", -12.4)
    change(record, "05_claims", lambda t: t["claim"] == "H5", "verdict", "undecided")
    change(record, "04_group_gaps", lambda t: t.index >= 0, "decided", False)
    first = record.network_gaps().index[0]
    change(record, "04_group_gaps", lambda t: t.index == first, "decided", True)
    after = sentences.abstract(record)
    said = "VGG11-bn reaches a CCC of 0.11 [0.10, 0.20] for valence"
    assert said not in before and said in after
    assert "12 % larger for valence" in after
    undecided = r"- \*\*undecided\*\*: .*from scratch \(H5, about these trained networks\)"
    assert re.search(undecided, after) and not re.search(undecided, before)
    assert f"excludes zero for 1 of {len(record.network_gaps())} differences" in after
    assert "4 subject-disjoint folds" in after and "20 subjects" in after


def test_the_list_of_verdicts_says_what_they_are_about_and_what_they_are_confounded_with(record):
    said = sentences.hypotheses(record)
    assert "ResNet beats VGG in the wild (H4, about the method)." in said
    assert re.search(r"- \*\*not measured\*\*: .*expected ranges \(H3\)\.", said)
    assert "undecided" not in said  # what nobody has tried is no finding
    where = lambda t: t["claim"] == "H4"  # noqa: E731
    change(record, "05_claims", where, "sentence", "Supported. Confounded with size: 1 and 2.")
    assert "(H4, about the method, confounded with size)" in sentences.hypotheses(record)
    change(record, "05_claims", where, "sentence", "Undecided: recipes differ (batch_size).")
    assert "(H4, about the method, recipes differ)" in sentences.hypotheses(record)


def test_cross_corpus_differences_are_counted_in_both_directions(record):
    for row, (difference, decided) in enumerate(
        [(0.2, True), (-0.2, True), (0, False), (0, False)]
    ):
        change(record, "05_lost", lambda t, row=row: t.index == row, "difference", difference)
        change(record, "05_lost", lambda t, row=row: t.index == row, "decided", decided)
    said = (
        "significantly worse in 1 of 4 comparisons (95 % interval excludes zero), significantly "
        "better in 1, and undecided in 2"
    )
    assert said in sentences.abstract(record)


def test_the_base_of_the_ablation_stands_beside_the_constant(record):
    change_mean(record, "07", of("vgg11_bn", "valence", "CCC"), Estimate(0.17, 0, 0.3))
    change_mean(record, "07", of("constant", "arousal", "RMSE"), Estimate(0.29, 0.2, 0.4))
    said = sentences.beyond(record)
    assert "after 6 epochs a CCC of 0.17 [0.00, 0.30] for valence" in said
    assert said.index("0.29 [0.20, 0.40]") > said.index("constant baseline")


def test_the_abstract_says_that_faces_are_drawn_and_only_then(record):
    assert "drawn by a simulator" in sentences.abstract(record)
    make_real(record)
    assert "simulator" not in sentences.abstract(record)
    assert "simulator" not in sentences.corpora(record)


def test_the_claims_show_their_verdicts_and_no_internal_names(record):
    page = claims_table(record.claims()).data
    assert re.findall(r"<span>. ([a-z ]+)</span>", page) == list(record.claims()["verdict"])
    assert list(record.claims()["claim"]) == ["H3", "H4", "H5"]
    assert "vgg11_bn" not in page and "VGG11-bn" in page
    assert page.count("not measured</td>") == 1  # H3
    assert "<td>method <small>3 seeds</small></td>" in page
    assert "<td>these trained networks <small>1 seed</small></td>" in page
    assert "Here: Not supported for the method on films. CCC of ResNet18 − CCC of VGG11-bn" in page
    change(record, "05_claims", lambda t: t["claim"] == "H5", "effect", float("nan"))
    assert claims_table(record.claims()).data.count("not measured</td>") == 2


def test_statements_of_two_notebooks_are_one_table_in_order_of_their_verdicts(record):
    assert record.statements().empty  # a study without them

    def row(section, verdict, value, over="subjects", measured="CCC of vgg11_bn"):
        return statements.Statement(
            section, f"says {section}", measured, value, 0.1, 0.4, verdict, over, "why so", "films"
        )

    out, write = str(record.folder), tables.save_table
    found = [row("5.1", SUPPORTED, 0.2), row("6", UNDECIDED, 0.3)]
    write(statements.statements_frame(found), out, "05_statements", "x")
    found = [row("4.1", NOT_SUPPORTED, 0.25, "trainings"),
             statements.not_tested("3.5", "says 3.5", "no such corpus")]  # fmt: skip
    write(statements.statements_frame(found), out, "07_statements", "x")
    table = record.statements()
    assert table["section"].tolist() == ["3.5", "4.1", "5.1", "6"]
    page = statements_table(table).data
    shown = re.findall(r"says ([\d.]+)<small>", page)
    assert shown == ["5.1", "4.1", "6", "3.5"]
    assert re.findall(r"<span>. ([a-z ]+)</span>", page) == [
        SUPPORTED, NOT_SUPPORTED, UNDECIDED, NOT_TESTED,
    ]  # fmt: skip
    assert "0.250 <br>[0.100, 0.400]" in page and page.count("not measured</td>") == 1
    assert "<td>trainings</td>" in page and "Why: no such corpus." in page
    assert "VGG11-bn" in page and "vgg11_bn" not in page


@pytest.mark.parametrize("number", literature.TITLES)
def test_the_thesis_tables_keep_every_row_and_every_source(record, number):
    table = literature.measured_and_published(number, record.summary("05"), record.wild, record.lab)
    page = comparison_blocks(table, number, "A caption.").data
    assert page.count('scope="row"') == len(table)
    plain = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for column in ("system", "source", "protocol", "scale", "tested on"):
        for value in table[column].unique():
            assert value in plain, (column, value)
    order = [plain.find(f"  {block}") for block in ("measured here", "published")]
    assert -1 < order[0] < order[1]


def test_blocks_take_out_what_is_the_same():
    table = pd.DataFrame(
        {"model": ["a", "b<c"], "CCC": [Estimate(0.5, 0.4, 0.6), 0.25], "data": ["D"] * 2}
    )
    page = blocks(table, [], "What it is.", ["data"]).data
    assert page.count("D</span>") == 1 and '<th scope="col">data' not in page
    assert "0.50<br><small>[0.40, 0.60]</small>" in page and "b&lt;c" in page and "0.25" in page
    differ = blocks(table.assign(data=["D", "E"]), [], "What it is.", ["data"]).data
    assert "a<small>D</small>" in differ and "<small>E</small>" in differ


def test_cells_are_estimates_numbers_or_text():
    cells = [Estimate(-0.5, -0.6, -0.4, 0.02), Estimate(*3 * [float("nan")]), float("nan"), True,
             "0.5 [0.4, 0.6]", "a < b"]  # fmt: skip
    table = pd.DataFrame({"row": list("abcdef"), "cell": pd.Series(cells, dtype=object)})
    page = blocks(table, [], "What it is.", digits=1).data
    assert re.findall(r"<td>(.*?)</td>", page) == [
        "−0.50 ± 0.02<br><small>[−0.60, −0.40]</small>", "–", "–", "yes", "0.5<br>[0.4, 0.6]",
        "a &lt; b",
    ]  # fmt: skip


def test_methods_and_provenance_come_from_the_manifest(record):
    parameters, run = record.parameters(), record.manifest
    text = sentences.methods(record)
    assert f"{parameters['FOLDS']} subject-disjoint folds" in text and "36 × 36" in text
    text = sentences.provenance(record)
    assert run["commit"] in text and all(digest in text for digest in run["data"].values())
    assert f"torch {run['packages']['torch']}" in text and "A processor, 2 threads" in text
    assert "Networks" not in text  # where they were trained is not noted


def test_the_machines_of_the_trainings_are_named(record):
    machines = [
        {"runs": 40, "device": "NVIDIA H200", "precision": "bfloat16", "torch": "2.11.0",
         "seconds": 1234.5},
        {"runs": 1, "device": "A processor", "precision": "float32", "torch": "2.14.1",
         "seconds": 60},
    ]  # fmt: skip
    path = record.folder / "manifest.json"
    path.write_text(json.dumps(record.manifest | {"machines": machines}))
    text = sentences.provenance(read_record(str(record.folder)))
    assert "40 trainings on NVIDIA H200 (bfloat16, torch 2.11.0), 1234 s; 1 training on A" in text


def test_recipes_are_those_of_the_parameters(record):
    table = record.recipes().set_index("setting")
    assert table.loc["epochs at most"].tolist() == [4, 8, 8]
    assert set(table.loc["starts from"]) == {"the pretext task"}


def test_recipes_name_a_file_of_weights_and_its_hash(record):
    path, sha256 = record.folder / "manifest.json", "0123456789abcdef" * 4
    clips = {"affwildnet_resnet10": {"sequence": 4, "weights": "…/mine.pt"}}  # as it is noted
    parameters = record.parameters() | {"MODELS": [], "PER_MODEL": clips}
    manifest = record.manifest | {"notebooks": {"04": {"parameters": parameters}}}
    path.write_text(json.dumps(manifest))
    plain = read_record(str(record.folder)).recipes().set_index("setting")
    assert plain.loc["starts from"].tolist() == ["the weights in mine.pt"]
    label = weights_label("affwildnet_resnet10", Path("elsewhere/mine.pt"))
    path.write_text(json.dumps(manifest | {"data": record.manifest["data"] | {label: sha256}}))
    known = read_record(str(record.folder))
    shown = known.recipes().set_index("setting").loc["starts from"].tolist()
    assert shown == ["the weights in mine.pt (SHA-256 0123456789ab…)"]
    assert f"weights that affwildnet_resnet10 starts from (mine.pt): `{sha256}`" in (
        sentences.provenance(known)
    )


def test_notebooks_run_by_hand_have_no_manifest_and_the_report_says_so(record):
    (record.folder / "manifest.json").unlink()
    by_hand = read_record(str(record.folder))
    assert "by hand" in sentences.methods(by_hand) and "by hand" in sentences.provenance(by_hand)
    assert by_hand.recipes().empty
    cards.write_cards(by_hand)
    assert "by hand" in (record.folder / "data_card.md").read_text()


def test_the_model_card_holds_the_numbers_of_the_tables(record):
    cards.write_cards(record)
    card = (record.folder / "model_card.md").read_text()
    headline = record.headline()
    for model in record.networks():
        for column in ("valence CCC", "valence RMSE", "arousal CCC", "arousal RMSE"):
            assert str(headline.loc[model, column]) in card, (model, column)
    for cell in tables.group_table(record.table("04_group_results"))["valence RMSE"]:
        assert str(cell) in card
    gaps = record.network_gaps()
    decided = gaps[gaps["decided"]]
    assert 0 < len(decided) < len(gaps)
    assert card.count("of *dark* minus that of *light* (skin tone) is") == len(decided)
    for heading in ("Intended use", "What cannot be predicted", "Groups", "Limits"):
        assert f"## {heading}" in card
    assert "not people" in card and record.manifest["commit"] in card
    density = record.table("04_density").set_index(["model", "dimension", "density"])["RMSE"]
    rarest = density["VGG11-bn", "arousal", "sparse"]
    assert f"VGG11-bn, arousal: RMSE is {density['VGG11-bn', 'arousal', 'dense']:.2f}" in card
    assert f"and {rarest:.2f} on the rarest" in card


def test_what_is_said_of_real_people_is_true_of_them(record):
    assert "not people**, starting from the pretext task, by" in model_card(record)
    assert "drawn subjects only" in sentences.limits(record)
    make_real(record)
    recipe = record.parameters()["RECIPE"] | {"weights": "none"}
    parameters = record.parameters() | {"RECIPE": recipe}
    parameters["PER_MODEL"]["vgg11_bn"] = {"weights": "imagenet"}
    manifest = record.manifest | {"notebooks": {"04": {"parameters": parameters}}}
    (record.folder / "manifest.json").write_text(json.dumps(manifest))
    real = read_record(str(record.folder))
    card, limits = model_card(real), sentences.limits(real)
    for text in (card, limits, sentences.abstract(real)):
        assert "simul" not in text and "drawn subjects" not in text
    start = "faces of real people, starting from {} (VGG11-bn) and random weights (ResNet18)"
    assert start.format(STARTS["imagenet"]) in card and "finetuned on" not in card
    assert "measured for pose only" in limits and "tried on drawn faces only" in limits
    assert "expected ranges" in sentences.abstract(real).split("**not measured**")[1]


def model_card(record: Record) -> str:
    cards.write_cards(record)
    return (record.folder / "model_card.md").read_text()


def test_a_model_card_without_groups_says_that_nothing_is_known(record):
    record.path("04_group_results").unlink()
    cards.write_cards(record)
    assert "nothing is known" in (record.folder / "model_card.md").read_text()


def test_the_data_card_holds_the_corpora_and_their_fingerprints(record):
    cards.write_cards(record)
    card = (record.folder / "data_card.md").read_text()
    for row in record.table("01_corpora").to_dict("records"):
        assert f"| {row['data']} | {row['frames']} | {row['clips']} | {row['subjects']} |" in card
    assert all(digest in card for digest in record.manifest["data"].values())
    assert "subjects 20" in card and "consent" in card  # of the simulated world
    assert "mean label −0.09" in card


def test_the_data_card_says_which_figures_show_faces(record):
    def card() -> str:
        cards.write_cards(record)
        return (record.folder / "data_card.md").read_text()

    assert "No figure of this report shows a picture" in card()
    figure, axs = plt.subplots(2)
    plots.picture(axs[0], np.zeros((8, 8, 3), np.uint8), faces=True)
    plots.picture(axs[1], np.zeros((8, 8, 3), np.uint8), faces=False)
    for name in ("00_frames", "01_two_worlds", "01_contact_sheet"):
        plots.save_figure(figure, str(record.folder), name)
    plt.close(figure)
    assert "`00_frames`, `01_contact_sheet`, `01_two_worlds`" in card()
    assert "notebooks 00 and 01, in the pages" in card() and "SHOW_FACES" not in card()
    make_real(record)
    assert "Pictures of real people" in card() and "SHOW_FACES=false" in card()


def test_a_missing_table_is_named_with_its_notebook(record):
    record.path("05_lost").unlink()
    with pytest.raises(UserError, match=r"05_lost\.csv: is missing; run notebook 05"):
        sentences.abstract(record)
    with pytest.raises(UserError, match="is not there"):
        read_record(str(record.folder / "nowhere"))


def test_what_is_said_about_landmarks_follows_from_the_ceiling(record):
    name = tables.model_name(CEILING)
    assert record.exact_landmarks
    exact = sentences.landmark_rows(record.simulated, record.exact_landmarks)
    assert "no fair baselines" in exact and name not in exact
    results = record.table("04_results")
    row = results[results["model"] == "resnet18"].assign(model=CEILING)
    pd.concat([results, row]).to_csv(record.path("04_results"), index=False)
    assert not record.exact_landmarks
    found = sentences.landmark_rows(record.simulated, record.exact_landmarks)
    assert "no fair baselines" not in found and f"*{name}*" in found
    assert CEILING not in record.networks() and "is no method" in found
    cards.write_cards(record)
    assert "error like a tracker's" in (record.folder / "data_card.md").read_text()
    real = sentences.landmark_rows(False, False)
    assert "simulated" not in real and name not in real
    # A sentence with model names never turns into one about the ceiling.
    assert with_model_names("the ceiling of exact landmarks") == "the ceiling of exact landmarks"


def test_what_leaks_cost_is_read_from_the_table(record):
    price = record.table("04_leak")
    clip, frame = sentences.leaks(price).splitlines()
    assert "Folds by clip raise the CCC significantly" in clip and "in 0 of 2 cases" in clip
    assert "0.02 [−0.01, 0.05] (HOG, SVR, arousal)" in clip
    assert clip.endswith("That it is not significant does not show that there is none.")
    assert "in 1 of 2 cases" in frame and frame.endswith("0.28 [0.26, 0.30] (HOG, SVR, arousal).")
    change(record, "04_leak", lambda t: t["model"] == "HOG, SVR", "low of the clip leak", 0.01)
    change(record, "04_leak", lambda t: t["model"] != "HOG, SVR", "high of the clip leak", -0.01)
    clip = sentences.leaks(record.table("04_leak")).splitlines()[0]
    assert "in 1 of 2 cases" in clip and "lower it significantly in 1" in clip
    assert "does not show" not in clip


def test_words():
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    said = with_model_names("CCC of vgg11_bn - CCC of geometry-ridge")
    assert said == "CCC of VGG11-bn − CCC of landmarks, ridge"
