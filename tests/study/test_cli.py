"""The command line: help, mistakes, exit codes, a fast start."""

import errno
import subprocess
import sys
from pathlib import Path

import pytest

from vaaffect import __version__
from vaaffect.__main__ import main
from vaaffect.base import paths
from vaaffect.base.errors import Terminated, TimeOver, UserError
from vaaffect.simulator import WildWorld
from vaaffect.study import Request
from vaaffect.training import How


def run(*arguments: str) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-m", "vaaffect", *arguments],
        cwd=paths.ROOT,
        capture_output=True,
        text=True,
        timeout=60,
    )


def test_without_a_command_it_helps():
    done = run()
    assert done.returncode == 0
    assert "study" in done.stdout and "simulate" in done.stdout


def test_version(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"vaaffect {__version__}\n"


def test_help_does_not_load_what_it_does_not_need():
    code = (
        "import sys\nfrom vaaffect.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'numpy', 'papermill', 'cv2', 'pandas'} & set(sys.modules)\n"
        "sys.exit(f'loaded {heavy}' if heavy else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=paths.ROOT, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr


def test_an_unknown_profile_is_one_sentence():
    done = run("study", "--profile", "dmeo")
    assert done.returncode == 1
    assert done.stderr.startswith("vaaffect: There is no profile 'dmeo'; available: ")
    assert done.stderr.count("\n") == 1
    assert not (paths.REPORTS / "dmeo").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["study", "--nothing"],
        ["study", "--jobs", "2", "--cluster", "slurm"],
        ["simulate", "x"],
        ["simulate", "x", "--corpus", "other", "--clips", "1", "--seed", "0"],
        ["simulate", "x", "--corpus", "afew-va", "--clips", "0", "--seed", "0"],
        ["dance"],
    ],
)
def test_wrong_arguments(arguments, capsys):
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2
    assert "usage:" in capsys.readouterr().err


def test_arguments_reach_the_study(monkeypatch, tmp_path):
    seen = []
    monkeypatch.setattr("vaaffect.study.run_study", lambda *given: seen.append(given))
    assert main(["study"]) == 0
    given = ["--profile", "gpu", "--only", "03", "05", "--resume", "--out", str(tmp_path)]
    given += ["--minutes", "9", "--set", "SIZE=48", "WILD.clips=30"]
    assert main(["study", *given]) == 0
    assert main(["study", "--jobs", "3", "--fresh"]) == 0
    changes = ["SIZE=48", "WILD.clips=30"]
    assert seen == [
        (Request("demo", [], changes=[]), None),
        (Request("gpu", ["03", "05"], False, True, tmp_path, 9.0, changes), None),
        (Request("demo", [], fresh=True, changes=[]), How(jobs=3)),
    ]


def test_the_command_that_goes_on():
    again = Request("gpu", ["03"], out=Path("a b"), minutes=9, changes=["SIZE=48"])
    assert again.command(How(jobs=2)) == (
        "python -m vaaffect study --profile gpu --only 03 --out 'a b' --set SIZE=48 --jobs 2"
        " --minutes 9 --resume"
    )
    assert Request(fresh=True).command() == "python -m vaaffect study --profile demo"


@pytest.mark.parametrize(
    ("error", "code", "said"),
    [
        (UserError("Cure it."), 1, "vaaffect: Cure it.\n"),
        (
            OSError(errno.ENOSPC, "No space left", "out"),
            1,
            "vaaffect: out: No space left; free some space, or choose another place.\n",
        ),
        (KeyboardInterrupt(), 130, ""),
        (TimeOver(), 75, ""),
        (Terminated(), 143, ""),
    ],
)
def test_exit_codes(monkeypatch, capsys, error, code, said):
    def fail(*_):
        raise error

    monkeypatch.setattr("vaaffect.study.run_study", fail)
    assert main(["study"]) == code
    assert capsys.readouterr().err == said


def test_a_bug_is_not_hidden(monkeypatch):
    def fail(*_):
        raise ValueError("a bug")

    monkeypatch.setattr("vaaffect.study.run_study", fail)
    with pytest.raises(ValueError, match="a bug"):
        main(["study"])


def test_simulate_passes_the_world_on_and_shows_progress(monkeypatch, tmp_path, capsys):
    seen = []

    def write(out, world, workers, progress):
        seen.append((out, world, workers))
        progress(3, 6)
        progress(6, 6)

    monkeypatch.setattr("vaaffect.simulator.write_afew_va", write)
    given = ["simulate", str(tmp_path / "c"), "--corpus", "afew-va", "--clips", "6", "--seed", "4"]
    assert main(given) == 0
    assert main([*given, "--subjects", "2", "--workers", "1"]) == 0
    assert [(out, world.subjects, workers) for out, world, workers in seen] == [
        (tmp_path / "c", 3, None),
        (tmp_path / "c", 2, 1),
    ]
    assert isinstance(seen[0][1], WildWorld)
    assert (seen[0][1].clips, seen[0][1].seed) == (6, 4)
    assert "6/6" in capsys.readouterr().err
