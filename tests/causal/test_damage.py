"""Damage: how unlikely the unedited model's descriptions become, held to a pass for each token."""

import pytest
import torch

from signbridge.causal.damage import (
    describe,
    edited_tokens,
    first_edited,
    nll,
    nll_of_descriptions,
    read_described,
)
from signbridge.vlm.branching import leave
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import decoder_sites
from tests.causal.plain_runs import (
    edit_at,
    greedy,
    log_probabilities,
    no_edit,
)

PROMPT = "USER: <image>\nDescribe the hand.\nASSISTANT:"
DESCRIPTIONS = [[7, 9, 11, 30, 31], [40, 41]]  # of two images: what the tokens are is of no account
IMAGE, LAST, TOKENS = slice(5, 9), 12, 13  # of a made-up prompt


@pytest.fixture(scope="module")
def reader(tiny):
    return Reader(tiny, PROMPT, 6, batch_size=4)


@pytest.fixture(scope="module")
def described(reader, images):
    return read_described(reader, images[:2], DESCRIPTIONS, "every", sites=decoder_sites(reader.loaded.parts))


def test_a_description_is_the_models_own_greedy_text_whatever_batch_it_is_in(reader, images):
    found = describe(reader, images[:5])
    expected = greedy(reader.loaded, reader.prepare(images[:5]), 6, no_edit)
    assert found == expected


def test_likelihood_is_of_each_descriptions_own_tokens_and_not_of_what_fills_it_up(reader, images, described):
    found = nll(described.clean.logits, described.tokens, described.is_token)
    for image, tokens, value in zip(images[:2], DESCRIPTIONS, found, strict=True):
        slow = log_probabilities(reader.loaded, reader.prepare([image]), tokens, no_edit)
        assert float(value) == pytest.approx(-float(slow.mean()), rel=1e-4)


def test_the_likelihood_under_another_model_is_that_of_its_own_runs(reader, images, described):
    """In batches, and of descriptions of different lengths."""
    found = nll_of_descriptions(reader, images[:2], DESCRIPTIONS)
    assert found == pytest.approx(described.unedited.tolist(), rel=1e-4)
    alone = [
        nll_of_descriptions(reader, [image], [text])[0] for image, text in zip(images[:2], DESCRIPTIONS, strict=True)
    ]
    assert found == pytest.approx(alone, rel=1e-4)


def test_a_run_that_is_not_edited_does_no_damage(described):
    again = described.clean.logits.repeat(3, 1, 1)
    torch.testing.assert_close(described.damage(again), torch.zeros(3, 2), atol=1e-6, rtol=0)


def test_damage_is_the_rise_of_each_edit_and_image(reader, images, described):
    """Two edits of every token of the prompt, at once, edit after edit."""
    loaded, clean = reader.loaded, described.clean
    site = decoder_sites(loaded.parts)[4]
    prompt = slice(0, described.prompt_tokens)
    rows = []
    for factor in (0.8, -0.5):
        stream = clean.tail(site, 0).clone()
        stream[:, prompt] *= factor
        rows.append(stream)
    logits = leave(loaded, clean, 0, {site: torch.cat(rows)}, kept=described.longest).logits
    found = described.damage(logits)
    assert found.abs().min() > 1e-3
    for number, factor in enumerate((0.8, -0.5)):
        edit = edit_at(site, [prompt], lambda stream, factor=factor: stream * factor)
        for row, (image, tokens) in enumerate(zip(images[:2], DESCRIPTIONS, strict=True)):
            inputs = reader.prepare([image])
            before = log_probabilities(loaded, inputs, tokens, no_edit).mean()
            after = log_probabilities(loaded, inputs, tokens, edit).mean()
            assert float(found[number, row]) == pytest.approx(float(before - after), abs=1e-3)


@pytest.mark.parametrize(
    ("at", "during", "expected"),
    [
        ("image", "prefill", [5, 6, 7, 8]),
        ("image", "every_step", [5, 6, 7, 8]),  # no image is fed back
        ("prompt_last", "prefill", [LAST]),
        ("prompt_last", "every_step", [LAST, 13, 14, 15]),
        ("every", "prefill", list(range(TOKENS))),
        ("every", "every_step", list(range(TOKENS + 3))),
    ],
)
def test_the_tokens_that_are_edited_are_those_that_are_named(at, during, expected):
    edited = edited_tokens(at, during, IMAGE, TOKENS, TOKENS + 3, torch.device("cpu"))
    assert edited.nonzero().flatten().tolist() == expected
    assert first_edited(at, IMAGE, TOKENS) == expected[0]
