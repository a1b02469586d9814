"""The knockout sweep: which edges are cut, in which spans of blocks, and what is left of the model's answer.

Edges from the last token to the image, from the last token to the question (the tokens between the image and the last),
and from the question to the image. The null of each cuts as many other keys, drawn at random: any but the first token,
which many models attend to whatever stands there; where there are not as many, all of them. What is measured is the
probability of the first token of the model's own answer, as in Geva et al. 2023.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Bool, Float
from pydantic import Field
from transformers import BatchFeature

from signbridge.causal.knockout import Cut, Span, knock_out, onwards, tokens_at, windows
from signbridge.causal.within_blocks import within_blocks
from signbridge.core.activations import layer_site
from signbridge.core.names import EDGES, LAST_TO_IMAGE, LAST_TO_QUESTION, NAMED, ONWARDS, RANDOM, WINDOW
from signbridge.core.params import Section
from signbridge.core.shards import Shard, vectors_of
from signbridge.core.sweeps import Sweeps
from signbridge.vlm.branching import clean_run, image_span
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.loading import LoadedModel

BRANCHES_OF_AN_IMAGE = 8  # run at once for every image that the reader takes at once
COLUMNS = ["image_id", "edges", "keys", "draw", "span", "first", "stop", "tokens", "clean", "probability", "same"]


class KnockoutSweep(Section):
    """What of the section `knockout` differs between the sweeps."""

    images: int = Field(ge=0)  # each of another photo, at most; 0: nothing is cut
    window: int = Field(ge=1)  # blocks in a row; a span from each block to the last is cut as well
    draws: int = Field(ge=1)  # of the random keys


class KnockoutParams(Sweeps[KnockoutSweep]):
    """The section `knockout`."""


class Planned(NamedTuple):
    """One cut of the sweep, for prompts of any length."""

    edges: str  # one of EDGES
    keys: str  # NAMED, or RANDOM for the null
    draw: int  # of the random keys
    kind: str  # WINDOW or ONWARDS
    span: Span


class KnockedOut(NamedTuple):
    """What came of some prompts under the cuts of a plan."""

    clean: Float[np.ndarray, "prompts"]  # the probability of the answer's first token
    probability: Float[np.ndarray, "prompts cuts"]
    same: Float[np.ndarray, "prompts cuts"]  # 1 where it is still the likeliest
    tokens: Float[np.ndarray, "prompts cuts"]  # keys that were cut


def plan(blocks: int, sweep: KnockoutSweep) -> list[Planned]:
    """All cuts of the sweep in a decoder of so many blocks."""
    spans = [(WINDOW, span) for span in windows(blocks, sweep.window)] + [(ONWARDS, span) for span in onwards(blocks)]
    keys = [(NAMED, 0), *((RANDOM, draw) for draw in range(sweep.draws))]
    return [Planned(edges, *which, *span) for edges in EDGES for which in keys for span in spans]


def cut_of(planned: Planned, image: slice, tokens: int, seed: int) -> Cut:
    """The cut in a prompt of so many tokens, whose image stands at `image`."""
    last, question = slice(tokens - 1, None), slice(image.stop, tokens - 1)
    of_last = planned.edges in (LAST_TO_IMAGE, LAST_TO_QUESTION)
    queries = tokens_at(tokens, last if of_last else question)
    keys = tokens_at(tokens, question if planned.edges == LAST_TO_QUESTION else image)
    if planned.keys == RANDOM:
        keys = other_keys(keys, np.random.default_rng([seed, EDGES.index(planned.edges), planned.draw]))
    return Cut(queries, keys, planned.span)


def other_keys(keys: Bool[np.ndarray, " tokens"], generator: np.random.Generator) -> Bool[np.ndarray, " tokens"]:
    """As many other tokens as `keys`, or all there are: neither the first nor the last of the prompt."""
    others = np.flatnonzero(~keys[1:-1]) + 1
    chosen = np.zeros_like(keys)
    chosen[generator.permutation(others)[: keys.sum()]] = True
    return chosen


def knockout_work(reader: Reader, sweep: KnockoutSweep, seed: int) -> Work:
    """The work on images with the reader's prompt; the arrays of a shard are those of `KnockedOut`.

    A batch is not filled up, so the bytes follow from the list of images alone.
    """
    planned = plan(len(reader.loaded.parts.blocks), sweep)

    def read(inputs: BatchFeature, keep: int) -> Shard:
        rows = BRANCHES_OF_AN_IMAGE * reader.batch_size
        found = knock_out_all(reader.loaded, reader.to_device(inputs), planned, seed, rows)
        return Shard(found._asdict(), [""] * keep)

    return Work(read, reader.prepare, lambda images, most: in_batches(images, max(1, most // 4)))


@torch.inference_mode()
def knock_out_all(
    loaded: LoadedModel, inputs: BatchFeature, planned: Sequence[Planned], seed: int, most: int = 2**30
) -> KnockedOut:
    """What every cut of the plan leaves of the answers; at most `most` rows run at once."""
    image, tokens = image_span(loaded, inputs), inputs["input_ids"].shape[1]
    cuts = [cut_of(one, image, tokens, seed) for one in planned]
    with within_blocks(loaded.parts):  # to the end, so that no hook goes while another thread is on its way
        clean = clean_run(loaded, inputs, first=image.stop)
        logits = knock_out(loaded, clean, cuts, most)
    answers = clean.logits[:, -1].argmax(-1)
    rows = torch.arange(len(answers), device=answers.device)
    return KnockedOut(
        clean=clean.logits[:, -1].softmax(-1)[rows, answers].cpu().numpy(),
        probability=logits.softmax(-1)[:, rows, answers].T.cpu().numpy(),
        same=(logits.argmax(-1) == answers).float().T.cpu().numpy(),
        tokens=np.tile(np.array([cut.keys.sum() for cut in cuts], dtype=np.float32), (len(answers), 1)),
    )


def as_table(image_ids: Sequence[str], planned: Sequence[Planned], shards: list[Path]) -> pd.DataFrame:
    """One row an image and cut.

    image_id, edges, keys (`named`, or `random` for the null), draw, span (`window` or `onwards`), first and stop (sites
    behind the first and the last of its blocks), tokens (keys that were cut), clean and probability (of the answer's
    first token, uncut and cut), same (whether it is still the likeliest).
    """
    if not image_ids:
        return pd.DataFrame(columns=COLUMNS)
    clean, *cells = (vectors_of(shards, name) for name in KnockedOut._fields)
    image, cut = (index.ravel() for index in np.indices(cells[0].shape))
    probability, same, tokens = (array.ravel() for array in cells)
    columns = list(zip(*planned, strict=True))
    edges, keys, draw, span = (np.array(column)[cut] for column in columns[:4])
    first, stop = (np.array([layer_site(block) for block in side]) for side in
                   (([span.first for span in columns[4]]), ([span.stop - 1 for span in columns[4]])))  # fmt: skip
    return pd.DataFrame({
        "image_id": np.array(image_ids)[image], "edges": edges, "keys": keys, "draw": draw, "span": span,
        "first": first[cut], "stop": stop[cut], "tokens": tokens.astype(int), "clean": clean[image],
        "probability": probability, "same": same > 0,
    }, columns=COLUMNS)  # fmt: skip
