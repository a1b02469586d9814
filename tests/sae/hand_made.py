"""Autoencoders whose weights are set by hand, so that what they must do is known."""

import torch
from jaxtyping import Float
from sae_lens import StandardSAE, StandardSAEConfig
from torch import Tensor


def hand_made(encoder: Float[Tensor, "width features"], decoder: Float[Tensor, "features width"]) -> StandardSAE:
    """ReLU features of the vectors times `encoder`, given back by `decoder`, without biases."""
    width, features = encoder.shape
    autoencoder = StandardSAE(StandardSAEConfig(d_in=width, d_sae=features, apply_b_dec_to_input=False))
    with torch.no_grad():
        autoencoder.W_enc.copy_(encoder)
        autoencoder.W_dec.copy_(decoder)
        autoencoder.b_enc.zero_()
        autoencoder.b_dec.zero_()
    return autoencoder


def identity(width: int) -> StandardSAE:
    """Two features a dimension, one for either sign: gives everything back."""
    both = torch.cat([torch.eye(width), -torch.eye(width)], dim=1)
    return hand_made(both, both.T)


def nothing(width: int) -> StandardSAE:
    """Gives zeros back."""
    return hand_made(torch.eye(width), torch.zeros(width, width))
