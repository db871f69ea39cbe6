"""Files on disk -> `Corpus` -> `Crops` and folds by subject.

Comes in: a folder with AFEW-VA or SEMAINE, licensed or simulated. Goes out: annotated frames with
68 landmarks (`Corpus`), faces cut out as bytes (`Crops`), and rows for training, inner validation
and test (`Split`). Labels are (valence, arousal) in [-1, 1].
"""

from . import data
from .afew_va import load_afew_va
from .corpus import CORPUS_NAMES, DIMENSIONS, PROBLEM_COLUMNS, Corpus, Problems
from .crops import MARGIN, Crops, build_crops, crop_face, face_box
from .data import pretext_crops
from .folds import (
    Split,
    assert_disjoint,
    assert_subject_disjoint,
    leaking_folds,
    split_manifest,
    split_table,
    subject_folds,
    with_fewer_subjects,
)
from .landmarks import MIRRORED, OUTER_EYE_CORNERS, REGIONS, landmark_corpus, relative_error
from .pictures import VIDEO_ENDINGS, as_rgb, is_video, probe_video, read_image, read_pictures
from .semaine import RaterTrace, cronbach_alpha, load_semaine, rate, read_sessions
from .tracking import Faces, FacesTracker, KnownFaces

__all__ = [
    "CORPUS_NAMES", "DIMENSIONS", "MARGIN", "MIRRORED", "OUTER_EYE_CORNERS", "PROBLEM_COLUMNS",
    "REGIONS", "VIDEO_ENDINGS", "Corpus", "Crops", "Faces", "FacesTracker", "KnownFaces",
    "Problems", "RaterTrace", "Split", "as_rgb", "assert_disjoint", "assert_subject_disjoint",
    "build_crops", "cronbach_alpha", "crop_face", "data", "face_box", "is_video",
    "landmark_corpus", "leaking_folds", "load_afew_va", "load_semaine", "pretext_crops",
    "probe_video", "rate", "read_image", "read_pictures", "read_sessions", "relative_error",
    "split_manifest", "split_table", "subject_folds", "with_fewer_subjects",
]  # fmt: skip
