"""On which images erasers are fitted: never on photos, or clips or signers where they are known, that they erase.

An eraser that was fitted on the images that it erases leaves nothing of their letters, by construction, and probes that
are cross-validated over photos then even fall below chance. What counts is what it leaves in a photo that it has not
seen. Where images can be drawn (the rendered dataset), erasers are fitted on further photos of the same letters.
Elsewhere they are cross-fitted: each half of the photos is erased by what was fitted on the other half, and probes are
trained and tested within a half. Probes trained across folds that were erased by one another's erasers would fall below
chance again: what is left in a fold is what its photos differ in from the rest. An eraser of few photos leaves much.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from PIL import Image
from sklearn.model_selection import StratifiedGroupKFold
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.erasure import ErasureSweep, Removal, edits_at
from signbridge.core.shards import Shard, vectors_of
from signbridge.probing.protocols import Split
from signbridge.rendered.dataset import RenderedParams, further_photos
from signbridge.vlm.branching import image_span
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.model_run import ModelRun
from signbridge.vlm.residual import reading_up_to
from signbridge.vlm.store import stored_dtype

FOLDS = 5  # or as many as the letter with the fewest photos has
Vectors = Callable[[str, str], Float[np.ndarray, "images width"]]  # by site and position


class Drawn(NamedTuple):
    """Images that were drawn to fit erasers on, each of a photo of its own; none where none can be drawn."""

    images: list[Image.Image]
    labels: np.ndarray


class Erasing(NamedTuple):
    """Some images of the sample, and the erasers that were fitted on other photos than theirs."""

    rows: Int[np.ndarray, "some"]  # of the sample
    edits: Mapping[str, list[Removal]]  # by site


def drawn_images(dataset: Mapping[str, Any], labels: np.ndarray, wanted: int) -> Drawn:
    """Up to `wanted` images of further photos of the classes in `labels`, as many of each, where they can be drawn.

    `dataset` is what made the images, as `data/sample.parquet` has it.
    """
    letters = sorted(set(labels))
    if dataset.get("source") != "rendered" or wanted < len(letters):
        return Drawn([], np.array([], dtype=object))
    entry = RenderedParams(**dataset["params"])
    images = further_photos(entry, letters, wanted // len(letters))
    pictures = [Image.fromarray(image.pixels).convert("RGB") for image in images]
    return Drawn(pictures, np.array([image.label for image in images]))


def group_folds(
    labels: np.ndarray, groups: np.ndarray, seed: int, rows: Int[np.ndarray, "some"] | None = None, folds: int = FOLDS
) -> list[Split]:
    """A split of whole groups, each of the images `rows` (all without them) tested once, the rest of them training.

    There are `folds`, or as many as the letter with the fewest groups allows.
    """
    rows = np.arange(len(labels)) if rows is None else rows
    mine, group, everywhere = labels[rows], groups[rows], np.arange(len(labels))
    fewest = min(len(np.unique(group[mine == letter])) for letter in np.unique(mine))
    parts = StratifiedGroupKFold(min(folds, max(fewest, 2)), shuffle=True, random_state=seed)
    return [
        Split("grouped", 0, number, np.isin(everywhere, rows[train]), np.isin(everywhere, rows[test]))
        for number, (train, test) in enumerate(parts.split(mine, mine, group))
    ]


def fit_on_drawn(
    reading: ModelRun, reader: Reader, drawn: Drawn, sites: Sequence[str], sweep: ErasureSweep, seed: int, within: str
) -> Mapping[str, list[Removal]]:
    """The erasers of every site, fitted on the drawn images, which are read under the reader's prompt."""
    work = reading_work(reader, sites)
    shards = reading.read_in_shards(drawn.images, work, "drawn images", within=f"drawn-{within}", reader=reader)
    alone = np.arange(len(drawn.labels))  # each is a photo

    def vectors(site: str, position: str) -> np.ndarray:
        return vectors_of(shards, f"{site}.{position}").astype(np.float32)

    return {site: edits_at(site, vectors, drawn.labels, alone, sweep, seed) for site in sites}


def cross_fit(
    vectors: Vectors, sample: pd.DataFrame, sites: Sequence[str], sweep: ErasureSweep, seed: int
) -> list[Erasing]:
    """Each half of the groups with the erasers of every site that were fitted on the other half."""
    labels, photos, parts = sample["label"].to_numpy(), sample["photo"].to_numpy(), []
    for split in group_folds(labels, sample["group"].to_numpy(), seed, folds=2):

        def of_others(site: str, position: str, there: np.ndarray = split.train) -> np.ndarray:
            return vectors(site, position)[there]

        others = labels[split.train], photos[split.train]
        edits = {site: edits_at(site, of_others, *others, sweep, seed) for site in sites}
        parts.append(Erasing(np.flatnonzero(split.test), edits))
    return parts


def reading_work(reader: Reader, sites: Sequence[str]) -> Work:
    """The work of reading images at some sites of the decoder and the two positions at which erasers are fitted."""
    dtype = stored_dtype(reader.loaded.model.dtype)

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs, arrays = reader.to_device(inputs), {}
        image = image_span(reader.loaded, inputs)

        def at_site(site: str, stream: Tensor) -> None:
            positions = {
                "prompt_last": stream[:keep, -1],
                "image_mean": stream[:keep, image].mean(dim=1, dtype=torch.float32),
            }
            for position, rows in positions.items():
                arrays[f"{site}.{position}"] = rows.to(dtype).cpu().numpy()

        with reading_up_to(reader.loaded.parts, sites, at_site):
            reader.loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard(arrays, [""] * keep)

    return Work(read, reader.prepare, in_batches, fills=True)
