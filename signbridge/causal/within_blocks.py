"""What happens within a decoder block, to read or edit: what its attention sees, what its heads and its MLP give.

The heads of a block are read where its output projection takes them in: every head's mixture of values, one after the
other. That of one head can be another run's while the other heads keep theirs, as in Wang et al. 2022
("Interpretability in the Wild"). Edges are cut in blocks of any family that have `self_attn`; heads and MLPs are found
in those with an `o_proj` in it, and an `mlp` (`has_heads`).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any, NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.families import Parts
from signbridge.vlm.shared_hooks import SharedHooks, setting

Edges = Bool[Tensor, "rows queries keys"]


class Within(NamedTuple):
    """What is done in the blocks of a pass; each is called with the number of the block, and may do nothing."""

    # the edges that its attention loses, for a batch of so many rows; of one row: in all rows; None: none
    cut: Callable[[int, int], Edges | None] = lambda block, rows: None
    # what goes on in place of its heads' outputs, batch x tokens x (heads x head width)
    heads: Callable[[int, Tensor], Tensor] = lambda block, outputs: outputs
    # what goes on in place of its MLP's output, batch x tokens x width
    mlp: Callable[[int, Tensor], Tensor] = lambda block, output: output


NOTHING = Within()


@contextmanager
def within_blocks(parts: Parts, within: Within = NOTHING) -> Iterator[None]:
    """While open, every forward pass of this thread does `within` in its blocks.

    A cut edge gets no attention; the weights of the other keys sum to one again, since the softmax is taken after the
    cut. What a family's mask hides stays hidden (a sliding window, for one). Tensors are the model's own: return
    another, do not write to them. Where several threads run one model, each opens this around all of its passes, so
    that no hook comes or goes while another thread is on its way. Raises `SignBridgeError` for blocks of another kind.
    """
    with _HOOKS.on(parts), setting(_within, within):
        yield


def has_heads(parts: Parts) -> bool:
    """Whether heads and MLPs are found in every block."""
    return all(None not in _modules(block) and hasattr(block.self_attn, "head_dim") for block in parts.blocks)


def heads_of(parts: Parts) -> int:
    """The heads of a block's attention, where `has_heads`."""
    attention, projection, _ = _modules(parts.blocks[0])
    return projection.in_features // attention.head_dim


_within: ContextVar[Within] = ContextVar("within", default=NOTHING)


def _modules(block: nn.Module) -> tuple[nn.Module, nn.Module | None, nn.Module | None]:
    """The attention, its output projection, and the MLP; None where they are not found."""
    attention = getattr(block, "self_attn", None)
    if attention is None:
        raise SignBridgeError(
            f"the decoder's blocks ({type(block).__name__}) have no self_attn, so their edges cannot be cut. "
            "Set knockout.<sweep>.images to 0 and patching.<sweep>.parts_at to []."
        )
    return attention, getattr(attention, "o_proj", None), getattr(block, "mlp", None)


def _put_hooks(parts: Parts) -> list[RemovableHandle]:
    return [handle for number, block in enumerate(parts.blocks) for handle in _on_block(number, *_modules(block))]


_HOOKS = SharedHooks(_put_hooks)


def _on_block(
    block: int, attention: nn.Module, projection: nn.Module | None, mlp: nn.Module | None
) -> list[RemovableHandle]:
    def mask(_: nn.Module, args: tuple, kwargs: dict[str, Any]) -> tuple[tuple, dict[str, Any]] | None:
        if (within := _within.get()) is NOTHING:
            return None
        stream = args[0] if args else kwargs["hidden_states"]
        edges = within.cut(block, len(stream))
        if edges is None:
            return None
        return args, {**kwargs, "attention_mask": without(edges, kwargs.get("attention_mask"), stream)}

    def heads(_: nn.Module, args: tuple) -> tuple:
        return (_within.get().heads(block, args[0]), *args[1:])

    def output(_: nn.Module, args: tuple, given: Tensor) -> Tensor:
        return _within.get().mlp(block, given)

    handles = [attention.register_forward_pre_hook(mask, with_kwargs=True)]
    handles += [] if projection is None else [projection.register_forward_pre_hook(heads)]
    return handles + ([] if mlp is None else [mlp.register_forward_hook(output)])


def without(
    edges: Edges, mask: Tensor | None, stream: Float[Tensor, "batch queries width"]
) -> Bool[Tensor, "batch 1 queries keys"] | Float[Tensor, "batch 1 queries keys"]:
    """The attention mask (true or 0 where a query sees a key) less `edges`.

    Without a mask (None) a query sees the keys up to its own, the last query the last key: what PyTorch's attention
    does then.
    """
    _, queries, keys = edges.shape
    if queries != stream.shape[1] or (mask is not None and mask.shape[-2:] != edges.shape[-2:]):
        there = (queries, stream.shape[1]) if mask is None else tuple(mask.shape[-2:])
        raise ValueError(f"edges of {queries} queries and {keys} keys, the attention is of {there}")
    if mask is None:
        mask = torch.ones(queries, keys, dtype=torch.bool, device=edges.device).tril(keys - queries)[None, None]
        if stream.is_floating_point():  # which both eager attention and PyTorch's take
            mask = torch.zeros(mask.shape, dtype=stream.dtype, device=edges.device).masked_fill(~mask, _least(stream))
    edges = edges[:, None]
    cut = mask & ~edges if mask.dtype == torch.bool else mask.masked_fill(edges, _least(mask))
    return cut.expand(len(stream), -1, -1, -1)


def _least(like: Tensor) -> float:
    return torch.finfo(like.dtype).min
