"""The streams of all tokens, beside a plain pass."""

import io

import numpy as np
import pytest
import torch

from signbridge.core.activations import layer_site
from signbridge.sae.passages import Passage
from signbridge.sae.token_stream import IS_IMAGE, token_streams
from signbridge.vlm.extraction import Reader
from tests.vlm.conftest import PROMPT, plain_streams

SITES = [layer_site(0), layer_site(1)]
LONGER = PROMPT + " It shows a hand."


def png_of(image) -> bytes:
    kept = io.BytesIO()
    image.save(kept, "PNG")
    return kept.getvalue()


def read_tokens(tiny, passages, sites=SITES):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    return reader.read(passages, token_streams(reader, sites)).vectors


def test_every_token_but_special_ones_is_read_with_what_it_is_of(tiny, images):
    passages = [
        Passage(LONGER, png_of(images[0])),
        Passage(PROMPT, png_of(images[1])),
        Passage(PROMPT, png_of(images[2])),
    ]
    found = read_tokens(tiny, passages)
    expected, is_image = {site: [] for site in SITES}, []
    for passage, image in zip(passages, images, strict=False):
        inputs = tiny.processor(images=[image.convert("RGB")], text=[passage.text], return_tensors="pt")
        token_ids = inputs["input_ids"][0]
        assert token_ids[0] == tiny.processor.tokenizer.bos_token_id
        streams = plain_streams(tiny, inputs)
        is_image.append(token_ids[1:] == tiny.parts.image_token_id)
        for site in SITES:
            expected[site].append(streams[site][0, 1:])
    np.testing.assert_array_equal(found[IS_IMAGE], torch.cat(is_image).numpy())
    assert 0 < found[IS_IMAGE].sum() < len(found[IS_IMAGE])
    for site in SITES:
        np.testing.assert_allclose(found[site], torch.cat(expected[site]).numpy(), rtol=1e-3, atol=1e-4)


def test_texts_of_different_lengths_read_as_alone_and_are_flagged_as_text(tiny):
    texts = ["a hand", "the index finger is up and the others are bent", "a fist"]
    found = read_tokens(tiny, [Passage(text) for text in texts])
    assert not found[IS_IMAGE].any()
    alone = [read_tokens(tiny, [Passage(text)]) for text in texts]
    for site in SITES:
        np.testing.assert_allclose(found[site], np.concatenate([one[site] for one in alone]), rtol=1e-3, atol=1e-4)
    one = tiny.processor.tokenizer(texts[0], return_tensors="pt")
    plain = plain_streams(tiny, dict(one))
    np.testing.assert_allclose(alone[0][SITES[1]], plain[SITES[1]][0, 1:].numpy(), rtol=1e-3, atol=1e-4)


def test_no_block_after_the_deepest_site_is_computed_and_no_hook_stays(tiny):
    ran = []
    handles = [block.register_forward_hook(lambda *_, depth=depth: ran.append(depth))
               for depth, block in enumerate(tiny.parts.blocks)]  # fmt: skip
    try:
        read_tokens(tiny, [Passage("a hand")], [layer_site(0)])
    finally:
        for handle in handles:
            handle.remove()
    assert set(ran) == {0}
    assert not any(block._forward_pre_hooks for block in tiny.parts.blocks)


@pytest.mark.parametrize("passages", [[Passage("a hand")] * 3, [Passage("a hand")] * 5])
def test_what_fills_a_batch_up_is_not_kept(tiny, passages):
    tokens = len(tiny.processor.tokenizer("a hand")["input_ids"]) - 1
    assert len(read_tokens(tiny, passages)[IS_IMAGE]) == tokens * len(passages)
