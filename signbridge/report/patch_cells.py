"""Where the patches of an image lie, and how far around each a pointer is taken to mean it."""

from collections.abc import Sequence
from itertools import pairwise
from typing import NamedTuple


class Cell(NamedTuple):
    """One patch over the picture; lengths are in per cent of the picture's width and height."""

    row: int  # of the grid of all image tokens, from 0
    column: int
    left: float  # of the target, which holds the patch: as large as its neighbours let it be
    top: float
    width: float
    height: float


def cells_of(patches: Sequence[int], grid: tuple[int, int]) -> list[Cell]:
    """The cell of each of `patches`, numbered row by row in a grid of that many rows and columns.

    Of a grid that is looked at in part, each target reaches half way to its neighbours, so that the targets fill the
    picture and none is smaller than it must be.
    """
    rows, columns = grid
    down = _reach([patch // columns for patch in patches], rows)
    across = _reach([patch % columns for patch in patches], columns)
    cells = []
    for row, column in (divmod(patch, columns) for patch in patches):
        (top, bottom), (left, right) = down[row], across[column]
        cells.append(Cell(row, column, left, top, round(right - left, 3), round(bottom - top, 3)))
    return cells


def _reach(lines: Sequence[int], count: int) -> dict[int, tuple[float, float]]:
    """From where to where each of the `lines` looked at reaches, of `count` in all."""
    present = sorted(set(lines))
    between = [(before + after + 1) / 2 for before, after in pairwise(present)]
    edges = [round(100 * edge / count, 3) for edge in (0, *between, count)]
    return {line: (edges[place], edges[place + 1]) for place, line in enumerate(present)}
