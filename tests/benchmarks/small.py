"""Measurements side by side in one run: ratios travel between machines, seconds do not."""

import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pandas as pd
from scipy import stats

from vaaffect.corpora.afew_va import load_afew_va
from vaaffect.corpora.corpus import DIMENSIONS, Corpus
from vaaffect.corpora.crops import build_crops
from vaaffect.corpora.landmarks import REGIONS, relative_error
from vaaffect.corpora.tracking import FacesTracker, dlib_models
from vaaffect.corpora.videos import read_video
from vaaffect.results import Bootstrap, metrics
from vaaffect.results.evaluation import evaluate
from vaaffect.results.predictions import PREDICTION_COLUMNS
from vaaffect.simulator import Scene, build_set, render, sample_identity
from vaaffect.simulator.circumplex import EMOTIONS, action_units
from vaaffect.simulator.worlds import WildWorld, clip_plan
from vaaffect.simulator.writers import write_afew_va, write_clip

ROUNDS = 3  # every measurement is repeated, in turn with its peer, and the best one counts


def bench_simulator(clips: int = 24) -> list[str]:
    """Speed of drawing and writing frames, beside OpenCV's PNG encoder.

    Args:
        clips: how many clips are drawn.

    Returns:
        Lines to print.
    """
    world = WildWorld(clips=clips, subjects=clips, seed=1)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        alone = Path(folder) / "alone"
        write_clip(Path(folder) / "warm-up", world, 0)
        started = time.perf_counter()
        frames = sum(write_clip(alone, world, index) for index in range(clips))
        one = frames / (time.perf_counter() - started)
        pictures = [cv2.imread(str(p)) for p in sorted(alone.rglob("*.png"))]
        started = time.perf_counter()
        for picture in pictures:
            cv2.imencode(".png", picture)
        encoding = len(pictures) / (time.perf_counter() - started)
        started = time.perf_counter()
        write_afew_va(Path(folder) / "two", world, workers=2)
        two = frames / (time.perf_counter() - started)
        size = np.mean([p.stat().st_size for p in alone.rglob("*.png")]) / 1024
    cv2.setNumThreads(threads)
    return [
        f"frames of {world.size[0]} x {world.size[1]}, mean PNG {size:.0f} KiB",
        f"draw and write, 1 process        {one:6.1f} frames/s",
        f"OpenCV's default PNG encoder     {encoding:6.1f} frames/s   "
        f"draw and write is {one / encoding:.2f} x as fast",
        f"draw and write, 2 processes      {two:6.1f} frames/s   {two / one:.2f} x one process, "
        "their start included",
    ]


def bench_crops(size: int = 224, corpus_frames: int = 30_000) -> list[str]:
    """Speed of cropping, beside the bare decoding of the same pictures.

    Args:
        size: side of the crops in pixels.
        corpus_frames: to how many frames the time is extrapolated.

    Returns:
        Lines to print.
    """
    world = WildWorld(clips=20, subjects=20, frames=(12, 12), seed=1)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    with tempfile.TemporaryDirectory() as folder:
        write_afew_va(Path(folder) / "stills", world)
        stills = load_afew_va(Path(folder) / "stills")
        lines = [
            f"{len(stills.frames)} frames of {world.size[0]} x {world.size[1]}, crops of {size} x "
            f"{size}, best of {ROUNDS}",
            *_crop_stills(stills, size, corpus_frames, Path(folder)),
            *_crop_video(stills, size, Path(folder)),
        ]
    cv2.setNumThreads(threads)
    return lines


def _crop_stills(stills: Corpus, size: int, corpus_frames: int, folder: Path) -> list[str]:
    data = [np.fromfile(stills.root / source, np.uint8) for source in stills.frames["source"]]
    short, long = _repeated(stills, 2), _repeated(stills, 10)
    few, many = len(short.frames), len(long.frames)

    def decode() -> None:
        for png in data * 2:
            # Kept until the next one is there, as a loop that uses it would: this is a tenth faster
            # than letting go at once, when the system takes the memory back and gives it again.
            _picture = cv2.imdecode(png, cv2.IMREAD_COLOR_RGB)

    bare, one, two_few, two_many = _best(
        decode,
        lambda: _crop(short, size, folder, 1),
        lambda: _crop(short, size, folder, 2),
        lambda: _crop(long, size, folder, 2),
    )
    # Two runs of different length: what they have in common is the start of the processes.
    rate = (many - few) / (two_many - two_few)
    start = two_few - few / rate
    return [
        f"bare cv2.imdecode, 1 process     {few / bare:6.1f} frames/s",
        f"read, crop and keep, 1 process   {few / one:6.1f} frames/s   {bare / one:.2f} x bare "
        "decoding",
        f"the same, 2 processes            {rate:6.1f} frames/s   {rate * one / few:.2f} x one "
        "process, once they run",
        f"{many} frames, start included   {many / two_many:6.1f} frames/s   "
        f"{many / two_many * one / few:.2f} x one process; the start takes {start:.1f} s",
        f"{corpus_frames} frames would take {start + corpus_frames / rate:.0f} s on 2 processes",
    ]


def _crop_video(stills: Corpus, size: int, folder: Path) -> list[str]:
    """The same frames as a video, of which one in ten is cropped, as in SEMAINE."""
    path = folder / "frames.avi"
    form = cv2.VideoWriter_fourcc(*"MJPG")
    height, width = cv2.imread(str(stills.root / stills.frames["source"].iloc[0])).shape[:2]
    video = cv2.VideoWriter(str(path), cv2.CAP_FFMPEG, form, 25, (width, height))
    for source in stills.frames["source"]:
        video.write(cv2.imread(str(stills.root / source)))
    video.release()
    count = len(stills.frames)
    every = np.arange(0, count, 10)
    frames = stills.frames.assign(source=path.name, source_index=np.arange(count))
    corpus = replace(
        stills,
        root=folder,
        frames=frames.iloc[every].reset_index(drop=True),
        landmarks=stills.landmarks[every],
    )

    def decode() -> None:
        capture = cv2.VideoCapture(str(path))
        while capture.read()[0]:
            pass
        capture.release()

    def read() -> None:
        for _ in read_video(path, range(count)):
            pass

    bare, reading, cropping = _best(decode, read, lambda: _crop(corpus, size, folder, 1))
    return [
        f"bare VideoCapture.read (MJPG)    {count / bare:6.1f} frames/s",
        f"read_video, every frame          {count / reading:6.1f} frames/s   "
        f"{bare / reading:.2f} x bare decoding",
        f"one in ten cropped, 1 process    {count / cropping:6.1f} frames/s   "
        f"{bare / cropping:.2f} x bare decoding",
    ]


def _repeated(corpus: Corpus, times: int) -> Corpus:
    """A longer corpus, made of the same pictures."""
    frames = pd.concat([corpus.frames] * times, ignore_index=True)
    return replace(corpus, frames=frames, landmarks=np.concatenate([corpus.landmarks] * times))


def _crop(corpus: Corpus, size: int, folder: Path, workers: int) -> None:
    with tempfile.TemporaryDirectory(dir=folder) as cache:
        build_crops(corpus, size, cache=Path(cache), workers=workers)


def _best(*tasks: Callable[[], None]) -> list[float]:
    """Seconds of each task, the best of several rounds in which they take turns."""
    seconds = []
    for _ in range(ROUNDS):
        for task in tasks:
            started = time.perf_counter()
            task()
            seconds.append(time.perf_counter() - started)
    return np.reshape(seconds, (ROUNDS, len(tasks))).min(axis=0).tolist()


def bench_landmarks(clips: int = 4, frames: int = 40, faces: int = 90) -> list[str]:
    """What tracking saves and costs, and how far dlib's points are from the exact ones.

    Args:
        clips: people who are followed, at each of two sizes of picture.
        frames: pictures of each.
        faces: how many frontal, evenly lit faces dlib is asked about.

    Returns:
        Lines to print.
    """
    lines = [
        f"{clips} moving people x {frames} pictures, 5 per second, best of {ROUNDS}; errors in % "
        "of the outer-eye-corner distance, over pictures in which both find the face"
    ]
    for size in ((352, 288), (780, 580)):
        lines += _tracking(clips, frames, size)
    return [*lines, *_agreement(faces)]


def _tracking(clips: int, frames: int, size: tuple[int, int]) -> list[str]:
    films = [_film(index, frames, size) for index in range(clips)]
    tracked: dict[str, list] = {}

    def follow(name: str, landmarker: Callable[[], Callable]) -> None:
        tracked[name] = []
        for pictures, _ in films:
            landmarks = landmarker()
            tracked[name] += [landmarks(picture) for picture in pictures]

    seconds = _best(
        lambda: follow("dlib on every whole picture", lambda: _naive),
        lambda: follow("FacesTracker", _tracked),
    )
    exact = [points for _, film in films for points in film]
    both = [
        all(points is not None for points in pair) for pair in zip(*tracked.values(), strict=True)
    ]
    lines = []
    for (name, points), time_s in zip(tracked.items(), seconds, strict=True):
        share = np.mean([p is not None for p in points])
        of_both = [relative_error(a, b) for a, b, ok in zip(points, exact, both, strict=True) if ok]
        lines.append(
            f"{name:28s} {1000 * time_s / len(points):5.1f} ms/picture   found {100 * share:.1f} %"
            f"   {_described(of_both)}"
        )
    faster = seconds[0] / seconds[1]
    return [
        f"-- {size[0]} x {size[1]}: tracking is {faster:.1f} x as fast",
        *lines,
    ]


def _film(index: int, frames: int, size: tuple[int, int]) -> tuple[list, list]:
    """A person who feels, turns and sways: pictures and their exact landmarks."""
    world = WildWorld(
        clips=index + 1, subjects=index + 1, frames=(frames, frames), difficulty=0.3, size=size
    )
    plan = clip_plan(world, index)
    shared = build_set(plan.scenes[0], size)
    pictures, points = [], []
    for at, (units, scene) in enumerate(zip(plan.units, plan.scenes, strict=True)):
        x, y = scene.centre
        swaying = replace(scene, centre=(x + 0.08 * np.sin(at / 7), y + 0.03 * np.sin(at / 5)))
        picture, exact = render(plan.subject.identity, units, swaying, size, shared)
        pictures.append(picture)
        points.append(exact)
    return pictures, points


def _tracked() -> Callable[[np.ndarray], np.ndarray | None]:
    track = FacesTracker()

    def largest(image: np.ndarray) -> np.ndarray | None:
        faces = track(image)
        return faces[0][1] if faces else None

    return largest


def _naive(image: np.ndarray) -> np.ndarray | None:
    detector, predictor = dlib_models()
    boxes = detector(image, 0)
    if not boxes:
        return None
    shape = predictor(image, max(boxes, key=lambda box: box.area()))
    return np.array([(part.x, part.y) for part in shape.parts()], np.float32)


def _agreement(faces: int) -> list[str]:
    errors = []
    for seed in range(faces):
        rng = np.random.default_rng([seed, 11])
        emotion = list(EMOTIONS.values())[seed % len(EMOTIONS)]
        units = action_units(rng.uniform(0.3, 1) * np.array(emotion))
        image, exact = render(sample_identity(rng), units, Scene())
        errors += [relative_error(points, exact) for _, points in FacesTracker()(image)[:1]]
    return [
        f"-- single pictures: dlib finds {len(errors)} of {faces} frontal faces",
        _described(errors),
    ]


def _described(errors: list[np.ndarray]) -> str:
    error = 100 * np.array(errors)
    regions = ", ".join(f"{name} {error[:, part].mean():.1f}" for name, part in REGIONS.items())
    return f"error: mean {error.mean():.2f}, median {np.median(error):.2f} ({regions})"


def bench_bootstrap(resamples: int = 1000, models: int = 10, peer_resamples: int = 20) -> list[str]:
    """Speed of every metric with its intervals on a corpus of AFEW-VA's size.

    The peer is scipy.stats.bootstrap, which draws people and computes the metrics on their frames
    anew each time: what one would write without sums. It does one model, one fold holding all
    people and few resamples, and is extrapolated.

    Args:
        resamples: of the bootstrap.
        models: how many are evaluated.
        peer_resamples: how many the peer does.

    Returns:
        Lines to print.
    """
    frames, clips, people, folds = 30_000, 600, 240, 5
    rng = np.random.default_rng(0)
    clip = np.arange(frames) * clips // frames
    person = clip % people
    same = {"recipe": "r", "train_corpus": "A", "test_corpus": "A", "split": "subject", "seed": 0}
    one = pd.DataFrame({"fold": person % folds, "subject": person, "clip": clip})
    one = one.assign(frame=np.arange(frames), **same)
    one = one.astype({"subject": str, "clip": str})
    true = rng.uniform(-1, 1, (frames, 2))
    tables = []
    for model in range(models):
        pred = 0.5 * true + rng.normal(0, 0.3, (frames, 2))
        values = {f"{d}_true": true[:, i] for i, d in enumerate(DIMENSIONS)}
        values |= {f"{d}_pred": pred[:, i] for i, d in enumerate(DIMENSIONS)}
        tables.append(one.assign(model=f"m{model}", **values)[PREDICTION_COLUMNS])
    predictions = pd.concat(tables, ignore_index=True)
    names = tuple(metrics.FROM_MOMENTS)
    rows_of = [np.flatnonzero(person == i) for i in range(people)]

    def every_metric(drawn: np.ndarray) -> np.ndarray:
        rows = np.concatenate([rows_of[i] for i in drawn])
        sums = [metrics.moments(true[rows, i], pred[rows, i]) for i in range(2)]
        return np.ravel([[metrics.FROM_MOMENTS[n](m) for n in names] for m in sums])

    def peer() -> None:
        stats.bootstrap(
            (np.arange(people),), every_metric, n_resamples=peer_resamples, vectorized=False,
            method="percentile", random_state=0,
        )  # fmt: skip

    bootstrap = Bootstrap(resamples)
    mine, theirs = _best(lambda: evaluate(predictions, 1, names=names, bootstrap=bootstrap), peer)
    extrapolated = theirs * resamples / peer_resamples * models
    return [
        f"{models} models x {frames} frames ({clips} clips, {people} people, {folds} folds), both "
        f"dimensions, {len(names)} metrics, {resamples} resamples, best of {ROUNDS}",
        f"evaluate, checks included        {mine:6.1f} s",
        f"scipy.stats.bootstrap of people  {extrapolated:6.1f} s   extrapolated from "
        f"{peer_resamples} resamples of one model without folds; evaluate is "
        f"{extrapolated / mine:.0f} x as fast",
    ]
