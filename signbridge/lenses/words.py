"""Texts about a hand, from a template: {label} is its class, {words} the ways in which its fingers are held.

How the lenses' words are shown to a reader: tokens that are nothing to read, sentences that are too long.

The words that hold for each image of a study: from the renderer's joint angles, or from the word list by letter.
"""

from collections.abc import Collection, Mapping, Sequence
from functools import cache
from typing import Any

import pandas as pd

from signbridge.core.errors import SignBridgeError
from signbridge.rendered.hand_words import WORDS, names_of_letters, words_of_letters, words_of_pose
from signbridge.rendered.poses import are_drawn, poses


def check_caption(template: str, param: str) -> None:
    """Raises `SignBridgeError`, naming `param`, if the template has other braces than `{label}` and `{words}`."""
    rest = template.replace("{label}", "").replace("{words}", "")
    if "{" in rest or "}" in rest:
        raise SignBridgeError(
            f"params.yaml: {param}: {template!r} may hold {{label}} and {{words}}, and no other braces."
        )


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


BROKEN = "\N{REPLACEMENT CHARACTER}"  # what part of a character decodes to


def shown_words(table: pd.DataFrame) -> pd.Series:
    """The words of `data/lenses.parquet` as they are shown: where one is nothing to read, its token by its own name."""
    readable = table["word"].map(lambda word: word != "" and word.isprintable() and BROKEN not in word).astype(bool)
    by_name = ("token " + table["token"]).where(table["token"] != "", "(no token)")  # a vocabulary filled up has these
    return table["word"].where(readable, by_name)


def excerpt(sentence: str, start: int, end: int, longest: int) -> tuple[str, int, int]:
    """The sentence, and where its word starts and ends; of one that is too long what is around the word.

    `longest` is in characters. It is cut at white space where there is any; an ellipsis stands for what was left out.
    """
    if len(sentence) <= longest:
        return sentence, start, end
    end = min(end, start + longest)
    first = max(0, min(start - (longest - (end - start)) // 2, len(sentence) - longest))
    last = first + longest
    if first:
        first += max(sentence[first - 1 : start].find(" "), 0)
    if last < len(sentence) and (space := sentence.rfind(" ", end, last + 1)) > 0:
        last = space
    before, after = "…" if first else "", "…" if last < len(sentence) else ""
    moved = len(before) - first
    return f"{before}{sentence[first:last]}{after}", start + moved, end + moved


def true_words(
    image_ids: Sequence[str], labels: Sequence[str], images_made_by: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    """The words of every image that something is known of, by image_id.

    `images_made_by` is the metadata of `data/images.parquet`: of drawn hands it has the seed, and each photo's own pose
    says which words hold of its fingers; the rest is said by the letter (`letter_words.yaml`), and classes that are no
    letters have none.
    """
    if are_drawn(images_made_by):
        names, of_pose = names_of_letters(), cache(words_of_pose)  # a photo's copies share its pose
        pose_of = poses(image_ids, labels, images_made_by)
        of_image = zip(image_ids, labels, strict=True)
        return {image_id: of_pose(pose_of[image_id]) | names[label] for image_id, label in of_image}
    of_letter = words_of_letters()
    return {image_id: of_letter[label] for image_id, label in zip(image_ids, labels, strict=True) if label in of_letter}
