"""How accurate probes are among the images that got one and the same answer: `data/within_word.parquet`, evaluated.

Those images differ in nothing that the text says, so whatever a probe reads of the letter there, the text does not
hold. Reading the word gets the commonest letter of its images right and no other: that share is chance here.
"""

import numpy as np
import pandas as pd

from signbridge.core.tables import Metric
from signbridge.statistics.intervals import StatisticsParams, group_bootstrap

ALL_WORDS = "(all)"


def accuracy_within(
    predictions: pd.DataFrame,
    photo: pd.Series,
    depths: dict[str, int],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row a word and cell, then one a cell over all words, named `(all)`.

    Columns: word, letters, images, photos, chance, site, depth, position, accuracy, low, high. Intervals are a
    bootstrap over photos; `chance` is the share of each word's commonest letter. Over all words each image counts once,
    so that a word weighs by its images. `photo` is by image_id, `depths` by site.
    """
    words = dict(list(predictions.groupby("word", sort=False)))
    if words:
        words[ALL_WORDS] = predictions
    tables = [_accuracies(rows, photo, statistics, generator).assign(word=word) for word, rows in words.items()]
    columns = ["word", "letters", "images", "photos", "chance", "site", "depth", "position", "accuracy", "low", "high"]
    if not tables:
        return pd.DataFrame(columns=columns)
    table = pd.concat(tables, ignore_index=True)
    return table.assign(depth=table["site"].map(depths))[columns]


def _accuracies(
    rows: pd.DataFrame, photo: pd.Series, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """Accuracy and interval of every cell on the same images, beside what these images are."""
    by_photo = rows.assign(right=rows["label"] == rows["predicted"], photo=rows["image_id"].map(photo)).pivot_table(
        values="right", index="photo", columns=["site", "position"], aggfunc=["sum", "count"], sort=False
    )
    right = by_photo["sum"].to_numpy(dtype=float)
    tested = by_photo["count"].iloc[:, 0].to_numpy(dtype=float)
    low, high = group_bootstrap(right, tested, statistics.confidence, statistics.resamples, generator)
    table = by_photo["sum"].columns.to_frame(index=False)
    images = rows.drop_duplicates(["word", "image_id"])
    letters = sorted(images["label"].unique())
    commonest = images.groupby("word")["label"].agg(lambda labels: labels.value_counts().max()).sum()
    return table.assign(
        letters="".join(letters) if all(len(letter) == 1 for letter in letters) else ", ".join(letters),
        images=len(images),
        photos=len(by_photo),
        chance=commonest / len(images),
        accuracy=right.sum(axis=0) / tested.sum(),
        low=low,
        high=high,
    )


def headline_within(accuracy: pd.DataFrame, site: str | None, position: str) -> dict[str, Metric]:
    """Over all words, what is known beyond the word at one site and position; empty where no word was probed.

    `accuracy` is the table of `accuracy_within`.
    """
    here = (accuracy["word"] == ALL_WORDS) & (accuracy["site"] == site) & (accuracy["position"] == position)
    if not here.any():
        return {}
    row = accuracy[here].iloc[-1]
    return {
        "within_word_accuracy": float(row["accuracy"]),
        "within_word_accuracy_low": float(row["low"]),
        "within_word_accuracy_high": float(row["high"]),
        "within_word_chance": float(row["chance"]),
        "within_word_images": int(row["images"]),
        "within_word_site": site,
        "within_word_position": position,
    }
