"""Editing the residual stream, held to identities that need no trained model."""

import threading

import pytest
import torch

from signbridge.core.activations import layer_site
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import decoder_sites, editing, reading
from tests.vlm.conftest import PROMPT


@pytest.fixture
def inputs(tiny, images):
    return Reader(tiny, PROMPT, 20, batch_size=2).prepare(images)


@torch.inference_mode()
def run(tiny, inputs, edit=None):
    """The logits of every token, and the stream at every site of the decoder, as the next block takes it in."""
    streams = {}
    keep = lambda site, stream: streams.__setitem__(site, stream.clone())  # noqa: E731
    with reading(tiny.parts, keep):
        if edit is None:
            return tiny.model(**inputs).logits, streams
        with editing(tiny.parts, edit):
            return tiny.model(**inputs).logits, streams


def rows(inputs, order):
    return {name: tensor[order] for name, tensor in inputs.items()}


def middle(tiny) -> str:
    return layer_site(len(tiny.parts.blocks) // 2)


def test_an_edit_by_nothing_changes_nothing(tiny, inputs):
    logits, streams = run(tiny, inputs)
    edited, edited_streams = run(tiny, inputs, lambda site, stream: stream)
    assert torch.equal(logits, edited)
    assert all(torch.equal(streams[site], edited_streams[site]) for site in streams)


def test_every_site_is_offered_once_in_order_of_depth(tiny, inputs):
    offered = []
    run(tiny, inputs, lambda site, stream: offered.append(site) or stream)
    assert offered == ["vision", "projector", *decoder_sites(tiny.parts)]


def test_a_run_restored_with_its_own_stream_is_itself_to_the_bit(tiny, inputs):
    logits, streams = run(tiny, inputs)
    for chosen in decoder_sites(tiny.parts):
        restored, _ = run(tiny, inputs, lambda site, stream, at=chosen: streams[site].clone() if site == at else stream)
        assert torch.equal(restored, logits)


def test_a_swap_of_everything_at_the_embedding_gives_the_other_run(tiny, inputs):
    others = [1, 2, 3, 4, 5, 0]
    other_logits, other_streams = run(tiny, rows(inputs, others))
    swapped, _ = run(tiny, inputs, lambda site, stream: other_streams["embedding"] if site == "embedding" else stream)
    assert not torch.equal(run(tiny, inputs)[0], other_logits)
    assert torch.equal(swapped, other_logits)


def test_an_edit_leaves_the_sites_below_alone_and_reaches_all_above(tiny, inputs):
    _, streams = run(tiny, inputs)
    _, edited = run(tiny, inputs, lambda site, stream: stream + 1 if site == middle(tiny) else stream)
    sites = decoder_sites(tiny.parts)
    at = sites.index(middle(tiny))
    assert all(torch.equal(streams[site], edited[site]) for site in sites[:at])
    assert torch.equal(edited[sites[at]], streams[sites[at]] + 1)  # who reads sees what the next block takes in
    assert not any(torch.equal(streams[site], edited[site]) for site in sites[at:])


def test_an_edit_of_the_last_token_leaves_the_tokens_before_it_alone(tiny, inputs):
    def last_token(site, stream):
        if site != middle(tiny):
            return stream
        return torch.cat([stream[:, :-1], stream[:, -1:] * 2], dim=1)

    logits, _ = run(tiny, inputs)
    edited, _ = run(tiny, inputs, last_token)
    assert torch.equal(edited[:, :-1], logits[:, :-1])
    assert not torch.equal(edited[:, -1], logits[:, -1])


def test_the_order_of_the_batch_does_not_matter(tiny, inputs):
    strength = torch.arange(6.0).reshape(6, 1, 1)
    order = [3, 0, 5, 1, 4, 2]
    edit_by = lambda by: lambda site, stream: stream + by if site == middle(tiny) else stream  # noqa: E731
    in_order, _ = run(tiny, inputs, edit_by(strength))
    shuffled, _ = run(tiny, rows(inputs, order), edit_by(strength[order]))
    torch.testing.assert_close(shuffled, in_order[order], rtol=1e-4, atol=1e-4)


def test_padding_on_the_left_does_not_matter(tiny, inputs):
    pad = tiny.processor.tokenizer.pad_token_id
    padding = torch.full((6, 5), pad)
    ids = inputs["input_ids"]
    padded = {
        **inputs,
        "input_ids": torch.cat([padding, ids], dim=1),
        "attention_mask": torch.cat([torch.zeros_like(padding), torch.ones_like(ids)], dim=1),
    }
    edit = lambda site, stream: stream * 1.5 if site == middle(tiny) else stream  # noqa: E731
    plain, _ = run(tiny, inputs, edit)
    behind_padding, _ = run(tiny, padded, edit)
    torch.testing.assert_close(behind_padding[:, 5:], plain, rtol=1e-3, atol=1e-3)


def test_every_step_of_an_answer_is_edited(tiny, inputs):
    model, _, parts, _, _ = tiny
    tokens = []

    def towards_one_word(site, stream):
        if site != decoder_sites(parts)[-1]:
            return stream
        tokens.append(stream.shape[1])
        return torch.ones_like(stream)

    def answers(edit=None):
        if edit is None:
            return read_and_answer(model, parts, inputs, 4, []).answers
        with editing(parts, edit):
            return read_and_answer(model, parts, inputs, 4, []).answers

    plain = answers()
    assert answers(lambda site, stream: stream) == plain
    steered = answers(towards_one_word)
    assert tokens == [inputs["input_ids"].shape[1], 1, 1, 1]
    assert steered != plain
    assert len({token for answer in steered for token in answer}) == 1  # the same stream says the same word
    assert answers() == plain  # and it ends with the block


def test_another_thread_reads_the_model_unedited(tiny, inputs):
    logits, _ = run(tiny, inputs)
    found = []
    with editing(tiny.parts, lambda site, stream: stream * 0):
        thread = threading.Thread(target=lambda: found.append(run(tiny, inputs)[0]))
        thread.start()
        thread.join()
    torch.testing.assert_close(found[0], logits)


@pytest.mark.parametrize("change", [lambda stream: stream[:, 1:], lambda stream: stream.double()])
def test_what_does_not_fit_is_refused_with_the_site(tiny, inputs, change):
    with pytest.raises(ValueError, match=r"edit at embedding: the stream is \(6, "):
        run(tiny, inputs, lambda site, stream: change(stream) if site == "embedding" else stream)


def test_no_hook_stays_behind(tiny, inputs):
    modules = [*tiny.parts.blocks, tiny.parts.final_norm, tiny.parts.projector]
    hooks = lambda: [(dict(module._forward_pre_hooks), dict(module._forward_hooks)) for module in modules]  # noqa: E731
    before = hooks()
    with editing(tiny.parts, lambda site, stream: stream):
        assert hooks() != before
    with pytest.raises(ValueError, match="edit at"):
        run(tiny, inputs, lambda site, stream: stream[:1])
    assert hooks() == before
