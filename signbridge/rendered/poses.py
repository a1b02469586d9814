"""The pose of the hand in an image: the one that it was drawn in, or the standard pose of its letter."""

from collections.abc import Mapping, Sequence
from typing import Any

from signbridge.rendered.dataset import photo_in_numbers
from signbridge.rendered.hand import HandPose
from signbridge.rendered.letter_poses import LETTER_POSES


def are_drawn(images_made_by: Mapping[str, Any]) -> bool:
    """Whether the poses of a dataset are those in which its hands were drawn, so that a letter's photos differ.

    `images_made_by` is the metadata of `data/images.parquet`.
    """
    return images_made_by.get("source") == "rendered"


def poses(image_ids: Sequence[str], labels: Sequence[str], images_made_by: Mapping[str, Any]) -> dict[str, HandPose]:
    """The pose of every image of which one is known, by image_id; classes that are no letters have none."""
    if not are_drawn(images_made_by):
        pairs = zip(image_ids, labels, strict=True)
        return {image_id: LETTER_POSES[label] for image_id, label in pairs if label in LETTER_POSES}
    seed = images_made_by["params"]["seed"]
    photo_of = {image_id: tuple(image_id.split("-")[:2]) for image_id in image_ids}
    drawn = {photo: photo_in_numbers(seed, photo[0], int(photo[1])).pose for photo in dict.fromkeys(photo_of.values())}
    return {image_id: drawn[photo] for image_id, photo in photo_of.items()}  # a photo has many copies
