"""What is around the face: backdrops, things in front of it, and the camera's defects."""

from dataclasses import dataclass

import cv2
import numpy as np

from .appearance import Identity, Scene
from .geometry import PinholeCamera
from .strokes import ellipse, fill, line, taper


def backdrop(scene: Scene, size: tuple[int, int]) -> np.ndarray:
    """The background of a scene, uint8 (height, width, 3) RGB. The same for a whole clip."""
    rng = np.random.default_rng([scene.backdrop_seed, 1])
    width, height = size
    w, h = max(width // 4, 8), max(height // 4, 8)  # drawn small, as it is blurred
    base = rng.uniform(50, 190) + rng.normal(0, 22, 3)
    second = base * rng.uniform(0.4, 0.9) + rng.normal(0, 10, 3)
    slope = np.linspace(0, 1, h)[:, None, None] * rng.uniform(-0.6, 0.6)
    slope = slope + np.linspace(0, 1, w)[None, :, None] * rng.uniform(-0.8, 0.8)
    slope = np.clip(slope + 0.5, 0, 1)
    image = np.clip(base * slope + second * (1 - slope), 5, 240).astype(np.uint8)

    def place() -> np.ndarray:
        return rng.uniform([-0.1 * w, -0.1 * h], [1.1 * w, 1.1 * h])

    def box(x: float, y: float, a: float, b: float) -> np.ndarray:
        return np.array([x, y]) + np.array([a, b]) * [(-1, -1), (1, -1), (1, 1), (-1, 1)]

    blur = 2.0
    if scene.backdrop == "room":
        for _ in range(rng.integers(4, 9)):
            thing = box(*place(), rng.uniform(0.05, 0.3) * w, rng.uniform(0.1, 0.5) * h)
            colour = np.clip(base * rng.uniform(0.3, 1.4) + rng.normal(0, 15, 3), 0, 245)
            fill(image, thing, colour)
            if rng.random() < 0.5:
                line(image, thing[[0, 1, 2, 3, 0]], colour * 0.6, 2)
    elif scene.backdrop == "lights":
        image = (image * 0.35).astype(np.uint8)
        for _ in range(rng.integers(14, 34)):
            radius = rng.uniform(2, 10)
            colour = np.clip(np.array([230, 190, 130]) + rng.normal(0, 45, 3), 0, 255)
            fill(image, ellipse(place(), radius), colour * rng.uniform(0.3, 1.0))
        blur = 1.2
    elif scene.backdrop == "foliage":
        image = (image * np.array([0.55, 0.75, 0.45])).astype(np.uint8)
        for _ in range(160):
            angle = rng.uniform(0, np.pi)
            radii = (rng.uniform(3, 10), rng.uniform(1.5, 5))
            colour = np.array([60, 100, 45]) * rng.uniform(0.3, 1.7) + rng.normal(0, 10, 3)
            fill(image, ellipse(place(), radii, angle), np.clip(colour, 0, 255))
        blur = 2.5
    elif scene.backdrop == "window":
        x, a = rng.uniform(0.1, 0.9) * w, rng.uniform(0.12, 0.25) * w
        y, b = rng.uniform(0.2, 0.5) * h, rng.uniform(0.2, 0.4) * h
        window, frame = box(x, y, a, b), second * 0.5
        fill(image, window, (225, 232, 238))
        line(image, window[[0, 1, 2, 3, 0]], frame, 4)
        line(image, np.array([[x, y - b], [x, y + b]]), frame, 3)
        line(image, np.array([[x - a, y], [x + a, y]]), frame, 2)
    image = cv2.GaussianBlur(image, (0, 0), blur)
    image = cv2.resize(image, size, interpolation=cv2.INTER_CUBIC)
    # A little banding-free shading that the blur cannot remove.
    return cv2.convertScaleAbs(image, alpha=0.55 + 0.4 * (1 - scene.ambient) + 0.2)


def occlude(image: np.ndarray, scene: Scene, view: PinholeCamera, person: Identity) -> None:
    """Draws what stands in front of the face, in place: nothing at all for most scenes."""
    if scene.occluder == "none":
        return
    unit, (x, y) = view.scale, scene.occluder_place
    side, width = np.sign(x), image.shape[1]
    at = view.point(x, y, 1.0)
    rng = np.random.default_rng([scene.backdrop_seed, 2])
    shade = 0.55 + 0.45 * scene.ambient
    cloth = rng.uniform(30, 190, 3) * shade
    if scene.occluder == "hand":
        side = 1.0 if x > 0 else -1.0
        tone = np.array(person.skin) * shade * 0.92
        palm = at + unit * np.array([side * 0.15, 0.62])
        wrist = palm + unit * np.array([side * 0.45, 1.25])
        fill(image, taper(np.array([wrist, palm]), unit * np.array([0.55, 0.66])), tone * 0.94)
        fill(image, ellipse(palm, (unit * 0.38, unit * 0.42), side * 0.3), tone)
        for i, length in enumerate((0.52, 0.64, 0.68, 0.58)):
            root = palm + unit * np.array([(i - 1.5) * 0.19, -0.22 - 0.03 * (i in (1, 2))])
            tip = root + unit * length * np.array([0.16 * (i - 1.5) - 0.2 * side, -0.95])
            finger = np.linspace(root, tip, 5)
            fill(image, taper(finger, unit * np.array([0.21, 0.2, 0.19, 0.17, 0.14])), tone)
            fill(image, ellipse(tip, unit * 0.075), tone)
            line(image, finger[:-1] + unit * np.array([0.1, 0.0]), tone * 0.74, unit * 0.015)
        thumb = palm + unit * np.array([(0.25, 0.12), (0.52, -0.12), (0.58, -0.36)]) * (-side, 1)
        fill(image, taper(thumb, unit * np.array([0.26, 0.22, 0.14])), tone * 0.97)
    elif scene.occluder == "bar":
        dark = cloth * 0.4
        x0 = at[0] + side * 0.25 * unit
        bar = np.array([[x0, -10], [x0 + 0.06 * unit, len(image) + 10]])
        fill(image, taper(bar, 0.3 * unit), dark)
        line(image, bar - np.array([0.1 * unit, 0]), dark * 1.5 + 12, unit * 0.02)
    elif scene.occluder == "scarf":
        top = 1.42 - 0.35 * (y / 1.3)
        across = np.linspace(-1.25, 1.25, 9)
        edge = np.stack([across, top - 0.25 * across**2 + 0.1, 0.9 - 0.8 * across**2], -1)
        lower = view.project(edge + np.array([0, 1.1, 0]))[::-1]
        fill(image, np.concatenate([view.project(edge), lower]), cloth)
        for shift in (0.2, 0.42, 0.66):
            line(image, view.project(edge + np.array([0, shift, 0])), cloth * 0.78, unit * 0.04)
    elif scene.occluder == "strand":
        root = view.point(0.5 * x, -0.95, 0.7)
        t = np.linspace(0, 1, 9)[:, None]
        for i in range(7):
            end = at + unit * np.array([side * 0.25 + 0.035 * i, 0.2 - 0.03 * i])
            middle = (root + end) / 2 + unit * np.array([0.18 * side, 0.0])
            path = (1 - t) ** 2 * root + 2 * t * (1 - t) * middle + t**2 * end
            tone = np.array(person.hair) * shade * (0.8 + 0.06 * i)
            fill(image, taper(path, unit * np.linspace(0.05, 0.015, 9)), tone)
    elif scene.occluder == "shoulder":
        middle = np.array([0.0 if x < 0 else width, len(image) + 0.3 * unit])
        fill(image, ellipse(middle, (1.6 * unit, 1.7 * unit)), cloth * 0.45)
        cv2.GaussianBlur(image, (0, 0), 4, dst=image)


_NOISE_MARGIN = 64  # pixels by which the noise is larger than a picture


@dataclass(frozen=True)
class Set:
    """What the frames of one clip share: the backdrop and the camera's noise, drawn once."""

    backdrop: np.ndarray  # uint8 (height, width, 3)
    brighter: np.ndarray  # uint8, larger than the picture: noise to add ...
    darker: np.ndarray  # ... and to subtract


def build_set(scene: Scene, size: tuple[int, int]) -> Set:
    """Draws what the frames of a clip share; `size` is (width, height) in pixels."""
    rng = np.random.default_rng([scene.backdrop_seed, 3])
    shape = (size[1] + _NOISE_MARGIN, size[0] + _NOISE_MARGIN)
    noise = np.round(scene.noise * rng.standard_normal(shape, dtype=np.float32))
    grey = (np.clip(n, 0, 255).astype(np.uint8) for n in (noise, -noise))
    brighter, darker = (cv2.merge([n] * 3) for n in grey)
    return Set(backdrop(scene, size), brighter, darker)


def photograph(image: np.ndarray, scene: Scene, shared: Set) -> np.ndarray:
    """The camera: blur, exposure, colour cast and noise; uint8 (height, width, 3) to the same."""
    height, width = image.shape[:2]
    if scene.blur > 0.2:
        image = cv2.GaussianBlur(image, (0, 0), scene.blur * height / 576)
    levels, tint = np.arange(256)[:, None] / 255, np.asarray(scene.light_colour) / 255
    table = np.round(255 * scene.gain * levels**scene.gamma * tint)
    image = cv2.LUT(image, np.clip(table, 0, 255).astype(np.uint8)[None])
    if scene.noise > 0:
        # The tile moves from frame to frame: new noise at the price of an addition.
        x, y = scene.noise_phase % _NOISE_MARGIN, scene.noise_phase // _NOISE_MARGIN % _NOISE_MARGIN
        image = cv2.add(image, shared.brighter[y : y + height, x : x + width])
        image = cv2.subtract(image, shared.darker[y : y + height, x : x + width])
    return image
