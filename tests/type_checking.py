"""How the tests hold annotated functions to their types: by beartype, to which NumPy's integers are integers too.

jaxtyping compares the shapes of all arrays of a call: it binds the arguments to their names and has them checked twice.
A function whose types name no array goes without it. Each is held from its first call on: most are never called in one
process, and a function inside another is made anew each time.
"""

import functools
from collections.abc import Callable
from types import FunctionType
from typing import Any, get_args

import jaxtyping
import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

_hold = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict({int: int | np.integer, float: float | int | np.number}),
    )
)
_with_shapes = jaxtyping.jaxtyped


def check(function: Callable[..., Any]) -> Callable[..., Any]:
    """Hold `function` to its types from its first call on."""
    held: list[Callable[..., Any]] = []

    @functools.wraps(function)
    def checked(*arguments: Any, **named: Any) -> Any:
        __tracebackhide__ = True
        if not held:
            held.append(_hold(function))
        return held[0](*arguments, **named)

    return checked


def jaxtyped(*, typechecker: Any) -> Callable[[Any], Any]:
    """What the import hook of jaxtyping decorates with, in place of its own."""

    def decorated(function: Any) -> Any:
        if isinstance(function, FunctionType) and not any(map(_may_name_array, function.__annotations__.values())):
            return check(function)
        return _with_shapes(function, typechecker=typechecker)

    return decorated


def _may_name_array(annotation: Any) -> bool:
    if isinstance(annotation, list):  # of a Callable
        return any(map(_may_name_array, annotation))
    if isinstance(annotation, str) or (
        isinstance(annotation, type) and issubclass(annotation, jaxtyping.AbstractArray)
    ):
        return True
    return any(map(_may_name_array, get_args(annotation)))
