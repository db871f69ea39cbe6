"""Every command that a README shows is one that can be given.

Commands are the code in backticks and the lines of code blocks. What follows a command in the same
paragraph or row of a table and begins with `--` is an option of it. Nothing is run but parsers,
`make --dry-run` and the check of a profile.
"""

import argparse
import re
import shlex
import subprocess
import tomllib
from dataclasses import dataclass

import pytest
import torch
from papermill.cli import papermill as papermill_command

from vaaffect.__main__ import build_parser
from vaaffect.base.errors import UserError
from vaaffect.base.paths import ROOT
from vaaffect.study.profiles import (
    default_values,
    load_profile,
    matches,
    notebook_number,
    notebook_sources,
    read_parameters,
)
from vaaffect.study.request import TRAININGS
from vaaffect.training.networks import build_model

READMES = ("README.md", "data/README.md", "reports/README.md")
CODE = r"(?<!`)`([^`\n]+)`(?!`)"
OURS = " -m vaaffect "


@dataclass(frozen=True)
class Example:
    """A command and the README that shows it."""

    readme: str
    command: str

    def __str__(self) -> str:
        return self.command


def is_command(code: str) -> bool:
    first = code.split()[0]
    return OURS in f"{code} " or first == "papermill" or (first == "make" and " " in code)


def examples_of(readme: str) -> list[Example]:
    """The commands of a README in their order, each once."""
    text = (ROOT / readme).read_text(encoding="utf-8")
    commands = []
    for block in re.findall(r"^```\w*\n(.*?)^```", text, re.MULTILINE | re.DOTALL):
        commands += [line for line in block.splitlines() if line.strip() and is_command(line)]
    for line in re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL).splitlines():
        last = ""
        for code in re.findall(CODE, line):
            if is_command(code):
                last = re.sub(r"\[(--[^\]]*)\]", r"\1", code)  # [--option] may be left out
                commands.append(last)
            elif re.match(r"--\w[\w-]* \S", code) and OURS in last:
                commands.append(f"{last} {code}")
    return [Example(readme, command) for command in dict.fromkeys(commands)]


EXAMPLES = [example for readme in READMES for example in examples_of(readme)]


def parsed(words: list[str]) -> argparse.Namespace | None:
    """The arguments as the command line reads them; of the name of a command alone None."""
    alone = len(words) == 1
    try:
        return build_parser().parse_args([*words, "--help"] if alone else words)
    except SystemExit as end:
        assert alone and end.code == 0, f"not understood: {shlex.join(words)}"
        return None


def check_ours(command: str) -> None:
    """`python -m vaaffect ...`: the arguments are understood, and a profile takes the values."""
    arguments = parsed(shlex.split(command.split(OURS, 1)[1]))
    if arguments is None or getattr(arguments, "profile", None) is None:
        return
    profile = load_profile(arguments.profile, changes=getattr(arguments, "set", ()))
    sources = notebook_sources()
    values = {}
    for path in sources:
        values |= default_values(path)
    values |= profile.all
    numbers = {notebook_number(path) for path in sources}
    assert {number.zfill(2) for number in getattr(arguments, "only", ())} <= {*numbers, TRAININGS}
    if hasattr(arguments, "fold"):
        assert arguments.model in values["MODELS"] and 0 <= arguments.fold < values["FOLDS"]
    for name in values["MODELS"]:
        with torch.device("meta"):
            build_model(name, image_size=values["SIZE"])


def check_make(command: str) -> None:
    """`make ...`: there is such a target, and what it runs of ours is understood."""
    dry = [*shlex.split(command), "--dry-run"]
    done = subprocess.run(dry, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    for line in done.stdout.replace("\\\n", " ").splitlines():
        if OURS in line and not line.startswith("for "):  # a loop is the shell's to read
            check_ours(line)


def check_papermill(command: str) -> None:
    """`papermill notebook out -p NAME VALUE`: the notebook declares that parameter."""
    context = papermill_command.make_context("papermill", shlex.split(command)[1:])
    declared = read_parameters(ROOT / context.params["notebook_path"])
    for name, value in context.params["parameters"]:
        number = re.fullmatch(r"-?\d+", value)
        assert matches(int(value) if number else value, declared[name].type), name


@pytest.mark.parametrize("example", EXAMPLES, ids=str)
def test_a_command_of_a_readme_can_be_given(example):
    if OURS in example.command:
        check_ours(example.command)
    elif example.command.startswith("make "):
        check_make(example.command)
    else:
        check_papermill(example.command)


def test_the_examples_are_found():
    commands = [example.command for example in EXAMPLES if example.readme == "README.md"]
    assert len([command for command in commands if OURS in command]) >= 8
    assert any(" --set MODELS=" in command.replace('"', "") for command in commands)
    assert {"make study", "make test"} <= set(commands)
    assert any(command.startswith("papermill ") for command in commands)


@pytest.mark.parametrize("readme", READMES)
def test_options_variables_and_extras_named_in_a_readme_exist(readme):
    text = (ROOT / readme).read_text(encoding="utf-8")
    code = "".join(path.read_text(encoding="utf-8") for path in ROOT.glob("vaaffect/**/*.py"))
    for name in set(re.findall(r"\bVAAFFECT_[A-Z_]+\b", text)):
        assert f'"{name}"' in code, name
    for name in {code for code in re.findall(CODE, text) if re.fullmatch(r"--[a-z-]+", code)}:
        assert f'"{name}"' in code, name
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    for name in re.findall(r"\.\[(\w+)\]", text):
        assert name in extras["optional-dependencies"], name


@pytest.mark.parametrize(
    "command",
    [
        "python -m vaaffect study --nothing",
        "python -m vaaffect study --set SIZES=3",
        "python -m vaaffect study --out x --set MODELS=[resnet17]",
        "python -m vaaffect train --model resnet18 --fold 99",
        "python -m vaaffect dance",
        "make nothing",
        "papermill notebooks/04_cross_validation.ipynb out.ipynb -p EPOCHS many",
    ],
)
def test_a_command_that_cannot_be_given_is_noticed(command):
    with pytest.raises((AssertionError, UserError)):
        test_a_command_of_a_readme_can_be_given(Example("README.md", command))
