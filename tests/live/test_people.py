"""Pairs of photographs: both layouts, what is left out, the steps of `predict`, the whole command.

The people are drawn; the network is really trained. Statistics are in results/test_smiles.py.
"""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest

from vaaffect.__main__ import main
from vaaffect.base import provenance
from vaaffect.base.errors import UserError
from vaaffect.corpora import FacesTracker, read_image
from vaaffect.live import acted_emotions, people
from vaaffect.live.photographs import LONDON, LONDON_CITATION, load_people
from vaaffect.live.predictor import Predictor, find_runs
from vaaffect.report import smile_report
from vaaffect.results import Bootstrap, smiles

COUNT = 8
GENDERS = ["female", "male"] * 4


def write_jpg(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))


@pytest.fixture(scope="session")
def drawn() -> list[tuple[np.ndarray, np.ndarray]]:
    """(neutral, smiling) of the same drawn people."""
    poses = list(acted_emotions.draw_poses(COUNT, ["neutral", "happiness"]))
    assert [pose.emotion for pose in poses[:2]] == ["neutral", "happiness"]
    pairs = zip(poses[::2], poses[1::2], strict=True)
    return [(neutral.picture, smiling.picture) for neutral, smiling in pairs]


@pytest.fixture
def ours(drawn, tmp_path) -> Path:
    """Our own layout, marked as drawn."""
    root = tmp_path / "people é"
    for number, pictures in enumerate(drawn, 1):
        for folder, picture in zip(("neutral", "smiling"), pictures, strict=True):
            write_jpg(root / folder / f"{number:03}.jpg", picture)
    rows = [f"{n:03},{19 + 4 * n},{gender},white" for n, gender in enumerate(GENDERS, 1)]
    (root / "people.csv").write_text("person,age,gender,group\n" + "\n".join(rows))
    (root / "simulated.json").write_text(json.dumps({"key": "drawn for a test"}))
    return root


@pytest.fixture
def figshare(drawn, tmp_path) -> Path:
    """The layout of the London set: a number after the person's, and templates beside."""
    root = tmp_path / "london"
    for number, (neutral, smiling) in enumerate(drawn, 1):
        write_jpg(root / "neutral_front" / f"{number:03}_03.jpg", neutral)
        write_jpg(root / "smiling_front" / f"{number:03}_08.jpg", smiling)
        (root / "neutral_front" / f"{number:03}_03.tem").write_text("189")
    rows = [f"X{n:03},{'NA' if n == 1 else 30},{g},east_asian" for n, g in enumerate(GENDERS, 1)]
    table = "face_id,face_age,face_gender,face_eth\n" + "\n".join(rows)
    (root / "london_faces_info.csv").write_text(table)
    (root / "a_ratings.csv").write_text("rater_sex,rater_age,X001,X002\nmale,30,3,4\n")
    return root


def reasons(table: pd.DataFrame) -> dict[str, str]:
    return dict(table[["path", "reason"]].itertuples(index=False))


def test_our_own_layout(ours):
    pairs = load_people(ours)
    assert list(pairs.people["person"]) == [f"{n:03}" for n in range(1, COUNT + 1)]
    first = pairs.people.iloc[0]
    assert (first["age"], first["gender"], first["group"]) == (23, "female", "white")
    assert (first["neutral"], first["smiling"]) == ("neutral/001.jpg", "smiling/001.jpg")
    assert pairs.problems.empty and pairs.simulated and pairs.citation == ""
    assert pairs.label == "photographs of people (simulated)"


def test_the_london_set_as_figshare_gives_it(figshare):
    pairs = load_people(figshare)
    assert list(pairs.people["person"]) == [f"{n:03}" for n in range(1, COUNT + 1)]
    assert np.isnan(pairs.people["age"].iloc[0]) and pairs.people["age"].iloc[1] == 30
    assert set(pairs.people["group"]) == {"east asian"}
    assert list(pairs.people["gender"]) == GENDERS
    assert pairs.people["smiling"].iloc[2] == "smiling_front/003_08.jpg"
    assert (pairs.label, pairs.citation) == (LONDON, LONDON_CITATION) and pairs.problems.empty


def test_a_part_of_the_london_set_tells_by_its_readme(ours):
    (ours / "README.md").write_text("From doi 10.6084/m9.figshare.5047666.v5, scaled.")
    assert load_people(ours).citation == LONDON_CITATION


def test_a_table_of_bare_columns_and_other_spellings_of_a_person_will_do(ours):
    (ours / "people.csv").write_text("\ufeffPerson , Sex\n1, F\n2,M\n", encoding="utf-8")
    pairs = load_people(ours)
    assert list(pairs.people["person"]) == ["001", "002"]
    assert list(pairs.people["gender"]) == ["f", "m"]
    assert pairs.people["age"].isna().all() and pairs.people["group"].isna().all()


def test_what_windows_and_a_mac_leave_is_nobodys_photograph(ours):
    table = ours / "people.csv"
    table.rename(table.with_suffix(".CSV"))
    table.with_suffix(".CSV").write_bytes(table.with_suffix(".CSV").read_text().encode("utf-16"))
    for path in (table, *ours.glob("*/*.jpg")):
        path.with_name(f"._{path.name}").write_bytes(bytes(100))
    pairs = load_people(ours)
    assert len(pairs.people) == COUNT and pairs.problems.empty


def test_what_cannot_be_used_is_listed_and_the_rest_is_kept(ours):
    (ours / "smiling" / "002.jpg").unlink()
    (ours / "neutral" / "003.jpg").unlink()
    rows = (ours / "people.csv").read_text().splitlines()
    rows = [row for row in rows if not row.startswith("004")]
    (ours / "people.csv").write_text("\n".join([*rows, rows[1], "099,30,male,white"]))
    shutil.copy(ours / "neutral" / "005.jpg", ours / "neutral" / "005.png")
    (ours / "neutral" / "009.HEIC").write_bytes(b"")
    (ours / "neutral" / "notes.md").write_text("no picture")
    pairs = load_people(ours)
    assert list(pairs.people["person"]) == ["001", "005", "006", "007", "008"]
    assert reasons(pairs.problems) == {
        "neutral/002.jpg": "has no smiling partner",
        "smiling/003.jpg": "has no neutral partner",
        "neutral/004.jpg": "the person has no row in people.csv",
        "neutral/005.png": "a second picture of the same person",
        "neutral/009.HEIC": "is HEIC, which is not read; export it as JPEG",
        "people.csv#001": "a second row of the same person",
        "people.csv#99": "a row without pictures",
    }


def test_folders_with_nothing_usable_are_refused(ours, tmp_path):
    for root, message in (
        (tmp_path / "none", r"none: no such folder; expected neutral/ID\.jpg"),
        (tmp_path, "holds no pairs of photographs"),
    ):
        with pytest.raises(UserError, match=message):
            load_people(root)
    table = (ours / "people.csv").read_text()
    (ours / "people.csv").write_text("someone,age\n1,2\n")
    with pytest.raises(UserError, match=r"no table of the people; expected people\.csv"):
        load_people(ours)
    (ours / "people.csv").write_text(table.replace("00", "9"))
    with pytest.raises(UserError, match="not one pair of photographs can be used; first: neut"):
        load_people(ours)


def test_the_predictions_are_those_of_predict(ours, run):
    """The same face, crop and network; a batch rounds otherwise, see test_predictor."""
    pairs = load_people(ours)
    measured = people.measure(pairs, [run], device="cpu")
    rows = measured.predictions[measured.predictions["model"] == "resnet10"]
    assert list(rows["person"]) == list(pairs.people["person"])
    predictor = Predictor.from_run(run, device="cpu", tracker=FacesTracker(thorough=True))
    for row, person in zip(rows.to_dict("records"), pairs.people.to_dict("records"), strict=True):
        for expression in ("neutral", "smiling"):
            predictor.reset()
            first, *_ = predictor(read_image(ours / person[expression])[0])
            va = [row[f"{dimension}_{expression}"] for dimension in ("valence", "arousal")]
            assert np.allclose(va, first.va, atol=2e-2)
    assert rows[["valence_neutral", "valence_smiling"]].to_numpy().std() > 0.02  # it does see faces
    constant = measured.predictions.query("model == 'constant'")
    assert len(constant) == COUNT and (constant["valence_smiling"] == 0).all()


def test_neutral_and_smiling_exchanged_turn_every_result_round(ours, run):
    pairs = load_people(ours)
    other = pairs.people.rename(columns={"neutral": "smiling", "smiling": "neutral"})
    turned = replace(pairs, people=other)
    values = []
    for one in (pairs, turned):
        results = people.smile_results(people.measure(one, [run], device="cpu"), Bootstrap(100))
        shown = results.effects.query("model == 'resnet10' and trait == 'everybody'")
        values.append(shown.set_index("measure")["value"])
    for measure in (smiles.SHIFT, smiles.AROUSAL):
        assert values[0][measure] == pytest.approx(-values[1][measure]) and values[0][measure] != 0
    assert values[0][smiles.HIGHER] == pytest.approx(1 - values[1][smiles.HIGHER])


def test_unreadable_pictures_and_those_without_a_face_are_listed(ours, run):
    (ours / "neutral" / "001.jpg").write_bytes(b"no picture")
    write_jpg(ours / "smiling" / "002.jpg", np.full((300, 300, 3), 128, np.uint8))
    steps = []
    measured = people.measure(
        load_people(ours), [run], device="cpu", progress=lambda *step: steps.append(step)
    )
    assert list(measured.pairs.people["person"]) == [f"{n:03}" for n in range(3, COUNT + 1)]
    assert reasons(measured.pairs.problems) == {
        "neutral/001.jpg": "picture cannot be decoded (truncated or corrupt)",
        "smiling/002.jpg": people.NO_FACE,
    }
    assert steps[-1] == (2 * COUNT + 1, 2 * COUNT + 1)
    assert (measured.predictions.groupby("model").size() == COUNT - 2).all()
    for path in ours.glob("neutral/*.jpg"):
        path.write_bytes(b"")
    with pytest.raises(UserError, match="not one person has a face in both photographs"):
        people.measure(load_people(ours), [run], device="cpu")


@pytest.fixture
def runs(run, tmp_path) -> Path:
    """A study with three trainings of one recipe, an older version of it, a network from scratch,
    and one that was trained on leaking folds; all have the same weights."""
    folder = tmp_path / "runs"

    def add(name: str, recipe: dict | None = None, **changes) -> None:
        copy = Path(shutil.copytree(run, folder / name))
        config = json.loads((copy / "config.json").read_text())
        config["recipe"] |= recipe or {}
        (copy / "config.json").write_text(json.dumps(config | changes))
        done = json.loads((copy / "done.json").read_text())
        del done["files"]["config.json"]  # which is another one now
        (copy / "done.json").write_text(json.dumps(done))  # younger than the last

    add("old", code="older")
    add("leaking", by="frame")
    for number in range(3):
        add(f"new{number}", code="newer", fold=number // 2, seed=number % 2, split=f"s{number}")
    add("scratch", {"name": "quick from scratch"})
    return folder


def test_the_newest_trainings_of_each_recipe_are_measured_together(runs):
    chosen = people.choose_runs(find_runs(str(runs)))
    assert [run.name for run in chosen] == ["new0", "new1", "new2", "scratch"]


def test_the_command_writes_numbers_and_no_faces(figshare, runs, tmp_path, capsys):
    (figshare / "smiling_front" / "008_08.jpg").unlink()
    out = tmp_path / "out"
    assert main(["people", str(figshare), "--run", str(runs), "--out", str(out)]) == 0
    said = capsys.readouterr()
    assert "neutral_front/008_03.jpg" in said.err and "has no smiling partner" in said.err
    page = (out / "README.md").read_text()
    for text in (page, said.out):
        for exact in (
            "posed smiles", "sign of valence only", "no valence/arousal labels", LONDON_CITATION,
            "The networks were trained on drawn faces alone.", f"7 people of the {LONDON}",
            "1 × has no smiling partner",
        ):  # fmt: skip
            assert exact in text, exact
    table = pd.read_csv(out / "tables" / "people_smiles.csv")
    names = ["constant (training mean)", "ResNet10", "ResNet10, from scratch"]
    assert list(table["network"]) == names
    assert list(table["trainings"]) == [1, 3, 1] and (table["people"] == 7).all()
    assert (table["data"] == LONDON).all()
    proportion = "valence higher for the smile (proportion)"
    assert table[proportion].iloc[0] == "0.50 [0.50, 0.50]"
    assert table[proportion].iloc[1].split()[0] == table[proportion].iloc[2].split()[0]
    trainings = pd.read_csv(out / "tables" / "people_trainings.csv")
    assert len(trainings) == (1 + 3 + 1) * 3
    manifest = json.loads((out / "manifest.json").read_text())
    measured = [network["run"] for network in manifest["networks"]]
    assert measured == ["new0", "new1", "new2", "scratch"]
    assert manifest["photographs"]["people"] == 7 and len(manifest["photographs"]["sha256"]) == 64
    assert {p.suffix for p in out.rglob("*") if p.is_file()} == {".csv", ".md", ".json", ".png"}
    assert [p.name for p in out.rglob("*.png")] == ["people.png"]
    announced = [path for path, _ in smile_report.page_files(out)]
    assert sorted(announced) == sorted(p for p in out.rglob("*") if p.is_file())
    for path in out.rglob("*"):
        if path.suffix in (".csv", ".md", ".json"):
            text = path.read_text()
            assert str(tmp_path) not in text and "_front/" not in text and "X00" not in text, path


def test_the_command_overwrites_nothing_of_the_users(ours, run, tmp_path, capsys):
    (ours / "README.md").write_text("of the photographs")
    other = tmp_path / "project"
    (other / "tables").mkdir(parents=True)
    (other / "tables" / "people_smiles.csv").write_text("years of work")
    for out, said in (
        (ours, "README.md: is read and would be overwritten by the result's README.md"),
        (other, "people_smiles.csv: is there already and is no earlier result of this command"),
    ):
        before = sorted(out.rglob("*"))
        assert main(["people", str(ours), "--run", str(run), "--out", str(out)]) == 1
        assert said in capsys.readouterr().err
        assert sorted(out.rglob("*")) == before
    assert (ours / "README.md").read_text() == "of the photographs"
    assert (other / "tables" / "people_smiles.csv").read_text() == "years of work"
    provenance.write_study_manifest(other / "manifest.json", {"photographs": {}})
    earlier = [path for path, _ in smile_report.page_files(other) if path.exists()]
    assert len(earlier) == 2 and smile_report.is_page(other)


def test_the_command_names_what_is_missing(ours, tmp_path, capsys):
    assert main(["people", str(tmp_path / "nowhere")]) == 1
    assert main(["people", str(ours), "--run", str(tmp_path / "no-run")]) == 1
    said = capsys.readouterr().err.splitlines()
    assert len(said) == 2 and "no such folder" in said[0] and "is no run folder" in said[1]
