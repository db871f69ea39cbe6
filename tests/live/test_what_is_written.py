"""What `predict` writes: nothing that is read or that somebody else wrote, and every file whole."""

import csv
import os
import resource
import shutil
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from pathlib import Path

import cv2
import numpy as np
import pytest
from made_up import Nobody

from vaaffect.__main__ import main
from vaaffect.base import UserError, paths
from vaaffect.live import loop, overlay
from vaaffect.live.sources import Clip, Stills, open_source


def write_picture(path: Path, seed: int = 0, side: int = 40) -> None:
    """Noise, in which there is no face, so that nothing takes long."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)
    assert cv2.imwrite(str(path), picture)


def contents(folder: Path) -> dict[str, bytes | None]:
    """Every file and folder below one."""
    return {
        str(path.relative_to(folder)): path.read_bytes() if path.is_file() else None
        for path in folder.rglob("*")
    }


@contextmanager
def no_file_above(size: int):
    """As on a disk that is full: a file ends at so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


@pytest.fixture
def place(tmp_path, monkeypatch, run) -> Path:
    """A folder to work in: photographs in p, another one and a table in q, a run in r."""
    monkeypatch.chdir(tmp_path)
    write_picture(Path("p/a.png"), 1)
    write_picture(Path("p/b.jpg"), 2)
    write_picture(Path("q/a.png"), 3)
    Path("q/labels.csv").write_text("person,valence\n1,0.5\n")
    shutil.copytree(run, "r")
    return tmp_path


def predict(*arguments: object) -> int:
    return main(["predict", *map(str, arguments), "--run", "r"])


READ = "which is read, and would be overwritten by"
THERE = "is there already and is no earlier result of this command"
TWICE = "would both be written into this file"


@pytest.mark.parametrize(
    ("prepare", "arguments", "said"),
    [
        ("", "p/a.png --clip p", "p/a.png: is read and would be overwritten by a.png"),
        ("", "p --clip p", "p/a.png: is read and would"),
        ("", "p --clip ../{name}/p", f"p/a.png: is p/a.png, {READ} a.png"),
        ("", "p/a.png --clip p/a.png", "p/a.png: is read and would"),
        ("", "p --out p/a.png", "p/a.png: is read and would be overwritten by the rows"),
        ("", "p --out r/model.pt", "r/model.pt: is read and would be overwritten by the rows"),
        ("mkdir h; ln p/a.png h/a.png", "p --clip h", f"h/a.png: is p/a.png, {READ} a.png"),
        ("ln -s p/a.png s.png", "p/a.png --clip s.png", f"s.png: is p/a.png, {READ} the annotated"),
        ("ln -s p s", "p --clip s", f"s/a.png: is p/a.png, {READ} a.png"),
        ("ln -s ../q/a.png p/c.png", "p --clip q", f"q/a.png: is p/c.png, {READ} a.png"),
        ("cp p/a.png p/a.tif; cp p/a.png p/a.tif.png", "p --clip n",
         f"n/a.tif.png: a.tif and a.tif.png {TWICE}"),
        ("", "p --clip n --out n/a.png", f"n/a.png: the rows and a.png {TWICE}"),
        ("", "p --clip q", f"q/a.png: {THERE}"),
        ("", "p/a.png --clip q/a.png", f"q/a.png: {THERE}"),
        ("", "p --out q/labels.csv", f"q/labels.csv: {THERE}"),
        ("", "p --out q", "q: is a folder, and a file is needed for the rows; name one in it."),
        ("", "p --clip q/labels.csv", "q/labels.csv: is a file, and a folder is needed"),
        ("", "p --clip q/labels.csv/n", "q/labels.csv/n/a.png: Not a directory; a file is where"),
        ("mkdir -p n/b.jpg", "p --clip n", "n/b.jpg: is a folder, and a file is needed for b.jpg"),
        ("", "p --smooth 1 --out q/labels.csv", "images have no time"),
        ("", "p/a.png --clip n.gif --out q/labels.csv", "n.gif: the source is an image; end in"),
        ("", f"p --out n/{'x' * 256}", "x: File name too long; choose a shorter name."),
        (f"cp p/a.png p/{'x' * 250}.tif", "p --clip n", "x.tif.png: File name too long; choose a"),
        ("ln -s nowhere/x.png s.png", "p/a.png --clip s.png", "where there is no folder; rem"),
        ("", "p --out p/a.png/rows.csv", "p/a.png/rows.csv: Not a directory; a file is where"),
    ],
)  # fmt: skip
def test_what_would_be_lost_is_refused_before_the_first_byte(
    place, capsys, prepare, arguments, said
):
    if prepare:
        subprocess.run(prepare, shell=True, check=True)
    before = contents(place)
    assert predict(*arguments.format(name=place.name).split()) == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vaaffect: ") and said in last
    assert contents(place) == before


def test_a_video_that_is_read_is_not_written(place, tour_path, capsys):
    shutil.copy(tour_path, "v.avi")
    Path("h.avi").hardlink_to("v.avi")
    before = contents(place)
    for words in (["--clip", "v.avi"], ["--clip", "h.avi"], ["--out", "v.avi"],
                  ["--clip", place / "v.avi", "--real-time"]):  # fmt: skip
        assert predict("v.avi", *words) == 1
        assert "would be overwritten" in capsys.readouterr().err
    assert predict("h.avi", "--clip", "q/a.png") == 1 and predict("h.avi", "--out", "v.avi") == 1
    shutil.copy("v.avi", "w.avi")  # another video of the user's
    assert predict("v.avi", "--clip", "w.avi") == 1
    assert "w.avi: is there already" in capsys.readouterr().err
    Path("w.avi").unlink()
    assert contents(place) == before


def test_an_earlier_result_is_replaced(place, capsys):
    for source, clip in (("p", "n"), ("p/a.png", "one.png"), ("p/b.jpg", "two.jpeg")):
        for _ in range(2):
            assert predict(source, "--clip", clip, "--out", "p/rows.csv") == 0
    names = {name for name in contents(place) if name.startswith(("n/", "one", "two", "p/"))}
    assert names == {
        "n/a.png", "n/b.jpg", "one.png", "two.jpeg", "p/a.png", "p/b.jpg", "p/rows.csv",
    }  # fmt: skip
    assert Path("p/rows.csv").read_text().startswith("source,frame,time_s,face")
    for name in ("n/a.png", "n/b.jpg", "one.png", "two.jpeg"):
        assert cv2.imread(name).shape == cv2.imread("n/a.png").shape
    assert "Traceback" not in capsys.readouterr().err


def test_the_comment_in_an_image_leaves_its_pixels_alone(tmp_path):
    picture = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    for name in ("a.png", "b.jpg", "c.PNG"):
        overlay.save_still(tmp_path / name, picture)
        _, plain = cv2.imencode(Path(name).suffix, picture[:, :, ::-1])
        written = (tmp_path / name).read_bytes()
        assert len(written) > len(plain) and overlay.MARK in written
        assert np.array_equal(cv2.imread(str(tmp_path / name)), cv2.imdecode(plain, 1))


def test_a_tilde_is_the_home_folder_or_a_part_of_a_name(place, monkeypatch):
    monkeypatch.setenv("HOME", str(place / "home"))
    shutil.copy("p/a.png", "~draft.png")  # as programs call what is being edited
    assert predict("~draft.png", "--clip", "~draft2.png", "--out", "~/rows.csv") == 0
    assert {path.name for path in Path().iterdir()} == {
        "p", "q", "r", "home", "~draft.png", "~draft2.png",
    }  # fmt: skip
    assert [path.name for path in Path("home").iterdir()] == ["rows.csv"]


def test_pictures_of_all_names_have_annotated_ones(place):
    odd = Path("p") / os.fsdecode(b"caf\xe9.png")  # a name that is not UTF-8
    shutil.copy("p/a.png", odd)
    shutil.copy("p/a.png", "p/A.png")
    shutil.copy("p/a.png", "p/" + "x" * 251 + ".png")
    clip = Path(os.fsdecode(b"annot\xe9"))
    assert predict("p", "--clip", clip) == 0
    names = {path.name for path in Path("p").iterdir()}
    assert {path.name for path in clip.iterdir()} == names and len(names) == 5


def test_a_clip_of_any_name_is_written_and_replaced_by_the_next(place, tour_path):
    shutil.copy(tour_path, "v.avi")
    for ending in ("avi", "mkv", "mp4", "webm"):
        clip = os.fsdecode(b"caf\xe9.") + ending
        for _ in range(2):
            assert predict("v.avi", "--clip", clip) == 0
        assert Path(clip).stat().st_size > 10_000


def test_a_full_disk_leaves_earlier_results_and_no_half_of_a_new_one(place, capsys):
    assert predict("p", "--clip", "n") == 0
    write_picture(Path("p/b.jpg"), 4, side=600)
    before = contents(place)
    with no_file_above(300_000):
        assert predict("p", "--clip", "n", "--out", "rows.csv") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == "vaaffect: n/b.jpg: File too large; choose a place that takes larger files."
    after = contents(place)
    assert after.pop("rows.csv").startswith(b"source,frame") and after == before
    assert predict("p", "--out", "/dev/full") == 1
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("vaaffect: /dev/full: No space left on device; free some space")


def test_a_table_on_a_full_disk_ends_with_a_whole_row(tmp_path):
    table = loop._Table(tmp_path / "rows.csv", ["a", "b"])
    with no_file_above(1000), table, pytest.raises(OSError, match="File too large"):
        for row in range(10_000):
            table.write([[row, "x" * 50]])
    rows = list(csv.reader((tmp_path / "rows.csv").open()))
    assert len(rows) == 19 and {len(row[1]) for row in rows[1:]} == {50}


def test_a_clip_that_could_not_be_ended_leaves_the_earlier_one(tour_path, tmp_path, monkeypatch):
    clip = tmp_path / "c.mp4"
    clip.write_bytes(overlay.MARK)

    def fails(*_: object) -> None:
        raise OSError("the disk is full")

    source = Clip(tour_path)
    with monkeypatch.context() as patch, pytest.raises(OSError, match="the disk is full"):
        patch.setattr(overlay.ClipWriter, "close", fails)
        loop.watch(source, Nobody(), tmp_path / "rows.csv", clip, seconds=0.5)
    assert contents(tmp_path).keys() == {"c.mp4", "rows.csv"}
    assert clip.read_bytes() == overlay.MARK
    loop.watch(source, Nobody(), tmp_path / "rows.csv", clip, seconds=0.5)
    assert contents(tmp_path).keys() == {"c.mp4", "rows.csv"}
    assert cv2.VideoCapture(str(clip)).get(cv2.CAP_PROP_FRAME_COUNT) == 7
    with pytest.raises(UserError, match=r"c\.mp4\.gif: give the clip a name"):
        loop.watch(source, Nobody(), tmp_path / "rows.csv", tmp_path / "c.mp4.gif")


def test_a_reader_that_goes_ends_predict_quietly(run, tour_path, tmp_path):
    words = [sys.executable, "-m", "vaaffect", "predict", tour_path, "--run", run,
             "--clip", tmp_path / "c.mp4"]  # fmt: skip
    running = subprocess.Popen(
        list(map(str, words)), cwd=paths.ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    lines = [running.stdout.readline() for _ in range(4)]
    running.stdout.close()
    errors = running.stderr.read().decode()
    assert running.wait(60) == 128 + signal.SIGPIPE and b"".join(lines).count(b"avi") == 3
    assert "Traceback" not in errors and "Broken" not in errors and "ignored" not in errors
    assert cv2.VideoCapture(str(tmp_path / "c.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) >= 3
    assert [path.name for path in tmp_path.iterdir()] == ["c.mp4"]


def test_sigterm_keeps_rows_and_clip(place, tour_path):
    rows = Path("rows.csv")

    def end() -> None:
        while not rows.exists() or rows.stat().st_size < 300:
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGTERM)

    before = signal.signal(signal.SIGTERM, signal.default_int_handler)  # not the end of all tests
    try:
        threading.Thread(target=end, daemon=True).start()
        code = predict(tour_path, "--real-time", "--out", rows, "--clip", "c.mp4")
        assert signal.getsignal(signal.SIGTERM) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGTERM, before)
    assert code == 128 + signal.SIGTERM
    assert 1 <= len(list(csv.DictReader(rows.open()))) < 38
    assert cv2.VideoCapture("c.mp4").get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    assert {path.name for path in Path().iterdir()} == {"p", "q", "r", "c.mp4", "rows.csv"}


def test_output_that_is_closed_from_the_beginning_stops_nothing(place, monkeypatch):
    monkeypatch.setattr(sys, "stdout", None)  # as Python has it then
    assert predict("p", "--clip", "n") == 0 and Path("n/a.png").exists()


@pytest.mark.parametrize("words", [["check", "{root}", "--quick"], ["predict", "--help"], []])
def test_a_reader_that_goes_ends_every_command_quietly(tiny_root, monkeypatch, capfd, words):
    reader, writer = os.pipe()
    os.close(reader)
    before = os.dup(1)
    os.dup2(writer, 1)
    try:
        with open(1, "w", closefd=False) as stdout:
            monkeypatch.setattr(sys, "stdout", stdout)
            assert main([word.format(root=tiny_root) for word in words]) == 128 + signal.SIGPIPE
            print("nobody reads this", flush=True)
    finally:
        os.dup2(before, 1)
        os.close(before)
        os.close(writer)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "source",
    ["rtsp://10.0.0.7/stream", "http://example.org/a.png", "HTTPS://example.org/v.mp4",
     "file:///p/a.png"],
)  # fmt: skip
def test_addresses_are_said_not_to_be_supported(source):
    for real_time in (False, True):
        with pytest.raises(UserError, match=r"addresses are not supported; give the path of a fi"):
            open_source(source, real_time)


def test_odd_arguments_are_one_sentence(place, capsys):
    for source, said in (
        ("", "the name of the source is empty"),
        ("99999999999999999999", "camera 99999999999999999999: cannot be opened"),
        ("²", "²: there is no such file or folder"),
        ("-1", "-1: there is no such file or folder"),
        ("x" * 300, "File name too long; choose a shorter name"),
        ("p/a.png/b.png", "p/a.png/b.png: there is no such file or folder"),
    ):
        assert predict(source) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith("vaaffect: ") and said in line
    for seconds in ("0", "-1", "nan", "inf"):
        assert predict("p", "--smooth", seconds) == 1
    assert "Traceback" not in capsys.readouterr().err
    for option in ("--out", "--clip"):
        with pytest.raises(SystemExit) as ended:
            predict("p", option, "")
        assert ended.value.code == 2 and "the name is empty" in capsys.readouterr().err
    assert len(list(Path().iterdir())) == 3


def test_images_keep_their_order_in_what_is_written(place):
    files = [path.name for path, _ in loop.Annotator(Stills(Path("p")), Path("n"), "").files]
    assert files == [path.name for path in Stills(Path("p")).files]
