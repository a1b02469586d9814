"""How many layers are looked at: as params say it, and which ones those are."""

from collections.abc import Sequence
from typing import Annotated, Literal

from pydantic import Field

Layers = Annotated[int, Field(ge=0)] | Literal["all"]  # how many, evenly spread


def evenly_spread(wanted: Layers, sites: Sequence[str]) -> list[str]:
    """`wanted` of `sites`, from the first to the last; of one alone that in the middle; of all, or more, every one."""
    number = len(sites) if wanted == "all" else min(wanted, len(sites))
    if number <= 1:
        return [sites[len(sites) // 2]] * number
    return [sites[round(index * (len(sites) - 1) / (number - 1))] for index in range(number)]
