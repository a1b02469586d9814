"""Pairs of images put into each other's runs on one of the models: the stage `patch` of causes, for each of several.

python -m stages.models.patch NAME

Logits are those of each image's own answer. Pairs follow from letters and photos alone, so they are the same in every
kind of weights. Two images with one answer have no gap that could be moved, and drop out. With `patching_pairs: 0`
nothing is patched, and no model is loaded.
"""

import sys
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import PATCHED

SAMPLE = Path("data/sample.parquet")


def main() -> None:
    """Read the sample and, as it was read, the model that the first argument names; write data/models/patched/."""
    name, wanted = sys.argv[1], params.section("patching_pairs", int, params.SIDE_BY_SIDE)
    patched = Path(f"data/models/patched/{name}.parquet")
    if wanted == 0:
        tables.write(pd.DataFrame({"pair": []}), patched, {})
    else:
        _patch(name, wanted, patched)


def _patch(name: str, wanted: int, patched: Path) -> None:
    from signbridge.causal.pairs import image_pairs
    from signbridge.causal.patching import Swap, as_table, patching_work
    from signbridge.datasets.images import decoded
    from signbridge.vlm.model_run import model_run  # imports PyTorch and Transformers, as those above do: seconds
    from signbridge.vlm.residual import decoder_sites

    sample, seed = tables.read(SAMPLE), params.seed()
    labels, photos = sample["label"].to_numpy(), sample["photo"].to_numpy()
    pairs = image_pairs(labels, photos, wanted, np.random.default_rng(seed))
    images, drawn = decoded(sample["image"]), [list(pair) for pair in pairs]
    with model_run(__file__, of=Path(f"data/models/as_read/{name}.json"), sample=SAMPLE, pairs=drawn) as reading:
        reader = reading.reader
        todo = [Swap(images[pair.a], images[pair.b], reader.prompt, None) for pair in pairs]
        shards = reading.read_in_shards(todo, patching_work(reader), f"patch, {name}", "pair")
        cells = {"site": decoder_sites(reader.loaded.parts), "position": PATCHED}
        tables.write(as_table(sample, pairs, shards, cells), patched, reading.made_by)


if __name__ == "__main__":
    run(main)
