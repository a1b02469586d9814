"""What splicers read, as tables: held to the vectors themselves."""

import numpy as np
import pytest

from signbridge.core import tables
from signbridge.core.shards import Shard, write_shard
from signbridge.sae.features import deviations, feature_rows, item_table, modality_scores
from signbridge.statistics.autoencoders import items_of

SITE, WIDTH, FEATURES = "layer_03", 4, 3
SUMS = ("tokens", "error", "active", "nll", "nll_sae", "nll_zero", "nll_sae_all", "nll_zero_all", "off_centre")


def shard(path, tokens: list[int], mass: list[list[float]], fires: list[list[int]]) -> list:
    """Items with these numbers of tokens and sums of their features; whatever else there is are numbers in order."""
    count = len(tokens)
    arrays = {name: np.arange(count) + 10.0 * place for place, name in enumerate(SUMS)}
    arrays |= {
        "tokens": np.array(tokens), "mass": np.array(mass, np.float32), "fires": np.array(fires, np.int32),
        "squares": np.full(count, 100.0), "total": np.ones((count, WIDTH)),
    }  # fmt: skip
    write_shard(path, Shard({f"{SITE}.{name}": of for name, of in arrays.items()}, [""] * count, ""))
    return [path]


@pytest.fixture
def shards(tmp_path) -> dict[str, list]:
    """Twice as many image as text tokens; features of images alone, of both alike, and of none."""
    return {
        "image": shard(tmp_path / "i", [30, 10], [[8, 20, 0], [0, 20, 0]], [[1, 2, 0], [0, 4, 0]]),
        "text": shard(tmp_path / "t", [20], [[0, 20, 0]], [[0, 5, 0]]),
    }


def test_deviations_are_distances_from_the_mean_of_all_tokens():
    generator = np.random.default_rng(0)
    items = [50 + generator.normal(size=(count, 6)) for count in (3, 1, 8)]
    every = np.concatenate(items)
    expected = [((item - every.mean(0)) ** 2).sum() for item in items]
    found = deviations(
        np.array([len(item) for item in items]),
        np.array([(item**2).sum() for item in items]),
        np.array([item.sum(0) for item in items]),
    )
    np.testing.assert_allclose(found, expected, rtol=1e-9)


def test_a_feature_of_images_alone_scores_1_one_of_both_a_half_and_a_dead_one_nothing(shards):
    rows = feature_rows(SITE, shards)
    np.testing.assert_array_equal(rows["modality"], [1.0, 0.5, np.nan])
    np.testing.assert_allclose(rows["image_mean"], [0.2, 1.0, 0])
    np.testing.assert_allclose(rows["text_mean"], [0, 1.0, 0])
    np.testing.assert_allclose(rows["image_fires"], [1 / 40, 6 / 40, 0])
    np.testing.assert_allclose(rows["text_fires"], [0, 5 / 20, 0])
    assert rows["feature"].tolist() == [0, 1, 2]
    assert set(rows["site"]) == {SITE}


def test_modality_counts_the_kinds_alike():
    np.testing.assert_allclose(modality_scores(np.array([1.0, 3.0, 0.0]), np.array([1.0, 1.0, 2.0])), [0.5, 0.75, 0])


def test_items_come_back_with_their_masses(shards, tmp_path):
    table = item_table(SITE, {"image": (["a0", "b0"], shards["image"]), "text": (["A hand."], shards["text"])})
    tables.write(table, tmp_path / f"{SITE}.parquet", {})
    items, lists = items_of(tmp_path, SITE)
    assert items["item"].tolist() == ["a0", "b0", "A hand."]
    assert items["kind"].tolist() == ["image", "image", "text"]
    assert items["nll_sae"].tolist() == [40, 41, 40]
    assert set(lists) == {"mass"}
    np.testing.assert_array_equal(lists["mass"], [[8, 20, 0], [0, 20, 0], [0, 20, 0]])
