"""pyproject.toml, requirements.txt and environment.yml must say the same."""

import re
import subprocess
import tomllib
from importlib.metadata import version

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.utils import canonicalize_name

from vaaffect import __version__
from vaaffect.base.paths import ROOT
from vaaffect.report import read_record, sentences

PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
LOCK_LINES = [line for line in (ROOT / "requirements.txt").read_text().splitlines() if line.strip()]
LOCK = [Requirement(line) for line in LOCK_LINES]
FIXED_BY_THE_USER = (
    "torch torchvision jupyterlab papermill numpy pandas matplotlib seaborn scikit-learn nbval"
)


def wanted() -> list[Requirement]:
    texts = PROJECT["dependencies"] + PROJECT["optional-dependencies"]["test"]
    return [Requirement(text) for text in texts]


def test_the_lock_has_exact_versions_and_no_addresses_or_paths():
    for line, requirement in zip(LOCK_LINES, LOCK, strict=True):
        assert re.fullmatch(r"==[^*,]+", str(requirement.specifier)), line
        assert requirement.url is None and "://" not in line and not line.startswith("-"), line


@pytest.mark.parametrize("requirement", wanted(), ids=lambda r: r.name)
def test_every_dependency_is_locked_and_installed_in_a_version_it_allows(requirement):
    name = canonicalize_name(requirement.name)
    locked = [r for r in LOCK if canonicalize_name(r.name) == name]
    assert locked, f"{name} is not in requirements.txt; run `make lock`"
    for choice in locked:
        assert str(choice.specifier).removeprefix("==") in requirement.specifier
    here = [r for r in locked if r.marker is None or r.marker.evaluate()]
    assert version(name) == str(here[0].specifier).removeprefix("==")


def test_every_dependency_says_who_needs_it():
    text = (ROOT / "pyproject.toml").read_text()
    for requirement in wanted():
        assert re.search(rf'"{re.escape(requirement.name)}[^"]*",\s+# \S+', text), requirement.name


def test_packages_fixed_by_the_user_are_dependencies():
    assert set(FIXED_BY_THE_USER.split()) <= {canonicalize_name(r.name) for r in wanted()}


def test_conda_installs_the_same_lock_on_a_python_the_project_allows():
    environment = yaml.safe_load((ROOT / "environment.yml").read_text())
    plain = [d for d in environment["dependencies"] if isinstance(d, str)]
    python = next(d for d in plain if d.startswith("python=")).removeprefix("python=")
    assert f"{python}.9" in SpecifierSet(PROJECT["requires-python"])
    (pip,) = [d["pip"] for d in environment["dependencies"] if isinstance(d, dict)]
    assert pip == ["-r requirements.txt", "-e ."]  # nothing beside the lock and ourselves


def test_versions_agree():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    assert PROJECT["version"] == __version__ == citation["version"]


def test_make_help_lists_the_commands_of_the_readme():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    readme = (ROOT / "README.md").read_text()
    for command in set(re.findall(r"^make ([\w-]+)", readme, re.MULTILINE)):
        assert f"make {command} " in shown.stdout, command


def test_the_table_of_the_readme_is_the_one_of_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = readme.split("<!-- headline -->\n")[1].split("<!-- end of headline -->")[0]
    # The committed report: a study rerun on another processor may differ in the last digit.
    name = "reports/demo/tables/04_headline.md"
    show = ["git", "show", f"HEAD:{name}"]
    committed = subprocess.run(show, cwd=ROOT, capture_output=True, text=True)
    if committed.returncode:
        pytest.skip("not a git checkout with a committed report")
    assert shown.strip() == committed.stdout.strip()


def test_what_the_readme_says_about_landmarks_is_true_of_the_report():
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    said = readme.split("<!-- landmarks -->\n")[1].split("<!-- end of landmarks -->")[0]
    record = read_record("reports/demo")
    assert said.strip() == sentences.landmark_rows(record.simulated, record.exact_landmarks)


def test_files_named_in_the_readme_exist():
    for name in ("README.md", "data/README.md", "reports/README.md"):
        folder = (ROOT / name).parent
        for link in re.findall(r"\]\(([^)#]+)\)", (ROOT / name).read_text(encoding="utf-8")):
            assert "://" in link or (folder / link).exists(), (name, link)
