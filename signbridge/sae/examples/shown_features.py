"""Which features are shown: by a rule that asks for what they tell of letters and how active they are, no more."""

from collections.abc import Sequence

import numpy as np
import pandas as pd

SHARED, IMAGE_ONLY, TEXT_ONLY = "shared", "image only", "text only"


def shown_features(features: pd.DataFrame, letters: pd.DataFrame, most: int) -> list[int]:
    """Of one site: the features of the letters' lists, all of them, then the most active, up to `most` in all.

    `features` is of `feature_tables.feature_rows`, `letters` of `letter_features`. The first of every list come first,
    then the second, and so on. How active a feature is, is the sum of its means over image and over text tokens; one
    that fires on neither is dead and is never added.
    """
    of_letters = letters.sort_values("rank", kind="stable")["feature"].drop_duplicates().tolist()
    alive = features[features["modality"].notna() & ~features["feature"].isin(of_letters)]
    activity = (alive["image_mean"] + alive["text_mean"]).to_numpy()
    more = alive["feature"].to_numpy()[np.argsort(-activity, kind="stable")]
    return of_letters + more[: max(most - len(of_letters), 0)].tolist()


def kind_of(modality: float, bounds: Sequence[float]) -> str:
    """What a modality score makes a feature; nothing where it has none."""
    low, high = bounds
    if np.isnan(modality):
        return ""
    return IMAGE_ONLY if modality > high else TEXT_ONLY if modality < low else SHARED
