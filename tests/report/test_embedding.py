"""Pictures in pages: what they become, and that nothing visible is lost."""

import base64
import re

import cv2
import numpy as np
import pytest
from matplotlib.figure import Figure

from vaaffect.report import plots
from vaaffect.report.embedding import picture_tag, saved_alt_text


def as_png(picture: np.ndarray) -> str:
    return base64.b64encode(cv2.imencode(".png", picture)[1]).decode()


def embedded(tag: str) -> tuple[str, np.ndarray]:
    kind, data = re.search(r'src="data:image/(\w+);base64,([^"]+)"', tag).groups()
    return kind, cv2.imdecode(np.frombuffer(base64.b64decode(data), np.uint8), -1)


@pytest.fixture
def lines():
    picture = np.full((300, 600, 3), 255, np.uint8)
    for x in range(10, 600, 30):
        cv2.line(picture, (x, 5), (600 - x, 295), (x % 255, 80, 20), 1, cv2.LINE_AA)
    return picture


@pytest.fixture
def photograph():
    rng = np.random.default_rng(0)
    smooth = cv2.GaussianBlur(rng.uniform(0, 255, (300, 400, 3)), (0, 0), 15)
    smooth = (smooth - smooth.min()) / np.ptp(smooth) * 220
    return (smooth + rng.normal(0, 3, smooth.shape) + 15).clip(0, 255).astype(np.uint8)


def test_lines_and_letters_lose_nothing_and_become_smaller(lines):
    png = as_png(lines)
    tag = picture_tag(png, {})
    kind, shown = embedded(tag)
    assert kind == "webp" and np.array_equal(shown[:, :, :3], lines)
    assert len(tag) < len(png)


def test_photographs_become_much_smaller_and_look_the_same(photograph):
    png = as_png(photograph)
    tag = picture_tag(png, {})
    kind, shown = embedded(tag)
    assert kind == "jpeg" and len(tag) < 0.35 * len(png)
    assert np.abs(shown.astype(float) - photograph).mean() < 3


def test_transparent_pictures_stay_as_they_are(lines):
    glass = np.dstack([lines, np.full(lines.shape[:2], 128, np.uint8)])
    kind, shown = embedded(picture_tag(as_png(glass), {}))
    assert kind == "png" and np.array_equal(shown, glass)


def test_size_shape_and_words(lines):
    tag = picture_tag(as_png(lines), {"image/png": {"width": 512, "alt": "a <b>line</b> & more"}})
    assert 'width="512" height="256"' in tag and 'class="plain"' in tag
    assert 'alt="a line &amp; more"' in tag
    assert 'width="600" height="300"' in picture_tag(as_png(lines), {})
    assert 'class="wide"' in picture_tag(as_png(lines), {"width": 900})


def test_a_saved_figure_says_what_stands_on_it(tmp_path, monkeypatch):
    monkeypatch.setattr(plots, "report_folder", lambda out: tmp_path / out)
    figure = Figure()
    for ax, title in zip(figure.subplots(1, 2), ("valence", "arousal"), strict=True):
        ax.set(title=title, xlabel="CCC", ylabel="models − all")
    figure.suptitle("Of two\nnetworks")
    plots.save_figure(figure, "x", "04_spread")
    figures = tmp_path / "x" / "figures"
    cell = '_ = plots.save_figure(\n    draw(some(rows), "a"), OUT, "04_spread"\n)'
    words = "Of two networks. valence: models − all against CCC. arousal: models − all against CCC"
    assert saved_alt_text(cell, figures) == words
    assert saved_alt_text("plt.plot(rows)", figures) == ""
    assert saved_alt_text(cell + cell, figures) == saved_alt_text(cell, tmp_path) == ""
