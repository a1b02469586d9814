"""The model as a zero-shot classifier: the probability of each class as the next word of its answer.

The prompt offers the classes, and no answer is generated: one pass gives the probability of every token that could
come next, so every class has a score, whatever the model would have answered.
"""

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor
from transformers import BatchFeature, PaliGemmaProcessor, PreTrainedModel, ProcessorMixin

from signbridge.core.errors import SignBridgeError
from signbridge.core.params import Section
from signbridge.core.shards import Shard
from signbridge.vlm.extraction import Reader, Work, in_batches
from signbridge.vlm.families.parts import Parts, with_text_behind
from signbridge.vlm.prompts import located

PLACEHOLDER = "{letters}"
OFFER_LETTERS = "prompts.offer_letters"  # where the params have the study's prompt
COLUMNS = ["image_id", "label", "prompt", "letter", "log_probability"]
VECTORS = "class.log_probability"  # the name of a shard's one array: images x classes, natural logarithm


class PromptsParams(Section):
    """The section `prompts`."""

    offer_letters: str = Field(min_length=1)


def offering_prompt(template: str, classes: Sequence[str], key: str = OFFER_LETTERS) -> str:
    """`template` with `{letters}` replaced by the classes: `A, B, C or Y`.

    `-` and `_` in the name of a class are spaces; `key` is where the params have the template. Raises
    `SignBridgeError` if the placeholder is not there once.
    """
    if template.count(PLACEHOLDER) != 1:
        raise SignBridgeError(
            f"{located(key)} must hold {PLACEHOLDER} exactly once, not "
            f"{template.count(PLACEHOLDER)} times: {template!r}"
        )
    *others, last = [_spoken(name) for name in classes]
    return template.replace(PLACEHOLDER, f"{', '.join(others)} or {last}" if others else last)


def continuations(
    processor: ProcessorMixin, prompt: str, classes: Sequence[str], key: str = OFFER_LETTERS
) -> list[list[int]]:
    """The tokens that each class adds to `prompt` as its answer (`added_tokens`).

    `key` is where the params have the prompt, here with the model's own image token (`prompt_for`). Raises
    `SignBridgeError` if its tokens change where an answer follows, or if two classes are the same tokens.
    """
    added: dict[tuple[int, ...], str] = {}
    for name in classes:
        tokens = tuple(added_tokens(processor, prompt, _spoken(name), key))
        if tokens in added:
            raise SignBridgeError(
                f"classes '{added[tokens]}' and '{name}' are the same tokens to this model, so their probabilities "
                "cannot be told apart. Rename one, or leave it out of sample.classes."
            )
        added[tokens] = name
    return [list(tokens) for tokens in added]


def added_tokens(processor: ProcessorMixin, prompt: str, answer: str, key: str) -> list[int]:
    """The tokens that `answer` adds to `prompt`; `key` is where the params have the prompt.

    It follows a space, but where the prompt ends in a new line, as most chat templates do: there it begins at once.
    PaliGemma's processor ends every prompt so. Raises `SignBridgeError` if the prompt's own tokens change where the
    answer follows.
    """
    end = "\n" if isinstance(processor, PaliGemmaProcessor) else ""
    space = "" if (prompt + end)[-1:].isspace() else " "
    before = processor.tokenizer(prompt + end)["input_ids"]
    after = processor.tokenizer(prompt + end + space + answer)["input_ids"]
    if after[: len(before)] != before or len(after) == len(before):
        raise SignBridgeError(
            f"{located(key)}: this model's tokenizer joins the prompt's end {prompt[-12:]!r} "
            f"to the answer ' {answer}'. End the prompt in a mark, as in 'ASSISTANT:'."
        )
    return after[len(before) :]


@torch.inference_mode()
def class_log_probabilities(
    model: PreTrainedModel, parts: Parts, inputs: BatchFeature, classes: Sequence[Sequence[int]]
) -> Float[Tensor, "batch classes"]:
    """The natural log-probability of each class's tokens after each prompt (padded on the left, if at all).

    It is over the whole vocabulary and of the tokens themselves, whatever follows them: where the tokens of one class
    begin those of another, its probability includes the other's. One pass does for all classes whose tokens differ in
    the last only: of letters that are a token each there is one pass, and it is that of the prompt.
    """
    scores = {}
    for fed in dict.fromkeys(tuple(tokens[:-1]) for tokens in classes):
        following = _following(model, parts, inputs, fed)
        so_far = following[:, list(range(len(fed))), list(fed)].sum(dim=1)
        for tokens in classes:
            if tuple(tokens[:-1]) == fed:
                scores[tuple(tokens)] = so_far + following[:, -1, tokens[-1]]
    return torch.stack([scores[tuple(tokens)] for tokens in classes], dim=1)


def letter_scores(reader: Reader, classes: Sequence[str], key: str = OFFER_LETTERS) -> Work:
    """Of images: `class.log_probability`, images x classes, under the reader's prompt; no answer is generated.

    The answer that stands in the shards is the likeliest class. Raises `SignBridgeError` if the prompt, which the
    params have at `key`, does not fit the model's tokenizer.
    """
    tokens = continuations(reader.loaded.processor, reader.prompt, classes, key)

    def read(inputs: BatchFeature, keep: int) -> Shard:
        found = class_log_probabilities(reader.loaded.model, reader.loaded.parts, reader.to_device(inputs), tokens)
        scores = found[:keep].cpu().numpy()
        return Shard({VECTORS: scores}, [classes[best] for best in scores.argmax(axis=1)])

    return Work(read, reader.prepare, in_batches, fills=True)


def scores_table(
    sample: pd.DataFrame, prompt: str, classes: Sequence[str], scores: Float[np.ndarray, "images classes"]
) -> pd.DataFrame:
    """One row an image of `sample` and class: `COLUMNS`."""
    each = sample[["image_id", "label"]].loc[sample.index.repeat(len(classes))].reset_index(drop=True)
    return each.assign(prompt=prompt, letter=[*classes] * len(sample), log_probability=scores.reshape(-1))


def _following(
    model: PreTrainedModel, parts: Parts, inputs: BatchFeature, fed: tuple[int, ...]
) -> Float[Tensor, "batch places vocabulary"]:
    """The log-probabilities of the token after the prompt, and after each of the tokens `fed` behind it."""
    ids = inputs["input_ids"]
    behind = ids.new_tensor(fed).expand(len(ids), -1)
    logits = model(**with_text_behind(parts, inputs, behind), use_cache=False, logits_to_keep=len(fed) + 1).logits
    return logits.float().log_softmax(dim=-1)


def _spoken(name: str) -> str:
    return " ".join(re.split(r"[\s_-]+", name))
