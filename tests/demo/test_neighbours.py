"""The nearest images of the sample, by distance in the probe's features."""

import numpy as np
import pytest
from sklearn.neighbors import NearestNeighbors

from signbridge.demo.neighbours import NEIGHBOURS, Neighbourhood
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
    found = Neighbourhood(vectors, photos, probe).nearest(vectors[7] + 3)
    scaled = (vectors - probe.mean) / probe.scale
    search = NearestNeighbors(n_neighbors=NEIGHBOURS).fit(scaled)
    distances, rows = search.kneighbors((vectors[7:8] + 3 - probe.mean) / probe.scale)
    assert found.rows == rows[0].tolist()
    np.testing.assert_allclose(found.distances, distances[0] / np.sqrt(WIDTH), rtol=1e-5)


def test_a_picture_of_the_sample_is_not_its_own_neighbour(cloud):
    vectors, photos, probe = cloud
    neighbourhood = Neighbourhood(vectors, photos, probe)
    assert photos[4] not in photos[neighbourhood.nearest(vectors[4], photo=photos[4]).rows]
    assert neighbourhood.nearest(vectors[4]).rows[0] == 4


def test_where_all_vectors_are_one_the_site_is_blind(cloud):
    vectors, photos, probe = cloud
    assert Neighbourhood(np.ones_like(vectors), photos, probe).is_blind
    assert not Neighbourhood(vectors, photos, probe).is_blind


def test_fewer_images_than_neighbours_will_do():
    vectors = np.eye(3, dtype=np.float32)
    probe = Probe(["A", "B"], np.zeros((2, 3)), np.zeros(2), np.zeros(3), np.ones(3))
    found = Neighbourhood(vectors, np.array(["a", "b", "b"]), probe).nearest(vectors[0], photo="a")
    assert sorted(found.rows) == [1, 2]
    assert len(found.distances) == 2
