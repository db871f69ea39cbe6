"""What the simulator knows about its people, for measuring errors afterwards and for nothing else.

It is computed from the world's numbers and never written into a corpus, so that no loader, crop or
training can see it.
"""

import numpy as np
import pandas as pd
from skimage.color import rgb2lab

from .appearance import Colour
from .face import landmarks_of
from .worlds import WildWorld, clip_plan


def wild_truth(world: WildWorld) -> pd.DataFrame:
    """Who is in each frame of a world, and how it was taken.

    Returns:
        A row per frame: clip and frame (as the loader of AFEW-VA names them), skin (individual
        typology angle of the drawn skin in degrees, larger is lighter), age (how strongly the lines
        of age are drawn, 0 to 1), turned (angle between face and camera in degrees).
    """
    rows = []
    for index in range(world.clips):
        plan = clip_plan(world, index)
        identity = plan.subject.identity
        skin = typology_angle(identity.skin)
        for frame, scene in zip(plan.frames, plan.scenes, strict=True):
            turned = angle_to_camera(scene.yaw, scene.pitch)
            rows.append((plan.clip, frame, skin, identity.age, turned))
    return pd.DataFrame(rows, columns=["clip", "frame", "skin", "age", "turned"])


def exact_landmarks(world: WildWorld) -> np.ndarray:
    """The exact landmarks (N, 68, 2) of every frame of a world, float32, in pixels of its pictures,
    in the order of the rows of `wild_truth`; a world with a `landmark_error` writes others."""
    points = []
    for index in range(world.clips):
        plan = clip_plan(world, index)
        shown = zip(plan.units, plan.scenes, strict=True)
        points += [landmarks_of(plan.subject.identity, *one, world.size) for one in shown]
    return np.stack(points)


def typology_angle(colour: Colour) -> float:
    """Individual typology angle of a skin colour in degrees (Chardon et al. 1991):
    arctan((L* - 50) / b*) of CIELAB, from above 55 (very light) to below -30 (dark)."""
    lightness, _, yellow = rgb2lab(np.array(colour) / 255)
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def angle_to_camera(yaw: float, pitch: float) -> float:
    """The angle in degrees between where a face points and the camera; roll does not change it."""
    cosine = np.cos(np.radians(yaw)) * np.cos(np.radians(pitch))
    return float(np.degrees(np.arccos(np.clip(cosine, -1, 1))))
