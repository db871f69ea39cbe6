"""Who is in the picture and how it was taken: the parameters of a drawn face, and how to draw lots.

Lengths of a face are in *face units*: half the width of an average face at the level of the eyes.
"""

from dataclasses import dataclass

import numpy as np

Colour = tuple[float, float, float]  # red, green, blue in [0, 255]

OCCLUDERS = ("none", "hand", "bar", "scarf", "strand", "shoulder")
BACKDROPS = ("plain", "room", "lights", "foliage", "window")

_SKIN_TONES = np.array([
    (246, 212, 190), (238, 198, 168), (228, 184, 148), (203, 153, 114), (170, 120, 84),
    (128, 86, 60), (94, 62, 45),
], dtype=float)  # fmt: skip
_HAIR_COLOURS = np.array([
    (38, 30, 28), (62, 44, 36), (96, 66, 44), (140, 100, 62), (205, 170, 112), (150, 78, 44),
    (176, 174, 172),
], dtype=float)  # fmt: skip
_IRIS_COLOURS = np.array([(84, 54, 34), (112, 76, 42), (96, 120, 84), (92, 128, 160)], dtype=float)


@dataclass(frozen=True)
class Identity:
    """A person: colours, proportions (1 is average unless noted), hair, age and resting face."""

    skin: Colour = (228.0, 184.0, 148.0)
    lips: Colour = (186.0, 104.0, 98.0)
    hair: Colour = (62.0, 44.0, 36.0)
    iris: Colour = (84.0, 54.0, 34.0)
    clothes: Colour = (70.0, 84.0, 112.0)
    face_width: float = 1.0
    face_length: float = 1.0
    jaw_width: float = 1.0
    eye_size: float = 1.0
    eye_spacing: float = 1.0
    eye_tilt: float = 0.0  # face units, outer corner up
    nose_width: float = 1.0
    nose_length: float = 1.0
    mouth_width: float = 1.0
    lip_thickness: float = 1.0
    brow_thickness: float = 1.0
    brow_arch: float = 1.0
    hair_style: str = "short"
    hair_volume: float = 1.0
    hairline: float = 0.0  # face units, up
    beard: float = 0.0  # 0 none, 0.3 stubble, 1 full
    age: float = 0.3  # 0 young .. 1 old: lines in the skin
    glasses: bool = False
    rest_brow: float = 0.0  # resting brow height, face units, up
    rest_frown: float = 0.0  # resting height of the inner brow ends, face units, down
    rest_corner: float = 0.0  # resting height of the lip corners, face units, up
    rest_lid: float = 0.0  # resting eye opening, as a fraction added to 1
    texture: int = 0  # seed of strands and freckles


@dataclass(frozen=True)
class Scene:
    """How the picture was taken: pose, gaze, place, light, surroundings and camera."""

    yaw: float = 0.0  # degrees, positive: the face turns to the right of the image
    pitch: float = 0.0  # degrees, positive: the face looks down
    roll: float = 0.0  # degrees, positive: clockwise in the image
    gaze: tuple[float, float] = (0.0, 0.0)  # right, down; 1 is the corner of the eye
    centre: tuple[float, float] = (0.5, 0.42)  # of the eyes, as fractions of width and height
    scale: float = 0.2  # one face unit as a fraction of the picture's height
    light: tuple[float, float, float] = (-0.25, -0.45, 0.86)  # towards the light: right, down, near
    light_colour: Colour = (255.0, 250.0, 244.0)
    ambient: float = 0.6  # share of the light that comes from all sides
    backdrop: str = "plain"
    backdrop_seed: int = 0
    occluder: str = "none"
    occluder_place: tuple[float, float] = (0.0, 1.0)  # face units, where it crosses the face
    blur: float = 0.0  # sigma in pixels at a height of 576
    noise: float = 0.0  # standard deviation in grey levels
    noise_phase: int = 0  # which part of the noise tile: changes from frame to frame
    gain: float = 1.0
    gamma: float = 1.0


def _colour(values: np.ndarray) -> Colour:
    return tuple(np.clip(np.round(values, 1), 0, 255).tolist())


def sample_identity(rng: np.random.Generator, spread: float = 0.5) -> Identity:
    """A random person. `spread` in [0, 1] scales how much resting faces differ from neutral."""
    feminine = rng.random() < 0.5
    age = float(rng.beta(1.6, 2.2))
    tone = rng.beta(1.1, 1.4)
    stops = np.linspace(0.0, 1.0, len(_SKIN_TONES))
    skin = np.array([np.interp(tone, stops, channel) for channel in _SKIN_TONES.T])
    skin = skin + rng.normal(0, 3, 3)
    lips = skin * np.array([0.84, 0.60, 0.62]) + np.array([6, 0, 2])
    if feminine and rng.random() < 0.6:
        lips = 0.45 * lips + 0.55 * np.array([178, 52, 66])
    grey = rng.random() < age - 0.45
    dark = rng.random() < 0.35 + 0.6 * tone
    index = 6 if grey else rng.integers(0, 2) if dark else rng.integers(1, 6)
    hair = _HAIR_COLOURS[index] + rng.normal(0, 7, 3)
    iris = _IRIS_COLOURS[rng.integers(0, 4) if rng.random() < 1 - tone else 0]
    styles = ("parted", "fringe", "long", "long", "bun", "curly")
    if not feminine:
        styles = ("bald", "buzz", "short", "short", "parted", "curly")
    bearded = not feminine and rng.random() < 0.45
    beard = float(rng.choice([0.3, 0.45, 0.9, 1.0])) if bearded else 0.0
    about = lambda sd: float(np.clip(rng.normal(1, sd), 1 - 2 * sd, 1 + 2 * sd))  # noqa: E731
    rest = lambda sd: float(np.clip(rng.normal(0, sd * spread), -2 * sd, 2 * sd))  # noqa: E731
    return Identity(
        skin=_colour(skin), lips=_colour(lips), hair=_colour(hair),
        iris=_colour(iris + rng.normal(0, 8, 3)),
        clothes=_colour(rng.uniform(25, 210, 3) * rng.uniform(0.4, 1.1)),
        face_width=about(0.05), face_length=about(0.05),
        jaw_width=about(0.06) * (0.95 if feminine else 1.04),
        eye_size=about(0.07) * (1.06 if feminine else 0.97),
        eye_spacing=about(0.03), eye_tilt=float(rng.normal(0.0, 0.018)),
        nose_width=about(0.11) * (0.93 if feminine else 1.06), nose_length=about(0.05),
        mouth_width=about(0.06), lip_thickness=about(0.15) * (1.12 if feminine else 0.92),
        brow_thickness=about(0.2) * (0.75 if feminine else 1.25),
        brow_arch=about(0.25) * (1.15 if feminine else 0.8),
        hair_style=str(rng.choice(styles)), hair_volume=about(0.2),
        hairline=float(rng.normal(0.0, 0.05) + 0.08 * age),
        beard=beard, age=age, glasses=bool(rng.random() < 0.16),
        rest_brow=rest(0.05), rest_frown=rest(0.04), rest_corner=rest(0.05), rest_lid=rest(0.25),
        texture=int(rng.integers(0, 2**31)),
    )  # fmt: skip


def sample_scene(rng: np.random.Generator, difficulty: float = 0.5) -> Scene:
    """A random take. `difficulty` in [0, 1]: from frontal and evenly lit to turned and dim."""
    hard = float(np.clip(difficulty, 0, 1))
    side, height = rng.normal(0, 0.3 + 0.7 * hard), rng.normal(-0.45, 0.15 + 0.3 * hard)
    light = np.array([side, height, 0.9])
    warmth = rng.normal(0, 4 + 14 * hard)
    occluder = str(rng.choice(OCCLUDERS[1:])) if rng.random() < 0.3 * hard else OCCLUDERS[0]
    angles = rng.normal(0, 1, 3) * np.array([24, 11, 10]) * (0.1 + 0.9 * hard)
    yaw, pitch, roll = np.clip(angles, [-30, -16, -20], [30, 18, 20])
    gaze = np.clip(rng.normal(0, 0.1 + 0.4 * hard, 2) + np.array([yaw / 60, 0]), -0.8, 0.8)
    light /= np.linalg.norm(light)
    return Scene(
        yaw=float(yaw), pitch=float(pitch), roll=float(roll),
        gaze=(float(gaze[0]), float(gaze[1] * 0.6)),
        centre=(float(rng.uniform(0.36, 0.64)), float(rng.uniform(0.38, 0.45))),
        scale=float(rng.uniform(0.165, 0.25)),
        light=tuple(light.tolist()),
        light_colour=_colour(np.array([252 + warmth, 248, 246 - warmth])),
        ambient=float(np.clip(rng.normal(0.62 - 0.16 * hard, 0.08), 0.3, 0.8)),
        backdrop=str(rng.choice(BACKDROPS)), backdrop_seed=int(rng.integers(0, 2**31)),
        occluder=occluder,
        occluder_place=(float(rng.uniform(-0.7, 0.7)), float(rng.uniform(0.2, 1.3))),
        blur=float(rng.gamma(1.5, 0.55 * hard)) if hard else 0.0,
        noise=float(rng.uniform(0.3, 0.8 + 2.4 * hard)), noise_phase=int(rng.integers(0, 2**16)),
        gain=float(np.clip(rng.normal(1 - 0.12 * hard, 0.16 * hard), 0.5, 1.25)),
        gamma=float(np.clip(rng.normal(1, 0.12 * hard), 0.75, 1.3)),
    )  # fmt: skip
