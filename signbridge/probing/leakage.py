"""The leakage audit: `metrics/leakage.json`. Does a split measure memory?

A split that puts copies of one photo on both sides does. Signs of it: the share of tested images that have a copy in
training, or their clip, or their signer, and the accuracy of the nearest training image by pixels, which understands
nothing.
"""

import numpy as np
import pandas as pd
from jaxtyping import UInt8
from sklearn.neighbors import KNeighborsClassifier

from signbridge.core.tables import Metric
from signbridge.probing.protocols import Split, share_seen_in_train

# The metrics in the order of the file: what decides whether a split leaks comes first.
HEADLINE = {
    name: name
    for name in (
        "signbridge_copies_in_train",
        "signbridge_clip_in_train",
        "signbridge_signer_in_train",
        "signbridge_nearest_image",
        "grouped_copies_in_train",
        "grouped_clip_in_train",
        "grouped_signer_in_train",
        "grouped_nearest_image",
        "official_test_copies_in_train",
        "sample_images",
        "sample_photos",
        "sample_images_per_photo",
        "sample_letters",
        "sample_signers",
        "sample_photos_under_two_letters",
        "dataset_images",
        "dataset_photos",
        "dataset_images_per_photo",
        "dataset_largest_photo",
        "dataset_exact_duplicates",
        "dataset_letters",
        "dataset_signers",
        "dataset_photos_under_two_letters",
        "dataset_photos_under_two_signers",
    )
}


def leakage_of_dataset(images: pd.DataFrame, photos: np.ndarray) -> dict[str, Metric]:
    """Of all images (label, split, sha256): how many photos they come from, and what the dataset's own split does."""
    sizes = pd.Series(photos).value_counts()
    numbers: dict[str, Metric] = {
        "dataset_images": len(images),
        "dataset_photos": len(sizes),
        "dataset_images_per_photo": float(sizes.mean()),
        "dataset_largest_photo": int(sizes.max()),
        "dataset_exact_duplicates": len(images) - int(images["sha256"].nunique()),
        "dataset_letters": int(images["label"].nunique()),
        "dataset_photos_under_two_letters": _under_two(images["label"].to_numpy(), photos),
    }
    if "signer" in images:
        numbers["dataset_signers"] = int(images["signer"].nunique())
        numbers["dataset_photos_under_two_signers"] = _under_two(images["signer"].to_numpy(), photos)
    split = images["split"].to_numpy()
    test, train = photos[np.isin(split, ("valid", "test"))], photos[split == "train"]
    if len(test) and len(train):
        numbers["official_test_copies_in_train"] = float(np.isin(test, train).mean())
    return numbers


def leakage_of_splits(
    splits: list[Split], sample: pd.DataFrame, pixels: UInt8[np.ndarray, "images pixels"]
) -> dict[str, Metric]:
    """Of the sample (label, photo; signer and clip where known): its photos and, by protocol, the signs of leakage.

    `PROTOCOL_copies_in_train`, `_clip_in_train` and `_signer_in_train` are shares of the tested images,
    `PROTOCOL_nearest_image` the accuracy of naming the letter of the nearest training image (Euclidean distance of the
    pixels, the first of equals), over all folds.
    """
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    numbers: dict[str, Metric] = {
        "sample_images": len(labels),
        "sample_photos": len(np.unique(photos)),
        "sample_images_per_photo": len(labels) / len(np.unique(photos)),
        "sample_letters": len(np.unique(labels)),
        "sample_photos_under_two_letters": _under_two(labels, photos),
    }
    if "signer" in sample:
        numbers["sample_signers"] = int(sample["signer"].nunique())
    signs = {"photo": "copies_in_train", "clip": "clip_in_train", "signer": "signer_in_train"}
    for protocol in dict.fromkeys(split.protocol for split in splits):
        of_protocol = [split for split in splits if split.protocol == protocol]
        for kind, sign in signs.items():
            if kind in sample:
                numbers[f"{protocol}_{sign}"] = share_seen_in_train(of_protocol, sample[kind].to_numpy())
        right = [_nearest(split, labels, pixels) for split in of_protocol]
        numbers[f"{protocol}_nearest_image"] = float(np.concatenate(right).mean())
    return numbers


def _under_two(names: np.ndarray, photos: np.ndarray) -> int:
    """How many photos lie under more than one letter, or signer: an image there is sorted wrongly."""
    of_photo = pd.DataFrame({"photo": photos, "name": names}).drop_duplicates()["photo"].value_counts()
    return int((of_photo > 1).sum())


def _nearest(split: Split, labels: np.ndarray, pixels: np.ndarray) -> np.ndarray:
    """Whether each tested image has the letter of its nearest training image."""
    nearest = KNeighborsClassifier(1, algorithm="brute").fit(pixels[split.train].astype(float), labels[split.train])
    return nearest.predict(pixels[split.test].astype(float)) == labels[split.test]
