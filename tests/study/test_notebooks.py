"""House rules for the notebooks' sources; the smoke study (test_smoke.py) runs them.

A notebook ends with a Markdown cell that begins `## Summary`, one that begins `## Exercises`, then
three cells per exercise, one that begins `## References`, and the colophon. The three cells of an
exercise: `### Exercise N. Title` with the task and a hint; code tagged `answer`, which begins
`# your answer` and has typed names with `...` for what is to be found; code tagged `check`, folded
(`source_hidden`), which is one function under `@check(...)` and asserts, each assertion with the
sentence that tells a student what is wrong. Checks compute what they compare with and accept every
way there. Answers, right ones and typical wrong ones, are in solutions/ (see solved.py) and are
tried by the smoke test. Exercises are the same in all profiles, so they hold in the smallest too.
"""

import ast
import re

import nbformat
import pytest
from solved import exercises, read_solutions

from vaaffect.study.profiles import load_profile, notebook_sources, read_parameters

SOURCES = notebook_sources()
PROFILES = ("smoke", "demo", "gpu", "thesis", "thesis-try")
FORBIDDEN = r"\btqdm\b|\binput\(|filterwarnings|sys\.path|os\.chdir|^[%!]|\.\./|/home/|/work/"


def cells_of(path, kind):
    return [c for c in nbformat.read(path, as_version=4).cells if c.cell_type == kind]


def is_report(path):
    return path.name.startswith("99")  # reads what the others wrote: nothing to learn or to solve


@pytest.fixture(params=SOURCES, ids=lambda p: p.stem)
def path(request):
    return request.param


def test_the_notebooks_of_the_study_are_there():
    study = ["00", "01", "02", "03", "04", "05", "06", "07", "99"]
    assert [source.stem[:2] for source in SOURCES] == [*study, "p1", "p2", "p3"]


def test_format_kernel_and_no_outputs(path):
    notebook = nbformat.read(path, as_version=4)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) >= (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    assert "widgets" not in notebook.metadata and "papermill" not in notebook.metadata
    for cell in cells_of(path, "code"):
        assert cell.outputs == [] and cell.execution_count is None


def test_length(path):
    cells = nbformat.read(path, as_version=4).cells
    story = [cell.source.startswith("## Exercises") for cell in cells]
    assert 20 <= (story.index(True) if any(story) else len(cells)) <= 40  # exercises come after
    for cell in cells_of(path, "code"):
        if "parameters" not in cell.metadata.get("tags", []):  # a line each, and nothing to follow
            assert len(cell.source.splitlines()) <= 26, cell.source
    assert path.stat().st_size < 70 * 1024


def test_parameters_are_typed_and_explained(path):
    first, *_ = cells_of(path, "code")
    assert first.metadata.get("tags") == ["parameters"]
    parameters = read_parameters(path)
    assert list(parameters)[:2] == ["PROFILE", "OUT"]
    for parameter in parameters.values():
        assert not (isinstance(parameter.default, str) and "=" in parameter.default)
    annotated = [node for node in ast.parse(first.source).body if isinstance(node, ast.AnnAssign)]
    assert len(annotated) == len(parameters)
    lines = first.source.splitlines()
    for node in annotated:  # a dict may take several lines
        own = lines[node.lineno - 1 : node.end_lineno]
        assert any(re.search(r"  # \S", line) for line in own), node.target.id


def test_notebooks_agree_on_what_a_parameter_is():
    declared = {}
    for path in SOURCES:
        for name, parameter in read_parameters(path).items():
            if name in ("OUT",):  # the report reads where the others write
                continue
            first = declared.setdefault(name, parameter)
            assert (parameter.type, parameter.default) == (first.type, first.default), (path, name)


def test_code_keeps_to_the_rules(path):
    for cell in cells_of(path, "code"):
        assert not re.search(FORBIDDEN, cell.source, re.MULTILINE), cell.source
        assert not cell.source.rstrip().endswith(";"), cell.source


def test_text_frames_the_code(path):
    text = [c.source for c in cells_of(path, "markdown")]
    assert text[0].startswith(f"# {path.stem[:2].upper()}. ") and "?" in text[0] + text[1]
    if not is_report(path):
        assert "**Reads**" in text[0] and "**Writes**" in text[0]
        assert "## What you will learn" in text[1]
    assert "colophon" in cells_of(path, "code")[-1].source


def test_three_exercises_each_with_an_answer_and_a_check(path):
    if is_report(path):
        return
    cells = nbformat.read(path, as_version=4).cells
    start = next(i for i, cell in enumerate(cells) if cell.source.startswith("## Exercises"))
    assert cells[start - 1].source.startswith("## Summary")
    assert cells[-2].source.startswith("## References")
    numbered = cells[start + 1 : -2]
    assert len(numbered) == 9
    for number, (task, answer, check) in enumerate(zip(*[iter(numbered)] * 3, strict=True), 1):
        assert re.match(rf"### Exercise {number}\. \S", task.source) and "*Hint:*" in task.source
        assert answer.metadata["tags"] == ["answer"] and answer.source.startswith("# your answer\n")
        asked = [n for n in ast.walk(ast.parse(answer.source)) if isinstance(n, ast.AnnAssign)]
        assert asked and all(ast.unparse(name.value) == "..." for name in asked), answer.source
        assert check.metadata["tags"] == ["check"] and check.metadata["jupyter"]["source_hidden"]
        begin = re.escape(f"@check({', '.join(name.target.id for name in asked)})")
        how = f"begin `@check(every, answer)` and `def exercise_{number}():`, not `if answered`"
        assert re.match(rf"{begin}\ndef exercise_{number}\(\):\n", check.source), how
        (body,) = ast.parse(check.source).body
        asserted = [node for node in ast.walk(body) if isinstance(node, ast.Assert)]
        assert asserted and all(node.msg for node in asserted), check.source


def test_every_exercise_has_a_right_and_a_wrong_answer(path):
    numbers = range(1, len(exercises(nbformat.read(path, as_version=4))) + 1)
    solutions = read_solutions(path.stem)
    assert [s.exercise for s in solutions] == sorted(s.exercise for s in solutions)
    for number in numbers:
        own = [s.message for s in solutions if s.exercise == number]
        assert len(own) >= 2 and own[-1] is None and own.count(None) < len(own), number
    assert {s.exercise for s in solutions} == set(numbers)


def test_no_results_are_typed_into_prose(path):
    """Decimals in prose are definitions or quoted literature, never results of ours."""
    allowed = {"0.5", "127.5", "5.2", "5.3", "0.3", "1.03", "1.82"}
    for cell in cells_of(path, "markdown"):
        text = re.sub(r"\$\$?.*?\$\$?|`[^`]*`", "", cell.source, flags=re.DOTALL)
        text = re.sub(r"\(\d\.\d\)|\d\.\d\.\d", "", text)  # the thesis's equations and sections
        assert set(re.findall(r"\d+\.\d+", text)) <= allowed, text


@pytest.mark.parametrize("profile", PROFILES)
def test_profiles_fit_the_notebooks(profile):
    loaded = load_profile(profile)
    for path in SOURCES:
        loaded.parameters_for(path)


def test_the_thesis_profile_is_the_thesis():
    values = load_profile("thesis").all
    assert values["DATA"] == "real" and values["SIZE"] == 224 and values["FOLDS"] == 5
    assert values["MODELS"] == ["vgg11_bn", "resnet152"]
    assert values["PER_MODEL"]["vgg11_bn"] == {"epochs": 190, "batch_size": 20}
    assert values["PER_MODEL"]["resnet152"] == {"epochs": 100, "batch_size": 50}
    recipe = {k: values["RECIPE"][k] for k in ("optimizer", "lr", "momentum", "weights")}
    assert recipe == {"optimizer": "sgd", "lr": 0.001, "momentum": 0.9, "weights": "imagenet"}
    assert values["RECIPE"]["stop"] == "converged"


def test_pictures_of_a_corpus_are_shown_only_where_faces_may_be(path):
    """`SHOW_FACES: False` leaves none behind: every picture goes through one function, which is
    told. What the simulator draws for a notebook itself is always shown."""
    if "DATA" not in read_parameters(path):
        return  # it draws what it shows
    code = "\n".join(cell.source for cell in cells_of(path, "code"))
    assert not re.search(r"\b(imshow|figimage|imsave|fromarray|matshow)\b", code)
    told = re.findall(r"\bfaces=([\w.]+)", code)
    assert len(told) == len(re.findall(r"plots\.(?:picture|faces_on_plane)\(|\.pipeline\(", code))
    drawn = {"00": 2, "06": 2}.get(path.name[:2], 0)
    assert told.count("plots.DRAWN") == drawn and told.count("SHOW_FACES") == len(told) - drawn
    assert ("SHOW_FACES" in read_parameters(path)) == (len(told) > drawn)
