"""The strongest images and phrases of features, beside a computation of everything."""

import numpy as np
import pytest
import torch

from signbridge.sae.examples import (
    gathered,
    image_table,
    phrase_table,
    strongest_examples,
    strongest_in,
    tokenised,
)
from signbridge.sae.passages import Passage
from signbridge.sae.token_stream import special_tokens
from signbridge.vlm.extraction import Reader
from signbridge.vlm.shard_runs import read_in_shards
from tests.sae.hand_made import hand_made, identity
from tests.sae.test_token_reading import SITES, png_of
from tests.vlm.conftest import PROMPT, plain_streams

TEXTS = ["a hand", "a hand is bent", "a hand is up and the others are bent", "the index finger is up", "a fist"]
CHOSEN = {SITES[0]: [3, 0, 40], SITES[1]: [5, 33]}


@pytest.fixture
def autoencoders(tiny):
    width = tiny.model.config.text_config.hidden_size
    return {site: identity(width) for site in SITES}


def examples_of(tiny, autoencoders, passages, folder, most=2, per_shard=4, same_as=None, chosen=CHOSEN):
    reader = Reader(tiny, PROMPT, 1, batch_size=2)
    work = strongest_examples(reader, autoencoders, chosen, most, same_as)
    shards = read_in_shards(reader, list(enumerate(passages)), folder, per_shard, work)
    return gathered(shards, passages, chosen, most, same_as)


def all_activations(tiny, autoencoder, site, passages) -> list[np.ndarray]:
    """Of every passage alone, tokens x features: of its image tokens, or of all but special ones."""
    found = []
    for passage in passages:
        token_ids = {"input_ids": torch.tensor([tiny.processor.tokenizer(passage.text)["input_ids"]])}
        inputs = token_ids if passage.png is None else image_inputs(tiny, passage)
        ids = inputs["input_ids"][0]
        is_image = ids == tiny.parts.image_token_id
        kept = is_image if is_image.any() else ~torch.isin(ids, special_tokens(tiny))
        with torch.inference_mode():
            found.append(autoencoder.encode(plain_streams(tiny, inputs)[site][0, kept]).numpy())
    return found


def image_inputs(tiny, passage):
    from signbridge.datasets.images import decoded

    return tiny.processor(images=decoded([passage.png]), text=[passage.text], return_tensors="pt")


@pytest.mark.parametrize("per_shard", [2, 4, 64])
def test_images_are_those_of_a_full_computation_however_many_a_shard_holds(
    tiny, images, autoencoders, tmp_path, per_shard
):
    passages = [Passage(PROMPT, png_of(image)) for image in images]
    assert len(passages) > 2
    found = examples_of(tiny, autoencoders, passages, tmp_path, per_shard=per_shard)
    for site, autoencoder in autoencoders.items():
        everything = all_activations(tiny, autoencoder, site, passages)
        assert list(found[site]) == CHOSEN[site]
        for feature, examples in found[site].items():
            strongest = [of[:, feature].max() for of in everything]
            order = [item for item in np.argsort(-np.array(strongest), kind="stable") if strongest[item] > 0][:2]
            assert [example.item for example in examples] == order
            for example in examples:
                np.testing.assert_allclose(
                    example.activations, everything[example.item][:, feature], rtol=1e-3, atol=1e-4
                )


def test_phrases_have_an_activation_for_every_token_that_is_not_special(tiny, autoencoders, tmp_path):
    passages = [Passage(text) for text in TEXTS]
    found = examples_of(tiny, autoencoders, passages, tmp_path, most=9)
    for site, autoencoder in autoencoders.items():
        everything = all_activations(tiny, autoencoder, site, passages)
        for feature, examples in found[site].items():
            assert len(examples) == sum(of[:, feature].max() > 0 for of in everything)
            for example in examples:
                np.testing.assert_allclose(
                    example.activations, everything[example.item][:, feature], rtol=1e-3, atol=1e-4
                )


def test_a_planted_feature_has_its_image_and_patch(tiny, images, tmp_path):
    """A feature that looks for the very vector of one patch of one image."""
    passages = [Passage(PROMPT, png_of(image)) for image in images]
    streams = []
    for passage in passages:
        inputs = image_inputs(tiny, passage)
        streams.append(plain_streams(tiny, inputs)[SITES[0]][0, inputs["input_ids"][0] == tiny.parts.image_token_id])
    item, patch = 1, 2
    stream = torch.cat(streams).double()
    # Of all vectors of the same length none is nearer to one than itself.
    whitened = torch.linalg.lstsq(stream.T @ stream, stream.T).solution.T
    direction = whitened[item * len(streams[0]) + patch].float()
    expected = int((torch.cat(streams) @ direction).argmax())
    autoencoder = hand_made(direction[:, None], direction[None])
    [example] = examples_of(
        tiny, {SITES[0]: autoencoder}, passages, tmp_path, most=1, chosen={SITES[0]: [0]}
    )[SITES[0]][0]  # fmt: skip
    assert divmod(expected, len(streams[0])) == (example.item, example.peak)


def test_phrases_that_begin_alike_up_to_the_peak_are_one_example():
    activations = np.array([[0], [3], [0], [3], [1], [2], [1]], np.float32)  # of three phrases: 2, 3 and 2 tokens
    texts, tokens = ["a b", "a b c", "d e"], np.array([2, 3, 2])
    names = {(0, 1): "a b", (1, 1): "a b", (2, 0): "d"}
    [found] = strongest_in(activations, tokens, 3, lambda example: names[example.item, example.peak])
    assert [(example.item, example.strongest) for example in found] == [(0, 3), (2, 2)]
    [apart] = strongest_in(activations, tokens, 3, lambda example: texts[example.item])
    assert [example.item for example in apart] == [0, 1, 2]


def test_the_strongest_of_a_shard_are_those_of_all_of_its_items():
    generator = np.random.default_rng(0)
    tokens = generator.integers(0, 5, 40)
    activations = np.maximum(generator.normal(size=(tokens.sum(), 6)), 0).round(1).astype(np.float32)
    activations[:, 4] = 0
    parts = np.split(activations, np.cumsum(tokens)[:-1])
    found = strongest_in(activations, tokens, 7, lambda example: example.item)
    for column, examples in enumerate(found):
        maxima = [part[:, column].max(initial=0) for part in parts]
        expected = sorted((-float(most), item) for item, most in enumerate(maxima) if most > 0)[:7]
        assert [(-example.strongest, example.item) for example in examples] == expected
        for example in examples:
            np.testing.assert_array_equal(example.activations, parts[example.item][:, column])
    assert found[4] == []
    assert strongest_in(activations[:0], np.zeros(3, int), 2, lambda example: example.item) == [[]] * 6


def test_an_autoencoder_that_is_dead_has_no_example(tiny, tmp_path):
    width = tiny.model.config.text_config.hidden_size
    dead = {site: hand_made(torch.zeros(width, 4), torch.zeros(4, width)) for site in SITES}
    chosen = {SITES[0]: [0, 1], SITES[1]: []}
    found = examples_of(tiny, dead, [Passage(text) for text in TEXTS], tmp_path, chosen=chosen)
    assert found == {SITES[0]: {0: [], 1: []}, SITES[1]: {}}
    assert len(image_table(found, [])) == len(phrase_table(found, [])) == 0


def test_tokens_lie_where_their_text_is_and_tables_have_one_activation_each(tiny, autoencoders, tmp_path):
    tokenizer = tiny.processor.tokenizer
    phrases = tokenised(tokenizer, TEXTS, special_tokens(tiny).tolist())
    assert [len(phrase.starts) for phrase in phrases] == sorted(len(phrase.starts) for phrase in phrases)
    for phrase in phrases:
        assert "".join(
            phrase.text[start:end] for start, end in zip(phrase.starts, phrase.ends, strict=True)
        ).replace(" ", "") == phrase.text.replace(" ", "")  # fmt: skip
    found = examples_of(tiny, autoencoders, [Passage(phrase.text) for phrase in phrases], tmp_path)
    table = phrase_table(found, phrases).to_pandas()
    assert set(table["phrase"]) <= set(TEXTS)
    assert (table["activations"].map(len) == table["start"].map(len)).all()
    assert (table["activations"].map(max) == table["strongest"]).all()
    assert table.groupby(["site", "feature"])["rank"].apply(list).map(lambda ranks: ranks == [1, 2][: len(ranks)]).all()
