"""68 facial landmarks in iBUG order, the order of AFEW-VA's own; for a corpus that brings none,
`tracking` finds them."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from ..base import LANDMARKS, UserError, code_digest, digest, kept
from ..base.cache import opened
from .corpus import Corpus
from .parts import remove_parts
from .pictures import CODE, Piece, Progress, by_pieces, picture_problems
from .tracking import FacesTracker, dlib_model

REGIONS = {
    "jaw": slice(0, 17), "brows": slice(17, 27), "nose": slice(27, 36), "eyes": slice(36, 48),
    "outer lip": slice(48, 60), "inner lip": slice(60, 68),
}  # fmt: skip
OUTER_EYE_CORNERS = (36, 45)
# Point i of a mirrored face is point MIRRORED[i] of the face.
MIRRORED = [
    *range(16, -1, -1), *range(26, 16, -1), *range(27, 31), *range(35, 30, -1),
    45, 44, 43, 42, 47, 46, 39, 38, 37, 36, 41, 40,
    *range(54, 47, -1), *range(59, 54, -1), *range(64, 59, -1), *range(67, 64, -1),
]  # fmt: skip


def relative_error(found: np.ndarray, exact: np.ndarray) -> np.ndarray:
    """Distance (68,) of each of the points (68, 2) from the exact one, as a share of the distance
    between the outer corners of the eyes."""
    left, right = OUTER_EYE_CORNERS
    return np.linalg.norm(found - exact, axis=1) / np.linalg.norm(exact[left] - exact[right])


def landmark_corpus(
    corpus: Corpus,
    *,
    cache: Path = LANDMARKS,
    workers: int | None = None,
    progress: Progress | None = None,
) -> Corpus:
    """Find the landmarks of a corpus that has none, once; later calls open the result. A search
    that was stopped goes on with the videos, or dozens of image files, that are not done.

    What is kept is enough to go on without dlib, on another machine for example. In a clip with
    several people, the landmarks are those of the largest face, and then of the same one as long
    as it is seen.

    Returns the corpus with landmarks (N, 68, 2) float32 in native pixels, or as it is if it has
    some. Frames that cannot be decoded or show no face are left out and listed in `problems`.
    `workers` are processes; None uses every core. UserError: no face in any frame, a damaged
    `cache`, dlib is missing, or a full disk.
    """
    if corpus.landmarks is not None:
        return corpus
    code, folder = _code(), _folder(corpus, cache)

    def build(folder: Path) -> dict[str, str]:
        try:
            dlib_model()  # the processes that work load it
        except UserError as error:
            raise UserError(
                f"{corpus.root}: has no landmarks, and {str(error).rstrip('.')}; or copy the "
                f"folder {folder} from a machine on which they were found."
            ) from error
        points, reasons = by_pieces(corpus, _landmark_piece, (), workers, progress, folder)
        remove_parts(folder)
        if not points:
            first, reason, _ = picture_problems(corpus.frames, reasons).iloc[0]
            raise UserError(
                f"{corpus.root}: has no face in any of its {len(reasons)} frames (first: {first}: "
                f"{reason}); check what it shows."
            )
        np.save(folder / "landmarks.npy", np.stack(list(points.values())))
        failed = pd.DataFrame(reasons.items(), columns=["row", "reason"])
        failed.to_csv(folder / "failed.csv", index=False)
        return {"label": corpus.label}

    kept(folder, build)
    failed = pd.read_csv(folder / "failed.csv")
    reasons = dict(zip(failed["row"], failed["reason"], strict=True))
    problems = picture_problems(corpus.frames, reasons)
    sound = np.setdiff1d(np.arange(len(corpus.frames)), failed["row"])
    complete = replace(
        corpus,
        frames=corpus.frames.iloc[sound].reset_index(drop=True),
        landmarks=np.load(folder / "landmarks.npy"),
        problems=pd.concat([corpus.problems, problems], ignore_index=True),
    )
    return complete.made_from(digest(corpus.origin, code)) if corpus.origin else complete


def landmarks_are_kept(corpus: Corpus, cache: Path = LANDMARKS) -> bool:
    """Whether `landmark_corpus` has nothing to find: dlib is not needed then."""
    return corpus.landmarks is not None or opened(_folder(corpus, cache)) is not None


def _code() -> str:
    names = "landmarks.py", "tracking.py", *CODE
    return code_digest(*(Path(__file__).with_name(name) for name in names))


def _folder(corpus: Corpus, cache: Path) -> Path:
    """Where the landmarks of a corpus are kept."""
    return cache / f"{corpus.name}-{digest(corpus.fingerprint(), _code())[:16]}"


def _landmark_piece(piece: Piece) -> list[np.ndarray | str]:
    """Landmarks (68, 2) of each picture, or why there are none."""
    results = []
    clips = piece.frames["clip"].tolist()
    track = FacesTracker()
    clip, number = None, None  # of the face that is followed
    for i, image, reason in piece.pictures():
        if clips[i] != clip:
            clip, number = clips[i], None
            track.reset()
        faces = {} if image is None else dict(track(image))
        if number not in faces:
            number = next(iter(faces), None)  # the largest
        results.append(reason or "no face found" if number is None else faces[number])
    return results
