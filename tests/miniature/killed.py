"""A training that is killed as it trains."""

from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from models.miniature import train


class Killed(BaseException):
    """Stands for the kill: nothing catches it."""


@contextmanager
def killed_after(checkpoints: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What trains in the block is killed once it has written so many checkpoints."""
    written = []
    real = train._checkpoint

    def checkpoint_then_die(*arguments):
        real(*arguments)
        written.append(arguments)
        if len(written) == checkpoints:
            raise Killed

    with monkeypatch.context() as dying:
        dying.setattr(train, "_checkpoint", checkpoint_then_die)
        with pytest.raises(Killed):
            yield
