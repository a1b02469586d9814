"""Distance to the nearest neighbours, on the scale of the sample's own distances."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from signbridge.demo.familiarity import NEIGHBOURS, Neighbourhood
from signbridge.probing.probes import Probe

WIDTH, PHOTOS, COPIES = 12, 30, 3


@pytest.fixture
def cloud():
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(PHOTOS, WIDTH))
    photos = np.repeat([f"p{number:02d}" for number in range(PHOTOS)], COPIES)
    vectors = np.repeat(centres, COPIES, axis=0) + 0.05 * generator.normal(size=(PHOTOS * COPIES, WIDTH))
    vectors = (5 + 100 * vectors).astype(np.float32)
    probe = Probe(["A", "B"], np.zeros((2, WIDTH)), np.zeros(2), vectors.mean(axis=0), vectors.std(axis=0))
    return vectors, photos, probe


def test_neighbours_and_distances_are_those_of_scikit_learn(cloud):
    vectors, photos, probe = cloud
    found = Neighbourhood(vectors, photos, probe).familiarity(vectors[7] + 3)
    scaled = (vectors - probe.mean) / probe.scale
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scaled)
    distances, rows = search.kneighbors((vectors[7:8] + 3 - probe.mean) / probe.scale)
    assert found.nearest == rows[0].tolist()
    np.testing.assert_allclose(found.distances, distances[0] / np.sqrt(WIDTH), rtol=1e-5)


def test_a_picture_of_the_sample_is_not_its_own_neighbour(cloud):
    vectors, photos, probe = cloud
    neighbourhood = Neighbourhood(vectors, photos, probe)
    own = neighbourhood.familiarity(vectors[4], photo=photos[4])
    assert photos[4] not in photos[own.nearest]
    assert neighbourhood.familiarity(vectors[4]).nearest[0] == 4


def test_the_sample_itself_spreads_evenly_over_the_percentiles(cloud):
    vectors, photos, probe = cloud
    neighbourhood = Neighbourhood(vectors, photos, probe)
    percentiles = [neighbourhood.familiarity(row, photo).percentile for row, photo in zip(vectors, photos, strict=True)]
    np.testing.assert_allclose(np.sort(percentiles), np.arange(len(vectors)) / len(vectors), atol=0.02)


@pytest.mark.parametrize(("shift", "low", "high"), [(0.0, 0.0, 0.9), (500.0, 1.0, 1.0)])
def test_what_lies_far_out_is_farther_than_all(cloud, shift, low, high):
    vectors, photos, probe = cloud
    inside = vectors[:3].mean(axis=0) + shift
    assert low <= Neighbourhood(vectors, photos, probe).familiarity(inside).percentile <= high


def test_where_all_vectors_are_one_there_is_no_percentile():
    vectors = np.ones((20, 4), np.float32)
    probe = Probe(["A", "B"], np.zeros((2, 4)), np.zeros(2), np.ones(4), np.ones(4))
    found = Neighbourhood(vectors, np.arange(20).astype(str), probe).familiarity(vectors[0])
    assert np.isnan(found.percentile)


def test_fewer_images_than_neighbours_will_do():
    vectors = np.eye(3, dtype=np.float32)
    probe = Probe(["A", "B"], np.zeros((2, 3)), np.zeros(2), np.zeros(3), np.ones(3))
    found = Neighbourhood(vectors, np.array(["a", "b", "b"]), probe).familiarity(vectors[0], photo="a")
    assert sorted(found.nearest) == [1, 2]
    assert len(found.distances) == 2
