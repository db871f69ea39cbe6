"""Executed notebooks with the exercises answered: rightly, and wrongly in a typical way.

The answers are in solutions/<notebook>.py, in cells of which the first line says what they are:

    # %% 1 right
    # %% 1 wrong: a part of what the check has to say

The smoke test runs every notebook once more on the stored trainings, with the exercises answered,
and compares what it prints and the tables that it writes with those of the study. To try the
answers of one notebook while writing them:

    python -m vaaffect study --profile smoke --only 04
    python tests/solved.py 04
"""

import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from textwrap import indent

import nbformat
from nbformat import NotebookNode
from nbformat.v4 import new_code_cell

from vaaffect.base.paths import ROOT
from vaaffect.study import kernels

SOLUTIONS = Path(__file__).parent / "solutions"
REFUSED = """\
try:
{check}
except AssertionError as error:
    assert {message!r} in str(error), f"the check says something else: {{error}}"
else:
    raise AssertionError("the check is content with a wrong answer")"""


@dataclass(frozen=True)
class Solution:
    """One answer to an exercise."""

    exercise: int
    message: str | None  # part of what the check must say to it; None for a right one
    code: str


def read_solutions(stem: str) -> list[Solution]:
    """The answers to a notebook's exercises, in the order of their file; none without a file."""
    path = SOLUTIONS / f"{stem}.py"
    if not path.exists():
        return []
    _, *cells = re.split(r"^# %% ", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    found = []
    for cell in cells:
        heading, _, code = cell.partition("\n")
        match = re.fullmatch(r"(\d) (?:right|wrong: (\S.*))", heading)
        assert match, f"{path.name}: {heading!r} is no `N right` and no `N wrong: message`"
        found.append(Solution(int(match[1]), match[2], code.strip()))
    return found


def exercises(notebook: NotebookNode) -> list[tuple[NotebookNode, NotebookNode]]:
    """The answer and the check cell of each exercise."""

    def tagged(tag: str) -> list[NotebookNode]:
        return [cell for cell in notebook.cells if tag in cell.metadata.get("tags", [])]

    return list(zip(tagged("answer"), tagged("check"), strict=True))


def solved(notebook: NotebookNode, solutions: Sequence[Solution]) -> NotebookNode:
    """A copy in which every answer is tried, each followed by the check; it runs if all is well.

    Args:
        notebook: with or without outputs.
        solutions: of all its exercises; a wrong answer must be refused with its message.
    """
    copy = nbformat.from_dict(notebook)
    for number, (answer, check) in enumerate(exercises(copy), start=1):
        tried = []
        for solution in (s for s in solutions if s.exercise == number):
            code = check.source
            if solution.message:
                code = REFUSED.format(check=indent(code, "    "), message=solution.message)
            tried += new_code_cell(solution.code), new_code_cell(code)
        start = copy.cells.index(answer)
        copy.cells[start : copy.cells.index(check) + 1] = tried
    return copy


def run_again(
    report: Path, stems: Sequence[str], folder: Path, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess:
    """Run executed notebooks again, answered, and compare the outputs that are marked for it.

    None waits for another: each has the tables and figures of all the others from the study, and
    writes its own anew, so they run side by side.

    Args:
        report: a report folder, whose trainings are kept.
        stems: names of notebooks in it.
        folder: an empty one, where the answered copies go; each writes to `<folder>/<stem>`.
        environment: variables for the kernels.
    """
    for stem in stems:
        notebook = nbformat.read(report / "notebooks" / f"{stem}.ipynb", as_version=4)
        pages = shutil.ignore_patterns("notebooks", "html", "report.*", f"{stem[:2]}_*")
        shutil.copytree(report, folder / stem, ignore=pages)
        write_to(notebook, folder / stem)
        nbformat.write(solved(notebook, read_solutions(stem)), folder / f"{stem}.ipynb")
    files = [folder / f"{stem}.ipynb" for stem in stems]
    kernel = folder / "kernels" / "python3" / "kernel.json"  # what the notebooks ask for
    kernel.parent.mkdir(parents=True)
    kernel.write_text(kernels.kernel_spec(kernels.imported(files), {}, folder).to_json())
    options = ["--nbval-lax", "-p", "vaaffect.study.kernels", "-p", "no:cacheprovider", "-q"]
    options += ["-n", str(min(2, len(stems))), "--dist", "loadfile"]  # a kernel per notebook
    command = [sys.executable, "-m", "pytest", *options, "-c", "/dev/null", "--rootdir"]
    environment = {**environment, "JUPYTER_PATH": str(folder)}
    return subprocess.run(
        [*command, str(folder), *files], cwd=ROOT, env=environment, capture_output=True, text=True
    )


def write_to(notebook: NotebookNode, out: Path) -> None:
    """Give an executed notebook another folder for its tables and figures, in place."""
    [injected] = [c for c in notebook.cells if "injected-parameters" in c.metadata.get("tags", [])]
    injected.source, count = re.subn(
        r"^OUT = .*$", f"OUT = {str(out)!r}", injected.source, flags=re.MULTILINE
    )
    assert count == 1, injected.source


if __name__ == "__main__":
    report = ROOT / "reports" / "smoke"
    chosen = [p.stem for p in (report / "notebooks").iterdir() if p.name.startswith(sys.argv[1])]
    with tempfile.TemporaryDirectory() as folder:
        done = run_again(report, chosen, Path(folder))
    print(done.stdout + done.stderr)
    sys.exit(done.returncode)
