"""The tests hold the functions of the package to their types, those that name no array too."""

from collections.abc import Callable, Iterator

import numpy as np
import pytest
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, TypeCheckError
from numpy import ndarray

from signbridge.report import wording
from tests import type_checking


def held(function: Callable) -> Callable:
    return type_checking.jaxtyped(typechecker=type_checking.check)(function)


@held
def counted(items: list[str] | None) -> int:
    return len(items) if items is not None else "none"


@held
def added(a: Float[ndarray, "rows 2"], b: Float[ndarray, " rows"]) -> Float[ndarray, "rows 2"]:
    return a + b[:, None] if len(a) > 1 else b


@held
def numbers(step: int) -> Iterator[int]:
    yield from range(0, 9, step)


def test_functions_of_the_package_are_held_to_their_types():
    assert wording.short("word") == "word"
    with pytest.raises(BeartypeCallHintViolation):
        wording.short(3)


def test_what_is_given_and_what_is_returned_is_held_to_its_type():
    assert counted(["a"]) == 1
    assert list(numbers(np.int64(4))) == [0, 4, 8]
    for wrong in ([3], None):
        with pytest.raises(BeartypeCallHintViolation):
            counted(wrong)


def test_shapes_are_held_where_an_array_is_named():
    assert added(np.ones((3, 2)), np.ones(3)).shape == (3, 2)
    for wrong in ((np.ones((3, 2)), np.ones(4)), (np.ones((3, 3)), np.ones(3)), (np.ones((1, 2)), np.ones(1))):
        with pytest.raises(TypeCheckError):
            added(*wrong)


@pytest.mark.parametrize("hint", [Float[ndarray, "rows"], list[Float[ndarray, "rows"]] | None,
                                  Callable[[Float[ndarray, "rows"]], int], "Later"], ids=str)  # fmt: skip
def test_a_type_that_names_an_array_or_may_name_one_is_held_with_shapes(hint):
    assert type_checking._may_name_array(hint)
    assert not type_checking._may_name_array(Callable[[ndarray], dict[str, int] | None])
