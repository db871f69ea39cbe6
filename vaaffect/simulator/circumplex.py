"""From a point of the valence-arousal plane to facial action units.

Emotions lie around the circumplex of affect (Russell 1980): the *angle* of a point says which
expression a face shows, its *distance* from the neutral centre says how strongly. Each emotion is
given by its prototype in action units, the vocabulary of facial movements of the Facial Action
Coding System (Ekman & Friesen 1978; prototypes after their EMFACS).
"""

import numpy as np
from scipy.interpolate import PchipInterpolator

# Where each emotion lies, (valence, arousal) in [-1, 1]. The order around the circle is Russell's
# (1980); the angles are spread a little more evenly than in his data, where anger, fear and disgust
# crowd together, so that the face tells them apart.
EMOTIONS: dict[str, tuple[float, float]] = {
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

# How strongly each emotion, in the same order, moves each action unit, in [0, 1]; at the right the
# unit's number in FACS. A lid droops until it is closed; 23 and 24 are seen together.
_STRENGTHS: dict[str, tuple[float, ...]] = {
    #                      neut  happ  surp  fear  ange  disg  sadn  bore  calm
    "inner_brow_raiser":    (   0,    0, 1.00, 1.00,    0,    0, 0.90, 0.10,    0),  # 1
    "outer_brow_raiser":    (   0,    0, 1.00, 0.35,    0,    0,    0,    0,    0),  # 2
    "brow_lowerer":         (   0,    0,    0, 0.50, 1.00, 0.50, 0.45,    0,    0),  # 4
    "lid_raiser":           (   0,    0, 0.90, 1.00, 0.55,    0,    0,    0,    0),  # 5
    "cheek_raiser":         (   0, 0.90,    0,    0,    0, 0.30,    0,    0, 0.10),  # 6
    "lid_tightener":        (   0,    0,    0,    0, 0.60, 0.70,    0,    0,    0),  # 7
    "nose_wrinkler":        (   0,    0,    0,    0,    0, 1.00,    0,    0,    0),  # 9
    "upper_lip_raiser":     (   0, 0.20,    0,    0,    0, 0.90,    0,    0,    0),  # 10
    "lip_corner_puller":    (   0, 1.00,    0,    0,    0,    0,    0,    0, 0.45),  # 12
    "lip_corner_depressor": (   0,    0,    0,    0, 0.25, 0.60, 1.00, 0.30,    0),  # 15
    "lower_lip_depressor":  (   0,    0,    0, 0.35,    0, 0.25,    0,    0,    0),  # 16
    "chin_raiser":          (   0,    0,    0,    0, 0.30,    0, 0.55,    0,    0),  # 17
    "lip_stretcher":        (   0,    0,    0, 0.95,    0,    0,    0,    0,    0),  # 20
    "lip_tightener":        (   0,    0,    0,    0, 1.00,    0,    0,    0,    0),  # 23, 24
    "lips_part":            (   0, 0.90, 0.60, 0.80,    0, 0.25,    0,    0,    0),  # 25
    "jaw_drop":             (   0, 0.12, 0.95, 0.50,    0,    0,    0,    0,    0),  # 26
    "lid_droop":            (   0,    0,    0,    0,    0,    0, 0.35, 0.65, 0.45),  # 43
}  # fmt: skip
ACTION_UNITS: tuple[str, ...] = tuple(_STRENGTHS)
PROTOTYPES = dict(zip(EMOTIONS, np.array(list(_STRENGTHS.values()), float).T, strict=True))

# Below 1: half way to an emotion, more than half of its expression is there, so that the mild
# states that fill real recordings can still be read.
_RISE = 0.75


def _around_the_circle() -> PchipInterpolator:
    """Prototype and radius of the emotions, smooth and periodic in the angle."""
    names = [name for name in EMOTIONS if name != "neutral"]
    points = np.array([EMOTIONS[name] for name in names])
    angles = np.arctan2(points[:, 1], points[:, 0])
    order = np.argsort(angles)
    angles = angles[order]
    units = np.array([PROTOTYPES[names[i]] for i in order])
    radii = np.linalg.norm(points[order], axis=1, keepdims=True)
    turns = np.concatenate([angles - 2 * np.pi, angles, angles + 2 * np.pi])
    # PCHIP never overshoots, so units stay in [0, 1] and rise or fall only between neighbours.
    return PchipInterpolator(turns, np.tile(np.hstack([units, radii]), (3, 1)))


_AT_ANGLE = _around_the_circle()


def action_units(va: np.ndarray) -> np.ndarray:
    """Action units of a face that expresses the given affect.

    `va` is (..., 2), (valence, arousal) in [-1, 1]; the answer is (..., n_aus) in [0, 1], in the
    order of `ACTION_UNITS`. At an emotion of `EMOTIONS` it is the emotion's prototype, at (0, 0) it
    is a neutral face, and it is continuous in between.
    """
    va = np.asarray(va, dtype=np.float64)
    valence, arousal = va[..., 0], va[..., 1]
    radius = np.hypot(valence, arousal)[..., None]
    shown = _AT_ANGLE(np.arctan2(arousal, valence))
    return np.clip(shown[..., :-1] * (radius / shown[..., -1:]) ** _RISE, 0.0, 1.0)
