"""Which frame matters? One frame of a clip put into the run on another clip that differs in movement alone.

The two clips of a pair are of one signer and one shape (and kind of movement); each is once the receiver and once the
donor. At one site the donor's stream replaces the receiver's at the tokens of one frame, or of all frames at once with
what stands between them. The effect is that of `causal/patching.py`: how far the difference of two logits moves, that
of the donor's answer less that of the receiver's. Tokens before the frame are the receiver's clean run, those behind it
run again.
"""

from collections.abc import Iterator, Sequence
from itertools import chain, zip_longest
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.pairs import ImagePair
from signbridge.causal.patching import BEFORE, BEHIND, BRANCHES_OF_AN_IMAGE, Patched, Runs, as_patched
from signbridge.core.shards import Shard
from signbridge.motion.frames import Seen
from signbridge.motion.reading import ClipPrompts
from signbridge.vlm.branching import clean_run, leave_in_turn
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.families.parts import completed
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.work_list import batches_of_one_length

COLUMNS = [*BEFORE, "site", "frame", *BEHIND]


class ClipPair(NamedTuple):
    """Two clips to be patched into each other, with frames of one size."""

    a: Seen
    b: Seen


def clip_pairs(clips: pd.DataFrame, most: int, generator: np.random.Generator) -> list[ImagePair]:
    """Pairs of rows of `clips` (signer, shape, kind, movement, size) that differ in movement alone; `most` at most.

    No clip is in two pairs. They are taken in turn from every signer and shape, in an order that is drawn.
    """
    known = clips[(clips["shape"] != "") & (clips["movement"] != "")]
    of_group = []
    for _, group in known.groupby(["signer", "shape", "kind", "size"], sort=True):
        by_movement = [generator.permutation(rows.index.to_numpy()) for _, rows in group.groupby("movement", sort=True)]
        found = []
        while len(left := [rows for rows in by_movement if len(rows)]) > 1:
            one, other = generator.choice(len(left), 2, replace=False)
            found.append(ImagePair(int(left[one][0]), int(left[other][0])))
            taken = {found[-1].a, found[-1].b}
            by_movement = [rows[~np.isin(rows, list(taken))] for rows in by_movement]
        of_group.append(found)
    drawn = [of_group[place] for place in generator.permutation(len(of_group))]
    in_turn = [pair for pair in chain.from_iterable(zip_longest(*drawn)) if pair is not None]
    return in_turn[:most]


def frames_work(reader: Reader, prompts: ClipPrompts, sites: Sequence[str]) -> Work:
    """The work on `ClipPair`s: what `patch_frames` finds, a row a pair, with its two runs."""

    def batches(pairs: list[ClipPair], most: int) -> list[list[ClipPair]]:
        return batches_of_one_length(pairs, [pair.a.size for pair in pairs], max(1, most // BRANCHES_OF_AN_IMAGE))

    def prepare(pairs: list[ClipPair]) -> BatchFeature:
        seen = [pair.a for pair in pairs] + [pair.b for pair in pairs]
        return BatchFeature(completed(reader.loaded.parts, prompts.prepare(seen)))

    def read(inputs: BatchFeature, keep: int) -> Shard:
        groups = prompts.tokens_of_groups(inputs["input_ids"])
        rows = BRANCHES_OF_AN_IMAGE * reader.batch_size
        found = patch_frames(reader.loaded, reader.to_device(inputs), groups, sites, rows)
        pairs = len(inputs["input_ids"]) // 2
        arrays = {name: _by_pair(array, pairs) for name, array in found._asdict().items()}
        return Shard(arrays, [""] * keep)

    return Work(read, prepare, batches)


def patch_frames(
    loaded: LoadedModel,
    inputs: BatchFeature,
    groups: Sequence[Bool[Tensor, "runs tokens"]],
    sites: Sequence[str],
    most: int = 2**30,
) -> Patched:
    """Patch every pair of clips into each other at every one of `sites`, frame by frame, and all frames at once.

    `inputs` holds the prompts of all clips a, then those of all clips b; `groups` says which tokens are those of each
    frame. At most `most` branches run at once. The cells of what is found are a site and a frame, all frames last.
    """
    spans = [_span(group) for group in groups]
    clean = clean_run(loaded, inputs, first=spans[0].start, sites=sites)
    runs = len(clean.input_ids)

    def cells(donors: Runs) -> Iterator[Float[Tensor, "sites runs vocabulary"]]:
        put_in = clean.of(donors)
        for where in [*spans, slice(spans[0].start, spans[-1].stop)]:
            tails = {
                site: torch.cat(
                    [put_in.tail(site, where.start)[:, : where.stop - where.start], clean.tail(site, where.stop)], dim=1
                )
                for site in sites
            }
            logits = leave_in_turn(loaded, clean, where.start, tails, most)[:, -1]
            yield logits.view(len(sites), runs, -1)

    return as_patched(clean, [None] * (runs // 2), cells)


def _span(group: Bool[Tensor, "runs tokens"]) -> slice:
    """The tokens from the first to the last of a frame, which all prompts share."""
    where = group[0].nonzero().flatten()
    if not torch.equal(group, group[:1].expand_as(group)):
        raise ValueError("the prompts of clips that are compared differ in where their frames stand")
    return slice(int(where[0]), int(where[-1]) + 1)


def _by_pair(array: np.ndarray, pairs: int) -> np.ndarray:
    """Rows of runs (all a, then all b) as rows of pairs, each with its two runs."""
    return array.reshape(2, pairs, *array.shape[1:]).swapaxes(0, 1)
