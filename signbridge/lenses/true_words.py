"""The words that hold for each image of a study: from the renderer's joint angles, or from the word list by letter."""

from collections.abc import Mapping, Sequence
from typing import Any

from signbridge.datasets.rendered import photo_in_numbers
from signbridge.lenses.hand_words import names_of_letters, words_of_letters, words_of_pose


def true_words(
    image_ids: Sequence[str], labels: Sequence[str], images_made_by: Mapping[str, Any]
) -> dict[str, frozenset[str]]:
    """The words of every image that something is known of, by image_id.

    `images_made_by` is the metadata of `data/images.parquet`: of drawn hands it has the seed, and each photo's own pose
    says which words hold of its fingers; the rest is said by the letter (`letter_words.yaml`), and classes that are no
    letters have none.
    """
    if images_made_by.get("source") == "rendered":
        seed, names = images_made_by["params"]["seed"], names_of_letters()
        photo_of = {image_id: tuple(image_id.split("-")[:2]) for image_id in image_ids}
        held = {
            photo: words_of_pose(photo_in_numbers(seed, photo[0], int(photo[1])).pose) | names[photo[0]]
            for photo in dict.fromkeys(photo_of.values())  # a photo has many copies
        }
        return {image_id: held[photo] for image_id, photo in photo_of.items()}
    of_letter = words_of_letters()
    return {image_id: of_letter[label] for image_id, label in zip(image_ids, labels, strict=True) if label in of_letter}


def _words_of_photo(seed: int, letter: str, number: str) -> frozenset[str]:
    return frozenset(words_of_pose(photo_in_numbers(seed, letter, int(number)).pose))
