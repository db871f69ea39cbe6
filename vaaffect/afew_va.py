"""AFEW-VA as it lies on disk: `01/001/001.json` beside `01/001/00000.png`.

The same loader reads the licensed corpus and what the simulator writes. Layout and scale:
Kossaifi et al. 2017, "AFEW-VA database for valence and arousal estimation in-the-wild".
"""

import json
import re
from pathlib import Path

import numpy as np
import pandas as pd

from .corpus import FRAME_COLUMNS, PROBLEM_COLUMNS, Corpus, hashed_subject
from .errors import UserError
from .simulator.writers import read_marker

NATIVE_SCALE = 10.0  # labels on disk are integers in [-10, 10]
ASSUMED_FPS = 25.0  # the corpus does not state it; used for the time axis of plots only


def find_clips(root: Path) -> list[Path]:
    """The clip files `NNN/NNN.json` at any depth below `root`, in clip order.

    Copies in circulation are flat, in twelve parts, or nested once more; `*_cropped` folders are
    derived data and are left out.
    """
    found = [
        path
        for path in root.rglob("*.json")
        if re.fullmatch(r"\d{3}", path.stem) and path.parent.name == path.stem
    ]
    return sorted(found, key=lambda path: (path.stem, path.as_posix()))


def load_afew_va(root: Path) -> Corpus:
    """Read every annotated frame of an AFEW-VA copy.

    Returns:
        A Corpus with labels divided by 10, landmarks (N, 68, 2) in native pixels, subjects hashed
        from `actor`. Frames that cannot be used are listed in `problems` and left out.

    Raises:
        UserError: no clips at all, a clip without `actor` (folds by subject would be impossible),
            or a label beyond [-10, 10] (then the scale is not AFEW-VA's).
    """
    root = Path(root)
    if not root.is_dir():
        raise UserError(
            f"{root}: no such folder; set VAAFFECT_AFEW_VA to your copy of AFEW-VA "
            "(data/README.md says how to obtain it)."
        )
    clips = find_clips(root)
    if not clips:
        raise UserError(
            f"{root}: no AFEW-VA clips found; expected folders like 01/001 with 001.json and "
            "00000.png inside."
        )
    rows: list[tuple] = []
    landmarks: list[np.ndarray] = []
    problems: list[tuple[str, str]] = []
    for path in clips:
        _read_clip(root, path, rows, landmarks, problems)
    if not rows:
        path, reason = problems[0]
        raise UserError(
            f"{root}: none of its {len(clips)} clips is usable; first: {path}: {reason}."
        )
    return Corpus(
        name="afew-va",
        root=root,
        simulated=read_marker(root) is not None,
        native_scale=NATIVE_SCALE,
        frames=pd.DataFrame(rows, columns=FRAME_COLUMNS),
        landmarks=np.stack(landmarks),
        problems=pd.DataFrame(problems, columns=PROBLEM_COLUMNS),
    )


def _read_clip(
    root: Path,
    path: Path,
    rows: list[tuple],
    landmarks: list[np.ndarray],
    problems: list[tuple[str, str]],
) -> None:
    """Append one clip's sound frames to `rows` and `landmarks`, the others to `problems`."""
    here = path.relative_to(root).as_posix()
    try:
        clip = json.loads(path.read_text(encoding="utf-8"))
        frames = clip["frames"]
    except (OSError, ValueError) as error:
        problems.append((here, f"not readable as JSON ({type(error).__name__})"))
        return
    except (KeyError, TypeError):
        problems.append((here, 'has no "frames"'))
        return
    if not clip.get("actor"):
        raise UserError(
            f'{path}: has no "actor", so folds by subject cannot be made; take the file from an '
            "unmodified copy of AFEW-VA or remove this clip's folder."
        )
    subject = hashed_subject(clip["actor"])
    pictures = {p.name for p in path.parent.iterdir()}
    for stem in sorted(frames, key=_frame_number):
        reason, label, points = _read_frame(path, stem, frames[stem])
        if reason is None and f"{stem}.png" not in pictures:
            reason = f"picture {stem}.png is missing"
        if reason is not None:
            problems.append((f"{here}#{stem}", reason))
            continue
        number = _frame_number(stem)
        source = f"{path.parent.relative_to(root).as_posix()}/{stem}.png"
        rows.append((subject, path.stem, number, number / ASSUMED_FPS, source, 0, *label))
        landmarks.append(points)


def _frame_number(stem: str) -> int:
    return int(stem) if stem.isdigit() else -1


def _read_frame(
    path: Path, stem: str, frame: object
) -> tuple[str | None, tuple[float, float], np.ndarray]:
    """(reason it cannot be used or None, (valence, arousal) in [-1, 1], landmarks (68, 2))."""
    nothing = (0.0, 0.0), np.empty((0, 2), np.float32)
    if not stem.isdigit() or not isinstance(frame, dict):
        return "is not a numbered frame", *nothing
    try:
        label = np.array([frame["valence"], frame["arousal"]], np.float64)
        points = np.array(frame["landmarks"], np.float32)
    except KeyError as key:
        return f"has no {key}", *nothing
    except (TypeError, ValueError):
        return "labels or landmarks are not numbers", *nothing
    if label.shape != (2,) or not np.isfinite(label).all():
        return "a label is not a finite number", *nothing
    if np.abs(label).max() > NATIVE_SCALE:
        raise UserError(
            f"{path}: frame {stem} has a label of {label[np.abs(label).argmax()]:g}, beyond "
            "[-10, 10]; the labels are not on AFEW-VA's scale, so restore the original file."
        )
    if points.shape != (68, 2) or not np.isfinite(points).all():
        return f"landmarks of shape {points.shape} instead of 68 finite points", *nothing
    valence, arousal = (label / NATIVE_SCALE).tolist()
    return None, (valence, arousal), points
