"""Vectors of text tokens, beside a plain pass."""

import numpy as np
import torch

from signbridge.core.activations import layer_site
from signbridge.vlm.extraction import Reader
from signbridge.vlm.text import Phrase, text_tokens
from tests.vlm.conftest import PROMPT, plain_streams


def read_text(tiny, sites, phrases):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    return reader.read(phrases, text_tokens(reader, sites))


def test_a_phrase_in_a_batch_reads_as_alone(tiny):
    tokens = [[1, 40, 41, 42], [1, 50, 51, 52], [1, 60, 61, 62, 63]]
    phrases = [Phrase(tokens[0], [1, 3]), Phrase(tokens[1], [2]), Phrase(tokens[2], [4])]
    sites = [layer_site(0), layer_site(1)]
    shard = read_text(tiny, sites, phrases)
    for site in sites:
        plain = [plain_streams(tiny, {"input_ids": torch.tensor([ids])})[site][0] for ids in tokens]
        expected = np.stack([plain[0][1], plain[0][3], plain[1][2], plain[2][4]])
        np.testing.assert_allclose(shard.vectors[site], expected, rtol=1e-4, atol=1e-5)


def test_a_phrase_of_which_nothing_is_kept_still_stands_in_its_batch(tiny):
    phrases = [Phrase([1, 40, 41], [2]), Phrase([1, 50, 51], []), Phrase([1, 60, 61, 62], [])]
    site = layer_site(1)
    shard = read_text(tiny, [site], phrases)
    beside = read_text(tiny, [site], [phrases[0], Phrase([1, 50, 51], [1])])
    np.testing.assert_array_equal(shard.vectors[site], beside.vectors[site][:1])


def test_phrases_are_read_no_deeper_than_the_deepest_site(tiny):
    run = []
    handles = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(tiny.parts.blocks)
    ]
    read_text(tiny, [layer_site(2)], [Phrase([1, 40, 41], [2])])
    for handle in handles:
        handle.remove()
    assert run == [0, 1, 2]
