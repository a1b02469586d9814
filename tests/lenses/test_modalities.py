"""Neighbours of planted image and text tokens, and the phrases and captions that text tokens are of."""

from collections import Counter

import numpy as np
import pytest
import torch

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.hands import WORDS, words_in
from signbridge.lenses.modalities import (
    Tokens,
    captions,
    chosen_phrases,
    item_rows,
    neighbour_shares,
    whole_phrases,
)

CPU, WIDTH = torch.device("cpu"), 24
IMAGE, TEXT = "text_near_image", "image_near_text"


def cloud(seed: int, items: int, of_each: int, centre: np.ndarray | float = 0.0) -> Tokens:
    """Vectors about a centre, as many of each item."""
    vectors = centre + np.random.default_rng(seed).normal(size=(items * of_each, WIDTH))
    return Tokens(vectors.astype(np.float32), np.repeat(np.arange(items), of_each))


def found(image: Tokens, text: Tokens, neighbours: int = 10, seed: int = 0) -> dict[str, np.ndarray]:
    return neighbour_shares(image, text, neighbours, CPU, np.random.default_rng(seed))


def means(image: Tokens, text: Tokens, neighbours: int = 10) -> dict[str, float]:
    return {name: float(np.nanmean(values)) for name, values in found(image, text, neighbours).items()}


def test_of_mixed_tokens_half_of_the_neighbours_are_of_the_other_kind():
    for name, share in means(cloud(0, 60, 5), cloud(1, 100, 3)).items():
        assert share == pytest.approx(0.5, abs=0.03), name


def test_half_is_half_too_where_one_kind_has_many_more_tokens():
    for name, share in means(cloud(0, 60, 20), cloud(1, 100, 2)).items():
        assert share == pytest.approx(0.5, abs=0.05), name


def test_of_tokens_along_other_directions_no_neighbour_is_of_the_other_kind():
    image, text = cloud(0, 30, 5), cloud(1, 30, 5)
    image.vectors[:, WIDTH // 2 :] = 0
    text.vectors[:, : WIDTH // 2] = 0
    assert max(means(image, text, neighbours=3).values()) == pytest.approx(0, abs=0.02)


def test_an_offset_alone_parts_the_kinds_until_it_is_taken_off():
    shares = means(cloud(0, 60, 5, centre=4.0), cloud(1, 60, 5, centre=-4.0))
    assert shares[IMAGE] == shares[TEXT] == 0
    assert shares[f"{IMAGE}_centred"] == pytest.approx(0.5, abs=0.04)
    assert shares[f"{TEXT}_centred"] == pytest.approx(0.5, abs=0.04)


def test_tokens_of_the_same_item_are_no_neighbours_but_those_of_the_other_kind_with_its_number_are():
    places = np.eye(WIDTH, dtype=np.float32)
    own = np.repeat(np.arange(WIDTH), 2)
    image = Tokens(places[own], own)  # each token's twin is in its own item
    near = places + 0.05 * np.roll(places, 1, axis=1)
    text = Tokens(near[own], own)
    shares = found(image, text, neighbours=2)
    np.testing.assert_array_equal(shares[IMAGE], 1)
    np.testing.assert_array_equal(shares[TEXT], 1)


def test_the_length_of_a_vector_says_nothing():
    image, text = cloud(0, 40, 4), cloud(1, 40, 4)
    longer = Tokens(image.vectors * np.random.default_rng(2).uniform(1, 50, (len(image.item), 1)), image.item)
    assert means(longer, text)[IMAGE] == means(image, text)[IMAGE]


def test_shares_stand_with_their_items_and_items_of_which_no_token_was_drawn_have_none():
    image, text = cloud(0, 50, 4, centre=4.0), cloud(1, 10, 2, centre=-4.0)
    text.vectors[text.item == 7] += 8  # one phrase among the images
    shares = found(image, text, neighbours=3)
    assert len(shares[IMAGE]) == 50
    drawn = np.isfinite(shares[IMAGE])
    assert 0 < drawn.sum() <= 20
    assert list(np.flatnonzero(shares[TEXT] > 0.5)) == [7]
    assert np.isfinite(shares[TEXT]).all()


def test_equal_generators_draw_equal_tokens():
    image, text = cloud(0, 50, 4), cloud(1, 10, 2)
    once, again, other = found(image, text), found(image, text), found(image, text, seed=1)
    np.testing.assert_array_equal(once[IMAGE], again[IMAGE])
    assert not np.array_equal(np.isnan(once[IMAGE]), np.isnan(other[IMAGE]))


def test_more_neighbours_than_there_are_tokens_are_all_others():
    shares = found(cloud(0, 2, 2), cloud(1, 2, 2), neighbours=50)
    np.testing.assert_allclose(shares[IMAGE], 4 / 6)  # two of its own kind are in its own item
    np.testing.assert_allclose(shares[TEXT], 4 / 6)


def test_the_mean_of_an_item_is_that_of_its_tokens_and_of_their_directions():
    vectors = np.array([[3, 0], [0, 1], [0, 5], [0, 0], [2, 2]], np.float16)
    rows = item_rows("layer_03", {"image": (["a", "b"], Tokens(vectors, np.array([0, 0, 1, 1, 1])))})
    assert rows[["site", "kind", "item"]].to_numpy().tolist() == [
        ["layer_03", "image", "a"],
        ["layer_03", "image", "b"],
    ]
    np.testing.assert_allclose(np.stack(rows["mean"]), [[1.5, 0.5], [2 / 3, 7 / 3]], rtol=1e-6)
    unit = [[0.5, 0.5], [0.5**0.5 / 3, (1 + 0.5**0.5) / 3]]  # a vector of zeros has no direction
    np.testing.assert_allclose(np.stack(rows["unit_mean"]), unit, rtol=1e-6)


def corpus() -> list[str]:
    """Over two thousand phrases: of each word but `up` two, of `up` 300."""
    rare = [f"The fingers are {word}, {number}." for word in WORDS if word != "up" for number in range(2)]
    others = [f"There are {number} of them." for number in range(2000)]
    ups = [f"It went up {number} times." for number in range(300)]
    mixed = [*rare, *others, *ups]
    return [mixed[place] for place in np.random.default_rng(0).permutation(len(mixed))]


def test_every_word_has_phrases_however_rare_and_some_phrases_have_none():
    phrases = chosen_phrases(corpus(), 60, np.random.default_rng(0))
    said = Counter(word for phrase in phrases for word in words_in(phrase) & set(WORDS))
    assert len(phrases) == len(set(phrases)) == 60
    assert {word: said[word] for word in WORDS if word != "up"} == dict.fromkeys(set(WORDS) - {"up"}, 2)
    assert said["up"] >= 20
    assert sum(not words_in(phrase) & set(WORDS) for phrase in phrases) >= 20


def test_phrases_stand_in_the_order_of_the_corpus_and_are_drawn():
    every = corpus()
    phrases = chosen_phrases(every, 40, np.random.default_rng(0))
    assert phrases == sorted(phrases, key=every.index)
    assert phrases == chosen_phrases(every, 40, np.random.default_rng(0))
    assert phrases != chosen_phrases(every, 40, np.random.default_rng(1))
    assert max(every.index(phrase) for phrase in phrases) > 1000, "from all over the corpus"


def test_a_corpus_with_fewer_phrases_is_taken_whole():
    assert chosen_phrases(["Up it goes.", "No word."], 10, np.random.default_rng(0)) == ["Up it goes.", "No word."]


def test_words_are_whole_and_in_any_case():
    assert words_in("The Finger's BENT, unbent.") & {"bent", "finger", "unbent"} == {"bent", "finger", "unbent"}
    assert "bent" not in words_in("unbent")


def test_a_caption_lists_the_words_of_its_image():
    words = [frozenset(["up"]), frozenset(["up", "bent"]), frozenset(["up", "spread", "bent"]), frozenset()]
    assert captions("A {label}: {words}.", list("ABCD"), words) == [
        "A A: up.", "A B: bent and up.", "A C: bent, spread and up.", "A D: .",
    ]  # fmt: skip


def test_a_caption_of_words_is_none_where_those_of_an_image_are_not_known_and_a_label_is_always():
    words = [frozenset(["up"]), None]
    assert captions("Fingers are {words}.", ["A", "B"], words) is None
    assert captions("The letter {label}.", ["A", "B"], words) == ["The letter A.", "The letter B."]
    assert captions("The letter {label}.", ["{words}", "}"], words) == ["The letter {words}.", "The letter }."]


@pytest.mark.parametrize(
    "template",
    ["{word}", "A {", "A }", "{}", "{0}", "{label.size}", "{words[0]}", "{label:d}", "{words!r}", "{{label}}"],
)
@pytest.mark.parametrize("words", [[frozenset(["up"])], [None]])
def test_other_braces_in_a_caption_are_refused_whether_words_are_known_or_not(template, words):
    with pytest.raises(SignBridgeError, match=r"modalities\.caption"):
        captions(template, ["A"], words)


def test_all_tokens_of_a_phrase_are_kept_but_the_special_ones(tiny):
    tokenizer = tiny.processor.tokenizer
    texts = ["The index finger is up.", "A sign."]
    for text, phrase in zip(texts, whole_phrases(tokenizer, texts), strict=True):
        special = set(tokenizer.all_special_ids)
        assert phrase.token_ids == tokenizer(text)["input_ids"]
        assert special & set(phrase.token_ids), "else the test would not show that any is left out"
        kept = [phrase.token_ids[place] for place in phrase.positions]
        assert kept == [token for token in phrase.token_ids if token not in special]
        assert tokenizer.decode(kept).strip() == text
