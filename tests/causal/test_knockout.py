"""Attention knockout: held to a whole pass with an explicit mask, to identities, and to what the miniature must do."""

import numpy as np
import pytest
import torch
from transformers import BatchFeature

from signbridge.causal.knockout import (
    Cut,
    Span,
    edges_of,
    knock_out,
    knock_out_one_by_one,
    onwards,
    tokens_at,
    windows,
)
from signbridge.causal.knockout_sweep import KnockoutSweep, as_table, cut_of, knockout_work, other_keys, plan
from signbridge.causal.within_blocks import Within, within_blocks, without
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import EDGES, NAMED, RANDOM, WINDOW
from signbridge.core.shards import write_shard
from signbridge.vlm.branching import clean_run, image_span
from signbridge.vlm.extraction import Reader
from tests.causal.conftest import ENTRY
from tests.vlm import other_families
from tests.vlm.test_other_families import _reader, picture


def edges_between(inputs: BatchFeature, span: slice) -> dict[str, tuple[slice, slice]]:
    last = inputs["input_ids"].shape[1] - 1
    question = slice(span.stop, last)
    return {
        "last to image": (slice(last, None), span),
        "last to question": (slice(last, None), question),
        "question to image": (question, span),
        "question and last to image": (slice(span.stop, None), span),
        "last to what is before": (slice(last, None), slice(0, span.start)),
    }


def cuts_of(loaded, inputs, spans: list[Span]) -> list[Cut]:
    tokens = inputs["input_ids"].shape[1]
    pairs = edges_between(inputs, image_span(loaded, inputs)).values()
    return [Cut(tokens_at(tokens, queries), tokens_at(tokens, keys), span) for queries, keys in pairs for span in spans]


def clean_of(loaded, inputs):
    return clean_run(loaded, inputs, first=image_span(loaded, inputs).stop)


@pytest.fixture(scope="module")
def reader(tmp_path_factory) -> Reader:
    """Of a small model, with images of many tokens."""
    return _reader(tmp_path_factory.mktemp("small"), "llava-next")


@pytest.fixture(scope="module")
def small(reader):
    return reader.loaded


@pytest.fixture(scope="module")
def inputs(reader):
    return reader.prepare([picture(0), picture(1)])


@torch.inference_mode()
def test_a_run_with_cuts_is_a_whole_pass_of_an_explicit_mask_given_to_the_model(small, inputs):
    """The library's own way in: a 4-D mask for all blocks, of nothing of this project."""
    tokens = inputs["input_ids"].shape[1]
    for cut in cuts_of(small, inputs, [Span(0, len(small.parts.blocks))]):
        sees = np.tril(np.ones((tokens, tokens), dtype=bool)) & ~edges_of(cut)
        mask = torch.zeros(1, 1, tokens, tokens).masked_fill(~torch.from_numpy(sees), torch.finfo(torch.float32).min)
        given = {**inputs, "attention_mask": mask.expand(2, -1, -1, -1)}
        expected = small.model(**given, logits_to_keep=1).logits[:, -1]
        [found] = knock_out(small, clean_of(small, inputs), [cut])
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-4)
        [slow] = knock_out_one_by_one(small, inputs, [cut])
        torch.testing.assert_close(slow, expected, atol=1e-5, rtol=1e-5)


def test_every_cut_of_a_walk_is_that_of_a_whole_pass(small, inputs):
    spans = [*windows(len(small.parts.blocks), 2), *onwards(len(small.parts.blocks))]
    cuts = cuts_of(small, inputs, spans)
    found = knock_out(small, clean_of(small, inputs), cuts, most=5)  # two at a time; below, all together
    slow = knock_out_one_by_one(small, inputs, cuts)
    torch.testing.assert_close(found, slow, atol=1e-4, rtol=1e-4)
    assert len({round(float(logits[0, 0]), 4) for logits in slow}) > len(spans), (
        "cuts that do nothing would show nothing"
    )


BY_DEFAULT = ("gemma3", "llava-next", "paligemma")  # sliding windows, many tokens, a prompt that sees all of itself


@pytest.mark.parametrize(
    ("family", "attention"),
    [
        *(
            pytest.param(family, None, marks=() if family in BY_DEFAULT else pytest.mark.slow)
            for family in other_families.ALL_WRITERS
        ),
        ("gemma3", "eager"),
    ],
)
def test_in_every_family_and_kind_of_attention_a_walk_is_whole_passes_and_a_cut_of_nothing_is_nothing(
    tmp_path_factory, family, attention
):
    """Gemma 3 among them: its sliding blocks see few tokens, and what they do not see stays unseen."""
    reader = _reader(tmp_path_factory.getbasetemp(), family)
    loaded = reader.loaded
    if attention:  # else as it is loaded: by PyTorch, and PaliGemma 2's eagerly
        loaded.model.set_attn_implementation(attention)
    inputs = reader.prepare([picture(0), picture(1)])
    cuts = cuts_of(loaded, inputs, [Span(0, 3), Span(1, 2), Span(2, 3)])
    slow = knock_out_one_by_one(loaded, inputs, cuts)
    torch.testing.assert_close(knock_out(loaded, clean_of(loaded, inputs), cuts), slow, atol=1e-4, rtol=1e-4)
    nothing = np.zeros_like(cuts[0].keys)
    [uncut] = knock_out_one_by_one(loaded, inputs, [Cut(cuts[0].queries, nothing, Span(0, 3))])
    with torch.inference_mode():
        assert torch.equal(uncut, loaded.model(**inputs, logits_to_keep=1).logits[:, -1])
    assert (slow[0] - uncut).abs().max() > 1e-3


def test_a_cut_of_nothing_changes_nothing_to_the_last_bit(small, inputs):
    """Of a walk, against the branch that leaves where it does and is cut nowhere, hooks and all."""
    tokens = inputs["input_ids"].shape[1]
    nobody, last = np.zeros(tokens, dtype=bool), tokens_at(tokens, slice(tokens - 1, None))
    clean, span = clean_of(small, inputs), Span(2, 5)
    cuts = [Cut(last, nobody, span), Cut(nobody, last, span), Cut(last, last, span)]
    found = knock_out(small, clean, cuts)
    torch.testing.assert_close(found, clean.logits[:, -1].expand(3, -1, -1), atol=1e-5, rtol=1e-5)
    assert torch.equal(found[0], found[1])
    assert torch.equal(found[0], found[2]), "a token always sees itself"
    with torch.inference_mode(), within_blocks(small.parts, Within()):
        hooked = small.model(**inputs, logits_to_keep=1).logits
    with torch.inference_mode():
        assert torch.equal(hooked, small.model(**inputs, logits_to_keep=1).logits)


@torch.inference_mode()
def test_an_image_that_nobody_behind_it_sees_cannot_be_told_from_another(small, inputs):
    """A known truth of any decoder: cut in all blocks, two images give one answer; cut in all but one they give two."""
    tokens, span, blocks = inputs["input_ids"].shape[1], image_span(small, inputs), len(small.parts.blocks)
    behind = tokens_at(tokens, slice(span.stop, None))
    image = tokens_at(tokens, span)
    cuts = [Cut(behind, image, some) for some in (Span(0, blocks), Span(1, blocks), Span(0, blocks - 1))]
    unseen, *seen = knock_out(small, clean_of(small, inputs), cuts)
    torch.testing.assert_close(unseen[0], unseen[1], atol=1e-4, rtol=1e-4)
    for logits in seen:
        assert (logits[0] - logits[1]).abs().max() > 1e-2


@torch.inference_mode()
def test_the_attention_of_the_keys_that_are_left_sums_to_one(tmp_path):
    reader = _reader(tmp_path, "llava-gemma")
    loaded = reader.loaded
    loaded.model.set_attn_implementation("eager")
    inputs = reader.prepare([picture(0)])
    cut = cuts_of(loaded, inputs, [Span(1, 2)])[0]
    edges = torch.from_numpy(edges_of(cut))
    with within_blocks(loaded.parts, Within(cut=lambda block, rows: edges[None] if block == 1 else None)):
        attention = loaded.model(**inputs, output_attentions=True).attentions
    last, uncut = attention[1][0, :, -1], attention[0][0, :, -1]
    assert last[:, cut.keys].max() == 0
    assert uncut[:, cut.keys].min() > 0
    torch.testing.assert_close(last.sum(-1), torch.ones(len(last)))


def test_hooks_are_put_on_once_and_none_is_left(small, inputs):
    modules = [module for block in small.parts.blocks for module in block.modules()]

    def hooks() -> int:
        return sum(len(module._forward_pre_hooks) + len(module._forward_hooks) for module in modules)

    before = hooks()
    with within_blocks(small.parts), within_blocks(small.parts):
        assert hooks() == before + 3 * len(small.parts.blocks)
    assert hooks() == before


def test_blocks_of_another_kind_are_named_with_the_way_out(small):
    parts = small.parts._replace(blocks=[torch.nn.Linear(2, 2)])
    with (
        pytest.raises(SignBridgeError, match=r"Linear.*have no self_attn.*\n?.*knockout\.<sweep>\.images to 0"),
        within_blocks(parts),
    ):
        pass


def test_edges_of_other_tokens_than_the_attentions_are_refused():
    edges = torch.zeros(1, 2, 5, dtype=torch.bool)
    with pytest.raises(ValueError, match="5 keys"):
        without(edges, torch.ones(1, 1, 2, 6, dtype=torch.bool), torch.zeros(3, 2, 4))


def test_windows_are_all_of_one_width_and_onwards_ends_at_the_last_block():
    assert windows(5, 3) == [Span(0, 3), Span(1, 4), Span(2, 5)]
    assert windows(2, 3) == [Span(0, 2)]
    assert onwards(3) == [Span(0, 3), Span(1, 3), Span(2, 3)]


def test_in_the_miniature_the_answer_needs_the_image_in_its_middle_blocks_and_no_longer_at_the_end(
    miniature, fists_and_peaces
):
    """Of this model: its last token reads the image before `layer_10` (`test_patching.py`)."""
    images, _ = fists_and_peaces
    inputs = Reader(miniature, ENTRY.prompt, 1, batch_size=16).prepare([*images[:3], *images[9:12]])
    span, tokens = image_span(miniature, inputs), inputs["input_ids"].shape[1]
    last = tokens_at(tokens, slice(tokens - 1, None))
    clean = clean_of(miniature, inputs)
    answer = clean.logits[:, -1].argmax(-1)
    cuts = [Cut(last, tokens_at(tokens, span), some) for some in onwards(len(miniature.parts.blocks))]
    kept = (knock_out(miniature, clean, cuts).argmax(-1) == answer).float().mean(-1)
    assert kept[0] <= 0.5, "six answers of two words: without the image at most one of the words is left"
    assert kept[10:].min() == 1


# The sweep ------------------------------------------------------------------------------------------------------------


SWEEP = KnockoutSweep(images=4, window=2, draws=2)


def test_a_cut_of_the_plan_is_between_the_tokens_that_it_names_and_its_null_as_many_others():
    image, tokens = slice(2, 5), 9  # two before, three of the question behind, and the last
    by_edges = {one.edges: one for one in plan(3, SWEEP) if one.keys == NAMED}
    where = lambda chosen: list(np.flatnonzero(chosen))  # noqa: E731
    for edges, (queries, keys) in {
        "last_to_image": ([8], [2, 3, 4]),
        "last_to_question": ([8], [5, 6, 7]),
        "question_to_image": ([5, 6, 7], [2, 3, 4]),
    }.items():
        cut = cut_of(by_edges[edges], image, tokens, seed=0)
        assert (where(cut.queries), where(cut.keys)) == (queries, keys)
        draws = [cut_of(by_edges[edges]._replace(keys=RANDOM, draw=draw), image, tokens, seed=0) for draw in range(9)]
        assert len({tuple(where(draw.keys)) for draw in draws}) > 1
        for draw in draws:
            assert draw.keys.sum() == 3
            assert not draw.keys[[0, 8, *keys]].any(), "neither the first nor the last token, nor those of the edges"
    assert other_keys(np.array([False, False, True, True, True, False]), np.random.default_rng(0)).sum() == 1


def test_the_plan_has_every_edge_with_its_draws_in_every_window_and_from_every_block_on():
    planned = plan(3, SWEEP)
    spans = [Span(0, 2), Span(1, 3), Span(0, 3), Span(1, 3), Span(2, 3)]
    assert len(planned) == len(set(planned)) == 3 * 3 * len(spans)
    for edges in EDGES:
        for keys, draws in ((NAMED, [0]), (RANDOM, [0, 1])):
            for draw in draws:
                assert [one.span for one in planned if one[:3] == (edges, keys, draw)] == spans


def test_the_table_has_every_image_and_cut_with_the_probability_of_a_whole_pass(reader, tmp_path):
    pictures, planned = [picture(number) for number in range(3)], plan(3, SWEEP)
    shards = [tmp_path / "0", tmp_path / "1"]
    work = knockout_work(reader, SWEEP, seed=3)
    write_shard(shards[0], reader.read(pictures[:2], work))
    write_shard(shards[1], reader.read(pictures[2:], work))
    table = as_table(["x", "y", "z"], planned, shards)
    assert len(table) == 3 * len(planned)
    inputs = reader.prepare(pictures[2:])
    image, tokens = image_span(reader.loaded, inputs), inputs["input_ids"].shape[1]
    with torch.inference_mode():
        clean = reader.loaded.model(**inputs, logits_to_keep=1).logits[0, -1].softmax(-1)
    number = next(place for place, one in enumerate(planned) if one[:4] == ("question_to_image", RANDOM, 1, WINDOW))
    [[cut]] = knock_out_one_by_one(reader.loaded, inputs, [cut_of(planned[number], image, tokens, 3)])
    row = table[table["image_id"] == "z"].iloc[number]
    assert row[["edges", "keys", "draw", "span", "first", "stop"]].tolist() == [
        "question_to_image", "random", 1, "window", "layer_00", "layer_01"]  # fmt: skip
    assert row["clean"] == pytest.approx(float(clean.max()), abs=1e-5)
    assert row["probability"] == pytest.approx(float(cut.softmax(-1)[clean.argmax()]), abs=1e-5)
    assert row["same"] == (cut.argmax() == clean.argmax())
    assert as_table([], planned, []).columns.tolist() == table.columns.tolist()
