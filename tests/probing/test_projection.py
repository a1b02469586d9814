"""UMAP of one site."""

import warnings

import numpy as np
import pandas as pd
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.probing.projection import ProjectParams, choose_site, project

SITES = ["pixels", "vision", "projector", "embedding", "layer_00", "layer_01"]


def params(**changes) -> ProjectParams:
    return ProjectParams(**{"site": "best", "position": "prompt_last", "neighbors": 5, "min_dist": 0.1, **changes})


def choices(position: str = "prompt_last", sites: tuple[str, ...] = ("vision", "layer_00", "layer_01")) -> pd.DataFrame:
    """Three folds, in which `vision` reads best; of the layers two choose `layer_01`, and one, by more, `layer_00`."""
    read = {"vision": [1.0, 1.0, 1.0], "layer_00": [0.5, 0.5, 0.9], "layer_01": [0.6, 0.6, 0.1]}
    folds = {"protocol": "grouped", "position": position, "repeat": 0, "fold": [0, 1, 2], "C": 1.0}
    tables = [pd.DataFrame({**folds, "site": site, "inner_accuracy": read[site]}) for site in sites]
    return pd.concat(tables, ignore_index=True)


def clusters(images: int = 40, width: int = 6, seed: int = 0) -> np.ndarray:
    """Two clouds far apart, the first half of the rows and the second."""
    generator = np.random.default_rng(seed)
    vectors = generator.normal(size=(images, width))
    vectors[images // 2 :] += 20
    return vectors.astype(np.float32)


def test_the_best_site_is_the_layer_that_most_folds_chose():
    assert choose_site(params(), SITES, choices()) == "layer_01"


def test_a_named_site_is_taken_whatever_was_probed():
    assert choose_site(params(site="vision", position="image_mean"), SITES, choices().iloc[:0]) == "vision"


@pytest.mark.parametrize(("site", "position"), [("vision", "prompt_last"), ("best", "prompt_first")])
def test_a_position_that_the_site_does_not_have_is_refused(site, position):
    with pytest.raises(
        SignBridgeError, match=rf"project\.position: no position '{position}'\. There are: .*image_mean"
    ):
        choose_site(params(site=site, position=position), SITES, choices())


def test_an_unknown_site_is_refused_by_naming_those_there_are():
    with pytest.raises(
        SignBridgeError, match=r"project\.site: no site 'layer_7'\. There are: best, pixels, .*layer_01"
    ):
        choose_site(params(site="layer_7"), SITES, choices())


@pytest.mark.parametrize("probed", [choices().iloc[:0], choices("image_mean"), choices(sites=("vision",))])
def test_the_best_of_nothing_is_refused_by_saying_what_was_not_probed(probed):
    with pytest.raises(SignBridgeError, match=r"needs a layer probed under 'grouped' at 'prompt_last'"):
        choose_site(params(), SITES, probed)


def test_images_that_are_alike_lie_together_and_nothing_is_warned_of():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        coordinates = project(clusters(), params(), seed=0)
    first, second = coordinates[:20], coordinates[20:]
    spread = max(np.ptp(first, axis=0).max(), np.ptp(second, axis=0).max())
    assert np.linalg.norm(first.mean(axis=0) - second.mean(axis=0)) > spread


@pytest.mark.slow
def test_a_seed_gives_the_same_bytes_and_another_seed_others():
    first, again, other = (project(clusters(), params(), seed) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()


def test_as_few_images_as_the_message_allows_are_enough():
    assert np.isfinite(project(clusters(images=4), params(neighbors=2), seed=0)).all()
    assert np.isfinite(project(clusters(images=6), params(neighbors=5), seed=0)).all()


@pytest.mark.parametrize(("images", "neighbors", "needed"), [(3, 2, 4), (5, 5, 6), (1, 15, 16)])
def test_too_few_images_are_refused_by_saying_how_many_it_takes(images, neighbors, needed):
    message = rf"{neighbors} neighbours need {needed} images or more, and the sample has {images}\."
    with pytest.raises(SignBridgeError, match=message):
        project(clusters(images), params(neighbors=neighbors), seed=0)


@pytest.mark.slow
def test_images_with_one_and_the_same_vector_still_get_a_place():
    assert np.isfinite(project(np.ones((30, 8), np.float32), params(), seed=0)).all()
