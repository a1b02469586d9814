"""The words that hold for each image of a study: from the renderer's joint angles, or from the word list by letter."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from signbridge.datasets.poses import are_drawn, poses
from signbridge.lenses.hand_words import names_of_letters, words_of_letters, words_of_pose


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
