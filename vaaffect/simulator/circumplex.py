"""From a point of the valence-arousal plane to facial action units.

Emotions lie around the circumplex of affect (Russell 1980): the *angle* of a point says which
expression a face shows, its *distance* from the neutral centre says how strongly. Each emotion is
given by its prototype in action units, the vocabulary of facial movements of the Facial Action
Coding System (Ekman & Friesen 1978; prototypes after their EMFACS).
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
from scipy.interpolate import PchipInterpolator

# The number is the action unit's number in FACS.
ACTION_UNITS: tuple[str, ...] = (
    "inner_brow_raiser",  # 1
    "outer_brow_raiser",  # 2
    "brow_lowerer",  # 4
    "lid_raiser",  # 5, upper lid
    "cheek_raiser",  # 6
    "lid_tightener",  # 7
    "nose_wrinkler",  # 9
    "upper_lip_raiser",  # 10
    "lip_corner_puller",  # 12
    "lip_corner_depressor",  # 15
    "lower_lip_depressor",  # 16
    "chin_raiser",  # 17
    "lip_stretcher",  # 20
    "lip_tightener",  # 23 and 24, seen together
    "lips_part",  # 25
    "jaw_drop",  # 26
    "lid_droop",  # 43, from drooping to closed
)

# Where each emotion lies, (valence, arousal) in [-1, 1]. The order around the circle is Russell's
# (1980); the angles are spread a little more evenly than in his data, where anger, fear and disgust
# crowd together, so that the face tells them apart.
EMOTIONS: Mapping[str, tuple[float, float]] = MappingProxyType(
    {
        "neutral": (0.0, 0.0),
        "happiness": (0.80, 0.40),
        "surprise": (0.25, 0.85),
        "fear": (-0.45, 0.80),
        "anger": (-0.75, 0.55),
        "disgust": (-0.80, 0.15),
        "sadness": (-0.70, -0.40),
        "boredom": (-0.25, -0.80),
        "calm": (0.60, -0.55),
    }
)

_PROTOTYPES: Mapping[str, dict[str, float]] = MappingProxyType(
    {
        "neutral": {},
        "happiness": {
            "cheek_raiser": 0.9,
            "lip_corner_puller": 1.0,
            "lips_part": 0.9,
            "upper_lip_raiser": 0.2,
            "jaw_drop": 0.12,
        },
        "surprise": {
            "inner_brow_raiser": 1.0,
            "outer_brow_raiser": 1.0,
            "lid_raiser": 0.9,
            "lips_part": 0.6,
            "jaw_drop": 0.95,
        },
        "fear": {
            "inner_brow_raiser": 1.0,
            "outer_brow_raiser": 0.35,
            "brow_lowerer": 0.5,
            "lid_raiser": 1.0,
            "lip_stretcher": 0.95,
            "lower_lip_depressor": 0.35,
            "lips_part": 0.8,
            "jaw_drop": 0.5,
        },
        "anger": {
            "brow_lowerer": 1.0,
            "lid_raiser": 0.55,
            "lid_tightener": 0.6,
            "lip_tightener": 1.0,
            "lip_corner_depressor": 0.25,
            "chin_raiser": 0.3,
        },
        "disgust": {
            "brow_lowerer": 0.5,
            "cheek_raiser": 0.3,
            "lid_tightener": 0.7,
            "nose_wrinkler": 1.0,
            "upper_lip_raiser": 0.9,
            "lip_corner_depressor": 0.6,
            "lower_lip_depressor": 0.25,
            "lips_part": 0.25,
        },
        "sadness": {
            "inner_brow_raiser": 0.9,
            "brow_lowerer": 0.45,
            "lip_corner_depressor": 1.0,
            "chin_raiser": 0.55,
            "lid_droop": 0.35,
        },
        "boredom": {
            "inner_brow_raiser": 0.1,
            "lip_corner_depressor": 0.3,
            "lid_droop": 0.65,
        },
        "calm": {
            "lip_corner_puller": 0.45,
            "lid_droop": 0.45,
            "cheek_raiser": 0.1,
        },
    }
)

# Below 1: half way to an emotion, more than half of its expression is there, so that the mild
# states that fill real recordings can still be read.
_RISE = 0.75


def prototype(emotion: str) -> np.ndarray:
    """Action units (n_aus,) in [0, 1] of one emotion of `EMOTIONS` at full strength.

    Raises KeyError for an unknown emotion. Source: Ekman & Friesen (1978), EMFACS.
    """
    strengths = _PROTOTYPES[emotion]
    return np.array([strengths.get(name, 0.0) for name in ACTION_UNITS])


def _around_the_circle() -> tuple[PchipInterpolator, PchipInterpolator]:
    """Prototype and radius of the emotions as smooth periodic functions of the angle."""
    names = [name for name in EMOTIONS if name != "neutral"]
    points = np.array([EMOTIONS[name] for name in names])
    angles = np.arctan2(points[:, 1], points[:, 0])
    order = np.argsort(angles)
    angles, points = angles[order], points[order]
    units = np.array([prototype(names[i]) for i in order])
    radii = np.linalg.norm(points, axis=1, keepdims=True)
    turn = 2 * np.pi
    wrapped = np.concatenate([angles - turn, angles, angles + turn])
    # PCHIP never overshoots, so units stay in [0, 1] and rise or fall only between neighbours.
    return (
        PchipInterpolator(wrapped, np.tile(units, (3, 1))),
        PchipInterpolator(wrapped, np.tile(radii, (3, 1))),
    )


_UNITS_AT_ANGLE, _RADIUS_AT_ANGLE = _around_the_circle()


def action_units(va: np.ndarray) -> np.ndarray:
    """Action units of a face that expresses the given affect.

    `va` is (..., 2), (valence, arousal) in [-1, 1]; the answer is (..., n_aus) in [0, 1], in the
    order of `ACTION_UNITS`. At an emotion of `EMOTIONS` it is the emotion's prototype, at (0, 0) it
    is a neutral face, and it is continuous in between.

    Sources: Russell (1980), A circumplex model of affect; Ekman & Friesen (1978), FACS.
    """
    va = np.asarray(va, dtype=np.float64)
    valence, arousal = va[..., 0], va[..., 1]
    angle = np.arctan2(arousal, valence)
    radius = np.hypot(valence, arousal)[..., None]
    strength = (radius / _RADIUS_AT_ANGLE(angle)) ** _RISE
    return np.clip(_UNITS_AT_ANGLE(angle) * strength, 0.0, 1.0)
