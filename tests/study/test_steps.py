"""Which notebooks run side by side, and where a study's time goes."""

import threading
import time
from pathlib import Path

import pytest

from vaaffect.base import Tail, UserError, stage
from vaaffect.study.steps import Step, next_step, side_by_side
from vaaffect.study.times import Times


def step(number: str, *needs: str, alone: bool = False) -> Step:
    return Step(Path(f"{number}_x.ipynb"), {}, {}, needs, alone)


STEPS = [step("00"), step("01"), step("02", "01"), step("06", alone=True), step("99", "02", "06")]
SECONDS = {"00_x": 1, "01_x": 5, "02_x": 9, "06_x": 20, "99_x": 1}


def test_long_ones_start_first_what_needs_another_waits_and_who_is_alone_comes_last():
    first, second, third, alone, last = STEPS
    assert next_step(STEPS, [], 2, SECONDS) is second  # the third needs it
    assert next_step([first, third, alone, last], [second], 2, SECONDS) is first
    assert next_step([third, alone, last], [first, second], 2, SECONDS) is None  # two run
    assert next_step([alone, last], [third], 2, SECONDS) is None
    assert next_step([alone, last], [], 2, SECONDS) is alone
    assert next_step([last], [alone], 2, SECONDS) is None


def test_the_report_does_not_wait_for_the_primer():
    report, primer = step("99"), step("p3")
    seconds = {"99_x": 1, "p3_x": 90}
    assert next_step([primer, report], [], 1, seconds) is report
    alone = step("06", alone=True)
    assert next_step([primer, alone], [], 2, seconds | {"06_x": 5}) is alone


def test_two_run_at_once_and_after_a_failure_none_starts_but_the_others_end():
    together, ended, stopped = threading.Barrier(2, timeout=20), [], []

    def start(one):
        def work():
            together.wait()  # breaks unless two are there at a time
            if one.number == "00":
                raise ValueError

        return work

    def end(one, future):
        ended.append(one.number)
        if future.exception() is not None:
            raise UserError("it failed")

    with pytest.raises(UserError, match="it failed"):
        side_by_side(STEPS, 2, SECONDS, start, end, lambda: stopped.append(True))
    assert sorted(ended) == ["00", "01"] and not stopped


def test_a_stage_counts_without_those_inside_it(tmp_path, monkeypatch):
    monkeypatch.setenv("VAAFFECT_PROGRESS", str(tmp_path / "events.jsonl"))
    with stage("outer"):
        time.sleep(0.1)
        with stage("inner"):
            time.sleep(0.3)
    times = Times()
    times.note("04", Tail(tmp_path / "events.jsonl").read())
    assert list(times.of("04")) == ["inner", "outer"]
    assert times.of("04")["inner"] >= 0.3 and 0.1 <= times.of("04")["outer"] < 0.3
