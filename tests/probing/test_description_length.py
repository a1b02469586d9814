"""The online code costs what a plain loop says, little for vectors that give the letter away and all for noise."""

import numpy as np
import pytest
from sklearn.linear_model import LogisticRegression

from signbridge.probing.description_length import bits_of_images, online_blocks, shortest_code

LETTERS = 6
TARGETS = np.repeat(np.arange(LETTERS), 20)
PHOTOS = np.arange(120) // 2  # ten a letter, two copies each
NOISE = np.random.default_rng(0).normal(size=(120, 30))
NOISY_LETTERS = NOISE + 1.5 * np.random.default_rng(1).normal(size=(LETTERS, 30))[TARGETS]
UNIFORM = 120 * np.log2(LETTERS)


def blocks(seed: int = 0) -> list[np.ndarray]:
    return online_blocks(TARGETS, PHOTOS, np.random.default_rng(seed))


def test_blocks_are_whole_photos_and_send_every_image_once():
    np.testing.assert_array_equal(np.sort(np.concatenate(blocks())), np.arange(120))
    photos = [set(PHOTOS[block]) for block in blocks()]
    assert sum(len(of_block) for of_block in photos) == 60


def test_the_first_block_holds_one_photo_of_each_letter_and_what_was_sent_doubles():
    sizes = [len(set(PHOTOS[block])) for block in blocks()]
    assert np.cumsum(sizes).tolist() == [6, 12, 24, 48, 60]
    assert np.bincount(TARGETS[blocks()[0]]).tolist() == [2] * LETTERS


def test_the_order_is_another_each_time():
    generator = np.random.default_rng(0)
    one, other = (online_blocks(TARGETS, PHOTOS, generator) for _ in range(2))
    assert set(one[1]) != set(other[1])


@pytest.mark.parametrize("C", [1e-3, 0.1])
def test_bits_are_those_of_a_plain_loop_with_scikit_learn(C):
    sent = blocks()
    bits = len(sent[0]) * np.log2(LETTERS)
    for index in range(1, len(sent)):
        known = np.concatenate(sent[:index])
        model = LogisticRegression(C=C, tol=1e-10, max_iter=50_000).fit(NOISY_LETTERS[known], TARGETS[known])
        for row in sent[index]:
            bits -= np.log2(model.predict_proba(NOISY_LETTERS[row : row + 1])[0, TARGETS[row]])
    assert bits_of_images(NOISY_LETTERS, TARGETS, sent, [C]).sum() == pytest.approx(bits, rel=1e-4)


def test_the_shortest_code_pays_for_saying_which_penalty_it_is_of():
    penalties = (1e-3, 1e-2, 1e-1, 1.0)
    bits = [bits_of_images(NOISY_LETTERS, TARGETS, blocks(), [C]).sum() for C in penalties]
    assert len(set(bits)) == 4
    code = shortest_code(NOISY_LETTERS, TARGETS, blocks(), penalties)
    assert code.bits.sum() == pytest.approx(min(bits) + 2, rel=1e-4)
    assert penalties[int(np.argmin(bits))] == code.C
    alone = shortest_code(NOISY_LETTERS, TARGETS, blocks(), penalties[:1])
    assert (alone.bits.sum(), alone.at_edge) == (pytest.approx(bits[0]), False)


def test_a_code_says_whether_a_wider_list_might_make_it_shorter():
    faint = NOISE + 0.3 * (NOISY_LETTERS - NOISE)
    assert not shortest_code(faint, TARGETS, blocks(), [1e-4, 0.1, 1e3]).at_edge
    assert shortest_code(faint, TARGETS, blocks(), [1e-4, 0.1]).at_edge
    assert shortest_code(faint, TARGETS, blocks(), [0.1, 1e3]).at_edge


def test_noise_costs_about_as_much_as_no_vectors():
    assert bits_of_images(NOISE, TARGETS, blocks(), [1e-3]).sum() == pytest.approx(UNIFORM, rel=0.05)


def test_vectors_that_name_the_letter_cost_hardly_more_than_the_first_block():
    bits = bits_of_images(100 * np.eye(LETTERS)[TARGETS], TARGETS, blocks(), [0.1]).sum()
    assert 12 * np.log2(LETTERS) < bits < 13 * np.log2(LETTERS)


def test_vectors_that_say_it_more_clearly_make_a_shorter_code():
    clear = NOISE + 3 * (NOISY_LETTERS - NOISE)
    costs = [bits_of_images(rows, TARGETS, blocks(), [0.1]).sum() for rows in (clear, NOISY_LETTERS, NOISE)]
    assert costs == sorted(costs)
    assert costs[0] < 0.6 * UNIFORM


def test_one_photo_a_letter_costs_what_it_costs_without_vectors():
    labels = np.array(list("ABC"))
    [block] = online_blocks(labels, np.arange(3), np.random.default_rng(0))
    assert bits_of_images(np.eye(3), np.arange(3), [block], [1.0]).sum() == pytest.approx(3 * np.log2(3))
