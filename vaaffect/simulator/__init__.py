"""A seed -> corpora of drawn faces on disk, in the layouts of AFEW-VA and SEMAINE.

Comes in: a world (`WildWorld`, `LabWorld`: how many subjects, clips, how difficult) and its seed.
Goes out: files that the loaders of the real corpora read, and the truth about what was drawn.
"""

from .appearance import Identity, Scene, sample_identity, sample_scene
from .circumplex import ACTION_UNITS, EMOTIONS, action_units
from .face import landmarks_of, render
from .laboratory import LabWorld, session_plan
from .recordings import write_semaine
from .scenery import build_set
from .tour import draw_tour, record
from .truth import exact_landmarks, wild_truth
from .worlds import WildWorld, sample_subject
from .writers import marker_of, world_key, write_afew_va

__all__ = [
    "ACTION_UNITS", "EMOTIONS", "Identity", "LabWorld", "Scene", "WildWorld", "action_units",
    "build_set", "draw_tour", "exact_landmarks", "landmarks_of", "marker_of", "record", "render",
    "sample_identity", "sample_scene", "sample_subject", "session_plan", "wild_truth",
    "world_key", "write_afew_va", "write_semaine",
]  # fmt: skip
