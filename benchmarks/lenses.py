"""What the lenses cost with a model: the text index, image tokens at every layer, and the search of each lens.

    python -m benchmarks.lenses                                    # the miniature
    python -m benchmarks.lenses --model llava-1-5-7b-shape --keep  # LLaVA-1.5-7B's shape, random weights, NF4; a GPU

All through the code of the stages. The index is that of the corpus in `params.yaml`, of as many phrases as asked for.
Reading patches is compared with the same prompts run bare, in turns. The searches look for patches of noise, LatentLens
in random vectors at every published text layer (`benchmarks/lens_search.py` has one large layer beside other searches).
Operations are counted on a copy of the model without weights, two for each multiply-add.
"""

import argparse
import logging
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from transformers import BatchFeature

from benchmarks.extract import SCRATCH, entry_of, matrix_product_rate, model_operations
from benchmarks.machine import describe, keep
from benchmarks.timing import peak_gib, timed
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.core.shards import Shard
from signbridge.core.sweeps import QuestionsParams
from signbridge.lenses import stored_vectors
from signbridge.lenses.contexts import Reservoirs, sampled_blocks
from signbridge.lenses.lens import (
    LOGIT_ROWS,
    embedding_lens,
    latent_lens,
    lens_rows,
    logit_lens,
    numbered,
    vocabulary_table,
)
from signbridge.lenses.patches import patch_tokens
from signbridge.lenses.stored_vectors import StoredVectors, TextIndex
from signbridge.lenses.text_index import TextIndexParams, index_corpus, text_sites, write_index
from signbridge.vlm.extraction import IMAGES_PER_SHARD, Reader, Work, in_batches
from signbridge.vlm.loading import (
    LoadedModel,
    device_from_environment,
    expand_nf4,
    load,
)
from signbridge.vlm.residual import decoder_sites
from signbridge.vlm.text import phrases

T = TypeVar("T")
PATCHES, K, TURNS = 49, 5, 8  # the first turn is not counted
MEMORY = 2**30  # of the search
BLOCK = 2**16  # phrases, as the stage has it


def bare(reader: Reader) -> Work:
    """The same prompts through the same batches, and nothing read."""

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        reader.loaded.model(**reader.to_device(inputs), use_cache=False, logits_to_keep=1)
        return Shard({}, [""] * keep)

    return Work(read, reader.prepare, in_batches, fills=True)


def main() -> None:
    """Measure and print; with --keep also append to the results."""
    arguments = _arguments()
    logging.getLogger("signbridge").setLevel(logging.WARNING)
    device = device_from_environment()
    entry = entry_of(arguments.model)
    loaded = load(entry, SCRATCH, device)
    if entry.quantization == "nf4":
        loaded = expand_nf4(loaded, entry.dequantize)
    reader = Reader(loaded, entry.prompt, 1, arguments.batch_size)
    reader.read(_noise(1))  # warm-up
    rate = matrix_product_rate(loaded.model.dtype, device)
    lines = [
        f"model {arguments.model}, {loaded.model.dtype}, batches of {reader.batch_size}, {describe()}",
        f"{'matrix products':<30}{rate / 1e9:9.0f} GFLOP/s on this machine",
        *_text_index(reader, arguments.phrases, rate),
        *_patches(reader, arguments.images),
        *_searches(loaded, arguments.images, arguments.rows),
        f"{'peak, with all of the above':<30}{peak_gib(device):9.2f} GiB of {'GPU ' * (device.type == 'cuda')}memory",
    ]
    print("\n".join(lines))
    if arguments.keep:
        keep("lenses", lines)


def _text_index(reader: Reader, count: int, rate: float) -> list[str]:
    """Contexts drawn, phrases read at every published text layer, and the index written."""
    settings = params.section("text_index", TextIndexParams, params.LENSES)
    of_corpus = params.section("questions", QuestionsParams)
    corpus = phrases(of_corpus.corpus, of_corpus.templates)[:count]
    loaded, tokenizer = reader.loaded, reader.loaded.processor.tokenizer
    sites = text_sites("published", len(loaded.parts.blocks))
    start = time.perf_counter()
    reservoirs = Reservoirs(tokenizer, settings.contexts, np.random.default_rng(0))
    blocks = sampled_blocks(reservoirs, corpus, BLOCK)
    drawn = time.perf_counter() - start
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        kept = set(reservoirs.kept())
        seconds, indexed = timed(
            loaded.device,
            lambda: index_corpus(reader, sites, corpus, blocks, kept, folder / "last", "", folder, IMAGES_PER_SHARD),
        )
        written, _ = timed(
            loaded.device,
            lambda: write_index(folder / "index", indexed, corpus, tokenizer, sites, settings.storage, {}),
        )
        size = sum(path.stat().st_size for path in (folder / "index").iterdir())
    sentences = [sentence for parts in indexed.parts for part in parts for sentence in part.sentences]
    tokens = sum(len(tokenizer(corpus[sentence])["input_ids"]) for sentence in sentences)
    _, of_token = model_operations(loaded, reader.prompt)
    of_token -= 2 * loaded.model.get_output_embeddings().weight.shape[0] * _width(loaded)  # no logits of all tokens
    return [
        f"{'text index: contexts drawn':<30}{len(corpus) / drawn:9.0f} phrases/s   ({len(corpus)} phrases)",
        f"{'text index: read':<30}{tokens / seconds:9.0f} tokens/s   ({len(sentences)} phrases, {tokens} tokens, "
        f"{len(sites)} layers)",
        f"{'  share of matrix products':<30}{tokens * of_token / seconds / rate:9.2f} "
        f"({of_token / 1e9:.2f} GFLOP a token)",
        f"{'text index: written':<30}{len(indexed.contexts) * len(sites) / written:9.0f} vectors/s   "
        f"({len(indexed.contexts)} contexts, {size / 2**20:.1f} MiB)",
    ]


def _patches(reader: Reader, images: int) -> list[str]:
    """The same images bare and with their patches read at every layer, in turns."""
    sites = decoder_sites(reader.loaded.parts)
    ways = [bare(reader), patch_tokens(reader, sites, PATCHES)]
    noise = _noise(images)
    device = reader.loaded.device
    times = [[timed(device, lambda way=way: reader.read(noise, way))[0] for way in ways] for _ in range(TURNS)]
    plain, reading = (statistics.median(of_way) for of_way in zip(*times[1:], strict=True))
    ratio = statistics.median(reading / plain for plain, reading in times[1:])
    return [
        f"{'prompts, bare':<30}{images / plain:9.2f} images/s   ({images} images)",
        f"{'patches read at all layers':<30}{images / reading:9.2f} images/s   {ratio:.3f} times a bare prompt's time "
        f"({PATCHES} patches, {len(sites)} layers)",
    ]


def _searches(loaded: LoadedModel, images: int, rows: int) -> list[str]:
    """Each lens's search for the patches of one layer, and the table of all three."""
    device, model = loaded.device, loaded.model
    generator = torch.Generator(device).manual_seed(0)
    patches = torch.randn(images * PATCHES, _width(loaded), generator=generator, device=device).to(model.dtype)
    embeddings, unembedding = model.get_input_embeddings().weight, model.get_output_embeddings()
    vocabulary = vocabulary_table(loaded.processor.tokenizer, len(embeddings))
    word = numbered(vocabulary["word"])
    with tempfile.TemporaryDirectory() as folder:
        index = _index(Path(folder), text_sites("published", len(loaded.parts.blocks)), rows, _width(loaded))
        found = latent_lens(patches, index, K, MEMORY)
        searched = sum(vectors.rows for vectors in index.vectors.values())
        work = {
            f"EmbeddingLens ({len(embeddings)} tokens)": lambda: embedding_lens(patches, embeddings, word, K),
            f"LogitLens ({len(embeddings)} tokens)": lambda: [
                logit_lens(part, loaded.parts, unembedding, word, K) for part in patches.split(LOGIT_ROWS)
            ],
            f"LatentLens ({searched} vectors)": lambda: latent_lens(patches, index, K, MEMORY),
            "two lenses, and the table": lambda: lens_rows(
                patches, list(map(str, range(images))), np.arange(PATCHES), "layer", loaded, vocabulary, index, found, K
            ),
        }  # fmt: skip
        return [f"{name:<30}{len(patches) / _best(device, call):9.0f} patches/s" for name, call in work.items()]


def _index(folder: Path, sites: list[str], rows: int, width: int) -> TextIndex:
    """Random vectors, as many at every text layer."""

    def batches() -> Iterator[np.ndarray]:
        generator = np.random.default_rng(0)
        for start in range(0, rows, 4096):
            yield generator.standard_normal((min(4096, rows - start), width), np.float32)

    for site in sites:
        stored_vectors.write(folder / site, batches(), rows, width, "float8")
    said = pd.DataFrame({"token": "t", "sentence": "A word.", "start": 2, "end": 6}, index=range(rows))
    said["word"] = [f"word{row // 20}" for row in range(rows)]  # of 20 contexts each
    return TextIndex(said, {site: StoredVectors.open(folder / site) for site in sites})


def _noise(images: int) -> list[Image.Image]:
    pixels = np.random.default_rng(0).integers(0, 256, (images, 28, 28), dtype=np.uint8)
    return [Image.fromarray(array).convert("RGB") for array in pixels]


def _width(loaded: LoadedModel) -> int:
    return loaded.model.config.get_text_config().hidden_size


def _best(device: torch.device, work: Callable[[], object]) -> float:
    """Seconds of the best of several, as for the matrix products: short calls wait for whatever else runs."""
    return min(timed(device, work)[0] for _ in range(2 * TURNS))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", default="miniature", help="of models.yaml, or llava-1-5-7b-shape")
    parser.add_argument("--batch-size", type=int, default=None, help="a power of two; found out if not given")
    parser.add_argument("--phrases", type=int, default=1024, help="of the corpus, at most")
    parser.add_argument("--images", type=int, default=128)
    parser.add_argument("--rows", type=int, default=20_000, help="random text vectors a layer")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/lenses.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
