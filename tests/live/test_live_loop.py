"""The loop, its sources and what it writes: every kind of source, and everything that ends it."""

import csv
import io
import itertools
import os
import signal
import subprocess
import sys
import threading
import time

import cv2
import numpy as np
import pytest
from clips import UNEVEN, write_clip
from made_up import Nobody

from vaaffect.__main__ import main
from vaaffect.base import paths
from vaaffect.base.errors import UserError
from vaaffect.corpora.tracking import KnownFaces
from vaaffect.live import loop
from vaaffect.live.overlay import ClipWriter, Trails, annotate, save_still
from vaaffect.live.predictor import FacePrediction, Predictor
from vaaffect.live.sources import (
    CameraLostError,
    CameraSource,
    Clip,
    Stills,
    open_camera,
    open_source,
)


@pytest.fixture
def predictor(run):
    return Predictor.from_run(run, device="cpu")


class Slow:
    """A predictor that takes its time, and is otherwise the real one."""

    def __init__(self, predictor: Predictor, seconds: float) -> None:
        self.predictor, self.seconds = predictor, seconds

    def __getattr__(self, name):
        return getattr(self.predictor, name)

    def __call__(self, picture):
        time.sleep(self.seconds)
        return self.predictor(picture)


def rows_of(text: str) -> list[dict]:
    return list(csv.DictReader(io.StringIO(text)))


def command(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "vaaffect", "predict", *map(str, arguments)]


def test_a_clip_gives_a_row_per_face_and_an_annotated_clip(predictor, tour, tour_path, tmp_path):
    out, seen = io.StringIO(), []
    done = []
    summary = loop.watch(
        Clip(tour_path), predictor, out, tmp_path / "new" / "annotated.mp4",
        progress=lambda *at: done.append(at), seen=lambda frame, faces: seen.append(faces),
    )  # fmt: skip
    rows = rows_of(out.getvalue())
    count = len(tour.pictures)
    assert summary.pictures == summary.predictions == len(rows) == len(seen) == count
    assert list(rows[0]) == list(loop.CSV_COLUMNS)
    assert [int(row["frame"]) for row in rows] == list(range(count))
    assert {row["face"] for row in rows} == {"0"} and {row["source"] for row in rows} == {
        "clip é.avi"
    }
    assert float(rows[5]["time_s"]) == pytest.approx(5 / tour.fps, abs=1e-3)
    for row, (prediction,) in zip(rows, seen, strict=True):
        assert float(row["valence"]) == pytest.approx(prediction.va[0], abs=1e-4)
        assert float(row["arousal"]) == pytest.approx(prediction.va[1], abs=1e-4)
        box = [float(row[name]) for name in ("x0", "y0", "x1", "y1")]
        points = tour.landmarks[int(row["frame"])]
        assert np.all(np.abs(np.array(box[:2]) - points.min(axis=0)) < 40)
    assert done[-1] == (count, count)
    clip = cv2.VideoCapture(str(tmp_path / "new" / "annotated.mp4"))
    assert clip.get(cv2.CAP_PROP_FRAME_COUNT) == count
    assert clip.get(cv2.CAP_PROP_FPS) == pytest.approx(tour.fps)


def test_each_picture_of_a_clip_has_its_own_time(tmp_path):
    clip = Clip(write_clip(tmp_path / "v.mp4", UNEVEN))
    assert clip.total == len(UNEVEN)
    assert [frame.time_s for frame in clip] == pytest.approx(UNEVEN, abs=1e-6)


@pytest.mark.parametrize("name", ["c.mp4", "c.mkv", "c.webm", "c.avi"])
def test_an_annotated_clip_keeps_the_times_of_its_source(tmp_path, name):
    source = write_clip(tmp_path / "v.mp4", UNEVEN)
    loop.watch(Clip(source), Nobody(), io.StringIO(), tmp_path / name)
    drawn, shown = list(Clip(tmp_path / name)), list(Clip(source))
    assert [frame.time_s for frame in drawn] == pytest.approx(UNEVEN, abs=1e-3)
    for a, b in zip(drawn, shown, strict=True):
        expected = annotate(b.picture, [])
        assert a.picture.shape == expected.shape
        assert cv2.PSNR(a.picture, expected) > 30


def test_an_avi_has_one_rate_and_a_picture_stays_until_the_next(tmp_path):
    writer = ClipWriter(tmp_path / "c.avi", 10)
    for grey, time_s in enumerate((0, 0.11, 0.13, 0.48, 1.0)):
        writer.write(np.full((64, 64, 3), 50 * grey, np.uint8), time_s)
    writer.close()
    frames = list(Clip(tmp_path / "c.avi"))
    assert [frame.time_s for frame in frames] == pytest.approx([0, 0.1, 0.5, 1.0])
    assert [round(frame.picture.mean(), -1) for frame in frames] == [0, 50, 150, 200]


def test_a_file_is_played_by_its_time_stamps(tmp_path):
    source = open_source(str(write_clip(tmp_path / "v.mp4", UNEVEN)), real_time=True)
    began, seen = time.perf_counter(), []
    for frame in source:
        seen.append((frame.time_s, time.perf_counter() - began))
    source.close()
    at, came = np.array(seen).T
    assert at.tolist() == pytest.approx(UNEVEN, abs=1e-6) and source.dropped == 0
    late = came - at
    assert np.all(late - late.min() < 0.15) and came[-1] > 1.2


def test_a_file_that_pauses_is_waited_for_unless_it_is_closed(tmp_path):
    source = CameraSource(Clip(write_clip(tmp_path / "v.mp4", [0, 0.4, 60])), "v.mp4", patience=0.1)
    frames = iter(source)
    assert [next(frames).time_s for _ in range(2)] == pytest.approx([0, 0.4])
    assert within(5, source.close) is None


def test_smoothing_is_off_unless_asked_and_then_named(predictor, tour_path):
    raw, smooth = io.StringIO(), io.StringIO()
    loop.watch(Clip(tour_path), predictor, raw)
    loop.watch(Clip(tour_path), predictor, smooth, smooth=0.5)
    raw, smooth = rows_of(raw.getvalue()), rows_of(smooth.getvalue())
    assert "valence" in raw[0] and "valence" not in smooth[0]
    of = [np.array([float(row[name]) for row in rows])
          for rows, name in ((raw, "arousal"), (smooth, "arousal_smoothed_0.5s"))]  # fmt: skip
    assert of[0][0] == of[1][0]
    assert np.abs(np.diff(of[1])).mean() < np.abs(np.diff(of[0])).mean()


def test_a_slow_predictor_for_a_camera_drops_stale_pictures_and_counts_them(
    predictor, tour, tour_path, tmp_path
):
    slow = Slow(predictor, 0.3)
    out = io.StringIO()
    started = time.perf_counter()
    summary = loop.watch(open_source(str(tour_path), real_time=True), slow, out, tmp_path / "c.avi")
    spent = time.perf_counter() - started
    rows = rows_of(out.getvalue())
    count = len(tour.pictures)
    assert summary.dropped > 0.5 * count
    assert summary.pictures + summary.dropped == count and len(rows) == summary.pictures
    assert spent > 0.9 * count / tour.fps, "it plays at its own speed"
    # Never a stale picture: each is about as much newer as the last prediction took.
    times = [float(row["time_s"]) for row in rows]
    assert np.mean(np.diff(times[:-1])) > 0.25
    assert any("dropped" in line for line in summary.lines())
    # The annotated clip still runs at the speed of the source.
    clip = cv2.VideoCapture(str(tmp_path / "c.avi"))
    assert clip.get(cv2.CAP_PROP_FRAME_COUNT) / tour.fps == pytest.approx(times[-1], abs=0.2)


def test_an_unplugged_camera_ends_the_loop_and_keeps_the_rows(predictor, tour, tour_path):
    # A capture whose pictures end is what a camera looks like that is pulled out.
    camera = CameraSource(cv2.VideoCapture(str(tour_path)), "camera 7")
    out = io.StringIO()
    summary = loop.watch(camera, predictor, out)
    assert summary.lost and summary.ended.startswith("camera 7: delivers no more pictures")
    assert summary.pictures >= 1 and len(rows_of(out.getvalue())) == summary.predictions
    assert summary.pictures + summary.dropped == len(tour.pictures)


def test_a_camera_that_hangs_is_given_up(tour):
    # Not derived from OpenCV's own class: that corrupts memory.
    class Hangs:  # opens, and never delivers
        def get(self, _):
            return 0.0

        def read(self):
            time.sleep(3)
            return False, None

        def release(self):
            pass

    with pytest.raises(CameraLostError, match=r"has not delivered a picture for 0.2 seconds"):
        next(iter(CameraSource(Hangs(), "camera 0", patience=0.2)))


def test_a_camera_that_is_not_there_is_one_sentence():
    with pytest.raises(UserError, match=r"camera 97: cannot be opened"):
        open_camera(97)


def test_images_and_folders(predictor, tour, tmp_path):
    folder = tmp_path / "bilder é"
    folder.mkdir()
    face = tour.pictures[0]
    save_still(folder / "a.png", face)
    cv2.imwrite(str(folder / "b grey.jpg"), face.mean(axis=2).astype(np.uint8))
    deep = (face.astype(np.uint16) * 257)[:, :, ::-1]
    cv2.imwrite(str(folder / "c 16 bit.png"), deep)
    rgba = np.dstack([face[:, :, ::-1], np.full(face.shape[:2], 255, np.uint8)])
    cv2.imwrite(str(folder / "d rgba.png"), rgba)
    save_still(folder / "e nobody.png", np.full((120, 90, 3), 99, np.uint8))
    (folder / "f broken.png").write_bytes((folder / "a.png").read_bytes()[:500])
    (folder / "g empty.jpg").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    out = io.StringIO()
    source = open_source(str(folder))
    assert source.total == 7
    summary = loop.watch(source, predictor, out, tmp_path / "annotated")
    rows = rows_of(out.getvalue())
    assert [row["source"] for row in rows] == ["a.png", "b grey.jpg", "c 16 bit.png", "d rgba.png"]
    assert {row["face"] for row in rows} == {"0"} and {row["time_s"] for row in rows} == {""}
    values = np.array([[float(row["valence"]), float(row["arousal"])] for row in rows])
    assert np.array_equal(values[0], values[2]) and np.array_equal(values[0], values[3])
    assert summary.without_face == 1 and len(summary.problems) == 2
    assert "truncated or corrupt" in "\n".join(summary.lines())
    names = sorted(path.name for path in (tmp_path / "annotated").iterdir())
    assert names == ["a.png", "b grey.jpg", "c 16 bit.png", "d rgba.png", "e nobody.png"]
    with pytest.raises(UserError, match="cannot be smoothed"):
        loop.watch(Stills(folder), predictor, out, smooth=0.5)
    with pytest.raises(UserError, match="the source is an image"):
        loop.watch(Stills(folder / "a.png"), predictor, out, tmp_path / "x.mp4")


def test_pictures_may_have_names_that_are_not_utf_8(run, tour, tmp_path, capsys):
    folder = tmp_path / os.fsdecode(b"\xe9t\xe9")
    save_still(folder / os.fsdecode(b"caf\xe9.png"), tour.pictures[0])
    (folder / os.fsdecode(b"vid\xe9.png")).write_bytes(b"")
    out = tmp_path / "rows.csv"
    assert main(["predict", str(folder), "--run", str(run), "--out", str(out)]) == 0
    (row,) = rows_of(out.read_text(encoding="utf-8"))
    assert row["source"] == "caf\\xe9.png"
    assert "vid\\xe9.png 1: picture cannot be decoded" in capsys.readouterr().err
    assert main(["predict", str(folder), "--run", str(run)]) == 0
    assert "caf\\xe9.png,0," in capsys.readouterr().out


def test_a_truncated_clip_is_read_as_far_as_it_goes(predictor, tour_path, tmp_path):
    broken = tmp_path / "broken.avi"
    data = tour_path.read_bytes()
    broken.write_bytes(data[: len(data) // 2])
    out = io.StringIO()
    summary = loop.watch(Clip(broken), predictor, out)
    assert 0 < summary.pictures < 38 and len(rows_of(out.getvalue())) == summary.pictures
    (problem,) = summary.problems
    assert problem[1] == f"frame {summary.pictures} of the video is damaged"


@pytest.mark.parametrize(
    ("name", "contents", "message"),
    [
        ("missing.mp4", None, "there is no such file"),
        ("missing.png", None, "there is no such file or folder"),
        ("empty.mp4", b"", "does not open"),
        ("text.avi", b"no video at all" * 99, "does not open"),
    ],
)
def test_sources_that_are_none(name, contents, message, tmp_path):
    path = tmp_path / name
    if contents is not None:
        path.write_bytes(contents)
    with pytest.raises(UserError, match=message) as error:
        open_source(str(path))
    assert str(path) in str(error.value)


def test_a_folder_without_images_and_real_time_of_one(tmp_path):
    with pytest.raises(UserError, match="holds no image"):
        open_source(str(tmp_path))
    with pytest.raises(UserError, match="only a video plays in real time"):
        open_source(str(tmp_path), real_time=True)


def test_an_annotated_picture_shows_the_predictions():
    picture = np.full((200, 300, 3), 90, np.uint8)
    points = np.stack([np.linspace(100, 200, 68), np.linspace(60, 160, 68)], 1).astype(np.float32)
    faces = [
        FacePrediction(n, (100.0, 60.0, 200.0, 160.0), points, np.array(va, np.float32), {})
        for n, va in enumerate([(0.5, 0.5), (-0.5, -0.5)])
    ]
    empty, one, two = (annotate(picture, faces[:n]) for n in range(3))
    smoothed = annotate(picture, faces[:1], note="smoothed 0.5 s")
    trail = annotate(picture, faces[:1], {0: [(-0.9, 0.0), (0.5, 0.5)]})
    shown = [empty, one, two, smoothed, trail]
    assert len({page.shape for page in shown}) == 1 and shown[0].shape[0] >= 360
    assert all(side % 2 == 0 for side in shown[0].shape[:2])
    for a, b in itertools.combinations(shown, 2):
        assert (a != b).any()
    assert np.array_equal(picture, np.full((200, 300, 3), 90, np.uint8)), "left as it was"
    assert annotate(np.zeros((8, 4000, 3), np.uint8), []).shape[0] == 360
    # Twenty faces and a note have room, or the panel says how many more there are.
    annotate(
        picture,
        [FacePrediction(n, faces[0].box, points, faces[0].va, {}) for n in range(20)],
        note="x",
    )


def test_clips_that_cannot_be_written_are_refused(tmp_path):
    with pytest.raises(UserError, match=r"ends in \.mp4"):
        ClipWriter(tmp_path / "clip.gif", 25)
    writer = ClipWriter(tmp_path, 25) if tmp_path.suffix else ClipWriter(tmp_path / "x.mp4", 25)
    writer.path = writer.place = tmp_path / "folder.mp4"
    writer.path.mkdir()
    with pytest.raises(UserError, match="cannot be written as a video"):
        writer.write(np.zeros((64, 64, 3), np.uint8), 0.0)


def test_the_command_writes_rows_and_says_what_it_did(run, tour_path, tmp_path, capsys):
    out, clip = tmp_path / "rows.csv", tmp_path / "clip.mp4"
    words = command(tour_path, "--run", run, "--out", out, "--clip", clip, "--smooth", 0.4)
    done = subprocess.run(words, cwd=paths.ROOT, capture_output=True, text=True)
    assert done.returncode == 0 and done.stdout == "", done.stderr
    assert "38 pictures, 38 predictions; no face in 0." in done.stderr
    assert "valence_smoothed_0.4s" in out.read_text() and clip.stat().st_size > 10_000
    assert main(["predict", str(tour_path), "--run", str(run), "--out", str(tour_path)]) == 1
    assert "would be overwritten" in capsys.readouterr().err


def test_ctrl_c_ends_a_camera_and_keeps_what_was_read(run, tour, tmp_path):
    from vaaffect.simulator.tour import Tour, record

    long = Tour(tour.time_s, tour.va, tour.pictures * 15, tour.landmarks, tour.fps)
    path = record(long, tmp_path / "long.avi")  # 45 seconds
    out = tmp_path / "rows.csv"
    words = command(path, "--run", run, "--out", out, "--clip", tmp_path / "c.mp4", "--real-time")
    running = subprocess.Popen(words, cwd=paths.ROOT, stderr=subprocess.PIPE, text=True)
    waited = time.monotonic()
    while time.monotonic() - waited < 90 and (not out.exists() or out.stat().st_size < 500):
        time.sleep(0.1)
    running.send_signal(signal.SIGINT)
    _, errors = running.communicate(timeout=60)
    assert running.returncode == 0 and "Stopped by Ctrl-C" in errors, errors
    assert "Traceback" not in errors
    rows = rows_of(out.read_text())
    assert len(rows) >= 2 and all(row["milliseconds"] for row in rows)
    # The clip can be read; on a busy machine it leaves pictures out, as of a camera.
    assert cv2.VideoCapture(str(tmp_path / "c.mp4")).get(cv2.CAP_PROP_FRAME_COUNT) >= 1
    assert {path.name for path in tmp_path.iterdir()} == {"long.avi", "rows.csv", "c.mp4"}


def test_known_faces_need_no_dlib_in_the_loop(run, tour, tour_path):
    predictor = Predictor.from_run(run, device="cpu", tracker=KnownFaces(tour.landmarks))
    boxes = []
    loop.watch(
        Clip(tour_path), predictor, io.StringIO(), seconds=1.0,
        seen=lambda frame, faces: boxes.append(faces[0].landmarks),
    )  # fmt: skip
    assert len(boxes) == int(np.ceil(tour.fps))
    assert np.array_equal(boxes, tour.landmarks[: len(boxes)])


def test_the_bench_measures_both_loops_and_judges_them_by_the_goals(tmp_path):
    from benchmarks.live import Timing, _lines, bench_live

    report = tmp_path / "new" / "live.md"
    lines = bench_live(("resnet10",), 6, 3, backend="torch", report=report)
    assert "random weights" in lines[0] and "ResNet10: " in lines[-1]
    assert all(word in report.read_text() for word in ("naive, PyTorch f32", "live, torch"))
    fast = Timing([], [10.0] * 99, 100, 2.0)
    slow = Timing([], [100.0] * 99, 100, 10.0)
    assert _lines("resnet152", fast, slow)[0].count("reached") == 3
    assert _lines("resnet152", slow, fast)[0].count("missed") == 3


def within(seconds: float, work) -> BaseException | None:
    """What `work` raised, in a thread: a test that would hang for ever fails instead."""
    raised = []

    def run() -> None:
        try:
            work()
        except BaseException as error:
            raised.append(error)

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    thread.join(seconds)
    assert not thread.is_alive(), f"it still hangs after {seconds} seconds"
    return raised[0] if raised else None


@pytest.mark.parametrize("error", [cv2.error("no memory"), ZeroDivisionError("none"), OSError(5)])
def test_whatever_stops_the_drawing_reaches_the_caller(tour_path, tmp_path, monkeypatch, error):
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "annotate", fails)
    out = io.StringIO()
    watch = lambda: loop.watch(Clip(tour_path), Nobody(), out, tmp_path / "c.mp4")  # noqa: E731
    assert within(30, watch) is error
    assert out.getvalue().startswith("source,frame")


def test_an_error_at_the_last_picture_is_not_lost(tour, tmp_path, monkeypatch):
    save_still(tmp_path / "face.png", tour.pictures[0])
    error = ZeroDivisionError("none")

    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(loop, "annotate", fails)
    source = Stills(tmp_path / "face.png")
    assert within(30, lambda: loop.watch(source, Nobody(), io.StringIO(), tmp_path / "a.png")) is (
        error
    )


def test_a_driver_that_fails_is_named_and_not_taken_for_silence():
    class Fails:
        def get(self, _):
            return 0.0

        def read(self):
            raise cv2.error("the driver's own words")

        def release(self):
            pass

    camera = CameraSource(Fails(), "camera 0", patience=20)
    error = within(10, lambda: next(iter(camera)))
    assert isinstance(error, cv2.error) and "the driver's own words" in str(error)


def test_trails_last_two_seconds_and_faces_that_have_left_are_forgotten():
    trails, points = Trails(), np.zeros((68, 2), np.float32)
    for second in range(100):
        va = np.array([second / 100, 0.5], np.float32)
        face = FacePrediction(second // 10, (0, 0, 1, 1), points, va, {})
        shown = trails.add(float(second), [face])
        assert list(shown) == [face.face] and len(shown[face.face]) == min(second % 10 + 1, 3)
    assert len(trails._points) == 1
