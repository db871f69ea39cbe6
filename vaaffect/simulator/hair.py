"""Hair: what hangs behind the head, and what lies on it."""

import numpy as np
from numpy.random import Generator

from .appearance import Identity
from .geometry import PinholeCamera
from .painting import Canvas, tone
from .strokes import Paint, curve, ellipse, fill, mirrored

# Half of the hairline (x >= 0), from the middle of the forehead to in front of the ear.
_HAIRLINES = {
    "buzz": ((0, -0.88), (0.3, -0.87), (0.55, -0.80), (0.72, -0.62), (0.86, -0.40), (0.98, 0.0)),
    "short": ((0, -0.84), (0.3, -0.86), (0.55, -0.80), (0.74, -0.58), (0.88, -0.36), (0.99, 0.12)),
    "parted": ((0, -0.86), (0.3, -0.82), (0.55, -0.72), (0.74, -0.55), (0.88, -0.34), (0.99, 0.10)),
    "fringe": ((0, -0.44), (0.3, -0.43), (0.55, -0.42), (0.78, -0.36), (0.92, -0.2), (0.99, 0.15)),
    "long": ((0, -0.86), (0.28, -0.83), (0.54, -0.70), (0.76, -0.44), (0.90, -0.16), (0.99, 0.2)),
    "bun": ((0, -0.86), (0.3, -0.84), (0.55, -0.76), (0.75, -0.56), (0.90, -0.32), (0.99, 0.0)),
    "curly": ((0, -0.80), (0.3, -0.78), (0.55, -0.70), (0.78, -0.5), (0.92, -0.3), (1.0, 0.12)),
}
_THICKNESS = {"bald": 0.0, "buzz": 0.02, "short": 0.11, "parted": 0.14, "fringe": 0.13}
_THICKNESS |= {"long": 0.15, "bun": 0.07, "curly": 0.24}

# Half of the outline of the skull (x >= 0) around its middle, from the crown to below the ear.
_SKULL = np.array([
    (0.0, -1.0), (0.36, -0.95), (0.68, -0.76), (0.90, -0.44), (1.0, -0.05), (1.0, 0.30),
    (0.93, 0.58), (0.80, 0.80), (0.60, 0.92),
])  # fmt: skip


def _skull(view: PinholeCamera, person: Identity, thickness: float) -> np.ndarray:
    """Outline (n, 2) in pixels of the head with its hair, from left over the crown to the right."""
    # The skull is round: turning it moves its outline but hardly changes it, so it is built in the
    # picture's plane and only rolls with the head.
    half = _SKULL * np.array([person.face_width * 1.02 + thickness * 0.8, 0.98 + thickness])
    both = mirrored(half)
    across = view.across
    down = np.array([-across[1], across[0]])
    centre = view.point(0.0, -0.40, -0.15)
    return curve(centre + view.scale * (both[:, :1] * across + both[:, 1:] * down), 4)


def hair_behind(page: Canvas, person: Identity) -> None:
    """The back of the head, long hair and a bun, in the colours of deep hair."""
    view, unit = page.view, page.view.scale
    style = person.hair_style
    deep = tone(person.hair, 0.62)
    if style in ("bald", "buzz"):
        deep = tone(person.skin, 0.97 if style == "bald" else 0.8)
    volume = _THICKNESS[style] * person.hair_volume
    if style == "long":
        wide = 1.05 + 0.8 * volume
        ends = [(-0.5, 1.86), (-wide + 0.12, 1.76), (-wide - 0.06, 1.2)]
        ends += [(-wide - 0.02, 0.4), (-wide, -0.1), (-0.7, -0.9)]
        left = np.column_stack([ends, [-0.25] * 6])
        path = view.project(np.concatenate([left, left[::-1] * (-1, 1, 1)]))
        page.put(curve(path, 4), deep)
    if style == "bun":
        at = view.point(0.0, -1.5, -0.3)
        page.put(ellipse(at, (0.42 * unit, 0.34 * unit)), tone(person.hair, 0.9))
        page.put(ellipse(at - 0.05 * unit, (0.26 * unit, 0.18 * unit)), tone(person.hair, 1.08))
    page.put(_skull(view, person, volume), deep)


def hair_on_top(page: Canvas, person: Identity) -> None:
    """Everything in front: from the hairline over the crown, with strands and a sheen."""
    style = person.hair_style
    if style == "bald":
        return
    view, unit = page.view, page.view.scale
    rng = np.random.default_rng([person.texture, 7])
    volume = _THICKNESS[style] * person.hair_volume
    half = np.array(_HAIRLINES[style], dtype=float)
    half[:, 1] -= person.hairline * (half[:, 0] < 0.8)
    both = mirrored(half)
    if style == "parted":
        side = 1.0 if person.texture % 2 else -1.0
        both[:, 1] += 0.16 * np.clip(side * both[:, 0], -0.2, 0.55) * (np.abs(both[:, 0]) < 0.8)
    both[:, 0] *= person.face_width
    across = np.abs(both[:, 0]) / (1.04 * person.face_width)
    depth = 0.86 * np.sqrt(np.clip(1 - across**2.3, 0, 1))
    lower = curve(view.project(np.column_stack([both, depth + 0.02])), 4)
    upper = _skull(view, person, volume)[15:-15]  # ends beside the ears, as the hairline does
    base = np.asarray(person.hair)
    if style == "buzz":
        base = 0.6 * base + 0.4 * np.asarray(person.skin) * 0.8
    if style == "curly":
        for spot in upper[:: max(len(upper) // 16, 1)]:
            radius = unit * rng.uniform(0.14, 0.21)
            page.put(ellipse(spot, radius), tone(base, rng.uniform(0.8, 1.0)))
    mass = np.concatenate([lower, upper[::-1]])
    page.put(mass, base)
    fill(page.crease, mass, 255)
    if style == "long":
        for side in (-1.0, 1.0):
            wide = (1.0 + 0.9 * volume) * person.face_width
            outer = [(0.97, -0.5), (wide + 0.03, 0.1), (wide + 0.08, 0.9), (wide - 0.06, 1.72)]
            inner = [(0.93, 1.80), (1.0, 1.0), (0.985, 0.5), (0.93, 0.0), (0.80, -0.40)]
            lock = np.array(outer + inner) * (side, 1)
            shape = curve(view.project(np.column_stack([lock, np.full(9, 0.05)])), 4)
            page.put(shape, tone(base, 0.95))
            fill(page.crease, shape, 255)
            a, b = lock[:4], lock[7:3:-1]
            for t in (0.2, 0.4, 0.6, 0.8):
                strand = np.column_stack([(1 - t) * a + t * b, np.full(4, 0.06)])
                page.line(curve(view.project(strand), 4), tone(base, rng.uniform(0.75, 1.3)), 0.015)
    if style != "buzz":
        paint = _curls if style == "curly" else _strands
        paint(page, rng, base, (lower, upper))


def _between(path: np.ndarray, place: np.ndarray) -> np.ndarray:
    """Points (n, 2) at the places (n,) in [0, 1] along a line (m, 2)."""
    index = np.linspace(0, 1, len(path))
    return np.stack([np.interp(place, index, path[:, i]) for i in (0, 1)], axis=-1)


def _strands(page: Canvas, rng: Generator, base: Paint, edges: tuple) -> None:
    """Strands from the hairline to the outline; the middle ones catch the light."""
    lower, upper = edges
    unit, count = page.view.scale, 66
    s = rng.permutation(np.linspace(0.02, 0.98, count))
    roots = _between(lower, s)[:, None]
    tips = _between(upper, np.clip(s + rng.normal(0, 0.015, count), 0, 1))[:, None]
    t = np.linspace(0, 1, 8)[None, :, None]
    bend = rng.normal(0, 0.025, (count, 1, 2)) * unit
    paths = roots + (tips - roots) * t + bend * 4 * t * (1 - t)
    for i, darker in enumerate((0.68, 0.76, 0.84, 0.9)):
        page.line(paths[i::6], tone(base, darker), 0.014)
    for i, lighter in enumerate((9, 15, 22)):
        sheen = paths[i::3, 2 + i % 2 : 6 + i % 2]
        page.line(sheen, np.clip(base + lighter, 0, 255), 0.012)


def _curls(page: Canvas, rng: Generator, base: Paint, edges: tuple) -> None:
    """Curls: arcs all over the hair, dark below and light above."""
    lower, upper = edges
    unit, count = page.view.scale, 110
    s, up = rng.random(count), rng.random(count)[:, None] * 0.92
    middle = _between(lower, s) * (1 - up) + _between(upper, s) * up
    radius = unit * rng.uniform(0.035, 0.085, count)[:, None]
    angle = rng.uniform(0, 2 * np.pi, count)[:, None] + np.linspace(0, 4.2, 9)
    arcs = middle[:, None] + radius[..., None] * np.stack([np.cos(angle), np.sin(angle)], -1)
    for i, factor in enumerate((0.6, 0.75, 1.18, 1.35, 0.68)):
        page.line(arcs[i::5], tone(base, factor), 0.018)
