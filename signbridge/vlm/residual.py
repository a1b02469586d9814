"""Read the residual stream where the next block takes it in, and edit it there.

Not from a block's return value (its type changes with the library's version, and some families add features after
a block), nor from `output_hidden_states` (whose last entry is after the final norm).
"""

from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from typing import NamedTuple

from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle

from signbridge.core.activations import layer_site
from signbridge.vlm.families.parts import Parts
from signbridge.vlm.shared_hooks import SharedHooks, setting

OnSite = Callable[[str, Tensor], None]
Edit = Callable[[str, Tensor], Tensor]


def decoder_sites(parts: Parts) -> list[str]:
    """The sites of the decoder in order of depth: `embedding`, then one a block."""
    return ["embedding", *(layer_site(block) for block in range(len(parts.blocks)))]


@contextmanager
def reading(parts: Parts, on_site: OnSite) -> Iterator[None]:
    """While open, every forward pass of this thread calls `on_site(site, stream)` at each site, in order of depth.

    `stream` is the model's own tensor, batch x tokens x width: copy what must outlast the pass, and do not write to
    it. `vision` and `projector` are read when the pass holds images. Several threads may read one model at a time,
    each its own passes; the last to close takes the hooks off. Where the stream is edited, `stream` is what came of it.
    """
    with _HOOKS.on(parts), setting(_listener, on_site):
        yield


class _ReadAll(Exception):
    """Ends a pass at the deepest site that is wanted: what the blocks after it compute is for nothing."""


@contextmanager
def reading_up_to(parts: Parts, sites: Collection[str], on_site: OnSite) -> Iterator[None]:
    """`reading` of `sites` alone in one forward pass, which ends once each was read: nothing behind it is run.

    Nothing comes of the pass but what `on_site` keeps, to the byte that of a whole pass.
    """
    left = set(sites)

    def keep(site: str, stream: Tensor) -> None:
        if site in left:
            on_site(site, stream)
            left.remove(site)
            if not left:
                raise _ReadAll

    with suppress(_ReadAll), reading(parts, keep):
        yield


@contextmanager
def editing(parts: Parts, edit: Edit, rows_may_join: bool = False) -> Iterator[None]:
    """While open, every forward pass of this thread goes on with `edit(site, stream)` at each site, in order of depth.

    `stream` is the model's own tensor, batch x tokens x width: return it to leave it as it is, or another of its shape
    and dtype; do not write to it. A prefill passes all tokens of the prompt, a step of decoding the one that is fed
    back. An edit at a site changes what the blocks after it read, and nothing before it. With `rows_may_join` the batch
    may be another from there on. Raises `ValueError` if what is returned does not fit.
    """
    with _HOOKS.on(parts), setting(_editor, _Editor(edit, rows_may_join)):
        yield


@contextmanager
def noting_injected(parts: Parts, found: dict[str, Tensor]) -> Iterator[None]:
    """While open, every forward pass of this thread notes in `found` what is added to image tokens behind blocks.

    By the site that first has it, image tokens x width, those of all images one after another.
    """
    with _HOOKS.on(parts), setting(_noted, found):
        yield


class _Editor(NamedTuple):
    edit: Edit
    rows_may_join: bool


_listener: ContextVar[OnSite | None] = ContextVar("on_site", default=None)
_editor: ContextVar[_Editor | None] = ContextVar("edit", default=None)
_noted: ContextVar[dict[str, Tensor] | None] = ContextVar("injected", default=None)


def _put_hooks(parts: Parts) -> list[RemovableHandle]:
    takers = zip(decoder_sites(parts), [*parts.blocks, parts.final_norm], strict=True)
    return [
        _on_input(parts.projector, "vision"),
        # before `families.scale_image_tokens`, which would otherwise run first
        parts.projector.register_forward_hook(lambda _, args, output: _passed_on("projector", output), prepend=True),
        *(_on_input(module, site) for site, module in takers),
        *(_on_injected(module, layer_site(block)) for block, module in enumerate(parts.injected)),
    ]


_HOOKS = SharedHooks(_put_hooks)


def _on_injected(module: nn.Module, site: str) -> RemovableHandle:
    def hook(_: nn.Module, args: tuple, features: Tensor) -> None:
        if (noted := _noted.get()) is not None:
            noted[site] = features

    return module.register_forward_hook(hook)


def _on_input(module: nn.Module, site: str) -> RemovableHandle:
    def hook(_: nn.Module, args: tuple, kwargs: dict) -> tuple[tuple, dict]:
        if args:
            return (_passed_on(site, args[0]), *args[1:]), kwargs
        return args, {**kwargs, "hidden_states": _passed_on(site, kwargs["hidden_states"])}

    return module.register_forward_pre_hook(hook, with_kwargs=True)


def _passed_on(site: str, stream: Tensor) -> Tensor:
    """What the model goes on with at `site`, after whoever listens was told."""
    editor, on_site = _editor.get(), _listener.get()
    if editor is not None:
        edited = editor.edit(site, stream)
        fits = edited.shape[editor.rows_may_join :] == stream.shape[editor.rows_may_join :]
        if not fits or edited.dtype != stream.dtype:
            there, given = (f"{tuple(one.shape)} in {one.dtype}" for one in (stream, edited))
            raise ValueError(f"edit at {site}: the stream is {there}, what was returned is {given}")
        stream = edited
    if on_site is not None:
        on_site(site, stream)
    return stream
