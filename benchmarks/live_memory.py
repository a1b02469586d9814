"""Count the bytes of the tensors that are alive, and pretend that there is no room for more: on any device.

Counted are the storages that operators make in this thread while the mode is open; what an operator takes for itself
alone is not seen.
"""

import weakref
from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


class LiveMemory(TorchDispatchMode):
    """While open, `live` and `peak` are bytes; beyond `budget` bytes operators raise `torch.OutOfMemoryError`."""

    def __init__(self, budget: float = float("inf")):
        super().__init__()
        self.budget, self.live, self.peak = budget, 0, 0
        self._known: dict[int, weakref.ref] = {}  # storages that are alive, by their address

    def __torch_dispatch__(self, func: Any, types: Any, args: tuple = (), kwargs: dict | None = None) -> Any:
        """Run the operator, and count what it made."""
        given = {_address(leaf) for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, torch.Tensor)}
        made = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(made):
            if isinstance(leaf, torch.Tensor) and leaf.device.type != "meta" and _address(leaf) not in given:
                self._count(leaf.untyped_storage())
        return made

    def _count(self, storage: torch.UntypedStorage) -> None:
        address, size = storage._cdata, storage.nbytes()
        if address in self._known:
            return

        def gone(_: weakref.ref) -> None:
            if self._known.pop(address, None) is not None:
                self.live -= size

        self.live += size
        if self.live > self.budget:
            self.live -= size
            raise torch.OutOfMemoryError(f"out of memory: {size} bytes beside {self.live} of {self.budget:.0f}")
        self.peak = max(self.peak, self.live)
        self._known[address] = weakref.ref(storage, gone)


def _address(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata
