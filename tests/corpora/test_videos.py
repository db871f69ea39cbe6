"""Videos as people really have them: every frame, at its own time, and damage where it is."""

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from clips import AVI, UNEVEN, number_of, numbered, write_clip
from films import read_film

from vaaffect.base.paths import ROOT
from vaaffect.corpora.videos import probe_video, read_video

EVEN = tuple(i / 25 for i in range(24))


def numbers(path: Path) -> list[int | None]:
    """What the frames of a video show; None for those that are damaged."""
    frames = range(probe_video(path).frames)
    return [None if image is None else number_of(image) for _, image, _ in read_video(path, frames)]


@pytest.mark.parametrize(
    ("name", "codec", "times", "more"),
    [
        ("v.mp4", "libx264", UNEVEN, {}),
        ("v.mkv", "libx264", UNEVEN, {}),
        ("v.mts", "libx264", UNEVEN, {"form": "mpegts"}),
        ("v.mp4", "mpeg4", UNEVEN, {}),
        ("v.webm", "libvpx", UNEVEN, {}),
        ("v.flv", "flv", UNEVEN, {}),
        # Two that announce another rate than they have.
        ("v.wmv", "wmv2", [*EVEN, 2.36], {"rate": 1000}),
        ("v.mkv", "libx264", EVEN, {"rate": 12}),
        # No time stamp for the moment at which a frame is shown, and frames in another order.
        ("v.avi", "libx264", EVEN, {"unit": Fraction(1, 25)}),
        ("v.avi", "mpeg4", EVEN, {"unit": Fraction(1, 25), "reordered": 2}),
        ("v.mpg", "mpeg2video", EVEN, {"unit": Fraction(1, 25), "reordered": 2}),
        # As browsers record: they do not go back to write how long it has become.
        ("v.webm", "libvpx", UNEVEN, {"options": {"live": "1"}}),
        # Sound that is longer than the picture.
        ("v.avi", "mjpeg", EVEN, AVI | {"sound": 3}),
        ("v.mkv", "libx264", EVEN, {"sound": 3}),
    ],
)  # fmt: skip
def test_every_frame_is_read_at_its_own_time(tmp_path, name, codec, times, more):
    path = write_clip(tmp_path / name, times, **{"codec": codec} | more)
    video = probe_video(path)
    assert video.times.tolist() == pytest.approx(times, abs=1e-3)
    assert numbers(path) == list(range(len(times)))
    assert video.fps == pytest.approx(25, rel=0.001 if "rate" not in more else 0.03)
    assert video.seconds == pytest.approx(times[-1] + 0.04, abs=2e-3)


@pytest.mark.parametrize("codec", ["mjpeg", "mpeg4"])
@pytest.mark.parametrize("first", [0, 5])
def test_the_empty_chunks_of_an_avi_are_time_that_passes(tmp_path, codec, first):
    times = np.array([first, 6, 7, 20, 21, 22, 60, 61, 100]) / 25
    write_clip(tmp_path / "v.avi", times, **AVI | {"codec": codec})
    assert (tmp_path / "v.avi").read_bytes().count(b"00dc\0\0\0\0") >= 101 - 9
    assert probe_video(tmp_path / "v.avi").times.tolist() == pytest.approx(times)
    assert numbers(tmp_path / "v.avi") == list(range(9))


def test_a_steady_video_has_the_times_that_its_rate_gives(tmp_path):
    for rate in (12.5, 25, 49.979):
        unit = 1 / Fraction(rate).limit_denominator(1000)
        path = write_clip(tmp_path / "v.avi", [i * unit for i in range(24)], **AVI | {"unit": unit})
        video = probe_video(path)
        assert video.fps == pytest.approx(rate)
        assert np.abs(video.times - np.arange(24) / rate).max() < 1e-9


@pytest.mark.parametrize("codec", ["mpeg1video", "mpeg2video"])
def test_recordings_that_were_joined_are_read_to_the_end(tmp_path, codec):
    path = write_clip(tmp_path / "v.mpg", EVEN[:6], codec, unit=Fraction(1, 25))
    path.write_bytes(2 * path.read_bytes())
    assert numbers(path) == [*range(6), *range(6)]
    assert probe_video(path).times.tolist() == pytest.approx(EVEN[:12], abs=1e-3)


def test_a_header_that_announces_half_of_an_avi_is_not_believed(tmp_path):
    path = write_clip(tmp_path / "v.avi", EVEN, **AVI)
    data = bytearray(path.read_bytes())
    for place in (data.index(b"avih") + 8 + 16, data.index(b"strh") + 8 + 32):
        assert struct.unpack_from("<I", data, place) == (24,)
        struct.pack_into("<I", data, place, 12)
    path.write_bytes(data)
    assert numbers(path) == list(range(24))


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("v.avi", AVI),
        ("v.avi", AVI | {"codec": "mpeg4"}),
        ("v.mp4", {"reordered": 0}),
        ("v.webm", {"codec": "libvpx"}),
    ],
)
def test_a_frame_that_was_cut_is_damaged_and_its_neighbours_are_read(tmp_path, capfd, name, more):
    write_clip(tmp_path / name, EVEN, cut=[7], **more)
    found = numbers(tmp_path / name)
    assert len(found) == 24 and found[:8] == [*range(7), None] and None not in found[8:]
    if name == "v.avi":  # elsewhere, what follows is predicted from the frame that is missing
        assert found[8:] == list(range(8, 24))
    (problem,) = read_video(tmp_path / name, [7])
    assert problem == (0, None, "frame 7 of the video is damaged")
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    ("name", "more"),
    [
        ("v.mp4", {}),
        ("v.webm", {"codec": "libvpx"}),
        ("v.avi", AVI),
        ("v.avi", AVI | {"codec": "mpeg4", "reordered": 2}),
    ],
)
def test_what_is_left_out_changes_nothing_in_what_is_read(tmp_path, name, more):
    path = write_clip(tmp_path / name, EVEN, **more)
    everything = [image for _, image, _ in read_video(path, range(24))]
    for chosen in ([1, 8, 9, 20], range(0, 24, 10), range(23, 24)):
        for (_, image, _), index in zip(read_video(path, chosen), chosen, strict=True):
            assert number_of(image) == index and np.array_equal(image, everything[index])


def test_indices_beyond_the_end_are_said(tmp_path):
    path = write_clip(tmp_path / "v.avi", EVEN[:5], **AVI)
    got = list(read_video(path, [3, 3, 5]))
    assert [number_of(image) for _, image, _ in got[:2]] == [3, 3]
    assert got[2] == (2, None, "the video ends after 5 frames")


@pytest.mark.parametrize("turned", [90, -90, 180])
def test_a_video_is_turned_as_its_metadata_says(tmp_path, turned):
    path = write_clip(tmp_path / "v.mp4", EVEN[:3], turned=turned)
    (_, image, _), *_ = read_video(path, [0])
    upright = np.rot90(numbered(0), turned // 90)
    assert image.shape == upright.shape and probe_video(path).size == image.shape[1::-1]
    assert np.abs(image.astype(int) - upright).mean() < 8
    opencv = read_film(path)[0][:, :, ::-1]
    assert np.abs(image.astype(int) - opencv).max() <= 2


@pytest.mark.parametrize(
    ("name", "codec", "colours"),
    [
        ("v.avi", "mjpeg", "yuvj420p"),
        ("v.avi", "mjpeg", "yuvj422p"),
        ("v.mp4", "libx264", "yuv420p"),
        ("v.mp4", "libx264", "yuvj420p"),
        ("v.mp4", "libx264", "gray"),
        ("v.avi", "mpeg4", "yuv420p"),
        ("v.webm", "libvpx", "yuv420p"),
    ],
)
def test_colours_are_those_that_opencv_reads(tmp_path, name, codec, colours):
    noise = np.random.default_rng(0).integers(0, 256, (128, 160, 3)).astype(np.uint8)
    picture = cv2.normalize(cv2.GaussianBlur(noise, (0, 0), 3), None, 0, 255, cv2.NORM_MINMAX)
    path = write_clip(
        tmp_path / name, EVEN[:3], codec, pictures=[picture] * 3, colours=colours,
        unit=Fraction(1, 25),
    )  # fmt: skip
    expected = read_film(path)
    for (_, image, _), bgr in zip(read_video(path, range(3)), expected, strict=True):
        assert np.abs(image.astype(int) - bgr[:, :, ::-1]).max() <= 1


def test_a_colon_in_a_name_is_no_protocol(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "x.avi", EVEN[:3], **AVI)
    for frames, name in ((4, "12:30:15.avi"), (5, "file:x.avi"), (6, "http:x.avi")):
        write_clip(tmp_path / "new.avi", EVEN[:frames], **AVI).rename(tmp_path / name)
        assert probe_video(Path(name)).frames == frames
        assert len(list(read_video(Path(name), range(frames)))) == frames


def test_memory_stays_flat(tmp_path):
    path = write_clip(tmp_path / "v.avi", [i / 25 for i in range(100)], **AVI)
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from vaaffect.corpora.videos import read_video\n"
        "def peak(): return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\n"
        "def read(): assert all(why is None for _, _, why in read_video(path, range(100)))\n"
        "path = Path(sys.argv[1])\n"
        "[read() for _ in range(3)]\n"
        "before = peak()\n"
        "[read() for _ in range(30)]\n"
        "print(peak() - before)"
    )
    words = [sys.executable, "-c", program, str(path)]
    done = subprocess.run(words, cwd=ROOT, capture_output=True, text=True, check=True)
    assert int(done.stdout) < 4096, "kilobytes; one frame has 60"
