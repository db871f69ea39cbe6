"""Writes a simulated corpus to disk, whole or to be gone on with, and marks it as simulated: what
all corpora share, and the wild world in the layout of AFEW-VA (the laboratory: `recordings`)."""

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from ..base import UserError, cache, code_digest, digest, in_processes, kept, write_atomically
from .face import render
from .landmark_error import found_landmarks
from .scenery import build_set
from .worlds import WildWorld, clip_plan

MARKER = "simulated.json"  # written first: whatever lies beside it is drawn
_WORKSHOP = ".simulating"  # pieces are drawn here and moved when they are whole

FrameProgress = Callable[[int, int], None]

# Fast rather than small: Huffman codes only, of differences to the pixel at the left. On noisy
# pictures this is half the time of the default at level 1, and as small.
_PNG = [
    *(cv2.IMWRITE_PNG_COMPRESSION, 1),
    *(cv2.IMWRITE_PNG_STRATEGY, cv2.IMWRITE_PNG_STRATEGY_HUFFMAN_ONLY),
]
if hasattr(cv2, "IMWRITE_PNG_FILTER"):
    _PNG += [cv2.IMWRITE_PNG_FILTER, cv2.IMWRITE_PNG_FILTER_SUB]


def world_key(world: object) -> str:
    """Identifies the corpus that is drawn from a `WildWorld` or a `LabWorld`, without drawing it.

    It follows from the world and from what the simulator's code does, on every machine alike.
    """
    others = ("__init__.py", "tour.py", "truth.py")  # draw nothing that this corpus holds
    if isinstance(world, WildWorld):
        others += ("laboratory.py", "recordings.py")
    else:
        others += ("ambiguity.py", "landmark_error.py")
    code = code_digest(Path(__file__).parent, but=others)
    return digest(type(world).__name__, asdict(world), code)


def read_marker(folder: Path) -> dict | None:
    """What the simulator noted about the corpus in this folder, or None where there is none.

    Raises UserError when the marker is damaged.
    """
    path = folder / MARKER
    try:
        marker = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: delete its folder and simulate again.") from error
    return marker if isinstance(marker, dict) else None


def marker_of(files: Iterable[Path]) -> dict | None:
    """The marker of the simulated corpus in which these files lie, however that is nested or cut
    up; None for files of a real one. Raises UserError when a marker is damaged."""
    folders = {folder for file in files for folder in file.absolute().parents}
    return next(filter(None, map(read_marker, sorted(folders))), None)


def write_afew_va(
    out: Path, world: WildWorld, workers: int | None = None, progress: FrameProgress | None = None
) -> dict:
    """Writes a world as a corpus in AFEW-VA's layout and returns its marker.

    `OUT/01/001/001.json` beside `00000.png` ...: twelve parts of fifty clips, labels as integers in
    [-10, 10], 68 landmarks in pixels. `workers` processes draw (default: one per core);
    `progress(done, total)` counts frames, in this process. The same world gives the same bytes,
    whatever the number of workers. A run that was killed goes on where it was; a corpus that is
    whole is left as it is; a second process that wants the same corpus waits for the first.

    Raises UserError when `out` holds something else, when the disk is full, or when a process dies.
    """
    layout = Layout("AFEW-VA layout", "clips", _clip_folder, write_clip)
    return write_corpus(out, world, layout, workers, progress)


@dataclass(frozen=True)
class Layout:
    """How the pieces (clips, sessions) of a world lie on disk."""

    name: str
    pieces: str  # the field of the world that counts them
    folder: Callable[[int], Path]  # of piece `index`, below the corpus
    draw: Callable[[Path, Any, int], int]  # a piece into its folder; returns how many frames


def write_corpus(
    out: Path, world: Any, layout: Layout, workers: int | None, progress: FrameProgress | None
) -> dict:
    """Draws the pieces of a corpus that are missing, and returns the marker that says what it is.

    Raises UserError as `write_afew_va` does.
    """
    indices = range(getattr(world, layout.pieces))
    frames = [world.frame_count(i) for i in indices]
    marker = {
        "simulated": True,
        "note": "Drawn by vaaffect.simulator: these are not pictures of people.",
        "corpus": layout.name,
        "key": world_key(world),
        "parameters": asdict(world),
        "counts": {
            layout.pieces: len(frames),
            "subjects": len({world.subject_of(i) for i in indices}),
            "frames": sum(frames),
        },
    }

    def missing() -> list[int]:
        return [i for i in indices if not (out / layout.folder(i)).is_dir()]

    def build(_: Path) -> None:
        write_atomically(out / MARKER, json.dumps(marker))
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)
        todo = missing()
        done = sum(frames) - sum(frames[i] for i in todo)
        report = progress or (lambda done, total: None)
        report(done, sum(frames))
        for _, drawn in in_processes(layout.draw, [(out, world, i) for i in todo], workers):
            done += drawn
            report(done, sum(frames))
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)

    _refuse_to_overwrite(out, marker["key"])
    if cache.opened(out) is not None and missing():  # somebody has deleted a clip
        (out / cache.MANIFEST).unlink(missing_ok=True)
    kept(out, build, watch="")  # loaders name files that are missing or damaged
    return read_marker(out)


def _refuse_to_overwrite(out: Path, key: str) -> None:
    """Before anything is written: `out` is new, or empty, or (a part of) the same corpus."""
    if out.exists() and not out.is_dir():
        raise UserError(f"{out} is a file: give a folder to simulate into.")
    # In this order, for another process may be about to write the marker, before all else.
    names = [path.name for path in out.iterdir()] if out.exists() else []
    marker = read_marker(out)
    if marker is None and not all(name.startswith(MARKER) for name in names):
        raise UserError(
            f"{out} is not empty and holds no simulated corpus: give another folder, "
            "or empty this one."
        )
    if marker is not None and marker.get("key") != key:
        raise UserError(
            f"{out} holds a corpus that was simulated with other parameters or by another version: "
            "delete the folder, or give another one."
        )


@contextmanager
def whole_folder(out: Path, folder: Path) -> Iterator[Path]:
    """An empty folder to draw into, which becomes `out / folder` at the end of the block.

    After an error nothing is there. OpenCV uses one thread in the block: the processes share the
    CPUs already.
    """
    draft = out / _WORKSHOP / f"{folder.name}-{os.getpid()}"
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(parents=True)
    threads = cv2.getNumThreads()
    cv2.setNumThreads(1)
    try:
        yield draft
        (out / folder).parent.mkdir(exist_ok=True)
        draft.rename(out / folder)
    finally:
        cv2.setNumThreads(threads)


def write_clip(out: Path, world: WildWorld, index: int) -> int:
    """Draws one clip into its folder, which appears whole or not at all; the number of frames."""
    plan = clip_plan(world, index)
    with whole_folder(out, _clip_folder(index)) as draft:
        shared, exact = build_set(plan.scenes[0], world.size), []
        names = [f"{number:05d}" for number in plan.frames]
        for name, units, scene in zip(names, plan.units, plan.scenes, strict=True):
            picture, points = render(plan.subject.identity, units, scene, world.size, shared)
            ok, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PNG)
            if not ok:
                raise RuntimeError(f"OpenCV could not encode frame {name} of clip {plan.clip}")
            (draft / f"{name}.png").write_bytes(png.tobytes())
            exact.append(points)
        landmarks = np.round(found_landmarks(world, index, np.stack(exact)).astype(float), 3)
        frames = {
            name: {"valence": valence, "arousal": arousal, "landmarks": points}
            for name, (valence, arousal), points in zip(
                names, plan.labels.tolist(), landmarks.tolist(), strict=True
            )
        }
        content = {"actor": plan.subject.actor, "frames": frames, "video_id": plan.clip}
        write_atomically(draft / f"{plan.clip}.json", json.dumps(content))
    return len(frames)


def _clip_folder(index: int) -> Path:
    return Path(f"{index // 50 + 1:02d}") / f"{index + 1:03d}"  # fifty clips to a part
