"""What a viewer of the live system sees: box, points, values, and a trail over the circumplex."""

from collections import defaultdict, deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import cv2
import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from ..base import UserError, write_atomically
from ..simulator import EMOTIONS
from .predictor import FacePrediction

# Okabe & Ito (2008), readable on skin and on grey; a face's colour follows its number.
_COLOURS = ((230, 159, 0), (86, 180, 233), (0, 158, 115), (240, 228, 66), (204, 121, 167))
_BLACK, _GREY, _WHITE = (0, 0, 0), (90, 90, 90), (255, 255, 255)
_FONT = cv2.FONT_HERSHEY_SIMPLEX
_LOWEST, _HIGHEST = 360, 1080  # pixels: height of an annotated picture
_WIDEST = 12  # times its height; what is wider gets black below it
# By ending: codec, colours, and bits for each pixel, of which there are always enough.
_CODECS = {
    ".mp4": ("mpeg4", "yuv420p", 64), ".mkv": ("mpeg4", "yuv420p", 64),
    ".avi": ("mjpeg", "yuvj420p", 3), ".webm": ("libvpx", "yuv420p", 64),
}  # fmt: skip
_UNIT = Fraction(1, 60_000)  # seconds, of time stamps: usual rates are whole numbers of it
STILLS = (".png", ".jpg", ".jpeg")
MARK = b"Annotated by vaaffect."  # in all that is annotated, so that a later run may replace it
TRAIL = 2.0  # seconds

Trail = Sequence[tuple[float, float]]  # (valence, arousal), oldest first


class Trails:
    """Where each face was in the plane during the last seconds."""

    def __init__(self) -> None:
        self._points: dict[int, deque] = defaultdict(deque)

    def add(self, time_s: float, predictions: Sequence[FacePrediction]) -> dict[int, Trail]:
        """Note the predictions for a picture; returns the trails of the faces that are in it."""
        for prediction in predictions:
            self._points[prediction.face].append((time_s, tuple(map(float, prediction.va))))
        for face, points in list(self._points.items()):
            while points and points[0][0] < time_s - TRAIL:
                points.popleft()
            if not points:  # a film shows hundreds of faces, one after the other
                del self._points[face]
        return {p.face: [va for _, va in self._points[p.face]] for p in predictions}


def annotate(
    picture: np.ndarray,
    predictions: Sequence[FacePrediction],
    trails: Mapping[int, Trail] | None = None,
    note: str = "",
) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB with predictions for its faces, and the circumplex beside it.

    `trails` say by face where it was before, and end with where it is; `note` is a line of text,
    "smoothed 0.5 s" for example. The picture stays as it is.

    Returns (H', W', 3) uint8 RGB: the picture, scaled to a height at which text can be read, and a
    panel on its right. The same size for all pictures of one size; both sides are even.
    """
    height, width = picture.shape[:2]
    below = width // _WIDEST - height
    if below > 0:  # a strip, which would become as wide as it is flat
        picture = cv2.copyMakeBorder(picture, 0, below, 0, 0, cv2.BORDER_CONSTANT)
        height += below
    scale = min(max(height, _LOWEST), _HIGHEST) / height
    size = (_even(width * scale), _even(height * scale))
    page = picture.copy()
    if scale != 1:
        method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
        page = cv2.resize(picture, size, interpolation=method)
    page = page[: size[1], : size[0]]
    unit = size[1] / _LOWEST  # line widths and letters grow with the page
    for prediction in predictions:
        _mark(page, prediction, scale, unit)
    panel = np.full((size[1], _even(0.62 * size[1]), 3), 255, np.uint8)
    _circumplex(panel, predictions, trails or {}, unit)
    lines = [(f"face {_words(p)}", _colour(p)) for p in predictions] or [("no face", _GREY)]
    below = panel.shape[1] + 14 * unit
    room = int((size[1] - below) / (17 * unit)) - bool(note)
    if len(lines) > room:
        lines = [*lines[: room - 1], (f"and {len(lines) - room + 1} more", _GREY)]
    for text, colour in [*lines, (note, None)]:
        if colour is not None:  # the note belongs to no face
            cv2.circle(panel, _pixel(10 * unit, below - 4 * unit), round(4 * unit), colour, -1, 16)
        _write(panel, text, (20 * unit, below), 0.42 * unit, _BLACK)
        below += 17 * unit
    return np.hstack([page, panel])


def _words(prediction: FacePrediction) -> str:
    return f"{prediction.face}  V {prediction.va[0]:+.2f}  A {prediction.va[1]:+.2f}"


def _mark(page: np.ndarray, prediction: FacePrediction, scale: float, unit: float) -> None:
    """Box, points and values of one face."""
    colour = _colour(prediction)
    x0, y0, x1, y1 = (value * scale for value in prediction.box)
    cv2.rectangle(page, _pixel(x0, y0), _pixel(x1, y1), colour, max(1, round(1.5 * unit)), 16)
    dot = min(unit, (x1 - x0) / 160)  # on a small face large dots would hide it
    for x, y in (prediction.landmarks + 0.5) * scale:
        cv2.circle(page, _pixel(x, y), max(1, round(1.6 * dot)), _BLACK, -1, 16)
        if dot > 0.7:
            cv2.circle(page, _pixel(x, y), max(1, round(0.9 * dot)), _WHITE, -1, 16)
    text, size = _words(prediction), 0.45 * unit
    (wide, high), _ = cv2.getTextSize(text, _FONT, size, 1)
    left = min(max(x0, 0), page.shape[1] - wide - 4 * unit)
    # Above the box, or within it where the picture ends.
    bottom = y0 - 4 * unit if y0 > high + 8 * unit else max(y0, 0) + high + 6 * unit
    corner = _pixel(left + wide + 4 * unit, bottom + 4 * unit)
    cv2.rectangle(page, _pixel(left, bottom - high - 4 * unit), corner, colour, -1)
    _write(page, text, (left + 2 * unit, bottom), size, _BLACK)


def _circumplex(
    panel: np.ndarray, predictions: Sequence[FacePrediction], trails: Mapping, unit: float
) -> None:
    """The plane in the upper square of a panel: unit circle, emotions, a trail per face."""
    side = panel.shape[1]
    middle, radius = side / 2, 0.40 * side

    def place(va: Sequence[float]) -> tuple[float, float]:
        return middle + radius * va[0], middle - radius * va[1]

    thin = max(1, round(unit))
    cv2.circle(panel, _pixel(middle, middle), round(radius), (170, 170, 170), thin, 16)
    for one, other in (((-1, 0), (1, 0)), ((0, -1), (0, 1))):
        cv2.line(panel, _pixel(*place(one)), _pixel(*place(other)), (210, 210, 210), thin)
    for name, va in EMOTIONS.items():
        x, y = place(va)
        cv2.circle(panel, _pixel(x, y), max(1, round(1.5 * unit)), (150, 150, 150), -1, 16)
        _write(panel, name, (x, y - 4 * unit), 0.30 * unit, (120, 120, 120), centred=True)
    for word, x, y, size in (
        ("excited", middle, 0.07 * side, 0.36),
        ("calm", middle, 0.97 * side, 0.36),
        ("pleasant", 0.87 * side, middle - 3 * unit, 0.33),
        ("unpleasant", 0.14 * side, middle - 3 * unit, 0.33),
    ):
        _write(panel, word, (x, y), size * unit, (60, 60, 60), centred=True)
    for prediction in predictions:
        colour = _colour(prediction)
        path = [_pixel(*place(va)) for va in trails.get(prediction.face, ())]
        if len(path) > 1:
            cv2.polylines(panel, [np.array(path)], False, colour, max(1, round(2 * unit)), 16)
        end = _pixel(*place(prediction.va))
        cv2.circle(panel, end, round(5 * unit), colour, -1, 16)
        cv2.circle(panel, end, round(5 * unit), _BLACK, thin, 16)


class ClipWriter:
    """Writes annotated pictures as a video in which each is shown at its own time.

    An .avi has no time stamps, but one rate, `fps`: there a picture comes at that multiple of
    1/`fps` which is nearest to its time, the one before it stays until then, and one that would
    come together with another is left out. Elsewhere `fps` says how long the last one is shown.
    """

    def __init__(self, path: Path, fps: float) -> None:
        self._kind = _CODECS.get(path.suffix.lower())
        if self._kind is None:
            raise UserError(f"{path}: give the clip a name that ends in {', '.join(_CODECS)}.")
        self.path, self.fps = path, fps
        self.place = path  # where the bytes go until it is whole
        rate = Fraction(fps).limit_denominator(10_000)
        self._unit = 1 / rate if path.suffix.lower() == ".avi" else _UNIT  # of time stamps
        self._length = max(1, round(1 / (rate * self._unit)))  # of a picture, in units
        self._file: av.container.OutputContainer | None = None
        self._stream: av.VideoStream | None = None
        self._last = -1  # time stamp

    def write(self, picture: np.ndarray, time_s: float) -> None:
        """Add a picture (H, W, 3) uint8 RGB that was taken at a time in seconds. UserError: the
        file cannot be written."""
        with self._named():
            if self._file is None:
                self._open(picture.shape[1::-1])
            size = self._stream.width, self._stream.height
            if picture.shape[1::-1] != size:  # a camera that changes its format
                picture = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
            stamp = round(time_s / self._unit)
            if stamp <= self._last:
                return
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = stamp, self._unit
            self._last = stamp
            self._encode(frame)

    def close(self) -> None:
        """End the file; without this it does not open. UserError as of `write`."""
        if self._file is None:
            return
        with self._named(), closing(self._file):
            self._encode(None)

    def _encode(self, frame: av.VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            packet.duration = self._length
            self._file.mux(packet)

    def _open(self, size: tuple[int, int]) -> None:
        self.place.parent.mkdir(parents=True, exist_ok=True)
        codec, colours, bits = self._kind
        self._file = av.open(f"file:{self.place.absolute()}", "w")
        self._file.metadata["comment"] = MARK.decode()
        stream = self._file.add_stream(codec, 1 / self._unit, options={"qmin": "3"})
        stream.width, stream.height, stream.pix_fmt = *size, colours
        stream.time_base = stream.codec_context.time_base = self._unit
        stream.bit_rate = min(round(bits * self.fps * size[0] * size[1]), 2**30)
        self._stream = stream

    @contextmanager
    def _named(self) -> Iterator[None]:
        try:
            yield
        except (OSError, av.FFmpegError) as error:
            fault = f"cannot be written as a video ({error.strerror or error})"
            raise UserError(f"{self.path}: {fault}; try another folder or ending.") from error


def as_png(picture: np.ndarray) -> bytes:
    """A picture (H, W, 3) uint8 RGB as the bytes of a PNG file."""
    return cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR))[1].tobytes()


def save_still(path: Path, picture: np.ndarray) -> None:
    """Write a picture (H, W, 3) uint8 RGB as an image file whose ending is one of STILLS; a comment
    in it is MARK. The file appears whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    about, data = PngInfo(), BytesIO()
    about.add_text("Comment", MARK.decode())
    if path.suffix.lower() == ".png":
        Image.fromarray(picture).save(data, "PNG", pnginfo=about, compress_level=1)
    else:
        Image.fromarray(picture).save(data, "JPEG", comment=MARK, quality=95)
    write_atomically(path, data.getvalue())


def _colour(prediction: FacePrediction) -> tuple[int, int, int]:
    return _COLOURS[prediction.face % len(_COLOURS)]


def _pixel(x: float, y: float) -> tuple[int, int]:
    return round(float(x)), round(float(y))


def _even(length: float) -> int:
    return max(2, 2 * round(length / 2))


def _write(
    page: np.ndarray, text: str, at: tuple, size: float, colour: tuple, centred: bool = False
) -> None:
    thick = max(1, round(1.4 * size))
    x, y = at
    if centred:
        x -= cv2.getTextSize(text, _FONT, size, thick)[0][0] / 2
    cv2.putText(page, text, _pixel(x, y), _FONT, size, colour, thick, cv2.LINE_AA)
