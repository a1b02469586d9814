"""From classes to features: what is summed, dropped and listed."""

import numpy as np
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.core.names import published_of_classes
from signbridge.statistics.class_features import class_features, share_found

LABELS = ["b", "a", "b", "a"]
#                  everywhere, a alone, b alone, tie of b, nowhere
ACTIVATIONS = np.array(
    [[9.0, 0, 0.5, 0.5, 0],
     [7.0, 2.0, 0, 0, 0],
     [8.0, 0, 3.0, 3.0, 0],
     [0.0, 1.5, 0, 0, 0]],
    np.float32,
)  # fmt: skip


def rows(table, name):
    return [tuple(row) for row in table[table["class"] == name][["rank", "feature", "activation"]].to_numpy().tolist()]


def test_activations_are_summed_over_the_images_of_a_class_and_the_strongest_come_first():
    found = class_features(ACTIVATIONS, LABELS, 10)
    assert rows(found.table, "a") == [(1, 1, 3.5)]
    assert rows(found.table, "b") == [(1, 2, 3.5), (2, 3, 3.5)]


def test_a_feature_that_fires_for_some_image_of_every_class_is_dropped_however_strong():
    found = class_features(ACTIVATIONS, LABELS, 10)
    assert found.dropped == 1
    assert 0 not in found.table["feature"].tolist()


def test_features_that_are_named_are_left_out_of_the_strongest_and_no_others():
    found = class_features(ACTIVATIONS, LABELS, 2, named=[0])
    assert found.dropped == 1
    assert rows(found.table, "a") == [(2, 1, 3.5)], "its rank counts the one that is left out"
    assert rows(found.table, "b") == [(2, 2, 3.5)], "the third is not taken instead"
    assert rows(class_features(ACTIVATIONS, LABELS, 2, named=[4]).table, "a") == [(1, 0, 7.0), (2, 1, 3.5)]


def test_a_named_feature_that_is_not_there_is_refused():
    with pytest.raises(SignBridgeError, match="there is no feature 5, they are 0 to 4"):
        class_features(ACTIVATIONS, LABELS, 2, named=[5])


def test_no_more_are_listed_than_asked_for():
    assert rows(class_features(ACTIVATIONS, LABELS, 1).table, "b") == [(1, 2, 3.5)]


def test_the_share_of_images_is_of_the_class():
    table = class_features(ACTIVATIONS, LABELS, 10).table
    assert table.set_index(["class", "feature"])["images_firing"].to_dict() == {("a", 1): 1, ("b", 2): 1, ("b", 3): 1}
    once = ACTIVATIONS.copy()
    once[3, 1] = 0
    assert class_features(once, LABELS, 10).table["images_firing"].tolist()[0] == 0.5


def test_one_class_alone_drops_nothing():
    found = class_features(ACTIVATIONS, ["a"] * 4, 2)
    assert found.dropped == 0
    assert rows(found.table, "a")[0] == (1, 0, 24.0)


def test_classes_without_features_have_no_row():
    table = class_features(np.zeros((4, 3), np.float32), LABELS, 10).table
    assert table.empty
    assert list(table.columns) == ["class", "rank", "feature", "activation", "images_firing"]


def test_classes_are_compared_by_their_words_and_features_counted_once():
    published = published_of_classes({"Golden retriever": [4501, 7], "pizza": [1]}, ["golden_retriever", "cat"])
    assert published == {"golden_retriever": {4501, 7}}
    table = class_features(ACTIVATIONS, LABELS, 10).table
    assert share_found(table, {"b": {2, 99}, "a": {1}, "gone": {5}}) == {"b": 0.5, "a": 1.0, "gone": 0.0}
