"""What the manifest notes of notebooks and trainings."""

import json
import shutil

import pytest

from vaaffect.base import paths
from vaaffect.study.entries import library_digest, machines
from vaaffect.study.profiles import notebook_sources


def test_a_comment_in_the_library_does_not_renew_a_study(tmp_path, monkeypatch):
    libraries = iter(range(10))  # a new one each time: digests are remembered

    def digest_of(code: str, name: str = "plots.py") -> str:
        library = tmp_path / str(next(libraries))
        (library / "report").mkdir(parents=True)
        (library / "report" / "__init__.py").touch()
        (library / "report" / name).write_text(code)
        monkeypatch.setattr(paths, "LIBRARY", library)
        return library_digest()

    first = digest_of("value = 1")
    assert digest_of("# what it is\nvalue = 1  # one") == first
    assert digest_of("value = 2") != first
    assert digest_of("value = 1") == first
    nothing = digest_of("", "pages.py")
    assert digest_of("pages = 3", "pages.py") == nothing != first  # no notebook makes pages


@pytest.mark.parametrize("changed", ["published.csv", "template/model_card.md.j2"])
def test_a_quoted_figure_and_a_text_template_renew_a_study(tmp_path, monkeypatch, changed):
    report = tmp_path / "report"
    shutil.copytree(paths.LIBRARY / "report", report, ignore=shutil.ignore_patterns("*.py", "__*"))
    (report / "__init__.py").touch()
    monkeypatch.setattr(paths, "LIBRARY", tmp_path)
    first = library_digest()
    assert library_digest() == first
    with (report / changed).open("a") as file:
        file.write("1")
    assert library_digest() != first


def test_machines_are_counted_also_where_a_run_does_not_name_its_own(tmp_path):
    gpu = {"device": "cuda, H100", "precision": "bfloat16", "torch": "2.14.1", "python": "3.12"}
    for name, done in {
        "a": {"machine": gpu | {"seconds": 1.25}},
        "b": {"machine": gpu | {"seconds": 2.0}},
        "c": {"seconds": 7.0},
    }.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "done.json").write_text(json.dumps(done))
    (tmp_path / "unfinished").mkdir()
    for name, content in {"cut": "", "half": '{"machi', "other": "[]"}.items():
        (tmp_path / name).mkdir()
        (tmp_path / name / "done.json").write_text(content)  # said where they are looked for
    known = {name: gpu[name] for name in ("device", "precision", "torch")}
    unknown = dict.fromkeys(known, "unknown")
    assert machines(tmp_path) == [
        {"runs": 2, **known, "seconds": 3.2},
        {"runs": 1, **unknown, "seconds": 7.0},
    ]
    assert machines(tmp_path / "nothing") == []


def test_no_notebook_writes_the_cards_of_a_committed_report():
    """By hand, the report's default folder is that of the demo; the runner writes the cards."""
    for source in notebook_sources():
        assert "write_cards" not in source.read_text(), source.name
