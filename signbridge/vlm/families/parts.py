"""What the code that reads and edits a model knows of it: its modules, and five facts of its family.

Each fact is LLaVA's by default. A family that differs says so in its own module.
"""

import math
from collections.abc import Callable, Mapping
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

Inputs = Mapping[str, Tensor]  # what a model takes in, as its processor gives it


def one_row_each(inputs: Inputs) -> None:
    """LLaVA's projector has one row an image, images x tokens x width."""


class Parts(NamedTuple):
    """The modules of one model that the residual stream is read between, and what its family does with images."""

    blocks: list[nn.Module]  # the decoder blocks; the input of block i is the residual stream before it
    final_norm: nn.Module  # its input is the residual stream after the last block
    projector: nn.Module  # takes the tower's features that the model uses, gives the image tokens, not yet scaled
    image_token_id: int  # marks the image tokens among the prompt's
    # In what proportion the images of a batch share the vectors of tower and projector, which lie image after image;
    # None where each image has a row of its own.
    rows_of_images: Callable[[Inputs], list[int] | None] = one_row_each
    # The position ids of a prompt's tokens, 3 x batch x tokens, from inputs that hold images; None where the model
    # counts them itself. What is fed behind the prompt goes on from the largest (`positions_behind`).
    positions: Callable[[Inputs], Int[Tensor, "3 batch tokens"]] | None = None
    # Modules that give image features which are added to the image tokens behind block 0, 1, ...: a pass without
    # pixels lacks them.
    injected: tuple[nn.Module, ...] = ()
    # Which tokens see tokens behind them: none, image tokens those of their own image, or all of the prompt's.
    looks_ahead: Literal["none", "image", "prompt"] = "none"
    # Rows and columns of the grid of patches that the tokens of the first image make, from the top left; None where
    # they make none. Without it a square, if their number is one.
    grid: Callable[[Inputs], tuple[int, int] | None] | None = None
    softcap: float | None = None  # logits are drawn to within it, by `softcap * tanh(logits / softcap)`


def within_softcap(parts: Parts, logits: Float[Tensor, "*rows vocabulary"]) -> Float[Tensor, "*rows vocabulary"]:
    """What the unembedding gives, as the model's own logits are drawn."""
    return logits if parts.softcap is None else parts.softcap * torch.tanh(logits / parts.softcap)


def no_grid(inputs: Inputs) -> None:
    """Of tiles, or of queries: the tokens of an image are not its patches line by line."""


def grid_of_image(parts: Parts, inputs: Inputs) -> tuple[int, int] | None:
    """Rows and columns of the patches that the first image's tokens are; None if they make no grid."""
    if parts.grid is not None:
        return parts.grid(inputs)
    tokens = int((inputs["input_ids"][0] == parts.image_token_id).sum())
    side = math.isqrt(tokens)
    return (side, side) if side * side == tokens else None


def sharing_by_tokens(parts: Parts) -> Parts:
    """`parts` where each prompt's image has as large a share of the vectors as of the image tokens."""

    def tokens_of_each(inputs: Inputs) -> list[int]:
        return (inputs["input_ids"] == parts.image_token_id).sum(1).tolist()

    return parts._replace(rows_of_images=tokens_of_each)


def image_means(parts: Parts, inputs: Inputs, stream: Float[Tensor, "*rows width"]) -> Float[Tensor, "images width"]:
    """The mean over each image's vectors in `stream`, what goes into the projector or comes out of it, in float32."""
    shares = parts.rows_of_images(inputs)
    if shares is None:
        return stream.mean(dim=1, dtype=torch.float32)
    vectors = stream.flatten(0, -2)
    counts = [divmod(len(vectors) * share, sum(shares)) for share in shares]
    if any(left for _, left in counts):
        raise AssertionError(f"{len(vectors)} vectors of images that share them as {shares}")
    of_images = vectors.split([count for count, _ in counts])
    return torch.stack([of_image.mean(dim=0, dtype=torch.float32) for of_image in of_images])


_NO_USE = ("labels", "second_per_grid_ts")  # what trains a model, and what positions were counted from


def completed(parts: Parts, inputs: Inputs) -> dict[str, Tensor]:
    """A processor's `inputs` with the positions, where the model is not to count them; without what then has no use."""
    positions = {} if parts.positions is None else {"position_ids": parts.positions(inputs)}
    return {**{name: of_all for name, of_all in inputs.items() if name not in _NO_USE}, **positions}


def positions_behind(inputs: Inputs, behind: int, count: int) -> dict[str, Int[Tensor, "3 batch count"]]:
    """The positions of `count` tokens of which `behind` others stand behind the prompt of `inputs`, where it has any.

    An image takes fewer positions than tokens, so they are not the number of tokens before.
    """
    if (positions := inputs.get("position_ids")) is None:
        return {}
    last = positions.amax(dim=(0, 2))
    new = last[:, None] + 1 + behind + torch.arange(count, device=positions.device)
    return {"position_ids": new.expand(len(positions), -1, -1)}


def with_text_behind(parts: Parts, inputs: Inputs, tokens: Int[Tensor, "batch more"]) -> dict[str, Tensor]:
    """`inputs` with more text `tokens` behind each prompt, for one pass over all of it.

    They are read as a model's own answer is: each sees what stands before it.
    """
    ids = inputs["input_ids"]
    text = torch.zeros_like(tokens)
    more = {
        "input_ids": tokens,
        "attention_mask": torch.ones_like(tokens),
        "token_type_ids": text + 1 if parts.looks_ahead == "prompt" else text,
        "mm_token_type_ids": text,
        **positions_behind(inputs, 0, tokens.shape[1]),
    }
    both = {
        name: torch.cat([inputs[name], part.to(ids.device)], dim=-1) for name, part in more.items() if name in inputs
    }
    return {**inputs, **both}
