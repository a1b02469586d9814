"""How does each static letter of the American manual alphabet hold the hand?

J and Z are movements and have no pose. Fingers were posed after drawings and photos of the alphabet; the thumb's angles
solve for the place it touches (inverse kinematics), rounded to degrees.
"""

from signbridge.rendered.hand import Finger, HandPose, Thumb

LETTERS = "ABCDEFGHIKLMNOPQRSTUVWXY"

_FIST = Finger(85, 100, 65)
_FISTS = {"index": _FIST, "middle": _FIST, "ring": _FIST, "pinky": _FIST}

# Ways to hold the hand before the viewer, for a right-handed signer who faces the viewer.
_SIDEWAYS = {"fingers_point": (1.0, 0.05, 0.1), "palm_faces": (0.0, -0.25, -1.0)}  # back to the viewer, thumb on top
_PALM_TO_THE_SIDE = {"fingers_point": (0.05, 1.0, 0.1), "palm_faces": (0.87, 0.0, 0.5)}
_HALF_TO_THE_SIDE = {"fingers_point": (0.0, 1.0, 0.05), "palm_faces": (0.5, 0.0, 0.87)}
_PALM_DOWN = {"fingers_point": (-1.0, -0.3, 0.3), "palm_faces": (0.1, -0.9, 0.3), "wrist": 20.0}
_FINGERS_DOWN = {"fingers_point": (0.0, -1.0, 0.25), "palm_faces": (-0.5, -0.2, -0.87), "wrist": 50.0}

_K = {
    "index": Finger(4, 5, 4, 10),
    "middle": Finger(34, 6, 5, -10),
    "ring": _FIST,
    "pinky": _FIST,
    "thumb": Thumb(26, 16, 6, 33, 33),
}
_G = {**_FISTS, "index": Finger(6, 5, 4), "thumb": Thumb(54, 8, 4, 20, 26)}
_THUMB_OVER_RING = Thumb(24, 42, 14, 48, 44)

LETTER_POSES: dict[str, HandPose] = {
    "A": HandPose(**_FISTS, thumb=Thumb(58, 10, 9, 65, 4)),
    "B": HandPose(
        Finger(3, 4, 3, 2), Finger(2, 3, 3, 0), Finger(2, 4, 3, -1), Finger(3, 4, 4, -2), Thumb(12, 21, 3, 65, 73)
    ),
    "C": HandPose(
        Finger(38, 42, 28),
        Finger(38, 44, 30),
        Finger(40, 44, 30),
        Finger(42, 44, 28),
        Thumb(46, 75, 26, -1, 40),
        **_PALM_TO_THE_SIDE,
    ),
    "D": HandPose(
        Finger(3, 5, 4),
        Finger(58, 72, 42),
        Finger(62, 74, 42),
        Finger(64, 72, 42),
        Thumb(38, 26, 21, 58, 51),
        **_HALF_TO_THE_SIDE,
    ),
    "E": HandPose(
        Finger(38, 112, 62), Finger(38, 114, 62), Finger(42, 112, 62), Finger(46, 110, 60), Thumb(15, 30, 8, 65, 69)
    ),
    "F": HandPose(
        Finger(52, 64, 38), Finger(14, 8, 6, 2), Finger(6, 8, 6, -9), Finger(2, 6, 6, -22), Thumb(53, 33, 15, 48, 55)
    ),
    "G": HandPose(**_G, **_SIDEWAYS),
    "H": HandPose(Finger(5, 5, 4, 0), Finger(5, 5, 4, 2), _FIST, _FIST, Thumb(32, 41, 16, 49, 49), **_SIDEWAYS),
    "I": HandPose(_FIST, _FIST, _FIST, Finger(2, 5, 4, -5), Thumb(34, 46, 17, 48, 51)),
    "K": HandPose(**_K),
    "L": HandPose(Finger(3, 4, 3), _FIST, _FIST, _FIST, Thumb(72, 12, 0, 2, 0)),
    "M": HandPose(Finger(72, 78, 28), Finger(72, 80, 28), Finger(74, 80, 28), _FIST, Thumb(1, 9, 30, 65, 19)),
    "N": HandPose(Finger(72, 80, 28), Finger(72, 82, 28), _FIST, _FIST, Thumb(21, 7, 35, 65, 37)),
    "O": HandPose(
        Finger(50, 60, 36, -2),
        Finger(50, 60, 36),
        Finger(54, 62, 36, 2),
        Finger(58, 64, 36, 6),
        Thumb(25, 35, 11, 37, 35),
        **_PALM_TO_THE_SIDE,
    ),
    "P": HandPose(**_K, **_PALM_DOWN),
    "Q": HandPose(**_G, **_FINGERS_DOWN),
    "R": HandPose(Finger(10, 6, 4, -8), Finger(0, 6, 4, 12), _FIST, _FIST, _THUMB_OVER_RING),
    "S": HandPose(**_FISTS, thumb=Thumb(24, 47, 13, 46, 44)),
    "T": HandPose(
        Finger(74, 92, 40, 10),
        Finger(85, 100, 65, -4),
        Finger(85, 100, 65, -4),
        Finger(85, 100, 65, -4),
        Thumb(2, 12, 83, 30, 5),
    ),
    "U": HandPose(Finger(3, 4, 4, -1), Finger(3, 4, 4, 2), _FIST, _FIST, _THUMB_OVER_RING),
    "V": HandPose(Finger(3, 4, 4, 14), Finger(3, 4, 4, -10), _FIST, _FIST, _THUMB_OVER_RING),
    "W": HandPose(
        Finger(3, 5, 4, 14), Finger(3, 5, 4, 0), Finger(4, 5, 4, -14), Finger(72, 88, 50), Thumb(7, 36, 9, 52, 40)
    ),
    "X": HandPose(Finger(10, 80, 50), _FIST, _FIST, _FIST, Thumb(26, 43, 15, 46, 44), **_HALF_TO_THE_SIDE),
    "Y": HandPose(_FIST, _FIST, _FIST, Finger(4, 5, 4, -24), Thumb(66, 12, 0, 4, 0)),
}
