"""Video files: when each of their frames is shown, and the frames, decoded.

What a header announces (a number of frames, a duration, a rate) is often wrong, and is not believed
here: a video has the frames that lie in its file, each is shown at its own time stamp, and a frame
is damaged if the decoder says so. FFmpeg's libraries read the files, through PyAV.
"""

from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import chain
from pathlib import Path

import av
import cv2
import numpy as np
from av.stream import Discard
from av.video.reformatter import VideoReformatter

from .images import is_utf8

USUAL_FPS = 25.0  # of a video of one frame that does not say
_AGREES = 0.05  # time stamps are rounded, to milliseconds often: 8, 8, 9 are 120 per second
_GENERATE = av.container.Flags.gen_pts.value


@dataclass(frozen=True)
class Video:
    """What a video file holds."""

    times: np.ndarray = field(repr=False, compare=False)  # (frames,) seconds from 0, not falling
    fps: float  # frames per second: what lies between most of them
    size: tuple[int, int]  # (width, height) in pixels, turned as it is shown

    @property
    def frames(self) -> int:
        """How many frames there are."""
        return len(self.times)

    @property
    def seconds(self) -> float:
        """How long it takes, the last frame included."""
        return round(float(self.times[-1]) + 1 / self.fps, 6)


def probe_video(path: Path) -> Video:
    """Read through a video without decoding it: when its frames are shown, its speed and size.

    OSError: it is missing or may not be read; ValueError: it is no video, or has no frame.
    """
    with _opened(path) as (container, stream):
        stamps = _read_stamps(container, stream)
        announced = float(stream.average_rate or stream.guessed_rate or 0)
        begin = stream.start_time if container.format.name == "avi" else None
    with closing(_decoded(path, stamps, range(len(stamps.values)))) as pictures:
        first = next((image for _, image in pictures if image is not None), None)
    if first is None:
        raise ValueError("the video has no frame")
    # Only an AVI says when it begins: its first chunks may be empty.
    begin = stamps.values[0] if begin is None else min(begin, stamps.values[0])
    times = (stamps.values - begin) * stamps.unit.numerator / stamps.unit.denominator
    steps = np.diff(times)
    step = float(np.median(steps[steps > 0])) if np.any(steps > 0) else 1 / (announced or USUAL_FPS)
    fps = announced if abs(announced * step - 1) < _AGREES else 1 / step
    return Video(times, fps, first.shape[1::-1])


def read_video(
    path: Path, indices: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None, str | None]]:
    """Decode some frames of a video, their `indices` not descending.

    Yields (position in `indices`, (H, W, 3) uint8 RGB or None, why not or None).
    """
    try:
        with _opened(path) as opened:
            stamps = _read_stamps(*opened)
    except (OSError, ValueError) as error:
        why = f"cannot be read ({error.strerror})" if isinstance(error, OSError) else str(error)
        yield from ((i, None, why) for i in range(len(indices)))
        return
    count, shown, image = len(stamps.values), -1, None
    with closing(_decoded(path, stamps, indices)) as pictures:
        for i, index in enumerate(indices):
            while shown < index:
                shown, image = next(pictures, (index, None))
            if shown == index and image is not None:
                yield i, image, None
            elif index < count:
                yield i, None, f"frame {index} of the video is damaged"
            else:
                yield i, None, f"the video ends after {count} frames"


@dataclass(frozen=True)
class _Stamps:
    """When the frames of a video are shown."""

    values: np.ndarray  # (frames,) int64, not falling
    unit: Fraction  # seconds
    shown: bool  # decoded frames have them; else the file says when frames are decoded, in turn


@contextmanager
def _opened(path: Path) -> Iterator[tuple[av.container.InputContainer, av.VideoStream]]:
    """A video file and its video."""
    with path.open("rb"):  # FFmpeg does not always say why it cannot open a file; this does
        pass
    if not is_utf8(path):
        raise ValueError("the video's name is not valid UTF-8; rename it")
    try:
        # As an absolute path, in which nothing before a colon is taken for a protocol.
        container = av.open(f"file:{path.absolute()}")
    except av.FFmpegError as error:
        raise ValueError("the video does not open (truncated, corrupt, or no video)") from error
    with container:
        stream = container.streams.best("video")
        if stream is None or stream.codec_context is None:
            raise ValueError("the video does not open (no picture in it, or of an unknown kind)")
        # Time stamps that are missing stay so: FFmpeg's guesses are wrong where frames are not
        # decoded in the order in which they are shown.
        container.flags &= ~_GENERATE
        for other in container.streams:
            if other is not stream:
                other.discard = Discard.all
        yield container, stream


def _packets(container: av.container.InputContainer, stream: av.VideoStream) -> Iterator[av.Packet]:
    """The packets of a video, one for each frame, until the file ends or breaks off.

    Where recordings were joined to one file, the time stamps of the second begin anew; here they go
    on.
    """
    shift, last, end, step = 0, None, 0, 1  # last decoded, last shown
    try:
        for packet in container.demux(stream):
            if not packet.size:  # the one at the end, or a frame that is repeated
                continue
            if packet.dts is not None:
                if last is not None and packet.dts + shift < last:
                    shown = packet.dts if packet.pts is None else packet.pts
                    shift = max(last + step - packet.dts, end + step - shown)
                elif last is not None:
                    step = packet.dts + shift - last or step
                packet.dts += shift
                last = packet.dts
            if packet.pts is not None:
                packet.pts += shift
                end = max(end, packet.pts)
            yield packet
    except av.FFmpegError:
        return


def _read_stamps(container: av.container.InputContainer, stream: av.VideoStream) -> _Stamps:
    """The time stamps of a video; ValueError: it has no frame."""
    packets = [(p.pts, p.dts) for p in _packets(container, stream) if not p.is_discard]
    if not packets:
        raise ValueError("the video has no frame")
    shown = [pts for pts, _ in packets if pts is not None]
    decoded = [dts for _, dts in packets if dts is not None]
    missing = len(packets) - len(shown)
    if container.format.name == "mpegts" and 2 * missing <= len(packets):
        missing = 0  # they are second fields of interlaced frames
    stamps = decoded if missing else shown
    if len(stamps) < len(packets) / 2:  # a bare stream of frames
        return _Stamps(np.arange(len(packets)), 1 / (stream.guessed_rate or USUAL_FPS), False)
    return _Stamps(np.sort(np.array(stamps, np.int64)), stream.time_base, not missing)


def _decoded(
    path: Path, stamps: _Stamps, indices: Sequence[int]
) -> Iterator[tuple[int, np.ndarray | None]]:
    """The frames `indices` of a video, one after the other: (number, RGB, or None where it is
    damaged). One that the decoder does not give is left out.

    From the beginning: seeking lands on the wrong frame in many files that are not intra-coded.
    """
    wanted, numbers = set(indices), {}
    for number, stamp in enumerate(stamps.values.tolist()):
        numbers.setdefault(stamp, number)
    needed = {stamps.values[i] for i in wanted if i < len(stamps.values)}
    convert, last = VideoReformatter(), -1

    def number_of(stamp: int | None) -> int:
        """Of the frame that is shown then; of one that has no time stamp of its own, the next."""
        nonlocal last
        last = max(numbers.get(stamp, 0), last + 1)
        return last

    with _opened(path) as (container, stream):
        decoder = stream.codec_context
        alone = decoder.codec.intra_only  # each frame can be decoded without the others
        if alone:
            # One frame behind each packet; and an error if it was cut, else half of it is shown.
            decoder.thread_count, decoder.options = 1, {"err_detect": "explode"}
        else:
            decoder.thread_type, decoder.thread_count = "AUTO", cv2.getNumThreads()
        for packet in chain(_packets(container, stream), [None]):
            if packet is not None and not stamps.shown:
                packet.pts = None
            elif packet is not None and not alone:
                # What nobody wants, and no other frame is predicted from, is not decoded.
                decoder.skip_frame = "DEFAULT" if packet.pts in needed else "NONREF"
            if packet is not None and alone and (number := number_of(packet.pts)) not in wanted:
                continue
            try:
                frames = decoder.decode(packet)
            except av.FFmpegError:
                continue
            for frame in frames:
                number = number if alone else number_of(frame.pts)
                if number in wanted:
                    yield number, None if frame.is_corrupt else _as_rgb(frame, convert)


def _as_rgb(frame: av.VideoFrame, convert: VideoReformatter) -> np.ndarray:
    """A decoded frame as (H, W, 3) uint8 RGB, turned as it is to be shown."""
    # One thread: the processes share the CPUs already.
    rgb = convert.reformat(frame, format="rgb24", interpolation="BICUBIC", threads=1)
    return np.ascontiguousarray(np.rot90(rgb.to_ndarray(), round(frame.rotation / 90)))
