"""Image files as people have them, through `predict`: what is read, in which order, and named."""

import csv
import io
from pathlib import Path

import cv2
import numpy as np
import pytest
from PIL import Image

from vaaffect.__main__ import main
from vaaffect.base.errors import UserError
from vaaffect.corpora.tracking import FacesTracker
from vaaffect.live.overlay import annotate, save_still
from vaaffect.live.predictor import Predictor
from vaaffect.live.sources import Clip, Stills, open_source
from vaaffect.simulator import Scene, render, sample_identity

HEIC = b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" + bytes(99)


@pytest.fixture(scope="module")
def portrait() -> np.ndarray:
    """A drawn portrait, (200, 200, 3) uint8 RGB."""
    person = sample_identity(np.random.default_rng(1))
    return render(person, np.zeros(17), Scene(), (200, 200))[0]


class Watched(FacesTracker):
    """A tracker that notes at which scales it looked for faces."""

    def __init__(self, thorough: bool = False) -> None:
        super().__init__(thorough)
        self.scales: list[float] = []

    def _detect(self, image: np.ndarray, scale: float) -> list:
        self.scales.append(scale)
        return super()._detect(image, scale)


def smaller(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def test_a_face_of_less_than_80_pixels_is_found_in_a_small_portrait(portrait):
    side = 84
    for thorough in (False, True):
        track = Watched(thorough)
        ((number, points),) = track(smaller(portrait, side))
        assert number == 0 and track.scales == [1.0, 2.0]
        assert np.ptp(points, axis=0).max() < 80
    ((_, large),) = FacesTracker()(portrait)
    error = np.linalg.norm(points / side - large / 200, axis=1).mean()
    assert error < 0.05, "the points are where they are in the large picture"


def test_where_a_face_is_found_nothing_is_searched_twice(portrait):
    track = Watched()
    for _ in range(3):
        assert len(track(portrait)) == 1
    assert track.scales[0] == 1.0 and len(track.scales) == 3
    wide = np.full((300, 900, 3), 128, np.uint8)
    track = Watched()
    assert track(wide) == [] and max(track.scales) == 1.0, "only small pictures are enlarged"


@pytest.mark.parametrize("shape", [(3, 4000), (4000, 3), (1, 1000), (1000, 1), (1, 1), (2, 300)])
def test_a_strip_has_no_face_and_can_be_annotated(shape):
    strip = np.full((*shape, 3), 90, np.uint8)
    assert FacesTracker(thorough=True)(strip) == FacesTracker()(strip) == []
    page = annotate(strip, [])
    assert 360 <= page.shape[0] <= 1080 and page.shape[1] < 13 * page.shape[0]


def test_odd_files_of_a_folder_are_named_and_the_others_are_read(run, tour, tmp_path, capsys):
    folder, face = tmp_path / "pictures", tour.pictures[0]
    for number in (1, 2, 10):
        save_still(folder / f"p{number}.png", face)
    for ending in (".jfif", ".jp2", ".gif", ".avif", ".bmp", ".webp", ".tiff"):
        form = {".jfif": "JPEG"}.get(ending)
        Image.fromarray(face).save(folder / f"q{ending}", form)
    save_still(folder / "r strip.png", np.zeros((3, 4000, 3), np.uint8))
    save_still(folder / "r thread.png", np.zeros((1000, 1, 3), np.uint8))
    save_still(folder / "s cut.jpg", face)
    (folder / "s cut.jpg").write_bytes((folder / "s cut.jpg").read_bytes()[:-700])
    (folder / "t.HEIC").write_bytes(HEIC)
    (folder / "u.mp4").write_bytes(b"\0\0\0\x18ftypmp42\0\0\0\0mp42isom")
    (folder / "v").write_bytes((folder / "p1.png").read_bytes())  # its bytes tell what it is
    for name in ("notes.txt", "rows.csv", "Makefile"):
        (folder / name).write_text("no picture")
    out = tmp_path / "rows.csv"
    words = ["predict", str(folder), "--run", str(run), "--out", str(out)]
    assert main([*words, "--clip", str(tmp_path / "clip")]) == 0
    sources = [row["source"] for row in csv.DictReader(io.StringIO(out.read_text()))]
    formats = ["q.avif", "q.bmp", "q.gif", "q.jfif", "q.jp2", "q.tiff", "q.webp"]
    assert sources == ["p1.png", "p2.png", "p10.png", *formats, "v"]
    said = capsys.readouterr().err
    assert "13 pictures, 11 predictions; no face in 2." in said
    for name, reason in (
        ("s cut.jpg", "truncated or corrupt"),
        ("t.HEIC", "HEIC, which is not read; export it as JPEG"),
        ("u.mp4", "a video (MP4 or QuickTime), not a picture; give it by itself"),
    ):
        assert any(name in line and reason in line for line in said.splitlines()), name
    assert "notes" not in said and "Traceback" not in said


def test_a_folder_in_which_nothing_can_be_read_says_what_is_in_it(tmp_path):
    (tmp_path / "IMG_10.heic").write_bytes(HEIC)
    (tmp_path / "IMG_9.heic").write_bytes(HEIC)
    with pytest.raises(UserError, match=r"no image that can be read \(IMG_9.heic is HEIC, .*JPEG"):
        open_source(str(tmp_path))
    with pytest.raises(UserError, match=r"IMG_9\.heic: is HEIC, .*export it as JPEG"):
        open_source(str(tmp_path / "IMG_9.heic"))


def test_a_file_is_opened_as_what_it_is(tour, tour_path, tmp_path):
    (tmp_path / "film.png").write_bytes(tour_path.read_bytes())
    (tmp_path / "film").write_bytes(tour_path.read_bytes())
    assert isinstance(open_source(str(tmp_path / "film.png")), Clip)
    assert isinstance(open_source(str(tmp_path / "film")), Clip)
    save_still(tmp_path / "face.png", tour.pictures[0])
    face = (tmp_path / "face.png").rename(tmp_path / "face.mp4")
    (frame,) = open_source(str(face))
    assert isinstance(open_source(str(face)), Stills)
    assert np.array_equal(frame.picture, tour.pictures[0])


def test_a_picture_of_a_palette_or_cmyk_predicts_as_its_colours(run, tour):
    predictor = Predictor.from_run(run, device="cpu")
    image = Image.fromarray(tour.pictures[0])
    for picture in (image.quantize(128), image.convert("CMYK")):
        predictor.reset()
        (direct,) = predictor(picture)
        predictor.reset()
        (colours,) = predictor(np.asarray(picture.convert("RGB")))
        assert np.array_equal(direct.va, colours.va) and direct.box == colours.box


def test_numbers_in_names_are_sorted_by_value(tmp_path):
    names = ["10.png", "2.png", "p1.png", "p1b2.png", "p1b10.png", "p01.png", "p10.png", "p2.png"]
    for name in names:
        save_still(tmp_path / name, np.zeros((4, 4, 3), np.uint8))
    assert [Path(frame.source).stem for frame in Stills(tmp_path)] == [
        "2", "10", "p01", "p1", "p1b2", "p1b10", "p2", "p10"
    ]  # fmt: skip
