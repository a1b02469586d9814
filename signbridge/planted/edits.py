"""At which block does the last token come to carry the answer? Patching and attention knockout under the questions.

Patched are pairs of questions about two photos, with the other word and the other answer. What a block below the
planted ones may have brought to the last token, the hand and the finger, would give the receiver's own answer under the
receiver's word: only the word that was asked, or the answer itself, gives the donor's.

Knocked out is what the last token sees: the tokens of the question, or those of the image, from each block on.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float, Int
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.knockout import Cut, knock_out, onwards, tokens_at
from signbridge.core.shards import Shard, vectors_of
from signbridge.planted.reading import Asked
from signbridge.vlm.branching import CleanRun, clean_run, image_span, leave_in_turn
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.residual import decoder_sites

ROWS_OF_A_PAIR = 16  # that are run at once, for every pair that is read together
KNOCKED_OUT = ("question", "image")


class Pair(NamedTuple):
    """Rows of the table of questions."""

    a: int
    b: int


class Exchange(NamedTuple):
    """Two questions whose runs are patched into each other."""

    a: Asked
    b: Asked
    tokens: tuple[int, int]  # of the right answers

    def __hash__(self) -> int:
        """Of its questions."""
        return hash((self.a, self.b))


def question_pairs(asked: pd.DataFrame, wanted: int, generator: np.random.Generator) -> list[Pair]:
    """Up to `wanted` pairs of questions: other photo, letter, word and answer. No photo stands in two pairs."""
    waiting = [int(row) for row in generator.permutation(len(asked))]
    columns = [asked[name].to_numpy() for name in ("photo", "label", "word", "answer")]
    photos, used, pairs = columns[0], set(), []
    for place, a in enumerate(waiting):
        if len(pairs) == wanted:
            break
        if photos[a] in used:
            continue
        others = (row for row in waiting[place + 1 :] if photos[row] not in used)
        b = next((row for row in others if all(column[row] != column[a] for column in columns)), None)
        if b is not None:
            used |= {photos[a], photos[b]}
            pairs.append(Pair(a, b))
    return pairs


def edit_work(reader: Reader) -> Work:
    """The work on `Exchange`s: a row each, with its two runs (on a, on b) along the second axis.

    Differences of logits are of the other answer less the right one. `clean`; `patched` by site; `question` and `image`
    by the first block from which the last token does not see these tokens; `itself` as `patched`, with the run's own
    stream.
    """

    def prepare(batch: list[Exchange]) -> tuple[BatchFeature, list[tuple[int, int]]]:
        asked = [exchange.a for exchange in batch] + [exchange.b for exchange in batch]
        inputs = reader.prepare([one.image for one in asked], [one.prompt for one in asked])
        return inputs, [exchange.tokens for exchange in batch]

    @torch.inference_mode()
    def read(prepared: tuple[BatchFeature, list[tuple[int, int]]], keep: int) -> Shard:
        inputs, tokens = prepared
        found = _edited(reader, reader.to_device(inputs), tokens)
        by_pair = {
            name: rows.T.reshape(2, len(tokens), -1).swapaxes(0, 1)[:keep].cpu().numpy() for name, rows in found.items()
        }
        return Shard(by_pair, [""] * keep)

    return Work(read, prepare, lambda items, most: in_batches(items, max(1, most // 8)))


def _edited(
    reader: Reader, inputs: BatchFeature, tokens: list[tuple[int, int]]
) -> dict[str, Float[Tensor, "cells runs"]]:
    loaded, pairs = reader.loaded, len(tokens)
    image, length = image_span(loaded, inputs), inputs["input_ids"].shape[1]
    last = length - 1
    right = torch.tensor([a for a, _ in tokens] + [b for _, b in tokens], device=loaded.device)
    other = right.roll(pairs)
    clean = clean_run(loaded, inputs, first=last)
    put_in = clean.of(torch.arange(2 * pairs, device=loaded.device).roll(pairs))
    sites, most = decoder_sites(loaded.parts), ROWS_OF_A_PAIR * 2 * pairs

    def difference(logits: Float[Tensor, "... runs vocabulary"]) -> Float[Tensor, "cells runs"]:
        return _difference(logits, right, other).reshape(-1, 2 * pairs)

    def patched(streams: CleanRun) -> Float[Tensor, "sites runs"]:
        entering = {site: streams.tail(site, last) for site in sites}
        return difference(leave_in_turn(loaded, clean, last, entering, most)[:, -1].view(len(sites), 2 * pairs, -1))

    keys = {"question": slice(image.stop, last), "image": image}
    spans = onwards(len(loaded.parts.blocks))
    found = {"clean": difference(clean.logits[:, -1]), "patched": patched(put_in), "itself": patched(clean)}
    for name in KNOCKED_OUT:
        cuts = [Cut(tokens_at(length, slice(last, None)), tokens_at(length, keys[name]), span) for span in spans]
        found[name] = difference(knock_out(loaded, clean, cuts, most))
    return found


def _difference(
    logits: Float[Tensor, "... runs vocabulary"], right: Int[Tensor, " runs"], other: Int[Tensor, " runs"]
) -> Float[Tensor, "... runs"]:
    runs = torch.arange(len(right), device=logits.device)
    return logits[..., runs, other] - logits[..., runs, right]


def edit_table(shards: list[Path], sites: list[str]) -> pd.DataFrame:
    """A row a pair, run and cell: pair, edit, place, moved, gap.

    `edit` is `patching`, `itself` or a knockout (`question`, `image`); `place` is the site at which was patched, or the
    block from which on was cut as the site after it. `moved` is how far the difference of the logits moved from the
    clean run's towards the other answer, and `gap` how far it would have to: for patching to the donor's clean run, for
    a knockout to where no answer is preferred.
    """
    clean = vectors_of(shards, "clean")[..., 0]
    parts = []
    for edit, name in {"patching": "patched", "itself": "itself", **{name: name for name in KNOCKED_OUT}}.items():
        values = vectors_of(shards, name)
        places = sites if name in ("patched", "itself") else sites[1:]
        pair, run, place = (index.ravel() for index in np.indices(values.shape))
        gap = -clean[:, ::-1] - clean if name in ("patched", "itself") else -clean
        table = {"pair": pair, "run": run, "edit": edit, "place": np.array(places)[place]}
        table |= {"moved": (values - clean[..., None]).ravel(), "gap": gap[pair, run]}
        parts.append(pd.DataFrame(table))
    return pd.concat(parts, ignore_index=True)
