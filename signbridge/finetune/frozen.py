"""What tuning leaves as it is, computed once an image: the stream that enters the first block that is tuned.

Tower, projector and the blocks below are frozen, so of an image and its answer that stream is the same at each step. It
is kept where the model needs nothing else of the image: where no image features are added between blocks, no token
sees ahead, and the model counts positions itself. Otherwise, and where it takes too much memory, a pass is a whole one.
"""

from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor, nn
from tqdm import tqdm

from signbridge.vlm.families.parts import Parts
from signbridge.vlm.residual import decoder_sites, reading_up_to

MOST_BYTES = 2**30  # of all images together, in the processor's memory


@torch.no_grad()
def entering(
    model: nn.Module, parts: Parts, first: int, passes: Iterable[Mapping[str, Tensor]], count: int
) -> Float[Tensor, "count tokens width"] | None:
    """The stream that enters block `first` of each of `count` passes of one prompt; None where it is not kept.

    Prompts of several lengths are not kept either.
    """
    if parts.positions is not None or parts.injected or parts.looks_ahead != "none":
        return None
    embedding, entry = (decoder_sites(parts)[number] for number in (0, first))
    kept = None
    for number, fed in enumerate(tqdm(passes, "read what is frozen", count, leave=False, unit="image")):
        streams = _streams(model, parts, {embedding, entry}, fed)
        (stream,) = streams[entry]
        if kept is None:
            if count * stream.nbytes > MOST_BYTES or not _is_taken_in(model, parts, streams[embedding]):
                return None
            kept = torch.empty(count, *stream.shape, dtype=stream.dtype)
        if stream.shape != kept.shape[1:]:
            return None
        kept[number] = stream
    return kept


def _is_taken_in(model: nn.Module, parts: Parts, stream: Float[Tensor, "1 tokens width"]) -> bool:
    """Whether a stream that is given in place of tokens enters block 0 as it is: OPT adds positions to it."""
    embedding = decoder_sites(parts)[0]
    return torch.equal(_streams(model, parts, {embedding}, {"inputs_embeds": stream})[embedding], stream)


def _streams(model: nn.Module, parts: Parts, sites: set[str], fed: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    with reading_up_to(parts, sites, lambda site, stream: found.update({site: stream.clone()})):
        model(**fed, use_cache=False)
    return found


def pass_on(blocks: Iterable[nn.Module]) -> None:
    """Let these blocks give what they take in, for good: what `entering` has kept is then given in place of tokens."""
    for block in blocks:
        block.forward = lambda hidden_states, *_, **__: hidden_states
