"""The report's sentences and tables, and the cards: they say what the tables say."""

import html
import re
import shutil

import pandas as pd
import pytest

from vaaffect.base.errors import UserError
from vaaffect.base.paths import REPORTS
from vaaffect.report import cards, sentences
from vaaffect.report.page_tables import blocks, claims_table, thesis_table
from vaaffect.report.record import Record, in_words, listed, read_record

GROUPS = {
    "trait": ["skin tone"] * 2,
    "group": ["dark", "light"],
    "model": ["VGG11-bn"] * 2,
    "people": [11, 23],
    "frames": [70, 140],
    "valence RMSE": ["0.31 [0.27, 0.36]", "0.19 [0.17, 0.21]"],
    "data": ["AFEW-VA (simulated)"] * 2,
}
GAPS = {
    "model": ["VGG11-bn", "ResNet18"],
    "trait": ["skin tone"] * 2,
    "compared": ["dark"] * 2,
    "reference": ["light"] * 2,
    "dimension": ["valence"] * 2,
    "metric": ["RMSE"] * 2,
    "difference": [0.12, 0.01],
    "low": [0.07, -0.05],
    "high": [0.17, 0.07],
    "decided": [True, False],
    "subjects": [11, 11],
}


@pytest.fixture
def record(tmp_path) -> Record:
    """A copy of the committed report's tables, to be changed."""
    shutil.copytree(REPORTS / "demo" / "tables", tmp_path / "tables")
    shutil.copy(REPORTS / "demo" / "manifest.json", tmp_path)
    for name, columns in (("04_groups", GROUPS), ("04_group_gaps", GAPS)):
        pd.DataFrame(columns).to_csv(tmp_path / "tables" / f"{name}.csv", index=False)
        (tmp_path / "tables" / f"{name}.md").write_text("Groups of people.\n\n| |\n")
    return read_record(str(tmp_path))


def change(record: Record, name: str, where, column: str, value) -> None:
    table = record.table(name)
    table.loc[where(table), column] = value
    table.to_csv(record.path(name), index=False)


def test_the_abstract_follows_the_tables(record):
    before = sentences.abstract(record)
    change(
        record, "04_headline", lambda t: t["model"] == "VGG11-bn", "valence CCC", "0.11 [0.1, 0.2]"
    )
    change(record, "04_against_constant", lambda t: t.index == 0, "error saved, mean (%)", -12.4)
    change(record, "05_claims", lambda t: t["claim"] == "H5", "verdict", "undecided")
    after = sentences.abstract(record)
    assert "0.11 [0.1, 0.2] for valence" not in before and "0.11 [0.1, 0.2] for valence" in after
    assert "12 % larger for valence" in after
    undecided = r"- \*\*undecided\*\*: .*from scratch \(H5\)"
    assert re.search(undecided, after) and not re.search(undecided, before)
    assert "1 of 2 differences" in after  # of the groups


def test_what_is_lost_abroad_is_counted_in_both_directions(record):
    for name, value in (("difference", 0.2), ("decided", True)):
        change(record, "05_lost", lambda t: t.index == 0, name, value)
    for name, value in (("difference", -0.2), ("decided", True)):
        change(record, "05_lost", lambda t: t.index == 1, name, value)
    for row in (2, 3):
        change(record, "05_lost", lambda t, row=row: t.index == row, "decided", False)
    said = "decidedly worse in 1 of 4 cases, decidedly better in 1, and undecided in 2"
    assert said in sentences.abstract(record)


def test_the_base_of_the_ablation_stands_beside_the_constant(record):
    change(record, "07_recipes", lambda t: t["recipe"] == "thesis", "valence CCC", "0.17 [0, 0.3]")
    change(record, "07_recipes", lambda t: t.index == 0, "arousal RMSE", "0.29 [0.2, 0.4]")
    said = sentences.beyond(record)
    assert "0.17 [0, 0.3] for valence" in said and said.index("0.29 [") > said.index("constant's")


def test_the_abstract_says_that_faces_are_drawn_and_only_then(record):
    assert "drawn by a simulator" in sentences.abstract(record)
    for name in ("04_five_folds", "01_corpora", "05_lost"):
        path = record.path(name)
        path.write_text(path.read_text().replace(" (simulated)", ""))
    assert "simulator" not in sentences.abstract(record)
    assert "simulator" not in sentences.data(record)


def test_the_claims_show_their_verdicts_and_no_internal_names(record):
    page = claims_table(record).data
    verdicts = sentences.claims(record)["verdict"]
    assert re.findall(r"<span>. ([a-z ]+)</span>", page) == list(verdicts)
    assert "vgg11_bn" not in page and "VGG11-bn" in page
    change(record, "05_claims", lambda t: t["claim"] == "H5", "effect", float("nan"))
    assert "not measured" in claims_table(record).data


@pytest.mark.parametrize("which", [1, 2, 3, 4])
def test_the_thesis_tables_keep_every_row_and_every_source(record, which):
    table = record.table(f"05_thesis_{which}")
    page = thesis_table(record, which).data
    assert page.count('scope="row"') == len(table)
    plain = html.unescape(re.sub(r"<[^>]+>", " ", page))
    for column in ("system", "source", "protocol", "scale", "tested on"):
        for value in table[column].unique():
            assert value in plain, (column, value)
    order = [plain.find(f"  {block}") for block in ("measured here", "published")]
    assert -1 < order[0] < order[1]


def test_blocks_take_out_what_is_the_same():
    table = pd.DataFrame(
        {"model": ["a", "b<c"], "CCC": ["0.5 [0.4, 0.6]", 0.25], "data": ["D"] * 2}
    )
    page = blocks(table, [], "What it is.", ["data"]).data
    assert page.count("D</span>") == 1 and '<th scope="col">data' not in page
    assert "0.5<br><small>[0.4, 0.6]</small>" in page and "b&lt;c" in page and "0.25" in page
    differ = blocks(table.assign(data=["D", "E"]), [], "What it is.", ["data"]).data
    assert "a<small>D</small>" in differ and "<small>E</small>" in differ


def test_methods_and_provenance_come_from_the_manifest(record):
    given, run = record.parameters(), record.manifest
    text = sentences.methods(record)
    assert f"{given['FOLDS']} folds" in text and f"{given['SIZE']} × {given['SIZE']}" in text
    text = sentences.provenance(record)
    assert run["commit"] in text and all(digest in text for digest in run["data"].values())
    assert f"torch {run['packages']['torch']}" in text
    recipes = record.recipes().set_index("setting")
    assert recipes.loc["epochs at most", "VGG11-bn"] == given["PER_MODEL"]["vgg11_bn"]["epochs"]
    assert recipes.loc["epochs at most", "ResNet18"] == given["EPOCHS"]


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
    headline = record.table("04_headline").set_index("model")
    for model in record.networks():
        for column in ("valence CCC", "valence RMSE", "arousal CCC", "arousal RMSE"):
            assert headline.loc[model, column] in card, (model, column)
    for cells in (GROUPS["valence RMSE"], GROUPS["people"]):
        assert all(str(cell) in card for cell in cells)
    assert "VGG11-bn, valence: RMSE of *dark* minus that of *light* (skin tone) is 0.12" in card
    assert "ResNet18, valence: RMSE of" not in card  # not decided
    for heading in ("Intended use", "What reading faces cannot tell", "Groups", "Limits"):
        assert f"## {heading}" in card
    assert "not people" in card and record.manifest["commit"] in card


def test_a_model_card_without_groups_says_that_nothing_is_known(record):
    record.path("04_groups").unlink()
    assert "nothing is known" in cards.model_card(record)


def test_the_data_card_holds_the_corpora_and_their_fingerprints(record):
    card = cards.data_card(record)
    for row in record.table("01_corpora").to_dict("records"):
        assert f"| {row['data']} | {row['frames']} | {row['clips']} | {row['subjects']} |" in card
    assert all(digest in card for digest in record.manifest["data"].values())
    assert "subjects 140" in card and "consent" in card  # of the simulated world


def test_a_missing_table_is_named_with_its_notebook(record):
    record.path("05_lost").unlink()
    with pytest.raises(UserError, match=r"05_lost\.csv: is missing; run notebook 05"):
        sentences.abstract(record)
    with pytest.raises(UserError, match="is not there"):
        read_record(str(record.folder / "nowhere"))


def test_words():
    assert listed(["a"]) == "a" and listed(["a", "b", "c"]) == "a, b and c"
    said = in_words("CCC of vgg11_bn - CCC of geometry-ridge")
    assert said == "CCC of VGG11-bn − CCC of landmarks, ridge"
