"""The text that image tokens are compared with: contextual vectors of a corpus, read through the model's own decoder.

    python -m stages.text_index

Environment as for `stages.extract`; finished shards lie in .scratch/ until the index is written.
"""

import shutil
from pathlib import Path

import numpy as np

from signbridge import params, tables
from signbridge.command_line import run
from signbridge.extraction import read_in_shards
from signbridge.extraction_run import fingerprint, images_per_shard, open_reader, read_with
from signbridge.lenses.contexts import sampled_contexts
from signbridge.lenses.corpus import phrases
from signbridge.lenses.text_index import contexts_table, write_vectors
from signbridge.lenses.text_reading import TextIndexParams, TextReader, phrases_of, text_sites
from signbridge.vlm.loading import ModelParams, device_from_environment

MODEL = Path("data/model.json")
INDEX = Path("data/text_index")
SCRATCH = Path(".scratch")


def main() -> None:
    """Read the corpus and `data/model.json`, write `data/text_index/`."""
    name, model = params.selected("model", "models", ModelParams)
    settings = params.section("text_index", TextIndexParams)
    corpus = phrases(settings.corpus, settings.templates)
    device = device_from_environment()
    made_by = {**read_with(name, model, MODEL), "text_index": settings.model_dump(), "seed": params.seed()}
    folder = SCRATCH / "text_index" / fingerprint({**made_by, "phrases": corpus}, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    tokenizer, sites = reader.loaded.processor.tokenizer, text_sites(settings.layers, len(reader.loaded.parts.blocks))
    generator = np.random.default_rng(params.seed())
    contexts = sampled_contexts(tokenizer, corpus, settings.contexts, generator)
    todo, contexts = phrases_of(tokenizer(corpus)["input_ids"], contexts)
    shards = read_in_shards(TextReader(reader, sites), todo, folder, images_per_shard(), "text index", "phrase")

    made_by["sites"] = sites
    tables.write(contexts_table(corpus, contexts, tokenizer), INDEX / "contexts.parquet", made_by)
    for site in sites:
        write_vectors(INDEX, site, shards, len(contexts), settings.storage)
    shutil.rmtree(SCRATCH / "text_index")  # what other settings left there too


if __name__ == "__main__":
    run(main)
