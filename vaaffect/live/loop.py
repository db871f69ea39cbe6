"""The live loop: pictures in, rows and an annotated clip out.

Prediction runs in the caller's thread; a camera is read and pictures are drawn in threads of their
own. Rows are written as they come, so whatever ends the loop, they are kept.
"""

import contextlib
import csv
import io
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TextIO

import numpy as np

from ..base import Terminated, UserError, holds, naming, printable, refuse_to_overwrite, whole
from ..corpora import FacesTracker
from .overlay import MARK, STILLS, ClipWriter, Trails, annotate, save_still
from .predictor import FacePrediction, Predictor, Smoother
from .sources import CameraLostError, CameraSource, Frame, Source

CSV_COLUMNS = (
    "source", "frame", "time_s",  # number of the picture and seconds from 0; no time for images
    "face", "x0", "y0", "x1", "y1",  # its number, the same through a clip; its box in pixels
    "valence", "arousal",  # [-1, 1]
    "milliseconds",  # for all faces of the picture
)  # fmt: skip
_WAITING = 4  # pictures that may wait to be drawn


@dataclass
class Summary:
    """What happened in a loop."""

    pictures: int = 0  # that the predictor was given, with or without a face
    without_face: int = 0  # of these
    predictions: int = 0  # rows
    dropped: int = 0  # pictures of a camera that a newer one replaced before anyone came for them
    problems: list[tuple[str, str]] = field(default_factory=list)  # (name, reason): unreadable
    seconds: float = 0.0  # from the first picture to the end
    milliseconds: list[float] = field(default_factory=list)  # (pictures,) picture to predictions
    ended: str | None = None  # why the loop ended before its source did
    lost: bool = False  # whether that was a camera's fault

    def lines(self) -> list[str]:
        """The summary for people."""
        counts = f"{self.pictures} pictures, {self.predictions} predictions"
        lines = [f"{counts}; no face in {self.without_face}."]
        if self.milliseconds:
            middle, late = np.percentile(self.milliseconds, [50, 95])
            rate = self.pictures / max(self.seconds, 1e-9)
            lines.append(
                f"{rate:.1f} pictures/s; from picture to prediction {middle:.1f} ms (median), "
                f"{late:.1f} ms (95th percentile)."
            )
        if self.dropped:
            lines.append(f"{self.dropped} pictures came during a prediction, and were dropped.")
        lines += [f"{printable(name)}: {why}." for name, why in self.problems[:5]]
        if len(self.problems) > 5:
            lines.append(f"... and {len(self.problems) - 5} more could not be read.")
        return [*lines, self.ended] if self.ended else lines


def watch(
    source: Source,
    predictor: Predictor,
    rows: TextIO | Path,
    clip: Path | None = None,
    *,
    read: Iterable[Path] = (),
    smooth: float | None = None,
    seconds: float | None = None,
    progress: Callable[[int, int | None], None] | None = None,
    seen: Callable[[Frame, Sequence[FacePrediction]], None] | None = None,
) -> Summary:
    """Predict for every picture of a source, or of a camera for as many as there is time for.

    Ctrl-C and a camera that is lost end the loop as its end would: `ended` of the summary says so.

    Args:
        source: as of `sources.open_source`.
        rows: gets a CSV, a row per face, columns CSV_COLUMNS; pictures without a face have none.
            A path is opened when nothing stands in the way of the loop any more.
        clip: where the annotated pictures go: a video for clips and cameras, an image for an
            image, a folder for a folder. Each file is there when it is whole.
        read: what else is read and must not be overwritten, such as the files of the run.
        smooth: time constant in seconds, see `predictor.Smoother`; not for images, which have no
            time. Smoothed columns carry it in their names.
        seconds: end before the first picture that is as late.
        progress: called with (pictures done, pictures in all or None).
        seen: called with every picture and its predictions, smoothed where that is wanted.

    UserError: the clip cannot be written, or would overwrite a file of the user's, as the rows may
    too (see `base.refuse_to_overwrite`); smoothing of images.
    """
    if smooth is not None and not source.is_clip:
        raise UserError("images have no time, so they cannot be smoothed; leave --smooth out.")
    smoother, note, mark = None, "", ""
    if smooth is not None:
        smoother, note, mark = Smoother(smooth), f"smoothed {smooth:g} s", f"_smoothed_{smooth:g}s"
    annotator = contextlib.nullcontext() if clip is None else Annotator(source, clip, note)
    written = [] if clip is None else annotator.files
    written = [(rows, "the rows"), *written] if isinstance(rows, Path) else written
    refuse_to_overwrite([*source.files, *read], written, _is_earlier)
    header = [f"{c}{mark}" if c in ("valence", "arousal") else c for c in CSV_COLUMNS]
    summary = Summary()
    predictor.reset()
    if isinstance(predictor.tracker, FacesTracker):
        predictor.tracker.thorough = not source.is_clip  # images are searched for small faces too
    started = time.perf_counter()
    with contextlib.closing(source), annotator, _Table(rows, header) as table:
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
                predictions = predictor(frame.picture)
                summary.milliseconds.append(1000 * (time.perf_counter() - began))
                if smoother is not None:
                    predictions = [
                        replace(p, va=smoother(p.face, frame.time_s, p.va).astype(np.float32))
                        for p in predictions
                    ]
                table.write(_row(frame, prediction) for prediction in predictions)
                summary.pictures += 1
                summary.without_face += not predictions
                summary.predictions += len(predictions)
                if clip is not None:
                    annotator.put(frame, predictions)
                if seen is not None:
                    seen(frame, predictions)
                if progress is not None:
                    progress(summary.pictures + len(summary.problems), source.total)
        except Terminated:
            raise  # from outside: nobody waits for a summary, but everything is kept
        except KeyboardInterrupt:
            summary.ended = "Stopped by Ctrl-C; everything up to here is kept."
        except CameraLostError as error:
            summary.ended, summary.lost = str(error), True
        summary.seconds = time.perf_counter() - started
    summary.dropped = source.dropped
    return summary


class _Table(contextlib.AbstractContextManager):
    """A CSV whose rows are on the disk as soon as they are written, each of them whole."""

    def __init__(self, target: TextIO | Path, header: Sequence[str]) -> None:
        self._target, self._header = target, header
        self._file: io.FileIO | None = None
        self._size = 0  # bytes of whole rows

    def __enter__(self) -> "_Table":
        if isinstance(self._target, Path):
            self._target.parent.mkdir(parents=True, exist_ok=True)
            self._file = self._target.open("wb", buffering=0)
        try:
            self.write([self._header])
        except BaseException:
            self.__exit__()
            raise
        return self

    def write(self, rows: Iterable[Sequence]) -> None:
        """Add rows. After an error, of a full disk for example, the file ends with a whole one."""
        text = io.StringIO()
        csv.writer(text, lineterminator="\n").writerows(rows)
        if self._file is None:
            self._target.write(text.getvalue())
            self._target.flush()
            return
        data = memoryview(text.getvalue().encode(errors="backslashreplace"))
        try:
            with naming(self._target):
                written = 0
                while written < len(data):
                    written += self._file.write(data[written:])
        except BaseException:
            with contextlib.suppress(OSError):  # nothing can be taken back from a pipe
                self._file.truncate(self._size)
            raise
        self._size += len(data)

    def __exit__(self, *_: object) -> None:
        if self._file is not None:
            self._file.close()


class Annotator(contextlib.AbstractContextManager):
    """Annotates the pictures of a source in a thread of its own, into `path` (see `watch`).

    Of a camera's pictures some are left out when drawing is too slow. Whatever goes wrong in the
    thread is raised where the next picture is handed over, or in the end.
    """

    files: list[tuple[Path, str]]  # to be written, with what: a clip, or an image for each image

    def __init__(self, source: Source, path: Path, note: str) -> None:
        self._waits = not isinstance(source, CameraSource)
        self._note, self._path = note, path
        self._clip = ClipWriter(path, source.fps) if source.is_clip else None
        if self._clip is not None:
            self.files = [(path, "the annotated clip")]
        elif source.total != 1 or path.is_dir() or not path.suffix:
            if path.exists() and not path.is_dir():
                raise UserError(f"{path}: is a file, and a folder is needed; name another one.")
            self.files = [(path / _still(one.name), one.name) for one in source.files]
        elif path.suffix.lower() in STILLS:
            self.files = [(path, "the annotated image")]
        else:
            raise UserError(f"{path}: the source is an image; end in {', '.join(STILLS)}.")
        self._ends = contextlib.ExitStack()
        self._trails = Trails()
        self._jobs: deque[Future] = deque()
        self._thread = ThreadPoolExecutor(max_workers=1)

    def __enter__(self) -> "Annotator":
        if self._clip is not None:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            partial = self._ends.enter_context(whole(self._path, self._path.suffix))
            with naming(self._path, partial):
                partial.touch()  # where nothing can be written, that is told now
                partial.unlink()
            self._clip.place = partial
        return self

    def put(self, frame: Frame, predictions: Sequence[FacePrediction]) -> None:
        """Hand over a picture to be drawn."""
        while self._jobs and self._jobs[0].done():
            self._jobs.popleft().result()
        if len(self._jobs) >= _WAITING:
            if not self._waits:
                return  # a camera does not wait; its clip skips a picture
            self._jobs.popleft().result()
        self._jobs.append(self._thread.submit(self._draw, frame, predictions))

    def __exit__(self, kind: type | None, *_: object) -> None:
        with self._ends:  # then a clip that could be ended gets its name, whatever ended the loop
            self._thread.shutdown()  # after it has drawn what waits
            if self._clip is not None:
                self._clip.close()
        if kind is None:
            for job in self._jobs:
                job.result()

    def _draw(self, frame: Frame, predictions: Sequence[FacePrediction]) -> None:
        trails = self._trails.add(frame.time_s, predictions) if self._clip else {}
        picture = annotate(frame.picture, predictions, trails, self._note)
        if self._clip is not None:
            self._clip.write(picture, frame.time_s)
        else:
            path, _ = self.files[frame.index]
            save_still(path, picture)


def _still(name: str) -> str:
    """What the annotated image of an image file is called."""
    return name if Path(name).suffix.lower() in STILLS else f"{name}.png"


def _is_earlier(path: Path) -> bool:
    """Whether a file is a result of an earlier loop: rows, or something annotated."""
    header = ",".join(CSV_COLUMNS[:8]).encode()  # the others may be smoothed
    with path.open("rb") as file:
        return file.read(len(header)) == header or holds(path, MARK)


def _row(frame: Frame, prediction: FacePrediction) -> list:
    time_s = f"{frame.time_s:.3f}" if np.isfinite(frame.time_s) else ""
    box, va = (f"{x:.1f}" for x in prediction.box), (f"{x:.4f}" for x in prediction.va)
    spent = f"{sum(prediction.milliseconds.values()):.2f}"
    return [printable(frame.source), frame.index, time_s, prediction.face, *box, *va, spent]
