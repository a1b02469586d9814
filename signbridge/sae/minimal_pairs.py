"""Which features change where one finger is bent and nothing else, and do they tell which finger it was?

The pairs are those of `signbridge/causal/minimal_pairs.py`: photos drawn again, once a finger, with that finger bent.
A column (a feature, a dimension) or a direction is chosen for each finger on half of the photos, by how much more
its difference is for that finger than for the others of the same photo, in standard deviations. On the other half it is
scored by how often that is so: an area under the ROC curve within photos, 0.5 by chance. The null draws which finger is
which anew in each photo.

Whether a feature changes at all is asked apart from that: its differences over photos against the same with signs drawn
at random, corrected for all features by the largest of them (max-T, Westfall and Young 1993).
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Annotated, Any, Literal

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from transformers import BatchFeature

from signbridge.causal.minimal_pairs import Pair, differences_of, halves
from signbridge.core.names import NAMED, POSITIONS, RANDOM, STREAM
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.datasets.hands import FINGERS
from signbridge.rendered.dataset import RenderedParams
from signbridge.rendered.minimal_pairs import MinimalPairs, bendable, minimal_pairs
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.families.parts import image_means
from signbridge.vlm.residual import reading_up_to

FEATURES, PROBE = "features", "probe"  # what is read: one feature, one dimension (`STREAM`), or all dimensions
EACH, ALL = "each", "all"  # letters: one column for each of them, or one for all
TOLD_COLUMNS = [
    "photo", "letter", "finger", "reads", "site", "position", "letters", "fitted_on", "draw", "column", "won",
]  # fmt: skip
CHANGED_COLUMNS = ["site", "position", "finger", "features", "changed"]
_SMALL = np.finfo(np.float32).tiny

Fingers = Float[np.ndarray, "photos fingers columns"]  # the difference that each finger makes in each photo


class FeaturePairsParams(Section):
    """The section `minimal_pairs`."""

    photos: Literal[0] | Annotated[int, Field(ge=2)]  # of each letter whose fingers can all be bent; 0: none
    degrees: float = Field(gt=0, le=90)  # by which one finger is bent further at its knuckle
    draws: int = Field(ge=1)  # of the null: which finger is which, drawn anew in each photo
    flips: int = Field(ge=100)  # of the signs of differences, the null of a feature that changes
    p: float = Field(gt=0, lt=1)  # below which a feature counts as changed, corrected for all features of the place


def drawn_photos(
    dataset: Mapping[str, Any], letters: Sequence[str], settings: FeaturePairsParams
) -> list[MinimalPairs]:
    """Photos of those of the letters whose fingers can all be bent; none where the images are not drawn.

    `dataset` is what made the images, as `data/sample.parquet` has it.
    """
    if dataset.get("source") != "rendered":
        return []
    return minimal_pairs(RenderedParams(**dataset["params"]), bendable(letters), settings.photos, settings.degrees)


def tower_of_images(reader: Reader) -> Work:
    """Of images: `vision`, the mean over the tokens of the vision tower, images x width; no decoder block is run."""
    loaded = reader.loaded

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        inputs, found = reader.to_device(inputs), {}

        def keep_means(site: str, stream: torch.Tensor) -> None:
            found[site] = image_means(loaded.parts, inputs, stream)[:keep].float().cpu().numpy()

        with reading_up_to(loaded.parts, ["vision"], keep_means):
            loaded.model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard(found, [""] * keep)

    return Work(read, reader.prepare, in_batches, fills=True)


def places_read(
    read: Mapping[str, Float[np.ndarray, "images width"]], sites: Sequence[str]
) -> Iterator[tuple[str, str, str, Float[np.ndarray, "images width"]]]:
    """Reads, site, position and vectors of all that tells fingers: pixels, the tower, the stream, and its features.

    `read` has the vectors by `pixels`, `vision`, and as `features_of_images` names them.
    """
    for site, position in (("pixels", "flat"), ("vision", "image_mean")):
        for reads in (STREAM, PROBE):
            yield reads, site, position, read[site]
    for site in sites:
        for position in POSITIONS:
            name = f"{site}.{position}"
            yield FEATURES, site, position, read[name]
            for reads in (STREAM, PROBE):
                yield reads, site, position, read[f"{name}.{STREAM}"]


def told_table(
    pairs: list[Pair],
    read: Mapping[str, Float[np.ndarray, "images width"]],
    sites: Sequence[str],
    draws: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """A row a photo, finger, place, kind of column and draw: how often the finger's difference is above the others'.

    `TOLD_COLUMNS`: `reads`, `letters` as above; `fitted_on`: `named`, the fingers as they are, or `random`, the null;
    `column`: the chosen one, -1 for a probe; `won`: the share of the photo's other fingers that it is above, ties half.
    Without pairs it is empty.
    """
    if not pairs:
        return pd.DataFrame(columns=TOLD_COLUMNS)
    photos = [(pair.photo, pair.letter) for pair in pairs[:: len(FINGERS)]]
    letters, second = np.array([letter for _, letter in photos]), halves(pairs)[:: len(FINGERS)]
    orders = [np.tile(np.arange(len(FINGERS)), (len(photos), 1))]
    orders += [generator.permuted(orders[0], axis=1) for _ in range(draws)]
    parts = []
    for reads, site, position, vectors in places_read(read, sites):
        made = differences_of(pairs, vectors).reshape(len(photos), len(FINGERS), -1).astype(np.float64)
        if reads == PROBE:
            made = made / (np.linalg.norm(made, axis=-1, keepdims=True) + _SMALL)
        for of, groups in ((EACH, letters), (ALL, np.full(len(letters), ""))):
            for draw, order in enumerate(orders):
                column, won = _told(np.take_along_axis(made, order[..., None], 1), groups, second, reads)
                rows = pd.DataFrame([(*photo, finger) for photo in photos for finger in FINGERS],
                                    columns=TOLD_COLUMNS[:3])  # fmt: skip
                about = {"reads": reads, "site": site, "position": position, "letters": of}
                about |= {"fitted_on": RANDOM if draw else NAMED, "draw": max(draw - 1, 0)}
                parts.append(rows.assign(**about, column=column.ravel(), won=won.ravel()))
    return pd.concat(parts, ignore_index=True)[TOLD_COLUMNS]


def _told(
    made: Fingers, groups: np.ndarray, second: Bool[np.ndarray, " photos"], reads: str
) -> tuple[np.ndarray, Float[np.ndarray, "photos fingers"]]:
    """The column chosen for each photo and finger, in the other half of its group's photos; and `won`."""
    above = made - (made.sum(1, keepdims=True) - made) / (len(FINGERS) - 1)  # than the others' mean
    columns, scores = np.full(made.shape[:2], -1), np.empty((*made.shape[:2], len(FINGERS)))
    for group in np.unique(groups):
        for half in (False, True):
            fitted, rest = ((groups == group) & (second == which) for which in (not half, half))
            mean = above[fitted].mean(0)  # fingers x columns
            for finger in range(len(FINGERS)):
                if reads == PROBE:
                    scores[rest, finger] = made[rest] @ mean[finger]
                else:
                    effect = mean[finger] / (above[fitted, finger].std(0) + _SMALL)
                    column = int(np.abs(effect).argmax())
                    columns[rest, finger] = column
                    scores[rest, finger] = np.sign(mean[finger, column]) * made[rest][:, :, column]
    own = np.diagonal(scores, axis1=1, axis2=2)[..., None]  # photos x fingers x 1
    beaten = (np.sign(own - scores) / 2 + 0.5).sum(-1) - 0.5  # itself is a tie
    return columns, beaten / (len(FINGERS) - 1)


def changed_table(
    pairs: list[Pair],
    read: Mapping[str, Float[np.ndarray, "images features"]],
    sites: Sequence[str],
    settings: FeaturePairsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """A row a place and finger: features that differ in a pair or more, and those of them whose change is no chance.

    `CHANGED_COLUMNS`. Without pairs it is empty.
    """
    rows = []
    for site, position in ((site, position) for site in sites for position in POSITIONS if pairs):
        made = differences_of(pairs, read[f"{site}.{position}"]).astype(np.float64)
        for finger in FINGERS:
            of_finger = made[[pair.finger == finger for pair in pairs]]
            there = of_finger[:, of_finger.any(0)]
            lengths = np.linalg.norm(there, axis=0) + _SMALL
            signs = generator.choice([-1.0, 1.0], size=(settings.flips, len(there)))
            largest = (np.abs(signs @ (there / lengths))).max(1, initial=0)
            found = np.abs(there.sum(0)) / lengths
            p_values = (1 + (largest[:, None] >= found).sum(0)) / (1 + settings.flips)
            rows.append((site, position, finger, there.shape[1], int((p_values < settings.p).sum())))
    return pd.DataFrame(rows, columns=CHANGED_COLUMNS)
