"""Which parts of a block carry the answer: another image's heads, attention or MLP put into the run on an image.

As `patching.py`, but what is put in is not the residual stream: it is what one attention head, all heads of a block or
its MLP give at some tokens (Wang et al. 2022, "Interpretability in the Wild"). All else in the block is the receiver's
own, and what follows is computed anew.
"""

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from transformers import BatchFeature

from signbridge.causal.patching import Patched, Runs, as_patched
from signbridge.causal.within_blocks import Within, heads_of, within_blocks
from signbridge.core.names import ATTENTION, MLP
from signbridge.vlm.branching import CleanRun, clean_run, image_span, leave
from signbridge.vlm.families import Parts
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import decoder_sites


def parts_of_block(parts: Parts) -> list[str]:
    """All heads together, the MLP, and each head: `attention`, `mlp`, `head_00` ..."""
    return [ATTENTION, MLP, *(f"head_{head:02d}" for head in range(heads_of(parts)))]


class _Run(NamedTuple):
    """The clean runs, and what the parts of each block give in them behind the image."""

    loaded: LoadedModel
    clean: CleanRun
    behind: int  # the first token behind the image
    heads: dict[int, Float[Tensor, "runs tail heads head_width"]]
    mlp: dict[int, Float[Tensor, "runs tail width"]]


@torch.inference_mode()
def patch_parts(
    loaded: LoadedModel,
    inputs: BatchFeature,
    tokens: Sequence[tuple[int, int] | None],
    most: int,
    at: Sequence[str] = ("prompt_last",),
) -> Patched:
    """Patch every part of every block at the tokens `at` (`prompt_last`, `question`), for every pair of images.

    `inputs` and `tokens` are as `patch` has them. The cells of what comes are parts x `at` x blocks. At most `most`
    runs go on at once, or those of one part.
    """
    parts, blocks = len(parts_of_block(loaded.parts)), range(len(loaded.parts.blocks))
    with within_blocks(loaded.parts):  # to the end, so that no hook goes while another thread is on its way
        run = _clean(loaded, inputs)
        runs, tail = run.mlp[0].shape[:2]
        tokens_at = {"prompt_last": slice(tail - 1, None), "question": slice(0, tail - 1)}
        few = [
            range(first, min(first + max(1, most // runs), parts)) for first in range(0, parts, max(1, most // runs))
        ]

        def cells(donors: Runs) -> Iterator[Float[Tensor, "parts runs vocabulary"]]:
            for position in at:
                for block in blocks:
                    yield torch.cat([_patched(run, block, some, tokens_at[position], donors) for some in few])

        found = as_patched(run.clean, tokens, cells)
    return found._replace(**{
        name: getattr(found, name).reshape(-1, parts, len(at), len(blocks))
        for name in ("patched", "says_donor", "itself")
    })  # fmt: skip


def _clean(loaded: LoadedModel, inputs: BatchFeature) -> _Run:
    behind, heads = image_span(loaded, inputs).stop, heads_of(loaded.parts)
    given, output = {}, {}

    def keep_heads(block: int, outputs: Tensor) -> Tensor:
        given[block] = outputs[:, behind:].unflatten(-1, (heads, -1)).clone()
        return outputs

    def keep_mlp(block: int, of_block: Tensor) -> Tensor:
        output[block] = of_block[:, behind:].clone()
        return of_block

    with within_blocks(loaded.parts, Within(heads=keep_heads, mlp=keep_mlp)):
        clean = clean_run(loaded, inputs, first=behind)
    return _Run(loaded, clean, behind, given, output)


def _patched(
    run: _Run, block: int, some: Sequence[int], where: slice, donors: Runs
) -> Float[Tensor, "some runs vocabulary"]:
    """The last logits where `donors` stand in one part of the block each, at the tokens `where` of the tail.

    The rows that walk up from the block are those of part after part of `some` (of `parts_of_block`, by their place).
    """
    runs, first = len(run.clean.input_ids), run.behind + where.start
    heads, mlp = run.heads[block][donors, where], run.mlp[block][donors, where]

    def tokens_of(rows: Tensor) -> slice:
        """Where the patched tokens stand: first, but where all tokens of the prompt are run again."""
        before = rows.shape[1] - (run.clean.input_ids.shape[1] - first)
        return slice(before, before + mlp.shape[1])

    def put_heads(here: int, rows: Tensor) -> Tensor:
        if here != block:
            return rows
        put, chosen = rows.clone().view(len(some), runs, rows.shape[1], *heads.shape[-2:]), tokens_of(rows)
        for place, part in enumerate(some):
            if part == 0:
                put[place, :, chosen] = heads
            elif part >= 2:
                put[place, :, chosen, part - 2] = heads[:, :, part - 2]
        return put.view(rows.shape)

    def put_mlp(here: int, rows: Tensor) -> Tensor:
        if here != block or 1 not in some:
            return rows
        put = rows.clone().view(len(some), runs, *rows.shape[1:])
        put[some.index(1), :, tokens_of(rows)] = mlp
        return put.view(rows.shape)

    site = decoder_sites(run.loaded.parts)[block]  # what enters the block
    with within_blocks(run.loaded.parts, Within(heads=put_heads, mlp=put_mlp)):
        branches = leave(run.loaded, run.clean, first, {site: run.clean.tail(site, first).repeat(len(some), 1, 1)})
    return branches.logits[:, -1].view(len(some), runs, -1)
