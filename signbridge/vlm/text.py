"""Text without an image: the phrases of a corpus, and the vectors of their tokens in the model's own decoder."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError, place_tried
from signbridge.core.shards import Shard
from signbridge.vlm.extraction import Reader, Work
from signbridge.vlm.residual import reading_up_to
from signbridge.vlm.store import stored_dtype
from signbridge.vlm.work_list import batches_of_one_length


class Phrase(NamedTuple):
    """A phrase in tokens, and which of them are kept."""

    token_ids: list[int]
    positions: list[int]  # none: the phrase is read only because its batch holds it


def phrases(corpus: Path | str, templates: Sequence[str]) -> list[str]:
    """The lines of the text file `corpus`, each once, in order; empty lines are skipped.

    With `templates` each line is a word, and is put into every template at `{word}`. Raises `SignBridgeError` if the
    file is missing, is not UTF-8 or is empty, or if a template does not hold `{word}` once.
    """
    lines = _lines(corpus)
    for template in templates:
        if template.count("{word}") != 1:
            raise SignBridgeError(f"params.yaml: questions.templates: {template!r} must hold {{word}} exactly once.")
    found = [template.replace("{word}", line) for line in lines for template in templates] if templates else lines
    return list(dict.fromkeys(found))


def _lines(path: Path | str) -> list[str]:
    try:
        text = Path(path).expanduser().read_text(encoding="utf-8")
    except FileNotFoundError:
        raise SignBridgeError(
            f"{path}: no such file. Set questions.corpus in params.yaml to a text file with one phrase a line."
            f"{place_tried(path)}"
        ) from None
    except UnicodeDecodeError:
        raise SignBridgeError(f"{path}: not UTF-8 text. Save it as UTF-8, one phrase a line.") from None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    if not lines:
        raise SignBridgeError(f"{path}: no phrase in it. It should hold one a line.")
    return lines


def text_tokens(reader: Reader, sites: Sequence[str]) -> Work:
    """Of `Phrase`s: the vectors of the kept tokens by site, kept tokens x width, in the order of phrases.

    Only phrases of one length are read together, so none needs padding.
    """
    model, parts = reader.loaded.model, reader.loaded.parts
    dtype = stored_dtype(model.dtype)

    def batches(items: list[Phrase], most: int) -> list[list[Phrase]]:
        return batches_of_one_length(items, [len(phrase.token_ids) for phrase in items], most)

    def prepare(batch: list[Phrase]) -> tuple[list[Phrase], BatchFeature]:
        return batch, BatchFeature({"input_ids": torch.tensor([phrase.token_ids for phrase in batch])})

    @torch.inference_mode()
    def read(prepared: tuple[list[Phrase], BatchFeature], keep: int) -> Shard:
        batch, inputs = prepared
        places = [(row, place) for row, phrase in enumerate(batch) for place in phrase.positions]
        rows, tokens = torch.tensor(places, dtype=torch.long, device=model.device).reshape(-1, 2).T
        vectors = {}

        def keep_tokens(site: str, stream: Tensor) -> None:
            vectors[site] = stream[rows, tokens].to(dtype).cpu().numpy()

        with reading_up_to(parts, sites, keep_tokens):
            model(**inputs.to(reader.loaded.device), use_cache=False, logits_to_keep=1)
        return Shard(vectors, [""] * keep)

    return Work(read, prepare, batches)
