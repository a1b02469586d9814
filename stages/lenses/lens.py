"""Three lenses on the image tokens of the sample: the words that each patch lies nearest to, layer by layer.

    python -m stages.lenses.lens

Environment as for `stages.extract`; finished shards lie in .scratch/ until the table is written.
"""

import logging
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from tqdm import tqdm

from signbridge.core import params, tables
from signbridge.core.activations import evenly_spread
from signbridge.core.command_line import run
from signbridge.core.shards import vectors_of
from signbridge.datasets.images import decoded
from signbridge.datasets.sampling import looked_at
from signbridge.lenses.lens import RECALL_OF, LensesParams, latent_lens, lens_rows, recall_of_some, vocabulary_table
from signbridge.lenses.patches import PatchReader, grid_shape
from signbridge.lenses.search import imported_faiss
from signbridge.lenses.stored_vectors import open_index
from signbridge.vlm.extraction import read_in_shards
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import fingerprint, images_per_shard, made_from, open_reader, read_with
from signbridge.vlm.residual import decoder_sites

log = logging.getLogger(__name__)

SAMPLE = Path("data/sample.parquet")
MODEL = Path("data/model.json")
INDEX = Path("data/text_index")
LENSES = Path("data/lenses.parquet")
VOCABULARY = Path("data/vocabulary.parquet")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the sample, `data/text_index/` and `data/model.json`, write `data/lenses.parquet` and the vocabulary."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings = params.section("lenses", LensesParams, params.LENSES)
    probes = settings.probes if settings.search == "approximate" else None
    if probes is not None:
        imported_faiss()  # or say so before the model is run
    device = device_from_environment()
    made_by = {**made_from(name, model, MODEL, SAMPLE), "lenses": settings.model_dump(), "seed": params.seed()}
    folder = SCRATCH / "lens" / fingerprint(made_by, device, __file__)
    sample = looked_at(tables.read(SAMPLE), settings.images, params.seed())

    reader = open_reader(model, SCRATCH / "models", device)
    sites = evenly_spread(settings.layers, decoder_sites(reader.loaded.parts))
    patch_reader = PatchReader(reader, sites, settings.patches)
    shards = read_in_shards(patch_reader, decoded(sample["image"]), folder, images_per_shard(), "lens")
    patches = vectors_of(shards, "patch")[0]
    made_by["grid"] = grid_shape(int(vectors_of(shards, "image_tokens")[0]))
    index, memory_bytes = open_index(INDEX), int(settings.memory_gib * 2**30)
    ids = sample["image_id"].tolist()
    rows = reader.loaded.model.get_input_embeddings().weight.shape[0]
    vocabulary = vocabulary_table(reader.loaded.processor.tokenizer, rows)
    parts, recall, generator = [], {}, np.random.default_rng(params.seed())
    for site in tqdm(sites, desc="lenses", unit="layer"):
        vectors = torch.from_numpy(vectors_of(shards, site)).flatten(0, 1).to(device)
        found = latent_lens(vectors, index, settings.k, memory_bytes, probes)
        parts.append(lens_rows(vectors, ids, patches, site, reader.loaded, vocabulary, index, found, settings.k))
        if probes is not None:
            recall[site] = recall_of_some(found, vectors, index, memory_bytes, generator)
    for site, share in recall.items():
        of = min(RECALL_OF, len(ids) * len(patches))
        log.info("%s: approximate search finds %.1f %% of the exact neighbours (%d patches)", site, 100 * share, of)
    made_by |= {"recall": recall} if recall else {}

    tables.write(vocabulary, VOCABULARY, read_with(name, model, MODEL))
    tables.write(pd.concat(parts, ignore_index=True), LENSES, made_by)
    shutil.rmtree(SCRATCH / "lens")  # what other settings left there too


if __name__ == "__main__":
    run(main)
