"""Paints a head layer by layer: flat colours, soft shading, and the lines of the skin.

A `Canvas` keeps three layers that are put together at the end: flat `colour`, a `cover` mask of
where the person is, and `crease`, which darkens the skin along folds and is blurred. Shading is
computed from the surface of the head at a quarter of the resolution, as it is smooth.
"""

import cv2
import numpy as np

from .appearance import Scene
from .geometry import Face, PinholeCamera
from .strokes import Paint, curve, ellipse, fill, line, mirrored, spindle, taper


class Canvas:
    """Empty layers of a picture, (height, width, ...) uint8, and the camera that fills them."""

    def __init__(self, view: PinholeCamera, width: int, height: int) -> None:
        self.view = view
        self.colour = np.zeros((height, width, 3), np.uint8)
        self.cover = np.zeros((height, width), np.uint8)
        self.crease = np.full((height, width), 255, np.uint8)

    def put(self, points: np.ndarray, colour: Paint) -> None:
        """Fills a polygon in pixels with colour and takes its area for the person."""
        fill(self.colour, points, colour)
        fill(self.cover, points, 255)

    def inset(self, outline: np.ndarray, margin: float) -> tuple[np.ndarray, np.ndarray]:
        """The part of the colours around an outline (n, 2), and its low corner (x, y) in pixels."""
        low = np.floor(outline.min(axis=0) - margin).astype(int).clip(0)
        high = np.ceil(outline.max(axis=0) + margin).astype(int)
        return self.colour[low[1] : high[1], low[0] : high[0]], low

    def line(self, points: np.ndarray, colour: Paint, width: float) -> None:
        """Draws a line given in pixels; its width is in face units."""
        line(self.colour, points, colour, width * self.view.scale)

    def fold(self, points: np.ndarray | list, strength: float, width: float) -> None:
        """A fold of the skin along points (n, 3): `strength` 0 to 1, `width` in face units."""
        if strength > 0.02:
            path = curve(self.view.project(points), 5)
            widths = width * self.view.scale * spindle(len(path))
            fill(self.crease, taper(path, widths), 255 * (1 - min(strength, 1.0)))


def tone(colour: Paint, factor: float) -> np.ndarray:
    """A lighter or darker tone of a colour."""
    return np.clip(np.asarray(colour) * factor, 0, 255)


def shade(page: Canvas, surface: np.ndarray, scene: Scene) -> np.ndarray:
    """Light on the head, float32 (height, width, 3), 1 for skin that faces an average light.

    `surface` (rows, columns, 3) is in face units. Lambert's law with wrapped light and a weak
    gloss; points are collected in cells of 4 x 4 pixels and smoothed, which also spreads the light
    of the head to hair, ears and neck.
    """
    view, shape = page.view, page.cover.shape
    normal = np.cross(np.gradient(surface, axis=1), np.gradient(surface, axis=0))
    normal /= np.maximum(np.linalg.norm(normal, axis=-1, keepdims=True), 1e-9)
    normal = normal @ view.rotation.T
    towards = np.asarray(scene.light)
    lambert = np.clip((normal @ towards + 0.2) / 1.2, 0, None)
    half = towards + np.array([0, 0, 1.0])
    gloss = np.clip(normal @ (half / np.linalg.norm(half)), 0, None) ** 24
    facing = np.clip(normal[..., 2], 0, 1)
    rim = 0.80 + 0.20 * np.clip(facing * 1.6, 0, 1)
    light = (scene.ambient + (1.10 - scene.ambient) * lambert) * rim + 0.08 * gloss
    height, width = -(-shape[0] // 4), -(-shape[1] // 4)
    at = view.project(surface) / 4
    column, row = np.clip(at.astype(int), 0, (width - 1, height - 1)).reshape(-1, 2).T
    cell = row * width + column
    weight = np.where(facing > 0.02, facing + 0.02, 0.0).ravel()
    total = np.bincount(cell, weight * light.ravel(), height * width)
    count = np.bincount(cell, weight, height * width)
    layers = np.stack([total, count], -1).reshape(height, width, 2).astype(np.float32)
    sharp = cv2.GaussianBlur(layers, (0, 0), view.scale / 4 * 0.045)
    wide = cv2.GaussianBlur(layers, (0, 0), view.scale / 4 * 0.30)
    wide += np.float32([0.72e-3, 1e-3])  # where no point fell: a shadow
    mixed = sharp + 0.04 * wide
    result = cv2.merge([mixed[..., 0] / mixed[..., 1]] * 3)
    for x in (-0.56, 0.56):  # red cheeks
        spot = view.point(x, 0.48, 0.7) / 4
        red = np.zeros((height, width), np.float32)
        fill(red, ellipse(spot, (view.scale * 0.05, view.scale * 0.045)), 0.10)
        red = cv2.GaussianBlur(red, (0, 0), view.scale * 0.03)
        result[..., 1:] *= 1 - red[..., None]
    result = cv2.resize(result, (width * 4, height * 4), interpolation=cv2.INTER_LINEAR)
    return result[: shape[0], : shape[1]]


def eye(page: Canvas, face: Face, which: int) -> None:
    """One eye: white, iris, lids and lashes; `which` is 0 at image left, 1 at image right."""
    view, unit, person = page.view, page.view.scale, face.person
    ring = view.project(face.eyes[which])
    upper, lower = curve(ring[:4], 6), curve(np.concatenate([ring[3:], ring[:1]]), 6)
    almond = np.concatenate([upper, lower])
    # Lid above the eye: a little darker than the skin, more to see the more it droops.
    bulge = np.sin(np.linspace(0, np.pi, len(upper)))[:, None]
    lift = unit * (0.045 + 0.05 * face.mood["lid_droop"]) * bulge
    crease = upper - view.down * lift
    fill(page.colour, np.concatenate([crease, upper[::-1]]), tone(person.skin, 0.88))
    box, low = page.inset(almond, 4)
    if box.size and face.opening > 0.06:
        ball = np.full_like(box, (236, 232, 226))
        centre = view.point(*face.irises[which]) - low
        radius = 0.083 * person.eye_size**0.5 * unit
        fill(ball, ellipse(centre, radius), tone(person.iris, 0.45))
        fill(ball, ellipse(centre, radius * 0.84), tone(person.iris, 1.1))
        fill(ball, ellipse(centre, radius * 0.46), (14, 12, 12))
        shadow = np.concatenate([upper, upper[::-1] + view.down * unit * 0.028]) - low
        veil = ball.copy()
        fill(veil, shadow, (96, 84, 80))
        ball = cv2.addWeighted(ball, 0.55, veil, 0.45, 0)
        glint = centre + np.array([-0.35, -0.38]) * radius
        fill(ball, ellipse(glint, radius * 0.24), (255, 255, 255))
        _put_into(box, ball, almond - low)
    page.line(lower, tone(person.skin, 0.62), 0.018)
    widths = unit * np.interp(np.linspace(0, 1, len(upper)), [0, 0.5, 1], [0.030, 0.046, 0.030])
    fill(page.colour, taper(upper, widths), tone(person.hair, 0.35) * 0.6 + (10, 6, 6))
    page.line(crease, tone(person.skin, 0.66), 0.016)


def brow(page: Canvas, face: Face, which: int) -> None:
    """One brow: a tapered stroke with a few hairs; `which` as of `eye`."""
    unit, person = page.view.scale, face.person
    path = curve(page.view.project(face.brows[which]), 5)
    t = np.linspace(0, 1, len(path))
    t = t[::-1] if which else t
    shape = np.interp(t, [0, 0.35, 0.85, 1], [0.25, 0.8, 1, 0.7])
    widths = unit * 0.105 * person.brow_thickness**0.6 * shape
    hair = 0.75 * np.asarray(person.hair) + 0.25 * np.asarray(person.skin) * 0.5
    hair *= 1 if sum(person.hair) < 420 else 0.72
    fill(page.colour, taper(path, widths), hair)
    for shift in (-0.2, 0.15):
        inside = path[2:-2] + page.view.down * (widths[2:-2, None] * shift)
        page.line(inside, hair * 0.72, 0.014)


def nose(page: Canvas, face: Face) -> None:
    """Shadow, nostrils and wings; the bridge itself comes from the shading."""
    view, unit, person, mood = page.view, page.view.scale, face.person, face.mood
    base = face.nose[4:]
    for side, wing, inner in ((-1, base[0], base[1]), (1, base[4], base[3])):
        hole = view.point(*(0.62 * inner + 0.38 * wing + [0, 0.002, 0]))
        tilt = side * 0.35 + np.arctan2(view.rotation[1, 0], view.rotation[0, 0])
        radii = (unit * 0.058 * person.nose_width, unit * 0.026)
        fill(page.colour, ellipse(hole, radii, tilt), tone(person.skin, 0.33))
        x = side * np.array([-0.015, 0.030, 0.026, -0.03])
        over = wing + np.column_stack([x, [-0.115, -0.07, -0.01, 0.035], [-0.02, -0.02, 0, 0.02]])
        page.fold(over, 0.42 + 0.2 * mood["nose_wrinkler"], 0.035)
    page.fold(base[1:4] + np.array([0, 0.012, 0]), 0.34, 0.06)
    z = base[2, 2]
    for side in (-1, 1):
        tip = [[side * 0.10, 0.40, z], [side * 0.125, 0.5, z], [side * 0.11, 0.57, z]]
        page.fold(tip, 0.12, 0.06)
    if mood["nose_wrinkler"] > 0.05:
        z = face.nose[1, 2]
        for y, half in ((0.02, 0.10), (0.11, 0.13), (0.20, 0.14)):
            ridge = mirrored([[0, y - 0.02, z], [half, y + 0.03, z - 0.05]])
            page.fold(ridge, 0.5 * mood["nose_wrinkler"], 0.04)


def mouth(page: Canvas, face: Face) -> None:
    """Lips, and between them teeth, tongue and dark."""
    view, unit, mood = page.view, page.view.scale, face.mood
    outer, inner = view.project(face.outer_lip), view.project(face.inner_lip)
    over = curve(outer[:7], 5)
    under = curve(np.concatenate([outer[6:], outer[:1]]), 5)
    inside_top = curve(inner[:5], 6)
    inside_bottom = curve(np.concatenate([inner[4:], inner[:1]]), 6)
    lips = np.asarray(face.person.lips)
    fill(page.colour, np.concatenate([over, under]), lips)
    # The upper lip faces down and lies in shadow, the lower lip catches the light.
    seam = np.concatenate([outer[:1], inside_top, outer[6:7]])
    fill(page.colour, np.concatenate([over, seam[::-1]]), lips * 0.82)
    path = curve((outer[8:11] + inner[[5, 6, 7]]) / 2, 5)
    widths = np.linalg.norm(outer[9] - inner[6]) * 0.42 * spindle(len(path))
    fill(page.colour, taper(path, widths), np.clip(lips * 1.16 + 8, 0, 255))
    hole = np.concatenate([inside_top, inside_bottom])
    gap = float(np.linalg.norm(inner[6] - inner[2])) / unit
    box, low = page.inset(hole, 2)
    if gap > 0.03 and box.size:
        cave = np.full_like(box, (52, 14, 16))
        down, width = view.down * unit, inner[4] - inner[0]
        radii = (np.linalg.norm(width) * 0.30, gap * unit * 0.42)
        tongue = ellipse(inner[6] - low + 0.02 * down, radii, np.arctan2(width[1], width[0]))
        fill(cave, tongue, (168, 74, 74))
        teeth, bottom = inside_top - low, inside_bottom - low
        # A smile bares the teeth, a dropped jaw shows the dark behind them.
        depth = min(0.15, 0.03 + 0.62 * gap) * (1 - 0.45 * mood["jaw_drop"]) * down
        fill(cave, np.concatenate([teeth, teeth[::-1] + depth]), (240, 236, 224))
        if gap > 0.06 and mood["jaw_drop"] < 0.75:
            edge = min(0.06, 0.22 * gap) * down
            fill(cave, np.concatenate([bottom, bottom[::-1] - edge]), (222, 214, 200))
        for t in (0.26, 0.38, 0.5, 0.62, 0.74):
            at = teeth[round(t * (len(teeth) - 1))]
            line(cave, np.array([at, at + depth]), (206, 198, 186), unit * 0.008)
        _put_into(box, cave, hole - low)
    page.line(seam, lips * 0.42, 0.026)
    if gap > 0.03:
        page.line(inside_bottom, lips * 0.6, 0.016)
    for corner in (outer[0], outer[6]):
        fill(page.colour, ellipse(corner, (unit * 0.022, unit * 0.018)), lips * 0.5)


def folds(page: Canvas, face: Face) -> None:
    """Lines and hollows of the skin: with age, and with the action units that make them."""
    age, mood = face.person.age, face.mood
    smile = mood["lip_corner_puller"]
    sneer = max(mood["upper_lip_raiser"], mood["nose_wrinkler"])
    for right in (0, 1):
        corner, wing, ring = face.outer_lip[6 * right], face.nose[4 + 4 * right], face.eyes[right]
        out = np.array([2 * right - 1, 0, 0])
        above = wing + out * 0.06 + [0, -0.06, 0.02]
        middle = (wing + corner) / 2 + out * (0.13 + 0.07 * smile) + [0, -0.04, 0.05]
        below = corner + out * (0.13 + 0.03 * smile) + [0, -0.02 + 0.1 * (1 - smile), 0]
        page.fold([above, middle, below], 0.04 + 0.14 * age + 0.20 * smile + 0.24 * sneer, 0.055)
        drop = [corner + out * 0.03, corner + out * 0.06 + [0, 0.13, -0.03]]
        page.fold(drop, 0.32 * mood["lip_corner_depressor"] + 0.1 * age, 0.05)
        below = ring[[3, 4, 5, 0] if right else [0, 5, 4, 3]] + [0, 0.075, 0.0]
        bag = 0.10 + 0.14 * age + 0.26 * mood["cheek_raiser"] + 0.16 * mood["lid_tightener"]
        page.fold(below, bag, 0.05)
        end = ring[3 * right]
        crow = 0.22 * mood["cheek_raiser"] + 0.12 * max(age - 0.4, 0)
        for rise in (-0.07, 0.0, 0.07):
            start = end + out * 0.06 + [0, 0.3 * rise, 0]
            page.fold([start, end + out * 0.17 + [0, rise, -0.08]], crow, 0.025)
        frown = mood["brow_lowerer"] * 0.6 + 0.25 * mood["nose_wrinkler"] + 0.08 * age
        inner = face.brows[1][0] if right else face.brows[0][4]
        ridge = [inner - out * 0.075 - [0, 0.10, 0], inner - out * 0.09 + [0, 0.09, 0]]
        page.fold(ridge, frown, 0.04)
    raised, wide = mood["inner_brow_raiser"], mood["outer_brow_raiser"]
    for i, y in enumerate((-0.52, -0.62, -0.72)):
        reach, bow = 0.25 + 0.42 * wide, 0.05 * (1 - wide) * raised
        x = np.linspace(-reach, reach, 7)
        ridge = np.column_stack([x, y - bow * np.cos(x / reach * np.pi), 0.86 - 0.18 * x**2])
        page.fold(ridge, (0.40 * max(raised, wide) - 0.03 * i) + 0.22 * max(age - 0.35, 0), 0.035)
    lip = face.outer_lip[8:11] + np.array([0, 0.045, -0.02])
    page.fold(lip, 0.26 + 0.15 * mood["chin_raiser"], 0.09)
    if mood["chin_raiser"] > 0.1:
        x = np.linspace(-0.17, 0.17, 5)
        y = face.outer_lip[9, 1] + 0.16 - 0.5 * x**2
        chin = np.column_stack([x, y, np.full(5, 0.95)])
        page.fold(chin, 0.3 * mood["chin_raiser"], 0.05)
    longer = face.nose[6, 1] - 0.69
    page.fold([[0, 0.74 + longer, 1.02], [0, 0.82 + longer, 1.02]], 0.10, 0.06)  # above the lip


def glasses(page: Canvas, face: Face) -> None:
    """A thin frame around both eyes."""
    view, person = page.view, face.person
    colour = tone(person.hair, 0.5) if sum(person.hair) < 300 else np.array([60, 40, 34])
    t = np.linspace(0, 2 * np.pi, 28)
    x, y = (np.sign(wave) * np.abs(wave) ** 0.7 for wave in (np.cos(t), np.sin(t)))
    shape = np.stack([0.31 * x, 0.235 * y + 0.04, 0 * t + 0.14], -1)
    left, right = (eye.mean(axis=0) * np.array([1, 0, 1]) + shape for eye in face.eyes)
    for rim in (left, right):
        page.line(view.project(rim), colour, 0.03)
    bridge = np.array([left[0], (left[0] + right[14]) / 2 + [0, -0.05, 0.05], right[14]])
    page.line(curve(view.project(bridge), 4), colour, 0.035)
    for hinge, side in ((left[14], -1), (right[0], 1)):
        arm = np.array([hinge, [side * 1.03 * person.face_width, -0.02, -0.05]])
        page.line(view.project(arm), colour, 0.03)


def beard(page: Canvas, face: Face, sides: tuple[np.ndarray, np.ndarray]) -> None:
    """Beard and moustache as a soft tint of the skin; `sides` are the outlines below the ears."""
    view, person = page.view, face.person
    height, width = page.cover.shape
    mask = np.zeros((-(-height // 2), -(-width // 2)), np.uint8)
    left, right = sides
    y = face.outer_lip[0, 1]
    cheek = np.array([[0.78, y - 0.32, 0.45], [0.60, y - 0.10, 0.66], [0.50, y + 0.05, 0.85]])
    inner = view.project(np.concatenate([cheek * (-1, 1, 1), cheek[::-1]]))
    fill(mask, np.concatenate([left, right[::-1], inner[::-1]]) / 2, 255)
    ends = (face.outer_lip[[0, 6]] + [0, -0.03, 0]) * [1.12, 1, 1]
    base = face.nose[[4, 6, 8]] + [0, 0.05, 0]
    low = [(0.50, y + 0.16, 0.85), (0, y + 0.2, 1)]
    stache = [[(-0.50, y + 0.16, 0.85)], ends[:1], base, ends[1:], low]
    fill(mask, view.project(np.concatenate(stache)) / 2, 255)
    chin = [[-0.42, y, 0.9], [0.42, y, 0.9], [0.5, y + 0.4, 0.8], [-0.5, y + 0.4, 0.8]]
    fill(mask, view.project(chin) / 2, 255)
    mask = cv2.GaussianBlur(mask, (0, 0), view.scale * 0.03)
    mask = cv2.resize(mask, (mask.shape[1] * 2, mask.shape[0] * 2))[:height, :width]
    rng = np.random.default_rng([person.texture, 5])
    grain = rng.integers(150, 256, (64, 64), dtype=np.uint8)
    grain = np.tile(grain, (height // 64 + 1, width // 64 + 1))[:height, :width]
    strength = 0.85 if person.beard > 0.6 else person.beard
    mask = cv2.multiply(mask, grain, scale=strength / 255)
    page.colour[:] = blend(page.colour, np.full_like(page.colour, tone(person.hair, 0.8)), mask)


def _put_into(box: np.ndarray, top: np.ndarray, outline: np.ndarray) -> None:
    """Draw `top` over a part of a picture, inside an outline."""
    inside = np.zeros(box.shape[:2], np.uint8)
    fill(inside, outline, 255)
    box[:] = blend(box, top, inside)


def blend(under: np.ndarray, top: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """`top` over `under` where `mask` (height, width) uint8 is 255."""
    weight = mask.astype(np.float32) * (1 / 255)
    return cv2.blendLinear(top, np.ascontiguousarray(under), weight, 1 - weight)
