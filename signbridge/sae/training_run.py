"""The training of a study's autoencoders, from the model to their files. Imports SAELens, which takes long."""

import hashlib
from pathlib import Path
from typing import Any

import torch

from signbridge.core import tables
from signbridge.sae.autoencoders import write_autoencoder
from signbridge.sae.settings import sae_sites
from signbridge.sae.study_training import StudyTraining, image_passages
from signbridge.sae.token_stream import ModelTokens, Passage, ShuffledTokens, TokenReader
from signbridge.sae.training import Checkpoints, train
from signbridge.vlm.extraction import Reader

SECONDS_BETWEEN_CHECKPOINTS = 120  # lost at most, and many times what it takes to write one
TRAINING = "training.parquet"
_WEIGHTS = "sae_weights.safetensors"  # as SAELens calls them


def train_and_write(
    training: StudyTraining, reader: Reader, folder: Path, scratch: Path, device: torch.device, made_by: dict[str, Any]
) -> list[str]:
    """Train an autoencoder of each chosen site, and store them and their log in `folder`; the sites, in order of depth.

    The log's metadata say which weights came of it, so that nothing read with others is taken for read with these.
    Training that was interrupted goes on from what lies in `scratch`. Raises `SignBridgeError` if the model has not
    the layers, or the images cannot be read under the prompts.
    """
    settings, preset, seed = training.settings, training.preset, training.seed
    sites = sae_sites(settings.layers, len(reader.loaded.parts.blocks))
    images = image_passages(training, reader.loaded.processor.image_token)
    texts = [Passage(text) for text in training.corpus]
    source = ModelTokens(TokenReader(reader, sites), images, texts, settings.text_share, seed)
    trained = train(
        ShuffledTokens(source, preset.buffer, preset.batch, seed), preset, seed, device,
        {"model_name": made_by["model"]["name"]}, Checkpoints(scratch, SECONDS_BETWEEN_CHECKPOINTS),
    )  # fmt: skip
    for site, autoencoder in trained.autoencoders.items():
        write_autoencoder(folder / site, autoencoder)
    weights = {site: hashlib.sha256((folder / site / _WEIGHTS).read_bytes()).hexdigest() for site in sites}
    log_made_by = {**made_by, "sites": sites, "read": source.position, "weights_sha256": weights}
    tables.write(trained.log, folder / TRAINING, log_made_by)
    return sites
