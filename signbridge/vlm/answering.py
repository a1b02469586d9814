"""One prefill and one greedy answer, with every site read at every position on the way.

The answer goes on from the prefill's key-value cache, so no token is computed twice.
"""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import BatchFeature, PreTrainedModel
from transformers.cache_utils import Cache

from signbridge.vlm.families.parts import Parts, image_means, positions_behind
from signbridge.vlm.key_value_cache import roomy_cache
from signbridge.vlm.residual import decoder_sites, reading

# vectors[site][position] is batch x width
Vectors = dict[str, dict[str, Tensor]]


class Means(NamedTuple):
    """What means are taken over in a batch of prompts, by the name of the position; no two share their names."""

    tokens: Mapping[str, Bool[Tensor, "batch tokens"]]  # of the prompts, at the sites of the decoder
    # Of what goes into the projector, or comes out of it: the means, each batch x width
    features: Callable[[Float[Tensor, "*rows width"]], dict[str, Float[Tensor, "batch width"]]]


def over_images(parts: Parts, inputs: Mapping[str, Tensor]) -> Means:
    """`image_mean`, over the tokens of each prompt's image; without image tokens, none."""
    is_image = inputs["input_ids"] == parts.image_token_id
    return Means(
        {"image_mean": is_image} if is_image.any() else {},
        lambda features: {"image_mean": image_means(parts, inputs, features)},
    )


MeansOf = Callable[[Parts, Mapping[str, Tensor]], Means]  # of a batch, from what the model takes in


class Answered(NamedTuple):
    """What one batch of prompts gave."""

    vectors: Vectors  # by site and position, each batch x width; means in float32
    answers: list[list[int]]  # the new tokens of each prompt, up to and including the end token


@torch.inference_mode()
def read_and_answer(
    model: PreTrainedModel,
    parts: Parts,
    inputs: BatchFeature,
    max_new_tokens: int,
    end_tokens: list[int],
    means_of: MeansOf = over_images,
) -> Answered:
    """Read all sites of a batch of prompts (padded on the left, if at all) and answer greedily.

    `prompt_last` is the last token of the prompt, `image_mean` the mean over its image tokens, in whose place others
    may stand. `answer_last` is the last token that is *fed back* while answering: the one before the end token or, at
    the limit, before the last new token, whose own vector is never computed. An answer that ends at once feeds nothing
    back: its `answer_last` is `prompt_last`. That is what hooks left on during `generate` keep.
    """
    cache = roomy_cache(len(parts.blocks), room=max_new_tokens)
    vectors, logits = prefill(model, parts, inputs, cache, means_of)
    sites = decoder_sites(parts)
    answer_last = torch.stack([vectors[site]["prompt_last"] for site in sites])
    fed_back = torch.empty_like(answer_last)
    row_of = {site: row for row, site in enumerate(sites)}

    def keep_last(site: str, stream: Tensor) -> None:
        fed_back[row_of[site]] = stream[:, -1]

    mask, prompt = inputs.get("attention_mask"), inputs["input_ids"].shape[1]

    def step(tokens: Tensor, ended: Tensor) -> Tensor:
        nonlocal mask, answer_last
        if mask is not None:
            mask = torch.cat([mask, mask.new_ones(len(mask), 1)], dim=1)
        positions = positions_behind(inputs, cache.get_seq_length() - prompt, 1)
        fed = {"input_ids": tokens, "attention_mask": mask, **positions}
        following = _next_token_logits(model, fed, cache)
        answer_last = torch.where(ended[:, None], answer_last, fed_back)
        return following

    with reading(parts, keep_last):
        answers = greedy_answers(logits, step, max_new_tokens, end_tokens)
    for site in sites:
        vectors[site]["answer_last"] = answer_last[row_of[site]]
    return Answered(vectors, answers)


def prefill(
    model: PreTrainedModel, parts: Parts, inputs: BatchFeature, cache: Cache, means_of: MeansOf = over_images
) -> tuple[Vectors, Float[Tensor, "batch vocabulary"]]:
    """Run a batch of prompts, filling `cache`: the vectors at the prompt's positions, and the next token's logits.

    These are `prompt_last`, and the means that `means_of` names.
    """
    means = means_of(parts, inputs)
    spans = {position: _shared_span(chosen) for position, chosen in means.tokens.items()}
    vectors: Vectors = {}

    def keep(site: str, stream: Tensor) -> None:
        if site in ("vision", "projector"):
            vectors[site] = means.features(stream)
            return
        vectors[site] = {"prompt_last": stream[:, -1].clone()}
        for position, chosen in means.tokens.items():
            vectors[site][position] = _mean(stream, chosen, spans[position])

    with reading(parts, keep):
        logits = _next_token_logits(model, inputs, cache)
    return vectors, logits


def _next_token_logits(
    model: PreTrainedModel, inputs: Mapping[str, Tensor], cache: Cache
) -> Float[Tensor, "batch vocabulary"]:
    return model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=1).logits[:, -1]


def _shared_span(chosen: Bool[Tensor, "batch tokens"]) -> slice | None:
    """The one run of chosen tokens that all prompts share, if they do: then no mask is needed."""
    where = chosen[0].nonzero().flatten()
    span = slice(int(where[0]), int(where[-1]) + 1)
    whole = chosen[:, span].all() and chosen.sum() == chosen.shape[0] * (span.stop - span.start)
    return span if whole else None


def _mean(
    stream: Float[Tensor, "batch tokens width"], chosen: Bool[Tensor, "batch tokens"], span: slice | None
) -> Float[Tensor, "batch width"]:
    if span is not None:
        return stream[:, span].mean(dim=1, dtype=torch.float32)
    return torch.stack(
        [row[of_row].mean(dim=0, dtype=torch.float32) for row, of_row in zip(stream, chosen, strict=True)]
    )


def greedy_answers(
    logits: Float[Tensor, "batch vocabulary"],
    step: Callable[[Int[Tensor, "batch 1"], Bool[Tensor, "batch"]], Float[Tensor, "batch vocabulary"]],
    max_new_tokens: int,
    end_tokens: list[int],
) -> list[list[int]]:
    """The greedy answer of every row, up to and including the end token.

    `logits` are those of the first token; `step(tokens, ended)` feeds a token to every row, also to those that have
    ended, and gives the logits of the next.
    """
    ends = torch.tensor(end_tokens, dtype=torch.long, device=logits.device)  # of none, floats otherwise
    new_tokens = [logits.argmax(-1)]
    ended = torch.isin(new_tokens[-1], ends)
    while len(new_tokens) < max_new_tokens and not ended.all():
        new_tokens.append(step(new_tokens[-1][:, None], ended).argmax(-1))
        ended = ended | torch.isin(new_tokens[-1], ends)
    return _until_end(torch.stack(new_tokens, dim=1), end_tokens)


def _until_end(tokens: Tensor, end_tokens: list[int]) -> list[list[int]]:
    answers = []
    for row in tokens.tolist():
        end = next((index for index, token in enumerate(row) if token in end_tokens), len(row) - 1)
        answers.append(row[: end + 1])
    return answers
