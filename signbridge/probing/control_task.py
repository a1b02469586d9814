"""The control task of Hewitt and Liang, where it can be learnt: under the notebook's split, which leaks.

Hewitt and Liang 2019, "Designing and Interpreting Probes with Control Tasks": each photo gets the letter of another
photo, drawn at random, and its copies go with it. Nothing in an image tells such a letter, so a probe that is right has
remembered the photo from its copies in training. What the probe of the true letters reads beyond that is its
selectivity. Where no photo is on both sides of the split nothing can be remembered: shuffled letters are at chance
there (`control_sweep.py`), and the difference from them is accuracy over chance.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
from jaxtyping import Int
from pydantic import Field
from tqdm import tqdm

from signbridge.core.params import Section
from signbridge.probing.control_sweep import ControlSweep, shuffle_over_photos
from signbridge.probing.probes import fit_notebook_probe
from signbridge.probing.protocols import Split
from signbridge.probing.sweep import Cell, cells_of, side_by_side

COLUMNS = ["site", "position", "draw", "image_id", "right"]


class ControlTaskParams(Section):
    """The section `control_task`."""

    draws: int = Field(ge=0)


def score_control_task(
    sweep: ControlSweep, splits: Sequence[Split], activations: Path, C: float, draws: int, seed: int
) -> pd.DataFrame:
    """One row a place, draw and tested image: whether the notebook's probe says the image's random letter (`COLUMNS`).

    Of `splits` the notebook's is taken; without it, or without a draw, there is no row. C is the notebook's inverse
    penalty.
    """
    notebook = [split for split in splits if split.protocol == "signbridge"]
    if not notebook or not draws:
        return pd.DataFrame(columns=COLUMNS)
    [split] = notebook
    targets, generator = np.unique(sweep.labels, return_inverse=True)[1], np.random.default_rng(seed)
    drawn = [shuffle_over_photos(targets, sweep.photos, generator) for _ in range(draws)]
    cells = cells_of(activations, sweep.places, sweep.image_ids)
    results = tqdm(
        side_by_side(_right, cells, split, drawn, C), "control task", len(sweep.places), unit="site position"
    )
    tested = np.array(sweep.image_ids)[split.test]
    tables = [
        pd.DataFrame({"site": site, "position": position, "draw": draw, "image_id": tested, "right": of_draw})
        for (site, position), right in zip(sweep.places, results, strict=True)
        for draw, of_draw in enumerate(right)
    ]
    return pd.concat(tables, ignore_index=True)[COLUMNS]


def _right(cell: Cell, split: Split, drawn: Sequence[Int[np.ndarray, "images"]], C: float) -> list[np.ndarray]:
    """Of each draw, which of the tested images got its letter."""
    return [
        fit_notebook_probe(cell.vectors, labels, split.train, C).predict(cell.vectors[split.test]) == labels[split.test]
        for labels in drawn
    ]
