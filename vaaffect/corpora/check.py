"""What a folder holds: which corpus, how much of it, and everything that is wrong with it."""

from pathlib import Path

import numpy as np
import pandas as pd

from ..base import UserError, located, printable
from .afew_va import load_afew_va
from .corpus import DIMENSIONS, Corpus, looks_like, refuse
from .crops import usable_box
from .folds import fold_warnings
from .kinds import is_video
from .pictures import Piece, Progress, by_pieces, picture_problems
from .problems import counted, problem_lines
from .semaine import load_semaine
from .videos import probe_video


def load_any(root: Path) -> Corpus:
    """Load a copy of AFEW-VA or of SEMAINE, whichever it is. UserError: neither, or unusable."""
    kind = looks_like(root)
    if kind == "afew-va":
        return load_afew_va(root)
    if kind == "semaine":
        return load_semaine(root)
    if kind is not None or not root.is_dir():
        raise refuse(root, "semaine" if kind == "avec-2012" else "afew-va")
    raise UserError(
        f"{root}: holds neither AFEW-VA (01/001/001.json beside 00000.png) nor SEMAINE "
        "(Sessions/2/session.xml); data/README.md says how to obtain and place them."
    )


def check_pictures(corpus: Corpus, workers: int | None, progress: Progress | None) -> pd.DataFrame:
    """Decode every annotated picture; returns those that cannot be used, as PROBLEM_COLUMNS. Where
    a corpus has landmarks, their box must fit the picture."""
    _, reasons = by_pieces(corpus, _check_piece, (), workers, progress)
    return picture_problems(corpus.frames, reasons)


def _check_piece(piece: Piece) -> list[str | None]:
    """Why each picture cannot be used, or None."""
    reasons = []
    for i, image, reason in piece.pictures():
        if image is not None and piece.landmarks is not None:
            try:
                usable_box(image, piece.landmarks[i])
            except ValueError as error:
                reason = str(error)
        reasons.append(reason)
    return reasons


def describe_corpus(
    corpus: Corpus, pictures: pd.DataFrame | None, every_problem: bool
) -> list[str]:
    """Lines that say what was found in a corpus, and in its `pictures` by `check_pictures`;
    `every_problem` lists all paths of a reason, not only the first few."""
    frames = corpus.frames
    lines = [
        f"{printable(corpus.root)}: {corpus.label}",
        f"  {counted(frames['clip'].nunique(), 'clip')}, "
        f"{counted(len(frames), 'annotated frame')}, "
        f"{counted(frames['subject'].nunique(), 'subject')}",
        f"  frames per clip: {_spread(frames.groupby('clip').size())}",
        f"  clips per subject: {_spread(frames.groupby('subject')['clip'].nunique())}",
    ]
    lines += [_labels(corpus, dimension) for dimension in DIMENSIONS]
    if "valence_raters" in frames:
        lines += [
            f"  {name} raters per frame: {_spread(frames[f'{name}_raters'])}; mean disagreement "
            f"(standard deviation between them) {frames[f'{name}_sd'].mean():.2f}"
            for name in DIMENSIONS
        ]
    for source in sorted(filter(is_video, frames["source"].unique())):
        video = probe_video(located(corpus.root / source))
        lines.append(
            f"  {source}: {video.frames} frames of {video.size[0]} x {video.size[1]} at "
            f"{video.fps:g} per second"
        )
    landmarks = "none, they will be found by dlib" if corpus.landmarks is None else "68 per frame"
    lines.append(f"  landmarks: {landmarks}")
    if pictures is None:
        lines.append("  pictures: not decoded (--quick)")
        problems = corpus.problems
    else:
        lines.append(f"  pictures: {len(frames) - len(pictures)} of {len(frames)} can be used")
        problems = pd.concat([corpus.problems, pictures])
    lines += [f"  warning: {warning}" for warning in fold_warnings(frames)]
    return lines + problem_lines(problems, every_problem)


def _spread(values: pd.Series) -> str:
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{middle:g} (median), {low:g} to {high:g}"


def _labels(corpus: Corpus, dimension: str) -> str:
    """Range, mean and a histogram of one dimension on the scale of the files."""
    scale = corpus.native_scale
    native = corpus.frames[dimension] * scale
    edges = np.linspace(-scale, scale, 6)
    edges[-1] += 1e-9
    shares = np.histogram(native, edges)[0] / len(native)
    fifths = " ".join(f"{100 * share:.0f} %" for share in shares)
    return (
        f"  {dimension} on [-{scale:g}, {scale:g}]: {native.min():.2f} to {native.max():.2f}, "
        f"mean {native.mean():.2f}, standard deviation {native.std():.2f}; fifths of the scale, "
        f"low to high: {fifths}"
    )
