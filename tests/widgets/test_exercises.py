"""What check cells share, and the trying of answers on a notebook of two cells."""

import nbformat
import numpy as np
import pandas as pd
import pytest
import torch
from nbformat.v4 import new_code_cell, new_notebook
from solved import Solution, run_again, solved

from vaaffect.widgets.exercises import check, numbers


def test_check_runs_at_once_or_says_what_is_left(capsys):
    @check(0.0, None, [])
    def exercise():
        print("ran")

    assert capsys.readouterr().out == "ran\n"

    @check(1, ...)
    def another():
        print("ran")

    assert capsys.readouterr().out == "Not answered yet.\n"


def test_numbers_takes_every_form():
    two = [0.25, -1]
    for given in (two, np.array(two), pd.Series(two, index=["v", "a"]), torch.tensor(two)):
        found = numbers(given, (2,), "x")
        assert found.dtype == np.float64 and found.tolist() == two
    learnt = torch.tensor(3.0, requires_grad=True)
    for given in (3, np.float32(3), [3], pd.Series([3]), learnt):
        assert numbers(given, (), "x") == 3


@pytest.mark.parametrize(
    ("value", "says"),
    [
        ([1, 2, 3], r"`x` has shape \(3,\); an array of shape \(2,\) is asked for"),
        (1, r"`x` has shape \(\)"),
        ([1, np.nan], "`x` is not finite"),
        ("much", "`x` holds 'much'; numbers are asked for"),
        ([[1], [2, 3]], "numbers are asked for"),
    ],
)
def test_numbers_says_what_is_wrong(value, says):
    with pytest.raises(AssertionError, match=says):
        numbers(value, (2,), "x")


CHECK = """\
@check(x)
def exercise_1():
    assert x != 1, "one is not enough"
    assert x == 2, "two is right"
"""
RIGHT, WRONG = Solution(1, None, "x = 2"), Solution(1, "not enough", "x = 1")


def small():
    return new_notebook(
        cells=[
            new_code_cell("OUT = 'report'", metadata={"tags": ["injected-parameters"]}),
            new_code_cell("from vaaffect.widgets import check"),
            new_code_cell("# your answer\nx: int = ...", metadata={"tags": ["answer"]}),
            new_code_cell(CHECK, metadata={"tags": ["check"]}),
        ]
    )


@pytest.mark.parametrize(
    ("solutions", "runs"),
    [
        ([WRONG, RIGHT], True),
        ([Solution(1, None, "x = 3")], False),  # wrong, and taken for right
        ([Solution(1, "not enough", "x = 2")], False),  # a wrong one that passes
        ([Solution(1, "not enough", "x = 3")], False),  # refused for another reason
        ([Solution(1, None, "y = 2")], False),  # does not answer
    ],
)
def test_solved_runs_if_and_only_if_the_answers_are_what_they_say(solutions, runs):
    notebook = solved(small(), solutions)
    names = {}
    try:
        for cell in notebook.cells:
            exec(cell.source, names)
    except (AssertionError, NameError):
        assert not runs
    else:
        assert runs


def test_a_failing_answer_fails_in_the_kernel_too(tmp_path):
    report, again = tmp_path / "report", tmp_path / "again"
    (report / "notebooks").mkdir(parents=True)
    again.mkdir()
    nbformat.write(solved(small(), [WRONG]), report / "notebooks" / "good.ipynb")
    nbformat.write(solved(small(), [Solution(1, None, "x = 3")]), report / "notebooks/bad.ipynb")
    done = run_again(report, ["good", "bad"], again)
    assert done.returncode == 1 and "two is right" in done.stdout
    failed = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
    assert failed and all("bad" in line for line in failed), done.stdout
