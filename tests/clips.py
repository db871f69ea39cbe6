"""Small videos whose pictures show their number, each at a time of its own, written by PyAV."""

from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

SIZE = (160, 128)  # width, height
AVI = {"codec": "mjpeg", "unit": Fraction(1, 25)}
# At 25 pictures per second, then at 5.
UNEVEN = (0, 0.04, 0.08, 0.12, 0.16, 0.20, 0.24, 0.44, 0.64, 0.84, 1.04, 1.24)


def numbered(number: int, size: tuple[int, int] = SIZE) -> np.ndarray:
    """A picture (H, W, 3) uint8 RGB of a number below 256: its bits on top, colours below."""
    (width, height), rows = size, size[1] // 2
    picture = np.empty((height, width, 3), np.uint8)
    for bit in range(8):
        picture[:rows, bit * width // 8 : (bit + 1) * width // 8] = 230 if number >> bit & 1 else 25
    for third, colour in enumerate(((200, 40, 40), (40, 200, 40), (40, 60, 210))):
        picture[rows:, third * width // 3 : (third + 1) * width // 3] = colour
    return picture


def number_of(picture: np.ndarray) -> int:
    """The number that a picture shows."""
    height, width = picture.shape[:2]
    bits = [picture[4 : height // 2 - 4, b * width // 8 + 4 : (b + 1) * width // 8 - 4].mean() > 128
            for b in range(8)]  # fmt: skip
    return sum(bit << place for place, bit in enumerate(bits))


def write_clip(
    path: Path, times: Sequence[float], codec: str = "libx264", *,
    pictures: Iterable[np.ndarray] | None = None, colours: str | None = None,
    unit: Fraction = Fraction(1, 1000), rate: int = 25, turned: int = 0, sound: float = 0,
    cut: Sequence[int] = (), reordered: int | None = None, form: str | None = None,
    options: dict[str, str] | None = None,
) -> Path:  # fmt: skip
    """A video of `pictures` (H, W, 3) uint8 RGB, numbered ones without, shown at `times` in
    seconds.

    Args:
        unit: of its time stamps, in seconds.
        rate: what its header announces.
        turned: degrees counterclockwise by which it is to be turned when it is shown.
        sound: seconds of silence.
        cut: packets of which the second half is missing.
        reordered: frames in a row that are decoded later than they come; the codec's own without.
        options: of the file's format, `form` or that of the ending.
    """
    pictures = [numbered(i) for i in range(len(times))] if pictures is None else list(pictures)
    with av.open(str(path), "w", format=form, container_options=options or {}) as file:
        stream = file.add_stream(codec, rate)
        stream.pix_fmt = colours or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        stream.width, stream.height = pictures[0].shape[1::-1]
        stream.codec_context.time_base, stream.bit_rate = unit, 4_000_000
        if reordered is not None:
            stream.codec_context.max_b_frames = reordered
        if turned:
            stream.set_display_rotation(turned)
        silence = file.add_stream("pcm_s16le", 16_000, layout="mono") if sound else None
        if path.suffix == ".avi":
            for number in range(round(times[0] / unit)):  # a file may begin with empty chunks
                file.mux(_packet(b"", stream, unit, number))
        packets = []
        for picture, time_s in zip(pictures, times, strict=True):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), "rgb24")
            frame.pts, frame.time_base = round(time_s / unit), unit
            packets += stream.encode(frame)
        for number, packet in enumerate(packets + stream.encode(None)):
            file.mux(_half(packet) if number in cut else packet)
        for start in range(0, round(16_000 * sound), 1000):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1000), np.int16), "s16", "mono")
            frame.sample_rate, frame.pts, frame.time_base = 16_000, start, Fraction(1, 16_000)
            file.mux(silence.encode(frame))
    return path


def _half(packet: av.Packet) -> av.Packet:
    half = bytes(packet)[: packet.size // 2]
    return _packet(half, packet.stream, packet.time_base, packet.pts, packet.dts)


def _packet(
    data: bytes, stream: av.VideoStream, unit: Fraction, pts: int, dts: int | None = None
) -> av.Packet:
    packet = av.Packet(data)
    packet.stream, packet.time_base, packet.is_keyframe = stream, unit, True
    packet.pts, packet.dts = pts, pts if dts is None else dts
    return packet
