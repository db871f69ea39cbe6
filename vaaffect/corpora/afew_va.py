"""AFEW-VA as it lies on disk: `01/001/001.json` beside `01/001/00000.png`.

The same loader reads the licensed corpus and what the simulator writes. Layout and scale:
Kossaifi et al. 2017, "AFEW-VA database for valence and arousal estimation in-the-wild".
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import UserError, decode_text, find_files, listing, printable
from .corpus import FRAME_COLUMNS, Corpus, as_corpus, hashed_subject, refuse
from .kinds import named_kind
from .problems import Problems, counted, is_placeholder

NATIVE_SCALE = 10.0  # labels on disk are integers in [-10, 10]
ASSUMED_FPS = 25.0  # the corpus does not state it; used for the time axis of plots only
LEAST_EXTENT = 1  # pixels; landmarks on one point or line have no shape
# Of AFEW-VA's 600 clips each has three digits; a simulated corpus may have more clips.
_CLIP = re.compile(r"[0-9]{3,4}\.json", re.IGNORECASE)
_FRAME = re.compile(r"[0-9]{1,9}")
_NO_FOLD = "so it cannot be put into a fold by subject"
TOO_MANY = 0.01  # a larger share of labels beyond the scale is no slip: it is another scale


def load_afew_va(root: Path) -> Corpus:
    """Read every annotated frame of an AFEW-VA copy.

    Copies in circulation are flat, in twelve parts, or nested once more: clip files `NNN/NNN.json`
    are found at any depth, behind links too. They may have gone through Windows or a Mac: endings
    in capitals, JSON with a byte order mark or in UTF-16. `*_cropped` folders are derived data and
    are left out.

    Returns a Corpus with labels divided by 10, landmarks (N, 68, 2) in native pixels, subjects
    from `actor`. Clips and frames that cannot be used are listed in `problems` and left out.
    UserError: no clips, no usable frame, most clips without the name of an actor, or systematically
    wrong labels: more than one in a hundred beyond [-10, 10], or all of them already in [-1, 1].
    """
    root = Path(root)
    problems = Problems(root)
    clips = find_files(root, _is_clip, problems.add_folder)
    if not root.is_dir() or not (clips or problems.rows):
        raise refuse(root, "afew-va")
    rows: list[tuple] = []
    landmarks: list[np.ndarray] = []
    first_of: dict[str, Path] = {}
    for path in sorted(clips, key=lambda path: (len(path.stem), path.stem, path.as_posix())):
        first = first_of.setdefault(path.stem, path)
        if first is not path:
            where = first.relative_to(root).as_posix()
            problems.note(path, f"clip {path.stem} was already read: {where}")
            continue
        for row, points in _read_clip(path, problems):
            rows.append(row)
            landmarks.append(points)
    _refuse_placeholders(len(first_of), problems)
    if not rows:
        raise UserError(
            f"{root}: none of its {counted(len(clips), 'clip')} is usable; first: "
            f"{problems.first_loss()}."
        )
    frames = pd.DataFrame(rows, columns=FRAME_COLUMNS)
    _refuse_another_scale(frames, problems)
    return as_corpus("afew-va", NATIVE_SCALE, frames, np.stack(landmarks), problems, clips)


def _is_clip(path: Path) -> bool:
    if not _CLIP.fullmatch(path.name):
        return False
    folder = path.parent  # a link to it may be called anything
    return path.stem in (folder.name, folder.resolve().name)


def _refuse_placeholders(clips: int, problems: Problems) -> None:
    without = [row for row in problems.rows if row[1].endswith(_NO_FOLD)]
    if len(without) > clips / 2:
        path, reason, _ = without[0]
        raise UserError(
            f"{problems.root / path}: {reason}, and so for {len(without)} of "
            f"{counted(clips, 'clip')}; folds by subject need the actor's name, so restore the "
            "original files."
        )


def _refuse_another_scale(frames: pd.DataFrame, problems: Problems) -> None:
    beyond = [row for row in problems.rows if "beyond [-10, 10]" in row[1]]
    if len(beyond) > TOO_MANY * (len(frames) + len(beyond)):
        path, reason, _ = beyond[0]
        raise UserError(
            f"{problems.root / path}: {reason}, and so for {len(beyond)} frames; the labels are "
            "not on AFEW-VA's scale, so restore the original files."
        )
    labels = NATIVE_SCALE * frames[["valence", "arousal"]].to_numpy()
    if np.abs(labels).max() <= 1 and not np.isclose(labels, np.round(labels)).all():
        raise UserError(
            f"{problems.root}: every label lies in [-1, 1], so somebody has divided them by 10 "
            "already; restore the original files."
        )


def _read_clip(path: Path, problems: Problems) -> Iterator[tuple[tuple, np.ndarray]]:
    """One clip's sound frames as (row of FRAME_COLUMNS, landmarks); the others go to `problems`."""
    try:
        clip = json.loads(decode_text(path.read_bytes()))
        # The original has PNG; converted copies are about.
        kinds = {p: kind for p in listing(path.parent) if (kind := named_kind(p)) is not None}
    except OSError as error:
        return problems.add(path, error, "clip")
    except UnicodeDecodeError as error:
        where = error.object[: error.start].count(b"\n") + 1
        wrong = f"line {where} is not in {error.encoding} (byte {error.object[error.start]:#04x})"
        return problems.add(path, f"{wrong}; save the file in UTF-8", "clip")
    except (ValueError, RecursionError) as error:
        return problems.add(path, f"not readable as JSON ({type(error).__name__})", "clip")
    pictures = {p.stem: p for p, kind in kinds.items() if not kind.refusal}
    others = {p.stem: f"{p.name} {kind.refusal}" for p, kind in kinds.items() if kind.refusal}
    frames = clip.get("frames") if isinstance(clip, dict) else None
    if not isinstance(frames, dict):
        return problems.add(path, 'has no "frames"', "clip")
    actor = clip.get("actor")
    if not isinstance(actor, str) or not actor.strip():
        return problems.add(path, f'has no "actor", {_NO_FOLD}', "clip")
    if is_placeholder(actor):
        reason = f'its "actor" is {actor.strip()!r}, which names nobody, {_NO_FOLD}'
        return problems.add(path, reason, "clip")
    subject = hashed_subject(actor)
    for stem in sorted(frames, key=lambda s: (int(s) if _FRAME.fullmatch(s) else -1, s)):
        try:
            label, points = _read_frame(stem, frames[stem])
            if stem not in pictures:
                raise ValueError(others.get(stem, f"picture {stem}.png is missing"))
        except ValueError as error:
            problems.add(path, error, "frame", part=stem)
            continue
        native = NATIVE_SCALE * np.array(label)
        if not np.allclose(native, np.round(native)):
            pair = " and ".join(f"{value:g}" for value in native)
            problems.note(path, f"labels are {pair}, not whole numbers; kept as they are", stem)
        number = int(stem)
        source = printable(pictures[stem].relative_to(problems.root).as_posix())
        yield (subject, path.stem, number, number / ASSUMED_FPS, source, 0, *label), points
    for stem in sorted(set(pictures) - set(frames)):
        problems.note(pictures[stem], "picture without labels")


def _read_frame(stem: str, frame: object) -> tuple[list[float], np.ndarray]:
    """([valence, arousal] in [-1, 1], landmarks (68, 2)); ValueError: why they cannot be used."""
    if not _FRAME.fullmatch(stem) or not isinstance(frame, dict):
        raise ValueError("is not a numbered frame")
    try:
        label = np.array([frame["valence"], frame["arousal"]], np.float64)
        points = np.array(frame["landmarks"], np.float32)
    except KeyError as key:
        raise ValueError(f"has no {key}") from None
    except (TypeError, ValueError):
        raise ValueError("labels or landmarks are not numbers") from None
    if label.shape != (2,) or not np.isfinite(label).all():
        raise ValueError("a label is not a finite number")
    if np.abs(label).max() > NATIVE_SCALE:
        raise ValueError(f"a label is {label[np.abs(label).argmax()]:g}, beyond [-10, 10]")
    if points.shape != (68, 2):
        raise ValueError(f"has {len(points) if points.ndim else 0} landmarks instead of 68")
    if not np.isfinite(points).all():
        raise ValueError("a landmark is not a finite number")
    width, height = np.ptp(points, axis=0)
    if min(width, height) < LEAST_EXTENT:
        raise ValueError(f"its landmarks show no face: they extend {width:g} x {height:g} pixels")
    return (label / NATIVE_SCALE).tolist(), points
