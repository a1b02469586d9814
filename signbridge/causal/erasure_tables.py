"""What is left to read under erasure: probes fitted on half of the photos, tested on the other half."""

from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float

from signbridge.causal.directions import fit_half_probe
from signbridge.causal.edits import NOTHING
from signbridge.causal.erasure import Edit, shard_name
from signbridge.probing.sweep import Cell, side_by_side
from signbridge.shards import names_of, vectors_of


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


def places(at: Iterable[str], edits: Mapping[str, list[Edit]], shards: list[Path]) -> Iterator[tuple[ReadUnder, str]]:
    """Every place that was read under an edit, with the name of its vectors."""
    names, sites = set(names_of(shards[0])), list(edits)
    for one in at:
        for site, of_site in edits.items():
            for edit in of_site:
                for later in sites[sites.index(site) :]:
                    for position in ("prompt_last", "image_mean"):
                        name = shard_name(one, site, edit, later, position)
                        if name in names:
                            yield ReadUnder(one, site, edit.eraser, edit.draw, later, position), name


def probes_table(
    sample: pd.DataFrame,
    fitted: Bool[np.ndarray, "images"],
    read: list[tuple[ReadUnder, str]],
    shards: list[Path],
    clean: Callable[[str, str], Float[np.ndarray, "images width"]],
    C: float,
) -> pd.DataFrame:
    """One row a place and tested image: at, site, eraser, draw, read_site, read_position, image_id, label, predicted.

    What was read with nothing erased has `nothing` as its eraser; `clean(site, position)` are its vectors.
    """
    unedited = sorted({(place.read_site, place.read_position) for place, _ in read})
    all_places = [ReadUnder(NOTHING, site, NOTHING, 0, site, position) for site, position in unedited]
    all_places += [place for place, _ in read]

    def cells() -> Iterator[Cell]:
        for site, position in unedited:
            yield Cell(site, position, clean(site, position))
        for place, name in read:
            yield Cell(place.read_site, place.read_position, vectors_of(shards, name).astype(np.float32))

    labels = sample["label"].to_numpy()
    tested = sample.loc[~fitted, ["image_id", "label"]].reset_index(drop=True)
    tables = []
    for place, predicted in zip(all_places, side_by_side(_predict, cells(), labels, fitted, C), strict=True):
        tables.append(tested.assign(**place._asdict(), predicted=predicted))
    table = pd.concat(tables, ignore_index=True)
    return table[PROBE_COLUMNS]


def changed_table(
    sample: pd.DataFrame,
    fitted: Bool[np.ndarray, "images"],
    at: Iterable[str],
    edits: Mapping[str, list[Edit]],
    shards: list[Path],
) -> pd.DataFrame:
    """One row an edit and tested image: at, site, eraser, draw, image_id, changed (another first token answers)."""
    ids, tables = sample.loc[~fitted, "image_id"].to_numpy(), []
    for one in at:
        for site, of_site in edits.items():
            for edit in of_site:
                changed = vectors_of(shards, shard_name(one, site, edit, site, "changed"))[~fitted, 0] > 0
                row = {"at": one, "site": site, "eraser": edit.eraser, "draw": edit.draw}
                tables.append(pd.DataFrame({**row, "image_id": ids, "changed": changed}))
    return pd.concat(tables, ignore_index=True)


def _predict(cell: Cell, labels: np.ndarray, fitted: Bool[np.ndarray, "images"], C: float) -> np.ndarray:
    return fit_half_probe(cell.vectors, labels, fitted, C).predict(cell.vectors[~fitted])


def damage_table(
    image_ids: np.ndarray, edits: Mapping[str, list[Edit]], damages: Mapping[str, Mapping[str, np.ndarray]]
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
