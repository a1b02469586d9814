import random
import re
from collections import Counter

import numpy as np
import pytest
from pydantic import ValidationError

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.sampling import SampleParams, draw, fitted_half


def params(strategy="signbridge", classes="all", per_class=3, signers="all"):
    return SampleParams(strategy=strategy, classes=classes, per_class=per_class, signers=signers)


def the_notebooks_rule(labels):
    """Its draw, restated: the global generator, seeded with 42; 20 letters; 15 images each."""
    random.seed(42)
    keep = sorted(letter for letter, _ in Counter(labels).most_common(20))
    chosen = []
    for letter in keep:
        rows = [row for row in range(len(labels)) if labels[row] == letter]
        random.shuffle(rows)
        chosen.extend(rows[:15])
    return chosen


@pytest.fixture
def pool():
    """Labels and photos of 24 letters of unequal size, some 8 copies a photo, in random order."""
    rng = np.random.default_rng(0)
    letters = list("ABCDEFGHIKLMNOPQRSTUVWXY")
    photos = rng.permutation(
        [f"{letter}{photo}" for i, letter in enumerate(letters) for photo in range(16 + i % 5)] * 8
    )
    return [photo[0] for photo in photos], photos.tolist()


def test_signbridge_draws_the_notebooks_images_in_the_notebooks_order(pool):
    labels, photos = pool
    drawn = draw(labels, photos, params(classes=20, per_class=15), seed=42)
    assert drawn == the_notebooks_rule(labels)
    assert len(drawn) == 300


def test_signbridge_draws_the_notebooks_images_of_real_signs(real_signs):
    from signbridge.datasets.sign_mnist import read_archive

    labels = [i.label for i in read_archive(real_signs / "sign-language-mnist-excerpt.zip", None).images]
    assert draw(labels, labels, params(classes=20, per_class=15), seed=42) == the_notebooks_rule(labels)


def test_equally_frequent_letters_are_kept_in_the_order_of_the_pool():
    labels = list("CABCAB")
    assert {labels[row] for row in draw(labels, labels, params(classes=2, per_class=1), seed=0)} == {"C", "A"}


def test_one_per_photo_never_draws_two_images_of_a_photo(pool):
    labels, photos = pool
    drawn = draw(labels, photos, params("one_per_photo", per_class=15), seed=1)
    assert len(drawn) == 24 * 15
    assert len({photos[row] for row in drawn}) == len(drawn)


def test_one_per_photo_draws_any_copy_of_any_photo(pool):
    labels, photos = pool
    drawn = {row for seed in range(150) for row in draw(labels, photos, params("one_per_photo", ["A"], 8), seed)}
    assert drawn == {row for row, label in enumerate(labels) if label == "A"}


@pytest.mark.parametrize("strategy", ["signbridge", "one_per_photo"])
def test_the_seed_alone_decides(pool, strategy):
    labels, photos = pool
    random.seed(9)
    first = draw(labels, photos, params(strategy), seed=1)
    random.seed(10)
    assert first == draw(labels, photos, params(strategy), seed=1) != draw(labels, photos, params(strategy), seed=2)


@pytest.mark.parametrize("strategy", ["signbridge", "one_per_photo"])
def test_a_larger_draw_holds_the_smaller_one(pool, strategy):
    labels, photos = pool
    few, many = (draw(labels, photos, params(strategy, per_class=n), seed=1) for n in (3, 10))
    assert set(few) < set(many)


def test_all_draws_everything_or_one_of_every_photo(pool):
    labels, photos = pool
    assert sorted(draw(labels, photos, params(per_class="all"), 0)) == list(range(len(labels)))
    drawn = draw(labels, photos, params("one_per_photo", per_class="all"), 0)
    assert sorted(photos[row] for row in drawn) == sorted(set(photos))


def test_named_letters_come_in_sorted_order(pool):
    labels, photos = pool
    assert [labels[row] for row in draw(labels, photos, params(classes=["K", "B"], per_class=2), 0)] == list("BBKK")


@pytest.mark.parametrize(("strategy", "said"), [("signbridge", "5 images"), ("one_per_photo", "2 photos")])
def test_too_few_names_the_letter_and_the_counts(strategy, said):
    labels, photos = list("A" * 9 + "B" * 5), [*range(9), 20, 20, 20, 21, 21]
    with pytest.raises(SignBridgeError, match=f"letter 'B' has {said}, 6 asked for"):
        draw(labels, photos, params(strategy, per_class=6), 0)


def test_an_unknown_letter_says_which_exist(pool):
    with pytest.raises(SignBridgeError, match=r"no letter 'J'\. There are: A, B, C"):
        draw(*pool, params(classes=["A", "J"]), 0)


def test_a_letter_named_twice_is_refused(pool):
    with pytest.raises(SignBridgeError, match="'A' is named more than once"):
        draw(*pool, params(classes=["A", "A"]), 0)


def test_more_letters_than_there_are_says_how_many_there_are(pool):
    with pytest.raises(SignBridgeError, match="25 letters asked for, the dataset has 24"):
        draw(*pool, params(classes=25), 0)


@pytest.mark.parametrize("bad", [{"classes": 0}, {"classes": []}, {"per_class": 0}, {"per_class": "some"}])
def test_params_that_draw_nothing_are_refused(bad):
    with pytest.raises(ValidationError):
        params(**bad)


# Halves ---------------------------------------------------------------------------------------------------------------

HALVED = np.repeat(list("ABCD"), 12)
PHOTOS_OF = np.array([f"{label}{index % 4}" for index, label in enumerate(HALVED)])  # four a letter, three copies each


@pytest.mark.parametrize("seed", range(5))
def test_a_photo_is_fitted_or_tested_whole_and_each_letter_is_halved(seed):
    half = fitted_half(HALVED, PHOTOS_OF, seed)
    assert not set(PHOTOS_OF[half]) & set(PHOTOS_OF[~half])
    for letter in "ABCD":
        assert len(set(PHOTOS_OF[half & (letter == HALVED)])) == 2


def test_a_letter_of_two_photos_of_unequal_size_is_in_both_halves():
    labels = np.array(list("AAAAAABBBB"))
    photos = np.array(list("aaaaabcdcd"))
    for seed in range(10):
        half = fitted_half(labels, photos, seed)
        assert set(labels[half]) == set(labels[~half]) == {"A", "B"}


def test_halves_are_drawn_by_the_seed():
    halves = [fitted_half(HALVED, PHOTOS_OF, seed) for seed in (3, 3, 4, 5, 6)]
    np.testing.assert_array_equal(halves[0], halves[1])
    assert any((halves[0] != other).any() for other in halves[2:])


def test_a_letter_with_a_single_photo_is_named():
    photos = PHOTOS_OF.copy()
    photos[HALVED == "C"] = "the only one"
    with pytest.raises(SignBridgeError, match="class C has 1 photo"):
        fitted_half(HALVED, photos, 0)


def of_signers(*images: tuple[str, int]) -> list[str]:
    return [signer for signer, count in images for _ in range(count)]


def test_each_letter_is_taken_from_its_signers_in_turn():
    labels, signers = ["A"] * 12 + ["B"] * 12, of_signers(("p", 8), ("q", 2), ("r", 2)) * 2
    rows = draw(labels, range(24), params(per_class=6), 0, signers)
    assert Counter((labels[row], signers[row]) for row in rows) == {
        (letter, signer): 2 for letter in "AB" for signer in "pqr"
    }


def test_who_gave_fewest_so_far_comes_first():
    labels, signers = list("AAABBB"), list("pqrpqr")
    for seed in range(5):
        one, other = draw(labels, range(6), params(per_class=1), seed, signers)
        assert signers[one] != signers[other]


def test_signers_are_those_with_most_images_or_those_that_are_named():
    labels, signers = ["A", "B"] * 9, of_signers(("p", 4), ("q", 8), ("r", 6))
    for asked, drawn in ((2, {"q", "r"}), (["p"], {"p"}), ("all", {"p", "q", "r"})):
        rows = draw(labels, range(18), params(per_class="all", signers=asked), 0, signers)
        assert {signers[row] for row in rows} == drawn


@pytest.mark.parametrize(
    ("asked", "signers", "said"),
    [
        (2, None, "sample.signers: the dataset does not know its signers. Set it to all."),
        (3, list("pq"), "sample.signers: 3 asked for, the dataset has 2: p, q."),
        (["z"], list("pq"), "sample.signers: the dataset has no signer 'z'. There are: p, q."),
    ],
)
def test_signers_that_are_not_there_are_refused(asked, signers, said):
    with pytest.raises(SignBridgeError, match=re.escape(said)):
        draw(list("AB"), range(2), params(per_class=1, signers=asked), 0, signers)
