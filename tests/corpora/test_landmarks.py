import importlib.util
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from films import write_film

from vaaffect.base.errors import UserError
from vaaffect.corpora import pictures, tracking
from vaaffect.corpora.corpus import FRAME_COLUMNS, Corpus
from vaaffect.corpora.landmarks import landmark_corpus, relative_error
from vaaffect.corpora.problems import PROBLEM_COLUMNS
from vaaffect.corpora.tracking import FacesTracker
from vaaffect.simulator import Scene, build_set, render, sample_identity
from vaaffect.simulator.circumplex import ACTION_UNITS

NEEDED = ("dlib", "face_recognition_models")
missing = [name for name in NEEDED if importlib.util.find_spec(name) is None]
pytestmark = pytest.mark.skipif(bool(missing), reason=f"not installed: {', '.join(missing)}")

SIZE = (360, 288)
LIMIT = 0.06  # of the outer-eye-corner distance


def drawn(count: int, reach: float = 0.12, size: tuple[int, int] = SIZE, seed: int = 4):
    """A person who walks through the picture, turns and speaks: pictures and exact points."""
    person = sample_identity(np.random.default_rng(seed))
    scene = Scene(scale=0.18, noise=1.0)
    shared = build_set(scene, size)
    pictures, points = [], []
    for t in range(count):
        units = np.zeros(len(ACTION_UNITS))
        units[ACTION_UNITS.index("lips_part")] = 0.5 + 0.4 * np.sin(t)
        units[ACTION_UNITS.index("lip_corner_puller")] = 0.5 + 0.4 * np.sin(t / 9)
        moved = replace(
            scene,
            centre=(0.5 + reach * np.sin(t / 4), 0.42 + 0.03 * np.sin(t / 3)),
            yaw=10 * np.sin(t / 6),
            noise_phase=t,
        )
        picture, exact = render(person, units, moved, size, shared)
        pictures.append(picture)
        points.append(exact)
    return pictures, points


def one_tracked():
    """A tracker of pictures that show one person, or nobody."""
    track = FacesTracker()

    def points(picture: np.ndarray) -> np.ndarray | None:
        faces = track(picture)
        assert len(faces) < 2
        return faces[0][1] if faces else None

    points.tracker = track
    return points


def test_the_tracker_follows_a_moving_face():
    pictures, points = drawn(45)
    assert np.ptp(np.mean(points, axis=1)[:, 0]) > 60  # it does move, by more than half a face
    track = one_tracked()
    errors = []
    for picture, exact in zip(pictures, points, strict=True):
        found = track(picture)
        assert found.shape == (68, 2) and found.dtype == np.float32
        errors.append(relative_error(found, exact).mean())
    assert np.mean(errors) < LIMIT and np.max(errors) < 2 * LIMIT


def test_the_tracker_costs_no_accuracy_and_looks_at_little(monkeypatch):
    pictures, points = drawn(20, size=(780, 580))
    pairs = list(zip(pictures, points, strict=True))
    alone = [relative_error(one_tracked()(picture), exact).mean() for picture, exact in pairs]
    track = one_tracked()
    searched = []
    detect = track.tracker._detect
    monkeypatch.setattr(
        track.tracker,
        "_detect",
        lambda image, scale: searched.append(image.size * scale**2) or detect(image, scale),
    )
    tracked = [relative_error(track(picture), exact).mean() for picture, exact in pairs]
    assert np.mean(tracked) < np.mean(alone) + 0.003
    assert np.median(searched) < pictures[0].size / 10


def test_the_tracker_forgets_a_lost_face_and_finds_it_again():
    pictures, points = drawn(40)
    track = one_tracked()
    assert track(pictures[0]) is not None
    blank = np.full_like(pictures[0], 120)
    assert [track(blank) for _ in range(3)] == [None] * 3
    # Far from where it was, at once.
    far = max(range(40), key=lambda t: abs(points[t].mean(0)[0] - points[0].mean(0)[0]))
    assert relative_error(track(pictures[far]), points[far]).mean() < LIMIT


def test_the_tracker_finds_a_face_that_jumps():
    pictures, points = drawn(8, reach=0.0)
    track = one_tracked()
    track(pictures[0])
    jumped = np.roll(pictures[1], 110, axis=1)
    error = relative_error(track(jumped), points[1] + np.float32([110, 0]))
    assert error.mean() < LIMIT


def test_small_faces_in_large_pictures_are_found():
    pictures, points = drawn(1)
    # 90 pixels wide: too small for the detector once the picture is reduced.
    shrunk = cv2.resize(pictures[0], None, fx=0.8, fy=0.8, interpolation=cv2.INTER_AREA)
    wide = np.full((900, 1400, 3), 90, np.uint8)
    wide[600 : 600 + shrunk.shape[0], 900 : 900 + shrunk.shape[1]] = shrunk
    found = one_tracked()(wide)
    exact = 0.8 * points[0] + np.float32([900, 600])
    assert relative_error(found, exact).mean() < LIMIT


# ---------------------------------------------------------------- a corpus without landmarks


def blind_corpus(root: Path, rows: list[tuple], problems: list[tuple]) -> Corpus:
    frames = pd.DataFrame(rows, columns=FRAME_COLUMNS)
    return Corpus(
        "afew-va", root, True, 1.0, frames, None, pd.DataFrame(problems, columns=PROBLEM_COLUMNS)
    )


@pytest.fixture(scope="module")
def talks(tmp_path_factory) -> tuple[Corpus, np.ndarray]:
    """A corpus of three videos without landmarks, one frame in two annotated, and the exact points;
    in the middle of the second one nobody is there."""
    root = tmp_path_factory.mktemp("corpora") / "talks é"
    root.mkdir()
    rows, exact = [], []
    for k in range(3):
        pictures, points = drawn(20, seed=k)
        source = f"talk {k}.avi"
        if k == 1:
            pictures[8:12] = [np.full_like(picture, 90) for picture in pictures[8:12]]
        write_film(root / source, [picture[:, :, ::-1] for picture in pictures])
        for t in range(0, 20, 2):
            rows.append((f"s{k}", f"c{k}", t // 2, t / 25, source, t, 0.1, 0.2))
            exact.append(points[t])
    before = [("notes.txt", "a problem before", "nothing")]
    return blind_corpus(root, rows, before), np.stack(exact)


@pytest.fixture(scope="module")
def found(talks, tmp_path_factory) -> tuple[Corpus, Path]:
    cache = tmp_path_factory.mktemp("landmarks") / "trouvés ici"
    return landmark_corpus(talks[0], cache=cache, workers=1), cache


@pytest.fixture
def without_dlib(monkeypatch):
    monkeypatch.setitem(sys.modules, "dlib", None)  # importing it fails
    tracking.dlib_models.cache_clear()
    yield
    tracking.dlib_models.cache_clear()


def test_landmarks_of_a_corpus_lie_on_the_exact_points(talks, found):
    corpus, exact = talks
    got = found[0]
    kept = ~((corpus.frames["clip"] == "c1") & corpus.frames["source_index"].between(8, 11))
    assert got.landmarks.shape == (28, 68, 2) and got.landmarks.dtype == np.float32
    pd.testing.assert_frame_equal(got.frames, corpus.frames[kept].reset_index(drop=True))
    pairs = zip(got.landmarks, exact[kept], strict=True)
    assert np.mean([relative_error(*pair).mean() for pair in pairs]) < LIMIT
    assert got.problems.to_dict("records") == [
        {"path": "notes.txt", "reason": "a problem before", "lost": "nothing"},
        {"path": "talk 1.avi#8", "reason": "no face found", "lost": "frame"},
        {"path": "talk 1.avi#10", "reason": "no face found", "lost": "frame"},
    ]
    assert len(corpus.frames) == 30  # the corpus that was given stays


def test_the_largest_face_of_a_clip_and_then_the_same_one(tmp_path):
    (small, *_), _ = drawn(1, seed=4)
    (large, *_), _ = drawn(1, seed=9)
    width, height = SIZE
    alone = np.full((2 * height, 5 * width // 2, 3), 90, np.uint8)
    alone[:height, :width] = small
    both = alone.copy()
    wide = cv2.resize(large, None, fx=1.3, fy=1.3)
    both[: wide.shape[0], width : width + wide.shape[1]] = wide
    nobody = np.full_like(alone, 90)
    # The larger one is at the right. Whoever is followed is not left for somebody larger, until a
    # picture shows nobody.
    shown = [both, both, alone, *[both] * 35, nobody, both]
    rows = []
    for i, picture in enumerate([*shown, both]):
        cv2.imwrite(str(tmp_path / f"{i:02d}.png"), picture[:, :, ::-1])
        clip = "c0" if i < len(shown) else "c1"
        rows.append(("s0", clip, i, 0.0, f"{i:02d}.png", 0, 0.1, 0.2))
    got = landmark_corpus(blind_corpus(tmp_path, rows, []), cache=tmp_path / "cache", workers=1)
    assert got.problems["path"].tolist() == ["38.png"]
    at_right = (got.landmarks[:, :, 0].mean(axis=1) > width).tolist()
    assert at_right == [True, True, *[False] * 36, True, True]


def test_a_corpus_with_landmarks_stays_as_it_is(tiny_corpus, tmp_path):
    assert landmark_corpus(tiny_corpus, cache=tmp_path) is tiny_corpus
    assert not any(tmp_path.iterdir())


def test_two_workers_give_the_same_bytes(talks, found, tmp_path):
    calls = []
    landmark_corpus(
        talks[0],
        cache=tmp_path,
        workers=2,
        progress=lambda done, total: calls.append((done, total)),
    )
    assert calls == [(10, 30), (20, 30), (30, 30)]
    (one,), (two,) = found[1].iterdir(), tmp_path.iterdir()
    assert one.name == two.name
    names = sorted(path.name for path in one.iterdir())
    assert names == ["failed.csv", "landmarks.npy", "manifest.json"]
    assert all((one / name).read_bytes() == (two / name).read_bytes() for name in names[:2])


def test_landmarks_of_videos_that_are_done_are_not_found_again(talks, found, tmp_path, monkeypatch):
    def stop(done: int, total: int) -> None:
        if done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        landmark_corpus(talks[0], cache=tmp_path, workers=1, progress=stop)
    opened: list[str] = []
    real = pictures.read_video
    monkeypatch.setattr(
        pictures, "read_video", lambda path, *rest: opened.append(path.name) or real(path, *rest)
    )
    again = landmark_corpus(talks[0], cache=tmp_path, workers=1)
    assert opened == ["talk 2.avi"]
    (one,), (two,) = found[1].iterdir(), tmp_path.iterdir()
    assert sorted(p.name for p in one.iterdir()) == sorted(p.name for p in two.iterdir())
    assert all(p.read_bytes() == (two / p.name).read_bytes() for p in one.glob("[lf]*"))
    pd.testing.assert_frame_equal(again.problems, found[0].problems)


def test_kept_landmarks_need_no_dlib_and_no_time(talks, found, without_dlib):
    again = landmark_corpus(
        talks[0], cache=found[1], workers=1, progress=lambda *_: pytest.fail("it works again")
    )
    assert np.array_equal(again.landmarks, found[0].landmarks)
    pd.testing.assert_frame_equal(again.problems, found[0].problems)


def test_without_dlib_and_landmarks_the_cure_is_named(talks, tmp_path, without_dlib):
    with pytest.raises(UserError, match="pip install dlib-bin") as error:
        landmark_corpus(talks[0], cache=tmp_path, workers=1)
    assert str(talks[0].root) in str(error.value)
    assert f"copy the folder {tmp_path / 'afew-va-'}" in str(error.value)
    with pytest.raises(UserError, match="pip install dlib-bin"):
        FacesTracker()


@pytest.mark.parametrize("name", ["landmarks.npy", "failed.csv", "manifest.json"])
def test_damaged_landmarks_are_named_and_never_used(talks, found, tmp_path, name):
    (folder,) = found[1].iterdir()
    (tmp_path / folder.name).mkdir()
    for path in folder.iterdir():
        data = bytearray(path.read_bytes())
        if path.name == name:
            data[-1] ^= 1
        (tmp_path / folder.name / path.name).write_bytes(data)
    with pytest.raises(UserError, match="is damaged") as error:
        landmark_corpus(talks[0], cache=tmp_path, workers=1)
    assert str(tmp_path / folder.name / name) in str(error.value)


def test_landmarks_are_found_again_when_the_corpus_changes(talks, found, tmp_path):
    corpus = talks[0]
    fewer = replace(corpus, frames=corpus.frames.iloc[:10].copy())
    calls = []
    got = landmark_corpus(
        fewer, cache=found[1], workers=1, progress=lambda done, _: calls.append(done)
    )
    assert calls == [10]
    assert np.array_equal(got.landmarks, found[0].landmarks[:10])


def test_a_truncated_video_and_an_absent_one_are_listed(talks, tmp_path):
    corpus = talks[0]
    data = (corpus.root / "talk 0.avi").read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    (tmp_path / "empty.avi").write_bytes(b"")
    frames = corpus.frames.iloc[:20].copy()
    frames["source"] = frames["source"].map({"talk 0.avi": "cut.avi", "talk 1.avi": "empty.avi"})
    got = landmark_corpus(
        replace(corpus, root=tmp_path, frames=frames), cache=tmp_path / "cache", workers=1
    )
    assert 2 <= len(got.frames) <= 8 and (got.frames["source"] == "cut.avi").all()
    assert np.isfinite(got.landmarks).all()
    assert len(got.problems) == 1 + 20 - len(got.frames)
    assert got.problems.iloc[-1].to_dict() == {
        "path": "empty.avi#18",
        "reason": "the video does not open (truncated, corrupt, or no video)",
        "lost": "frame",
    }


def test_no_face_anywhere_is_an_error_that_names_the_corpus(talks, tmp_path):
    cv2.imwrite(str(tmp_path / "wall.png"), np.full((200, 200, 3), 90, np.uint8))
    frames = talks[0].frames.iloc[:2].assign(source="wall.png", source_index=0)
    corpus = replace(talks[0], root=tmp_path, frames=frames)
    with pytest.raises(UserError, match="no face found") as error:
        landmark_corpus(corpus, cache=tmp_path / "cache", workers=1)
    assert str(tmp_path) in str(error.value) and "wall.png" in str(error.value)


def test_an_unwritable_cache_is_a_clear_error(talks, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        landmark_corpus(talks[0], cache=tmp_path / "file", workers=1)
