"""Pictures inside a page: small enough to send, with size and words, and no worse to look at."""

import base64
import html as escaping
import re
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image

WIDE = 700  # CSS pixels; on a phone, letters of a wider picture would be too small to read
_PHOTO = 0.3  # a JPEG this much smaller than the PNG: drawn faces, not lines and letters


def saved_alt_text(source: str, figures: Path) -> str:
    """The `plots.alt_text` of the figure that a cell with this source saves into the folder
    `figures`; "" where it saves none, or several."""
    names = re.findall(r'save_figure\(.*?,\s*OUT,\s*"([^"]+)"', source, re.DOTALL)
    path = figures / f"{names[0]}.png" if len(names) == 1 else None
    if path is None or not path.exists():
        return ""
    with Image.open(path) as picture:
        return str(picture.info.get("Description", ""))


def picture_tag(png: str, metadata: Mapping[str, Any], words: str = "") -> str:
    """An `img` element with a PNG (base64) in it. Of the metadata of a notebook's output, `width`
    (CSS pixels) and `alt` (what the picture shows, else `words`) are used where they are given."""
    known = metadata.get("image/png", metadata)  # IPython writes either
    kind, encoded, (width, height) = _smaller("".join(png.split()))
    shown = int(known.get("width") or width)
    shape = "wide" if shown > WIDE else "plain"
    words = escaping.escape(re.sub("<[^>]*>", "", known.get("alt", words)))
    return (
        f'<img class="{shape}" src="data:image/{kind};base64,{encoded}" width="{shown}" '
        f'height="{round(shown * height / width)}" alt="{words}">'
    )


@lru_cache(maxsize=64)  # a figure is in a notebook's page and in the report
def _smaller(png: str) -> tuple[str, str, tuple[int, int]]:
    """(kind, base64, (width, height)): JPEG for photographs and faces, else WebP without loss."""
    original = base64.b64decode(png)
    picture = cv2.imdecode(np.frombuffer(original, np.uint8), cv2.IMREAD_UNCHANGED)
    size = picture.shape[1], picture.shape[0]
    if picture.dtype != np.uint8 or (picture.ndim == 3 and picture.shape[2] == 4
                                     and picture[:, :, 3].min() < 255):  # fmt: skip
        return "png", png, size
    if picture.ndim == 3:
        picture = picture[:, :, :3]
    full_colour = [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]
    jpeg = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 88, *full_colour])[1]
    if len(jpeg) < _PHOTO * len(original):
        return "jpeg", base64.b64encode(jpeg).decode(), size
    webp = cv2.imencode(".webp", picture, [cv2.IMWRITE_WEBP_QUALITY, 101])[1]  # 101: no loss
    if len(webp) < len(original):
        return "webp", base64.b64encode(webp).decode(), size
    return "png", png, size
