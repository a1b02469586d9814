"""The tables of `sae_steer`, put together."""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge import tables
from signbridge.sae.steering.feature_edits import CLASSES, CONCEPT, CONCEPT_UNDONE, PRETRAINED


def read_steered(folder: Path, name: str, concept: str | None) -> pd.DataFrame:
    """The tables `name` of all kinds of steering in `folder`, with the column `steered`.

    That is the kind; of the `concept`, as hands are called of which it is true, whether to it or away from it.
    """
    parts = {kind: tables.read(folder / kind / f"{name}.parquet") for kind in (CLASSES, PRETRAINED, CONCEPT)}
    towards = np.where(parts[CONCEPT]["b"] == concept, CONCEPT, CONCEPT_UNDONE)
    there = [part.assign(steered=towards if kind == CONCEPT else kind) for kind, part in parts.items()]
    return pd.concat([part for part in there if len(part)] or there[:1], ignore_index=True)
