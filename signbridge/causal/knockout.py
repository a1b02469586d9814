"""Attention knockout: what becomes of the answer where some tokens no longer see some others, in a span of blocks.

After Geva et al. 2023 ("Dissecting Recall of Factual Associations in Auto-Regressive Language Models"): an edge from a
query to a key is cut in several blocks in a row, since a single block can be made good by the others. For images:
Neo et al. 2024 (arXiv 2410.07149), Zhang et al. 2024 (arXiv 2411.18620) and "Map the Flow" (arXiv 2510.13251). A span
is a window of some blocks, or all blocks from one on: where those no longer change the answer, the tokens have been
read.

The decoder is causal, so a cut changes nothing before its first query and below its first block: a run with a cut
leaves the clean run there (`signbridge/vlm/branching.py`), and the runs of all cuts walk up together.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.within_blocks import Edges, Within, within_blocks
from signbridge.vlm.branching import CleanRun, leave
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import decoder_sites


class Span(NamedTuple):
    """Blocks in a row, 0-based: `first` and those behind it, before `stop`."""

    first: int
    stop: int


class Cut(NamedTuple):
    """Edges that are cut: no token of `queries` sees one of `keys`, in the blocks of `span`. Itself each still sees."""

    queries: Bool[np.ndarray, " tokens"]
    keys: Bool[np.ndarray, " tokens"]
    span: Span

    @property
    def start(self) -> int:
        """The first token that a cut can change; of a cut of nothing the last."""
        return int(self.queries.argmax()) if self.queries.any() else len(self.queries) - 1


def windows(blocks: int, width: int) -> list[Span]:
    """Every window of `width` of the `blocks`, from the lowest up; all blocks where there are not so many."""
    width = min(width, blocks)
    return [Span(first, first + width) for first in range(blocks - width + 1)]


def onwards(blocks: int) -> list[Span]:
    """All blocks from each on, from the lowest up: the first is all of them."""
    return [Span(first, blocks) for first in range(blocks)]


def tokens_at(tokens: int, *where: slice) -> Bool[np.ndarray, " tokens"]:
    """Which of so many tokens are in one of the slices."""
    chosen = np.zeros(tokens, dtype=bool)
    for some in where:
        chosen[some] = True
    return chosen


def knock_out(
    loaded: LoadedModel, clean: CleanRun, cuts: Sequence[Cut], most: int = 2**30
) -> Float[Tensor, "cuts prompts vocabulary"]:
    """The last logits of every prompt of `clean` under each of `cuts`, in float32.

    `clean` keeps the stream at all sites of the decoder from the first query on. At most `most` rows run at once, or
    those of one cut. A cut of no edge gives the clean run's logits, but for rounding.
    """
    found: dict[int, Tensor] = {}
    for numbers in _walks(cuts, max(1, most // len(clean.input_ids))):
        logits = _walk(loaded, clean, [cuts[number] for number in numbers])
        found |= dict(zip(numbers, logits, strict=True))
    return torch.stack([found[number] for number in range(len(cuts))])


def _walks(cuts: Sequence[Cut], most: int) -> Iterable[list[int]]:
    """Numbers of cuts that begin at one token, at most `most` together, in order of their first block."""
    for start in sorted({cut.start for cut in cuts}):
        numbers = [number for number, cut in enumerate(cuts) if cut.start == start]
        numbers.sort(key=lambda number: cuts[number].span.first)
        yield from (numbers[begin : begin + most] for begin in range(0, len(numbers), most))


def _walk(loaded: LoadedModel, clean: CleanRun, cuts: list[Cut]) -> Float[Tensor, "cuts prompts vocabulary"]:
    """Cuts that begin at one token, in order of their first block."""
    prompts, start, device = len(clean.input_ids), cuts[0].start, clean.input_ids.device
    first = 0 if loaded.parts.looks_ahead == "prompt" else start  # the first token that `leave` runs again
    edges = torch.from_numpy(np.stack([edges_of(cut)[first:] for cut in cuts])).to(device)
    sites = decoder_sites(loaded.parts)
    entering = {
        sites[first]: clean.tail(sites[first], start).repeat(sum(cut.span.first == first for cut in cuts), 1, 1)
        for first in dict.fromkeys(cut.span.first for cut in cuts)
    }

    def cut_in(block: int, rows: int) -> Edges | None:
        """The cuts whose rows have left, and that are not over; before any left, one row walks up untouched."""
        there = sum(cut.span.first <= block for cut in cuts)
        here = torch.tensor([cut.span.first <= block < cut.span.stop for cut in cuts[:there]], device=device)
        if not here.any():
            return None
        return (edges[:there] & here[:, None, None]).repeat_interleave(prompts, dim=0)

    with within_blocks(loaded.parts, Within(cut=cut_in)):
        logits = leave(loaded, clean, start, entering).logits[:, -1]
    return logits.view(len(cuts), prompts, -1)


def edges_of(cut: Cut) -> Bool[np.ndarray, "tokens tokens"]:
    """The edges of a cut, queries x keys, in the whole prompt."""
    return cut.queries[:, None] & cut.keys[None] & ~np.eye(len(cut.queries), dtype=bool)


@torch.inference_mode()
def knock_out_one_by_one(
    loaded: LoadedModel, inputs: BatchFeature, cuts: Iterable[Cut]
) -> Float[Tensor, "cuts prompts vocabulary"]:
    """The same of whole passes, one a cut: the plain statement, which `knock_out` is tested against.

    A cut of no edge gives the model's own logits, to the last bit.
    """
    found = []
    for cut in cuts:
        edges = torch.from_numpy(edges_of(cut))[None].to(inputs["input_ids"].device)

        def cut_in(block: int, rows: int, cut: Cut = cut, edges: Tensor = edges) -> Edges | None:
            return edges if cut.span.first <= block < cut.span.stop and edges.any() else None

        with within_blocks(loaded.parts, Within(cut=cut_in)):
            found.append(loaded.model(**inputs, logits_to_keep=1).logits[:, -1].float())
    return torch.stack(found)
