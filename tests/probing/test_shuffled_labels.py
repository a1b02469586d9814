"""Labels that mean nothing: one a photo, as common as the letters, and at chance when probed."""

import numpy as np
import pytest

from signbridge.probing import protocols
from signbridge.probing.control_sweep import accuracy_of_draws, draws_by_repeat, shuffle_over_photos
from signbridge.probing.sweep import Cell, accuracy_of_labels

PHOTOS = np.repeat(np.arange(40), 3)
TARGETS = np.repeat(np.repeat([0, 1, 2, 3], [16, 12, 8, 4]), 3)


def test_each_photo_has_one_label_and_each_label_as_many_photos_as_before():
    shuffled = shuffle_over_photos(TARGETS, PHOTOS, np.random.default_rng(0))
    of_photo = shuffled.reshape(40, 3)
    assert (of_photo == of_photo[:, :1]).all()
    assert np.bincount(of_photo[:, 0]).tolist() == [16, 12, 8, 4]
    assert (shuffled != TARGETS).any()


def test_photos_of_any_size_in_any_order_keep_one_label_each():
    generator = np.random.default_rng(1)
    photos = generator.integers(0, 12, size=80).astype(str)
    targets = np.unique(photos, return_inverse=True)[1] % 3
    shuffled = shuffle_over_photos(targets, photos, generator)
    for photo in np.unique(photos):
        assert len(set(shuffled[photos == photo])) == 1


def test_each_draw_is_scored_in_one_repeat_in_turn_and_no_two_are_alike():
    splits = protocols.grouped(TARGETS.astype(str), PHOTOS, folds=4, repeats=3, inner_folds=2, seed=0)
    by_repeat = draws_by_repeat(TARGETS, PHOTOS, splits, draws=5, seed=0)
    assert [len(draws) for draws in by_repeat] == [2, 2, 1]
    assert len({tuple(draw) for draws in by_repeat for draw in draws}) == 5
    assert draws_by_repeat(TARGETS, PHOTOS, splits, draws=0, seed=0) == [[], [], []]


def test_every_fold_keeps_its_labels_so_that_it_stays_balanced():
    splits = protocols.grouped(TARGETS.astype(str), PHOTOS, folds=4, repeats=2, inner_folds=2, seed=0)
    by_repeat = draws_by_repeat(TARGETS, PHOTOS, splits, draws=4, seed=0)
    for split in splits:
        for draw in by_repeat[split.repeat]:
            np.testing.assert_array_equal(np.bincount(draw[split.test]), np.bincount(TARGETS[split.test]))


def test_the_accuracy_of_a_draw_is_over_all_images_of_the_repeat_that_scored_it():
    masks = np.repeat(np.eye(2, dtype=bool), [1, 3], axis=1)  # folds of one image and of three
    splits = [
        protocols.Split("grouped", repeat, fold, ~masks[fold], masks[fold]) for repeat in (0, 1) for fold in (0, 1)
    ]
    accuracies = [np.array([1.0, 0.0]), np.array([1 / 3, 1.0]), np.array([0.0]), np.array([2 / 3])]
    table = accuracy_of_draws(accuracies, splits)
    assert table["draw"].tolist() == [0, 1, 2]
    np.testing.assert_allclose(table["accuracy"], [2 / 4, 2 / 4, 3 / 4])


def test_shuffled_labels_are_read_at_chance_from_vectors_that_give_the_letters_away():
    """Nor from what copies have in common: they stand on one side."""
    generator = np.random.default_rng(2)
    targets, photos = np.repeat(np.arange(4), 30), np.repeat(np.arange(60), 2)
    of_photo = generator.normal(size=(60, 40))[photos]
    cell = Cell("layer_00", "prompt_last", 3 * np.eye(4)[targets] @ generator.normal(size=(4, 40)) + of_photo)
    splits = protocols.grouped(targets.astype(str), photos, folds=4, repeats=2, inner_folds=2, seed=0)
    Cs = {("layer_00", "prompt_last"): [0.1] * 8}
    draws = draws_by_repeat(targets, photos, splits, draws=40, seed=3)
    table = accuracy_of_draws(accuracy_of_labels(cell, splits, Cs, draws), splits)
    assert table["draw"].tolist() == list(range(40))
    assert table["accuracy"].mean() == pytest.approx(0.25, abs=0.02)
    truth = accuracy_of_draws(accuracy_of_labels(cell, splits, Cs, [[targets], []]), splits)
    assert truth["accuracy"].tolist() == [1.0]
