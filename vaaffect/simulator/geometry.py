"""The head in three dimensions: its surface, its features under expression, and the camera.

Coordinates are face units (half the width of an average face at the eyes): x to the right of the
image, y down with 0 at the eyes, z towards the camera with 0 at the ears.
"""

import functools
from dataclasses import dataclass

import numpy as np
from scipy.interpolate import PchipInterpolator

from .appearance import Identity, Scene
from .circumplex import ACTION_UNITS
from .strokes import mirrored

# The head as a stack of horizontal cross-sections: half width, depth of the front, and depth of the
# edge that is seen as the outline from the front (the ear above, the jaw line further down).
_LEVEL = [-1.36, -1.28, -1.1, -0.8, -0.4, 0, 0.28, 0.55, 0.81, 1.05, 1.27, 1.455, 1.6, 1.65]
_WIDTH = [0, 0.42, 0.74, 0.95, 1.03, 1.02, 1, 0.975, 0.93, 0.835, 0.69, 0.50, 0.265, 0]
_FRONT = [0, 0.42, 0.66, 0.82, 0.88, 0.86, 0.86, 0.87, 0.9, 0.9, 0.88, 0.84, 0.74, 0.7]
_EDGE = [0, 0, 0, 0, 0, 0, 0, 0.03, 0.09, 0.2, 0.36, 0.54, 0.67, 0.7]
_JAW_LEVELS = np.array([0.02, 0.29, 0.56, 0.82, 1.06, 1.28, 1.46, 1.6, 1.65])
_FLATNESS = 2.3  # of a cross-section: 2 is an ellipse, more is flatter in front

# Bumps of the surface: centre x and y, spread x and y, height. Mirrored where x is not 0.
_BUMPS = (
    (0.0, 0.10, 0.11, 0.16, 0.10),  # bridge of the nose
    (0.0, 0.34, 0.11, 0.16, 0.17),
    (0.0, 0.53, 0.125, 0.11, 0.29),  # its tip
    (0.16, 0.60, 0.075, 0.075, 0.13),  # its wings
    (0.40, 0.03, 0.19, 0.13, -0.13),  # eye sockets
    (0.42, -0.26, 0.30, 0.10, 0.05),  # brow ridges
    (0.60, 0.42, 0.22, 0.20, 0.07),  # cheek bones
    (0.0, 0.98, 0.26, 0.13, 0.09),  # mouth
    (0.0, 1.22, 0.22, 0.05, -0.05),  # hollow under the lower lip
    (0.0, 1.45, 0.20, 0.13, 0.09),  # chin
)


@dataclass(frozen=True)
class Head:
    """A person's head at rest, as tables over the level y."""

    level: np.ndarray
    width: np.ndarray
    front: np.ndarray
    edge: np.ndarray

    def at(self, y: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Half width, depth of the front and depth of the edge at levels y."""
        return tuple(np.interp(y, self.level, t) for t in (self.width, self.front, self.edge))

    def depth(self, x: np.ndarray, y: np.ndarray) -> np.ndarray:
        """Depth z of the front at (x, y), with its bumps."""
        width, front, edge = self.at(y)
        side = np.abs(x)
        across = np.clip(side / np.maximum(width, 1e-3), 0, 1)
        bumps = 0.0
        for cx, cy, sx, sy, h in _BUMPS:
            bumps = bumps + h * np.exp(-0.5 * (((side - cx) / sx) ** 2 + ((y - cy) / sy) ** 2))
        return edge + (front - edge) * _arch(across) + bumps * (1 - across**6)

    @functools.cached_property
    def grid(self) -> np.ndarray:
        """The front as a grid (rows, columns, 3); not to be changed."""
        rows = np.linspace(_LEVEL[0] + 0.01, _LEVEL[-1] - 0.01, 76)
        x = self.at(rows)[0][:, None] * np.sin(np.linspace(-np.pi / 2, np.pi / 2, 60))
        y = np.broadcast_to(rows[:, None], x.shape)
        return np.stack([x, y, self.depth(x, y)], axis=-1)


def _arch(across: np.ndarray) -> np.ndarray:
    """How far a cross-section bulges, 1 in the middle (0) and 0 at the edge (1)."""
    return (1 - across**_FLATNESS) ** (1 / _FLATNESS)


def _smoothstep(low: float, high: float, value: np.ndarray) -> np.ndarray:
    t = np.clip((value - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


@functools.lru_cache(maxsize=16)
def _head(identity: Identity) -> Head:
    """The head of a person; the same object for the same person, as it is needed for each frame."""
    level = np.linspace(_LEVEL[0], _LEVEL[-1], 256)
    jaw = 1 + (identity.jaw_width - 1) * 1.5 * _smoothstep(0.3, 1.2, level)
    width, front, edge = (PchipInterpolator(_LEVEL, at)(level) for at in (_WIDTH, _FRONT, _EDGE))
    return Head(level, width * identity.face_width * jaw, front, edge)


def _jaw_shift(u: dict[str, float], y: np.ndarray) -> np.ndarray:
    """How far down an open jaw takes the skin that lies at level y at rest."""
    return (0.28 * u["jaw_drop"] - 0.03 * u["chin_raiser"]) * _smoothstep(0.72, 1.35, y)


def _stretch(identity: Identity, points: np.ndarray) -> np.ndarray:
    """Long and short faces: scales, in place, what lies below the eyes."""
    points[..., 1] *= np.where(points[..., 1] > 0, identity.face_length, 1)
    return points


@dataclass(frozen=True)
class Face:
    """A person's face under expression, with the control points of what is drawn on it, (n, 3)
    each, in the order of the landmarks."""

    person: Identity
    mood: dict[str, float]  # action units by name, in [0, 1]
    head: Head
    brows: tuple[np.ndarray, np.ndarray]  # 5 each, from image left to right
    nose: np.ndarray  # 4 on the bridge, 5 on the base
    eyes: tuple[np.ndarray, np.ndarray]  # image left, image right, 6 each
    opening: float  # of the eyes, 0 closed, 1 average
    irises: np.ndarray  # (2, 3)
    outer_lip: np.ndarray  # 12
    inner_lip: np.ndarray  # 8

    def surface(self) -> np.ndarray:
        """The grid of the head under expression: dropped jaw, raised cheeks, bulging brows."""
        grid, u = self.head.grid.copy(), self.mood
        x, y = np.abs(grid[..., 0]), grid[..., 1]
        cheek = 0.05 * u["lip_corner_puller"] + 0.08 * u["cheek_raiser"] + 0.04 * u["nose_wrinkler"]
        cheek *= np.exp(-0.5 * (((x - 0.58) / 0.17) ** 2 + ((y - 0.42) / 0.14) ** 2))
        frown = 0.05 * u["brow_lowerer"] + 0.03 * u["nose_wrinkler"]
        frown *= np.exp(-0.5 * (((x - 0.1) / 0.1) ** 2 + ((y + 0.16) / 0.08) ** 2))
        grid[..., 2] += cheek
        grid[..., 2] += frown
        grid[..., 1] += _jaw_shift(u, y)
        return _stretch(self.person, grid)


def _brow(identity: Identity, u: dict[str, float]) -> np.ndarray:
    """The brow at image right, from the inner to the outer end, (5, 2)."""
    x = np.array([0.165, 0.335, 0.515, 0.68, 0.80])
    arch = np.array([0.0, 0.065, 0.095, 0.055, -0.035])
    y = -0.235 - arch * identity.brow_arch - identity.rest_brow
    inner = np.array([1.0, 0.62, 0.25, 0.05, 0.0])
    outer = np.array([0.0, 0.35, 0.8, 1.0, 0.9])
    y = y - 0.17 * u["inner_brow_raiser"] * inner - 0.16 * u["outer_brow_raiser"] * outer
    lowered = 0.15 * u["brow_lowerer"] * (1 - 0.55 * u["inner_brow_raiser"])
    y = y + lowered * (inner + 0.25) + identity.rest_frown * inner
    y = y + 0.07 * u["nose_wrinkler"] * (inner + 0.3)
    x = x - (0.055 * u["brow_lowerer"] + 0.02 * u["nose_wrinkler"]) * inner
    return np.stack([x, y], axis=-1)


def _eye(identity: Identity, u: dict[str, float]) -> tuple[np.ndarray, float]:
    """The eye at image right: inner corner, upper lid, outer corner, lower lid (6, 2); opening."""
    size, centre = identity.eye_size, 0.425 * identity.eye_spacing
    half = 0.18 * size
    upper = 0.102 * size * (1 + 0.62 * identity.rest_lid)
    upper *= 1 + 0.66 * u["lid_raiser"] - 0.22 * u["lid_tightener"] - 0.22 * u["cheek_raiser"]
    upper *= 1 - 0.15 * u["nose_wrinkler"]
    squint = 0.5 * u["lid_tightener"] + 0.55 * u["cheek_raiser"] + 0.3 * u["nose_wrinkler"]
    lower = 0.058 * size * (1 + 0.25 * u["lid_raiser"] - min(squint, 0.95))
    upper = upper * (1 - u["lid_droop"]) - 0.75 * lower * u["lid_droop"] ** 2
    opening = (upper + lower) / (0.15 * size)
    x = np.array([-half, -0.40 * half, 0.36 * half, half, 0.36 * half, -0.40 * half]) + centre
    slope = -(identity.eye_tilt + 0.012) * (x - centre) / half
    sad = 0.02 * u["inner_brow_raiser"] * (1 - u["outer_brow_raiser"])
    y = np.array([0.022, -upper, -upper * 0.98 + sad, 0.012, lower, lower * 0.92])
    return np.stack([x, y + slope], axis=-1), max(opening, 0.0)


def _nose(identity: Identity, u: dict[str, float]) -> np.ndarray:
    """Bridge from the top down (4), then the base from left to right (5), (9, 2)."""
    lift = 0.06 * u["nose_wrinkler"] + 0.02 * u["upper_lip_raiser"]
    wide = identity.nose_width * (1 + 0.12 * u["nose_wrinkler"] + 0.06 * u["lip_corner_puller"])
    bridge = np.array([[0, -0.02], [0, 0.16], [0, 0.34], [0, 0.52 - 0.5 * lift]])
    wing, hole, tip = 0.625 - lift, 0.665 - 0.6 * lift, 0.69 - 0.3 * lift
    base = np.array([[-0.195, wing], [-0.10, hole], [0, tip], [0.10, hole], [0.195, wing]])
    return np.concatenate([bridge, base]) * (wide, identity.nose_length)


def _mouth(identity: Identity, u: dict[str, float]) -> tuple[np.ndarray, np.ndarray]:
    """Outer lip (12, 2) and inner lip (8, 2), from the image-left corner over the top."""
    puller, stretcher, tight = u["lip_corner_puller"], u["lip_stretcher"], u["lip_tightener"]
    thick = identity.lip_thickness * (1 - 0.62 * tight) * (1 - 0.22 * puller)
    thick *= (1 - 0.15 * stretcher) * (1 - 0.22 * u["lip_corner_depressor"])
    wide, line = identity.mouth_width, 0.95
    # Half of the mouth (x >= 0) from the middle to the corner: upper edge, then lower edge.
    half_x = np.array([0.0, 0.085, 0.24, 0.40]) * wide
    top = line + np.array([-0.078, -0.092, -0.062, 0.0]) * thick
    bottom = line + np.array([0.165, 0.158, 0.105, 0.0]) * thick
    inner_x = np.array([0.0, 0.10, 0.35]) * wide
    inner_top = line + np.array([0.006, -0.002, 0.0])
    inner_bottom = line + np.array([0.010, 0.004, 0.0])

    parted, drop = 0.055 * u["lips_part"], 0.34 * u["jaw_drop"]
    raised = 0.085 * u["upper_lip_raiser"] + 0.03 * u["nose_wrinkler"] + 0.025 * puller
    raised += 0.045 * u["jaw_drop"]
    lowered, pout = 0.075 * u["lower_lip_depressor"], 0.055 * u["chin_raiser"]
    flat = np.array([1.0, 0.95, 0.6, 0.0])
    top = top - (raised + 0.3 * parted) * flat - 0.5 * pout * flat
    bottom = bottom + (parted + drop + lowered) * np.array([1.0, 0.97, 0.80, 0.0]) - pout * flat
    inner_flat = np.array([1.0, 0.93, 0.0])
    inner_top = inner_top - (0.8 * raised + 0.4 * parted) * inner_flat - 0.5 * pout * inner_flat
    inner_bottom = inner_bottom + (parted + drop + lowered) * inner_flat - 0.8 * pout * inner_flat
    inner_bottom = np.maximum(inner_bottom, inner_top)

    # An open mouth is round below, not pointed.
    inner_x[1] += 0.07 * u["jaw_drop"]
    half_x[1] += 0.03 * u["jaw_drop"]

    corner_y = -0.17 * puller + 0.15 * u["lip_corner_depressor"] + 0.04 * stretcher
    corner_y += 0.10 * u["jaw_drop"] - identity.rest_corner
    corner_x = 0.14 * puller + 0.11 * stretcher - 0.03 * u["jaw_drop"] * (1 - stretcher)
    corner_x -= 0.03 * tight + 0.03 * u["chin_raiser"] - 0.02 * u["lip_corner_depressor"]
    # The middle moves a little against the corners: the line of the lips stays about as long.
    bend = lambda x: np.clip(x / (0.40 * wide), 0, 1) ** 1.7 - 0.12  # noqa: E731
    for x, ys in ((half_x, (top, bottom)), (inner_x, (inner_top, inner_bottom))):
        for y in ys:
            y += corner_y * bend(x)
        x += corner_x * np.clip(x / (0.40 * wide), 0, 1)
    inner_bottom[-1] = inner_top[-1]
    return _ring(half_x, top, bottom), _ring(inner_x, inner_top, inner_bottom)


def _ring(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """Mirrors half a mouth and walks around it as the landmarks do."""
    over, under = (mirrored(np.stack([x, y], axis=-1)) for y in (top, bottom))
    return np.concatenate([over, under[-2:0:-1]])


def face_of(identity: Identity, units: np.ndarray, gaze: tuple[float, float]) -> Face:
    """A person's face under action units (n_aus,), with its features on the surface of the head."""
    head = _head(identity)
    u = dict(zip(ACTION_UNITS, np.clip(units, 0, 1).astype(float).tolist(), strict=True))
    narrow, flip = identity.face_width**0.6, np.array([-1.0, 1.0])

    def lift(points: np.ndarray, height: float = 0.0) -> np.ndarray:
        # The depth is taken at rest: a jaw that drops slides the lips down in front of it.
        x, y = points.T
        z = head.depth(x, np.minimum(y, 1.2)) + height
        return _stretch(identity, np.column_stack([x * narrow, y, z]))

    brow = _brow(identity, u)
    eye, opening = _eye(identity, u)
    outer, inner = _mouth(identity, u)
    middle = 0.425 * identity.eye_spacing
    nose = lift(_nose(identity, u))
    nose[5:8, 2] += np.array([0.02, 0.06, 0.02])
    return Face(
        person=identity,
        mood=u,
        head=head,
        brows=(lift(brow[::-1] * flip, 0.02), lift(brow, 0.02)),
        nose=nose,
        eyes=(lift((eye * flip)[[3, 2, 1, 0, 5, 4]]), lift(eye)),
        opening=opening,
        irises=lift([[-middle, -0.018], [middle, -0.018]] + np.array(gaze) * (0.09, 0.05)),
        outer_lip=lift(outer),
        inner_lip=lift(inner, -0.01),
    )


@dataclass(frozen=True)
class PinholeCamera:
    """Weak perspective: turns the head about a point inside it and projects it."""

    rotation: np.ndarray  # (3, 3)
    scale: float  # pixels per face unit
    origin: np.ndarray  # (2,) pixels, where the pivot lies

    _PIVOT = np.array([0.0, 0.45, 0.0])
    _DISTANCE = 11.0  # of the camera, face units

    @property
    def across(self) -> np.ndarray:
        """Where in the picture the head's own right lies, a unit vector (2,)."""
        across = self.rotation[:2, 0]
        return across / np.hypot(*across)

    @property
    def down(self) -> np.ndarray:
        """The direction from forehead to chin in the picture, a unit vector (2,)."""
        down = self.rotation[:2, 1]
        return down / np.hypot(*down)

    def project(self, points: np.ndarray | list) -> np.ndarray:
        """Points (..., 3) in face units to pixels (..., 2)."""
        turned = (points - self._PIVOT) @ self.rotation.T
        near = (self._DISTANCE - 0.6) / (self._DISTANCE - turned[..., 2:])
        return self.origin + self.scale * near * turned[..., :2]

    def point(self, x: float, y: float, z: float) -> np.ndarray:
        """One point in face units to pixels (2,)."""
        return self.project([[x, y, z]])[0]


def pinhole_camera(scene: Scene, size: tuple[int, int]) -> PinholeCamera:
    """The camera of a scene for pictures of `size` (width, height)."""
    yaw, pitch, roll = np.radians([scene.yaw, scene.pitch, scene.roll])
    (cy, sy), (cp, sp), (cr, sr) = ((np.cos(angle), np.sin(angle)) for angle in (yaw, pitch, roll))
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    about_x = np.array([[1, 0, 0], [0, cp, sp], [0, -sp, cp]])
    about_z = np.array([[cr, -sr, 0], [sr, cr, 0], [0, 0, 1]])
    scale = scene.scale * size[1]
    origin = np.array([scene.centre[0] * size[0], scene.centre[1] * size[1] + 0.45 * scale])
    return PinholeCamera(about_z @ about_x @ about_y, scale, origin)


def outline(view: PinholeCamera, face: Face, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Visible left and right outlines (levels, 2) in pixels of the head at levels y.

    On the side that turns away this is the silhouette of the cheek, on the other side the line of
    jaw and ear: what annotators of the 68 points mark.
    """
    across = np.sin(np.linspace(-np.pi / 2, np.pi / 2, 33))  # from left to right
    width, front, edge = (table[:, None] for table in face.head.at(y))
    x, z = width * across, edge + (front - edge) * _arch(np.abs(across))
    level = np.broadcast_to((y + _jaw_shift(face.mood, y))[:, None], x.shape)
    seen = view.project(_stretch(face.person, np.stack([x, level, z], axis=-1)))
    along = seen @ view.across
    rows = np.arange(len(y))
    left, right = along[:, :17].argmin(axis=1), 16 + along[:, 16:].argmax(axis=1)
    return seen[rows, left], seen[rows, right]


def landmarks(view: PinholeCamera, face: Face) -> np.ndarray:
    """The 68 points (68, 2) in pixels, iBUG order."""
    left, right = outline(view, face, _JAW_LEVELS)
    jaw = np.concatenate([left[:-1], (left[-1:] + right[-1:]) / 2, right[-2::-1]])
    solid = [*face.brows, face.nose, *face.eyes, face.outer_lip, face.inner_lip]
    return np.concatenate([jaw, view.project(np.concatenate(solid))])
