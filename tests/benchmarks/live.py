"""The live loop beside a naive one: `python -m vaaffect bench live`.

Both predict for the same pictures of a drawn person who moves, and draw the predictions. The naive
loop is what one writes first: dlib on every whole picture, the network in float32 as it comes, one
step after the other. Weights are random: how fast a network is does not depend on them.
"""

import os
import tempfile
import time
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from torch import nn

from vaaffect.base.paths import REPORTS
from vaaffect.corpora.crops import crop_face
from vaaffect.corpora.tracking import dlib_models
from vaaffect.live.backends import build_network, openvino_precision
from vaaffect.live.loop import watch
from vaaffect.live.overlay import ClipWriter, Trails, annotate
from vaaffect.live.predictor import STAGES, FacePrediction, Predictor
from vaaffect.live.sources import Frame
from vaaffect.report.tables import format_number, model_name, to_markdown
from vaaffect.simulator.tour import draw_tour
from vaaffect.training.networks import build_model

CORES = 2
SIZE = 224
ROUNDS = 2  # ABAB
GOALS = {"fps": 30.0, "p95": 45.0, "ratio": 3.0}
FPS = 25.0  # of the clips that are written
_PICTURE = (640, 480)


@dataclass
class Timing:
    """What a loop took: per picture and stage in milliseconds, and pictures per second."""

    stages: list[dict[str, float]] = field(default_factory=list)
    whole: list[float] = field(default_factory=list)
    pictures: int = 0
    seconds: float = 0.0

    @property
    def fps(self) -> float:
        """Pictures per second, drawing and writing included."""
        return self.pictures / self.seconds

    def quantiles(self, values: list[float]) -> str:
        """`median / 95th percentile`."""
        return " / ".join(format_number(q, 1) for q in np.percentile(values, [50, 95]))


class _Film:
    """Pictures in memory as a source: as many as asked for, as fast as they are taken."""

    is_clip, fps, dropped, files = True, FPS, 0, ()

    def __init__(self, pictures: list[np.ndarray], count: int) -> None:
        self.pictures, self.total = pictures, count

    def __iter__(self):
        for index, picture in enumerate(islice(cycle(self.pictures), self.total)):
            yield Frame("film", index, index / FPS, picture)

    def close(self) -> None:
        """Nothing to close."""


def bench_live(
    models: tuple[str, ...] = ("resnet152", "vgg11_bn"),
    pictures: int = 200,
    naive_pictures: int = 40,
    backend: str = "openvino",
    report: Path | None = REPORTS / "benchmarks" / "live-cpu.md",
) -> list[str]:
    """Measure both loops for each model, in turn.

    Args:
        models: names of `networks.NETWORK_NAMES`.
        pictures: how many the live loop gets in a round.
        naive_pictures: how many the naive loop gets in a round.
        backend: of the live loop, see `backends.build_network`.
        report: where the table goes; None writes none.

    Returns:
        Lines to print.

    Raises:
        UserError: OpenVINO is not installed.
    """
    before = os.sched_getaffinity(0), torch.get_num_threads()
    os.sched_setaffinity(0, sorted(before[0])[:CORES])
    torch.set_num_threads(CORES)
    try:
        film = draw_tour(6.0, FPS, seed=2, size=_PICTURE).pictures
        rows, lines = [], []
        for name in models:
            live, naive = _measure(name, film, pictures, naive_pictures, backend)
            rows += _rows(name, live, naive, backend)
            lines += _lines(name, live, naive)
    finally:
        os.sched_setaffinity(0, before[0])
        torch.set_num_threads(before[1])
    table = pd.DataFrame(rows)
    about = (
        f"Live loop on {min(CORES, len(before[0]))} cores of {_processor()}, PyTorch "
        f"{torch.__version__}, {backend}: pictures of {_PICTURE[0]} x {_PICTURE[1]} with one drawn "
        f"face, crops of {SIZE} x {SIZE}, random weights (speed does not depend on them), drawing "
        f"and writing of the annotated clip included, {ROUNDS} rounds in turn (ABAB). Milliseconds "
        "per picture, median / 95th percentile."
    )
    if report is not None:
        report.parent.mkdir(parents=True, exist_ok=True)
        verdicts = "\n".join(f"- {line}" for line in lines)
        text = f"# The live loop on a processor\n\n{about}\n\n{to_markdown(table)}\n\n{verdicts}\n"
        report.write_text(text, encoding="utf-8")
    return [about, *to_markdown(table).splitlines(), *lines]


def _measure(
    name: str, film: list[np.ndarray], pictures: int, naive_pictures: int, backend: str
) -> tuple[Timing, Timing]:
    torch.manual_seed(0)
    model = build_model(name, image_size=SIZE).eval()
    predictor = Predictor(build_network(build_model(name, image_size=SIZE), SIZE, backend), SIZE)
    live, naive = Timing(), Timing()
    with tempfile.TemporaryDirectory() as folder:
        clips = [Path(folder) / "live.avi", Path(folder) / "naive.avi"]
        _live(predictor, film, 10, clips[0], Timing())  # to warm up
        _naive(model, film, 3, clips[1], Timing())
        for _ in range(ROUNDS):
            _naive(model, film, naive_pictures, clips[1], naive)
            _live(predictor, film, pictures, clips[0], live)
    return live, naive


def _live(
    predictor: Predictor, film: list[np.ndarray], count: int, clip: Path, timing: Timing
) -> None:
    """The loop as it is, rows to nowhere."""

    def note(_: Frame, predictions: list[FacePrediction]) -> None:
        timing.stages += [predictions[0].milliseconds] if predictions else []

    with Path(os.devnull).open("w") as rows:
        summary = watch(_Film(film, count), predictor, rows, clip, seen=note)
    timing.whole += summary.milliseconds
    timing.pictures += summary.pictures
    timing.seconds += summary.seconds


def _naive(
    model: nn.Module, film: list[np.ndarray], count: int, clip: Path, timing: Timing
) -> None:
    detector, points_of = dlib_models()
    writer, trails = ClipWriter(clip, FPS), Trails()
    started = time.perf_counter()
    for frame in _Film(film, count):
        clock = [time.perf_counter()]
        boxes = detector(frame.picture, 0)
        predictions = []
        if boxes:
            shape = points_of(frame.picture, max(boxes, key=lambda box: box.area()))
            points = np.array([(p.x, p.y) for p in shape.parts()], np.float32)
            clock.append(time.perf_counter())
            crop, _ = crop_face(frame.picture, points, SIZE)
            clock.append(time.perf_counter())
            x = (torch.from_numpy(crop).permute(2, 0, 1).float() / 255 - 0.5) / 0.5
            with torch.no_grad():
                va = model(x[None])[0].clamp(-1, 1).numpy()
            clock.append(time.perf_counter())
            timing.stages.append(dict(zip(STAGES, 1000 * np.diff(clock), strict=True)))
            box = (*points.min(axis=0).tolist(), *points.max(axis=0).tolist())
            predictions = [FacePrediction(0, box, points, va, timing.stages[-1])]
        timing.whole.append(1000 * (time.perf_counter() - clock[0]))
        writer.write(
            annotate(frame.picture, predictions, trails.add(frame.time_s, predictions)),
            frame.time_s,
        )
    writer.close()
    timing.pictures += count
    timing.seconds += time.perf_counter() - started


def _rows(name: str, live: Timing, naive: Timing, backend: str) -> list[dict]:
    precision = openvino_precision() if backend == "openvino" else "autocast"
    rows = []
    for loop, timing in ((f"live, {backend} {precision}", live), ("naive, PyTorch f32", naive)):
        row = {"model": model_name(name), "loop": loop, "pictures/s": round(timing.fps, 1)}
        row |= {"whole": timing.quantiles(timing.whole)}
        row |= {s: timing.quantiles([spent[s] for spent in timing.stages]) for s in STAGES}
        rows.append(row | {"pictures": timing.pictures})
    return rows


def _lines(name: str, live: Timing, naive: Timing) -> list[str]:
    late = float(np.percentile(live.whole, 95))
    ratio = live.fps / naive.fps
    judged: list[tuple[str, bool]] = [
        (f"{live.fps:.1f} pictures/s (goal {GOALS['fps']:g})", live.fps >= GOALS["fps"]),
        (f"p95 {late:.1f} ms (goal {GOALS['p95']:g})", late <= GOALS["p95"]),
        (f"{ratio:.1f} x naive (goal {GOALS['ratio']:g})", ratio >= GOALS["ratio"]),
    ]
    words = ", ".join(f"{text}: {'reached' if met else 'missed'}" for text, met in judged)
    return [f"{model_name(name)}: {words}"]


def _processor() -> str:
    """The processor's name, where the system tells."""
    try:
        text = Path("/proc/cpuinfo").read_text()
    except OSError:
        return "a processor of unknown name"
    names = [line.split(":", 1)[1].strip() for line in text.splitlines() if "model name" in line]
    return names[0] if names else "a processor of unknown name"
