"""Three lenses on the image tokens of the sample: the words that each patch lies nearest to, layer by layer.

    python -m stages.lens

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import shutil
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from signbridge import params, tables
from signbridge.command_line import run
from signbridge.datasets.one_per_photo import one_of_each_photo
from signbridge.extraction import read_in_shards
from signbridge.extraction_run import fingerprint, images_per_shard, made_from, open_reader
from signbridge.extraction_tables import decoded
from signbridge.layer_choice import evenly_spread
from signbridge.lenses.patches import PatchReader
from signbridge.lenses.table import LensesParams, lens_rows
from signbridge.lenses.text_index import open_index
from signbridge.shards import vectors_of
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.residual import decoder_sites

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
INDEX = Path("data/text_index")
LENSES = Path("data/lenses.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the sample, `data/text_index/` and `data/model.json`, write `data/lenses.parquet`."""
    name, model = params.selected("model", "models", ModelParams)
    settings = params.section("lenses", LensesParams)
    sample = tables.read(SAMPLE)
    device = device_from_environment()
    made_by = {**made_from(name, model, MODEL, SAMPLE), "lenses": settings.model_dump(), "seed": params.seed()}
    folder = SCRATCH / "lens" / fingerprint(made_by, device, __file__)
    chosen = one_of_each_photo(sample["photo"].to_numpy(), np.random.default_rng(params.seed()))[: settings.images]
    sample = sample.iloc[sorted(chosen)]

    reader = open_reader(model, SCRATCH / "models", device)
    sites = evenly_spread(settings.layers, decoder_sites(reader.loaded.parts))
    patch_reader = PatchReader(reader, sites, settings.patches)
    shards = read_in_shards(patch_reader, decoded(sample["image"]), folder, images_per_shard(), "lens")
    patches = vectors_of(shards, "patch")[0]
    index, memory_bytes = open_index(INDEX), int(settings.memory_gib * 2**30)
    ids = sample["image_id"].tolist()
    parts = [
        lens_rows(vectors_of(shards, site), ids, patches, site, reader.loaded, index, settings.k, memory_bytes)
        for site in tqdm(sites, desc="lenses", unit="layer")
    ]

    tables.write(pd.concat(parts, ignore_index=True), LENSES, made_by)
    shutil.rmtree(SCRATCH / "lens")  # what other settings left there too


if __name__ == "__main__":
    run(main)
