"""One sweep of erasure over a sample: fit the erasers, read the images under them, and write tables of what is left.

What is left to read is measured by new probes, cross-validated over photos.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from sklearn.model_selection import StratifiedGroupKFold

from signbridge.causal.damage import describe
from signbridge.causal.erasure import (
    IMAGE_TOKEN,
    ErasureSweep,
    Removal,
    damage,
    edits_at,
    erasing_work,
    leace,
    shard_name,
    spanned,
)
from signbridge.core import activations
from signbridge.core.names import LEACE_OTHER_PHOTOS, NOTHING, POSITION_OF
from signbridge.core.shards import names_of, vectors_of
from signbridge.core.sweeps import QuestionsParams, spread_layers
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import fitted_half, one_of_each_photo
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, predict, side_by_side
from signbridge.vlm.model_run import ModelRun

FOLDS = 5  # or as many as the letter with the fewest photos has
DESCRIBE = "questions.describe"  # where the params have that prompt


class ReadUnder(NamedTuple):
    """Where a probe reads, and what was erased below."""

    at: str
    site: str  # erased at
    eraser: str
    draw: int
    read_site: str
    read_position: str


PROBE_COLUMNS = [*ReadUnder._fields, "image_id", "label", "predicted"]
CHANGED_COLUMNS = ["at", "site", "eraser", "draw", "image_id", "changed"]
DAMAGE_COLUMNS = ["at", "site", "eraser", "draw", "image_id", "damage"]


def places(
    at: Iterable[str], edits: Mapping[str, list[Removal]], shards: list[Path]
) -> Iterator[tuple[ReadUnder, str]]:
    """Every place that was read under an edit, with the name of its vectors."""
    names, sites = set(names_of(shards[0])), list(edits)
    for one in at:
        for site, of_site in edits.items():
            for edit in of_site:
                for later in sites[sites.index(site) :]:
                    for position in ("prompt_last", "image_mean", IMAGE_TOKEN):
                        name = shard_name(one, site, edit, later, position)
                        if name in names:
                            yield ReadUnder(one, site, edit.eraser, edit.draw, later, position), name


def probes_table(
    sample: pd.DataFrame,
    half: Bool[np.ndarray, "images"],
    read: list[tuple[ReadUnder, str]],
    shards: list[Path],
    clean: Callable[[str, str], Float[np.ndarray, "images width"]],
    C: float,
    seed: int,
) -> pd.DataFrame:
    """One row a place and image: at, site, eraser, draw, read_site, read_position, image_id, label, predicted.

    Each image is read by a probe that was not fitted on its photo. Where nothing was erased the eraser is `nothing`;
    `clean(site, position)` are the vectors there. `leace_other_photos` is LEACE fitted on the `half` and read in the
    other half, by probes that are cross-validated there: what an eraser leaves in photos that it has not seen.
    """
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    every, rest = sample[["image_id", "label"]].reset_index(drop=True), ~half
    unedited = sorted({(place.read_site, place.read_position) for place, _ in read})
    nothing = [ReadUnder(NOTHING, site, NOTHING, 0, site, position) for site, position in unedited]
    unseen = [
        ReadUnder(tokens, site, LEACE_OTHER_PHOTOS, 0, site, position)
        for site in dict.fromkeys(site for site, _ in unedited)
        for tokens, position in POSITION_OF.items() if (site, position) in unedited and tokens != "every"
    ]  # fmt: skip

    def cells() -> Iterator[Cell]:
        for site, position in unedited:
            stored = vectors_of(shards, f"{site}.{position}") if position == IMAGE_TOKEN else clean(site, position)
            yield Cell(site, position, stored.astype(np.float32))
        for place, name in read:
            yield Cell(place.read_site, place.read_position, vectors_of(shards, name).astype(np.float32))

    def erased_unseen() -> Iterator[Cell]:
        for place in unseen:
            vectors = clean(place.site, place.read_position)
            left = leace(spanned(vectors[half]), labels[half]).erase(torch.from_numpy(vectors[rest])).numpy()
            yield Cell(place.read_site, place.read_position, left)

    tables = _predicted([*nothing, *(place for place, _ in read)], cells(), every, photos, C, seed)
    of_rest = every[rest].reset_index(drop=True)
    tables += _predicted(unseen, erased_unseen(), of_rest, photos[rest], C, seed)
    return pd.concat(tables, ignore_index=True)[PROBE_COLUMNS]


def photo_folds(labels: np.ndarray, photos: np.ndarray, seed: int) -> list[Split]:
    """A split of whole photos, each image tested once, in as many folds as the letter with the fewest photos allows."""
    fewest = min(len(np.unique(photos[labels == letter])) for letter in np.unique(labels))
    everywhere = np.arange(len(labels))
    folds = StratifiedGroupKFold(min(FOLDS, max(fewest, 2)), shuffle=True, random_state=seed)
    return [
        Split("grouped", 0, number, np.isin(everywhere, train), np.isin(everywhere, test))
        for number, (train, test) in enumerate(folds.split(labels, labels, photos))
    ]


def changed_table(
    sample: pd.DataFrame, at: Iterable[str], edits: Mapping[str, list[Removal]], shards: list[Path]
) -> pd.DataFrame:
    """One row an edit and image: at, site, eraser, draw, image_id, changed (the answer has another first token)."""
    ids, tables = sample["image_id"].to_numpy(), []
    for one in at:
        for site, of_site in edits.items():
            for edit in of_site:
                changed = vectors_of(shards, shard_name(one, site, edit, site, "changed"))[:, 0] > 0
                row = {"at": one, "site": site, "eraser": edit.eraser, "draw": edit.draw}
                tables.append(pd.DataFrame({**row, "image_id": ids, "changed": changed}))
    return pd.concat(tables, ignore_index=True)


def damage_table(
    image_ids: np.ndarray, edits: Mapping[str, list[Removal]], damages: Mapping[str, Mapping[str, np.ndarray]]
) -> pd.DataFrame:
    """One row an edit and described image: at, site, eraser, draw, image_id, damage (nats a token).

    `damages` has them by place and site, each edits x images.
    """
    tables = []
    for at, by_site in damages.items():
        for site, of_site in by_site.items():
            for edit, of_edit in zip(edits[site], of_site, strict=True):
                row = {"at": at, "site": site, "eraser": edit.eraser, "draw": edit.draw}
                tables.append(pd.DataFrame({**row, "image_id": image_ids, "damage": of_edit}))
    return pd.concat(tables, ignore_index=True)


def _predicted(
    places: list[ReadUnder], cells: Iterable[Cell], images: pd.DataFrame, photos: np.ndarray, C: float, seed: int
) -> list[pd.DataFrame]:
    labels = images["label"].to_numpy()
    letters, splits = np.unique(labels), photo_folds(labels, photos, seed)
    Cs = {(place.read_site, place.read_position): [C] * len(splits) for place in places}
    tables = []
    for place, scored in zip(places, side_by_side(predict, cells, labels, splits, Cs), strict=True):
        predicted = np.empty(len(labels), dtype=object)
        for split, found in zip(splits, scored.predicted, strict=True):
            predicted[split.test] = letters[found]
        tables.append(images.assign(**place._asdict(), predicted=predicted))
    return tables


class ErasureTables(NamedTuple):
    """The tables of a sweep."""

    probes: pd.DataFrame  # of `probes_table`
    changed: pd.DataFrame  # of `changed_table`
    damage: pd.DataFrame  # of `damage_table`


def erase(
    reading: ModelRun,
    questions: QuestionsParams,
    sweep: ErasureSweep,
    C: float,
    sample: pd.DataFrame,
    vectors: Path,
    seed: int,
) -> ErasureTables:
    """Erase at every site and place of `sweep`. Without a layer the tables are empty.

    `sample` has image_id, label, photo and image (PNG); `vectors` is its activation folder; `C` is the inverse penalty
    of the probes. Raises `SignBridgeError` if a class has a single photo.
    """
    if sweep.layers == 0:
        empty = (pd.DataFrame(columns=names) for names in (PROBE_COLUMNS, CHANGED_COLUMNS, DAMAGE_COLUMNS))
        return ErasureTables(*empty)
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    half = fitted_half(labels, photos, seed)
    reader = reading.reader
    sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))
    clean = partial(activations.read, vectors, image_ids=list(sample["image_id"]))
    edits = {site: edits_at(site, clean, labels, photos, sweep, seed) for site in sites}
    shards = reading.read_in_shards(
        decoded(sample["image"]), erasing_work(reader, edits, sweep.at), "erase", within="answers"
    )
    return ErasureTables(
        probes_table(sample, half, list(places(sweep.at, edits, shards)), shards, clean, C, seed),
        changed_table(sample, sweep.at, edits, shards),
        _damage(reading, questions, sweep, sample, sites, seed),
    )


def _damage(
    reading: ModelRun,
    questions: QuestionsParams,
    sweep: ErasureSweep,
    sample: pd.DataFrame,
    sites: list[str],
    seed: int,
) -> pd.DataFrame:
    """The damage, with erasers fitted once more: the prompt that asks for a description ends in another token."""
    labels, photos, images = sample["label"].to_numpy(), sample["photo"].to_numpy(), decoded(sample["image"])
    prompt = reading.reader.asking(questions.describe, DESCRIBE, 1)
    shards = reading.read_in_shards(images, title="describing prompt", within="descriptions", reader=prompt)

    def clean(site: str, position: str) -> np.ndarray:
        return vectors_of(shards, f"{site}.{position}").astype(np.float32)

    edits = {site: edits_at(site, clean, labels, photos, sweep, seed) for site in sites}
    others = one_of_each_photo(photos, np.random.default_rng(seed))[: sweep.others]
    shown = [images[row] for row in others]
    describer = reading.reader.asking(questions.describe, DESCRIBE, questions.describe_tokens)
    descriptions = describer.retrying(lambda: describe(describer, shown))
    damages = {
        at: describer.retrying(lambda at=at: damage(describer, shown, descriptions, edits, at)) for at in sweep.at
    }
    return damage_table(sample["image_id"].to_numpy()[others], edits, damages)
