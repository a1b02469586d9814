"""The audit counts copies on both sides, and asks the nearest image for its letter."""

import numpy as np
import pandas as pd
import pytest

from signbridge.probing import protocols
from signbridge.probing.leakage import leakage_of_dataset, leakage_of_splits
from signbridge.probing.protocols import Split, share_seen_in_train

LABELS = np.repeat(list("ABC"), 20)
PHOTOS = np.arange(60) // 4
SAMPLE = pd.DataFrame({"label": LABELS, "photo": PHOTOS})


def images(splits: list[str]) -> pd.DataFrame:
    count = len(splits)
    return pd.DataFrame({"label": ["A", "B"] * (count // 2), "split": splits, "sha256": [*range(count - 1), 0]})


def test_the_dataset_is_counted_in_images_photos_and_exact_duplicates():
    numbers = leakage_of_dataset(images(["train"] * 8), np.array([0, 0, 0, 0, 0, 1, 1, 2]))
    assert numbers == {
        "dataset_images": 8,
        "dataset_photos": 3,
        "dataset_images_per_photo": 8 / 3,
        "dataset_largest_photo": 5,
        "dataset_exact_duplicates": 1,
        "dataset_letters": 2,
        "dataset_photos_under_two_letters": 2,
    }


def test_the_official_split_leaks_by_the_share_of_its_test_images_with_a_copy_in_training():
    numbers = leakage_of_dataset(
        images(["train", "train", "train", "test", "test", "test"]), np.array([0, 1, 2, 2, 2, 3])
    )
    assert numbers["official_test_copies_in_train"] == pytest.approx(2 / 3)


def pixels_of_photos(noise: int) -> np.ndarray:
    generator = np.random.default_rng(0)
    of_photo = generator.integers(0, 200, size=(15, 49))[PHOTOS]
    return (of_photo + generator.integers(0, noise, size=(60, 49))).astype(np.uint8)


def test_the_nearest_image_is_found_as_a_plain_loop_finds_it():
    pixels = np.random.default_rng(1).integers(0, 255, size=(60, 9), dtype=np.uint8)
    splits = [
        *protocols.signbridge(LABELS, 0.2, 0),
        *protocols.grouped(LABELS, PHOTOS, folds=3, repeats=2, inner_folds=2, seed=0),
    ]
    numbers = leakage_of_splits(splits, SAMPLE, pixels)
    right = {"signbridge": [], "grouped": []}
    for split in splits:
        known = np.flatnonzero(split.train)
        for index in np.flatnonzero(split.test):
            distances = [((pixels[index].astype(int) - pixels[other].astype(int)) ** 2).sum() for other in known]
            right[split.protocol].append(LABELS[known[int(np.argmin(distances))]] == LABELS[index])
    for protocol, found in right.items():
        assert numbers[f"{protocol}_nearest_image"] == pytest.approx(np.mean(found))
        of_protocol = [split for split in splits if split.protocol == protocol]
        assert numbers[f"{protocol}_copies_in_train"] == share_seen_in_train(of_protocol, PHOTOS)


def test_copies_give_the_letter_away_under_the_notebooks_split_and_not_when_photos_stay_whole():
    splits = [*protocols.signbridge(LABELS, 0.2, 0), *protocols.grouped(LABELS, PHOTOS, 5, 1, 2, 0)]
    numbers = leakage_of_splits(splits, SAMPLE, pixels_of_photos(noise=20))
    assert numbers["signbridge_copies_in_train"] > 0.9
    assert numbers["signbridge_nearest_image"] >= numbers["signbridge_copies_in_train"]
    assert numbers["grouped_copies_in_train"] == 0
    assert numbers["grouped_nearest_image"] < 0.6
    assert (numbers["sample_images"], numbers["sample_photos"], numbers["sample_images_per_photo"]) == (60, 15, 4.0)
    assert numbers["sample_letters"] == 3


def test_of_images_as_near_as_each_other_the_first_names_the_letter():
    labels, train = np.array(list("BAAB")), np.array([True, True, False, False])
    sample = pd.DataFrame({"label": labels, "photo": np.arange(4)})
    numbers = leakage_of_splits([Split("grouped", 0, 0, train, ~train)], sample, np.full((4, 3), 7, dtype=np.uint8))
    assert numbers["grouped_nearest_image"] == 0.5


def test_clips_and_signers_are_audited_where_they_are_known():
    sample = SAMPLE.assign(clip=PHOTOS // 2, signer=np.arange(60) % 3)
    splits = protocols.grouped(LABELS, sample["clip"].to_numpy(), 2, 1, 2, 0)
    numbers = leakage_of_splits(splits, sample, pixels_of_photos(noise=20))
    assert (numbers["grouped_copies_in_train"], numbers["grouped_clip_in_train"]) == (0, 0)
    assert (numbers["grouped_signer_in_train"], numbers["sample_signers"]) == (1, 3)
    images_of_two = images(["all"] * 6).assign(signer=list("ppqqqq"))
    of_dataset = leakage_of_dataset(images_of_two, np.array([0, 0, 0, 1, 1, 2]))
    assert (of_dataset["dataset_signers"], of_dataset["dataset_photos_under_two_signers"]) == (2, 1)


def test_a_protocol_that_is_not_asked_for_is_not_audited():
    numbers = leakage_of_splits(protocols.signbridge(LABELS, 0.2, 0), SAMPLE, pixels_of_photos(noise=20))
    assert not [name for name in numbers if name.startswith("grouped")]
