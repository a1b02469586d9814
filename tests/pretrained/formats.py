"""Autoencoders in the three formats that pretrained ones lie in, and one whose features are known."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from safetensors.torch import load_file, save_file
from torch import Tensor

SCALE = 0.25  # of the vectors that the one in SAELens's format was trained on


class Weights(NamedTuple):
    """ReLU features of `stream @ encoder + encoder_bias`, given back by `features @ decoder`."""

    encoder: Float[Tensor, "width features"]
    encoder_bias: Float[Tensor, " features"]
    decoder: Float[Tensor, "features width"]


def planted(means: Float[Tensor, "classes width"], offset: float = 0.5) -> Weights:
    """One feature a class, that fires for streams near its mean alone; then one that always fires; then all the rest.

    The rest are two a dimension, one for either sign, which give everything back; those before them give nothing back.
    """
    width, centre = means.shape[1], means.mean(0)
    towards = torch.nn.functional.normalize(means - centre, dim=1).T * 1000
    at_means = means @ towards
    # Between the class's own mean and the nearest of the others'.
    own, others = at_means.diagonal(), at_means.masked_fill(torch.eye(len(means), dtype=torch.bool), -torch.inf)
    between = own + offset * (others.max(0).values - own)
    always, both = torch.zeros(width, 1), torch.cat([torch.eye(width), -torch.eye(width)], dim=1)
    encoder = torch.cat([towards, always, both], dim=1)
    bias = torch.cat([-between, torch.full((1,), 2000.0), torch.zeros(2 * width)])
    return Weights(encoder, bias, torch.cat([torch.zeros(len(means) + 1, width), both.T]))


def write_sae_lens(folder: Path, weights: Weights, layer: int) -> None:
    """As SAELens 2 stored them, before its autoencoders were rewritten; trained on vectors times `SCALE`."""
    width, features = weights.encoder.shape
    config = {
        "d_in": width, "d_sae": features, "hook_point": f"blocks.{layer}.hook_resid_post", "hook_point_layer": layer,
        "model_name": "gemma-2b", "dtype": "torch.float32", "device": "cuda", "activation_fn_str": "relu",
        "normalize_activations": "expected_average_only_in", "apply_b_dec_to_input": False, "prepend_bos": True,
        "dataset_path": "HuggingFaceFW/fineweb", "context_size": 1024, "architecture": "standard",
    }  # fmt: skip
    _write(folder, "cfg.json", config, "sae_weights.safetensors", {
        "W_enc": weights.encoder / SCALE, "b_enc": weights.encoder_bias, "W_dec": weights.decoder * SCALE,
        "b_dec": torch.zeros(width), "scaling_factor": torch.ones(features),
    })  # fmt: skip


def write_gemma_scope_2(folder: Path, weights: Weights, layer: int) -> None:
    """As Gemma Scope 2 lies on the hub: JumpReLU."""
    width, features = weights.encoder.shape
    config = {"architecture": "jump_relu", "model_name": "gemma-v3-4b-it", "width": features, "l0": 60,
              "hf_hook_point_in": f"model.layers.{layer}.output"}  # fmt: skip
    _write(folder, "config.json", config, "params.safetensors", {
        "w_enc": weights.encoder, "b_enc": weights.encoder_bias, "w_dec": weights.decoder,
        "b_dec": torch.zeros(width), "threshold": torch.full((features,), 1e-6),
    })  # fmt: skip


def write_sparsify(folder: Path, weights: Weights, layer: int) -> None:
    """As EleutherAI's sparsify stores them: top-k, of vectors less the decoder's bias, whatever they were."""
    width, features = weights.encoder.shape
    decoder_bias = torch.linspace(-0.5, 0.5, width)
    config = {"d_in": width, "num_latents": features, "expansion_factor": 32, "k": features, "signed": False,
              "normalize_decoder": True, "multi_topk": False}  # fmt: skip
    # The features that give everything back do so of vectors less the bias; the others make up for it.
    shift = decoder_bias @ weights.encoder
    shift[-2 * width :] = 0
    _write(folder / f"model.layers.{layer}", "cfg.json", config, "sae.safetensors", {
        "encoder.weight": weights.encoder.T, "encoder.bias": weights.encoder_bias + shift, "W_dec": weights.decoder,
        "b_dec": decoder_bias,
    })  # fmt: skip


WRITERS: dict[str, Callable[[Path, Weights, int], None]] = {
    "sae_lens": write_sae_lens,
    "gemma_scope_2": write_gemma_scope_2,
    "sparsify": write_sparsify,
}


def folder_entry(folder: Path, format: str, layer: int) -> dict[str, object]:
    """What an entry of autoencoders.yaml says of where such an autoencoder lies."""
    inside = folder / f"model.layers.{layer}" if format == "sparsify" else folder
    scale = SCALE if format == "sae_lens" else None
    return {"source": "folder", "path": str(inside), "format": format, "norm_scaling_factor": scale, "layer": layer}


def load_weights(path: Path) -> dict[str, Tensor]:
    """The tensors of a file."""
    return load_file(path)


def save_weights(path: Path, weights: dict[str, Tensor]) -> None:
    """Write the tensors to a file."""
    save_file({name: tensor.contiguous() for name, tensor in weights.items()}, path)


def _write(folder: Path, config_name: str, config: dict, weights_name: str, weights: dict[str, Tensor]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / config_name).write_text(json.dumps(config), encoding="utf-8")
    save_weights(folder / weights_name, weights)
