"""What is said and drawn of smiles, and where a report finds it."""

import json

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest

from vaaffect.classical import CONSTANT
from vaaffect.report import smile_report
from vaaffect.results import Bootstrap, SmileResults, smile_effects, smile_gaps, smiles

DRAWN, FILMED = "AFEW-VA (simulated)", "AFEW-VA"


def made_up(corpus: str = DRAWN, start: str = "pretext", citation: str = "") -> SmileResults:
    """Twenty people, three trainings that see women's smiles alone, and the constant."""
    gender = np.array(["female", "male"] * 10)
    people = pd.DataFrame({"person": [f"p{i}" for i in range(20)], "gender": gender,
                           "group": None, "age": 30.0})  # fmt: skip
    rng = np.random.default_rng(0)
    tables = []
    for fold in range(4):
        shift = rng.normal(0.2, 0.02, 20) * (gender == "female") - 0.1 * (gender == "male")
        network = {"train_corpus": corpus, "model": "resnet18", "recipe": "r", "fold": fold - 1}
        if not fold:
            network = {"train_corpus": "none", "model": CONSTANT, "recipe": CONSTANT, "fold": 0}
            shift = 0 * shift
        tables.append(
            pd.DataFrame({
                **network, "seed": 0, "person": people["person"], "valence_neutral": 0.0,
                "valence_smiling": shift, "arousal_neutral": 0.0, "arousal_smiling": 0.1 * shift,
            })[smiles.SMILE_COLUMNS]
        )  # fmt: skip
    predictions, draw = pd.concat(tables, ignore_index=True), Bootstrap(100)
    return SmileResults(
        "photographs of people", citation, False, 20, {"no face found": 3},
        smile_effects(predictions, people, bootstrap=draw),
        smile_effects(predictions, people, single=True, bootstrap=draw),
        smile_gaps(predictions, people, bootstrap=draw), {(corpus, "resnet18", "r"): start},
    )  # fmt: skip


@pytest.mark.parametrize(
    ("results", "said", "unsaid"),
    [
        (made_up(), "networks were trained on drawn faces alone.", "Photographs: "),
        (made_up(start="imagenet"), "drawn faces, from weights that had been trained", "alone"),
        (made_up(FILMED, citation="By somebody."), "Photographs: By somebody.", "drawn faces"),
    ],
)
def test_the_words_are_exact(results, said, unsaid):
    text = smile_report.words(results)
    assert said in text and unsaid not in text and "\n" not in text
    assert text.startswith("20 people of the photographs of people")
    for exact in ("posed smiles", "sign of valence only", "no valence/arousal labels"):
        assert exact in text


def test_the_findings_follow_the_tables():
    text = smile_report.findings(made_up())
    assert "above one half for 0 of 1 networks, below it for 0" in text
    assert "Of 1 differences" in text and "1 have a 95 % interval" in text
    gap = "*female* (10 people) minus the others (10) is 1.00"
    assert f"ResNet18 trained on AFEW-VA (simulated): {gap}" in text
    assert "Left out: 3 × no face found." in text


def test_tables_have_the_constant_and_every_group():
    everybody = smile_report.smile_table(made_up()).set_index("network")
    proportion = "valence higher for the smile (proportion)"
    assert everybody.loc["constant (training mean)", proportion] == "0.50 [0.50, 0.50]"
    assert everybody.loc["ResNet18", proportion].startswith("0.50 [0.2")
    assert everybody.loc["ResNet18", "starts from"] == "the pretext task"
    groups = smile_report.group_table(made_up())
    assert list(groups["group"]) == ["female", "male", "25 to 34"]
    assert list(groups["people"]) == [10, 10, 20] and (groups["trainings"] == 3).all()


def test_the_figure_has_a_row_per_group_and_a_mark_per_network():
    figure = smile_report.smile_figure(made_up())
    (ax,) = figure.axes
    assert [label.get_text() for label in ax.get_yticklabels()] == [
        "everybody (20)", "gender: female (10)", "gender: male (10)", "age: 25 to 34 (20)",
    ]  # fmt: skip
    chance, marks = ax.lines
    assert set(chance.get_xdata()) == {0.5}
    assert list(marks.get_xdata()) == [0.5, 1, 0, 0.5] and list(marks.get_ydata()) == [0, 1, 2, 3]
    (legend,) = figure.legends
    assert "ResNet18 trained on AFEW-VA (simulated)" in [t.get_text() for t in legend.texts]
    plt.close("all")


def test_a_report_shows_its_own_results_else_the_committed_ones(record, tmp_path, monkeypatch):
    monkeypatch.setattr(smile_report, "REPORTS", tmp_path / "reports")
    assert smile_report.results_in(record) is None
    assert smile_report.origin(record) == smile_report.NOT_GIVEN
    committed = tmp_path / "reports" / "people"
    networks = [{"run": "a", "weights": "0"}, {"run": "b", "weights": "1"}]
    smile_report.write_page(made_up(), committed, networks, "12ab")
    found, name = smile_report.results_in(record)
    assert (found.folder, name) == (committed, "people")
    commit = json.loads((committed / "manifest.json").read_text())["commit"] or "unknown"
    assert f"of 2 trained networks, by the code of commit {commit[:10]}" in (
        smile_report.origin(record)
    )
    assert found.caption("people_smiles") == smile_report.words(made_up())
    page = (committed / "README.md").read_text()
    assert smile_report.words(made_up()) in page and "`12ab`" in page
    smile_report.save_smiles(made_up(), str(record.folder), "06_people")
    plt.close("all")
    assert smile_report.results_in(record) == (record, "06_people")
    assert "networks of this study" in smile_report.origin(record)
