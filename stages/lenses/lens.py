"""Three lenses on the image tokens of the sample: the words that each patch lies nearest to, layer by layer.

    python -m stages.lenses.lens

Environment as for `stages.extract`; finished shards lie in .scratch/ until the tables are written.
"""

import logging
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
from signbridge.lenses import lens
from signbridge.lenses.patches import grid_of_all, patch_tokens
from signbridge.lenses.search import imported_faiss
from signbridge.lenses.stored_vectors import CONTEXTS, open_index
from signbridge.vlm.model_run import model_run
from signbridge.vlm.residual import decoder_sites

log = logging.getLogger(__name__)

SAMPLE = Path("data/sample.parquet")
INDEX = Path("data/lenses/text_index")
WORDS = Path("data/lenses/words.parquet")
CHECKS = Path("data/lenses/checks.parquet")


def main() -> None:
    """Read the sample, the text index and `data/model_as_read.json`; write words and checks to `data/lenses/`."""
    settings, seed = params.section("lenses", lens.LensesParams, params.LENSES), params.seed()
    cells = settings.cells if settings.search == "approximate" else None
    if cells is not None:
        imported_faiss()  # or say so before the model is loaded
    of_recall, _, of_text = np.random.default_rng(seed).spawn(3)
    index, memory_bytes = open_index(INDEX), int(settings.memory_gib * 2**30)
    sample = looked_at(tables.read(SAMPLE), settings.images, seed)
    ids = sample["image_id"].tolist()
    made_by = {"lenses": settings.model_dump(), "seed": seed}
    with model_run(__file__, sample=SAMPLE, beside=INDEX / CONTEXTS, **made_by) as reading:
        loaded = reading.reader.loaded
        sites = evenly_spread(settings.layers, decoder_sites(loaded.parts))
        work = patch_tokens(reading.reader, sites, settings.patches)
        shards = reading.read_in_shards(decoded(sample["image"]), work, "lens")
        patches, grid = vectors_of(shards, "patch")[0], grid_of_all(shards)
        vocabulary = lens.vocabulary_table(loaded.processor.tokenizer, len(loaded.model.get_input_embeddings().weight))
        parts, checks = [], [("text_words", "", lens.reads_text(index, settings.text_words, of_text, memory_bytes))]
        for site in tqdm(sites, desc="lenses", unit="layer"):
            vectors = torch.from_numpy(vectors_of(shards, site)).flatten(0, 1).to(reading.device)
            found = lens.latent_lens(vectors, index, settings.k, memory_bytes, cells)
            parts.append(lens.lens_rows(vectors, ids, patches, site, loaded, vocabulary, index, found, settings.k))
            if cells is not None:
                share = lens.recall_of_some(found, vectors, index, memory_bytes, of_recall)
                checks.append(("recall", site, share))
        for _, site, share in checks[1:]:
            of = min(lens.RECALL_OF, len(ids) * len(patches))
            log.info("%s: approximate search finds %.1f %% of the exact neighbours (%d patches)", site, 100 * share, of)
        words = lens.with_grid(pd.concat(parts, ignore_index=True), grid)
        tables.write(pd.DataFrame(checks, columns=["check", "site", "share"]), CHECKS, reading.made_by)
        tables.write(words, WORDS, reading.made_by)


if __name__ == "__main__":
    run(main)
