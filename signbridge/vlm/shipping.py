"""Send work on a model to another process that has loaded the same one: by reference to the model, else by value.

Work is made of functions that hold the model, its modules and its processor. A pickle of them would hold the weights.
Here whatever belongs to the model is replaced by its name in it, and found again in the model of the process that
reads the pickle. Pickles never lie on a disk and come from nowhere but the process that started the others.
"""

import io
import pickle
from collections.abc import Iterator
from typing import Any

import cloudpickle
from torch import Tensor, nn

from signbridge.vlm.loading import LoadedModel

_LOADED = "loaded"


def packed(work: Any, loaded: LoadedModel) -> bytes:
    """`work` without the model. Raises what `pickle` does of things that cannot be sent: open files, locks."""
    buffer = io.BytesIO()
    _Packer(buffer, loaded).dump(work)
    return buffer.getvalue()


def unpacked(sent: bytes, loaded: LoadedModel) -> Any:
    """The work of `packed`, on the model that is loaded here."""
    return _Unpacker(io.BytesIO(sent), loaded).load()


class _Packer(cloudpickle.Pickler):
    def __init__(self, buffer: io.BytesIO, loaded: LoadedModel):
        super().__init__(buffer)
        self._names = {id(thing): name for name, thing in _belongings(loaded)}
        self._held = loaded  # so that no other thing gets one of these ids

    def persistent_id(self, thing: Any) -> str | None:
        return self._names.get(id(thing))


class _Unpacker(pickle.Unpickler):
    def __init__(self, buffer: io.BytesIO, loaded: LoadedModel):
        super().__init__(buffer)
        self._things = dict(_belongings(loaded))

    def persistent_load(self, name: str) -> Any:
        return self._things[name]


def _belongings(loaded: LoadedModel) -> Iterator[tuple[str, nn.Module | Tensor | Any]]:
    """Whatever a function may hold of a model, by a name that is the same wherever the model is loaded."""
    yield _LOADED, loaded
    yield "parts", loaded.parts
    yield "processor", loaded.processor
    for name in loaded.processor.get_attributes():
        yield f"processor.{name}", getattr(loaded.processor, name)
    yield from ((f"module {name}", module) for name, module in loaded.model.named_modules())
    yield from ((f"tensor {name}", tensor) for name, tensor in loaded.model.named_parameters(remove_duplicate=False))
    yield from ((f"tensor {name}", tensor) for name, tensor in loaded.model.named_buffers(remove_duplicate=False))
