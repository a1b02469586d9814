"""The features of every image of the sample, at the positions that probes read: what sparse probes are made of."""

from collections.abc import Mapping

import torch
from sae_lens import SAE
from torch import Tensor
from transformers import BatchFeature

from signbridge.extraction import Reader
from signbridge.sae.feature_tables import POSITIONS
from signbridge.shards import Shard
from signbridge.vlm.residual import reading


class FeatureReader(Reader):
    """Reads images as a `Reader` does; the arrays of a shard are by `site.position`, images x features.

    `prompt_last` has the features of the last token of the prompt, `image_mean` the mean over image tokens of the
    features of each: not the features of the mean, as an encoder is not linear.
    """

    def __init__(self, reader: Reader, autoencoders: Mapping[str, SAE]):
        """`autoencoders` are by site, in order of depth, on the reader's device."""
        super().__init__(reader.loaded, reader.prompt, 1, reader.batch_size)
        self.autoencoders = autoencoders

    @torch.inference_mode()
    def _read_batch(self, inputs: BatchFeature, keep: int) -> Shard:
        model = self.loaded.model
        inputs = inputs.to(self.loaded.device, dtype=model.dtype)
        is_image = inputs["input_ids"] == self.loaded.parts.image_token_id
        features = {}

        def keep_features(site: str, stream: Tensor) -> None:
            if site in self.autoencoders:
                encode = self.autoencoders[site].encode
                last = encode(stream[:keep, -1].float())
                means = [encode(stream[row, is_image[row]].float()).mean(0) for row in range(keep)]
                for position, rows in zip(POSITIONS, (last, torch.stack(means)), strict=True):
                    features[f"{site}.{position}"] = rows.cpu().numpy()

        with reading(self.loaded.parts, keep_features):
            model(**inputs, use_cache=False, logits_to_keep=1)
        return Shard(features, [""] * keep, self.made_with)
