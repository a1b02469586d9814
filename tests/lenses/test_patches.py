"""Which image tokens the lenses look at, and their vectors beside a plain pass."""

import numpy as np
import pandas as pd
import torch

from signbridge.core.activations import layer_site
from signbridge.datasets.sampling import looked_at
from signbridge.lenses.patches import grid_of, patch_tokens
from signbridge.vlm.extraction import Reader
from signbridge.vlm.families.parts import grid_of_image
from signbridge.vlm.residual import decoder_sites
from tests.vlm.conftest import PROMPT, plain_streams


def test_patches_are_the_image_tokens_streams_in_their_places(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    sites = [decoder_sites(tiny.parts)[0], layer_site(1)]
    shard = reader.read(images, patch_tokens(reader, sites, most=9))
    inputs = reader.prepare(images)
    streams = plain_streams(tiny, inputs)
    where = (inputs["input_ids"][0] == tiny.parts.image_token_id).nonzero().flatten()
    for site in sites:
        expected = streams[site][:, where[shard.vectors["patch"][0]]]
        np.testing.assert_allclose(shard.vectors[site], expected, rtol=1e-4, atol=1e-5)
    assert (shard.vectors["patch"] == shard.vectors["patch"][0]).all()
    assert list(shard.vectors["image_tokens"]) == [len(where)] * len(images)


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


def test_only_a_square_number_of_image_tokens_makes_a_grid(tiny):
    of_image = lambda tokens: {"input_ids": torch.full((1, tokens), tiny.parts.image_token_id)}  # noqa: E731
    assert grid_of_image(tiny.parts, of_image(576)) == (24, 24)
    assert grid_of_image(tiny.parts, of_image(575)) is None


def test_the_lenses_look_at_one_image_of_each_photo_as_the_seed_draws_them():
    photos = [f"photo-{number // 4}" for number in range(40)]
    sample = pd.DataFrame({"image_id": [f"image-{number}" for number in range(40)], "photo": photos})
    seen = looked_at(sample, 6, seed=0)
    assert seen["photo"].nunique() == len(seen) == 6
    assert list(seen.index) == sorted(seen.index)
    pd.testing.assert_frame_equal(seen, looked_at(sample, 6, seed=0))
    assert list(seen["image_id"]) != list(looked_at(sample, 6, seed=1)["image_id"])
    assert set(seen["image_id"]) <= set(looked_at(sample, 8, seed=0)["image_id"]), "more images are others beside them"
    assert len(looked_at(sample, 100, seed=0)) == 10
