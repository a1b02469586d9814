"""One sweep of minimal pairs: read and described, patched into each other, and pushed by the mean differences."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.causal.minimal_pairs import (
    IMAGE_TOKENS,
    OTHER,
    OWN,
    READ_COLUMNS,
    SAID_COLUMNS,
    MinimalPairsSweep,
    Pair,
    described_swaps,
    differences_of,
    images_of,
    pairs_of,
    push_pairs,
    pushes_of,
    read_table,
    said_table,
    token_vectors,
)
from signbridge.causal.pairs import ImagePair
from signbridge.causal.patching import BEHIND, Swap, as_table, patching_work
from signbridge.core.names import PATCHED
from signbridge.core.shards import answers_of, names_of, vectors_of
from signbridge.core.sweeps import QuestionsParams, spread_layers
from signbridge.rendered.minimal_pairs import MinimalPairs
from signbridge.vlm.model_run import ModelRun
from signbridge.vlm.residual import decoder_sites

DESCRIBE = "questions.describe"  # where the params have that prompt
COLUMNS = {
    "said": SAID_COLUMNS,
    "read": READ_COLUMNS,
    "patched": ["photo", "pair", "finger", "site", "position", *BEHIND],
    "steered": ["photo", "finger", "site", "direction", "strength", "gap", "moved"],
}  # of each table


def sweep_pairs(
    run: ModelRun, questions: QuestionsParams, sweep: MinimalPairsSweep, photos: list[MinimalPairs], seed: int
) -> dict[str, pd.DataFrame]:
    """The tables by name: `said_table`, `read_table`; patched and steered are as `patching.as_table` has them.

    patched: a row a run, site and position, of the pairs whose descriptions differ, with the photo. steered: a row a
    run, site, direction (`own`: the finger's mean difference, fitted on the other half of the photos; `other`: another
    finger's, as long) and strength. Without photos all are empty.
    """
    if not photos:
        return {name: pd.DataFrame(columns=columns) for name, columns in COLUMNS.items()}
    images, pairs = images_of(photos), pairs_of(photos)
    describer = run.reader.asking(questions.describe, DESCRIBE, questions.describe_tokens)
    shards = run.read_in_shards(images, title="read the pairs", within="read", reader=describer)
    said = answers_of(shards)
    by_token = run.read_in_shards(
        images, token_vectors(describer), "read image tokens", within="tokens", reader=describer
    )
    pixels = np.stack([np.asarray(image.convert("L"), dtype=np.float32).ravel() for image in images])
    places = [
        ("pixels", "flat"),
        *(tuple(name.split(".")) for part in (shards, by_token) for name in names_of(part[0])),
    ]
    places = [(site, position) for site, position in places if position != "answer_last"]

    def vectors(site: str, position: str) -> np.ndarray:
        if site == "pixels":
            return pixels
        name = f"{site}.{position}"
        return vectors_of(by_token if position == IMAGE_TOKENS else shards, name).astype(np.float32)

    todo = list(described_swaps(describer, pairs, images, said))
    sites = decoder_sites(run.reader.loaded.parts)
    return {
        "said": said_table(pairs, images, said),
        "read": read_table(pairs, places, vectors, sweep.draws, np.random.default_rng(seed)),
        "patched": _patched(run, pairs, todo, sites),
        "steered": _steered(run, pairs, todo, sweep, lambda site: vectors(site, "image_mean")),
    }


def _patched(run: ModelRun, pairs: list[Pair], todo: Sequence[tuple[int, Swap]], sites: list[str]) -> pd.DataFrame:
    if not todo:
        return pd.DataFrame(columns=COLUMNS["patched"])
    work = patching_work(run.reader)
    shards = run.read_in_shards([swap for _, swap in todo], work, "patch the pairs", "pair", within="patched")
    return _told(pairs, [place for place, _ in todo], shards, {"site": sites, "position": PATCHED})[COLUMNS["patched"]]


def _steered(
    run: ModelRun,
    pairs: list[Pair],
    todo: Sequence[tuple[int, Swap]],
    sweep: MinimalPairsSweep,
    vectors: Callable[[str], np.ndarray],
) -> pd.DataFrame:
    sites = spread_layers(sweep.layers, len(run.reader.loaded.parts.blocks))
    if not todo or not sites:
        return pd.DataFrame(columns=COLUMNS["steered"])
    differences = {site: differences_of(pairs, vectors(site)) for site in sites}
    pushed = [
        swap._replace(
            pushes={site: pushes_of(differences[site], pairs, pairs[place], sweep.strengths) for site in sites}
        )
        for place, swap in todo
    ]
    work = patching_work(run.reader, push_pairs, wanted=lambda swap: swap)
    shards = run.read_in_shards(pushed, work, "push the pairs", "pair", within="steered")
    names = [(direction, strength) for direction in (OWN, OTHER) for strength in sweep.strengths]
    cells = {"site": sites, "push": range(len(names))}
    table = _told(pairs, [place for place, _ in todo], shards, cells)
    direction, strength = (np.array(column)[table["push"]] for column in zip(*names, strict=True))
    return table.assign(direction=direction, strength=strength)[COLUMNS["steered"]]


def _told(pairs: list[Pair], places: list[int], shards: list[Path], cells: Mapping[str, Sequence]) -> pd.DataFrame:
    """`patching.as_table` of these of the pairs, with photo and finger."""
    numbers = [ImagePair(2 * number, 2 * number + 1) for number in range(len(places))]
    ids = pd.DataFrame({"image_id": np.arange(2 * len(places))})
    table = as_table(ids, numbers, shards, cells)
    of_pair = [pairs[place] for place in places]
    return table.assign(
        photo=[of_pair[number].photo for number in table["pair"]],
        finger=[of_pair[number].finger for number in table["pair"]],
    )
