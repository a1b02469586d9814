"""What an edit does to everything else: how unlikely the model's own descriptions of images become.

Damage is the rise in negative log-likelihood, in nats a token, of the descriptions that the unedited model gives. They
are fed to the edited model as they are, so one pass covers all steps of decoding.
"""

from collections.abc import Collection
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from PIL import Image
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.names import During, ErasedAt, SteeredAt
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.branching import CleanRun, clean_run, image_span
from signbridge.vlm.extraction import Reader, in_batches
from signbridge.vlm.families.parts import with_text_behind


class Described(NamedTuple):
    """Images with their descriptions behind the prompt, read once."""

    clean: CleanRun
    tokens: Int[Tensor, "images described"]  # of the descriptions, the shorter ones filled up
    is_token: Bool[Tensor, "images described"]
    prompt_tokens: int
    image: slice  # where the image tokens stand
    unedited: Float[Tensor, "images"]  # negative log-likelihood in nats a token

    @property
    def longest(self) -> int:
        """Tokens of the longest description."""
        return self.tokens.shape[1]

    def edited(self, at: SteeredAt, during: During) -> Bool[Tensor, "tail"]:
        """Which of the tokens whose stream was kept are edited."""
        tokens = self.clean.input_ids.shape[1]
        return edited_tokens(at, during, self.image, self.prompt_tokens, tokens, self.tokens.device)[self.clean.first :]

    def damage(self, logits: Float[Tensor, "rows described vocabulary"]) -> Float[Tensor, "edits images"]:
        """The rise in negative log-likelihood, in nats a token, where edited runs gave `logits`: edit after edit."""
        return nll(logits, self.tokens, self.is_token).view(-1, len(self.unedited)) - self.unedited


def describe(reader: Reader, images: list[Image.Image]) -> list[list[int]]:
    """The tokens of the greedy description of each image, with the reader's prompt, up to the end token."""
    model, _, parts, end_tokens, device = reader.loaded
    described = []
    for batch in in_batches(images, reader.batch_size):
        inputs = reader.prepare(batch).to(device, dtype=model.dtype)
        described += read_and_answer(model, parts, inputs, reader.max_new_tokens, end_tokens).answers
    return described


def read_described(
    reader: Reader,
    images: list[Image.Image],
    descriptions: list[list[int]],
    at: SteeredAt | ErasedAt,
    sites: Collection[str],
) -> Described:
    """Feed images with their descriptions, keeping the stream at `sites` from the first token on that `at` edits."""
    inputs, fed, tokens, is_token = _with_descriptions(reader, images, descriptions)
    image, prompt_tokens = image_span(reader.loaded, inputs), inputs["input_ids"].shape[1]
    clean = clean_run(reader.loaded, fed, first_edited(at, image, prompt_tokens), tokens.shape[1], sites)
    return Described(clean, tokens, is_token, prompt_tokens, image, nll(clean.logits, tokens, is_token))


@torch.inference_mode()
def nll_of_descriptions(reader: Reader, images: list[Image.Image], descriptions: list[list[int]]) -> list[float]:
    """How unlikely the descriptions are to the reader's model under its prompt, in nats a token, image by image.

    They may be another model's, as where that one was tuned: the damage of tuning is the rise from the one to the
    other.
    """
    found: list[float] = []
    for batch in in_batches(list(zip(images, descriptions, strict=True)), reader.batch_size):
        of_images, of_texts = (list(part) for part in zip(*batch, strict=True))
        _, fed, tokens, is_token = _with_descriptions(reader, of_images, of_texts)
        logits = reader.loaded.model(**fed, use_cache=False, logits_to_keep=tokens.shape[1]).logits
        found += nll(logits, tokens, is_token).tolist()
    return found


def _with_descriptions(
    reader: Reader, images: list[Image.Image], descriptions: list[list[int]]
) -> tuple[BatchFeature, BatchFeature, Int[Tensor, "images described"], Bool[Tensor, "images described"]]:
    """The prompts alone, with the descriptions behind them, the descriptions' tokens, and which of those are some."""
    inputs = reader.to_device(reader.prepare(images))
    device, longest = inputs["input_ids"].device, max(map(len, descriptions))
    filled = [tokens + tokens[-1:] * (longest - len(tokens)) for tokens in descriptions]
    tokens = torch.tensor(filled, device=device)
    lengths = torch.tensor([len(tokens) for tokens in descriptions], device=device)
    is_token = torch.arange(longest, device=device) < lengths[:, None]
    # The last token is predicted from the one before it, so it is not fed.
    fed = BatchFeature(with_text_behind(reader.loaded.parts, inputs, tokens[:, :-1]))
    return inputs, fed, tokens, is_token


def nll(
    logits: Float[Tensor, "rows described vocabulary"],
    tokens: Int[Tensor, "images described"],
    is_token: Bool[Tensor, "images described"],
) -> Float[Tensor, "rows"]:
    """Negative log-likelihood in nats a token; row r is of image r modulo the number of images."""
    images, described = tokens.shape
    log_probabilities = logits.float().log_softmax(-1).view(-1, images, described, logits.shape[-1])
    chosen = log_probabilities.gather(-1, tokens[None, :, :, None].expand(len(log_probabilities), -1, -1, 1))[..., 0]
    return -((chosen * is_token).sum(-1) / is_token.sum(-1)).flatten()


def edited_tokens(
    at: SteeredAt, during: During, image: slice, prompt_tokens: int, tokens: int, device: torch.device
) -> Bool[Tensor, "tokens"]:
    """Which of the tokens are edited: those of the prompt that `at` names, and at every step each that is fed back.

    At the image tokens nothing is edited while decoding, since no image is fed back.
    """
    edited = torch.zeros(tokens, dtype=torch.bool, device=device)
    if at == "image":
        edited[image] = True
        return edited
    edited[prompt_tokens - 1 if at == "prompt_last" else 0 : prompt_tokens] = True
    if during == "every_step":
        edited[prompt_tokens:] = True
    return edited


def first_edited(at: SteeredAt | ErasedAt, image: slice, prompt_tokens: int) -> int:
    """The first token that is edited."""
    return {"image": image.start, "both": image.start, "prompt_last": prompt_tokens - 1, "every": 0}[at]
