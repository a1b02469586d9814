"""The tables that a run over a sample ends in: vectors of every site, and answers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int

from signbridge.core import activations, tables
from signbridge.core.shards import Shards, answers_of, names_of
from signbridge.datasets.images import decoded, grey_pixels
from signbridge.vlm.extraction import EVERYTHING, sites_and_answers
from signbridge.vlm.model_run import ModelRun
from signbridge.vlm.store import Store


def extract_sample(
    run: ModelRun,
    sample: pd.DataFrame,
    folder: Path,
    kept: Bool[np.ndarray, " images"] | None = None,
    store: Store = EVERYTHING,
    **made_by: Any,
) -> None:
    """Read what is stored of the model's vectors for the images of `sample`, and its answers, as `write_read` does.

    Of all images that are read, in the batches that are the study's, those that are `kept` are written. `made_by` says
    more of what made them.
    """
    shards = run.read_in_shards(decoded(sample["image"].tolist()), sites_and_answers(run.reader, store))
    rows = np.arange(len(sample)) if kept is None else np.flatnonzero(kept)
    write_read(run, shards, sample.iloc[rows], rows, folder, **made_by)


def write_read(
    run: ModelRun, shards: list[Path], shown: pd.DataFrame, rows: Int[np.ndarray, "_"], folder: Path, **made_by: Any
) -> None:
    """Write `activations` and `answers.parquet` of `shown` (image_id, label, image) to `folder`.

    Its images are these `rows` of what was read into `shards`.
    """
    made_by = {**run.made_by, **made_by, "sites": sites_of(shards)}
    write_sites(folder / "activations", shards, shown["image_id"].tolist(), shown["image"].tolist(), made_by, rows)
    said = answers_of(shards)
    answered = {"prompt": run.model.prompt, "answer": [said[row] for row in rows]}
    tables.write(shown[["image_id", "label"]].assign(**answered), folder / "answers.parquet", made_by)


def sites_of(shards: list[Path]) -> list[str]:
    """All sites of a run in order of depth, `pixels` first."""
    return ["pixels", *dict.fromkeys(name.split(".")[0] for name in names_of(shards[0]))]


def write_sites(
    folder: Path,
    shards: list[Path],
    image_ids: list[str],
    pngs: list[bytes],
    made_by: dict[str, Any],
    rows: Int[np.ndarray, "_"] | None = None,
) -> None:
    """Write a table for each site of `shards` to `folder`, and the `pixels` of `pngs`, the images that were read.

    `image_ids` names them. They are these `rows` of `shards`, or all in order; `made_by` must hold `sites`. No more
    than a part of one site and position is in memory.
    """
    rows = np.arange(len(image_ids)) if rows is None else rows

    def pixels(start: int, stop: int) -> np.ndarray:
        return np.stack([grey_pixels(png).reshape(-1) for png in pngs[start:stop]]).astype(np.float32)

    activations.write(folder, "pixels", image_ids, {"flat": activations.Rows(pixels)}, made_by)
    all_shards = Shards(shards)
    of_sites: dict[str, dict[str, activations.Rows]] = {}
    for name in names_of(shards[0]):
        site, position = name.split(".")
        read = activations.Rows(lambda start, stop, name=name: all_shards.rows(name, rows[start:stop]))
        of_sites.setdefault(site, {})[position] = read
    for site, vectors in of_sites.items():
        activations.write(folder, site, image_ids, vectors, made_by)
