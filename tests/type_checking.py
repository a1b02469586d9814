"""How the tests hold annotated functions to their types: by beartype, to which NumPy's integers are integers too."""

import functools
from collections.abc import Callable
from typing import Any

import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

_hold = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict({int: int | np.integer, float: float | int | np.number}),
    )
)


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hold `function` to its types from its first call on: in each process most functions are never called."""
    held: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        if not held:
            held.append(_hold(function))
        return held[0](*arguments, **named)

    return checked
