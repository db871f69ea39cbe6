"""Files on disk -> `Corpus` -> `Crops` and folds by subject.

Comes in: a folder with AFEW-VA or SEMAINE, licensed or simulated. Goes out: annotated frames with
68 landmarks (`Corpus`), faces cut out as bytes (`Crops`), and rows for training, inner validation
and test (`Split`). Labels are (valence, arousal) in [-1, 1].
"""

from . import data
from .afew_va import load_afew_va
from .corpus import CORPUS_NAMES, DIMENSIONS, VARIABLES, Corpus
from .crops import MARGIN, Crops, build_crops, crop_face, face_box
from .data import pretext_crops
from .folds import (
    Split,
    assert_disjoint,
    assert_subject_disjoint,
    fold_warnings,
    leaking_folds,
    split_manifest,
    split_table,
    spread_rows,
    subject_folds,
    with_fewer_subjects,
)
from .images import as_rgb, read_image
from .kinds import IMAGE_ENDINGS, VIDEO_ENDINGS, is_video, kind_of, named_kind
from .landmarks import (
    MIRRORED,
    OUTER_EYE_CORNERS,
    REGIONS,
    landmark_corpus,
    landmarks_are_kept,
    relative_error,
)
from .pictures import read_pictures
from .problems import PROBLEM_COLUMNS, Problems, losses, problem_kinds, problem_lines
from .semaine import (
    RaterTrace,
    Session,
    cronbach_alpha,
    load_semaine,
    longest_session,
    rate,
    read_sessions,
)
from .tracking import Faces, FacesTracker, KnownFaces, dlib_model
from .videos import probe_video, read_video

__all__ = [
    "CORPUS_NAMES", "DIMENSIONS", "IMAGE_ENDINGS", "MARGIN", "MIRRORED", "OUTER_EYE_CORNERS",
    "PROBLEM_COLUMNS", "REGIONS", "VARIABLES", "VIDEO_ENDINGS", "Corpus", "Crops", "Faces",
    "FacesTracker", "KnownFaces", "Problems", "RaterTrace", "Session", "Split", "as_rgb",
    "assert_disjoint", "assert_subject_disjoint", "build_crops", "cronbach_alpha", "crop_face",
    "data", "dlib_model", "face_box", "fold_warnings", "is_video", "kind_of", "landmark_corpus",
    "landmarks_are_kept", "leaking_folds", "load_afew_va", "load_semaine", "longest_session",
    "losses", "named_kind", "pretext_crops", "probe_video", "problem_kinds", "problem_lines",
    "rate", "read_image", "read_pictures", "read_sessions", "read_video", "relative_error",
    "split_manifest", "split_table", "spread_rows", "subject_folds", "with_fewer_subjects",
]  # fmt: skip
