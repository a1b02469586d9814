"""How does a posed hand look, lit and seen from one side?

The hand is some thirty tapered capsules (spheres swept along a bone). Each is cut by every line of sight in closed
form; the nearest hit wins, and the palm's capsules are blended into one surface.
"""

import itertools
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int
from PIL import Image, ImageFilter

from signbridge.rendered.hand import (
    DIGITS,
    FINGERS,
    HandPose,
    Proportions,
    Skeleton,
    about_x,
    skeleton,
)

EYE_DISTANCE = 7.0  # from the wrist, in the hand's units: a mild perspective
PALM, FOREARM = len(DIGITS), len(DIGITS) + 1  # part numbers; the digits are 0 to 4, in the order of DIGITS
_RADII = {
    "thumb": (0.150, 0.128, 0.120, 0.090),
    "index": (0.120, 0.112, 0.102, 0.080),
    "middle": (0.120, 0.114, 0.104, 0.082),
    "ring": (0.118, 0.108, 0.098, 0.078),
    "pinky": (0.106, 0.095, 0.085, 0.070),
}
_BLEND = 0.05  # how far apart in depth two capsules of palm or arm still melt into each other


class Capsules(NamedTuple):
    """Spheres swept along straight lines."""

    starts: Float[np.ndarray, "n 3"]
    ends: Float[np.ndarray, "n 3"]
    radii: Float[np.ndarray, "n 2"]  # at the start and at the end
    parts: Int[np.ndarray, "n"]
    backs: Float[np.ndarray, "n 3"]  # where the nail faces; zero where there is none


class Surface(NamedTuple):
    """What each line of sight meets first."""

    depth: Float[np.ndarray, "side side"]  # towards the viewer, in pixels; -inf where nothing is met
    normals: Float[np.ndarray, "side side 3"]
    parts: Int[np.ndarray, "side side"]  # -1 where nothing is met
    nails: Float[np.ndarray, "side side"]  # 1 on a nail


@dataclass(frozen=True)
class Look:
    """Skin and light. Brightness runs from 0 (black) to 1 (white)."""

    skin: float = 0.75
    sleeve: float | None = None  # brightness of the sleeve; none: a bare forearm
    light: tuple[float, float, float] = (-0.4, 0.5, 0.75)  # towards the light, unit length
    ambient: float = 0.45  # share of the light that comes from everywhere
    gloss: float = 0.12


def hand_capsules(pose: HandPose, proportions: Proportions) -> Capsules:
    """The hand's capsules as the viewer sees them (x right, y up, z to the viewer), in the hand's units."""
    bones = skeleton(pose, proportions)
    rows = [*_digits(bones), *_palm(bones, proportions), *_forearm(pose.wrist, proportions)]
    starts, ends, radii, parts, backs = (np.array(column, float) for column in zip(*rows, strict=True))
    turn = pose.rotation().T
    return Capsules(starts @ turn, ends @ turn, radii * proportions.thickness, parts.astype(int), backs @ turn)


def _digits(bones: Skeleton) -> list[tuple]:
    rows = []
    for part, name in enumerate(DIGITS):
        joints, backs = bones.chains[name]
        for bone in range(3):
            nail = backs[bone] if bone == 2 else np.zeros(3)
            radii = _RADII[name][bone : bone + 2]
            kind = PALM if (name, bone) == ("thumb", 0) else part
            rows.append((joints[bone], joints[bone + 1], radii, kind, nail))
    return rows


def _palm(bones: Skeleton, proportions: Proportions) -> list[tuple]:
    knuckles = [bones.chains[name].joints[0] for name in FINGERS]
    thumb = bones.chains["thumb"].joints
    none = np.zeros(3)
    wide = np.array([proportions.width, 1, 1])
    rows = []
    for knuckle, radius in zip(knuckles, (0.135, 0.135, 0.130, 0.120), strict=True):
        heel = np.array([0.62 * knuckle[0], 0.08, 0.02])
        rows.append((heel, knuckle, (0.17, radius), PALM, none))
    for near, far in itertools.pairwise(knuckles):
        rows.append((near, far, (0.125, 0.120), PALM, none))
        rows.append((near * (1, 0.62, 1), far * (1, 0.62, 1), (0.135, 0.135), PALM, none))
    ball = 0.6 * thumb[0] + 0.4 * thumb[1]
    rows.append((np.array([0.12, 0.12, 0.06]) * wide, ball, (0.17, 0.185), PALM, none))
    rows.append((ball, thumb[1], (0.185, 0.135), PALM, none))
    web = 0.45 * thumb[0] + 0.55 * thumb[1]
    rows.append((web, knuckles[0] * (1, 0.72, 1), (0.10, 0.10), PALM, none))
    rows.append((ball, knuckles[0] * (1, 0.5, 1), (0.13, 0.12), PALM, none))
    rows.append((np.array([-0.20, 0.12, 0.05]) * wide, np.array([-0.31, 0.62, 0.05]) * wide, (0.17, 0.14), PALM, none))
    return rows


def _forearm(wrist: float, proportions: Proportions) -> list[tuple]:
    along = about_x(-wrist) @ np.array([0.0, -1.0, 0.0])
    rows = []
    for side in (-0.12, 0.0, 0.12):
        start = np.array([side * proportions.width, 0.04, 0.0])
        cuff, elbow = start + 0.35 * along, start + 2.6 * along + (0.6 * side, 0, 0)
        rows.append((start, cuff, (0.18, 0.185), PALM, np.zeros(3)))
        rows.append((cuff, elbow, (0.20, 0.26), FOREARM, np.zeros(3)))
    return rows


def in_pixels(capsules: Capsules, centre: Float[np.ndarray, "2"], scale: float, side: int) -> Capsules:
    """The capsules seen in perspective, in pixels (x right, y down, z to the viewer).

    `centre` is the point of the projected hand that comes to the middle of the image, `scale` the pixels a unit there.
    """

    def place(points: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        nearer = EYE_DISTANCE / (EYE_DISTANCE - points[:, 2:])
        x, y = ((points[:, :2] * nearer) - centre).T
        return np.column_stack([side / 2 + scale * x, side / 2 - scale * y, scale * points[:, 2]]), nearer[:, 0]

    starts, grow_start = place(capsules.starts)
    ends, grow_end = place(capsules.ends)
    radii = scale * capsules.radii * np.column_stack([grow_start, grow_end])
    return Capsules(starts, ends, radii, capsules.parts, capsules.backs * (1, -1, 1))


def extent(capsules: Capsules) -> Float[np.ndarray, "2 2"]:
    """Lower and upper corner (x, y) of the projected hand without its forearm, in the hand's units."""
    hand = capsules.parts != FOREARM
    points = np.concatenate([capsules.starts[hand], capsules.ends[hand]])
    radii = np.concatenate([capsules.radii[hand, 0], capsules.radii[hand, 1]])[:, None]
    nearer = EYE_DISTANCE / (EYE_DISTANCE - points[:, 2:])
    return np.stack([((points[:, :2] - radii) * nearer).min(0), ((points[:, :2] + radii) * nearer).max(0)])


def see(capsules: Capsules, scale: float, side: int) -> Surface:
    """The surface that the lines of sight through the centres of side x side pixels meet."""
    depth = np.full((side, side), -np.inf)
    normals = np.zeros((side, side, 3))
    parts = np.full((side, side), -1)
    nails = np.zeros((side, side))
    melted = _Melted.empty(side)
    for capsule in zip(*capsules, strict=True):
        window = _window(capsule, side)
        if window is None:
            continue
        here, facing, nail = _cut(capsule, window)
        if capsule[3] in (PALM, FOREARM):
            melted.add(window, here, facing, capsule[3], _BLEND * scale)
            continue
        wins = here > depth[window]
        depth[window][wins] = here[wins]
        normals[window][wins] = facing[wins]
        parts[window][wins] = capsule[3]
        nails[window][wins] = nail[wins]
    melted_depth = melted.depth(_BLEND * scale)
    wins = melted_depth > depth
    depth[wins], parts[wins], nails[wins] = melted_depth[wins], melted.parts[wins], 0
    normals[wins] = melted.normals[wins] / np.linalg.norm(melted.normals[wins], axis=-1, keepdims=True)
    return Surface(depth, normals, parts, nails)


class _Melted(NamedTuple):
    """The capsules of palm and arm as one surface: a soft maximum of their depths (log-sum-exp), normals alike."""

    top: np.ndarray  # depth of the nearest capsule
    weight: np.ndarray  # sum over capsules of exp((depth - top) / blend)
    normals: np.ndarray  # sum of the normals with these weights
    parts: np.ndarray  # part of the nearest capsule

    @staticmethod
    def empty(side: int) -> "_Melted":
        square = (side, side)
        return _Melted(np.full(square, -np.inf), np.zeros(square), np.zeros((*square, 3)), np.full(square, -1))

    def add(self, window: tuple, here: np.ndarray, facing: np.ndarray, part: int, blend: float) -> None:
        top = np.maximum(self.top[window], here)
        at = np.where(np.isfinite(top), top, 0)
        old, new = np.exp((self.top[window] - at) / blend), np.exp((here - at) / blend)
        self.parts[window][here > self.top[window]] = part
        self.weight[window] = self.weight[window] * old + new
        self.normals[window] = self.normals[window] * old[..., None] + facing * new[..., None]
        self.top[window] = top

    def depth(self, blend: float) -> np.ndarray:
        return self.top + blend * np.log(np.maximum(self.weight, 1))


def _window(capsule: tuple, side: int) -> tuple[slice, slice] | None:
    start, end, radii = capsule[:3]
    low = np.floor(np.minimum(start[:2] - radii[0], end[:2] - radii[1])).astype(int).clip(0, side)
    high = np.ceil(np.maximum(start[:2] + radii[0], end[:2] + radii[1])).astype(int).clip(0, side)
    if (high <= low).any():
        return None
    return slice(low[1], high[1]), slice(low[0], high[0])


def _cut(capsule: tuple, window: tuple[slice, slice]) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depth (-inf: missed), normal, and whether it is nail, where lines of sight meet one capsule.

    The sphere at share t of the bone is met at depth z(t) + sqrt(q(t)), q(t) = r(t)^2 - |pixel - c(t)|^2, a parabola
    in t; where it opens downwards the depth is concave, and its greatest value has a closed form.
    """
    start, end, (r0, r1), _, back = capsule
    y, x = np.mgrid[window].astype(float) + 0.5
    (dx, dy, dz), dr = end - start, r1 - r0
    px, py = x - start[0], y - start[1]
    q0, slope = r0 * r0 - px * px - py * py, 2 * (r0 * dr + px * dx + py * dy)
    bend = max(dx * dx + dy * dy - dr * dr, 1e-6)
    middle = slope / (2 * bend)
    best = np.maximum(q0 + slope * slope / (4 * bend), 0)
    t = np.clip(middle + dz * np.sqrt(best / (bend * (bend + dz * dz))), 0, 1)
    curve = dr * dr - dx * dx - dy * dy
    depth, share = np.full(x.shape, -np.inf), np.zeros(x.shape)
    for candidate in (t, np.zeros_like(t), np.ones_like(t)):
        inside = q0 + candidate * (slope + candidate * curve)
        here = np.where(inside > 0, start[2] + candidate * dz + np.sqrt(np.maximum(inside, 0)), -np.inf)
        share = np.where(here > depth, candidate, share)
        depth = np.maximum(depth, here)
    radius = r0 + share * dr
    rise = np.sqrt(np.maximum(q0 + share * (slope + share * curve), 0))
    normal = np.stack([px - share * dx, py - share * dy, rise], axis=-1) / radius[..., None]
    nail = (normal @ back > 0.72) & (share > 0.45) if back.any() else np.zeros(x.shape, bool)
    return depth, normal, nail.astype(float)


def shade(surface: Surface, look: Look, scale: float) -> Float[np.ndarray, "side side"]:
    """Brightness, 0 to 1, of the hand's pixels; undefined where no hand is. `scale` is the pixels a unit."""
    hand = surface.parts >= 0
    light = np.asarray(look.light) * (1, -1, 1)
    towards_light = np.maximum(surface.normals @ light, 0)
    depth = np.where(hand, surface.depth, surface.depth[hand].min(initial=0))  # the wall right behind the hand
    lit = towards_light * (1 - 0.75 * _shadow(depth, light, scale))
    half = light + np.array([0, 0, 1])
    shine = np.maximum(surface.normals @ (half / np.linalg.norm(half)), 0) ** 24
    facing = 0.45 + 0.55 * np.sqrt(np.clip(surface.normals[..., 2], 0, 1))
    open_sky = 1 - 0.75 * _crowding(depth, scale)
    skin = np.full(hand.shape, look.skin)
    if look.sleeve is not None:
        skin[surface.parts == FOREARM] = look.sleeve
    skin = skin * (1 + 0.13 * surface.nails)
    brightness = skin * (look.ambient * open_sky + (1 - look.ambient) * 1.25 * lit) * facing * (0.35 + 0.65 * open_sky)
    return np.clip(brightness + look.gloss * shine * open_sky, 0, 1)


def _shadow(depth: np.ndarray, light: np.ndarray, scale: float) -> Float[np.ndarray, "side side"]:
    """Share of the light that other parts of the hand keep off."""
    blocked = np.zeros(depth.shape)
    for reach in (0.08, 0.14, 0.21, 0.30, 0.40, 0.52, 0.66):
        step = reach * scale
        above = _shifted(depth, -step * light[0], -step * light[1]) - depth - step * light[2]
        blocked = np.maximum(blocked, np.clip(above / (0.10 * scale), 0, 1))
    return _blurred(blocked, 0.02 * scale)


def _crowding(depth: np.ndarray, scale: float) -> Float[np.ndarray, "side side"]:
    """How much of the sky above a point is hidden by nearer parts around it: dark seams where fingers meet."""
    total = np.zeros(depth.shape)
    for reach in (0.05, 0.11):
        for angle in np.arange(8) * np.pi / 4:
            near = _shifted(depth, reach * scale * np.cos(angle), reach * scale * np.sin(angle))
            total += np.clip((near - depth) / (1.6 * reach * scale) - 0.25, 0, 1)
    return np.clip(total / 7, 0, 1)


def _shifted(values: np.ndarray, dx: float, dy: float) -> np.ndarray:
    """`values`, moved by whole pixels; the border repeats."""
    rows, columns = (np.arange(n) for n in values.shape)
    rows = (rows - round(dy)).clip(0, values.shape[0] - 1)
    columns = (columns - round(dx)).clip(0, values.shape[1] - 1)
    return values[rows[:, None], columns]


def _blurred(values: np.ndarray, pixels: float) -> np.ndarray:
    image = Image.fromarray((255 * values).astype(np.uint8))
    return np.asarray(image.filter(ImageFilter.GaussianBlur(float(pixels))), float) / 255
