"""One image of each photo, for whoever wants independent images."""

import numpy as np


def one_of_each_photo(photos: np.ndarray, generator: np.random.Generator) -> list[int]:
    """The row of one image of each photo, drawn, in random order."""
    rows = generator.permutation(len(photos))
    first = np.sort(np.unique(photos[rows], return_index=True)[1])
    return [int(row) for row in rows[first]]
