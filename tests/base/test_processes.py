"""How many cores there are to use, and what importing the room costs."""

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from vaaffect.base import cores, processes


@pytest.mark.parametrize(
    ("limit", "expected"),
    [("max 100000\n", 6), ("150000 100000\n", 2), ("50000 100000\n", 1), ("900000 100000\n", 6)],
)
def test_cores_are_those_that_affinity_and_container_leave(tmp_path, monkeypatch, limit, expected):
    monkeypatch.setattr(os, "cpu_count", lambda: 64)
    monkeypatch.setattr(os, "sched_getaffinity", lambda _: set(range(6)))
    (tmp_path / "cpu.max").write_text(limit)
    monkeypatch.setattr(processes, "_CPU_LIMIT", tmp_path / "cpu.max")
    assert cores() == expected
    (tmp_path / "cpu.max").unlink()
    assert cores() == 6


def test_the_room_is_light():
    heavy = "{'cv2', 'sklearn', 'torch'} & set(sys.modules)"
    for room in ("base", "base.processes"):
        code = f"import sys, vaaffect.{room}; assert not {heavy}, {heavy}"
        subprocess.run([sys.executable, "-c", code], check=True)
    code = "import sys, vaaffect.corpora; assert 'sklearn' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


STOPPED = """
import time
from multiprocessing import resource_tracker
from vaaffect.base import in_workers
from vaaffect.base.stopping import stopped_by_signals

resource_tracker.ensure_running()  # as after a pool; its own start would unblock signals
try:
    with stopped_by_signals({minutes}):
        list(in_workers(time.sleep, [(60,), (60,), (60,)], 2, int))
except KeyboardInterrupt as stop:
    print(stop)
"""


def test_workers_that_are_at_work_end_when_time_is_over():
    # In a process of its own, since a fork server runs here already.
    code = STOPPED.format(minutes=3 / 60)
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=40, check=True
    )
    assert done.stdout == "0.05 minutes are over\n" and done.stderr == ""


ABANDONED = """
import os, time
from vaaffect.base import in_processes

if __name__ == "__main__":
    results = in_processes(os.getpid, [(), (), ()], 2)
    print(next(results)[1], flush=True)
    time.sleep(60)
"""


def test_processes_of_a_killed_parent_end():
    command = [sys.executable, "-c", ABANDONED]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as parent:
        worker = Path(f"/proc/{int(parent.stdout.readline())}/status")

        def runs() -> bool:
            try:
                return "State:\tZ" not in worker.read_text()
            except (FileNotFoundError, ProcessLookupError):
                return False

        assert runs()
        parent.kill()
    end = time.monotonic() + 20
    while runs():
        assert time.monotonic() < end, "it waits for tasks of nobody"
        time.sleep(0.1)
