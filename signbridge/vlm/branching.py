"""Runs that leave a clean run at a site: blocks below the site are run once, tokens before the first edited one never.

A decoder is causal, so an edit of the residual stream at one site and from one token on changes neither the blocks
below the site nor the tokens before it. A branch therefore starts from what a clean run keeps: the keys and values of
the tokens before, and the stream of the tokens from there on at the site where it leaves. In one walk up the blocks
the branches of all sites join the batch, each where it leaves.

Logits are computed in float32 from the stream before the final norm, whatever the model computes in: to the eight bits
of bfloat16, logits of 20 are 0.125 apart, more than some edits move them.

Where tokens see those behind them (`Parts.looks_ahead`), no stream of a token before is the clean run's: a branch that
would leave within a prompt that sees all of itself is run from its first token on, with the clean stream at the site
before the edit; within an image whose tokens see each other it is refused. Where blocks take image features on the way
(`Parts.injected`), a branch is given those of its own prompt again, since no pixels are fed.
"""

import copy
from collections import OrderedDict
from collections.abc import Collection, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from transformers import BatchFeature
from transformers.cache_utils import Cache

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.answering import greedy_answers
from signbridge.vlm.families.parts import within_softcap
from signbridge.vlm.key_value_cache import BranchedLayer, KeysValues, Scratch, roomy_cache
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.residual import (
    Edit,
    OnSite,
    decoder_sites,
    editing,
    noting_injected,
    reading,
)

WAY_OUT = (
    "Use images of one size, or leave the edits out: patching.<sweep>.pairs, steering.<sweep>.pairs and "
    "erasure.<sweep>.layers of 0."
)


class CleanRun(NamedTuple):
    """One prefill of prompts of equal length, kept to leave from."""

    input_ids: Int[Tensor, "prompts tokens"]
    keys_values: list[KeysValues]  # by block
    first: int  # the token from which the streams were kept
    streams: dict[str, Float[Tensor, "prompts tail width"]]  # by site of the decoder, tokens from `first` on
    logits: Float[Tensor, "prompts kept vocabulary"]  # at the last `kept` tokens
    token_types: Int[Tensor, "prompts tokens"] | None = None  # where tokens see ahead, which those are
    positions: Int[Tensor, "3 1 tokens"] | None = None  # of every prompt, where the model does not count them itself
    added: Mapping[str, Float[Tensor, "prompts tail width"]] = MappingProxyType({})  # image features, by site

    def of(self, prompts: Tensor | slice) -> "CleanRun":
        """The run of some of its prompts."""
        return CleanRun(
            self.input_ids[prompts],
            [(keys[prompts], values[prompts]) for keys, values in self.keys_values],
            self.first,
            {site: stream[prompts] for site, stream in self.streams.items()},
            self.logits[prompts],
            None if self.token_types is None else self.token_types[prompts],
            self.positions,
            {site: features[prompts] for site, features in self.added.items()},
        )

    def tail(self, site: str, start: int) -> Float[Tensor, "prompts tail width"]:
        """The stream at `site` from token `start` on."""
        return self.streams[site][:, start - self.first :]


def image_span(loaded: LoadedModel, inputs: BatchFeature) -> slice:
    """Where the image tokens stand, which all prompts share, from the first to the last.

    Markers between the rows of an image are among them. Raises `SignBridgeError` if they do not.
    """
    is_image = inputs["input_ids"] == loaded.parts.image_token_id
    where = is_image[0].nonzero().flatten()
    if not torch.equal(is_image, is_image[:1].expand_as(is_image)):
        raise SignBridgeError(f"the images take different numbers of tokens.\n{WAY_OUT}")
    return slice(int(where[0]), int(where[-1]) + 1)


class Branches(NamedTuple):
    """What came of branches: as many rows as entered, in order of the sites where they left."""

    logits: Float[Tensor, "rows kept vocabulary"]
    cache: Cache  # of every row, to go on from
    ahead: int | None = None  # the position of the next token less the number of those before it, where it is given


@torch.inference_mode()
def clean_run(
    loaded: LoadedModel, inputs: BatchFeature, first: int, kept: int = 1, sites: Collection[str] | None = None
) -> CleanRun:
    """Run prompts of equal length, keeping the stream from token `first` on and the logits of the last `kept` tokens.

    The stream is kept at `sites` of the decoder, or at all; from the first token on where a branch must start there
    (`first` of the run says so). Raises `SignBridgeError` if the prompts differ in length.
    """
    if inputs.get("attention_mask") is not None and not inputs["attention_mask"].all():
        raise SignBridgeError(f"the prompts of images that are compared differ in length.\n{WAY_OUT}")
    positions = inputs.get("position_ids")
    if positions is not None and not torch.equal(positions, positions[:, :1].expand_as(positions)):
        raise SignBridgeError(
            f"the images that are compared differ in shape, so their tokens do in position.\n{WAY_OUT}"
        )
    cache = roomy_cache(len(loaded.parts.blocks), room=0)
    *_, before_norm = decoder_sites(loaded.parts)
    first = 0 if loaded.parts.looks_ahead == "prompt" else first
    sites = set(decoder_sites(loaded.parts) if sites is None else sites)
    streams: dict[str, Tensor] = {}
    final: list[Tensor] = []
    is_image = inputs["input_ids"] == loaded.parts.image_token_id
    added: dict[str, Tensor] = {}

    def keep(site: str, stream: Tensor) -> None:
        if site in sites:
            streams[site] = stream[:, first:].clone()
        if site == before_norm:
            final.append(stream[:, -kept:])

    with reading(loaded.parts, keep), noting_injected(loaded.parts, added):
        logits = loaded.model(**inputs, past_key_values=cache, use_cache=True, logits_to_keep=kept).logits
    logits = _in_float32(loaded, final[0], logits)
    keys_values = [(layer.keys, layer.values) for layer in cache.layers]
    return CleanRun(
        inputs["input_ids"], keys_values, first, streams, logits, inputs.get("token_type_ids"),
        None if positions is None else positions[:, :1],
        {site: _at_tokens(features, is_image)[:, first:] for site, features in added.items()},
    )  # fmt: skip


def _at_tokens(
    features: Float[Tensor, "image_tokens width"], is_image: Bool[Tensor, "prompts tokens"]
) -> Float[Tensor, "prompts tokens width"]:
    """The features where their image tokens stand, zeros elsewhere."""
    all_tokens = features.new_zeros(*is_image.shape, features.shape[-1])
    all_tokens[is_image] = features
    return all_tokens


@torch.inference_mode()
def leave(
    loaded: LoadedModel,
    clean: CleanRun,
    start: int,
    entering: Mapping[str, Float[Tensor, "rows tail width"]],
    kept: int = 1,
    room: int = 0,
    on_site: OnSite | None = None,
) -> Branches:
    """Run branches that leave `clean` before token `start` with their own stream from there on.

    `entering` has the rows that leave at each site; row r of a site goes on from the prompt r modulo the number of
    prompts. `on_site` is told the stream of all rows that have left so far, in order of depth of their sites. `room`
    is how many tokens may follow (`go_on`).
    """
    *_, before_norm = decoder_sites(loaded.parts)
    sites = [site for site in decoder_sites(loaded.parts) if site in entering]
    if not sites:
        raise ValueError(f"no site of the decoder among {list(entering)}")
    asked, prompts = start, len(clean.input_ids)
    if start and loaded.parts.looks_ahead == "prompt":
        entering = {
            site: torch.cat([clean.streams[site][:, :start].repeat(len(rows) // prompts, 1, 1), rows], dim=1)
            for site, rows in entering.items()
        }
        start = 0
    more = {} if clean.token_types is None else {"token_type_ids": clean.token_types[:1]}  # of all tokens so far
    if more and start and clean.token_types[0, start - 1 : start + 1].all():
        raise ValueError(f"token {start} is within an image whose tokens before it see it as well")
    if clean.positions is not None:
        more["position_ids"] = clean.positions[:, :, start:]
    scratch = None if room else Scratch(sum(len(entering[site]) for site in sites))
    cache = Cache(layers=[BranchedLayer(clean_block, start, room, scratch) for clean_block in clean.keys_values])
    left, final = False, []

    def edit(site: str, stream: Tensor) -> Tensor:
        nonlocal left
        if left and site in clean.added:
            features = clean.added[site][:, start - clean.first :].to(stream.dtype)
            stream = stream + features.repeat(len(stream) // prompts, 1, 1)
        if site not in entering:
            return stream
        rows = entering[site].to(stream.dtype)
        # Until the first branch leaves one row walks up for the others; its keys and values are dropped.
        stream, left = (torch.cat([stream, rows]) if left else rows), True
        return stream

    def listen(site: str, stream: Tensor) -> None:
        if site == before_norm:
            final.append(stream[:, -kept:])
        if left and on_site is not None:
            on_site(site, stream[:, asked - start :])

    with editing(loaded.parts, edit, rows_may_join=True), reading(loaded.parts, listen):
        ids = clean.input_ids[:1, start:]
        logits = loaded.model(input_ids=ids, past_key_values=cache, use_cache=True, logits_to_keep=kept, **more).logits
    logits = _in_float32(loaded, final[0], logits)
    if room:
        below = 0  # rows that have left where the block begins
        for site, layer in zip(decoder_sites(loaded.parts)[:-1], cache.layers, strict=True):
            below += len(entering.get(site, ()))
            layer.settle(len(logits), below)
    ahead = None if clean.positions is None else int(clean.positions.max()) + 1 - clean.input_ids.shape[1]
    return Branches(logits, cache, ahead)


def leave_in_turn(
    loaded: LoadedModel,
    clean: CleanRun,
    start: int,
    entering: Mapping[str, Float[Tensor, "rows tail width"]],
    most: int,
    kept: int = 1,
) -> Float[Tensor, "branches kept vocabulary"]:
    """The logits that `leave` gives, of walks with at most `most` rows each (or those of one site), site after site."""
    walks: list[dict[str, Tensor]] = []
    for site in decoder_sites(loaded.parts):
        if site not in entering:
            continue
        if not walks or sum(map(len, walks[-1].values())) + len(entering[site]) > most:
            walks.append({})
        walks[-1][site] = entering[site]
    return torch.cat([leave(loaded, clean, start, walk, kept).logits for walk in walks])


VOCABULARY_ROWS = 8192  # of the unembedding that are in float32 at once: 128 MiB of LLaVA-1.5-7B's


def _in_float32(
    loaded: LoadedModel, stream: Float[Tensor, "rows kept width"], logits: Float[Tensor, "rows kept vocabulary"]
) -> Float[Tensor, "rows kept vocabulary"]:
    """The logits of `stream`, which the final norm takes in, in float32; `logits` are the model's own, in its dtype."""
    head = loaded.model.get_output_embeddings()
    if logits.dtype == torch.float32:
        return logits
    norm = copy.copy(loaded.parts.final_norm)  # other threads are reading through the model's own
    norm._parameters = {name: weight.float() for name, weight in loaded.parts.final_norm.named_parameters()}
    norm._forward_pre_hooks = OrderedDict()
    normed = norm(stream.float())
    if not head.weight.is_floating_point():  # packed, by whoever saved the model
        found = head(normed.to(logits.dtype)).float()
    else:
        found = torch.cat([normed @ rows.float().T for rows in head.weight.split(VOCABULARY_ROWS)], dim=-1)
        found = found if head.bias is None else found + head.bias.float()
    return within_softcap(loaded.parts, found)


@torch.inference_mode()
def go_on(
    loaded: LoadedModel, branches: Branches, tokens: Int[Tensor, "rows tokens"], edit: Edit | None = None
) -> Float[Tensor, "rows tokens vocabulary"]:
    """Feed `tokens` behind every row of settled branches; `edit` is made at each site on the way."""
    more = {}
    if branches.ahead is not None:
        next_one = branches.cache.get_seq_length() + branches.ahead
        of_each = torch.arange(next_one, next_one + tokens.shape[1], device=tokens.device)
        more["position_ids"] = of_each.expand(3, 1, -1)
    with editing(loaded.parts, edit or (lambda site, stream: stream)):
        return loaded.model(input_ids=tokens, past_key_values=branches.cache, use_cache=True, **more).logits


@torch.inference_mode()
def answer_greedily(
    loaded: LoadedModel, branches: Branches, max_new_tokens: int, edit: Edit | None = None
) -> list[list[int]]:
    """The greedy answer of every row, up to and including the end token; `edit` is made at each step."""

    def step(tokens: Tensor, _: Tensor) -> Tensor:
        return go_on(loaded, branches, tokens, edit)[:, -1]

    return greedy_answers(branches.logits[:, -1], step, max_new_tokens, loaded.end_tokens)


def answer_probability(
    loaded: LoadedModel, branches: Branches, answer: Sequence[int], edit: Edit | None = None
) -> Float[Tensor, "rows"]:
    """The probability that each row goes on with the tokens of `answer`, whatever follows them."""
    log_probability = branches.logits[:, -1:].float().log_softmax(-1)
    if len(answer) > 1:
        fed = torch.tensor(answer[:-1], device=branches.logits.device).expand(len(branches.logits), -1)
        rest = go_on(loaded, branches, fed, edit).float().log_softmax(-1)
        log_probability = torch.cat([log_probability, rest], dim=1)
    places = torch.arange(len(answer), device=log_probability.device)
    return log_probability[:, places, list(answer)].sum(-1).exp()


def rewind(branches: Branches, tokens: int) -> None:
    """Forget what was fed behind the first `tokens`."""
    for layer in branches.cache.layers:
        layer.length = tokens
