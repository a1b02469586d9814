"""Hooks on a model's modules that the threads which read it share: one set, whoever is reading.

What a hook does is set thread by thread (`setting`). A hook that came or went while another thread is on its way
through the model would disturb its pass, so the hooks stay until the last thread has closed.
"""

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TypeVar

from torch import nn
from torch.utils.hooks import RemovableHandle

from signbridge.vlm.families.parts import Parts

T = TypeVar("T")


class SharedHooks:
    """The hooks that `put` puts on a model, for as long as anyone has them open."""

    def __init__(self, put: Callable[[Parts], list[RemovableHandle]]):
        self._put = put
        self._lock = threading.Lock()
        self._in_use: dict[nn.Module, tuple[int, list[RemovableHandle]]] = {}  # users and hooks, by the final norm

    @contextmanager
    def on(self, parts: Parts) -> Iterator[None]:
        """While open, the hooks are on this model; the first to open puts them, the last to close takes them off."""
        with self._lock:
            users, handles = self._in_use.get(parts.final_norm) or (0, self._put(parts))
            self._in_use[parts.final_norm] = users + 1, handles
        try:
            yield
        finally:
            with self._lock:
                users, handles = self._in_use.pop(parts.final_norm)
                if users > 1:
                    self._in_use[parts.final_norm] = users - 1, handles
                else:
                    for handle in handles:
                        handle.remove()


@contextmanager
def setting(variable: ContextVar[T], value: T) -> Iterator[None]:
    """While open, `variable` has that value in this thread."""
    token = variable.set(value)
    try:
        yield
    finally:
        variable.reset(token)
