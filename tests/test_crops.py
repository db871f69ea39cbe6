import shutil

import cv2
import numpy as np
import pytest

from vaaffect.afew_va import load_afew_va
from vaaffect.crops import build_crops, crop_face, face_box
from vaaffect.errors import UserError


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


def test_crops_are_rgb_of_the_right_frames(tiny_corpus, tiny_crops):
    assert tiny_crops.images.shape == (len(tiny_corpus.frames), 32, 32, 3)
    for row in (0, len(tiny_corpus.frames) - 1):
        picture = cv2.imread(str(tiny_corpus.root / tiny_corpus.frames["source"].iloc[row]))
        crop, points = crop_face(picture[:, :, ::-1], tiny_corpus.landmarks[row], 32)
        assert np.array_equal(tiny_crops.images[row], crop)
        assert np.array_equal(tiny_crops.landmarks[row], points)
    assert (tiny_crops.va == tiny_corpus.va).all()


def test_crops_do_not_depend_on_the_number_of_workers(tiny_corpus, tiny_crops, tmp_path):
    one = build_crops(tiny_corpus, 32, cache=tmp_path, workers=1)
    assert np.array_equal(one.images, tiny_crops.images)
    assert one.key == tiny_crops.key


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
    (root / "01/001/00001.png").write_bytes((root / "01/001/00001.png").read_bytes()[:50])
    crops = build_crops(load_afew_va(root), 32, cache=tmp_path / "cache", workers=1)
    assert crops.problems.to_dict("records") == [
        {"path": "01/001/00001.png", "reason": "picture cannot be decoded"}
    ]
    kept = np.delete(tiny_crops.images, 1, axis=0)
    assert np.array_equal(crops.images, kept)
    assert len(crops.frames) == len(crops.landmarks) == len(kept)


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
