"""Which signs does the project draw in motion, and where is the hand at each moment of them?

The signs are a vocabulary of minimal pairs. The members of a pair have the same hand shape, and their frames are the
same set in another order: a movement and its reverse, or a stroke there and back that is made once or twice. So neither
one frame nor a bag of frames tells them apart. J and Z are the letters of the alphabet that move; they are in no pair.
"""

from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Float

Kind = Literal["path", "order", "repetition", "letter"]


class Sign(NamedTuple):
    """One sign that is drawn."""

    label: str
    letters: str  # the hand shape, or the first and the second of a change of shape
    movement: str
    kind: Kind

    @property
    def shape(self) -> str:
        """The bag of hand shapes: `B`, or `B+S` whichever comes first."""
        return "+".join(sorted(self.letters))


def _pair(letters: str, movements: tuple[str, str], kind: Kind) -> list[Sign]:
    shape = "+".join(sorted(letters))
    return [Sign(f"{shape}-{movement}", letters, movement, kind) for movement in movements]


SIGNS: dict[str, Sign] = {
    sign.label: sign
    for sign in [
        *_pair("B", ("right", "left"), "path"),
        *_pair("Y", ("right", "left"), "path"),
        *_pair("V", ("up", "down"), "path"),
        *_pair("L", ("up", "down"), "path"),
        *_pair("W", ("clockwise", "counterclockwise"), "path"),
        *_pair("SB", ("opens", "closes"), "order"),
        *_pair("SV", ("opens", "closes"), "order"),
        *_pair("C", ("once", "twice"), "repetition"),
        *_pair("A", ("once", "twice"), "repetition"),
        Sign("J", "I", "hook", "letter"),
        Sign("Z", "D", "zigzag", "letter"),
    ]
}
_REVERSED = {"left", "down", "counterclockwise", "closes"}  # the other member of the pair, run backwards

# Corners of the letters that move, right and down, as a viewer in front of the signer sees them: mirrored.
_Z = np.array([[1, -1], [-1, -1], [1, 1], [-1, 1]], float)
_J = np.array([[-0.4, -1], [-0.4, 0.4], [-0.25, 0.85], [0.1, 1], [0.5, 0.85], [0.7, 0.4]], float)


class Moment(NamedTuple):
    """Where the hand is at one moment."""

    along: float  # how far of the way from one end of the movement to the other, 0 to 1
    right: float  # from the middle of the movement, in extents
    down: float
    second: float  # weight of the second hand shape, 0 to 1
    turn: float  # of the hand about its own length, as a share of that of J


class Manner(NamedTuple):
    """How a signer moves."""

    pause: float = 0.0  # share of the way that is stood still at each end: the larger, the faster is the rest
    easing: float = 1.0  # 0: at one speed; 1: slow at both ends
    tilt: float = 0.0  # of every path, radians, from right towards down


PLAIN = Manner()


def moments(sign: Sign, frames: int, manner: Manner = PLAIN) -> list[Moment]:
    """The moments that `frames` frames show, which lie symmetrically in time.

    Those of a pair's two members are the same, in another order. `frames` is a multiple of 4, for a stroke made twice
    to pass the places of a stroke made once.
    """
    return [_moment(sign, along, manner) for along in _eased(_course(sign, frames), manner)]


def _course(sign: Sign, frames: int) -> Float[np.ndarray, "frames"]:
    """How far along the way each frame is: once through it, or from its beginning to its end and back."""
    frame = np.arange(frames)
    if sign.movement == "once":
        return _stroke((frame + 0.5) / frames)
    if sign.movement == "twice":
        return _stroke((frame + 0.25) / (frames / 2))
    along = (frame + 0.5) / frames
    return 1 - along if sign.movement in _REVERSED else along


def _stroke(phase: np.ndarray) -> np.ndarray:
    """There and back in each period of 1."""
    return 1 - np.abs(1 - 2 * (phase % 1))


def _eased(along: np.ndarray, manner: Manner) -> np.ndarray:
    """The same ways with easing at their ends; symmetric, so that there and back pass the same places."""
    moving = np.clip((along - manner.pause) / (1 - 2 * manner.pause), 0, 1)
    smooth = moving * moving * (3 - 2 * moving)
    return moving + manner.easing * (smooth - moving)


def _moment(sign: Sign, along: float, manner: Manner) -> Moment:
    right, down = _place(sign, along)
    cos, sin = np.cos(manner.tilt), np.sin(manner.tilt)
    second = along if sign.kind == "order" else 0.0
    turn = along if sign.movement == "hook" else 0.0
    return Moment(float(along), float(cos * right - sin * down), float(sin * right + cos * down), float(second), turn)


def _place(sign: Sign, along: float) -> tuple[float, float]:
    """Right and down of the middle, in extents."""
    match sign.movement:
        case "right" | "left":
            return 2 * along - 1, 0.0
        case "up" | "down":
            return 0.0, 1 - 2 * along
        case "once" | "twice":
            return 0.0, 2 * along - 1
        case "clockwise" | "counterclockwise":  # from the top, and back to it
            return np.sin(2 * np.pi * along), -np.cos(2 * np.pi * along)
        case "hook":
            return _on(_J, along)
        case "zigzag":
            return _on(_Z, along)
    return 0.0, 0.0


def _on(corners: Float[np.ndarray, "corners 2"], along: float) -> tuple[float, float]:
    """The place on straight lines through the corners, at that share of their whole length."""
    lengths = np.concatenate([[0], np.cumsum(np.hypot(*np.diff(corners, axis=0).T))])
    return tuple(float(np.interp(along * lengths[-1], lengths, corners[:, axis])) for axis in (0, 1))
