"""Writes a simulated corpus to disk, in the layout of the real one, and marks it as simulated."""

import errno
import json
import multiprocessing
import os
import shutil
from collections.abc import Callable
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict
from pathlib import Path

import cv2
import numpy as np

from ..errors import UserError
from ..files import write_atomically
from .face import build_set, render
from .worlds import CLIPS_PER_PART, WildWorld, clip_plan, frame_count, subject_of

VERSION = 1  # of the simulator: to be raised whenever the same world gives other bytes
MARKER = "simulated.json"  # written last: the corpus is whole
PARTIAL_MARKER = "simulating.json"  # there while the corpus is being written
_WORKSHOP = ".simulating"  # clips are written here and moved when they are whole

Progress = Callable[[int, int], None]

# Fast rather than small: Huffman codes only, of differences to the pixel at the left. On noisy
# pictures this is half the time of the default at level 1, and as small.
_PNG = [
    cv2.IMWRITE_PNG_COMPRESSION,
    1,
    cv2.IMWRITE_PNG_STRATEGY,
    cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY,
]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]


def read_marker(root: Path) -> dict | None:
    """What `write_afew_va` noted about a corpus, or None if the corpus is not simulated.

    Raises UserError when the marker is damaged.
    """
    return _read_json(Path(root) / MARKER)


def write_afew_va(
    out: Path, world: WildWorld, workers: int | None = None, progress: Progress | None = None
) -> dict:
    """Writes a world as a corpus in AFEW-VA's layout and returns its marker.

    `OUT/01/001/001.json` beside `00000.png` ...: twelve parts of fifty clips, labels as integers in
    [-10, 10], 68 landmarks in pixels. `workers` processes draw (default: one per CPU);
    `progress(done, total)` counts frames, in this process. The same world gives the same bytes,
    whatever the number of workers. A run that was killed goes on where it was; a corpus that is
    whole is left as it is.

    Raises UserError when `out` holds something else, when the disk is full, or when a process dies.
    """
    out = Path(out)
    wanted = _describe(world)
    _refuse_to_overwrite(out, wanted)
    missing = [i for i in range(world.clips) if not _clip_folder(out, i).is_dir()]
    marker = read_marker(out)
    if marker is not None and not missing:
        return marker
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / PARTIAL_MARKER, json.dumps(wanted))
        (out / MARKER).unlink(missing_ok=True)
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)
        _draw(out, world, missing, workers or os.cpu_count() or 1, progress)
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)
        counts = {
            "clips": world.clips,
            "subjects": len({subject_of(world, i) for i in range(world.clips)}),
            "frames": sum(frame_count(world, i) for i in range(world.clips)),
        }
        marker = wanted | {"counts": counts}
        write_atomically(out / MARKER, json.dumps(marker))
        (out / PARTIAL_MARKER).unlink(missing_ok=True)
    except BrokenProcessPool as error:
        raise UserError(
            f"A process that drew into {out} was ended, perhaps for lack of memory: run again with "
            "fewer workers, it goes on from there."
        ) from error
    except OSError as error:
        if error.errno == errno.ENOSPC:
            raise UserError(
                f"The disk is full while simulating into {out}: free some space and run again, "
                "it goes on from there."
            ) from error
        raise UserError(
            f"{out}: cannot be written ({error.strerror or error}); choose another folder or make "
            "this one writable."
        ) from error
    return marker


def _describe(world: WildWorld) -> dict:
    """The marker without counts: what makes two corpora the same."""
    described = {
        "simulated": True,
        "note": "Drawn by vaaffect.simulator: these are not pictures of people.",
        "corpus": "AFEW-VA layout",
        "world": "wild",
        "simulator_version": VERSION,
        "parameters": asdict(world),
    }
    return json.loads(json.dumps(described))


def _refuse_to_overwrite(out: Path, wanted: dict) -> None:
    if not out.exists():
        return
    if not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to simulate into.")
    found = read_marker(out) or _read_json(out / PARTIAL_MARKER)
    if found is None:
        # An interrupted first second may leave an empty folder, nothing else.
        if any(out.iterdir()):
            raise UserError(
                f"{out} is not empty and holds no simulated corpus: give another folder, "
                "or empty this one."
            )
        return
    if {key: found.get(key) for key in wanted} != wanted:
        raise UserError(
            f"{out} holds a corpus that was simulated with other parameters or by another version: "
            "delete the folder, or give another one."
        )


def _clip_folder(out: Path, index: int) -> Path:
    return out / f"{index // CLIPS_PER_PART + 1:02d}" / f"{index + 1:03d}"


def _draw(
    out: Path, world: WildWorld, missing: list[int], workers: int, progress: Progress | None
) -> None:
    total = sum(frame_count(world, i) for i in range(world.clips))
    done = total - sum(frame_count(world, i) for i in missing)
    report = progress or (lambda done, total: None)
    report(done, total)
    if workers <= 1 or len(missing) <= 1:
        for index in missing:
            done += write_clip(out, world, index)
            report(done, total)
        return
    # "spawn": forking a process that has threads (torch, OpenCV, Jupyter) can hang.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(min(workers, len(missing)), mp_context=context)
    try:
        waiting = {pool.submit(write_clip, out, world, index) for index in missing}
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_EXCEPTION)
            if finished:
                done += sum(future.result() for future in finished)
                report(done, total)
    finally:
        pool.shutdown(cancel_futures=True)


def write_clip(out: Path, world: WildWorld, index: int) -> int:
    """Draws one clip into its folder, which appears whole or not at all; the number of frames."""
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)  # the processes share the CPUs already
    try:
        plan = clip_plan(world, index)
        folder = out / plan.part / plan.clip
        draft = out / _WORKSHOP / f"{plan.clip}-{os.getpid()}"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(parents=True)
        shared = build_set(plan.scenes[0], world.size)
        frames = {}
        for i, (units, scene) in enumerate(zip(plan.units, plan.scenes, strict=True)):
            picture, points = render(plan.subject.identity, units, scene, world.size, shared)
            ok, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PNG)
            if not ok:
                raise RuntimeError(f"OpenCV could not encode frame {i} of clip {plan.clip}")
            (draft / f"{i:05d}.png").write_bytes(png.tobytes())
            frames[f"{i:05d}"] = {
                "valence": int(plan.labels[i, 0]),
                "arousal": int(plan.labels[i, 1]),
                "landmarks": np.round(points.astype(float), 3).tolist(),
            }
        content = {"actor": plan.subject.actor, "frames": frames, "video_id": plan.clip}
        write_atomically(draft / f"{plan.clip}.json", json.dumps(content))
        folder.parent.mkdir(exist_ok=True)
        draft.rename(folder)
        return len(frames)
    finally:
        cv2.setNumThreads(threads)


def _read_json(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: delete its folder and simulate again.") from error
    return content if isinstance(content, dict) else None
