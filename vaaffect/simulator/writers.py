"""Writes a simulated corpus to disk, whole or to be gone on with, and marks it as simulated.

Here is what all corpora share, and the wild world in the layout of AFEW-VA; `recordings` writes the
laboratory.
"""

import errno
import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import cv2
import numpy as np

from ..base import UserError, in_processes, write_atomically
from .face import build_set, render
from .worlds import CLIPS_PER_PART, WildWorld, clip_plan, frame_count, subject_of

VERSION = 3  # of the simulator: to be raised whenever the same world gives other bytes
MARKER = "simulated.json"  # written last: the corpus is whole
PARTIAL_MARKER = "simulating.json"  # there while the corpus is being written
_WORKSHOP = ".simulating"  # pieces are drawn here and moved when they are whole

FrameProgress = Callable[[int, int], None]

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
    """What `write_corpus` noted about a corpus, or None if the corpus is not simulated.

    Raises UserError when the marker is damaged.
    """
    return _read_json(Path(root) / MARKER)


def is_simulated(files: Iterable[Path]) -> bool:
    """Whether any of these files lies in a simulated corpus, however that is nested or cut up.

    Raises UserError when a marker is damaged.
    """
    folders = {folder for file in files for folder in file.absolute().parents}
    return any(read_marker(folder) is not None for folder in folders)


def write_afew_va(
    out: Path, world: WildWorld, workers: int | None = None, progress: FrameProgress | None = None
) -> dict:
    """Writes a world as a corpus in AFEW-VA's layout and returns its marker.

    `OUT/01/001/001.json` beside `00000.png` ...: twelve parts of fifty clips, labels as integers in
    [-10, 10], 68 landmarks in pixels. `workers` processes draw (default: one per CPU);
    `progress(done, total)` counts frames, in this process. The same world gives the same bytes,
    whatever the number of workers. A run that was killed goes on where it was; a corpus that is
    whole is left as it is.

    Raises UserError when `out` holds something else, when the disk is full, or when a process dies.
    """
    pieces = [
        WrittenClip(_clip_folder(i), frame_count(world, i), subject_of(world, i))
        for i in range(world.clips)
    ]
    wanted = describe(world, "AFEW-VA layout", "wild", VERSION)
    draw = partial(write_clip, Path(out), world)
    return write_corpus(out, wanted, "clips", pieces, draw, workers, progress)


@dataclass(frozen=True)
class WrittenClip:
    """A part of a corpus that is drawn in one go: its folder (below the corpus), frames, person."""

    folder: Path
    frames: int
    subject: int


def describe(world: object, layout: str, name: str, version: int) -> dict:
    """The marker without counts: what makes two corpora the same."""
    described = {
        "simulated": True,
        "note": "Drawn by vaaffect.simulator: these are not pictures of people.",
        "corpus": layout,
        "world": name,
        "simulator_version": version,
        "parameters": asdict(world),
    }
    return json.loads(json.dumps(described))


def write_corpus(
    out: Path,
    wanted: dict,
    what: str,
    pieces: Sequence[WrittenClip],
    draw: Callable[[int], int],
    workers: int | None,
    progress: FrameProgress | None,
) -> dict:
    """Draws the pieces of a corpus that are missing, marks it as whole, and returns its marker.

    `draw(index)` draws piece `index` into its folder, in another process if need be, and returns
    its number of frames. `wanted` comes from `describe`; `what` is what the marker calls the
    pieces. Raises UserError as `write_afew_va` does.
    """
    _refuse_to_overwrite(out, wanted)
    missing = [i for i, piece in enumerate(pieces) if not (out / piece.folder).is_dir()]
    marker = read_marker(out)
    if marker is not None and not missing:
        return marker
    try:
        out.mkdir(parents=True, exist_ok=True)
        write_atomically(out / PARTIAL_MARKER, json.dumps(wanted))
        (out / MARKER).unlink(missing_ok=True)
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)
        total = sum(piece.frames for piece in pieces)
        done = total - sum(pieces[i].frames for i in missing)
        report = progress or (lambda done, total: None)
        report(done, total)
        for _, drawn in in_processes(draw, [(index,) for index in missing], workers):
            done += drawn
            report(done, total)
        shutil.rmtree(out / _WORKSHOP, ignore_errors=True)
        counts = {
            what: len(pieces),
            "subjects": len({piece.subject for piece in pieces}),
            "frames": sum(piece.frames for piece in pieces),
        }
        marker = wanted | {"counts": counts}
        write_atomically(out / MARKER, json.dumps(marker))
        (out / PARTIAL_MARKER).unlink(missing_ok=True)
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
        shared = build_set(plan.scenes[0], world.size)
        frames = {}
        drawn = zip(plan.frames, plan.units, plan.scenes, plan.labels, strict=True)
        for number, units, scene, (valence, arousal) in drawn:
            name = f"{number:05d}"
            picture, points = render(plan.subject.identity, units, scene, world.size, shared)
            ok, png = cv2.imencode(".png", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), _PNG)
            if not ok:
                raise RuntimeError(f"OpenCV could not encode frame {name} of clip {plan.clip}")
            (draft / f"{name}.png").write_bytes(png.tobytes())
            frames[name] = {
                "valence": int(valence),
                "arousal": int(arousal),
                "landmarks": np.round(points.astype(float), 3).tolist(),
            }
        content = {"actor": plan.subject.actor, "frames": frames, "video_id": plan.clip}
        write_atomically(draft / f"{plan.clip}.json", json.dumps(content))
    return len(frames)


def _clip_folder(index: int) -> Path:
    return Path(f"{index // CLIPS_PER_PART + 1:02d}") / f"{index + 1:03d}"


def _read_json(path: Path) -> dict | None:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise UserError(f"{path} is damaged: delete its folder and simulate again.") from error
    return content if isinstance(content, dict) else None
