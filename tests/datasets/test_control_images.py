"""What controls show: no letter of the row's own, photos kept together, one mean grey."""

from collections import Counter, defaultdict

import numpy as np
import pytest
from pydantic import ValidationError

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.control_images import (
    ControlsParams,
    mean_grey,
    other_letter_rows,
    uniform_image,
)
from signbridge.datasets.images import decode_png, encode_png

# Images of each photo, letter by letter. The names are photos' letters.
BALANCED = {"A": [3, 1, 2], "B": [2, 2, 2], "C": [1, 4, 1]}
TWO_LETTERS = {"A": [1, 2], "B": [3, 1]}
HALF_IN_ONE = {"A": [1, 2, 1, 1], "B": [2, 1], "C": [1, 1]}
MOST_IN_ONE = {"A": [1, 2, 1, 1, 3], "B": [2], "C": [1]}
ONE_AGAINST_MANY = {"A": [1], "B": [2] * 9}
ALL = [BALANCED, TWO_LETTERS, HALF_IN_ONE, MOST_IN_ONE, ONE_AGAINST_MANY]


def sample(letters: dict[str, list[int]], seed: int = 0) -> tuple[list[str], list[str]]:
    """Labels and photos of a sample, one entry an image, in random order."""
    photos = [f"{letter}-{i}" for letter, sizes in letters.items() for i, size in enumerate(sizes) for _ in range(size)]
    photos = np.random.default_rng(seed).permutation(photos).tolist()
    return [photo[0] for photo in photos], photos


def assigned(letters: dict[str, list[int]], seed: int = 0) -> tuple[list[str], list[str], np.ndarray]:
    labels, photos = sample(letters)
    return labels, photos, other_letter_rows(labels, photos, np.random.default_rng(seed))


@pytest.mark.parametrize("letters", ALL)
@pytest.mark.parametrize("seed", range(20))
def test_no_row_is_shown_its_own_letter(letters, seed):
    labels, _, shown = assigned(letters, seed)
    assert all(labels[row] != label for row, label in zip(shown, labels, strict=True))


@pytest.mark.parametrize("letters", ALL)
@pytest.mark.parametrize("seed", range(20))
def test_copies_of_one_photo_are_shown_all_copies_of_one_other_in_turn(letters, seed):
    _, photos, shown = assigned(letters, seed)
    shown_for = defaultdict(list)
    for row, other in enumerate(shown):
        shown_for[photos[row]].append(other)
    for photo, others in shown_for.items():
        (donor,) = {photos[other] for other in others}
        there = [row for row, of in enumerate(photos) if of == donor]
        assert others == [there[i % len(there)] for i in range(len(others))], photo


@pytest.mark.parametrize("letters", [BALANCED, TWO_LETTERS, HALF_IN_ONE])
@pytest.mark.parametrize("seed", range(20))
def test_each_photo_is_shown_for_one_other_so_that_no_grouped_split_shares_it(letters, seed):
    _, photos, shown = assigned(letters, seed)
    donors = {photo: photos[other] for photo, other in zip(photos, shown, strict=True)}
    assert sorted(donors.values()) == sorted(donors)


def test_the_shown_letter_tells_no_more_than_which_letter_a_row_is_not():
    """Or a probe would read the label off the image shown: every pair of letters must be as frequent as another."""
    letters = {letter: [1] * 12 for letter in "ABCDE"}
    labels, photos = sample(letters)
    pairs = Counter()
    for seed in range(200):
        shown = other_letter_rows(labels, photos, np.random.default_rng(seed))
        pairs.update((label, labels[row]) for label, row in zip(labels, shown, strict=True))
    assert len(pairs) == 5 * 4
    expected = 200 * 60 / 20
    assert max(abs(count - expected) for count in pairs.values()) < 5 * expected**0.5


def test_a_seed_gives_one_assignment_and_another_seed_another():
    *_, first = assigned(BALANCED, seed=1)
    *_, again = assigned(BALANCED, seed=1)
    *_, other = assigned(BALANCED, seed=2)
    assert first.tolist() == again.tolist() != other.tolist()


@pytest.mark.parametrize(("labels", "said"), [(["A", "A"], "the sample has 1: A"), ([], "the sample has 0: none")])
def test_a_sample_without_another_letter_is_refused_by_name(labels, said):
    photos = [f"{label}-{i}" for i, label in enumerate(labels)]
    with pytest.raises(SignBridgeError, match=r"controls\.read: other_letter needs two letters") as refused:
        other_letter_rows(labels, photos, np.random.default_rng(0))
    assert said in str(refused.value)
    assert "leave other_letter out" in str(refused.value)


def test_the_mean_is_over_all_pixels_of_all_images_in_grey():
    dark = encode_png(np.full((2, 2), 10, dtype=np.uint8))
    bright = encode_png(np.full((4, 3, 3), 200, dtype=np.uint8))  # in colour
    assert mean_grey([dark, bright]) == round((4 * 10 + 12 * 200) / 16)


def test_the_uniform_image_is_as_large_as_the_one_it_stands_for():
    image = decode_png(uniform_image(encode_png(np.zeros((5, 7, 3), dtype=np.uint8)), 93))
    assert image.shape == (5, 7)
    assert set(image.ravel()) == {93}


def test_controls_may_be_none_and_a_misspelt_one_is_refused():
    assert ControlsParams(read=[], twin_seed=1).read == []
    with pytest.raises(ValidationError, match="untrained_twin"):
        ControlsParams(read=["untrained"], twin_seed=1)
