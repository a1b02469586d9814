"""The features of every image of the sample, at the positions that probes read: what sparse probes are made of."""

from collections.abc import Mapping

import torch
from sae_lens import SAE
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.shards import Shard
from signbridge.sae.features import POSITIONS
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import reading


class FeatureReader(Reader):
    """Reads images as a `Reader` does; the arrays of a shard are by `site.position`, images x features.

    `prompt_last` has the features of the last token of the prompt, `image_mean` the mean over image tokens of the
    features of each: not the features of the mean, as an encoder is not linear. By `site.position.stream` there are the
    stream itself at the last token and its mean, images x width. The answers are the token that follows the prompt.
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
                at_image = [stream[row, is_image[row]].float() for row in range(keep)]
                last = stream[:keep, -1].float()
                means = [encode(vectors).mean(0) for vectors in at_image]
                read = (encode(last), last), (torch.stack(means), torch.stack([v.mean(0) for v in at_image]))
                for position, (rows, vectors) in zip(POSITIONS, read, strict=True):
                    features[f"{site}.{position}"] = rows.cpu().numpy()
                    features[f"{site}.{position}.stream"] = vectors.cpu().numpy()

        with reading(self.loaded.parts, keep_features):
            logits = model(**inputs, use_cache=False, logits_to_keep=1).logits[:keep, -1]
        said = self.loaded.processor.tokenizer.batch_decode(logits.argmax(-1)[:, None], skip_special_tokens=True)
        return Shard(features, [text.strip() for text in said], self.made_with)
