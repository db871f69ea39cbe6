"""A drawn face: from a person, action units and a scene to a picture and its 68 landmarks."""

from dataclasses import replace

import cv2
import numpy as np

from .appearance import Identity, Scene
from .geometry import Face, PinholeCamera, face_of, landmarks, outline, pinhole_camera
from .hair import hair_behind, hair_on_top
from .painting import Canvas, beard, blend, brow, eye, folds, glasses, mouth, nose, shade, tone
from .scenery import Set, build_set, occlude, photograph
from .strokes import curve, fill, line, mirrored


def render(
    identity: Identity,
    units: np.ndarray,
    scene: Scene,
    size: tuple[int, int] = (720, 576),
    shared: Set | None = None,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws one person in one scene.

    `units` are action units (n_aus,) in [0, 1] in the order of `circumplex.ACTION_UNITS`; `size` is
    (width, height) in pixels; `shared` is `build_set(scene, size)`, to be given when many frames
    share backdrop and noise. Returns the picture, uint8 (height, width, 3) RGB, and the landmarks,
    float32 (68, 2) in pixels, iBUG order: the projections of the very points that were drawn, also
    where hair or an occluder hides them.
    """
    shared = shared or build_set(scene, size)
    face = face_of(identity, units, scene.gaze)
    whole = pinhole_camera(scene, size)
    picture = shared.backdrop.copy()
    _body(picture, identity, scene, whole)
    # The head is painted on a canvas of its own, as large as it needs.
    centre = whole.point(0.0, 0.2, 0.0)
    low = np.floor(centre - whole.scale * np.array([1.75, 2.1])).clip(0, size).astype(int)
    high = np.ceil(centre + whole.scale * np.array([1.75, 2.45])).clip(0, size).astype(int)
    if np.all(high > low):
        view = replace(whole, origin=whole.origin - low)
        page = Canvas(view, *(high - low))
        _paint_head(page, face)
        # Colour times creases times light, over what is behind.
        crease = cv2.GaussianBlur(page.crease, (0, 0), max(view.scale * 0.014, 0.6))
        creased = cv2.multiply(page.colour, cv2.merge([crease] * 3), scale=1 / 255)
        top = cv2.multiply(creased, shade(page, face.surface(), scene), dtype=cv2.CV_8U)
        below = picture[low[1] : high[1], low[0] : high[0]]
        below[:] = blend(below, top, page.cover)
    points = landmarks(whole, face)
    occlude(picture, scene, whole, identity)
    return photograph(picture, scene, shared), points.astype(np.float32)


def landmarks_of(
    identity: Identity, units: np.ndarray, scene: Scene, size: tuple[int, int] = (720, 576)
) -> np.ndarray:
    """The landmarks that `render` returns for the same face, (68, 2), without drawing it."""
    face = face_of(identity, units, scene.gaze)
    return landmarks(pinhole_camera(scene, size), face).astype(np.float32)


def _collar(view: PinholeCamera) -> np.ndarray:
    """The middle of the collar (2,) in pixels."""
    return view.point(0.0, 1.1, -0.3) + np.array([0, 1.05 * view.scale])


def _body(picture: np.ndarray, person: Identity, scene: Scene, view: PinholeCamera) -> None:
    """Shoulders: they stay upright, whatever the head does."""
    unit, base = view.scale, _collar(view)
    bottom = max(picture.shape[0] + 10, base[1] + 1)
    half = unit * np.array([(0.45, -0.22), (0.80, -0.02), (1.45, 0.14), (1.95, 0.42), (2.15, 1.0)])
    left, right = base + half * (-1, 1), base + half
    drop = np.array([[right[-1, 0] + 0.1 * unit, bottom], [left[-1, 0] - 0.1 * unit, bottom]])
    light = scene.ambient + 0.35
    cloth = tone(person.clothes, light)
    fill(picture, np.concatenate([curve(left[::-1], 4), curve(right, 4), drop]), cloth)
    for side in (-1, 1):
        arm = base + unit * np.array([[side * 1.5, 0.75], [side * 1.42, 1.2], [side * 1.45, 2.4]])
        line(picture, curve(arm, 4), cloth * 0.72, unit * 0.03)
    if person.texture % 3 == 0:  # a jacket over a shirt
        shirt = base + unit * np.array([[-0.5, -0.15], [0.5, -0.15], [0.16, 1.6], [-0.16, 1.6]])
        fill(picture, shirt, np.clip(cloth * 0.3 + 165 * light, 0, 245))
        lapel = unit * np.array([(0.42, -0.24), (0.78, 0.5), (0.15, 1.6), (0.50, 0.2)])
        for side in (-1, 1):
            fill(picture, base + lapel * (side, 1), cloth * 0.72)
        return
    if person.texture % 3 == 1:
        seam, steps, width = [(0.46, -0.2), (0.36, 0.22), (0, 0.44)], 6, 0.10
    else:
        seam, steps, width = [(0.42, -0.2), (0.30, 0.28), (0, 0.52)], 4, 0.05
    for side in (-1, 1):
        path = base + unit * np.array(seam) * (side, 1)
        line(picture, curve(path, steps), cloth * 0.62, unit * width)


def _neck(page: Canvas, person: Identity) -> None:
    view, unit = page.view, page.view.scale
    wide = 0.56 * person.jaw_width
    top = view.project([[-wide, 0.7, -0.2], [wide, 0.7, -0.2]])
    low = _collar(view) + unit * mirrored([(0.0, 0.38), (0.40, 0.10), (0.50, -0.12)])[::-1]
    waist = (top[::-1] * 0.35 + low[[0, -1]] * 0.65) + unit * np.array([[-0.05, 0], [0.05, 0]])
    shape = np.concatenate([top, waist[:1], curve(low, 4), waist[1:]])
    page.put(shape, tone(person.skin, 0.90))
    # The head throws its shadow on the neck.
    chin = view.project(mirrored([(0, 1.95, 0.4), (0.55, 1.62, 0.3), (0.75, 1.0, 0)]))
    height, width = page.cover.shape
    mask = np.zeros((-(-height // 4), -(-width // 4)), np.uint8)
    fill(mask, curve(chin, 5) / 4, 90)
    mask = cv2.GaussianBlur(mask, (0, 0), unit * 0.025)
    mask = cv2.resize(mask, (width, height))
    cv2.subtract(page.crease, mask, dst=page.crease)


def _ears(page: Canvas, person: Identity) -> None:
    for side in (-1.0, 1.0):
        rim = np.array([
            (0.97, -0.05, -0.05), (1.10, -0.10, -0.22), (1.15, 0.06, -0.26), (1.12, 0.26, -0.22),
            (1.05, 0.44, -0.14), (0.96, 0.48, -0.05), (0.93, 0.20, -0.02),
        ])  # fmt: skip
        rim[:, 0] *= side * person.face_width
        page.put(curve(page.view.project(rim), 4, closed=True), tone(person.skin, 0.90))
        inner = rim[1:5] * np.array([0.965, 1, 1]) + np.array([0, 0.05, 0.02])
        page.line(curve(page.view.project(inner), 4), tone(person.skin, 0.62), 0.03)


def _paint_head(page: Canvas, face: Face) -> None:
    """Everything above the shoulders, from back to front."""
    view, person = page.view, face.person
    hair_behind(page, person)
    _neck(page, person)
    _ears(page, person)
    # Close together at the crown and the chin, where the outline turns.
    levels = 0.145 - 1.505 * np.cos(np.linspace(0, np.pi, 40))
    left, right = outline(view, face, levels)
    skin = np.concatenate([left, right[::-1]])
    fill(page.crease, skin, 255)
    page.put(skin, person.skin)
    if person.beard:
        below_ear = levels > 0.35
        beard(page, face, (left[below_ear], right[below_ear]))
    folds(page, face)
    nose(page, face)
    mouth(page, face)
    for which in (0, 1):
        eye(page, face, which)
        brow(page, face, which)
    if person.glasses:
        glasses(page, face)
    hair_on_top(page, person)
