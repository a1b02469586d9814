"""The phrases whose words image tokens are compared with.

The contextual vectors of text tokens: a corpus run through the model's own decoder, without an image.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Literal, NamedTuple

import torch
from pydantic import Field
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.vlm.extraction import Reader, batches_of_one_length, stored_dtype
from signbridge.vlm.residual import reading


def phrases(path: Path | str, templates: Sequence[str]) -> list[str]:
    """The lines of the text file at `path`, each once, in order; empty ones are skipped.

    With `templates` each line is a word, and is put into every template at `{word}`. Raises `SignBridgeError` if the
    file is missing, is not UTF-8 or is empty, or a template does not hold `{word}` once.
    """
    lines = _lines(path)
    for template in templates:
        if template.count("{word}") != 1:
            raise SignBridgeError(f"params.yaml: text_index.templates: {template!r} must hold {{word}} exactly once.")
    found = [template.replace("{word}", line) for line in lines for template in templates] if templates else lines
    return list(dict.fromkeys(found))


def _lines(path: Path | str) -> list[str]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SignBridgeError(
            f"{path}: no such file. Set text_index.corpus to a text file with one phrase a line."
        ) from None
    except UnicodeDecodeError:
        raise SignBridgeError(f"{path}: not UTF-8 text. Save it as UTF-8, one phrase a line.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SignBridgeError(f"{path}: no phrase in it. It should hold one a line.")
    return lines


PUBLISHED_LAYERS = (1, 2, 4, 8, 16, 24)  # blocks that a vector has passed, beside the last two


class TextIndexParams(Section):
    """The section `text_index`."""

    contexts: int = Field(ge=1)  # of each vocabulary token, at most
    layers: Literal["published"] | list[int] = Field(min_length=1)  # decoder blocks, 0-based
    storage: Literal["float8", "float16"]


class Phrase(NamedTuple):
    """A phrase in tokens, and which of them are kept."""

    token_ids: list[int]
    positions: list[int]  # none: the phrase is read for what stands beside it in its batch


def text_sites(layers: Literal["published"] | Sequence[int], blocks: int) -> list[str]:
    """The sites at which text is read, in order of depth.

    `published` are those of LatentLens as far as the decoder reaches: after 1, 2, 4, 8, 16 and 24 blocks, and after
    the last two. Raises `SignBridgeError` for a block that is not there.
    """
    if layers == "published":
        wanted = {passed - 1 for passed in PUBLISHED_LAYERS if passed <= blocks} | {max(blocks - 2, 0), blocks - 1}
    else:
        wanted = set(layers)
        if not wanted <= set(range(blocks)):
            raise SignBridgeError(
                f"params.yaml: text_index.layers: this decoder has blocks 0 to {blocks - 1}, not {max(wanted)}."
            )
    return [layer_site(block) for block in sorted(wanted)]


class TextReader(Reader):
    """Reads `Phrase`s as a `Reader` does images; the arrays of a shard are by site, kept tokens x width."""

    def __init__(self, reader: Reader, sites: Sequence[str]):
        super().__init__(reader.loaded, reader.prompt, 1, reader.batch_size)
        self.sites = list(sites)
        self.tokenizer = reader.loaded.processor.tokenizer

    def _batches(self, phrases: list[Phrase]) -> list[list[Phrase]]:
        """Phrases of one length alone, so that none needs padding."""
        return batches_of_one_length(phrases, [len(phrase.token_ids) for phrase in phrases], self.batch_size)

    def _prepare_filled(self, batch: list[Phrase]) -> tuple[list[Phrase], BatchFeature]:
        return batch, BatchFeature({"input_ids": torch.tensor([phrase.token_ids for phrase in batch])})

    @torch.inference_mode()
    def _read_batch(self, prepared: tuple[list[Phrase], BatchFeature], keep: int) -> Shard:
        batch, inputs = prepared
        model, dtype = self.loaded.model, stored_dtype(self.loaded.model.dtype)
        places = [(row, place) for row, phrase in enumerate(batch) for place in phrase.positions]
        rows, tokens = torch.tensor(places, dtype=torch.long, device=model.device).reshape(-1, 2).T
        vectors = {}

        def keep_tokens(site: str, stream: Tensor) -> None:
            if site in self.sites:
                vectors[site] = stream[rows, tokens].to(dtype).cpu().numpy()

        with reading(self.loaded.parts, keep_tokens):
            model(**inputs.to(self.loaded.device), use_cache=False, logits_to_keep=1)
        return Shard(vectors, [""] * keep, self.made_with)
