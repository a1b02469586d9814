"""Bits of the letter in the answer: held to the definition, scikit-learn's expectation, and what must be nothing."""

import numpy as np
import pytest
from sklearn.metrics.cluster import contingency_matrix, expected_mutual_information

from signbridge.statistics.mutual_information import answer_information

LETTERS = np.repeat(list("ABCDE"), 12)


def generator(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def one_photo_each(images: int) -> np.ndarray:
    return np.arange(images)


def test_the_plug_in_estimate_is_the_definition():
    answers = generator().choice(["x", "y", "z"], len(LETTERS))
    found = answer_information(answers, LETTERS, one_photo_each(len(LETTERS)), 5, generator())
    slow = 0.0
    for answer in np.unique(answers):
        for letter in np.unique(LETTERS):
            both = np.mean((answers == answer) & (letter == LETTERS))
            if both:
                slow += both * np.log2(both / np.mean(answers == answer) / np.mean(letter == LETTERS))
    assert found.plugin_bits == pytest.approx(slow)
    assert found.letter_bits == pytest.approx(np.log2(5))
    assert found.bits == pytest.approx(found.plugin_bits - found.bias_bits)


def test_with_one_image_a_photo_the_bias_is_the_exact_expectation():
    answers = generator().choice(["x", "y", "z"], len(LETTERS))
    found = answer_information(answers, LETTERS, one_photo_each(len(LETTERS)), 1000, generator())
    counts = contingency_matrix(answers, LETTERS, sparse=True).astype(np.float64)
    exact = expected_mutual_information(counts, len(LETTERS)) / np.log(2)
    assert found.bias_bits == pytest.approx(exact, rel=0.05)


def test_answers_that_all_differ_hold_nothing():
    answers = np.array([f"noise {index}" for index in range(len(LETTERS))])
    found = answer_information(answers, LETTERS, one_photo_each(len(LETTERS)), 50, generator())
    assert found.plugin_bits == pytest.approx(found.letter_bits)
    assert found.bits == pytest.approx(0)
    assert found.p_value == 1


def test_answers_that_all_differ_hold_nothing_even_where_photos_have_more_and_fewer_images():
    """A shuffle then makes letters less even than they are, so that there is less to know."""
    photos = np.concatenate([np.repeat([f"{letter}1", f"{letter}2"], [10, 2]) for letter in "ABCDE"])
    photos[-12:] = [f"E{index}" for index in range(12)]
    answers = np.array([f"noise {index}" for index in range(len(LETTERS))])
    found = answer_information(answers, LETTERS, photos, 50, generator())
    assert found.bits == pytest.approx(0)
    assert found.p_value == 1


def test_one_answer_for_all_holds_nothing():
    found = answer_information(np.full(len(LETTERS), "hand"), LETTERS, one_photo_each(len(LETTERS)), 50, generator())
    assert found.bits == pytest.approx(0)
    assert found.p_value == 1


def test_an_answer_that_is_the_letter_holds_nearly_all_of_it():
    letters = np.repeat(list("ABCDE"), 200)
    found = answer_information(np.char.lower(letters), letters, one_photo_each(1000), 99, generator())
    assert 0.98 * found.letter_bits < found.bits <= found.letter_bits
    assert found.p_value == 1 / 100


def test_chance_answers_hold_nothing_on_average_and_seldom_look_significant():
    found = [
        answer_information(
            generator(seed).choice(["x", "y", "z"], len(LETTERS)),
            LETTERS,
            one_photo_each(len(LETTERS)),
            59,
            generator(seed + 1000),
        )
        for seed in range(40)
    ]
    assert abs(np.mean([one.bits for one in found])) < 0.02
    assert np.mean([one.plugin_bits for one in found]) > 0.08, "the plug-in estimate alone sees something"
    assert np.mean([one.p_value <= 0.05 for one in found]) < 0.15


def test_copies_of_one_photo_are_no_evidence():
    """Twelve photos with ten copies that share a chance answer: image by image it would look certain."""
    letter_of_photo = np.array(list("AAAABBBBCCCC"))
    answer_of_photo = generator(1).choice(["x", "y", "z"], 12)
    photos = np.repeat(np.arange(12), 10)
    copies = answer_information(answer_of_photo[photos], letter_of_photo[photos], photos, 400, generator())
    singles = answer_information(answer_of_photo[photos], letter_of_photo[photos], np.arange(120), 400, generator())
    assert copies.p_value > 0.05
    assert singles.p_value < 0.01


def test_one_letter_alone_leaves_nothing_to_know():
    found = answer_information(np.array(["x", "y"]), np.array(["A", "A"]), np.array([0, 1]), 5, generator())
    assert found == (0, 0, 0, 1, 0)


def test_a_photo_of_two_letters_is_refused():
    with pytest.raises(ValueError, match="two letters"):
        answer_information(np.array(["x", "y"]), np.array(["A", "B"]), np.array([0, 0]), 5, generator())


def test_equal_seeds_give_equal_numbers():
    answers = generator().choice(["x", "y", "z"], len(LETTERS))
    first, second = (answer_information(answers, LETTERS, one_photo_each(60), 20, generator(3)) for _ in range(2))
    assert first == second
