"""Branches of a clean run, held to whole passes over the prompt under the same edit."""

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.branching import (
    answer_greedily,
    clean_run,
    go_on,
    leave,
    rewind,
)
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import decoder_sites, editing, reading
from tests.vlm.conftest import PROMPT

KEPT = 3  # tokens whose logits are looked at
CLOSE = {"rtol": 1e-4, "atol": 1e-4}


@pytest.fixture(scope="module")
def inputs(tiny, images):
    return Reader(tiny, PROMPT, 20, batch_size=3).prepare(images[:3])


def tokens_named(tiny, inputs, where: str) -> slice:
    """The tokens that an edit named `where` touches."""
    image = (inputs["input_ids"][0] == tiny.parts.image_token_id).nonzero().flatten()
    last = inputs["input_ids"].shape[1] - 1
    return {"all": slice(0, None), "image": slice(int(image[0]), int(image[-1]) + 1), "last": slice(last, None)}[where]


def changed(stream: torch.Tensor) -> torch.Tensor:
    """Another stream, another one for each prompt's tokens and features."""
    return stream.roll(1, dims=-1) * 1.5


def edit_at(chosen: str, where: slice, change=changed):
    def edit(site, stream):
        if site != chosen:
            return stream
        stream = stream.clone()
        stream[:, where] = change(stream[:, where])
        return stream

    return edit


@torch.inference_mode()
def whole_pass(tiny, inputs, edit, kept=KEPT) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    """Logits and streams of all tokens, with nothing kept of another run."""
    streams = {}
    with editing(tiny.parts, edit), reading(tiny.parts, lambda site, stream: streams.update({site: stream.clone()})):
        return tiny.model(**inputs, use_cache=False, logits_to_keep=kept).logits, streams


def behind(inputs, tokens: torch.Tensor) -> dict[str, torch.Tensor]:
    """The prompts with `tokens` behind them."""
    return {**inputs, "input_ids": torch.cat([inputs["input_ids"], tokens], dim=1)}


def entering(clean, site: str, where: slice, change=changed) -> torch.Tensor:
    """The stream with which a branch leaves at `site`, edited at `where`."""
    stream = clean.tail(site, where.start).clone()
    stop = None if where.stop is None else where.stop - where.start
    stream[:, :stop] = change(stream[:, :stop])
    return stream


@pytest.mark.parametrize("where", ["all", "image", "last"])
def test_a_branch_with_the_clean_runs_own_stream_is_the_clean_run(tiny, inputs, where):
    start = tokens_named(tiny, inputs, where).start
    clean = clean_run(tiny, inputs, first=start, kept=KEPT if where != "last" else 1)
    kept = clean.logits.shape[1]
    branches = leave(tiny, clean, start, {site: clean.tail(site, start) for site in decoder_sites(tiny.parts)}, kept)
    for of_site in branches.logits.split(3):
        torch.testing.assert_close(of_site, clean.logits, **CLOSE)


def test_a_clean_run_is_a_plain_pass(tiny, inputs):
    clean = clean_run(tiny, inputs, first=5, kept=KEPT)
    logits, streams = whole_pass(tiny, inputs, lambda site, stream: stream)
    torch.testing.assert_close(clean.logits, logits, **CLOSE)
    assert list(clean.streams) == decoder_sites(tiny.parts)
    for site, stream in clean.streams.items():
        torch.testing.assert_close(stream, streams[site][:, 5:], **CLOSE)
        torch.testing.assert_close(clean.tail(site, 9), streams[site][:, 9:], **CLOSE)


@pytest.mark.parametrize("where", ["all", "image", "last"])
def test_branches_are_whole_passes_under_the_same_edit_at_every_site(tiny, inputs, where):
    """They leave at all sites at once, so none disturbs another."""
    at, sites = tokens_named(tiny, inputs, where), decoder_sites(tiny.parts)
    clean = clean_run(tiny, inputs, first=at.start)
    kept = 1 if where == "last" else KEPT
    branches = leave(tiny, clean, at.start, {site: entering(clean, site, at) for site in sites}, kept)
    for site, of_site in zip(sites, branches.logits.split(3), strict=True):
        plain, _ = whole_pass(tiny, inputs, edit_at(site, at), kept)
        torch.testing.assert_close(of_site, plain, **CLOSE)
        if not (where == "image" and site == sites[-1]):  # there no one reads the image tokens any more
            assert not torch.allclose(plain[:, -1:], clean.logits, atol=1e-2), "the edit is to do something"


def test_branches_at_several_sites_are_those_that_leave_alone(tiny, inputs):
    at, sites = tokens_named(tiny, inputs, "image"), decoder_sites(tiny.parts)[2::3]
    clean = clean_run(tiny, inputs, first=at.start)
    rows = {site: entering(clean, site, at) for site in sites}
    together = leave(tiny, clean, at.start, dict(reversed(rows.items()))).logits.split(3)
    for site, beside_others in zip(sites, together, strict=True):
        alone = leave(tiny, clean, at.start, {site: rows[site]}).logits
        torch.testing.assert_close(beside_others, alone, **CLOSE)


def test_a_row_does_not_depend_on_the_rows_beside_it(tiny, inputs):
    """Nor on whose prompt was read in the same clean run; row r goes on from prompt r modulo their number."""
    at, site = tokens_named(tiny, inputs, "last"), decoder_sites(tiny.parts)[4]
    clean = clean_run(tiny, inputs, first=at.start)
    factors = [0.5, 2.0, -1.0]
    rows = torch.cat([clean.tail(site, at.start) * factor for factor in factors])
    together = leave(tiny, clean, at.start, {site: rows}).logits.view(3, 3, 1, -1)
    for prompt in range(3):
        alone = clean.of(slice(prompt, prompt + 1))
        for number, factor in enumerate(factors):
            own = leave(tiny, alone, at.start, {site: alone.tail(site, at.start) * factor}).logits[0]
            torch.testing.assert_close(together[number, prompt], own, **CLOSE)
    assert not torch.allclose(together[0], together[1], atol=1e-2)


def test_a_run_of_prompts_in_another_order_branches_as_they_do(tiny, inputs):
    at, site, order = tokens_named(tiny, inputs, "image"), decoder_sites(tiny.parts)[3], torch.tensor([2, 0, 1])
    clean = clean_run(tiny, inputs, first=at.start)
    in_order = leave(tiny, clean, at.start, {site: entering(clean, site, at)}).logits
    other = clean.of(order)
    reordered = leave(tiny, other, at.start, {site: entering(other, site, at)}).logits
    torch.testing.assert_close(reordered, in_order[order], **CLOSE)


def test_whoever_listens_is_told_of_rows_that_left_and_of_no_others(tiny, inputs):
    at, sites = tokens_named(tiny, inputs, "image"), decoder_sites(tiny.parts)
    first, second = sites[3], sites[6]
    clean = clean_run(tiny, inputs, first=at.start)
    heard = {}
    leave(
        tiny, clean, at.start, {site: entering(clean, site, at) for site in (first, second)},
        on_site=lambda site, stream: heard.update({site: stream.clone()}),
    )  # fmt: skip
    assert list(heard) == sites[3:]
    _, of_first = whole_pass(tiny, inputs, edit_at(first, at))
    _, of_second = whole_pass(tiny, inputs, edit_at(second, at))
    for site, stream in heard.items():
        expected = [of_first[site]] if site in sites[3:6] else [of_first[site], of_second[site]]
        torch.testing.assert_close(stream, torch.cat(expected)[:, at.start :], **CLOSE)


def test_blocks_below_the_site_run_one_row_and_tokens_before_the_edit_none(tiny, inputs):
    at, sites = tokens_named(tiny, inputs, "last"), decoder_sites(tiny.parts)
    clean = clean_run(tiny, inputs, first=at.start)
    shapes = []
    handles = [
        block.self_attn.register_forward_pre_hook(
            lambda _, args, kwargs: shapes.append(tuple(kwargs["hidden_states"].shape[:2])), with_kwargs=True
        )
        for block in tiny.parts.blocks
    ]
    try:
        leave(tiny, clean, at.start, {sites[4]: clean.tail(sites[4], at.start)})
    finally:
        for handle in handles:
            handle.remove()
    assert shapes == [(1, 1)] * 4 + [(3, 1)] * (len(tiny.parts.blocks) - 4)


@torch.inference_mode()
def slow_answers(tiny, inputs, most: int, edit) -> list[list[int]]:
    """Greedy answers with a whole pass for each token."""
    ids = inputs["input_ids"]
    so_far = ids[:, :0]
    for _ in range(most):
        logits, _ = whole_pass(tiny, behind(inputs, so_far), edit, kept=1)
        so_far = torch.cat([so_far, logits[:, -1].argmax(-1, keepdim=True)], dim=1)
    answers = []
    for row in so_far.tolist():
        ends = [index for index, token in enumerate(row) if token in tiny.end_tokens]
        answers.append(row[: ends[0] + 1] if ends else row)
    return answers


@pytest.mark.parametrize("where", ["all", "image", "last"])
def test_answers_of_branches_with_the_clean_stream_are_those_of_the_model(tiny, inputs, where):
    start = tokens_named(tiny, inputs, where).start
    clean = clean_run(tiny, inputs, first=start)
    rows = {site: clean.tail(site, start) for site in decoder_sites(tiny.parts)}
    branches = leave(tiny, clean, start, rows, room=5)
    expected = read_and_answer(tiny.model, tiny.parts, inputs, 6, tiny.end_tokens).answers
    assert answer_greedily(tiny, branches, 6) == expected * len(rows)


@pytest.mark.parametrize(
    ("where", "prompts"),
    [("image", 3), *(pytest.param(*case, marks=pytest.mark.slow) for case in (("image", 1), ("last", 1), ("last", 3)))],
)
def test_answers_go_on_from_each_rows_own_keys_and_values(tiny, inputs, where, prompts):
    """Rows that leave higher up have the clean run's below; one prompt with one row a site is all there can be."""
    inputs = BatchFeature({name: tensor[:prompts] for name, tensor in inputs.items()})
    at, sites = tokens_named(tiny, inputs, where), decoder_sites(tiny.parts)
    clean = clean_run(tiny, inputs, first=at.start)
    branches = leave(tiny, clean, at.start, {site: entering(clean, site, at) for site in sites}, room=6)
    tokens = torch.arange(7, 12).repeat(prompts * len(sites), 1) + torch.arange(prompts * len(sites))[:, None]
    fed = go_on(tiny, branches, tokens)
    rewind(branches, clean.input_ids.shape[1])
    answers = answer_greedily(tiny, branches, 4)
    in_prompt = slice(at.start, at.stop or clean.input_ids.shape[1])
    for number, site in enumerate(sites):
        rows = slice(number * prompts, (number + 1) * prompts)
        plain, _ = whole_pass(tiny, behind(inputs, tokens[rows]), edit_at(site, in_prompt), kept=5)
        torch.testing.assert_close(fed[rows], plain, **CLOSE)
        if number % 3 == 0:
            assert answers[rows] == slow_answers(tiny, inputs, 4, edit_at(site, in_prompt))


def test_a_branch_may_leave_twice_from_one_prompt_and_each_goes_on_by_itself(tiny, inputs):
    at, site = tokens_named(tiny, inputs, "last"), decoder_sites(tiny.parts)[5]
    clean = clean_run(tiny, inputs, first=at.start)
    own = clean.tail(site, at.start)
    branches = leave(tiny, clean, at.start, {site: torch.cat([own, changed(own)])}, room=3)
    tokens = torch.full((6, 2), 30)
    plain = [whole_pass(tiny, behind(inputs, tokens[:3]), edit, kept=2)[0] for edit in (
        lambda site, stream: stream, edit_at(site, slice(at.start, at.start + 1)))]  # fmt: skip
    torch.testing.assert_close(go_on(tiny, branches, tokens), torch.cat(plain), **CLOSE)


def test_what_was_fed_and_rewound_leaves_no_trace(tiny, inputs):
    at, sites = tokens_named(tiny, inputs, "image"), decoder_sites(tiny.parts)[::4]
    clean = clean_run(tiny, inputs, first=at.start)

    def branches():
        return leave(tiny, clean, at.start, {site: entering(clean, site, at) for site in sites}, room=6)

    untouched, used = branches(), branches()
    go_on(tiny, used, torch.full((9, 5), 40))
    rewind(used, clean.input_ids.shape[1])
    tokens = torch.full((9, 2), 17)
    assert torch.equal(go_on(tiny, used, tokens), go_on(tiny, untouched, tokens))
    rewind(used, clean.input_ids.shape[1])
    rewind(untouched, clean.input_ids.shape[1])
    assert answer_greedily(tiny, used, 6) == answer_greedily(tiny, untouched, 6)


def test_an_edit_at_each_step_is_a_whole_pass_with_every_fed_token_edited(tiny, inputs):
    at, site = tokens_named(tiny, inputs, "last"), decoder_sites(tiny.parts)[5]
    clean = clean_run(tiny, inputs, first=at.start)
    every_step = edit_at(site, slice(at.start, None))
    change = lambda here, stream: changed(stream) if here == site else stream  # noqa: E731
    branches = leave(tiny, clean, at.start, {site: entering(clean, site, at)}, room=5)
    tokens = torch.tensor([[7, 9, 11], [30, 31, 32], [5, 6, 8]])
    plain, _ = whole_pass(tiny, behind(inputs, tokens), every_step)
    torch.testing.assert_close(go_on(tiny, branches, tokens, change), plain, **CLOSE)
    rewind(branches, clean.input_ids.shape[1])
    assert answer_greedily(tiny, branches, 4, change) == slow_answers(tiny, inputs, 4, every_step)


def test_an_answer_ends_at_its_own_end_token_while_others_go_on(tiny, inputs):
    said = read_and_answer(tiny.model, tiny.parts, inputs, 6, tiny.end_tokens).answers
    end = said[0][2]
    ending = tiny._replace(end_tokens=[end])
    clean = clean_run(tiny, inputs, first=0)
    branches = leave(tiny, clean, 0, {"embedding": clean.tail("embedding", 0)}, room=6)
    answers = answer_greedily(ending, branches, 6)
    assert answers == [row[: row.index(end) + 1] if end in row else row for row in said]
    assert answers[0][-1] == end
    assert len(answers[0]) <= 3


def test_prompts_of_unequal_length_are_refused_before_they_are_compared(tiny, images):
    uneven = Reader(tiny, PROMPT, 5, batch_size=2).prepare(images[:2], [PROMPT, f"Think. {PROMPT}"])
    with pytest.raises(SignBridgeError, match="differ in length"):
        clean_run(tiny, uneven, first=0)


def test_a_site_that_the_decoder_does_not_have_is_refused(tiny, inputs):
    clean = clean_run(tiny, inputs, first=0)
    with pytest.raises(ValueError, match="no site of the decoder"):
        leave(tiny, clean, 0, {"layer_99": clean.tail("embedding", 0)})


class Taken(TorchDispatchMode):
    """The shapes that memory was taken for, to be filled later."""

    def __init__(self):
        super().__init__()
        self.shapes = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.overloadpacket is torch.ops.aten.new_empty:
            self.shapes.append(tuple(args[1]))
        return func(*args, **(kwargs or {}))


def test_however_many_blocks_there_are_keys_and_values_of_a_walk_take_their_place_once(tiny, inputs):
    clean = clean_run(tiny, inputs, first=60)
    sites = decoder_sites(tiny.parts)
    with Taken() as taken:
        leave(tiny, clean, 60, {site: clean.tail(site, 60) for site in sites})
    rows, tokens = 3 * len(sites), inputs["input_ids"].shape[1]
    text = tiny.model.config.get_text_config()
    heads, width = text.num_key_value_heads, text.hidden_size // text.num_attention_heads
    assert [shape for shape in taken.shapes if len(shape) == 4] == 2 * [(rows, heads, tokens, width)]
