"""Sparse autoencoders of the residual stream of image and text tokens, trained as they are read from the model.

    python -m stages.sae

Environment as for `stages.extract`; interrupted training goes on from what lies in .scratch/.
"""

import hashlib
import shutil
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from signbridge import params, tables
from signbridge.command_line import run
from signbridge.errors import SignBridgeError
from signbridge.extraction_run import fingerprint, open_reader, read_with
from signbridge.lenses.true_words import true_words
from signbridge.sae.sae_lens_installed import require_sae_lens
from signbridge.sae.settings import (
    SaeParams,
    check_buffer,
    chosen_preset,
    prompts_of_images,
    sae_sites,
)
from signbridge.sae.token_reading import Passage, TokenReader
from signbridge.sae.token_stream import ModelTokens, ShuffledTokens
from signbridge.text_index.corpus import phrases
from signbridge.text_index.reading import TextIndexParams
from signbridge.vlm.loading import ModelParams, device_from_environment
from signbridge.whole_folder import whole_folder

IMAGES = Path("data/images.parquet")
MODEL = Path("data/model.json")
SAES = Path("data/sae")
SCRATCH = Path(".scratch")
SECONDS_BETWEEN_CHECKPOINTS = 120  # lost at most, and many times what it takes to write one


def main() -> None:
    """Read `data/images.parquet`, the corpus and `data/model.json`, write `data/sae/`."""
    require_sae_lens()
    name, model = params.selected("model", "models", ModelParams)
    settings = params.section("sae", SaeParams)
    preset = chosen_preset(settings.preset)
    check_buffer(settings.buffer, preset)
    text_index, seed = params.section("text_index", TextIndexParams), params.seed()
    corpus = phrases(text_index.corpus, text_index.templates)
    from signbridge.sae.autoencoders import write_autoencoder  # these import SAELens, which takes long
    from signbridge.sae.checkpoints import Checkpoints
    from signbridge.sae.training import train

    device = device_from_environment()
    made_by = {
        **read_with(name, model, MODEL), "sae": settings.model_dump(), "preset": preset.model_dump(), "seed": seed,
        "images_sha256": hashlib.sha256(IMAGES.read_bytes()).hexdigest(),
        "corpus_sha256": hashlib.sha256("\n".join(corpus).encode()).hexdigest(),
    }  # fmt: skip
    folder = SCRATCH / "sae" / fingerprint(made_by, device, __file__)
    reader = open_reader(model, SCRATCH / "models", device)
    sites = sae_sites(settings.layers, len(reader.loaded.parts.blocks))
    images = image_passages(tables.read(IMAGES), settings.prompts, model.prompt, reader.loaded.processor.image_token)
    source = ModelTokens(
        TokenReader(reader, sites), images, [Passage(text) for text in corpus], settings.text_share, seed
    )
    trained = train(
        ShuffledTokens(source, settings.buffer, preset.batch, seed), preset, seed, device, {"model_name": name},
        Checkpoints(folder, SECONDS_BETWEEN_CHECKPOINTS),
    )  # fmt: skip

    with whole_folder(SAES) as unfinished:
        for site, autoencoder in trained.autoencoders.items():
            write_autoencoder(unfinished / site, autoencoder)
        tables.write(trained.log, unfinished / "training.parquet", {**made_by, "sites": sites, "read": source.position})
    shutil.rmtree(SCRATCH / "sae", ignore_errors=True)  # what other settings left there too


def image_passages(images: pd.DataFrame, prompts: Sequence[str], own: str, image_token: str) -> list[Passage]:
    """Every image under every prompt that it can be read under."""
    ids, labels = images["image_id"].tolist(), images["label"].tolist()
    words = true_words(ids, labels, tables.made_by(IMAGES))
    texts = prompts_of_images(prompts, own, image_token, labels, [words.get(image_id) for image_id in ids])
    found = [Passage(text, png) for of_image, png in zip(texts, images["image"], strict=True) for text in of_image]
    if not found:
        raise SignBridgeError(
            "params.yaml: sae.prompts: all of them have {words}, which are not known of any image here. Add own."
        )
    return found


if __name__ == "__main__":
    run(main)
