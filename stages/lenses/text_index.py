"""The text that image tokens are compared with: contextual vectors of a corpus, read through the model's own decoder.

    python -m stages.lenses.text_index

Environment as for `stages.extract`; finished shards lie in .scratch/ until the index is written. Its
vectors stay there too, as hard links: of a corpus that lines were appended to, only what is new is read. (Of outputs
DVC leaves those in place that are marked `persist`, but then it keeps no cache of the stage's runs.)
"""

import shutil
from pathlib import Path

import numpy as np

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.tables import whole_folder
from signbridge.lenses import text_index
from signbridge.lenses.contexts import Reservoirs, sampled_blocks
from signbridge.lenses.text_index import full_blocks, index_corpus, write_index
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.vlm.model_run import (
    fingerprint,
    images_per_shard,
    open_reader,
    read_with,
)
from signbridge.vlm.text import TextIndexParams, TextReader, phrases, text_sites

MODEL = Path("data/model.json")
INDEX = Path("data/text_index")
SCRATCH = Path(".scratch")
LAST = SCRATCH / "last_text_index"
BLOCK = 2**16  # phrases: the last ones of a corpus, up to as many, are read again when it grows


def main() -> None:
    """Read the corpus and `data/model.json`, write `data/text_index/`."""
    name, model = params.selected("model", params.MODELS, ModelParams)
    settings = params.section("text_index", TextIndexParams, params.LENSES)
    corpus = phrases(settings.corpus, settings.templates)
    device = device_from_environment()
    made_by = {**read_with(name, model, MODEL), "text_index": settings.model_dump(), "seed": params.seed()}
    of_any_corpus = fingerprint({**made_by, "text_index": settings.model_dump(exclude={"corpus"})}, device, __file__)

    reader = open_reader(model, SCRATCH / "models", device)
    tokenizer, sites = reader.loaded.processor.tokenizer, text_sites(settings.layers, len(reader.loaded.parts.blocks))
    reservoirs = Reservoirs(tokenizer, settings.contexts, np.random.default_rng(params.seed()))
    blocks = sampled_blocks(reservoirs, corpus, BLOCK)
    indexed = index_corpus(
        TextReader(reader, sites), corpus, blocks, set(reservoirs.kept()), LAST, of_any_corpus,
        SCRATCH / "text_index" / of_any_corpus, images_per_shard(),
    )  # fmt: skip

    with whole_folder(INDEX) as unfinished:
        write_index(unfinished, indexed, corpus, tokenizer, sites, settings.storage, made_by)
    full = full_blocks(indexed, blocks, len(corpus) // BLOCK)
    if full:  # else there is nothing in it that the next run could use
        text_index.keep(LAST, INDEX, sites, indexed.contexts, full, indexed.made_by)
    shutil.rmtree(SCRATCH / "text_index", ignore_errors=True)  # what other settings left there too


if __name__ == "__main__":
    run(main)
