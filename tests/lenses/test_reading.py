"""Vectors of text tokens and of image tokens, beside a plain pass."""

import numpy as np
import pytest
import torch

from signbridge.activations import layer_site
from signbridge.errors import SignBridgeError
from signbridge.extraction import Reader
from signbridge.lenses.contexts import Context
from signbridge.lenses.patches import PatchReader, grid_of
from signbridge.lenses.text_reading import Phrase, TextReader, phrases_of, text_sites
from signbridge.vlm.residual import decoder_sites, reading
from tests.vlm.conftest import PROMPT


@torch.inference_mode()
def plain_streams(tiny, **inputs) -> dict[str, torch.Tensor]:
    streams = {}
    with reading(tiny.parts, lambda site, stream: streams.update({site: stream.clone()})):
        tiny.model(**inputs)
    return streams


def test_a_phrase_in_a_batch_reads_as_alone(tiny):
    tokens = [[1, 40, 41, 42], [1, 50, 51, 52], [1, 60, 61, 62, 63]]
    phrases = [Phrase(tokens[0], [1, 3]), Phrase(tokens[1], [2]), Phrase(tokens[2], [4])]
    sites = [layer_site(0), layer_site(1)]
    shard = TextReader(Reader(tiny, PROMPT, 1, batch_size=4), sites).read(phrases)
    for site in sites:
        plain = [plain_streams(tiny, input_ids=torch.tensor([ids]))[site][0] for ids in tokens]
        expected = np.stack([plain[0][1], plain[0][3], plain[1][2], plain[2][4]])
        np.testing.assert_allclose(shard.vectors[site], expected, rtol=1e-4, atol=1e-5)


def test_contexts_stand_in_the_order_in_which_they_are_read():
    tokens = [[1, 2, 3], [1, 2], [1, 2, 3]]
    contexts = [Context(3, 2, 2, 0, 1), Context(2, 0, 1, 0, 1), Context(3, 0, 2, 0, 1), Context(2, 1, 1, 0, 1)]
    phrases, ordered = phrases_of(tokens, contexts)
    assert phrases == [Phrase([1, 2], [1]), Phrase([1, 2, 3], [1, 2]), Phrase([1, 2, 3], [2])]
    assert [(context.sentence, context.position) for context in ordered] == [(1, 1), (0, 1), (0, 2), (2, 2)]


def test_the_published_text_layers_reach_as_far_as_the_decoder():
    assert text_sites("published", 32) == [layer_site(block) for block in (0, 1, 3, 7, 15, 23, 30, 31)]
    assert text_sites("published", 12) == [layer_site(block) for block in (0, 1, 3, 7, 10, 11)]
    assert text_sites([2, 0], 4) == [layer_site(0), layer_site(2)]
    with pytest.raises(SignBridgeError, match="0 to 3"):
        text_sites([4], 4)


def test_patches_are_the_image_tokens_streams_in_their_places(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    sites = [decoder_sites(tiny.parts)[0], layer_site(1)]
    shard = PatchReader(reader, sites, most=9).read(images)
    inputs = reader.prepare(images)
    streams = plain_streams(tiny, **inputs)
    where = (inputs["input_ids"][0] == tiny.parts.image_token_id).nonzero().flatten()
    for site in sites:
        expected = streams[site][:, where[shard.vectors["patch"][0]]]
        np.testing.assert_allclose(shard.vectors[site], expected, rtol=1e-4, atol=1e-5)
    assert (shard.vectors["patch"] == shard.vectors["patch"][0]).all()


def test_a_grid_is_even_and_no_patch_is_looked_at_twice():
    assert list(grid_of(9, 9)) == list(range(9))
    chosen = grid_of(24 * 24, 49)
    assert len(set(chosen)) == 49
    rows, columns = np.divmod(chosen.reshape(7, 7), 24)
    assert (rows == rows[:, :1]).all()
    assert (columns == columns[:1]).all()
    assert set(np.diff(columns[0])) <= {3, 4}
    assert columns[0, 0] + columns[0, -1] in (22, 23, 24)  # as far from one edge as from the other
    assert len(set(grid_of(50, 9))) == 9  # no square: along the sequence
