"""The words that hold for each image of a study: from the renderer's joint angles, or from the word list by letter."""

from collections.abc import Mapping, Sequence
from typing import Any

from signbridge.datasets.rendered import photo_in_numbers
from signbridge.lenses.hand_words import words_of_letters, words_of_pose


def true_words(
    image_ids: Sequence[str], labels: Sequence[str], images_made_by: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    """The words of every image that something is known of, by image_id.

    `images_made_by` is the metadata of `data/images.parquet`: of drawn hands it has the seed, and each photo's own pose
    says which words hold; else the letter does (`letter_words.yaml`), and classes that are no letters have none.
    """
    if images_made_by.get("source") == "rendered":
        numbers = [image_id.split("-")[:2] for image_id in image_ids]
        poses = {
            image_id: photo_in_numbers(images_made_by["params"]["seed"], letter, int(number)).pose
            for image_id, (letter, number) in zip(image_ids, numbers, strict=True)
        }
        return {image_id: frozenset(words_of_pose(pose)) for image_id, pose in poses.items()}
    of_letter = words_of_letters()
    return {image_id: of_letter[label] for image_id, label in zip(image_ids, labels, strict=True) if label in of_letter}
