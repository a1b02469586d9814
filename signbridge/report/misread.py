"""Which images the headline's probe reads wrong most often."""

from typing import NamedTuple

import pandas as pd

EACH = 6  # of a signer
WITHOUT_SIGNERS = 18
COLUMNS = ["image_id", "label", "read", "wrong", "tests", "who"]


class Misread(NamedTuple):
    """What is read wrong."""

    images: int  # in one test or more
    # The worst first: image_id, label, read (what it is taken for most often), wrong and tests (how often), who (the
    # signer; empty where none is known).
    worst: pd.DataFrame


def most_misread(predictions: pd.DataFrame, sample: pd.DataFrame) -> Misread:
    """The images that are read wrong in the largest share of their tests, of each signer where signers are known.

    `predictions` (image_id, label, predicted) has a row a test.
    """
    wrong = predictions[predictions["label"] != predictions["predicted"]]
    if wrong.empty:
        return Misread(0, pd.DataFrame(columns=COLUMNS))
    taken_for = wrong.groupby(["image_id", "predicted"]).size().rename("times").reset_index()
    taken_for = taken_for.sort_values(["times", "predicted"], ascending=[False, True]).drop_duplicates("image_id")
    table = predictions.groupby("image_id")["label"].agg(label="first", tests="size").reset_index()
    table = table.merge(taken_for.rename(columns={"predicted": "read"})[["image_id", "read"]], on="image_id")
    table["wrong"] = table["image_id"].map(wrong["image_id"].value_counts())
    table["who"] = table["image_id"].map(sample.set_index("image_id")["signer"]) if "signer" in sample else ""
    share = table["wrong"] / table["tests"]
    table = table.assign(share=share).sort_values(["share", "image_id"], ascending=[False, True])
    worst = table.groupby("who", sort=False).head(EACH if "signer" in sample else WITHOUT_SIGNERS)
    return Misread(len(table), worst[COLUMNS])
