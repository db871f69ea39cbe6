import os
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
import pytest
from films import read_film, write_film

from vaaffect.corpora.pictures import picture_problems, read_pictures, row_groups
from vaaffect.corpora.videos import probe_video

FRAMES = 30


@pytest.fixture(scope="module")
def film(tmp_path_factory, tiny_root) -> Path:
    """A short video that is not intra-coded, of pictures that differ from frame to frame."""
    path = tmp_path_factory.mktemp("films") / "une séance à deux.avi"
    picture = cv2.imread(str(tiny_root / "01/001/00000.png"))[100:420:2, 100:420:2]
    write_film(path, (np.roll(picture, 5 * i, axis=1) for i in range(FRAMES)), codec="XVID")
    return path


def decode(path: Path) -> list[np.ndarray]:
    return [picture[:, :, ::-1] for picture in read_film(path)]


def test_a_missing_file_says_so(tmp_path):
    for name in ("none.png", "none.avi"):
        ((position, image, reason),) = read_pictures(tmp_path, [name], [0])
        assert (position, image) == (0, None)
        assert reason == "cannot be read (No such file or directory)"


def test_chosen_frames_of_a_video_are_those_of_a_full_decode(film):
    expected = decode(film)
    assert len(expected) == FRAMES
    chosen = [0, 3, 3, 4, 17, 29]
    got = list(read_pictures(film.parent, [film.name] * len(chosen), chosen))
    assert [position for position, _, _ in got] == list(range(len(chosen)))
    for (_, image, reason), index in zip(got, chosen, strict=True):
        assert reason is None
        assert np.array_equal(image, expected[index])
        others = np.delete(np.arange(FRAMES), index)
        assert not any(np.array_equal(image, expected[other]) for other in others)


def test_a_truncated_video_gives_its_sound_frames(film, tmp_path):
    whole = decode(film)
    data = film.read_bytes()
    (tmp_path / "cut.avi").write_bytes(data[: len(data) // 2])
    got = list(read_pictures(tmp_path, ["cut.avi"] * FRAMES, range(FRAMES)))
    sound = [position for position, image, _ in got if image is not None]
    assert FRAMES // 4 < len(sound) < FRAMES
    assert sound == list(range(len(sound)))
    assert all(np.array_equal(got[i][1], whole[i]) for i in sound)
    assert {reason for _, image, reason in got if image is None} <= {
        f"frame {len(sound)} of the video is damaged",
        *(f"the video ends after {len(sound) + more} frames" for more in (0, 1)),
    }


def test_the_frame_in_which_a_video_breaks_off_is_not_sound(tiny_root, tmp_path):
    write_film(tmp_path / "v.avi", [cv2.imread(str(tiny_root / "01/001/00000.png"))] * 10)
    whole = decode(tmp_path / "v.avi")
    data = (tmp_path / "v.avi").read_bytes()
    damaged = 0
    for share in (0.45, 0.5, 0.55):
        (tmp_path / "v.avi").write_bytes(data[: int(share * len(data))])
        cut = decode(tmp_path / "v.avi")  # OpenCV does not notice that the last one is not whole
        damaged += not np.array_equal(cut[-1], whole[len(cut) - 1])
        for chosen in (list(range(10)), list(range(0, 10, 2)), [1, 1, 3, 3, 4, 4, 5, 5]):
            got = [
                image for _, image, _ in read_pictures(tmp_path, ["v.avi"] * len(chosen), chosen)
            ]
            sound = [(i, image) for i, image in zip(chosen, got, strict=True) if image is not None]
            assert len(sound) >= len(chosen) // 3
            assert all(np.array_equal(image, whole[i]) for i, image in sound)
    assert damaged


def test_what_is_no_video_is_refused(tmp_path):
    (tmp_path / "text.avi").write_text("not a video")
    ((_, image, reason),) = read_pictures(tmp_path, ["text.avi"], [0])
    assert image is None and "does not open" in reason
    with pytest.raises(ValueError, match="does not open"):
        probe_video(tmp_path / "text.avi")
    latin = os.fsdecode("né.avi".encode("latin-1"))
    (tmp_path / latin).write_text("not a video")
    with pytest.raises(ValueError, match="rename it"):
        probe_video(tmp_path / latin)
    with pytest.raises(FileNotFoundError):
        probe_video(tmp_path / "none.avi")


def test_a_video_tells_its_length_speed_and_size(film):
    video = probe_video(film)
    assert (video.frames, video.fps, video.size) == (FRAMES, 25, (160, 160))


def test_pieces_cover_every_row_once_and_videos_in_the_order_of_time():
    rng = np.random.default_rng(0)
    sources = [f"{i}.png" for i in range(150)] + ["a.AVI"] * 40 + ["b.mp4"] * 7
    indices = [0] * 150 + list(range(40)) + list(range(0, 70, 10))
    frames = pd.DataFrame({"source": sources, "source_index": indices})
    frames = frames.iloc[rng.permutation(len(frames))].reset_index(drop=True)
    pieces = row_groups(frames)
    assert sorted(np.concatenate(pieces)) == list(range(len(frames)))
    videos = 0
    for rows in pieces:
        piece = frames.iloc[rows]
        if piece["source"].iloc[0].endswith(".png"):
            assert piece["source"].str.endswith(".png").all()
            assert len(piece) <= 64
        else:
            videos += 1
            assert piece["source"].nunique() == 1
            assert piece["source_index"].is_monotonic_increasing
            assert len(piece) == (frames["source"] == piece["source"].iloc[0]).sum()
    assert videos == 2
    assert row_groups(frames.iloc[:0]) == []


def test_problems_name_the_frame_of_a_video():
    frames = pd.DataFrame({"source": ["a/b.avi", "x", "a/3.png"], "source_index": [30, 0, 0]})
    problems = picture_problems(frames, {2: "late", 0: "early"})
    assert problems.to_numpy().tolist() == [
        ["a/b.avi#30", "early", "frame"], ["a/3.png", "late", "frame"]
    ]  # fmt: skip
