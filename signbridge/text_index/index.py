"""The text index on disk: what each row is in `contexts.parquet`, its vector at a text layer in `SITE.safetensors`."""

from pathlib import Path
from typing import NamedTuple

import pandas as pd

from signbridge import tables
from signbridge.text_index.stored_vectors import StoredVectors


class TextIndex(NamedTuple):
    """An index, opened."""

    contexts: pd.DataFrame  # token_id, token, word, sentence, start, end; a row a vector
    vectors: dict[str, StoredVectors]  # by text site, in order of depth


def open_index(folder: Path) -> TextIndex:
    """The index in `folder`. Raises `SignBridgeError` if it is not there or not readable."""
    contexts = folder / "contexts.parquet"
    sites = tables.made_by(contexts)["sites"]
    return TextIndex(
        tables.read(contexts), {site: StoredVectors.open(folder / f"{site}.safetensors") for site in sites}
    )
