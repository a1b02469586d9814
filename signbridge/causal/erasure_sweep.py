"""One sweep of erasure over a sample: erasers fitted, images read under them, and what is left put into tables."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge import activations
from signbridge.causal.descriptions import describe
from signbridge.causal.erasure import ErasingReader, ErasureSweep, Removal, damage, edits_at
from signbridge.causal.erasure_tables import (
    CHANGED_COLUMNS,
    DAMAGE_COLUMNS,
    PROBE_COLUMNS,
    changed_table,
    damage_table,
    places,
    probes_table,
)
from signbridge.causal.pairs import fitted_half
from signbridge.causal.sweeps import CausalParams, spread_layers
from signbridge.datasets.one_per_photo import one_of_each_photo
from signbridge.extraction import Reader, read_in_shards
from signbridge.extraction_tables import decoded
from signbridge.shards import vectors_of


class ErasureTables(NamedTuple):
    """The tables of a sweep, as `erasure_tables.py` describes them."""

    probes: pd.DataFrame
    changed: pd.DataFrame
    damage: pd.DataFrame


class Scratch(NamedTuple):
    """Where finished shards lie until the tables are written, and how many images each holds."""

    folder: Path
    images_per_shard: int


def erase(
    reader: Reader,
    causal: CausalParams,
    sweep: ErasureSweep,
    sample: pd.DataFrame,
    vectors: Path,
    seed: int,
    scratch: Scratch,
) -> ErasureTables:
    """Erase at every site and place of `sweep`. Without a layer the tables are empty.

    `sample` has image_id, label, photo and image (PNG); `vectors` is its activation folder. Raises
    `SignBridgeError` if a class has a single photo.
    """
    sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))
    if not sites:
        empty = (pd.DataFrame(columns=names) for names in (PROBE_COLUMNS, CHANGED_COLUMNS, DAMAGE_COLUMNS))
        return ErasureTables(*empty)
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    half = fitted_half(labels, photos, seed)
    clean = partial(activations.read, vectors, image_ids=list(sample["image_id"]))
    edits = {site: edits_at(site, clean, labels, photos, sweep, seed)
             for site in sites}  # fmt: skip
    images = decoded(sample["image"])
    shards = read_in_shards(
        ErasingReader(reader, edits, sweep.at), images, scratch.folder / "answers", scratch.images_per_shard, "erase"
    )
    return ErasureTables(
        probes_table(sample, half, list(places(sweep.at, edits, shards)), shards, clean, causal.C, seed),
        changed_table(sample, sweep.at, edits, shards),
        _damage(reader, causal, sweep, sample, sites, seed, scratch),
    )


def _damage(
    reader: Reader,
    causal: CausalParams,
    sweep: ErasureSweep,
    sample: pd.DataFrame,
    sites: list[str],
    seed: int,
    scratch: Scratch,
) -> pd.DataFrame:
    """With erasers fitted once more, under the prompt that asks for a description: its last token is another."""
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    images, folder = decoded(sample["image"]), scratch.folder / "descriptions"
    prompt = reader.asking(causal.describe, "causal.describe", 1)
    shards = read_in_shards(prompt, images, folder, scratch.images_per_shard, "describing prompt")

    def clean(site: str, position: str) -> np.ndarray:
        return vectors_of(shards, f"{site}.{position}").astype(np.float32)

    edits: dict[str, list[Removal]] = {site: edits_at(site, clean, labels, photos, sweep, seed) for site in sites}
    others = one_of_each_photo(photos, np.random.default_rng(seed))[: sweep.others]
    shown = [images[row] for row in others]
    describer = reader.asking(causal.describe, "causal.describe", causal.describe_tokens)
    descriptions = describer.retrying(lambda: describe(describer, shown))
    damages = {
        at: describer.retrying(lambda at=at: damage(describer, shown, descriptions, edits, at)) for at in sweep.at
    }
    return damage_table(sample["image_id"].to_numpy()[others], edits, damages)
