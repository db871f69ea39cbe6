"""The live loop: pictures in, rows and an annotated clip out.

Prediction runs in the caller's thread; a camera is read and pictures are drawn in threads of their
own. Rows are written as they come, so whatever ends the loop, they are kept.
"""

import contextlib
import csv
import queue
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from ..base import UserError
from ..corpora import FacesTracker
from .overlay import STILLS, ClipWriter, Trails, annotate, check_clip_name, save_still
from .predictor import Predictor, Reading, Smoother
from .sources import CameraLostError, CameraSource, Frame, Source, Stills

READING_COLUMNS = (
    "source",
    "frame",  # number of the picture, from 0
    "time_s",  # seconds since the first picture; empty for images
    "face",  # number of the face, the same through a clip
    *("x0", "y0", "x1", "y1"),  # the crop's box in pixels
    "valence",  # [-1, 1]
    "arousal",
    "milliseconds",  # for all faces of the picture
)


@dataclass
class Summary:
    """What happened in a loop.

    Attributes:
        pictures: read by the network's side of the loop, with or without a face.
        without_face: of these, how many show no face.
        readings: rows.
        dropped: pictures of a camera that were replaced by a newer one before anyone came for them.
        problems: (name, reason) of pictures that could not be read.
        seconds: from the first picture to the end.
        milliseconds: (pictures,) from picture to readings.
        ended: why the loop ended before its source did, or None.
        lost: whether that was a camera's fault.
    """

    pictures: int = 0
    without_face: int = 0
    readings: int = 0
    dropped: int = 0
    problems: list[tuple[str, str]] = field(default_factory=list)
    seconds: float = 0.0
    milliseconds: list[float] = field(default_factory=list)
    ended: str | None = None
    lost: bool = False

    def lines(self) -> list[str]:
        """The summary for people."""
        lines = [
            f"{self.pictures} pictures, {self.readings} faces read; no face in {self.without_face}."
        ]
        if self.milliseconds:
            middle, late = np.percentile(self.milliseconds, [50, 95])
            rate = self.pictures / max(self.seconds, 1e-9)
            lines.append(
                f"{rate:.1f} pictures/s; from picture to reading {middle:.1f} ms (median), "
                f"{late:.1f} ms (95th percentile)."
            )
        if self.dropped:
            lines.append(f"{self.dropped} pictures came while another was read, and were dropped.")
        lines += [f"{name}: {why}." for name, why in self.problems[:5]]
        if len(self.problems) > 5:
            lines.append(f"... and {len(self.problems) - 5} more could not be read.")
        return [*lines, self.ended] if self.ended else lines


def watch(
    source: Source,
    predictor: Predictor,
    rows: TextIO,
    clip: Path | None = None,
    *,
    smooth: float | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    seen: Callable[[Frame, Sequence[Reading]], None] | None = None,
) -> Summary:
    """Read every picture of a source, or of a camera as many as there is time for.

    Ctrl-C and a camera that is lost end the loop as its end would: `ended` of the summary says so.

    Args:
        source: as of `sources.open_source`.
        predictor: reads the pictures.
        rows: gets a CSV, a row per face, columns COLUMNS; pictures without a face have none.
        clip: where to write the annotated pictures: a video for clips and cameras, an image for an
            image, a folder for a folder.
        smooth: time constant in seconds, see `predictor.Smoother`; the columns' names then say so.
            Not for images, which have no time.
        progress: called with (pictures done, pictures in all or None).
        seen: called with every picture and its readings, smoothed where asked.

    Raises:
        UserError: the clip cannot be written; smoothing of images.
    """
    if smooth is not None and not source.is_clip:
        raise UserError("images have no time, so they cannot be smoothed; leave --smooth out.")
    smoother = None if smooth is None else Smoother(smooth)
    note = "" if smooth is None else f"smoothed {smooth:g} s"
    draw = contextlib.nullcontext() if clip is None else Annotator(source, clip, note)
    table = csv.writer(rows, lineterminator="\n")
    table.writerow(column_names(smooth))
    summary = Summary()
    _prepare(predictor, source)
    started = time.perf_counter()
    with contextlib.closing(source), draw:
        try:
            for frame in source:
                if seconds is not None and frame.time_s >= seconds:
                    break
                if frame.picture is None:
                    summary.problems.append((f"{frame.source} {frame.index}", frame.problem))
                    continue
                began = time.perf_counter()
                if not source.is_clip:
                    predictor.reset()
                readings = predictor(frame.picture)
                summary.milliseconds.append(1000 * (time.perf_counter() - began))
                if smoother is not None:
                    readings = [_smoothed(r, smoother, frame.time_s) for r in readings]
                table.writerows([_row(frame, reading) for reading in readings])
                rows.flush()
                summary.pictures += 1
                summary.without_face += not readings
                summary.readings += len(readings)
                if clip is not None:
                    draw.put(frame, readings)
                if seen is not None:
                    seen(frame, readings)
                if progress is not None:
                    progress(summary.pictures + len(summary.problems), source.total)
        except KeyboardInterrupt:
            summary.ended = "Stopped by Ctrl-C; everything up to here is kept."
        except CameraLostError as error:
            summary.ended, summary.lost = str(error), True
        summary.seconds = time.perf_counter() - started
    summary.dropped = source.dropped
    return summary


def column_names(smooth: float | None) -> list[str]:
    """The CSV's header; smoothed columns carry the time constant in their names."""
    mark = "" if smooth is None else f"_smoothed_{smooth:g}s"
    return [f"{name}{mark}" if name in ("valence", "arousal") else name for name in READING_COLUMNS]


class Annotator:
    """Annotates pictures in a thread of its own; a context manager.

    Args:
        source: whose pictures; of a camera's, some are left out when drawing is too slow.
        path: what to write, see `watch`.
        note: a line of text on each picture.

    Raises:
        UserError: `path` does not fit the source.
    """

    def __init__(self, source: Source, path: Path, note: str = "") -> None:
        self._waits = not isinstance(source, CameraSource)
        self._note, self._path = note, path
        if isinstance(source, Stills):
            self._clip = None
            self._several = source.total != 1 or path.is_dir() or not path.suffix
            if not self._several and path.suffix.lower() not in STILLS:
                raise UserError(f"{path}: the source is an image; end in {', '.join(STILLS)}.")
        else:
            check_clip_name(path)
            self._clip = ClipWriter(path, source.fps)
        self._trails = Trails()
        self._jobs: queue.Queue = queue.Queue(maxsize=4)
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, daemon=True)

    def __enter__(self) -> "Annotator":
        self._thread.start()
        return self

    def put(self, frame: Frame, readings: Sequence[Reading]) -> None:
        """Hand over a picture to be drawn."""
        if self._error is not None:
            raise self._error
        with contextlib.suppress(queue.Full):  # a camera does not wait; its clip skips a picture
            self._jobs.put((frame, readings), block=self._waits)

    def __exit__(self, kind: type | None, *_: object) -> None:
        self._jobs.put(None)
        self._thread.join()
        if self._clip is not None:
            self._clip.close()
        if self._error is not None and kind is None:
            raise self._error

    def _run(self) -> None:
        while (job := self._jobs.get()) is not None:
            if self._error is None:  # else go on emptying the queue, so that nobody waits
                try:
                    self._draw(*job)
                except (OSError, UserError) as error:
                    self._error = error

    def _draw(self, frame: Frame, readings: Sequence[Reading]) -> None:
        trails = self._trails.add(frame.time_s, readings) if self._clip else {}
        picture = annotate(frame.picture, readings, trails, self._note)
        if self._clip is not None:
            self._clip.write(picture, frame.time_s)
        elif self._several:
            known = Path(frame.source).suffix.lower() in STILLS
            save_still(self._path / (frame.source if known else f"{frame.source}.png"), picture)
        else:
            save_still(self._path, picture)


def _prepare(predictor: Predictor, source: Source) -> None:
    """A predictor for a new source; single images are searched for small faces too."""
    predictor.reset()
    if isinstance(predictor.tracker, FacesTracker):
        predictor.tracker.thorough = not source.is_clip


def _smoothed(reading: Reading, smoother: Smoother, time_s: float) -> Reading:
    return replace(reading, va=smoother(reading.face, time_s, reading.va).astype(np.float32))


def _row(frame: Frame, reading: Reading) -> list:
    time_s = f"{frame.time_s:.3f}" if np.isfinite(frame.time_s) else ""
    box = [f"{value:.1f}" for value in reading.box]
    va = [f"{value:.4f}" for value in reading.va]
    spent = f"{sum(reading.milliseconds.values()):.2f}"
    return [frame.source, frame.index, time_s, reading.face, *box, *va, spent]
