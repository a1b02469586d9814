"""What is in the stream, and what a lens sees in it, when the model is asked about a finger.

Beside the vectors that probes read, two lenses are looked through at the last token of the prompt: the logits of the
two answers if the stream ended there (LogitLens, nostalgebraist 2020), and the cosines with their embeddings
(EmbeddingLens).
"""

from typing import NamedTuple

import torch
from PIL import Image
from torch.nn.functional import cosine_similarity
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import Shard
from signbridge.planted.questions import ANSWERS, Finger, Question, Word
from signbridge.planted.settings import BEFORE_THE_QUESTION
from signbridge.vlm.answering import prefill
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.families.parts import within_softcap
from signbridge.vlm.key_value_cache import roomy_cache
from signbridge.vlm.prompts import IMAGE
from signbridge.vlm.residual import decoder_sites
from signbridge.vlm.store import stored_dtype

LENSES = ("logit", "embedding")


class Asked(NamedTuple):
    """An image and what is asked of it."""

    image: Image.Image
    prompt: str

    def __hash__(self) -> int:
        """Of what it says: images have no hash."""
        return hash((self.image.tobytes(), self.prompt))


def prompt_of(finger: Finger, word: Word, prompt: str) -> str:
    """The question in the conversation that the model's own `prompt` begins, up to its image."""
    return f"{prompt[: prompt.index(IMAGE) + len(IMAGE)]}{Question(finger, word).text}"


def answer_tokens(reader: Reader) -> tuple[int, int]:
    """The tokens of the two answers. Raises `SignBridgeError` if the tokenizer has none of its own for them."""
    tokenizer = reader.loaded.processor.tokenizer
    found = [tokenizer(f" {answer}", add_special_tokens=False)["input_ids"] for answer in ANSWERS]
    if any(len(tokens) != 1 for tokens in found):
        raise SignBridgeError(
            f"the tokenizer has no token of its own for {' and '.join(ANSWERS)}: nothing was planted."
        )
    return found[0][0], found[1][0]


def question_work(reader: Reader, lenses: bool) -> Work:
    """The work on `Asked`: every decoder site at `prompt_last`, and `BEFORE_THE_QUESTION` at `image_mean`.

    With `lenses` also `logit.SITE` and `embedding.SITE`, questions x answers, and `said`, the logits at the end.
    """
    loaded, answers = reader.loaded, list(answer_tokens(reader))
    dtype = stored_dtype(loaded.model.dtype)
    sites = decoder_sites(loaded.parts)

    @torch.inference_mode()
    def read(inputs: BatchFeature, keep: int) -> Shard:
        cache = roomy_cache(len(loaded.parts.blocks), room=0)
        vectors, logits = prefill(loaded.model, loaded.parts, reader.to_device(inputs), cache)
        found = {f"{site}.image_mean": vectors[site]["image_mean"] for site in BEFORE_THE_QUESTION}
        found |= {f"{site}.prompt_last": vectors[site]["prompt_last"] for site in sites}
        found = {name: vector.to(dtype) for name, vector in found.items()}
        if lenses:
            rows = loaded.model.get_input_embeddings().weight[answers].float()
            for site in sites:
                last = vectors[site]["prompt_last"]
                at_the_end = loaded.model.get_output_embeddings()(loaded.parts.final_norm(last))
                found[f"logit.{site}"] = within_softcap(loaded.parts, at_the_end[:, answers].float())
                found[f"embedding.{site}"] = cosine_similarity(last.float()[:, None], rows[None], dim=-1)
        said = loaded.processor.batch_decode(logits.argmax(-1)[:keep, None])
        return Shard({name: rows[:keep].cpu().numpy() for name, rows in found.items()}, [text.strip() for text in said])

    def prepare(batch: list[Asked]) -> BatchFeature:
        return reader.prepare([asked.image for asked in batch], [asked.prompt for asked in batch])

    return Work(read, prepare, in_batches, fills=True)
