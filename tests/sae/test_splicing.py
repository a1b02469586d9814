"""Autoencoders in place of the stream, against runs of the whole model that are edited there."""

import numpy as np
import pytest
import torch

from signbridge.causal.damage import describe
from signbridge.sae.pca import fit_pca
from signbridge.sae.splicing import spliced_images, spliced_phrases
from signbridge.sae.token_sums import summed_images, summed_phrases
from signbridge.vlm.extraction import Reader
from signbridge.vlm.residual import editing
from tests.sae.hand_made import hand_made, identity, nothing

SITES = ["layer_00", "layer_01"]
PHRASES = ["The index finger is up.", "The thumb is bent.", "The hand is there, and it is a hand.", "A fist."]
LIKELIHOODS = ("nll", "nll_sae", "nll_zero")


@pytest.fixture(scope="module")
def reader(tiny) -> Reader:
    return Reader(tiny, "USER: <image>\nDescribe the hand.\nASSISTANT:", 6, batch_size=4)


@pytest.fixture(scope="module")
def width(tiny) -> int:
    return tiny.model.get_input_embeddings().weight.shape[1]


@pytest.fixture(scope="module")
def phrases(tiny) -> list[list[int]]:
    return sorted(tiny.processor.tokenizer(PHRASES)["input_ids"], key=len)


@pytest.fixture(params=["image", "text"])
def read(request, reader, images, phrases):
    """What a splicer with these autoencoders reads of items of one kind."""
    if request.param == "image":
        return lambda autoencoders: reader.read(images, spliced_images(reader, autoencoders)).vectors
    return lambda autoencoders: reader.read(phrases, spliced_phrases(reader, autoencoders)).vectors


def some(width: int, features: int = 30):
    generator = torch.Generator().manual_seed(0)
    encoder, decoder = (torch.randn(shape, generator=generator) for shape in ((width, features), (features, width)))
    return hand_made(encoder, decoder)


def test_an_autoencoder_that_gives_everything_back_changes_nothing(read, width):
    found = read({site: identity(width) for site in SITES})
    for site in SITES:
        np.testing.assert_allclose(found[f"{site}.nll_sae"], found[f"{site}.nll"], rtol=1e-4)
        assert (found[f"{site}.nll_zero"] != found[f"{site}.nll"]).all()
        assert (found[f"{site}.error"] <= 1e-9 * found[f"{site}.squares"]).all()


def test_an_autoencoder_that_gives_nothing_back_is_zeros(read, width):
    found = read({site: nothing(width) for site in SITES})
    for site in SITES:
        np.testing.assert_array_equal(found[f"{site}.nll_sae"], found[f"{site}.nll_zero"])
        np.testing.assert_allclose(found[f"{site}.error"], found[f"{site}.squares"], rtol=1e-6)


def test_each_site_is_read_alone(read, width):
    together = read({"layer_00": some(width), "layer_01": nothing(width)})
    alone = read({"layer_01": nothing(width)})
    for name in LIKELIHOODS:
        np.testing.assert_allclose(together[f"layer_01.{name}"], alone[f"layer_01.{name}"], rtol=1e-5)


def whole_run(reader: Reader, inputs: dict, where: torch.Tensor, site: str, put) -> torch.Tensor:
    """The log-probabilities after each token of one prompt, with `put(stream)` in `where` at a site."""

    def edit(at: str, stream: torch.Tensor) -> torch.Tensor:
        if at != site:
            return stream
        edited = stream.clone()
        edited[0, where] = put(stream[0, where])
        return edited

    with torch.inference_mode(), editing(reader.loaded.parts, edit):
        return reader.loaded.model(**inputs).logits[0].log_softmax(-1)


def test_likelihoods_of_descriptions_are_those_of_whole_edited_runs(reader, images, width):
    autoencoder = some(width)
    found = reader.read(images[:2], spliced_images(reader, dict.fromkeys(SITES, autoencoder))).vectors
    for row, said in enumerate(describe(reader, images[:2])):
        inputs = dict(reader.prepare(images[row : row + 1]))
        prompt = inputs["input_ids"].shape[1]
        inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([said])], dim=1)
        where = inputs["input_ids"][0] == reader.loaded.parts.image_token_id
        for site in SITES:
            for name, put in edits(autoencoder).items():
                logged = whole_run(reader, inputs, where, site, put)
                expected = -np.mean([logged[prompt - 1 + place, token].item() for place, token in enumerate(said)])
                assert found[f"{site}.{name}"][row] == pytest.approx(expected, rel=1e-4)


def test_all_tokens_but_special_ones_are_replaced_as_well(reader, images, phrases, width):
    autoencoder = some(width)
    found = reader.read(images[:1], spliced_images(reader, {"layer_01": autoencoder})).vectors
    said = describe(reader, images[:1])[0]
    inputs = dict(reader.prepare(images[:1]))
    prompt = inputs["input_ids"].shape[1]
    inputs["input_ids"] = torch.cat([inputs["input_ids"], torch.tensor([said])], dim=1)
    special = set(reader.loaded.processor.tokenizer.all_special_ids) - {reader.loaded.parts.image_token_id}
    where = torch.tensor([token not in special for token in inputs["input_ids"][0].tolist()])
    for name in ("nll_sae", "nll_zero"):
        logged = whole_run(reader, inputs, where, "layer_01", edits(autoencoder)[name])
        expected = -np.mean([logged[prompt - 1 + place, token].item() for place, token in enumerate(said)])
        assert found[f"layer_01.{name}_all"][0] == pytest.approx(expected, rel=1e-4)
        assert found[f"layer_01.{name}_all"][0] != pytest.approx(found[f"layer_01.{name}"][0], rel=1e-4)
    of_phrase = reader.read(phrases[:1], spliced_phrases(reader, {"layer_01": autoencoder})).vectors
    assert of_phrase["layer_01.nll_zero_all"] == of_phrase["layer_01.nll_zero"], "all of a phrase is text"


def test_sums_without_an_edited_run_are_those_beside_one(reader, images, phrases, width):
    autoencoders = {site: some(width) for site in SITES}
    for items, summed, spliced in (
        (images, summed_images(reader, autoencoders), spliced_images(reader, autoencoders)),
        (phrases, summed_phrases(reader, autoencoders), spliced_phrases(reader, autoencoders)),
    ):
        sums, both = reader.read(items, summed).vectors, reader.read(items, spliced).vectors
        assert {name for name in both if "nll" not in name} == set(sums)
        for name, rows in sums.items():
            np.testing.assert_allclose(rows, both[name], rtol=1e-4, atol=1e-3, err_msg=name)


def test_a_pca_beside_the_autoencoder_explains_all_with_every_component_and_more_with_each(reader, images, width):
    pca = fit_pca(torch.randn(500, width, generator=torch.Generator().manual_seed(0)))
    found = reader.read(images, spliced_images(reader, {"layer_01": some(width)}, {"layer_01": pca})).vectors
    explained, off_centre = found["layer_01.explained"], found["layer_01.off_centre"]
    np.testing.assert_allclose(explained.sum(1), off_centre, rtol=1e-4)
    assert (explained >= 0).all()
    assert explained.shape == (len(images), width)


def test_likelihoods_of_phrases_are_those_of_whole_edited_runs_and_special_tokens_stay(reader, phrases, width):
    autoencoder = some(width)
    found = reader.read(phrases, spliced_phrases(reader, dict.fromkeys(SITES, autoencoder))).vectors
    special = set(reader.loaded.processor.tokenizer.all_special_ids)
    assert all(phrase[0] in special for phrase in phrases), "else this tests nothing"
    for row, phrase in enumerate(phrases):
        where = torch.tensor([token not in special for token in phrase])
        assert found["layer_00.tokens"][row] == where.sum()
        for site in SITES:
            for name, put in edits(autoencoder).items():
                logged = whole_run(reader, {"input_ids": torch.tensor([phrase])}, where, site, put)
                told = [logged[place - 1, token].item() for place, token in enumerate(phrase) if place and where[place]]
                assert found[f"{site}.{name}"][row] == pytest.approx(-np.mean(told), rel=1e-4)


def edits(autoencoder) -> dict:
    return {"nll": lambda stream: stream, "nll_sae": autoencoder, "nll_zero": torch.zeros_like}


def test_sums_are_those_of_the_streams_tokens(reader, images, width):
    autoencoder, found_at = some(width), {}
    found = reader.read(images[:1], spliced_images(reader, {"layer_01": autoencoder})).vectors

    def keep(site: str, stream: torch.Tensor) -> torch.Tensor:
        found_at[site] = stream[0]
        return stream

    inputs = reader.prepare(images[:1])
    with torch.inference_mode(), editing(reader.loaded.parts, keep):
        reader.loaded.model(**inputs)
    stream = found_at["layer_01"][inputs["input_ids"][0] == reader.loaded.parts.image_token_id]
    features = autoencoder.encode(stream).detach()
    expected = {
        "tokens": len(stream), "squares": (stream**2).sum(), "total": stream.sum(0),
        "error": ((stream - autoencoder(stream)) ** 2).sum(), "active": (features > 0).sum(), "mass": features.sum(0),
        "fires": (features > 0).sum(0),
    }  # fmt: skip
    for name, value in expected.items():
        np.testing.assert_allclose(found[f"layer_01.{name}"][0], torch.as_tensor(value).detach(), rtol=1e-3, atol=1e-3)


def test_what_stands_beside_an_item_does_not_matter(reader, phrases, images, width):
    autoencoders = {"layer_01": some(width)}
    together = reader.read([*phrases, *phrases[-1:]], spliced_phrases(reader, autoencoders)).vectors
    alone = reader.read(phrases[-1:], spliced_phrases(reader, autoencoders)).vectors
    pictured = reader.read(images, spliced_images(reader, autoencoders)).vectors
    last = reader.read(images[-1:], spliced_images(reader, autoencoders)).vectors
    for name in LIKELIHOODS:
        np.testing.assert_allclose(together[f"layer_01.{name}"][-2:], alone[f"layer_01.{name}"].repeat(2), rtol=1e-4)
        np.testing.assert_allclose(pictured[f"layer_01.{name}"][-1:], last[f"layer_01.{name}"], rtol=1e-4)
