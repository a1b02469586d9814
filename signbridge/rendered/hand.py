"""Where are the bones of a right hand, given its joint angles?

The hand's own frame: the wrist at the origin, x towards the thumb, y along the straight fingers, z out of the palm.
One unit is the distance from the wrist to the knuckle of the middle finger. All angles are in degrees.
"""

from dataclasses import asdict, dataclass, field, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

FINGERS = ("index", "middle", "ring", "pinky")
DIGITS = ("thumb", *FINGERS)


@dataclass(frozen=True)
class Finger:
    """Joint angles of one finger; all zero is straight."""

    mcp: float = 0.0  # flexion at the knuckle, towards the palm
    pip: float = 0.0  # flexion at the middle joint
    dip: float = 0.0  # flexion at the last joint
    spread: float = 0.0  # abduction at the knuckle, towards the thumb


@dataclass(frozen=True)
class Thumb:
    """Joint angles of the thumb; all zero lies along the edge of the palm, straight."""

    abduction: float = 0.0  # of the base joint, in the plane of the palm, away from the fingers
    opposition: float = 0.0  # of the base joint, out of the palm
    roll: float = 0.0  # of the base joint, about its own bone: 0 bends across the palm, 90 away from it
    mcp: float = 0.0  # flexion at the knuckle
    ip: float = 0.0  # flexion at the last joint


@dataclass(frozen=True)
class HandPose:
    """Every joint of a hand, and which way it is held before the viewer (image x right, y up, z to the viewer)."""

    index: Finger = Finger()
    middle: Finger = Finger()
    ring: Finger = Finger()
    pinky: Finger = Finger()
    thumb: Thumb = Thumb()
    wrist: float = 0.0  # flexion, towards the palm
    fingers_point: tuple[float, float, float] = (0.0, 1.0, 0.0)  # where straight fingers point; any length
    palm_faces: tuple[float, float, float] = (0.0, 0.0, 1.0)  # need not be exactly square to `fingers_point`

    def angles(self) -> dict[str, float]:
        """The joint angles by name, in degrees: `index_mcp`, ..., `pinky_spread`, `thumb_opposition`, `wrist`."""
        named = {f"{digit}_{joint}": angle for digit in DIGITS for joint, angle in asdict(getattr(self, digit)).items()}
        return {**named, "wrist": self.wrist}

    def with_angles(self, angles: dict[str, float]) -> "HandPose":
        """Replace the angles of these names. Raises `KeyError` for a name that `angles()` does not have."""
        named = {**self.angles(), **angles}
        if unknown := angles.keys() - self.angles().keys():
            raise KeyError(
                f"no joint angle is called {', '.join(sorted(unknown))}. There are: {', '.join(self.angles())}"
            )
        digits = {digit: _digit(getattr(self, digit), digit, named) for digit in DIGITS}
        return replace(self, wrist=named["wrist"], **digits)

    def rotation(self) -> Float[np.ndarray, "3 3"]:
        """Turns the hand's frame into the viewer's: its columns are where thumb side, fingers and palm face."""
        y = np.asarray(self.fingers_point, float)
        y = y / np.linalg.norm(y)
        z = np.asarray(self.palm_faces, float)
        z = z - (z @ y) * y
        z = z / np.linalg.norm(z)
        return np.column_stack([np.cross(y, z), y, z])

    def turned(self, rotation: Float[np.ndarray, "3 3"]) -> "HandPose":
        """Turn the whole hand before the viewer by a rotation of the viewer's frame."""
        _, fingers, palm = (rotation @ self.rotation()).T
        return replace(self, fingers_point=tuple(fingers.tolist()), palm_faces=tuple(palm.tolist()))


def _digit(digit: Finger | Thumb, name: str, named: dict[str, float]) -> Finger | Thumb:
    return replace(digit, **{joint: named[f"{name}_{joint}"] for joint in asdict(digit)})


@dataclass(frozen=True)
class Proportions:
    """The sizes of one hand. The defaults are a mean adult's, from a knuckle line about 95 mm above the wrist."""

    fingers: float = 1.0  # length of the four fingers, relative to the mean
    thumb: float = 1.0  # length of the thumb, relative to the mean
    width: float = 1.0  # of the palm, relative to the mean
    thickness: float = 1.0  # of everything, relative to the mean
    each_finger: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)  # length, relative to the others


KNUCKLES = {
    "index": (0.31, 0.96, 0.0),
    "middle": (0.09, 1.0, -0.02),
    "ring": (-0.13, 0.95, -0.01),
    "pinky": (-0.33, 0.85, 0.03),
}
THUMB_BASE = (0.24, 0.20, 0.09)
# Bones from base to tip, the last with its pulp.
LENGTHS = {
    "thumb": (0.46, 0.34, 0.27),
    "index": (0.45, 0.27, 0.20),
    "middle": (0.49, 0.31, 0.21),
    "ring": (0.45, 0.29, 0.21),
    "pinky": (0.35, 0.21, 0.18),
}


class Chain(NamedTuple):
    """One digit, placed: the base, two joints and the tip, and the way the back of each bone faces."""

    joints: Float[np.ndarray, "4 3"]
    backs: Float[np.ndarray, "3 3"]  # unit vectors


@dataclass(frozen=True)
class Skeleton:
    """A hand's digits placed in its own frame."""

    chains: dict[str, Chain] = field(default_factory=dict)  # by digit

    def tip(self, digit: str) -> Float[np.ndarray, "3"]:
        """Where the digit ends."""
        return self.chains[digit].joints[-1]


def skeleton(pose: HandPose, proportions: Proportions = Proportions()) -> Skeleton:
    """Place the bones of every digit in the hand's frame (forward kinematics)."""
    chains = {"thumb": _thumb(pose.thumb, proportions)}
    for number, name in enumerate(FINGERS):
        scale = proportions.fingers * proportions.each_finger[number]
        chains[name] = _finger(getattr(pose, name), name, scale, proportions.width)
    return Skeleton(chains)


def _finger(finger: Finger, name: str, scale: float, width: float) -> Chain:
    base = np.asarray(KNUCKLES[name]) * (width, 1, 1)
    knuckle = about_z(-finger.spread) @ about_x(finger.mcp)
    frames = [knuckle, knuckle @ about_x(finger.pip), knuckle @ about_x(finger.pip + finger.dip)]
    backs = np.stack([-frame[:, 2] for frame in frames])
    return Chain(_joints(base, frames, scale * np.asarray(LENGTHS[name])), backs)


def _thumb(thumb: Thumb, proportions: Proportions) -> Chain:
    base = np.asarray(THUMB_BASE) * (proportions.width, 1, 1)
    saddle = about_z(-thumb.abduction) @ about_x(thumb.opposition) @ about_y(thumb.roll)
    frames = [saddle, saddle @ about_z(thumb.mcp), saddle @ about_z(thumb.mcp + thumb.ip)]
    backs = np.stack([frame[:, 0] for frame in frames])
    return Chain(_joints(base, frames, proportions.thumb * np.asarray(LENGTHS["thumb"])), backs)


def _joints(base: np.ndarray, frames: list[np.ndarray], lengths: np.ndarray) -> Float[np.ndarray, "4 3"]:
    bones = [length * frame[:, 1] for length, frame in zip(lengths, frames, strict=True)]
    return np.cumsum([base, *bones], axis=0)


def about_x(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation that turns y towards z."""
    c, s = _cos_sin(degrees)
    return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])


def about_y(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation that turns z towards x."""
    c, s = _cos_sin(degrees)
    return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])


def about_z(degrees: float) -> Float[np.ndarray, "3 3"]:
    """Rotation that turns x towards y."""
    c, s = _cos_sin(degrees)
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def _cos_sin(degrees: float) -> tuple[float, float]:
    return float(np.cos(np.deg2rad(degrees))), float(np.sin(np.deg2rad(degrees)))
