"""Sparse autoencoders as SAELens makes, trains and stores them, and how well one reconstructs what it is given.

The vectors are scaled to one mean length for training. At the end the scale is folded into the weights, and so are the
lengths of the decoder's rows. A stored autoencoder takes the residual stream as it is, its decoder's rows have length
1, and its features are in the units of the stream.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from sae_lens import SAE
from sae_lens.config import SAETrainerConfig
from sae_lens.constants import SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME
from sae_lens.registry import get_sae_training_class
from sae_lens.saes.sae import TrainingSAE
from sae_lens.training.sae_trainer import SAETrainer
from torch import Tensor

from signbridge.core import params
from signbridge.core.errors import SignBridgeError
from signbridge.core.pipeline import how_to_get
from signbridge.sae.settings import AnyPreset, StandardPreset, features_of
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.memory import said_when_full


def variance_explained(given: Float[Tensor, "tokens width"], given_back: Float[Tensor, "tokens width"]) -> float:
    """1 - squared error / squared distance from the mean of `given`, both summed over tokens; NaN without variance."""
    deviation = (given - given.mean(0)).square().sum()
    error = (given - given_back).square().sum()
    return float(1 - error / deviation) if deviation > 0 else float("nan")


def open_autoencoders(folder: Path, sites: Sequence[str], device: torch.device) -> dict[str, SAE]:
    """The autoencoder of each of `sites`, in that order. Raises `SignBridgeError` if one is missing or does not fit."""
    for site in sites:
        for path in (folder / site / name for name in (SAE_CFG_FILENAME, SAE_WEIGHTS_FILENAME)):
            if not path.is_file():
                raise SignBridgeError(f"{path}: not there. {how_to_get(path)}")
    with said_when_full(device, "opening the autoencoders", "Free some, or train fewer `sae.layers`."):
        return {site: SAE.load_from_disk(folder / site, device=str(device)) for site in sites}


def check_fits_model(name: str, autoencoder: SAE, layer: int, loaded: LoadedModel) -> None:
    """Raises `SignBridgeError` if the decoder has no block `layer`, or a stream of another width.

    `name` is the autoencoder's entry in stages/pretrained/autoencoders.yaml.
    """
    blocks, width = len(loaded.parts.blocks), loaded.model.config.get_text_config().hidden_size
    if layer >= blocks:
        raise SignBridgeError(
            f"{params.AUTOENCODERS}: {name}.layer: this decoder has blocks 0 to {blocks - 1}, not {layer}."
        )
    if autoencoder.cfg.d_in != width:
        raise SignBridgeError(
            f"{params.AUTOENCODERS}: {name}: this autoencoder takes vectors of {autoencoder.cfg.d_in} numbers, and the "
            f"model's residual stream has {width}. It belongs to another model."
        )


def steps_of(preset: AnyPreset) -> int:
    """How many batches the preset trains on."""
    return preset.tokens // preset.batch


def new_trainer(
    site: str,
    width: int,
    mean_norm: float,
    preset: AnyPreset,
    seed: int,
    device: torch.device,
    about: dict[str, Any],
) -> SAETrainer:
    """An autoencoder of the streams at `site`, whose mean length is `mean_norm`, untrained, in SAELens's trainer.

    Its first weights depend on the site and the seed alone. `about` goes into its `cfg.json`. Raises `SignBridgeError`
    if the preset does not suit the width.
    """
    sae_class, config_class = get_sae_training_class(preset.architecture)
    config = config_class(
        d_in=width,
        d_sae=features_of(preset, width),
        normalize_activations="expected_average_only_in",
        **_of_architecture(preset),
    )
    for name, value in {**about, "site": site, "hook_name": _hook_name(site)}.items():
        config.metadata[name] = value
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int(np.random.default_rng([seed, *site.encode()]).integers(2**63)))
        sae = sae_class(config).to(device)
    trainer = SAETrainer(_trainer_config(preset, device), sae, data_provider=iter(()))
    wanted = width**0.5 if preset.mean_norm == "sqrt_width" else preset.mean_norm
    trainer.activation_scaler.scaling_factor = wanted / mean_norm
    return trainer


def finished(trainer: SAETrainer) -> TrainingSAE:
    """The autoencoder of a trainer that is done, for vectors as they are."""
    trainer.set_final_sae_metadata()
    sae, scale = trainer.sae, trainer.activation_scaler.scaling_factor
    sae.fold_activation_norm_scaling_factor(scale)
    sae.fold_W_dec_norm()
    sae.cfg.metadata.trained_at_scale = scale
    return sae.to("cpu")


def write_autoencoder(folder: Path, sae: TrainingSAE) -> None:
    """Store a finished autoencoder in `folder` for `sae_lens.SAE.load_from_disk`."""
    _, config = sae.save_inference_model(folder)
    described = json.loads(config.read_text(encoding="utf-8"))  # its keys come in another order in every process
    config.write_text(json.dumps(described, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def _of_architecture(preset: AnyPreset) -> dict[str, Any]:
    steps = steps_of(preset)
    if isinstance(preset, StandardPreset):
        # As in the recipe of Anthropic (April 2024), whose encoder has one bias only.
        ramp = round(preset.l1_ramp * steps)
        return {"l1_coefficient": preset.l1, "l1_warm_up_steps": ramp, "apply_b_dec_to_input": False}
    if preset.architecture == "batchtopk":
        # The threshold that stands for k after training is a running mean; in a short training it has to run faster.
        return {"k": float(preset.k), "topk_threshold_lr": max(0.01, min(1.0, 10 / steps))}
    return {"k": preset.k}


def _trainer_config(preset: AnyPreset, device: torch.device) -> SAETrainerConfig:
    steps = steps_of(preset)
    return SAETrainerConfig(
        total_training_samples=steps * preset.batch,
        train_batch_size_samples=preset.batch,
        lr=preset.lr,
        lr_end=preset.lr,
        lr_warm_up_steps=round(preset.warm_up * steps),
        lr_decay_steps=min(round(preset.decay * steps), steps - round(preset.warm_up * steps)),
        device=str(device),
        dead_feature_window=preset.dead_after,
        feature_sampling_window=max(1, steps // 10),  # what cfg.json says of L0 is of the last tenth
    )


def _hook_name(site: str) -> str:
    """The site as TransformerLens calls it."""
    return f"blocks.{int(site.removeprefix('layer_'))}.hook_resid_post"
