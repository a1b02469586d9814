"""The cache with room behaves as the library's own."""

import torch
from transformers import DynamicCache

from benchmarks.live_memory import LiveMemory
from signbridge.vlm.key_value_cache import roomy_cache


def test_grows_to_the_keys_and_values_of_the_librarys_cache():
    generator = torch.Generator().manual_seed(0)
    roomy, dynamic = roomy_cache(blocks=2, room=3), DynamicCache()
    for tokens in (5, 1, 1, 1):
        for block in range(2):
            keys, values = (torch.randn(2, 4, tokens, 8, generator=generator) for _ in range(2))
            for ours, theirs in zip(
                roomy.update(keys, values, block), dynamic.update(keys, values, block), strict=True
            ):
                torch.testing.assert_close(ours, theirs, rtol=0, atol=0)
        assert roomy.get_seq_length() == dynamic.get_seq_length()


def test_growing_does_not_move_what_is_there():
    cache = roomy_cache(blocks=1, room=2)
    prompt = torch.ones(1, 1, 3, 4)
    cache.update(prompt, prompt, 0)
    keys, _ = cache.update(prompt[:, :, :1], prompt[:, :, :1], 0)
    longer, _ = cache.update(prompt[:, :, :1], prompt[:, :, :1], 0)
    assert keys.data_ptr() == longer.data_ptr()


def test_keys_and_values_are_held_once_from_the_prompt_on():
    with LiveMemory() as memory:
        cache = roomy_cache(blocks=1, room=2)
        cache.update(torch.ones(1, 2, 6, 4), torch.ones(1, 2, 6, 4), 0)
        held = memory.live
    assert held == 2 * 2 * (6 + 2) * 4 * 4, "keys and values, 2 heads, 6 tokens and room for 2, of 4 floats"
