"""Numbers and names as the report writes them, so that one thing reads the same everywhere on the page."""

import math
from collections.abc import Sequence
from typing import NamedTuple

from signbridge.report import palette

THIN = "\u202f"  # narrow no-break space: a number never parts from its unit
FIRM = "\u00a0"  # no-break space: nor an interval in its middle
MINUS = "\u2212"
POSITIONS = {position: series.name for position, series in palette.POSITIONS.items()} | {"text": palette.ANSWER.name}
CONTROLS = {control: series.name for control, series in palette.CONTROLS.items()}
DIRECTIONS = {direction: series.name for direction, series in palette.DIRECTIONS.items()}
ERASERS = {
    "nothing": "nothing",
    **{eraser: series.name for eraser, series in palette.ERASERS.items()},
    "leace_other_photos": "the {kind} (LEACE of other photos)",
}
EDITED = {
    "prompt_last": "last token of the prompt",
    "question": "question's tokens",
    "image": "image tokens",
    "every": "every token",
    "all": "all tokens",
    "both": "image tokens and last token",
}


class Group(NamedTuple):
    """What splits keep whole and intervals resample, in words."""

    one: str
    whole: str  # what a split keeps on one side
    apart: str  # what stands on both sides where single images are drawn
    own: str  # what a test image does not have in training
    images: str  # what is tested

    @property
    def many(self) -> str:
        """`photos`."""
        return f"{self.one}s"


# By the kind of `signbridge/core/groups.py`.
GROUPS = {
    "photo": Group("photo", "all copies of a photo", "copies of one photo", "a copy of its photo", "photos"),
    "clip": Group(
        "clip", "all frames of a clip", "copies of one photo and frames of one clip", "its clip", "frames of clips"
    ),
    "signer": Group(
        "signer", "all images of a signer", "copies of one photo and images of one signer", "its signer",
        "images of signers",
    ),
}  # fmt: skip
LENS_SCORES = {"embedding": "cosine", "logit": "logit", "latent": "cosine"}
LONGEST_TEXT = 160  # characters of a label or an answer; what is longer is cut, and says so


def percent(share: float, digits: int = 1) -> str:
    """`81.7 %`, or a dash where there is no number."""
    return "–" if math.isnan(share) else f"{share * 100:.{digits}f}{THIN}%".replace("-", MINUS)


def interval(low: float, high: float, digits: int = 1) -> str:
    """`70.0 to 89.4 %`, or nothing where there is no interval."""
    if math.isnan(low) or math.isnan(high):
        return ""
    return f"{low * 100:.{digits}f}{FIRM}to{FIRM}{high * 100:.{digits}f}{THIN}%".replace("-", MINUS)


def share_with_interval(share: float, low: float, high: float) -> str:
    """`81.7 % (70.0 to 89.4 %)`."""
    between = interval(low, high)
    return f"{percent(share)} ({between})" if between else percent(share)


def value_with_interval(value: float, low: float, high: float) -> str:
    """`0.45 (0.34 to 0.57)`, of what is no share."""
    if math.isnan(low) or math.isnan(high):
        return number(value, 2)
    return f"{number(value, 2)} ({number(low, 2)}{FIRM}to{FIRM}{number(high, 2)})"


def points(difference: float) -> str:
    """A difference of two shares: `12.1 points`."""
    return f"{number(difference * 100, 1)}{FIRM}points"


def points_with_interval(difference: float, low: float, high: float) -> str:
    """`12.1 points (4.0 to 21.0)`."""
    if math.isnan(low) or math.isnan(high):
        return points(difference)
    return f"{points(difference)} ({number(low * 100, 1)}{FIRM}to{FIRM}{number(high * 100, 1)})"


def number(value: float, digits: int) -> str:
    """A plain number with a true minus sign; a dash where there is none, and never a minus before zero."""
    if math.isnan(value):
        return "–"
    written = f"{value:,.{digits}f}"
    return written.removeprefix("-") if float(written.replace(",", "")) == 0 else written.replace("-", MINUS)


def count(value: float) -> str:
    """A whole number: `34,627`."""
    return number(value, 0)


def p_value(p: float) -> str:
    """`p = 0.012`, `p < 0.001`, or nothing where none was computed."""
    if math.isnan(p):
        return ""
    return f"p{THIN}<{THIN}0.001" if p < 0.001 else f"p{THIN}={THIN}{p:.3f}"


def listing(items: Sequence[str], word: str = "and") -> str:
    """`a`, `a and b`, `a, b and c`."""
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} {word} {items[-1]}"


def plural(amount: float, singular: str) -> str:
    """`1 photo`, `206 photos`."""
    return f"{count(amount)} {singular}" if amount == 1 else f"{count(amount)} {singular}s"


def short(text: str) -> str:
    """A label or an answer, cut where it would fill the page."""
    return text if len(text) <= LONGEST_TEXT else f"{text[:LONGEST_TEXT]}… ({count(len(text))} characters)"
