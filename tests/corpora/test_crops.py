import fcntl
import os
import pickle
import shutil
import threading
from dataclasses import replace

import cv2
import numpy as np
import pandas as pd
import pytest
from films import read_film, write_film

from vaaffect.base import UserError, cache
from vaaffect.corpora import crops as crop_module
from vaaffect.corpora import pictures
from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.corpus import Corpus
from vaaffect.corpora.crops import build_crops, crop_face, face_box, whole_picture
from vaaffect.corpora.images import read_image
from vaaffect.corpora.pictures import row_groups

NAMES = ("images.npy", "landmarks.npy", "frames.parquet", "problems.csv")


@pytest.fixture
def filmed(tiny_corpus, tmp_path) -> tuple[Corpus, list[np.ndarray]]:
    """The tiny corpus as two videos, every second frame annotated, and the decoded frames."""
    count = 24
    sources = tiny_corpus.frames["source"].iloc[:count]
    pictures = [cv2.imread(str(tiny_corpus.root / source)) for source in sources]
    root = tmp_path / "filmed corpus é"
    root.mkdir()
    decoded = []
    names = ("first part.avi", "séance 2.avi")
    for k, name in enumerate(names):
        write_film(root / name, pictures[12 * k : 12 * k + 12])
        decoded += [picture[:, :, ::-1] for picture in read_film(root / name)]
    rows = np.arange(0, count, 2)
    frames = tiny_corpus.frames.iloc[rows].reset_index(drop=True)
    frames["source"] = np.repeat(names, 6)
    frames["source_index"] = np.tile(np.arange(0, 12, 2), 2)
    # In disorder, as a table may well be: videos are read in the order of time all the same.
    mixed = np.random.default_rng(0).permutation(len(rows))
    corpus = replace(
        tiny_corpus,
        root=root,
        frames=frames.iloc[mixed].reset_index(drop=True),
        landmarks=tiny_corpus.landmarks[rows[mixed]],
    )
    return corpus, [decoded[row] for row in rows[mixed]]


def test_box_holds_every_landmark_and_a_little_scenery():
    points = np.random.default_rng(0).uniform(100, 300, (68, 2)).astype(np.float32)
    left, top, right, bottom = face_box(points, margin=0.1)
    low, high = points.min(axis=0), points.max(axis=0)
    width, height = high - low
    assert (left, top) == pytest.approx((low[0] - 0.1 * width, low[1] - 0.1 * height), abs=1)
    assert (right, bottom) == pytest.approx((high[0] + 0.1 * width, high[1] + 0.1 * height), abs=2)


def test_landmarks_stay_on_the_pixels_they_marked():
    # A white dot at each of three landmarks: after cropping it must be where the landmark says.
    image = np.zeros((300, 400, 3), np.uint8)
    points = np.tile([[150.0, 100.0]], (68, 1)).astype(np.float32)
    points[:3] = [[60, 50], [310, 240], [200, 90]]
    for x, y in points[:3].astype(int):
        cv2.circle(image, (x, y), 6, (255, 255, 255), -1)
    crop, moved = crop_face(image, points, 96, margin=0.15)
    for x, y in moved[:3]:
        patch = crop[:, :, 0].astype(float)
        near = np.zeros_like(patch)
        near[round(y) - 4 : round(y) + 5, round(x) - 4 : round(x) + 5] = 1
        rows, columns = np.indices(patch.shape)
        weight = patch * near
        centre = (weight * columns).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
        assert centre == pytest.approx((x, y), abs=0.3)


def test_boxes_beyond_the_picture_repeat_its_border():
    image = np.full((50, 50, 3), 7, np.uint8)
    points = np.tile([[25.0, 25.0]], (68, 1)).astype(np.float32)
    points[:2] = [[-20, -10], [70, 80]]
    crop, _ = crop_face(image, points, 32)
    assert (crop == 7).all()
    with pytest.raises(ValueError, match="outside the picture"):
        crop_face(image, points + 500, 32)
    points[0] = [1e6, 25]
    with pytest.raises(ValueError, match="far beyond the picture"):
        crop_face(image, points, 32)


def test_whole_pictures_hold_the_scenery_and_have_the_rows_of_the_crops(
    tiny_corpus, tiny_crops, tmp_path
):
    outside = tiny_corpus.landmarks.copy()
    outside[3] += 1e4  # is left out of both
    corpus = replace(tiny_corpus, landmarks=outside)
    faces = build_crops(corpus, 32, cache=tmp_path, workers=1)
    whole = build_crops(corpus, 32, whole_pictures=True, cache=tmp_path, workers=1)
    assert whole.frames.equals(faces.frames) and len(whole.frames) == len(corpus.frames) - 1
    assert whole.key != faces.key != tiny_crops.key
    picture = cv2.imread(str(corpus.root / corpus.frames["source"].iloc[0]))[:, :, ::-1]
    small = cv2.resize(picture, (32, 32), interpolation=cv2.INTER_AREA)
    assert np.array_equal(whole.images[0], small)
    # The landmarks are on the same places of the face, which is smaller there.
    by = np.array([32 / picture.shape[1], 32 / picture.shape[0]])
    assert np.allclose(whole.landmarks[0], (corpus.landmarks[0] + 0.5) * by - 0.5, atol=1e-4)
    assert np.ptp(whole.landmarks[0], axis=0).max() < 0.7 * np.ptp(faces.landmarks[0], axis=0).max()
    with pytest.raises(ValueError, match="outside the picture"):
        whole_picture(picture, corpus.landmarks[3], 32)


def test_crops_are_rgb_of_the_right_frames(tiny_corpus, tiny_crops):
    assert tiny_crops.images.shape == (len(tiny_corpus.frames), 32, 32, 3)
    for row in (0, len(tiny_corpus.frames) - 1):
        picture = cv2.imread(str(tiny_corpus.root / tiny_corpus.frames["source"].iloc[row]))
        crop, points = crop_face(picture[:, :, ::-1], tiny_corpus.landmarks[row], 32)
        assert np.array_equal(tiny_crops.images[row], crop)
        assert np.array_equal(tiny_crops.landmarks[row], points)
    assert (tiny_crops.va == tiny_corpus.va).all()


def test_crops_do_not_depend_on_the_number_of_workers(tiny_corpus, tiny_crops, tmp_path):
    # More than one piece of still images, so that there is something to share out.
    frames = pd.concat([tiny_corpus.frames] * 3, ignore_index=True)
    corpus = replace(
        tiny_corpus, frames=frames, landmarks=np.concatenate([tiny_corpus.landmarks] * 3)
    )
    assert len(row_groups(frames)) > 1
    one = build_crops(corpus, 32, cache=tmp_path / "1", workers=1)
    two = build_crops(corpus, 32, cache=tmp_path / "2", workers=2)
    assert one.key == two.key != tiny_crops.key
    names = sorted(path.name for path in next((tmp_path / "1").iterdir()).iterdir())
    assert names == sorted(["manifest.json", *NAMES])
    for name in NAMES:
        same = [next((tmp_path / n).iterdir()) / name for n in "12"]
        assert same[0].read_bytes() == same[1].read_bytes(), name
    assert np.array_equal(one.images, np.concatenate([tiny_crops.images] * 3))


def test_crops_are_built_once_and_again_when_their_inputs_change(tiny_root, tmp_path):
    root = shutil.copytree(tiny_root, tmp_path / "corpus")
    calls: list[int] = []

    def build(size: int = 24):
        calls.clear()
        args = {"cache": tmp_path / "cache", "workers": 1}
        return build_crops(
            load_afew_va(root), size, progress=lambda done, _: calls.append(done), **args
        )

    first = build()
    assert calls[-1] == len(first.frames)
    build()
    assert not calls
    build(size=16)
    assert calls
    (root / "01/001/00000.png").unlink()
    assert len(build().frames) == len(first.frames) - 1
    assert calls


def test_undecodable_pictures_are_listed_and_left_out(tiny_root, tiny_crops, tmp_path):
    root = shutil.copytree(tiny_root, tmp_path / "corpus")
    (root / "01/001/00005.png").write_bytes((root / "01/001/00005.png").read_bytes()[:50])
    crops = build_crops(load_afew_va(root), 32, cache=tmp_path / "cache", workers=1)
    reason = "picture cannot be decoded (truncated or corrupt)"
    assert crops.problems.to_dict("records") == [
        {"path": "01/001/00005.png", "reason": reason, "lost": "frame"}
    ]
    kept = np.delete(tiny_crops.images, 1, axis=0)
    assert np.array_equal(crops.images, kept)
    assert len(crops.frames) == len(crops.landmarks) == len(kept)


def test_opening_crops_reads_no_pixels(tiny_corpus, tmp_path, monkeypatch):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    monkeypatch.setattr(cache, "sha256_of", lambda path: pytest.fail(f"{path} was hashed"))
    again = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    assert again.key == crops.key and pickle.loads(pickle.dumps(crops)).key == crops.key


def test_a_damaged_cache_is_named_and_never_used(tiny_corpus, tmp_path):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    path = tmp_path / f"afew-va-16-{crops.key}" / "images.npy"
    damaged = bytearray(path.read_bytes())
    damaged[500] ^= 1
    path.write_bytes(damaged)
    with pytest.raises(UserError, match=r"images\.npy: is damaged") as error:
        build_crops(tiny_corpus, 16, cache=tmp_path)
    assert "delete the folder" in str(error.value)


def test_an_unwritable_cache_is_a_clear_error(tiny_corpus, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot be written"):
        build_crops(tiny_corpus, 16, cache=tmp_path / "file", workers=1)


def test_a_memory_map_of_crops_never_reaches_the_file(tiny_corpus, tmp_path):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    before = (tmp_path / f"afew-va-16-{crops.key}" / "images.npy").read_bytes()
    crops.images[:] = 0
    assert (tmp_path / f"afew-va-16-{crops.key}" / "images.npy").read_bytes() == before


def test_crops_of_videos_are_crops_of_their_decoded_frames(filmed, tmp_path):
    corpus, decoded = filmed
    crops = build_crops(corpus, 48, cache=tmp_path / "cache", workers=1)
    assert crops.problems.empty and len(crops.frames) == len(decoded)
    for row, picture in enumerate(decoded):
        crop, points = crop_face(picture, corpus.landmarks[row], 48)
        assert np.array_equal(crops.images[row], crop)
        assert np.array_equal(crops.landmarks[row], points)
    two = build_crops(corpus, 48, cache=tmp_path / "two", workers=2)
    assert np.array_equal(two.images, crops.images)


def test_a_truncated_video_keeps_its_sound_frames_and_lists_the_others(filmed, tmp_path):
    corpus, decoded = filmed
    whole = build_crops(corpus, 32, cache=tmp_path / "whole", workers=1)
    path = corpus.root / "séance 2.avi"
    data = path.read_bytes()
    path.write_bytes(data[: len(data) * 6 // 10])
    crops = build_crops(corpus, 32, cache=tmp_path / "cache", workers=1)
    index = corpus.frames["source_index"]
    second = corpus.frames["source"] == path.name
    lost = corpus.frames[second & (index > 7)]
    assert len(lost) == 2
    assert crops.problems["path"].tolist() == [f"{path.name}#{i}" for i in lost["source_index"]]
    reasons = ["frame 8 of the video is damaged", "the video ends after 9 frames"]
    assert sorted(crops.problems["reason"]) == reasons
    assert np.array_equal(crops.images, np.delete(whole.images, lost.index, axis=0))
    assert len(crops.frames) == len(crops.landmarks) == len(decoded) - 2


def test_landmarks_outside_the_picture_and_missing_files_are_listed(tiny_corpus, tmp_path):
    frames, landmarks = tiny_corpus.frames.copy(), tiny_corpus.landmarks.copy()
    landmarks[0] += 5000
    frames.loc[1, "source"] = "01/001"  # a folder
    corpus = replace(tiny_corpus, frames=frames, landmarks=landmarks)
    crops = build_crops(corpus, 16, cache=tmp_path, workers=1)
    assert crops.problems.to_dict("records") == [
        {"path": frames["source"][0], "reason": "the landmarks lie outside the picture",
         "lost": "frame"},
        {"path": "01/001", "reason": "cannot be read (Is a directory)", "lost": "frame"},
    ]  # fmt: skip
    assert len(crops.images) == len(frames) - 2


def test_when_every_picture_fails_that_is_an_error_and_nothing_stays(tiny_corpus, tmp_path):
    corpus = replace(tiny_corpus, landmarks=tiny_corpus.landmarks + 5000)
    with pytest.raises(UserError, match="lie outside the picture, and so for every picture"):
        build_crops(corpus, 16, cache=tmp_path, workers=1)
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_the_key_depends_on_the_landmarks(tiny_corpus, tmp_path):
    one = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    moved = replace(tiny_corpus, landmarks=tiny_corpus.landmarks + 3)
    two = build_crops(moved, 16, cache=tmp_path, workers=1)
    assert one.key != two.key
    assert not np.array_equal(one.images, two.images)


def test_what_a_killed_build_left_is_built_over(tiny_corpus, tmp_path):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    expected = np.array(crops.images)
    folder = tmp_path / f"afew-va-16-{crops.key}"
    (folder / "manifest.json").unlink()  # it is written last
    (folder / "images.npy").write_bytes(b"half of it")
    again = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    assert np.array_equal(again.images, expected)
    assert [path.name for path in tmp_path.iterdir()] == [folder.name]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["manifest.json", *NAMES])


def test_a_stopped_build_goes_on_with_the_pieces_that_are_not_done(tiny_corpus, tmp_path):
    frames = pd.concat([tiny_corpus.frames] * 4, ignore_index=True)
    landmarks = np.concatenate([tiny_corpus.landmarks] * 4)
    landmarks[3] += 5000  # a reason is kept as well
    corpus = replace(tiny_corpus, frames=frames, landmarks=landmarks)
    pieces = [len(rows) for rows in row_groups(frames)]
    assert len(pieces) > 3
    whole = build_crops(corpus, 16, cache=tmp_path / "whole", workers=1)

    def stop_after(number: int) -> list[int]:
        """Build until so many pieces are done; how many frames were done when it was told so."""
        calls: list[int] = []

        def progress(done: int, _: int) -> None:
            calls.append(done)
            if len(calls) == number:
                raise KeyboardInterrupt

        with pytest.raises(KeyboardInterrupt):
            build_crops(corpus, 16, cache=tmp_path / "cache", workers=1, progress=progress)
        return calls

    assert stop_after(2) == np.cumsum(pieces)[:2].tolist()
    (folder,) = (tmp_path / "cache").iterdir()
    assert len(list((folder / "parts").iterdir())) == 2
    times = [path.stat().st_mtime_ns for path in sorted((folder / "parts").iterdir())]
    assert stop_after(3) == np.cumsum(pieces)[:3].tolist()
    again = [path.stat().st_mtime_ns for path in sorted((folder / "parts").iterdir())]
    assert again[:2] == times and len(again) == 3
    (folder / "parts/000001.npz").write_bytes(b"half")  # is made again
    read: list[str] = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pictures, "read_image", lambda path: read.append(path) or read_image(path))
        crops = build_crops(corpus, 16, cache=tmp_path / "cache", workers=1)
    assert len(read) == sum(pieces) - pieces[0] - pieces[2]
    assert sorted(path.name for path in folder.iterdir()) == sorted(["manifest.json", *NAMES])
    for name in NAMES:
        assert (folder / name).read_bytes() == (whole.folder / name).read_bytes(), name
    assert np.array_equal(crops.images, whole.images) and len(crops.problems) == 1


def test_a_build_that_is_stopped_while_images_move_begins_anew(tiny_corpus, tmp_path, monkeypatch):
    landmarks = tiny_corpus.landmarks.copy()
    landmarks[3] += 5000
    corpus = replace(tiny_corpus, landmarks=landmarks)
    whole = build_crops(corpus, 16, cache=tmp_path / "whole", workers=1)

    def stop(path, start, rows) -> None:
        images = np.load(path, mmap_mode="r+")
        images[3:-1] = images[4:]
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(crop_module, "_keep", stop)
        with pytest.raises(KeyboardInterrupt):
            build_crops(corpus, 16, cache=tmp_path / "cache", workers=1)
    crops = build_crops(corpus, 16, cache=tmp_path / "cache", workers=1)
    assert np.array_equal(crops.images, whole.images)


def test_two_builds_of_the_same_crops_do_not_meet(tiny_corpus, tmp_path):
    crops = build_crops(tiny_corpus, 16, cache=tmp_path, workers=1)
    folder = tmp_path / f"afew-va-16-{crops.key}"
    (folder / "manifest.json").rename(tmp_path / "kept.json")
    handle = os.open(folder, os.O_RDONLY)
    fcntl.flock(handle, fcntl.LOCK_EX)  # another build is at work here
    done: list[int] = []

    def build() -> None:
        build_crops(
            tiny_corpus, 16, cache=tmp_path, workers=1, progress=lambda n, _: done.append(n)
        )

    second = threading.Thread(target=build)
    second.start()
    second.join(0.5)
    assert second.is_alive() and not done
    (tmp_path / "kept.json").rename(folder / "manifest.json")
    os.close(handle)
    second.join(20)
    assert not second.is_alive() and not done  # it opened what the other one made
