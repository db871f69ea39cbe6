"""Profiles: what a parameters cell declares, and every way in which a profile can be wrong."""

import pytest
from toy_study import FIRST, write_notebook

from vaaffect.base.errors import UserError
from vaaffect.study.kernels import imported
from vaaffect.study.profiles import (
    Parameter,
    load_profile,
    matches,
    notebook_sources,
    read_parameters,
)


@pytest.fixture
def notebooks(tmp_path):
    write_notebook(tmp_path / "00_start.ipynb", ["# Start"])
    write_notebook(tmp_path / "03_train.ipynb", ["# Train"], FIRST + "FOLDS: int = 5\n")
    write_notebook(tmp_path / "99_report.ipynb", ["# Report"], None)
    write_notebook(tmp_path / "draft.ipynb", ["# Not part of the study"])
    (tmp_path / "profiles").mkdir()
    return tmp_path


@pytest.fixture
def load(notebooks):
    def load(text):
        (notebooks / "profiles" / "p.yaml").write_text(text)
        return load_profile("p", notebooks)

    return load


def test_read_parameters(notebooks):
    parameters = read_parameters(notebooks / "00_start.ipynb")
    assert list(parameters)[:3] == ["SEED", "EPOCHS", "RATE"]
    assert parameters["EPOCHS"] == Parameter("int", 2)
    assert parameters["MODELS"] == Parameter("list[str]", ["a", "b"])
    assert read_parameters(notebooks / "99_report.ipynb") == {}


def test_read_parameters_with_what_regular_expressions_trip_over(tmp_path):
    cell = (
        'TEXT: str = "a = b # no comment"  # a comment\n'
        "LIST: list[int] = [\n    1,\n    2,\n]  # over lines\n"
        "NEGATIVE: float = -1.5\nBARE = 3\nMAYBE: int | None = None\n"
    )
    found = read_parameters(write_notebook(tmp_path / "00_a.ipynb", ["# A"], cell))
    assert found["TEXT"].default == "a = b # no comment"
    assert found["LIST"].default == [1, 2]
    assert found["NEGATIVE"].default == -1.5
    assert found["BARE"].type == "int"
    assert found["MAYBE"].type == "int | None"


@pytest.mark.parametrize("cell", ["A: int = 1 + x", "import os", "%matplotlib inline", "A: int"])
def test_a_parameters_cell_holds_literals_only(tmp_path, cell):
    path = write_notebook(tmp_path / "00_a.ipynb", ["# A"], cell)
    with pytest.raises(UserError, match=r"00_a\.ipynb: the cell tagged `parameters`"):
        read_parameters(path)


@pytest.mark.parametrize(
    ("value", "annotation", "expected"),
    [
        (1, "int", True),
        (1, "float", True),
        (1.0, "int", False),
        (True, "int", False),
        (True, "float", False),
        (1, "bool", False),
        ("a", "str", True),
        (None, "str", False),
        (None, "int | None", True),
        ([1, 2], "list[int]", True),
        ([1, "a"], "list[int]", False),
        ([1, 2.5], "list[float]", True),
        ({"a": [1]}, "dict[str, list[int]]", True),
        ({"a": ["b"]}, "dict[str, list[int]]", False),
        ([], "list", True),
        ("ab", "list[str]", False),
    ],
)
def test_matches(value, annotation, expected):
    assert matches(value, annotation) is expected


def test_a_profile_reaches_the_notebooks_that_declare_its_parameters(load, notebooks):
    profile = load(
        "title: a toy\nexpected_seconds: {data: 3, '03': 20.5}\n"
        "all: {SEED: 7, FOLDS: 3}\nnotebooks:\n  '03': {SEED: 8, EPOCHS: 4}\n"
    )
    assert (profile.name, profile.title) == ("p", "a toy")
    assert profile.expected_seconds == {"data": 3, "03": 20.5}
    start, train, report = notebook_sources(notebooks)
    assert profile.parameters_for(start) == {"SEED": 7}
    assert profile.parameters_for(train) == {"SEED": 8, "FOLDS": 3, "EPOCHS": 4}
    assert profile.parameters_for(report) == {}


def test_the_primer_comes_last_and_has_parameters_like_the_rest(load, notebooks):
    write_notebook(notebooks / "primer" / "p1_basics.ipynb", ["# P1"], "STEPS: int = 3\n")
    write_notebook(notebooks / "primer" / "notes.ipynb", ["# Not part of the primer"])
    names = [source.name for source in notebook_sources(notebooks)]
    assert names == ["00_start.ipynb", "03_train.ipynb", "99_report.ipynb", "p1_basics.ipynb"]
    profile = load("expected_seconds: {p1: 9}\nnotebooks: {p1: {STEPS: 4}}")
    assert profile.parameters_for(notebooks / "primer" / "p1_basics.ipynb") == {"STEPS": 4}
    with pytest.raises(UserError, match="notebook p1 does not declare it"):
        load("notebooks: {p1: {EPOCHS: 4}}")


def test_an_empty_profile_changes_nothing(load, notebooks):
    assert load("").parameters_for(notebooks / "00_start.ipynb") == {}
    assert load("all:\nnotebooks:\n").title == "p"


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        ("al: {SEED: 1}", ["p.yaml", "'al'", "did you mean 'all'"]),
        ("all: {EPOCH: 1}", ["p.yaml: all", "'EPOCH'", "did you mean 'EPOCHS'"]),
        ("all: {epochs: 1}", ["did you mean 'EPOCHS'"]),
        ("all: {ZZZ: 1}", ["'ZZZ'", "no notebook declares it", "valid: SEED"]),
        ("notebooks: {'00': {FOLDS: 1}}", ['notebooks: "00"', "notebook 00 does not declare"]),
        ("notebooks: {'04': {SEED: 1}}", ["unknown notebook number '04'", "valid: 00, 03, 99"]),
        ("notebooks: {3: {SEED: 1}}", ["two digits in quotes", '"03"']),
        ("expected_seconds: {'07': 1}", ["expected_seconds", "'07'"]),
        ("expected_seconds: {'03': soon}", ["expected_seconds: 03", "str 'soon'"]),
        ("expected_seconds: {'03': 0}", ["above 0"]),
        ("all: {EPOCHS: 1.5}", ["EPOCHS: expected int (notebook 00)", "float 1.5"]),
        ("all: {EPOCHS: true}", ["EPOCHS: expected int", "bool True"]),
        ("all: {EPOCHS: }", ["EPOCHS: expected int", "got nothing"]),
        ("all: {NAME: 3}", ["NAME: expected str", "int 3", "quotes"]),
        ("all: {NAME: on}", ["bool True", "quotes"]),
        ("all: {RATE: 1e-3}", ["RATE: expected float", "write 1.0e-3"]),
        ("all: {RATE: 2.5e3}", ["write 2.5e+3"]),
        ("all: {MODELS: a}", ["MODELS: expected list[str]", "str 'a'"]),
        ("all: {MODELS: [a, 1]}", ["MODELS: expected list[str]"]),
        ("all: [SEED]", ["p.yaml: all", "`key: value`"]),
        ("- a", ["p.yaml", "`key: value`"]),
        ("title: [a]", ["title must be one line"]),
        ("all: {SEED: 1, SEED: 2}", ["p.yaml line 1", "'SEED' is given twice"]),
        ("all:\n  SEED: 1\nall:\n  SEED: 2", ["p.yaml line 3", "'all' is given twice"]),
        ("all: {SEED: 1", ["p.yaml", "not valid YAML"]),
        ("all: {OUT: x}", ["OUT is given by the study itself"]),
        ("notebooks: {'00': {PROFILE: x}}", ["PROFILE is given by the study itself"]),
    ],
)
def test_a_wrong_profile_is_refused_with_the_cure(load, text, parts):
    with pytest.raises(UserError) as error:
        load(text)
    for part in parts:
        assert part in str(error.value)


def test_an_unknown_profile_lists_the_others(notebooks):
    for name in ("demo", "gpu"):
        (notebooks / "profiles" / f"{name}.yaml").write_text("title: x\n")
    with pytest.raises(UserError, match=r"no profile 'dmeo'; available: demo, gpu"):
        load_profile("dmeo", notebooks)
    with pytest.raises(UserError, match="no profile"):
        load_profile("../profiles/demo", notebooks)


def test_changed_values(notebooks, load):
    load('title: t\nall: {SEED: 7, RATE: 0.2}\nnotebooks:\n  "03": {EPOCHS: 4, SEED: 1}\n')
    changes = ["SEED=8", "MODELS=[c]"]
    profile = load_profile("p", notebooks, changes)
    assert profile.name == "p" and profile.title == "t; changed: SEED=8, MODELS=[c]"
    assert profile.all == {"SEED": 8, "RATE": 0.2, "MODELS": ["c"]}
    assert profile.notebooks == {"03": {"EPOCHS": 4}}


def test_one_entry_of_a_dict_is_changed_over_the_profile_or_the_default():
    given = load_profile("gpu").all["WILD"]
    profile = load_profile("gpu", changes=["WILD.clips=30", "RECIPE.weights=imagenet"])
    assert profile.all["WILD"] == given | {"clips": 30}
    assert profile.all["RECIPE"]["weights"] == "imagenet"
    default = load_profile("demo", changes=["WILD.clips=30"]).all["WILD"]
    assert default["clips"] == 30 and len(default) > 1


def test_a_change_that_per_model_would_undo_is_refused_with_the_cure():
    with pytest.raises(UserError) as error:
        load_profile("thesis", changes=["EPOCHS=1", "MODELS=[vgg11_bn]", "BASELINES=[hog-svr]"])
    assert "--set EPOCHS=1: changes nothing for vgg11_bn (190)" in str(error.value)
    cure = "PER_MODEL.vgg11_bn.epochs=1"
    assert cure in str(error.value) and "resnet152" not in str(error.value)
    changes = ["EPOCHS=1", "MODELS=[vgg11_bn]", "BASELINES=[hog-svr]", cure]
    values = load_profile("thesis", changes=changes).all
    assert values["PER_MODEL"]["vgg11_bn"] == {"epochs": 1, "batch_size": 20}
    assert values["PER_MODEL"]["resnet152"]["epochs"] == 100
    with pytest.raises(UserError, match=r"RECIPE.lr=0.1: .* vgg_tiny_bn \(0.003\)"):
        load_profile("demo", changes=["RECIPE.lr=0.1"])
    load_profile("demo", changes=["RECIPE.momentum=0.8", "EPOCHS=1"])
    load_profile("demo", changes=["RECIPE.lr=0.1", "PER_MODEL={}"])


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ("SEED", "--set SEED: write NAME=VALUE or NAME.KEY=VALUE"),
        ("=3", "--set =3: write NAME=VALUE"),
        ("SEED.=3", "write NAME=VALUE"),
        ("SEED=[1", "write NAME=VALUE"),
        ("SEED.a=1", "--set SEED.a=1: SEED is int 0 and has no keys."),
        ("SEDE=1", "p.yaml with --set: all: unknown parameter 'SEDE'.*did you mean 'SEED'"),
        ("SEED=many", "p.yaml with --set: all: SEED: expected int"),
        ("OUT=x", "OUT is given by the study itself"),
    ],
)
def test_a_change_that_cannot_be_made(notebooks, load, change, said):
    load("title: t")
    with pytest.raises(UserError, match=said):
        load_profile("p", notebooks, [change])


def test_what_a_kernel_finds_imported_are_the_rooms_that_notebooks_use(tmp_path):
    cells = ["%time 1", "import json\nfrom vaaffect.report import plots", "from . import mine"]
    notebook = write_notebook(tmp_path / "00_mine.ipynb", [*cells, "import vaaffect.base, of_mine"])
    assert imported([notebook]) == ["vaaffect.base", "vaaffect.report"]
