"""One sweep of erasure over a sample: fit the erasers, read the images under them, and write tables of what is left.

What is left to read is measured by new probes, cross-validated over photos that the same erasers erased: after LEACE at
every position that it touched, after the first draw of each control at the last token of the prompt.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float

from signbridge.causal.damage import describe
from signbridge.causal.erasure import (
    IMAGE_TOKEN,
    ErasureSweep,
    Removal,
    damage,
    erasing_work,
    leace,
    shard_name,
    spanned,
)
from signbridge.causal.erasure_fit import (
    Drawn,
    Erasing,
    Vectors,
    cross_fit,
    drawn_images,
    fit_on_drawn,
    group_folds,
    reading_work,
)
from signbridge.core import activations
from signbridge.core.names import LEACE, LEACE_IN_SAMPLE, NOTHING, POSITION_OF
from signbridge.core.shards import names_of, vectors_of
from signbridge.core.sweeps import QuestionsParams, spread_layers
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import check_halves, one_of_each_photo
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, predict, side_by_side
from signbridge.vlm.extraction import Reader
from signbridge.vlm.model_run import ModelRun

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


class Read(NamedTuple):
    """What was read of the sample, part after part, each under erasers of its own."""

    parts: list[Erasing]
    shards: list[list[Path]]  # of each part

    @property
    def edits(self) -> Mapping[str, list[Removal]]:
        """By site; those of every part have the same names."""
        return self.parts[0].edits

    def vectors(self, name: str) -> np.ndarray:
        """The array of that name in the sample's order."""
        order = np.argsort(np.concatenate([part.rows for part in self.parts]), kind="stable")
        return np.concatenate([vectors_of(shards, name) for shards in self.shards])[order]

    def places(self, at: Iterable[str]) -> Iterator[tuple[ReadUnder, str]]:
        """Every place that a probe reads under an edit, with the name of its vectors."""
        names, sites = set(names_of(self.shards[0][0])), list(self.edits)
        for one in at:
            for site, of_site in self.edits.items():
                for edit in of_site:
                    for later in sites[sites.index(site) :]:
                        for position in ("prompt_last", "image_mean", IMAGE_TOKEN):
                            name = shard_name(one, site, edit, later, position)
                            probed = edit.eraser == LEACE or (position == "prompt_last" and edit.draw == 0)
                            if name in names and probed:
                                yield ReadUnder(one, site, edit.eraser, edit.draw, later, position), name


def probes_table(
    sample: pd.DataFrame,
    read: Read,
    at: Iterable[str],
    clean: Callable[[str, str], Float[np.ndarray, "images width"]],
    C: float,
    seed: int,
) -> pd.DataFrame:
    """One row a place and image: at, site, eraser, draw, read_site, read_position, image_id, label, predicted.

    Each image is read by a probe that was not fitted on its group (photo, clip or signer). Where nothing was erased the
    eraser is `nothing`; `clean(site, position)` are the vectors there. `leace_in_sample` is LEACE fitted on the very
    images that it erases: what such an eraser seems to leave.
    """
    labels, groups = sample["label"].to_numpy(), sample["group"].to_numpy()
    images, erased = sample[["image_id", "label"]].reset_index(drop=True), list(read.places(at))
    unedited = sorted({(place.read_site, place.read_position) for place, _ in erased})
    nothing = [ReadUnder(NOTHING, site, NOTHING, 0, site, position) for site, position in unedited]
    in_sample = [
        ReadUnder(tokens, site, LEACE_IN_SAMPLE, 0, site, position)
        for site in dict.fromkeys(site for site, _ in unedited)
        for tokens, position in POSITION_OF.items() if (site, position) in unedited and tokens != "every"
    ]  # fmt: skip

    def cells() -> Iterator[Cell]:
        for site, position in unedited:
            stored = read.vectors(f"{site}.{position}") if position == IMAGE_TOKEN else clean(site, position)
            yield Cell(site, position, stored.astype(np.float32))
        for place, name in erased:
            yield Cell(place.read_site, place.read_position, read.vectors(name).astype(np.float32))
        for place in in_sample:
            vectors = clean(place.site, place.read_position)
            left = leace(spanned(vectors), labels).erase(torch.from_numpy(vectors)).numpy()
            yield Cell(place.read_site, place.read_position, left)

    places = [*nothing, *(place for place, _ in erased), *in_sample]
    splits = [split for part in read.parts for split in group_folds(labels, groups, seed, part.rows)]
    return pd.concat(_predicted(places, cells(), images, splits, C), ignore_index=True)[PROBE_COLUMNS]


def changed_table(sample: pd.DataFrame, at: Iterable[str], read: Read) -> pd.DataFrame:
    """One row an edit and image: at, site, eraser, draw, image_id, changed (the answer has another first token)."""
    ids, tables = sample["image_id"].to_numpy(), []
    for one in at:
        for site, of_site in read.edits.items():
            for edit in of_site:
                changed = read.vectors(shard_name(one, site, edit, site, "changed"))[:, 0] > 0
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
    places: list[ReadUnder], cells: Iterable[Cell], images: pd.DataFrame, splits: list[Split], C: float
) -> list[pd.DataFrame]:
    labels = images["label"].to_numpy()
    letters = np.unique(labels)
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
    drawn: int  # images that erasers were fitted on; 0: half of the photos each


def erase(
    reading: ModelRun,
    questions: QuestionsParams,
    sweep: ErasureSweep,
    C: float,
    sample: pd.DataFrame,
    dataset: Mapping[str, Any],
    vectors: Path,
    seed: int,
) -> ErasureTables:
    """Erase at every site and place of `sweep`. Without a layer the tables are empty.

    `sample` has image_id, label, photo, group and image (PNG); `dataset` is what made its images, `vectors` its
    activation folder; `C` is the inverse penalty of the probes. Raises `SignBridgeError` if a class has a single group.
    """
    if sweep.layers == 0:
        empty = (pd.DataFrame(columns=names) for names in (PROBE_COLUMNS, CHANGED_COLUMNS, DAMAGE_COLUMNS))
        return ErasureTables(*empty, drawn=0)
    labels = sample["label"].to_numpy()
    check_halves(labels, sample["group"].to_numpy())
    reader, images = reading.reader, decoded(sample["image"])
    sites = spread_layers(sweep.layers, len(reader.loaded.parts.blocks))
    drawn = drawn_images(dataset, labels, sweep.drawn)
    clean = partial(activations.read, vectors, image_ids=list(sample["image_id"]))
    parts = _fitted(reading, reader, drawn, clean, sample, sites, sweep, seed, "answers")
    read = Read(parts, [
        reading.read_in_shards(
            [images[row] for row in part.rows], erasing_work(reader, part.edits, sweep.at), "erase", within=f"{number}"
        )
        for number, part in enumerate(parts)
    ])  # fmt: skip
    return ErasureTables(
        probes_table(sample, read, sweep.at, clean, C, seed),
        changed_table(sample, sweep.at, read),
        _damage(reading, questions, sweep, sample, drawn, sites, seed),
        len(drawn.images),
    )


def _fitted(
    reading: ModelRun,
    reader: Reader,
    drawn: Drawn,
    vectors: Vectors,
    sample: pd.DataFrame,
    sites: list[str],
    sweep: ErasureSweep,
    seed: int,
    within: str,
) -> list[Erasing]:
    """The erasers for the sample's images under the reader's prompt, where `vectors` are theirs."""
    if not drawn.images:
        return cross_fit(vectors, sample, sites, sweep, seed)
    return [Erasing(np.arange(len(sample)), fit_on_drawn(reading, reader, drawn, sites, sweep, seed, within))]


def _damage(
    reading: ModelRun,
    questions: QuestionsParams,
    sweep: ErasureSweep,
    sample: pd.DataFrame,
    drawn: Drawn,
    sites: list[str],
    seed: int,
) -> pd.DataFrame:
    """The damage, with erasers fitted once more: the prompt that asks for a description ends in another token."""
    photos, images = sample["photo"].to_numpy(), decoded(sample["image"])
    prompt = reading.reader.asking(questions.describe, DESCRIBE, 1)

    @cache
    def shards() -> list[Path]:
        work = reading_work(prompt, sites)
        return reading.read_in_shards(images, work, "describing prompt", within="descriptions", reader=prompt)

    def clean(site: str, position: str) -> np.ndarray:
        return vectors_of(shards(), f"{site}.{position}").astype(np.float32)

    parts = _fitted(reading, prompt, drawn, clean, sample, sites, sweep, seed, "descriptions")
    others = np.array(one_of_each_photo(photos, np.random.default_rng(seed))[: sweep.others])
    describer = reading.reader.asking(questions.describe, DESCRIBE, questions.describe_tokens)
    found = []
    for part in parts:
        mine = others[np.isin(others, part.rows)]
        if not len(mine):
            continue
        shown = [images[row] for row in mine]
        described = describer.retrying(lambda shown=shown: describe(describer, shown))
        damages = {
            at: describer.retrying(
                lambda at=at, shown=shown, told=described, part=part: damage(describer, shown, told, part.edits, at)
            )
            for at in sweep.at
        }
        found.append(damage_table(sample["image_id"].to_numpy()[mine], part.edits, damages))
    return pd.concat(found, ignore_index=True)
