"""Read the residual stream where the next block takes it in.

Not from a block's return value (its type changes with the library's version, and some families add features after
a block), nor from `output_hidden_states` (whose last entry is after the final norm).
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from torch import Tensor, nn

from signbridge.activations import layer_site
from signbridge.vlm.families import Parts

OnSite = Callable[[str, Tensor], None]


def decoder_sites(parts: Parts) -> list[str]:
    """The sites of the decoder in order of depth: `embedding`, then one a block."""
    return ["embedding", *(layer_site(block) for block in range(len(parts.blocks)))]


@contextmanager
def reading(parts: Parts, on_site: OnSite) -> Iterator[None]:
    """While open, every forward pass calls `on_site(site, stream)` at each site, in order of depth.

    `stream` is the model's own tensor, batch x tokens x width: copy what must outlast the pass, and do not write to
    it. `vision` and `projector` are read when the pass holds images.
    """
    handles = [
        parts.projector.register_forward_pre_hook(lambda _, args: on_site("vision", args[0])),
        parts.projector.register_forward_hook(lambda _, args, output: on_site("projector", output)),
    ]
    takers = [*parts.blocks, parts.final_norm]
    for site, module in zip(decoder_sites(parts), takers, strict=True):
        handles.append(_on_input(module, site, on_site))
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _on_input(module: nn.Module, site: str, on_site: OnSite):
    def hook(_: nn.Module, args: tuple, kwargs: dict) -> None:
        on_site(site, args[0] if args else kwargs["hidden_states"])

    return module.register_forward_pre_hook(hook, with_kwargs=True)
