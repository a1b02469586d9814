"""A made-up pretrained autoencoder: it fits, and the first letter's first feature is a published one."""

from collections.abc import Sequence
from typing import Any

import pandas as pd

from signbridge.report.columns import COLUMNS

FOUND = {
    "pretrained": "pair", "model": "tiny (a test bed)", "site": "layer_01", "position": "586",
    "token": "<start_of_turn>", "prompt": "<image>\ndescribe the image", "features": 16384, "dropped": 12,
    "dropped_by": "every_class",
    "fits": True, "threshold": 0.5, "descriptions": "neuronpedia gemma-2b/12-res-jb", "described": 1, "images": 6,
    "phrases": 8, "confidence": 0.95, "variance_explained_image": 0.71, "variance_explained_image_low": 0.7,
    "variance_explained_image_high": 0.72, "variance_explained_text": 0.9, "variance_explained_text_low": 0.89,
    "variance_explained_text_high": 0.91, "fidelity_image": 0.8, "fidelity_image_low": 0.7,
    "fidelity_image_high": 0.9, "published_classes": 1, "published_found": 0.5,
}  # fmt: skip


def tables(letters: Sequence[str]) -> dict[str, Any]:
    """The table and the metrics that `Pretrained` has of it, by name."""
    rows = [(name, 1, 4500 + number, "", "") for number, name in enumerate(letters)]
    rows = [("A", 1, 4500, "mentions of <b>dogs</b>", "True"), ("A", 2, 7, "", "False"), *rows[1:]]
    found = {**FOUND, "published_found_A": 0.5}
    return {
        "classes": pd.DataFrame(rows, columns=COLUMNS["classes"]), "found": found
    }  # fmt: skip
