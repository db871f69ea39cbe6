"""The runner, on toy notebooks that are really executed."""

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import matplotlib.pyplot as plt
import nbformat
import pytest
from toy_study import FIRST, Toy

from vaaffect.base import paths
from vaaffect.base.errors import UserError
from vaaffect.base.progress import Tail, report_epoch, report_event, report_step
from vaaffect.report import plots
from vaaffect.study.display import Display, Running, clock, describe
from vaaffect.study.execution import cleaner, is_complete, shortened
from vaaffect.study.folders import keep_kinds_apart, local_places, locked
from vaaffect.study.profiles import read_parameters
from vaaffect.study.request import Request
from vaaffect.training import How

CHILD = """
import sys
from pathlib import Path
from vaaffect.__main__ import main
from vaaffect.base import paths, provenance
from vaaffect.corpora import data
folder = Path(sys.argv[1])
paths.NOTEBOOKS, paths.RUNS = folder / "notebooks", folder / "runs"
provenance.device = lambda: {"cpu": "imports torch, which takes seconds"}
data.prepare_data = lambda parameters, progress: {"toy": "abc"}
if "--only" not in sys.argv:  # they belong to the report
    from vaaffect.report import cards
    cards.write_cards = lambda record: None
sys.exit(main(["study", "--profile", "small", "--out", str(folder / "out"), *sys.argv[2:]]))
"""


def child(toy: Toy, *arguments: str) -> subprocess.Popen:
    """The toy study in a process of its own, through the command line."""
    return subprocess.Popen(
        [sys.executable, "-c", CHILD, str(toy.out.parent), *arguments],
        cwd=paths.ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def wait_for(path: Path, seconds: float = 120, gone: bool = False) -> None:
    """Until there is something at the path, or nothing any more."""
    end = time.monotonic() + seconds
    while path.exists() == gone:
        assert time.monotonic() < end, f"{path}: {'still there' if gone else 'did not appear'}"
        time.sleep(0.05)


def manifest(toy: Toy) -> dict:
    return json.loads((toy.out / "manifest.json").read_text())


@pytest.fixture
def toy(tmp_path) -> Toy:
    return Toy(tmp_path)


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Toy:
    """A toy study that has run; do not change it."""
    toy = Toy(tmp_path_factory.mktemp("finished"))
    toy.run()
    return toy


def test_the_chain_runs_every_notebook_with_its_parameters(finished):
    assert [finished.runs_of(nn) for nn in ("00", "03", "99")] == [1, 1, 1]
    copy = nbformat.read(finished.out / "notebooks" / "03_train.ipynb", as_version=4)
    assert is_complete(copy)
    injected = next(c for c in copy.cells if "injected-parameters" in c.metadata.get("tags", []))
    assert "EPOCHS = 4" in injected.source and "SEED = 7" in injected.source
    assert 'PROFILE = "small"' in injected.source
    assert (finished.out / "tables" / "03_a.csv").exists()
    assert len(finished.prepared) == 1
    assert finished.prepared[0]["SEED"] == 7  # the profile's
    assert finished.prepared[0]["EPOCHS"] == 4
    assert finished.prepared[0]["RATE"] == 0.1  # a default


def test_executed_copies_are_slim(finished):
    for path in (finished.out / "notebooks").iterdir():
        copy = nbformat.read(path, as_version=4)
        assert all(set(cell.metadata) <= {"tags"} for cell in copy.cells)
        assert set(copy.metadata.papermill) <= {"parameters", "duration", "version"}
    assert not [path for path in finished.out.rglob(".*")]


def test_no_file_tells_where_it_was_made(finished):
    own = str(finished.counters)  # written in the toy's own source
    for path in finished.out.rglob("*"):
        if path.is_file():
            text = (
                path.read_text(errors="replace")
                .replace(own, "")
                .replace(str(own).replace("/", "&#47;"), "")
            )
            for secret in (str(finished.out.parent), str(paths.ROOT), str(Path.home()), sys.prefix):
                assert not re.search(rf"(?<![\w/.]){re.escape(secret)}(?!\w)", text), path.name
    assert os.uname().nodename not in (finished.out / "manifest.json").read_text()


def test_manifest(finished):
    content = manifest(finished)
    assert content["status"] == "complete"
    assert (content["profile"], content["title"]) == ("small", "a toy")
    assert content["simulated"] is True
    assert content["data"] == {"toy": "abc"}
    assert content["packages"]["papermill"] and content["packages"]["torch"]
    assert content["device"]["cpu"]
    assert content["python"].startswith("3.")
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", content["started"])
    assert content["finished"] >= content["started"]
    assert set(content["seconds"]) == {"data", "trainings", "00", "03", "99"}
    entry = content["notebooks"]["03"]
    assert entry["parameters"]["EPOCHS"] == 4 and entry["parameters"]["RATE"] == 0.1
    assert re.fullmatch(r"[0-9a-f]{64}", entry["key"])
    assert re.fullmatch(r"[0-9a-f]{64}", content["tables"]["03_a.csv"])


def test_the_kernel_is_this_interpreter_and_sees_this_library(finished):
    kernel = json.loads((finished.counters / "kernel.json").read_text())
    assert kernel == [sys.executable, str(finished.notebooks), str(paths.ROOT)]


def test_inside_the_repository_out_is_relative(toy, monkeypatch):
    monkeypatch.setattr(paths, "ROOT", toy.out.parent)
    monkeypatch.setattr("vaaffect.base.provenance.package_versions", dict)
    toy.write(
        "00_start", ["# Start", f"assert OUT == 'out', OUT\nprint({str(toy.out)!r} + '/tables')"]
    )
    toy.run(only=["00"])
    copy = nbformat.read(toy.out / "notebooks" / "00_start.ipynb", as_version=4)
    assert copy.cells[-1].outputs[0].text == "out/tables\n"
    assert manifest(toy)["notebooks"]["00"]["parameters"]["OUT"] == "out"


def test_a_failing_notebook_stops_the_study_and_the_same_command_goes_on(toy, capsys):
    good = (toy.notebooks / "03_train.ipynb").read_text()
    toy.write("03_train", ["# Train", "value = 3\nraise ValueError('no faces')"])
    with pytest.raises(UserError) as error:
        toy.run()
    message = str(error.value)
    assert "03_train.ipynb stopped at cell In [4] (value = 3)" in message
    assert "ValueError: no faces" in message
    assert "03_train.failed.ipynb" in message
    assert message.endswith(f"python -m vaaffect study --profile small --out {toy.out}")
    assert "Traceback" not in message
    assert manifest(toy)["status"] == "failed"
    assert manifest(toy)["notebooks"]["03"]["status"] == "failed"
    names = sorted(path.name for path in (toy.out / "notebooks").iterdir())
    assert names == ["00_start.ipynb", "03_train.failed.ipynb"]

    (toy.notebooks / "03_train.ipynb").write_text(good)
    (toy.runs / "keep").mkdir(parents=True, exist_ok=True)
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 2, 1]
    names = sorted(path.name for path in (toy.out / "notebooks").iterdir())
    assert names == ["00_start.ipynb", "03_train.ipynb", "99_report.ipynb"]
    assert manifest(toy)["status"] == "complete"
    assert "00_start  kept" in capsys.readouterr().out

    # Other prose renews that page alone; other code renews all that comes after it.
    source = nbformat.read(toy.notebooks / "03_train.ipynb", as_version=4)
    source.cells[0].source += " and more"
    nbformat.write(source, toy.notebooks / "03_train.ipynb")
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 3, 1]
    source.cells[-1].source += "\nprint(1)"
    nbformat.write(source, toy.notebooks / "03_train.ipynb")
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 4, 2]


def test_a_user_error_in_a_notebook_shows_its_sentence_through_the_command_line(toy):
    toy.write(
        "00_start",
        ["# Start", "from vaaffect.base import UserError\nraise UserError('Put it there.')"],
    )
    process = child(toy)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 1
    assert err.startswith("vaaffect: 00_start.ipynb stopped at cell In [4]")
    assert "\nPut it there.\n" in err
    assert "UserError:" not in err and "Traceback" not in err + out


def test_a_dead_kernel_is_named(toy, capfd):
    toy.write("00_start", ["# Start", "import os\nos.kill(os.getpid(), 9)"])
    with pytest.raises(UserError, match=r"stopped at cell \(import os\):\nThe kernel died"):
        toy.run(only=["00"])
    assert capfd.readouterr().err == ""
    assert (toy.out / "notebooks" / "00_start.failed.ipynb").exists()


SHOWN = """\
import matplotlib.pyplot as plt
import pandas as pd
from vaaffect.report import plots
plots.use_style()"""
DRAWN = """\
fig, ax = plt.subplots()
ax.plot([0, 1], [1, 0])
_ = plots.save_figure(fig, OUT, "00_line")"""


def test_what_a_notebook_shows_does_not_depend_on_the_shell(toy, tmp_path, monkeypatch):
    """A shell with a backend that there is not, a style of its own, and files for each kernel."""
    settings = tmp_path / "of the user"
    (settings / "profile_default" / "startup").mkdir(parents=True)
    (settings / "profile_default" / "startup" / "mine.py").write_text("mine = 1")
    (settings / "profile_default" / "ipython_kernel_config.py").write_text(
        "c.InlineBackend.figure_formats = {'svg'}\nc.InteractiveShellApp.matplotlib = 'agg'\n"
    )
    (settings / "first.py").write_text("mine = 2")
    (settings / "matplotlibrc").write_text(
        "lines.marker: o\nsavefig.transparent: True\nbackend: svg\n"
    )
    for name, value in {
        "MPLBACKEND": "nonsense", "MATPLOTLIBRC": settings, "IPYTHONDIR": settings,
        "PYTHONSTARTUP": settings / "first.py", "COLUMNS": "20", "LINES": "3",
        "PYTHONWARNINGS": "error",
    }.items():  # fmt: skip
        monkeypatch.setenv(name, str(value))
    wide = "print(pd.DataFrame([range(1000, 1012)], columns=[f'name{i}' for i in range(12)]))"
    old = "import warnings\nwarnings.warn('old', DeprecationWarning, 2)"
    cells = ["# Start", SHOWN, DRAWN, wide, f"{old}\nprint('mine' in globals())"]
    toy.write("00_start", cells)
    process = child(toy, "--only", "00")
    _, error = process.communicate(timeout=120)
    assert process.returncode == 0, error
    copy = nbformat.read(toy.out / "notebooks" / "00_start.ipynb", as_version=4)
    _, _, figure, table, of_the_user = [c for c in copy.cells if c.cell_type == "code"][-5:]
    assert [set(output.data) for output in figure.outputs] == [{"text/plain", "image/png"}]
    assert [output.output_type for cell in (table, of_the_user) for output in cell.outputs] == [
        "stream", "stream",
    ]  # fmt: skip
    assert of_the_user.outputs[0].text == "False\n"
    first = table.outputs[0].text.splitlines()[0]  # cut at 80 letters, not at 20
    assert first.split() == [f"name{n}" if n != 5 else "..." for n in (*range(6), *range(7, 12))]
    # The file is what it is without all that.
    plots.use_style()
    fig, ax = plt.subplots()
    ax.plot([0, 1], [1, 0])
    ours = plots.save_figure(fig, str(tmp_path), "00_line")
    assert (toy.out / "figures" / "00_line.png").read_bytes() == ours.read_bytes()


def test_a_figure_that_is_saved_and_not_shown_fails(toy, capsys):
    saved = "def save_figure(*about): ...\nimport matplotlib.pyplot as plt"
    closed = "fig, ax = plt.subplots()\nplt.close(fig)\n_ = save_figure(fig)"
    toy.write("00_start", ["# Start", saved, closed, "print('never mind')"])
    with pytest.raises(UserError) as error:
        toy.run(only=["00"])
    said = str(error.value)
    assert said.startswith("00_start.ipynb stopped at cell In [5] (fig, ax = plt.subplots()):\n")
    assert "It saves a figure and shows none" in said and "plt.close." in said
    assert (toy.out / "notebooks" / "00_start.failed.ipynb").exists()
    toy.write("00_start", ["# Start", saved, closed.replace("plt.close(fig)", "None")])
    toy.run(only=["00"])
    # An executed copy without its figure, as studies left them, is not kept.
    path = toy.out / "notebooks" / "00_start.ipynb"
    copy = nbformat.read(path, as_version=4)
    assert is_complete(copy) and copy.cells[-1].outputs.pop()["data"]["image/png"]
    assert not is_complete(copy)
    copy.cells[-1].source = "if luck:\n    save_figure(fig)"  # on some condition
    assert is_complete(copy)


def test_an_early_exit_is_no_success(toy):
    toy.write("00_start", ["# Start", "raise SystemExit(0)", "print('never')"])
    with pytest.raises(UserError, match="ended before its last cell"):
        toy.run(only=["00"])


def slow(toy: Toy) -> str:
    """Make notebook 03 wait once it runs; returns its first source."""
    good = (toy.notebooks / "03_train.ipynb").read_text()
    mark = toy.out.parent / "running"
    code = f"import os, time\nPath({str(mark)!r}).write_text(str(os.getpid()))\ntime.sleep(600)"
    toy.write("03_train", ["# Train", code])
    return good


def test_a_killed_study_goes_on(toy):
    good = slow(toy)
    process = child(toy)
    wait_for(toy.out.parent / "running")
    process.kill()
    process.communicate()
    kernel = Path("/proc", (toy.out.parent / "running").read_text())
    wait_for(kernel, gone=True)
    assert manifest(toy)["status"] == "running"
    assert [path.name for path in (toy.out / "notebooks").iterdir()] == ["00_start.ipynb"]
    (toy.notebooks / "03_train.ipynb").write_text(good)
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 2, 1]
    assert manifest(toy)["status"] == "complete"


def test_interrupted_says_how_to_go_on(toy):
    slow(toy)
    process = child(toy)
    wait_for(toy.out.parent / "running")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 130, err
    assert f"go on with: python -m vaaffect study --profile small --out {toy.out}\n" in out
    assert "Traceback" not in out + err
    assert manifest(toy)["status"] == "interrupted"
    assert manifest(toy)["notebooks"]["00"]["status"] == "complete"


def test_ended_by_a_cluster_it_stops_as_by_hand(toy):
    slow(toy)
    process = child(toy)
    wait_for(toy.out.parent / "running")
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=120)
    assert process.returncode == 143, err
    assert "Stopped: ended from outside." in out and "Traceback" not in out + err
    assert manifest(toy)["status"] == "interrupted"


def test_in_steps_of_some_minutes_the_study_comes_to_its_end(toy):
    """Each step is too short for the whole; what is finished is kept, and nothing runs twice."""
    steps = toy.out.parent / "steps"
    work = (
        "import time\n"
        f"path = Path({str(steps)!r})\n"
        "done = len(path.read_text()) if path.exists() else 0\n"
        "for _ in range(done, 40):\n"
        "    time.sleep(0.2)\n"
        "    with path.open('a') as file:\n"
        "        file.write('x')"
    )
    toy.write("03_train", ["# Train", work])
    codes, said = [], ""
    while (not codes or codes[-1] == 75) and len(codes) < 20:
        process = child(toy, "--minutes", "0.15")
        out, err = process.communicate(timeout=120)
        assert "Traceback" not in out + err
        codes.append(process.returncode)
        said = said or out
    assert codes[-1] == 0 and len(codes) > 1, codes
    assert "Stopped: 0.15 minutes are over. What is finished is kept; go on with: " in said
    assert said.rstrip().endswith("--minutes 0.15")
    assert manifest(toy)["status"] == "complete"
    runs = [toy.runs_of(nn) for nn in ("00", "03", "99")]
    assert runs[1] > 1 and sum(runs) <= 3 + len(codes) - 1, runs  # one run more per stop
    assert len(steps.read_text()) == 40


def test_another_study_than_the_profile_needs_another_folder(toy, capsys):
    with pytest.raises(UserError, match="name a folder for it with --out"):
        toy.run(out=None, changes=["SEED=8"])
    toy.run(changes=["SEED=8", "MODELS=[c]", "EPOCHS=1"])
    made = manifest(toy)
    assert made["title"] == "a toy; changed: SEED=8, MODELS=[c], EPOCHS=1"
    given = made["notebooks"]["03"]["parameters"]
    assert (given["SEED"], given["MODELS"], given["EPOCHS"]) == (8, ["c"], 1)  # the profile's 4 too
    slow(toy)
    process = child(toy, "--set", "SEED=8", "MODELS=[c, d]")
    wait_for(toy.out.parent / "running")
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=120)
    assert "--set SEED=8 'MODELS=[c, d]'\n" in out, err


def test_two_studies_on_one_folder(toy, monkeypatch):
    monkeypatch.setattr(paths, "RUNS", toy.runs)
    with locked(toy.out), pytest.raises(UserError, match="Another study is writing"):
        toy.run()
    assert toy.runs_of("00") == 0


def test_only_leaves_the_others_alone(toy, capsys):
    toy.run()
    [runs] = [path for path in toy.runs.iterdir() if path.is_dir()]
    toy.run(only=["99"])
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 1, 2]
    assert (runs / "net_fold0").exists() and (toy.out / "html" / "00_start.html").exists()
    assert manifest(toy)["status"] == "complete"
    assert set(manifest(toy)["notebooks"]) == {"00", "03", "99"}
    toy.run(only=["99"], resume=True)
    assert toy.runs_of("99") == 2

    toy.profile("title: a toy\nall: {SEED: 8}\n")
    (toy.out / "tables" / "mine.csv").write_text("from somebody")
    capsys.readouterr()
    toy.run(only=["0"])  # the others are now out of date, and the study says so
    assert manifest(toy)["status"] == "partial"
    said = capsys.readouterr().out
    assert "Notebooks 03, 99 were not run with the present code" in said
    assert f"up to date: python -m vaaffect study --profile small --out {toy.out}\n" in said
    assert (toy.out / "tables" / "mine.csv").exists()


def test_a_second_run_executes_nothing(toy, capsys):
    toy.run()
    before = manifest(toy)
    capsys.readouterr()
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 1, 1]
    said = capsys.readouterr().out
    assert all(f"{name}  kept" in said for name in ("00_start", "03_train", "99_report"))
    assert manifest(toy) == before
    [runs] = [path for path in toy.runs.iterdir() if path.is_dir()]
    assert (runs / "net_fold0" / "done.json").exists()


def test_pages_are_made_again_only_where_they_would_be_others(toy):
    toy.run()
    page = toy.out / "html" / "03_train.html"
    made = page.stat().st_mtime_ns
    toy.run()
    assert page.stat().st_mtime_ns == made
    page.unlink()
    toy.run()
    assert page.exists() and [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 1, 1]
    toy.profile("title: another toy\nall: {SEED: 7}\nnotebooks:\n  '03': {EPOCHS: 4}\n")
    toy.run()
    assert "another toy" in page.read_text() and manifest(toy)["title"] == "another toy"
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 1, 1]


def test_what_a_notebook_wrote_is_written_again_where_it_is_gone_or_changed(toy):
    toy.run()
    table, card = toy.out / "tables" / "03_a.csv", toy.out / "model_card.md"
    assert set(manifest(toy)["notebooks"]["03"]["outputs"]) == {"tables/03_a.csv"}
    assert set(manifest(toy)["notebooks"]["99"]["outputs"]) == {"model_card.md"}
    table.unlink()
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 2, 1]
    table.write_text("by hand")
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 3, 1]
    assert table.read_text() == "x\n1\n"
    card.unlink()
    toy.run()
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [1, 3, 2]
    assert card.exists()


def test_nothing_of_an_earlier_notebook_stays_behind(toy):
    """Where a study goes on, a table that is no longer written must not enter the report."""
    code = "path = Path(OUT) / 'tables' / '00_old.csv'\npath.parent.mkdir()\npath.touch()"
    toy.write("00_start", ["# Start", code])
    toy.write("04_former", ["# Former", code.replace("00", "04").replace(".mkdir()", "")])
    toy.run()
    assert (toy.out / "tables" / "00_old.csv").exists()
    assert (toy.out / "html" / "04_former.html").exists()
    toy.write("00_start", ["# Start", "print(1)"])
    (toy.notebooks / "04_former.ipynb").unlink()
    toy.run()
    assert [path.name for path in (toy.out / "tables").iterdir()] == ["03_a.csv"]
    assert not [path for path in toy.out.rglob("04_*")]
    assert set(manifest(toy)["notebooks"]) == {"00", "03", "99"}
    assert set(manifest(toy)["seconds"]) == {"data", "trainings", "00", "03", "99"}


def test_how_long_another_machine_trained_is_forgotten_where_trainings_are_made_anew(toy):
    """A clone has the committed manifest, and no trainings."""
    toy.run()
    content = manifest(toy)
    content["seconds"] |= {"data": 1e4, "trainings": 1e4}
    (toy.out / "manifest.json").write_text(json.dumps(content))
    toy.write("00_start", ["# Start", "print(2)"])
    toy.run()  # trainings are there: making them took so long
    assert manifest(toy)["seconds"]["trainings"] == 1e4
    [runs] = [path for path in toy.runs.iterdir() if path.is_dir()]
    shutil.rmtree(runs)
    toy.write("00_start", ["# Start", "print(3)"])
    toy.run()
    seconds = manifest(toy)["seconds"]
    assert seconds["data"] < 1e3 and seconds["trainings"] < 1e3


def test_a_fresh_start_sets_the_trainings_aside_and_loses_none(toy, capsys):
    toy.run()
    [runs] = [path for path in toy.runs.iterdir() if path.is_dir()]
    (runs / "mark").touch()
    toy.run(fresh=True)
    assert [toy.runs_of(nn) for nn in ("00", "03", "99")] == [2, 2, 2]
    assert (runs.with_name(f"{runs.name}.previous-1") / "mark").exists()
    assert f"The earlier trainings are kept in {toy.runs}/{runs.name}.previous-1" in (
        capsys.readouterr().out
    )
    assert not (runs / "mark").exists()

    toy.write("00_start", ["# Start", "raise ValueError('stop here')"])
    with pytest.raises(UserError) as error:
        toy.run(fresh=True)
    assert "--fresh" not in str(error.value)  # to go on is not to begin anew
    assert (runs.with_name(f"{runs.name}.previous-1") / "mark").exists()
    assert runs.with_name(f"{runs.name}.previous-2").exists() and not runs.exists()
    assert not (toy.out / "tables").exists() and not (toy.out / "report.html").exists()
    assert set(manifest(toy)["notebooks"]) == {"00"}


@pytest.mark.parametrize("option", [{"only": ["00"]}, {"resume": True}])
def test_a_fresh_start_is_of_the_whole_study(toy, option):
    with pytest.raises(UserError, match=f"--fresh begins .*; leave out --{next(iter(option))}"):
        toy.run(fresh=True, **option)
    assert not toy.out.exists()


def test_the_manifest_names_the_machines_of_the_trainings(finished):
    assert manifest(finished)["machines"] == [
        {"runs": 1, "device": "cpu, toy", "precision": "float32", "torch": "2", "seconds": 3.0}
    ]


def test_the_primer_runs_after_the_study_and_has_pages_like_the_rest(toy):
    toy.write("primer/p1_basics", ["# P1. Basics", "import os\nprint(os.getcwd(), EPOCHS)"])
    toy.profile("notebooks: {p1: {EPOCHS: 9}}")
    toy.run()
    assert list(manifest(toy)["notebooks"]) == ["00", "03", "99", "p1"]
    copy = nbformat.read(toy.out / "notebooks" / "p1_basics.ipynb", as_version=4)
    assert copy.cells[-1].outputs[0].text.endswith("notebooks/primer 9\n")
    assert 'href="p1_basics.html"' in (toy.out / "html" / "99_report.html").read_text()
    assert 'href="html/p1_basics.html"' in (toy.out / "report.html").read_text()

    toy.write("primer/p1_basics", ["# P1. Basics", "print(EPOCHS + 1)"])
    toy.run(only=["p1"])
    assert [toy.runs_of(nn) for nn in ("00", "99", "p1")] == [1, 1, 2]
    assert manifest(toy)["status"] == "complete"  # nothing is built on the primer


def test_the_report_can_be_read_while_the_primer_runs(toy, capsys):
    page = f"Path({str(toy.out)!r}) / 'report.html'"
    toy.write("primer/p1_basics", ["# P1. Basics", f"assert ({page}).is_file()"])
    toy.run(only=["99", "p1"], how=How(1))
    said = capsys.readouterr().out
    assert said.index("The report can be read: ") < said.index("p1_basics  done in")


def test_only_an_unknown_number(toy):
    with pytest.raises(UserError, match="--only 07: there is no such notebook; valid: 00, 03, 99"):
        toy.run(only=["7"])


def test_a_folder_that_no_study_made_is_left_alone(toy):
    (toy.out / "figures").mkdir(parents=True)
    (toy.out / "figures" / "mine.png").touch()
    with pytest.raises(UserError, match="no study has made"):
        toy.run()
    assert (toy.out / "figures" / "mine.png").exists()
    with pytest.raises(UserError, match="no study has made"):
        toy.run(out=toy.notebooks.parent)
    assert toy.notebooks.exists()
    other = toy.out.parent / "other"
    other.mkdir()
    for name in ("report.html", "model_card.md", "manifest.json"):
        (other / name).write_text("{}")
        with pytest.raises(UserError, match="no study has made"):
            toy.run(out=other)
        assert [path.name for path in other.iterdir()] == [name]
        (other / name).unlink()


def test_what_a_folder_hides_from_git_already_is_kept(tmp_path):
    lines = {"": 2, "*\n": 1, "secret\n!*\n": 4, "secret": 3}
    for number, (there, count) in enumerate(lines.items()):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / ".gitignore").write_text(there)
        for _ in range(2):
            keep_kinds_apart(folder, {}, simulated=False)
            written = (folder / ".gitignore").read_text().splitlines()
            assert written[: len(there.splitlines())] == there.splitlines()
            assert "*" in written and len(written) == count


def test_a_bad_profile_is_refused_before_anything_is_touched(toy):
    toy.profile("all: {SEED: x}\n")
    with pytest.raises(UserError, match="SEED: expected int"):
        toy.run()
    assert not toy.out.exists() and toy.prepared == []


def test_a_notebook_runs_by_hand_with_papermill(toy, tmp_path):
    command = [sys.executable, "-m", "papermill", "--no-progress-bar", "-p", "EPOCHS", "3"]
    target = tmp_path / "by_hand.ipynb"
    subprocess.run(
        [*command, toy.notebooks / "00_start.ipynb", target, "-k", "python3"],
        check=True,
        capture_output=True,
    )
    assert "EPOCHS=3" in nbformat.read(target, as_version=4).cells[-1].outputs[0].text
    assert read_parameters(toy.notebooks / "00_start.ipynb")["EPOCHS"].default == 2


def test_cleaner_replaces_whole_paths_only():
    clean = cleaner({"/root": "~", "/root/repo": ".", "/root/repo/": "", "/tmp": "tmp"})
    assert clean("/tmp/ipykernel_12/345.py:2: UserWarning") == "cell:2: UserWarning"
    assert clean("/root/repo/a.py /root/x /rootfs a/root /tmp") == "a.py ~/x /rootfs a/root tmp"
    assert clean({"a": ["/root/repo"], "b": 1}) == {"a": ["."], "b": 1}


def test_a_copy_whose_name_is_not_utf_8_is_not_named_either(tmp_path, monkeypatch):
    copy = tmp_path / os.fsdecode(b"caf\xe9")
    monkeypatch.setenv("VAAFFECT_AFEW_VA", str(copy))
    clean = cleaner(local_places(tmp_path / "out", tmp_path / "runs", tmp_path / "work"))
    assert clean(str(UserError(f"{copy}: no AFEW-VA found."))) == "AFEW-VA: no AFEW-VA found."


def test_absolute_paths_deep_in_the_parameters_are_shortened():
    parameters = {
        "A": {"weights": "/home/me/mine.pt", "name": "x"},
        "B": ["/data/b", 3],
        "C": "a/c",
    }
    assert shortened(parameters) == {"/home/me/mine.pt": "…/mine.pt", "/data/b": "…/b"}


def test_a_report_about_real_people_is_hidden_from_git_and_kept_apart(toy):
    toy.run(changes=["DATA=real"])
    assert manifest(toy)["simulated"] is False and manifest(toy)["faces"] is False
    for command in (["init", "-q"], ["add", "-A"]):
        subprocess.run(["git", *command], cwd=toy.out, check=True)
    listed = ["git", "status", "--porcelain", "--untracked-files=all"]
    assert subprocess.run(listed, cwd=toy.out, capture_output=True, text=True).stdout == ""
    with pytest.raises(UserError, match="holds a study of real people, and this one is of simul"):
        toy.run(fresh=True)


def test_no_real_faces_come_into_a_report_about_simulated_people(finished):
    before = {path: path.read_bytes() for path in finished.out.rglob("*.ipynb")}
    with pytest.raises(UserError, match="one is of real people; name another folder with --out"):
        finished.run(changes=["DATA=real"])
    assert before == {path: path.read_bytes() for path in finished.out.rglob("*.ipynb")}


def test_the_manifest_says_whether_a_notebook_shows_faces(toy):
    toy.write("00_start", ["# Start", "print(SHOW_FACES)"], FIRST + "SHOW_FACES: bool = True  # x")
    toy.run(changes=["DATA=real"])
    assert manifest(toy)["faces"] is True
    assert "Licensed faces" in (toy.out / "html" / "03_train.html").read_text()
    toy.run(changes=["DATA=real", "SHOW_FACES=false"])
    assert manifest(toy)["faces"] is False
    page = (toy.out / "report.html").read_text()
    assert "Licensed faces" not in page and "no picture of them" in page
    assert toy.runs_of("00") == 2  # and what does not need it stays


def test_pictures_can_be_left_out_of_the_same_study(toy):
    assert Request(changes=["SHOW_FACES=false"]).command().endswith("--set SHOW_FACES=false")
    with pytest.raises(UserError, match="--set makes another study"):
        Request(changes=["SHOW_FACES=false", "SEED=3"])


def test_a_path_that_was_set_is_told_nowhere(toy):
    toy.run(changes=["MODELS=[/home/me/mine.pt]", "NAME=/home/me/other.pt"])
    assert "MODELS=[…/mine.pt], NAME=…/other.pt" in manifest(toy)["title"]
    assert manifest(toy)["notebooks"]["03"]["parameters"]["MODELS"] == ["…/mine.pt"]
    for path in toy.out.rglob("*"):
        assert not path.is_file() or b"/home/me" not in path.read_bytes(), path.name


# Progress


def remaining(expected: dict, done: dict, elapsed: float) -> float:
    """Of a study in the first of its steps that is not done."""
    display = Display(list(expected), expected)
    display.done = done
    now = next(step for step in expected if step not in done)
    display.running[now] = Running(time.monotonic() - elapsed)
    return display.remaining()


def test_eta_without_news_is_what_was_expected():
    assert remaining({"a": 10, "b": 20, "c": 30}, {}, 0) == pytest.approx(60, abs=0.1)
    assert remaining({"a": 10, "b": 20}, {}, 4) == pytest.approx(26, abs=0.1)


def test_eta_scales_with_the_machine():
    expected = {"a": 10, "b": 10, "c": 30}
    assert remaining(expected, {"a": 20}, 5) == pytest.approx(15 + 60, abs=0.1)


def test_nothing_runs_beside_a_step_that_is_alone():
    expected = {"data": 0, "a": 10, "b": 10, "c": 30}
    assert Display(list(expected), expected, at_once=2).remaining() == 25
    assert Display(list(expected), expected, at_once=2, alone=["c"]).remaining() == 40


def test_what_nobody_knows_the_length_of_is_no_part_of_the_eta(capsys):
    display = Display(["data", "trainings", "a"], dict.fromkeys(("data", "trainings", "a"), 1e4),
                      guessed=["trainings", "a"])  # fmt: skip
    display.done["data"] = 5.0
    display.running["trainings"] = Running(time.monotonic())
    display._last_line = -100.0
    assert display.remaining() == 0
    display.follow("trainings", [])
    assert "ETA 00:00 and 2 steps of unknown length" in capsys.readouterr().out
    plan = {"epochs": [2, 2], "kinds": ["k", "k"], "ended": [], "at_once": 1}
    events = [{"fanout": plan}, {"training": 0, "epoch": 1, "seconds": 10.0}]
    display._last_line = -100.0
    display.follow("trainings", events)
    assert display.remaining() == 30
    assert "ETA 00:30 and 1 step of unknown length" in capsys.readouterr().out


def test_the_further_trainings_are_the_more_their_own_pace_counts():
    display = Display(["trainings"], {"trainings": 3600.0})
    display.running["trainings"] = Running(time.monotonic() - 100)
    plan = {"epochs": [4, 4, 4], "kinds": ["a", "b", "b"], "ended": [2], "at_once": 1}
    events = [{"fanout": plan}, *({"training": 0, "epoch": n, "seconds": 25.0} for n in (1, 2, 3))]
    left = [display.remaining()]
    for number, event in enumerate(events):
        display.follow("trainings", [event])
        if number:
            left.append(display.remaining())
    assert left == sorted(left, reverse=True) and left[0] > 3400 and left[-1] < 1600
    display.follow("trainings", [{"training": 1, "epoch": 1, "seconds": 10.0}])
    assert display.remaining() == pytest.approx(25 + 30)


def test_eta_of_a_late_step_is_not_zero_and_slows_the_rest():
    assert remaining({"a": 10, "b": 10}, {}, 40) > 40
    assert 0 < remaining({"a": 10}, {}, 40) < 10


def test_clock_and_describe():
    assert [clock(s) for s in (0, 65, 3600, -1)] == ["00:00", "01:05", "1:00:00", "00:00"]
    event = {"what": "vgg11_bn fold 0", "epoch": 2, "epochs": 4, "loss": 0.0812, "seconds": 1}
    assert describe(event) == "vgg11_bn fold 0  epoch 2/4  loss 0.081"
    assert describe(event | {"left": 75.0}).endswith("loss 0.081  01:15 left")
    assert describe({"what": "crops", "done": 3, "total": 9}) == "crops  3/9"
    assert describe({}) == ""


def test_reports_reach_the_tail(tmp_path, monkeypatch, capsys):
    path = tmp_path / "events.jsonl"
    monkeypatch.delenv("VAAFFECT_PROGRESS", raising=False)
    report_event({"what": "nobody listens"})
    monkeypatch.setenv("VAAFFECT_PROGRESS", str(path))
    display = Display(["a"], {"a": 1.0})
    display.start("a")
    tail = Tail(path, partial(display.follow, "a"))
    assert tail.read() == []
    report_epoch("net", 1, 2, None, 0.5, 0.5)
    report_step("crops", 1, 3)
    with path.open("a") as file:
        file.write('not json\n{"what": "half')
    assert [event["what"] for event in tail.read()] == ["net", "crops"]
    with path.open("a") as file:
        file.write(' a line"}\n')
    assert tail.read() == [{"what": "half a line"}]
    monkeypatch.setenv("VAAFFECT_PROGRESS", str(tmp_path / "no" / "folder"))
    report_event({"what": "lost, but nothing fails"})


def test_data_that_was_there_does_not_spoil_the_eta():
    display = Display(["data", "a"], {"data": 60.0, "a": 100.0})
    display.done["data"] = 0.2
    assert display.remaining() == 100
    display.done["data"] = 30.0
    assert display.remaining() == 50


def test_display_draws_one_line_on_a_terminal_and_few_elsewhere(capsys, monkeypatch):
    for live in (True, False):
        monkeypatch.setattr(sys.stdout, "isatty", lambda live=live: live)
        display = Display(["a", "b"], {"a": 10.0, "b": 30.0})
        display.start("a")
        for epoch in range(5):
            display.follow("a", [{"what": "net", "epoch": epoch, "epochs": 5}])
        display.end("a")
        out = capsys.readouterr().out
        if live:
            assert "\r" in out and "[1/2] a  net  epoch 4/5  elapsed 00:00  ETA 00:40" in out
        else:
            assert out == "[1/2] a  starts\n[1/2] a  done in 00:00\n"
