"""Whether an autoencoder that others trained can be read with a model at all."""

from collections.abc import Sequence

from PIL import Image
from sae_lens import SAE

from signbridge.errors import SignBridgeError
from signbridge.vlm.loading import LoadedModel


def check_fits_model(name: str, autoencoder: SAE, layer: int, loaded: LoadedModel) -> None:
    """Raises `SignBridgeError` if the decoder has no block `layer`, or its stream another width."""
    blocks, width = len(loaded.parts.blocks), loaded.model.config.get_text_config().hidden_size
    if layer >= blocks:
        raise SignBridgeError(
            f"params.yaml: pretrained_saes.{name}.layer: this decoder has blocks 0 to {blocks - 1}, not {layer}."
        )
    if autoencoder.cfg.d_in != width:
        raise SignBridgeError(
            f"pretrained_saes.{name}: this autoencoder takes vectors of {autoencoder.cfg.d_in} numbers, and the "
            f"model's residual stream has {width}. It belongs to another model."
        )


def read_together(images: Sequence[Image.Image], most: int) -> int:
    """How many images may be read together where prompts must not differ in length: images of one size do not."""
    return most if len({image.size for image in images}) == 1 else 1
