"""A study small enough to run in a test: three notebooks that only need the standard library."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nbformat
import pytest
from nbformat.v4 import new_code_cell, new_markdown_cell, new_notebook

from vaaffect.base import paths
from vaaffect.study.profiles import notebook_number

FIRST = """\
# Shared by several notebooks.
SEED: int = 0  # seed of everything
EPOCHS: int = 2  # passes over the data
RATE: float = 0.1
NAME: str = "toy"
FAST: bool = True
MODELS: list[str] = ["a", "b"]
DATA: str = "simulated"
OUT: str = "reports/by-hand"  # where results go
PROFILE: str = "none"
"""

DONE = '{"machine": {"device": "cpu, toy", "precision": "float32", "torch": "2", "seconds": 3}}'

COUNT = """\
from pathlib import Path
with (Path({counters!r}) / "{name}").open("a") as file:
    file.write("x")"""


def write_notebook(path: Path, cells: list[str], parameters: str | None = FIRST) -> Path:
    """Write a notebook: a cell starting with `#` and a space is Markdown, the others are code."""
    made = [
        new_markdown_cell(source) if source.startswith("# ") else new_code_cell(source)
        for source in cells
    ]
    if parameters is not None:
        made.insert(1, new_code_cell(parameters, metadata={"tags": ["parameters"]}))
    kernel = {"name": "python3", "display_name": "Python 3", "language": "python"}
    notebook = new_notebook(cells=made, metadata={"kernelspec": kernel})
    path.parent.mkdir(parents=True, exist_ok=True)
    nbformat.write(notebook, path)
    return path


class Toy:
    """A toy study in a folder: notebooks 00, 03 and 99, and a profile `small`."""

    def __init__(self, folder: Path):
        self.notebooks = folder / "notebooks"
        self.runs = folder / "runs"
        self.out = folder / "out"
        self.counters = folder / "counters"
        self.counters.mkdir()
        self.prepared: list[dict[str, Any]] = []
        self.write("00_start", ["# Start", 'print(f"{SEED=} {EPOCHS=} {OUT=}")'])
        self.write(
            "03_train",
            [
                "# Training on $\\rho_c$",
                "import os, sys\n"
                "from vaaffect.base import paths, report_epoch\n"
                'report_epoch("net fold 0", 1, 2, 0.25, 1.0)\n'
                "tables = Path(OUT) / 'tables'\n"
                "tables.mkdir(parents=True, exist_ok=True)\n"
                "(tables / '03_a.csv').write_text('x\\n1\\n')\n"
                "run = Path(os.environ['VAAFFECT_RUNS']) / 'net_fold0'\n"
                "run.mkdir(parents=True, exist_ok=True)\n"
                f"(run / 'done.json').write_text({DONE!r})\n"
                "print(sys.executable, os.getcwd(), Path.home())\n"
                "import json\n"
                "kernel = [sys.executable, os.getcwd(), str(paths.ROOT)]\n"
                f"(Path({str(self.counters)!r}) / 'kernel.json').write_text(json.dumps(kernel))",
            ],
        )
        self.write("99_report", ["# Report", "print('the verdict')"], parameters=None)
        self.profile("title: a toy\nall: {SEED: 7}\nnotebooks:\n  '03': {EPOCHS: 4}\n")

    def write(self, name: str, cells: list[str], parameters: str | None = FIRST) -> None:
        """Write a notebook that first leaves a mark for each time it is executed."""
        count = COUNT.format(counters=str(self.counters), name=notebook_number(Path(name)))
        write_notebook(self.notebooks / f"{name}.ipynb", [cells[0], count, *cells[1:]], parameters)

    def profile(self, text: str, name: str = "small") -> None:
        """Write a profile."""
        path = self.notebooks / "profiles" / f"{name}.yaml"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)

    def runs_of(self, name: str) -> int:
        """How often a notebook was executed."""
        path = self.counters / name
        return len(path.read_text()) if path.exists() else 0

    def prepare(
        self, parameters: dict[str, Any], progress: Callable[[str, int, int], None]
    ) -> dict[str, str]:
        """Stands for the simulation."""
        self.prepared.append(parameters)
        progress("draw", 1, 2)
        progress("draw", 2, 2)
        return {"toy": "abc"}

    def run(self, how: Any = None, **options: Any) -> Path:
        """Run the study in this process; the options are those of a `Request`."""
        from vaaffect.corpora import data
        from vaaffect.report import cards
        from vaaffect.study import Request, run_study

        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(paths, "NOTEBOOKS", self.notebooks)
            patch.setattr(paths, "RUNS", self.runs)
            patch.setattr(data, "prepare_data", self.prepare)
            patch.setattr(cards, "write_cards", write_card)
            return run_study(Request(**{"profile": "small", "out": self.out, **options}), how)


def write_card(record: Any) -> None:
    """Stands for the cards of the real report."""
    (record.folder / "model_card.md").write_text("# Model card\n")
