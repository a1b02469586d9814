"""Whether an autoencoder that others trained can be read with a model at all.

What features of one autoencoder fire for each image at one place of the prompt.
"""

from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from sae_lens import SAE
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import Shard
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import reading


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


FEATURES = "features"  # the one array of a shard, images x features


class PositionReader(Reader):
    """Reads images as a `Reader` does, at one site: the answers of a shard are the tokens at the position, as text.

    A number is a token of the prompt, the first is 0; `prompt_last` is the last; `image_mean` the mean of the features
    of all image tokens, of which no token stands for the others: its text is empty.
    """

    def __init__(self, reader: Reader, site: str, autoencoder: SAE, position: int | str):
        """`autoencoder` lies on the reader's device."""
        super().__init__(reader.loaded, reader.prompt, 1, reader.batch_size)
        self.site, self.autoencoder, self.position = site, autoencoder, position

    @torch.inference_mode()
    def _read_batch(self, inputs: BatchFeature, keep: int) -> Shard:
        model = self.loaded.model
        inputs = inputs.to(self.loaded.device, dtype=model.dtype)
        token_ids = inputs["input_ids"]
        found: list[Tensor] = []

        def keep_features(site: str, stream: Tensor) -> None:
            if site == self.site:
                found.append(self._features(stream, token_ids, inputs.get("attention_mask"))[:keep])

        with reading(self.loaded.parts, keep_features):
            model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard({FEATURES: found[0].float().cpu().numpy()}, self._tokens(inputs)[:keep], self.made_with)

    def _features(
        self,
        stream: Float[Tensor, "images tokens width"],
        token_ids: Int[Tensor, "images tokens"],
        mask: Int[Tensor, "images tokens"] | None,
    ) -> Float[Tensor, "images features"]:
        if self.position == "image_mean":
            is_image: Bool[Tensor, "images tokens"] = token_ids == self.loaded.parts.image_token_id
            rows = zip(stream, is_image, strict=True)
            return torch.stack([self.autoencoder.encode(row[chosen].float()).mean(0) for row, chosen in rows])
        places = self._places(token_ids, mask)
        at_place = stream[torch.arange(len(stream), device=stream.device), places]
        return self.autoencoder.encode(at_place.float())

    def _places(
        self, token_ids: Int[Tensor, "images tokens"], mask: Int[Tensor, "images tokens"] | None
    ) -> Int[Tensor, "images"]:
        """Which token of each row, which are filled up on the left, is read."""
        tokens = token_ids.shape[1]
        lengths = token_ids.new_full((len(token_ids),), tokens) if mask is None else mask.sum(1)
        if self.position == "prompt_last":
            return torch.full_like(lengths, tokens - 1)
        shortest = int(lengths.min())
        if self.position >= shortest:
            raise SignBridgeError(
                f"params.yaml: pretrained_saes: position {self.position}: the prompt has {shortest} tokens with its "
                f"image, 0 to {shortest - 1}. Correct the entry's position or prompt."
            )
        return tokens - lengths + self.position

    def _tokens(self, inputs: BatchFeature) -> list[str]:
        if self.position == "image_mean":
            return [""] * len(inputs["input_ids"])
        places = self._places(inputs["input_ids"], inputs.get("attention_mask"))
        chosen = inputs["input_ids"].gather(1, places[:, None])[:, 0]
        return [self.loaded.processor.tokenizer.decode([token]) for token in chosen.tolist()]
