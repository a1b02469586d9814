"""What is known of the hand in each image: `data/hands.parquet`, and the words for how fingers are held.

A word holds for a hand where it is true of one finger or more. Names of whole shapes (fist, peace) hold by letter.
Words that are true of every hand (finger, thumb) say nothing about this one and are left out.
"""

import re
from collections.abc import Collection
from functools import cache
from pathlib import Path
from typing import Literal, get_args

import pandas as pd
from ruamel.yaml import YAML

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError

Finger = Literal["index", "middle", "ring", "pinky"]
FINGERS: tuple[Finger, ...] = get_args(Finger)
WORDS = ("up", "bent", "curved", "hooked", "spread", "together", "crossed")
ANGLE = "angle_"  # begins the columns of joint angles
OF_LETTERS = Path(__file__).with_name("letter_words.yaml")


def read_hands(path: Path | str, image_ids: Collection[str]) -> pd.DataFrame:
    """The rows of the table of hands for these images, in their order.

    Columns: image_id; drawn (whether the renderer drew this very hand; else the standard pose of the letter speaks for
    it); words (those that hold, or None where nothing is known); up_index ... up_pinky (whether the finger is straight
    in a hand that points upwards; None where no pose is known); angle_index_mcp ... angle_wrist (degrees, or NaN).
    Raises `SignBridgeError` if the table is not of these images.
    """
    hands = tables.read(path).set_index("image_id")
    if not hands.index.isin(image_ids).sum() == len(set(image_ids)):
        raise SignBridgeError(f"{path}: not of these images. Run `dvc repro`.")
    return hands.loc[list(image_ids)].reset_index()


def words_by_image(hands: pd.DataFrame) -> dict[str, frozenset[str]]:
    """The words that hold for each image of which something is known, by image_id."""
    known = hands[hands["words"].notna()]
    return {image_id: frozenset(words) for image_id, words in zip(known["image_id"], known["words"], strict=True)}


def joint_angles(hands: pd.DataFrame) -> pd.DataFrame:
    """Degrees: a row a hand, a column a joint (`index_pip`)."""
    angles = hands[[column for column in hands if column.startswith(ANGLE)]]
    return angles.rename(columns=lambda column: column.removeprefix(ANGLE)).reset_index(drop=True)


def words_in(text: str) -> set[str]:
    """All words of a text, in lower case."""
    return set(re.findall(r"[a-z]+", text.lower()))


@cache
def words_of_letters() -> dict[str, frozenset[str]]:
    """The words that hold for each letter of the manual alphabet: `letter_words.yaml`, which is open to correction."""
    listed = YAML(typ="safe").load(OF_LETTERS.read_text(encoding="utf-8"))
    return {letter: frozenset(words) for letter, words in listed.items()}


def names_of_letters() -> dict[str, frozenset[str]]:
    """Of the words that hold for each letter those that name the whole shape."""
    return {letter: words - set(WORDS) for letter, words in words_of_letters().items()}


def check_caption(template: str, param: str) -> None:
    """Raises `SignBridgeError`, naming `param`, if the template has other braces than `{label}` and `{words}`."""
    rest = template.replace("{label}", "").replace("{words}", "")
    if "{" in rest or "}" in rest:
        raise SignBridgeError(f"{param}: {template!r} may hold {{label}} and {{words}}, and no other braces.")


def caption(template: str, label: str, words: Collection[str] | None) -> str | None:
    """The template filled in for a hand, of whose `words` those for fingers are named; None where they are not known.

    >>> caption("The fingers are {words}.", "U", {"up", "together", "bent", "peace"})
    'The fingers are bent, together and up.'
    """
    if words is None and "{words}" in template:
        return None
    held = sorted(set(words or ()) & set(WORDS))
    listed = " and ".join(part for part in (", ".join(held[:-1]), *held[-1:]) if part)
    return template.format(label=label, words=listed)
