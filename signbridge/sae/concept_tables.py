"""What was read of the sample under the concept's prompt: features, the stream beside them, and what the model says."""

from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from signbridge import activations, tables
from signbridge.sae.concept import Readings
from signbridge.sae.feature_tables import POSITIONS, STREAM
from signbridge.shards import answers_of, vectors_of

ANSWERS = "answers.parquet"


def write_concept(
    folder: Path, sites: Collection[str], shards: list[Path], image_ids: list[str], made_by: dict[str, Any]
) -> None:
    """Write `features/SITE` and `stream/SITE` by position, and the answers (image_id, answer), from `FeatureReader`."""
    for site in sites:
        for kind, end in (("features", ""), (STREAM, ".stream")):
            vectors = {position: vectors_of(shards, f"{site}.{position}{end}") for position in POSITIONS}
            activations.write(folder / kind, site, image_ids, vectors, made_by)
    answers = pd.DataFrame({"image_id": image_ids, "answer": answers_of(shards)})
    tables.write(answers, folder / ANSWERS, made_by)


def readings(folder: Path, reads: str, sites: Collection[str], image_ids: list[str]) -> Iterator[Readings]:
    """What was read of these images at every place: features, or the stream if `reads` says so."""
    kind = STREAM if reads == STREAM else "features"
    for site in sites:
        for position in POSITIONS:
            yield Readings(reads, site, position, activations.read(folder / kind, site, position, image_ids))
