"""The table of hands (`datasets.hands`): poses as they were drawn, or the standard pose of each letter."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import pandas as pd

from signbridge.datasets.hands import ANGLE, FINGERS, names_of_letters, words_of_letters
from signbridge.rendered.dataset import RenderedParams, numbers_in, photo_in
from signbridge.rendered.hand import HandPose
from signbridge.rendered.hand_words import is_up, words_of_pose
from signbridge.rendered.letter_poses import LETTER_POSES


def hands_table(image_ids: Sequence[str], labels: Sequence[str], drawn: RenderedParams | None) -> pd.DataFrame:
    """What is known of the hand in each image: the columns of `datasets.hands.read_hands`.

    `drawn` is the entry of a rendered dataset: the words for fingers then follow from the pose of each photo.
    Of any other dataset (None) words and pose are those of the letter; classes that are no letters have neither.
    """

    @cache  # a photo's copies share its pose
    def describe(label: str, photo: int) -> dict[str, Any]:
        return _hand_of_letter(label) if drawn is None else _drawn_hand(label, photo, drawn)

    rows = []
    for image_id, label in zip(image_ids, labels, strict=True):
        photo = numbers_in(image_id)[1] if drawn is not None else 0
        rows.append({"image_id": image_id, **describe(label, photo)})
    columns = ["image_id", "drawn", "words", *(f"up_{finger}" for finger in FINGERS)]
    columns += [f"{ANGLE}{joint}" for joint in HandPose().angles()]
    table = pd.DataFrame(rows, columns=columns)
    return table.astype({"drawn": bool} | {f"up_{finger}": "boolean" for finger in FINGERS})


def _drawn_hand(label: str, photo: int, drawn: RenderedParams) -> dict[str, Any]:
    pose = photo_in(drawn, label, photo).pose
    return _row(pose, words_of_pose(pose) | names_of_letters()[label], drawn=True)


def _hand_of_letter(label: str) -> dict[str, Any]:
    return _row(LETTER_POSES.get(label), words_of_letters().get(label), drawn=False)


def _row(pose: HandPose | None, words: frozenset[str] | None, drawn: bool) -> dict[str, Any]:
    angles = {joint: float("nan") for joint in HandPose().angles()} if pose is None else pose.angles()
    return {
        "drawn": drawn,
        "words": None if words is None else sorted(words),
        **{f"up_{finger}": None if pose is None else is_up(pose, finger) for finger in FINGERS},
        **{f"{ANGLE}{joint}": angle for joint, angle in angles.items()},
    }
