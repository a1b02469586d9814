"""Letter by letter: how well each is read, and which are taken for which."""

import numpy as np
import pandas as pd

from signbridge.probing.statistics import StatisticsParams, photo_bootstrap


def letter_accuracy(
    headline: pd.DataFrame, photo_of: pd.Series, params: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """One row a letter: letter, images, accuracy, low, high. `headline` has image_id, label and predicted."""
    photo = headline["image_id"].map(photo_of).rename("photo")
    right = (headline["label"] == headline["predicted"]).astype(float).rename("right")
    counts = right.groupby([photo, headline["label"]]).agg(["sum", "count"]).reset_index()
    right, tested = (
        counts.pivot_table(values=value, index="photo", columns="label", fill_value=0.0) for value in ("sum", "count")
    )
    low, high = photo_bootstrap(
        right.to_numpy(float), tested.to_numpy(float), params.confidence, params.resamples, generator
    )
    table = headline.groupby("label")["image_id"].nunique().rename_axis("letter").rename("images").reset_index()
    return table.assign(accuracy=(right.sum() / tested.sum()).to_numpy(), low=low, high=high)


def confused_pairs(headline: pd.DataFrame) -> pd.DataFrame:
    """Pairs of letters taken for each other, the most confused first: letter_a, letter_b, count, share.

    `count` adds both directions over all repeats; `share` is of all tests of both letters.
    """
    wrong = headline[headline["label"] != headline["predicted"]]
    pairs = np.sort(wrong[["label", "predicted"]].to_numpy().astype(str), axis=1)
    counts = pd.DataFrame(pairs, columns=["letter_a", "letter_b"]).value_counts().rename("count").reset_index()
    tests = headline["label"].value_counts()
    of_pair = (tests.reindex(counts[letter]).to_numpy() for letter in ("letter_a", "letter_b"))
    counts["share"] = counts["count"] / sum(of_pair)
    return counts.sort_values(["share", "letter_a", "letter_b"], ascending=[False, True, True], ignore_index=True)
