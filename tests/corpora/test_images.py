"""Image files as people have them: whole, cut, damaged, of other kinds, of other sizes."""

import os
import struct
import threading
import time
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vaaffect.corpora import as_rgb, build_crops, load_afew_va, read_image
from vaaffect.corpora.jpeg import decode_jpeg, is_whole_jpeg
from vaaffect.corpora.kinds import (
    IMAGE_ENDINGS,
    KINDS,
    VIDEO_ENDINGS,
    is_video,
    kind_of,
    seen_kind,
)

DAMAGED = "picture cannot be decoded (truncated or corrupt)"
SOI, EOI = b"\xff\xd8", b"\xff\xd9"
HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(99)
MP4 = b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom" + bytes(99)
RESTARTS = [cv2.IMWRITE_JPEG_RST_INTERVAL, 4]
JPEGS = {
    "baseline": [],
    "progressive": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1],
    "optimized": [cv2.IMWRITE_JPEG_OPTIMIZE, 1],
    "restarts": RESTARTS,
    "progressive with restarts": [cv2.IMWRITE_JPEG_PROGRESSIVE, 1, *RESTARTS],
    "full colour": [
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
        cv2.IMWRITE_JPEG_QUALITY, 100,
    ],
    "coarse": [cv2.IMWRITE_JPEG_QUALITY, 3],
}  # fmt: skip


@pytest.fixture(scope="module")
def picture(tiny_root) -> np.ndarray:
    """A drawn face, (160, 160, 3) uint8 RGB."""
    return cv2.imread(str(tiny_root / "01/001/00000.png"), cv2.IMREAD_COLOR_RGB)[
        100:420:2, 100:420:2
    ]


def encoded(picture: np.ndarray, ending: str, settings: list[int] | None = None) -> bytes:
    return cv2.imencode(ending, picture[:, :, ::-1], settings or [])[1].tobytes()


def read(folder: Path, data: bytes, name: str = "p.jpg") -> tuple[np.ndarray | None, str | None]:
    (folder / name).write_bytes(data)
    return read_image(folder / name)


def test_a_still_image_is_read_as_rgb_under_any_name(picture, tmp_path):
    # OpenCV crashes on the last of these names.
    latin = os.fsdecode("né en été.png".encode("latin-1"))
    for name in ("plain.png", "with a space, ä and 日.png", latin):
        image, reason = read(tmp_path, encoded(picture, ".png"), name)
        assert reason is None and np.array_equal(image, picture)


@pytest.mark.parametrize("keep", [0, 50, 0.5, -4])
def test_a_truncated_image_is_not_half_an_image(picture, tmp_path, keep):
    data = encoded(picture, ".png")
    assert read(tmp_path, data[: int(keep * len(data)) if keep == 0.5 else keep], "cut.png") == (
        None,
        DAMAGED,
    )


def test_a_corrupt_image_is_not_a_wrong_image(picture, tmp_path):
    data = bytearray(encoded(picture, ".png"))
    data[len(data) // 2] ^= 0x55
    assert read(tmp_path, bytes(data), "corrupt.png") == (None, DAMAGED)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_whole_jpeg_is_read_whatever_follows_its_end(picture, tmp_path, kind):
    data = encoded(picture, ".jpg", JPEGS[kind])
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    second = encoded(picture[::-1], ".jpg")
    for after in (b"", bytes(4096), MP4 + second[:999], second, b"\xff", b"\n"):
        image, reason = read(tmp_path, data + after)
        assert reason is None and np.array_equal(image, expected)


@pytest.mark.parametrize("kind", JPEGS)
def test_a_cut_jpeg_is_damaged_wherever_it_was_cut(picture, tmp_path, kind):
    data = encoded(picture, ".jpg", JPEGS[kind])
    scan = data.index(b"\xff\xda")
    for keep in (2, 9, scan, scan + 20, (scan + len(data)) // 2, len(data) - 50, -3, -2, -1):
        assert read(tmp_path, data[:keep]) == (None, DAMAGED)
        assert read(tmp_path, data[:keep] + bytes(len(data[keep:]))) == (None, DAMAGED)
        if keep > scan:  # what was appended does not stand for the missing end
            assert read(tmp_path, data[:keep].rstrip(b"\xff") + MP4 + data) == (None, DAMAGED)


def test_the_end_of_a_thumbnail_is_not_the_end_of_the_picture(picture, tmp_path):
    data, small = encoded(picture, ".jpg"), encoded(picture[::4, ::4], ".jpg")
    inside = b"Exif\0\0" + small
    data = SOI + b"\xff\xe1" + struct.pack(">H", 2 + len(inside)) + inside + data[2:]
    image, _ = read(tmp_path, data)
    assert image.shape == picture.shape
    assert read(tmp_path, data[: -len(data) // 4]) == (None, DAMAGED)
    assert read(tmp_path, data[: len(inside) + 6]) == (None, DAMAGED)


def test_grey_cmyk_and_padded_jpegs_are_whole(picture, tmp_path):
    for mode in ("L", "CMYK"):
        Image.fromarray(picture).convert(mode).save(tmp_path / f"{mode}.jpg")
        image, reason = read_image(tmp_path / f"{mode}.jpg")
        assert reason is None and image.shape == picture.shape
    data = encoded(picture, ".jpg", RESTARTS)
    scan = data.index(b"\xff\xda")
    padded = data[:scan] + b"\xff\xff" + data[scan:-2] + b"\xff\xff" + EOI  # B.1.1.2 allows it
    image, reason = read(tmp_path, padded)
    assert reason is None and np.array_equal(image, read(tmp_path, data)[0])


def test_damage_inside_of_a_jpeg_that_makes_impossible_markers_is_noticed(picture, tmp_path):
    data = encoded(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 100])
    middle = (data.index(b"\xff\xda") + len(data)) // 2
    foreign = np.random.default_rng(0).bytes(2048)
    assert read(tmp_path, data[:middle] + foreign + data[middle + 2048 :]) == (None, DAMAGED)
    with_restarts = encoded(picture, ".jpg", RESTARTS)
    second, third = with_restarts.index(b"\xff\xd1"), with_restarts.index(b"\xff\xd2")
    for broken in (
        with_restarts[:second] + with_restarts[third:],  # a missing piece
        with_restarts[:third] + with_restarts[second:],  # one twice
        with_restarts.replace(b"\xff\xdd\0\4\0\4", b"\xff\xdd\0\4\0\0", 1),  # no interval
    ):
        assert broken != with_restarts and read(tmp_path, broken) == (None, DAMAGED)


def test_damage_inside_of_a_jpeg_of_which_libjpeg_warns_is_noticed(picture, tmp_path, capfd):
    data = encoded(picture, ".jpg", [cv2.IMWRITE_JPEG_QUALITY, 90])
    start = data.index(b"\xff\xda") + 20
    for middle in range(start + 200, len(data) - 1500, 1000):
        assert read(tmp_path, data[:middle] + data[middle + 512 :]) == (None, DAMAGED)
        assert read(tmp_path, data[:middle] + bytes(1024) + data[middle + 1024 :])[0] is None
    assert capfd.readouterr() == ("", "")
    table = data.index(b"\xff\xdb")
    image, reason = read(tmp_path, data[:table] + b"\0" + data[table:])  # as some cameras write it
    assert reason is None and np.array_equal(image, read(tmp_path, data)[0])


def test_what_others_say_while_a_jpeg_is_decoded_is_passed_on(picture, capfd):
    data = np.frombuffer(encoded(np.tile(picture, (9, 9, 1)), ".jpg"), np.uint8)
    words = [f"line {i}\n" for i in range(200)]

    def speak() -> None:
        for line in words:
            os.write(2, line.encode())
            time.sleep(0.0005)

    thread = threading.Thread(target=speak)
    thread.start()
    decoded = 0
    while thread.is_alive():
        decoded += decode_jpeg(data, cv2.IMREAD_COLOR) is not None
    thread.join()
    said = capfd.readouterr().err
    assert decoded > 2 and sorted(said.splitlines(True)) == sorted(words)


def test_a_header_without_a_scan_or_with_a_wrong_length_is_no_whole_jpeg(picture):
    data = encoded(picture, ".jpg")
    scan, table = data.index(b"\xff\xda"), data.index(b"\xff\xdb")
    wrong = [data[: table + 2] + length + data[table + 4 :] for length in (b"\0\0", b"\xff\xff")]
    for whole, part in [(True, data), *((False, part) for part in wrong)]:
        assert is_whole_jpeg(np.frombuffer(part, np.uint8)) == whole
    for part in (b"", SOI, SOI + EOI, data[:scan] + EOI):
        assert not is_whole_jpeg(np.frombuffer(part, np.uint8))


@pytest.mark.parametrize("ending", IMAGE_ENDINGS)
def test_every_kind_of_picture_is_read_and_half_a_file_of_it_is_damaged(picture, tmp_path, ending):
    path = tmp_path / f"p{ending.upper()}"
    form = {".jfif": "JPEG", ".dib": "BMP", ".j2k": "JPEG2000"}
    image = Image.fromarray(picture)
    image = {".pbm": image.convert("1"), ".pgm": image.convert("L")}.get(ending, image)
    image.save(path, form.get(ending))
    expected = np.asarray(Image.open(path).convert("RGB")).astype(int)
    decoded, reason = read_image(path)
    assert reason is None and decoded.shape == picture.shape
    assert np.abs(decoded - expected).mean() < 3
    data = path.read_bytes()
    assert read(tmp_path, data[: len(data) // 2], path.name) == (None, DAMAGED)


def test_a_file_is_what_its_bytes_say(picture, tmp_path):
    image, _ = read(tmp_path, encoded(picture, ".png"), "a PNG.jpg")
    assert np.array_equal(image, picture)
    assert read(tmp_path, encoded(picture, ".jpg")[:-9], "cut JPEG.png") == (None, DAMAGED)
    tiff = encoded(picture, ".tif")
    for name, data, words in (
        ("IMG_1.HEIC", HEIC, ["HEIC", "export it as JPEG"]),
        ("IMG_1.jpg", HEIC, ["HEIC", "export it as JPEG"]),
        ("video.jpg", MP4, ["MP4", "give it by itself"]),
        ("video.avi", b"", ["AVI", "give it by itself"]),
        ("photo.CR2", tiff, ["raw", "develop it"]),
        ("photo.jxl", b"\xff\n" + bytes(50), ["JPEG XL", "export it"]),
        ("notes.txt", b"Tuesday", ["no picture of a known kind"]),
        ("page.png", b"<html>", ["truncated or corrupt"]),
    ):
        image, reason = read(tmp_path, data, name)
        assert image is None and all(word in reason for word in words), (name, reason)


def test_the_first_bytes_tell_kinds_apart(picture, tmp_path):
    heads = {
        "PNG": encoded(picture, ".png"), "JPEG": encoded(picture, ".jpg"),
        "TIFF": encoded(picture, ".tif"), "BMP": encoded(picture, ".bmp"),
        "WebP": encoded(picture, ".webp"), "GIF": b"GIF89a",
        "AVIF": b"\0\0\0\x1cftypavif\0\0\0\0avifmif1miaf", "JPEG 2000": encoded(picture, ".jp2"),
        "HEIC": HEIC, "JPEG XL": b"\0\0\0\x0cJXL \r\n", "Photoshop": b"8BPS\0\1",
        "OpenEXR": b"v/1\1\2", "Radiance HDR": b"#?RADIANCE\n", "AVI": b"RIFF\0\1\2\3AVI LIST",
        "MP4 or QuickTime": MP4, "Matroska or WebM": b"\x1aE\xdf\xa3\x9f",
        "MPEG": b"\0\0\1\xba\x44", "MPEG transport stream": (b"G" + bytes(187)) * 2,
        "Windows Media": b"0&\xb2u\x8ef\xcf\x11\xa6\xd9", "Flash video": b"FLV\1\5", "Ogg": b"OggS",
    }  # fmt: skip
    assert set(heads) == {kind.name for kind in KINDS if kind.begins}
    for name, head in heads.items():
        assert seen_kind("without an ending", head[:512]).name == name
    m2ts = bytes(4) + b"G" + bytes(191) + b"G"
    assert seen_kind("x", m2ts).name == "MPEG transport stream"
    old = b"\0\0\0\x08wide\0\0\1\0mdat"
    assert seen_kind("x", old).name == "MP4 or QuickTime"
    assert seen_kind("x", b"Tuesday") is None and kind_of(tmp_path / "none.txt") is None
    assert kind_of(tmp_path / "none.GIF").name == "GIF"


def test_no_ending_is_of_two_kinds_and_those_of_videos_are_known():
    endings = [end for kind in KINDS for end in kind.endings]
    assert len(endings) == len(set(endings)) and all(end == end.lower() for end in endings)
    videos = {".m4v", ".mts", ".m2ts", ".ts", ".3gp", ".flv", ".ogv", ".wmv", ".mpeg", ".webm"}
    assert videos <= set(VIDEO_ENDINGS) and all(is_video(f"A{end.upper()}") for end in videos)
    assert {".avif", ".jfif", ".jp2", ".gif"} <= set(IMAGE_ENDINGS)
    assert not set(IMAGE_ENDINGS) & set(VIDEO_ENDINGS)


def png_header(width: int, height: int) -> bytes:
    """A PNG file that announces a picture and has none."""

    def chunk(name: bytes, data: bytes) -> bytes:
        checked = name + data
        return struct.pack(">I", len(data)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    pixels = chunk(b"IDAT", zlib.compress(b"0"))
    return b"\x89PNG\r\n\x1a\n" + header + pixels + chunk(b"IEND", b"")


def test_a_picture_that_is_too_large_is_named_and_the_others_are_read(tiny_root, tmp_path):
    image, reason = read(tmp_path, png_header(40_000, 40_000), "p.png")
    assert image is None and reason == "picture is too large to be decoded; make it smaller"
    root = tmp_path / "copy"
    clip = sorted((tiny_root / "01").iterdir())[0]
    (root / clip.name).mkdir(parents=True)
    for file in clip.iterdir():
        (root / clip.name / file.name).write_bytes(file.read_bytes())
    odd = sorted((root / clip.name).glob("*.png"))[1]
    odd.write_bytes(png_header(40_000, 40_000))
    corpus = load_afew_va(root)
    crops = build_crops(corpus, 16, cache=tmp_path / "crops", workers=1)
    assert len(crops.frames) == len(corpus.frames) - 1
    assert crops.problems["path"].tolist() == [f"{clip.name}/{odd.name}"]
    assert "too large" in crops.problems["reason"].iloc[0]


def test_values_without_a_scale_are_named_and_not_called_corrupt(picture, tmp_path):
    for kind in (np.float32, np.float64):
        cv2.imwrite(str(tmp_path / "p.tif"), (picture / 255).astype(kind))
        image, reason = read_image(tmp_path / "p.tif")
        assert image is None and reason.startswith(f"picture holds values of type {kind.__name__}")
        assert reason.endswith("export it with 8 or 16 bits")
    deep = picture.astype(np.uint16) * 257
    assert np.array_equal(read(tmp_path, encoded(deep, ".tif"), "deep.tif")[0], picture)


def test_pictures_of_pillow_say_what_their_numbers_mean(picture, tmp_path):
    image = Image.fromarray(picture)
    assert np.array_equal(as_rgb(image), picture)
    palette = image.quantize(64)
    assert np.array_equal(as_rgb(palette), np.asarray(palette.convert("RGB")))
    assert np.abs(as_rgb(palette).astype(int) - picture).mean() < 6
    assert np.abs(as_rgb(image.convert("CMYK")).astype(int) - picture).mean() < 1
    for mode in ("L", "LA", "RGBA", "PA", "1", "YCbCr"):
        converted = image.convert("P").convert(mode) if mode == "PA" else image.convert(mode)
        assert np.array_equal(as_rgb(converted), np.asarray(converted.convert("RGB"))), mode
    deep = Image.fromarray(picture[:, :, 0].astype(np.uint16) * 257)
    assert np.array_equal(as_rgb(deep), as_rgb(picture[:, :, 0]))
    turned = Image.Exif()
    turned[0x0112] = 6  # to be turned by 90 degrees, clockwise
    image.save(tmp_path / "turned.png", exif=turned)
    assert np.array_equal(as_rgb(Image.open(tmp_path / "turned.png")), np.rot90(picture, -1))
    assert np.array_equal(read_image(tmp_path / "turned.png")[0], np.rot90(picture, -1))
    for wrong in (image.convert("F"), image.convert("I")):
        with pytest.raises(ValueError, match="picture"):
            as_rgb(wrong)
    (tmp_path / "cut.jpg").write_bytes(encoded(picture, ".jpg")[:-500])
    with pytest.raises(ValueError, match="cannot be decoded"):
        as_rgb(Image.open(tmp_path / "cut.jpg"))


def test_opencv_does_not_speak_of_a_damaged_file(picture, tmp_path, capfd):
    for ending in (".jpg", ".tif", ".webp", ".bmp", ".jp2", ".ppm"):
        data = encoded(picture, ending)
        for part in (data[: len(data) // 2], data[:60]):
            assert read(tmp_path, part, f"p{ending}") == (None, DAMAGED)
    assert read(tmp_path, png_header(40_000, 40_000), "p.png")[0] is None
    assert capfd.readouterr() == ("", "")
