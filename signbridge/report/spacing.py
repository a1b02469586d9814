"""Which marks of a plane have room for their letter, so that no letter is printed over another."""

import numpy as np
from jaxtyping import Bool, Float


def have_room(points: Float[np.ndarray, "n 2"], width: float, height: float, apart: float) -> Bool[np.ndarray, " n"]:
    """Those of `points`, first come first served, that lie `apart` from each one chosen before.

    The points are spread over a plane of `width` by `height`, in the unit of `apart`.
    """
    low, high = (np.nanmin(points, axis=0), np.nanmax(points, axis=0)) if len(points) else (0, 1)
    spread = np.where(high - low > 0, high - low, 1)
    places = (points - low) / spread * np.array([width, height])
    chosen = np.zeros(len(points), dtype=bool)
    taken: dict[tuple[int, int], list[np.ndarray]] = {}  # by squares of side `apart`
    for index, place in enumerate(places):
        column, row = (place // apart).astype(int)
        near = (one for x in (-1, 0, 1) for y in (-1, 0, 1) for one in taken.get((column + x, row + y), ()))
        if all(np.hypot(*(place - one)) >= apart for one in near):
            chosen[index] = True
            taken.setdefault((column, row), []).append(place)
    return chosen
