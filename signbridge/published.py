"""What the notebook printed: LLaVA-1.5-7B, Sign Language MNIST, 60 test images, at the last token of its own answer."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.probing.statistics import wilson

TESTED = 60
RIGHT = {"layer_08": 43, "layer_16": 49, "layer_24": 46, "layer_31": 44}  # its README says 72.7 % for the first: 43.6
POSITION = "answer_last"  # its hooks stay on while text is generated
HUB_ID = "llava-hf/llava-1.5-7b-hf"
SOURCE = "sign_mnist"


class Study(NamedTuple):
    """What decides whether two studies ask the same thing of the same."""

    hub_id: str | None  # of the model
    source: str | None  # of the images
    strategy: str | None  # by which the sample was drawn


NOTEBOOK = Study(HUB_ID, SOURCE, "signbridge")


def published_table(accuracy: pd.DataFrame, study: Study, confidence: float) -> pd.DataFrame:
    """The printed figures beside those of this study: `plots/published.csv`.

    Columns: site, published_accuracy, published_low, published_high (Wilson's: no more is known than 60 images),
    reproduced_accuracy, reproduced_low, reproduced_high (under `signbridge` at the notebook's position; empty where
    there is no such layer), leaking (of this study; true where it did not run that split, as the notebook's did),
    comparable (whether `study` is the notebook's own).
    """
    right = np.array(list(RIGHT.values()))
    low, high = wilson(right, np.full_like(right, TESTED), confidence)
    published = pd.DataFrame(
        {
            "site": list(RIGHT),
            "published_accuracy": right / TESTED,
            "published_low": low,
            "published_high": high,
        }
    )
    rows = accuracy[(accuracy["protocol"] == "signbridge") & (accuracy["position"] == POSITION)]
    names = {name: f"reproduced_{name}" for name in ("accuracy", "low", "high")}
    table = published.merge(rows[["site", *names, "leaking"]].rename(columns=names), on="site", how="left")
    here = accuracy.loc[accuracy["protocol"] == "signbridge", "leaking"]
    return table.assign(leaking=bool(here.any()) if len(here) else True, comparable=study == NOTEBOOK)
