"""The text that image tokens are compared with: contextual vectors of a corpus, read through the model's own decoder.

    python -m stages.lenses.text_index

Environment as for `stages.extract`; finished shards lie in .scratch/ until the index is written. Its vectors stay there
too, as hard links: when lines are appended to the corpus, only the new ones are read. (DVC would leave an output in
place that is marked `persist`, but it keeps no run cache of such a stage.)
"""

from pathlib import Path

import numpy as np

from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.sweeps import QuestionsParams
from signbridge.core.tables import whole_folder
from signbridge.lenses.contexts import Reservoirs, sampled_blocks
from signbridge.lenses.text_index import TextIndexParams, full_blocks, index_corpus, keep, text_sites, write_index
from signbridge.vlm.model_run import SCRATCH, images_per_shard, model_run
from signbridge.vlm.text import phrases

INDEX = Path("data/lenses/text_index")
LAST = SCRATCH / "last_text_index"
BLOCK = 2**16  # phrases: the last ones of a corpus, up to as many, are read again when it grows


def main() -> None:
    """Read the corpus and `data/model_as_read.json`, write `data/lenses/text_index/`."""
    settings, seed = params.section("text_index", TextIndexParams, params.LENSES), params.seed()
    of_corpus = params.section("questions", QuestionsParams)
    corpus = phrases(of_corpus.corpus, of_corpus.templates)
    with model_run(__file__, text_index=settings.model_dump(), seed=seed) as reading:
        reader, of_any_corpus = reading.reader, reading.folder.name
        tokenizer, blocks = reader.loaded.processor.tokenizer, len(reader.loaded.parts.blocks)
        sites = text_sites(settings.layers, blocks)
        generator = np.random.default_rng(seed)
        reservoirs = Reservoirs(tokenizer, settings.contexts, generator, settings.skip, settings.prefer)
        sampled = sampled_blocks(reservoirs, corpus, BLOCK)
        indexed = index_corpus(
            reader, sites, corpus, sampled, set(reservoirs.kept()), LAST, of_any_corpus, reading.folder,
            images_per_shard(),
        )  # fmt: skip
        made_by = {**reading.made_by, "corpus": of_corpus.corpus, "templates": of_corpus.templates}
        with whole_folder(INDEX) as unfinished:
            write_index(unfinished, indexed, corpus, tokenizer, sites, settings.storage, made_by)
        full = full_blocks(indexed, sampled, len(corpus) // BLOCK)
        if full:  # else there is nothing in it that the next run could use
            keep(LAST, INDEX, sites, indexed.contexts, full, indexed.made_by)


if __name__ == "__main__":
    run(main)
