"""Features of images as they are read, held to the stream that the plain reader reads and to plain answers."""

import numpy as np
import pytest
import torch

from signbridge.sae.features import features_of_images
from signbridge.vlm.extraction import Reader
from tests.sae.hand_made import hand_made
from tests.vlm.conftest import PROMPT

SITES = ["layer_01", "layer_06"]


@pytest.fixture(scope="module")
def autoencoders(tiny):
    width = tiny.model.config.get_text_config().hidden_size
    weights = torch.randn(len(SITES), width, 2 * width, generator=torch.Generator().manual_seed(0)) / width**0.5
    return {site: hand_made(encoder, encoder.T) for site, encoder in zip(SITES, weights, strict=True)}


@pytest.fixture(scope="module")
def found(tiny, images, autoencoders):
    reader = Reader(tiny, PROMPT, 5, batch_size=4)
    return reader.read(images, features_of_images(reader, autoencoders))


def test_the_arrays_are_those_of_every_site_and_position(found, images, autoencoders):
    kinds = {"": 2, ".stream": 1}
    expected = {f"{site}.{position}{end}" for site in SITES for position in ("prompt_last", "image_mean")
                for end in kinds}  # fmt: skip
    assert set(found.vectors) == expected
    for name, vectors in found.vectors.items():
        times = kinds[".stream" if name.endswith(".stream") else ""]
        assert vectors.shape == (len(images), times * autoencoders[SITES[0]].cfg.d_in)


def test_the_stream_is_what_a_plain_reader_reads(tiny, images, found):
    plain = Reader(tiny, PROMPT, 5, batch_size=2).read(images).vectors
    for site in SITES:
        for position in ("prompt_last", "image_mean"):
            stream = found.vectors[f"{site}.{position}.stream"]
            np.testing.assert_allclose(stream, plain[f"{site}.{position}"], rtol=1e-3, atol=1e-3)


def test_features_of_the_last_token_are_those_of_its_stream_and_an_images_are_not_those_of_the_mean(
    found, autoencoders
):
    for site, autoencoder in autoencoders.items():
        of_last, of_mean = (
            autoencoder.encode(torch.from_numpy(found.vectors[f"{site}.{position}.stream"])).detach().numpy()
            for position in ("prompt_last", "image_mean")
        )
        np.testing.assert_allclose(found.vectors[f"{site}.prompt_last"], of_last, rtol=1e-4, atol=1e-4)
        mean = found.vectors[f"{site}.image_mean"]
        assert (mean >= of_mean - 1e-3).all(), "ReLU of a mean is no more than the mean of ReLUs"
        assert not np.allclose(mean, of_mean, atol=1e-2)


def test_the_answer_is_the_token_that_would_follow_the_prompt(tiny, images, found):
    assert found.answers == Reader(tiny, PROMPT, 1, batch_size=6).read(images).answers
    assert len(found.answers) == len(images)


def test_an_image_is_read_alike_whatever_is_read_beside_it(tiny, images, autoencoders, found):
    """The last batch of six images in fours is filled up; alone, every batch is."""
    reader = Reader(tiny, PROMPT, 5, batch_size=4)
    alone = reader.read(images[5:], features_of_images(reader, autoencoders))
    for name, vectors in found.vectors.items():
        np.testing.assert_allclose(alone.vectors[name], vectors[5:], rtol=1e-4, atol=1e-4)
    assert alone.answers == found.answers[5:]


def test_without_answers_the_features_are_the_same_bytes_and_no_block_behind_the_last_site_is_run(
    tiny, images, autoencoders, found
):
    reader, run = Reader(tiny, PROMPT, 5, batch_size=4), []
    handles = [
        block.register_forward_hook(lambda *_, number=number: run.append(number))
        for number, block in enumerate(tiny.parts.blocks)
    ]
    without = reader.read(images, features_of_images(reader, autoencoders, answers=False))
    for handle in handles:
        handle.remove()
    assert max(run) == int(SITES[-1].removeprefix("layer_"))
    assert without.answers == [""] * len(images)
    assert list(without.vectors) == list(found.vectors)
    assert all(vectors.tobytes() == found.vectors[name].tobytes() for name, vectors in without.vectors.items())
