"""The verdict on a picture: honest about hands that it has not seen, and never green for what is no hand."""

import numpy as np
import pandas as pd
import pytest
from sklearn.covariance import ledoit_wolf
from sklearn.neighbors import NearestNeighbors

from signbridge.demo.analysis import Analysis, Picture
from signbridge.demo.familiarity import FAR, MOST_IMAGES, RATHER_FAR, Comparison, Familiarity, _Fold
from signbridge.demo.study import DemoStudy
from signbridge.probing.probes import Probe
from tests.demo.non_hands import KINDS

WIDTH, PHOTOS, COPIES = 12, 60, 3
PLACES = [("vision", "image_mean"), ("layer_00", "prompt_last"), ("layer_01", "prompt_last")]


def photos_of(count: int) -> np.ndarray:
    return np.repeat([f"p{number:03d}" for number in range(count)], COPIES)


def cloud(generator: np.random.Generator, photos: int = PHOTOS, copies: int = COPIES) -> dict:
    """Vectors at three places: of a photo's copies nearly the same, in the last dimensions hardly any difference."""
    spread = np.geomspace(1, 0.01, WIDTH)
    centres = {place: generator.normal(size=(photos, WIDTH)) for place in PLACES}
    return {
        place: ((np.repeat(own, copies, axis=0) + 0.05 * generator.normal(size=(photos * copies, WIDTH))) * spread)
        for place, own in centres.items()
    }


def compared(vectors: dict, photos: np.ndarray) -> Comparison:
    probes = {
        place: Probe(["A", "B"], np.zeros((2, WIDTH)), np.zeros(2), rows.mean(axis=0), np.ones(WIDTH))
        for place, rows in vectors.items()
    }
    return Comparison(lambda place, rows: vectors[place][rows], probes, photos)


def one(vectors: dict, row: int) -> dict:
    return {place: rows[row] for place, rows in vectors.items()}


@pytest.fixture(scope="module")
def sample() -> tuple[dict, Comparison]:
    vectors = cloud(np.random.default_rng(0))
    return vectors, compared(vectors, photos_of(PHOTOS))


def test_of_new_hands_no_more_are_warned_of_than_is_said_however_many_sites_there_are(sample):
    new = cloud(np.random.default_rng(1), photos=300, copies=1)
    shares = np.array([sample[1].familiarity(one(new, row)).share for row in range(300)])
    assert 0.005 < (shares >= FAR).mean() < 0.13
    assert 0.1 < (shares >= RATHER_FAR).mean() < 0.35


@pytest.mark.parametrize("direction", [0, WIDTH - 1])
def test_what_is_strange_at_one_site_alone_is_strange(sample, direction):
    """Far out, or moved where hands never differ; elsewhere it is a hand of the sample."""
    vectors, comparison = sample
    strange = one(vectors, 5)
    strange["layer_00", "prompt_last"] = strange["layer_00", "prompt_last"].copy()
    strange["layer_00", "prompt_last"][direction] += 6 if direction == 0 else 1
    found = comparison.familiarity(strange)
    assert found.level == "unfamiliar"
    assert found.where == ("layer_00", "prompt_last")


def test_a_picture_of_the_sample_is_compared_with_other_photos_alone(sample):
    vectors, comparison = sample
    copies = [comparison.familiarity(one(vectors, row)).share for row in range(0, 180, 3)]
    without = [comparison.familiarity(one(vectors, row), f"p{row // 3:03d}").share for row in range(0, 180, 3)]
    assert np.mean(copies) < 0.2  # its own copies are near
    assert 0.3 < np.mean(without) < 0.7


def test_distances_are_those_of_scikit_learn():
    """From the products alone, with the covariance of `ledoit_wolf` inverted in full."""
    generator = np.random.default_rng(2)
    training, new = generator.normal(size=(40, WIDTH)) * np.geomspace(1, 0.1, WIDTH), generator.normal(size=(7, WIDTH))
    found = _Fold(training @ training.T, np.arange(40), WIDTH).distances(new @ training.T, (new**2).sum(axis=1))
    plain, _ = NearestNeighbors(n_neighbors=5).fit(training).kneighbors(new)
    np.testing.assert_allclose(found[:, 0], plain.mean(axis=1), rtol=1e-6)
    covariance, _ = ledoit_wolf(training)
    whitening = np.linalg.cholesky(np.linalg.inv(covariance))
    whitened = [(rows - training.mean(axis=0)) @ whitening for rows in (training, new)]
    units = [rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in whitened]
    turned, _ = NearestNeighbors(n_neighbors=5).fit(units[0]).kneighbors(units[1])
    np.testing.assert_allclose(found[:, 1], turned.mean(axis=1), rtol=1e-6)


def test_a_site_that_sees_nothing_takes_no_part():
    vectors = cloud(np.random.default_rng(0))
    vectors["embedding", "prompt_last"] = np.ones((PHOTOS * COPIES, WIDTH))
    comparison = compared(vectors, photos_of(PHOTOS))
    assert set(comparison.places) == set(PLACES)
    assert comparison.familiarity(one(vectors, 0)).where in PLACES


def test_a_large_sample_is_compared_in_part():
    photos = photos_of(MOST_IMAGES)
    comparison = compared({PLACES[0]: np.random.default_rng(0).normal(size=(len(photos), WIDTH))}, photos)
    assert comparison.familiarity({PLACES[0]: np.zeros(WIDTH)}).images == MOST_IMAGES


@pytest.mark.parametrize(
    ("share", "images", "level"),
    [
        (0.97, 300, "unfamiliar"),
        (FAR, 300, "unfamiliar"),
        (0.94, 300, "careful"),
        (0.5, 300, "familiar"),
        (0.5, 18, "untold"),
    ],
)
def test_the_level_says_what_to_do(share, images, level):
    assert Familiarity(share, PLACES[0], images).level == level


def test_a_sample_of_one_photo_tells_nothing():
    comparison = compared({PLACES[0]: np.random.default_rng(0).normal(size=(3, WIDTH))}, photos_of(1))
    assert comparison.familiarity({PLACES[0]: np.zeros(WIDTH)}).level == "untold"


@pytest.fixture(scope="module")
def analysis(finished, reader) -> Analysis:
    with pytest.MonkeyPatch.context() as here:
        here.chdir(finished)
        analysis = Analysis(DemoStudy(), lambda: reader)
        analysis.reader()
        return analysis


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("like_dataset", [True, False])
def test_what_is_no_hand_is_never_said_to_look_like_one(analysis, in_study, kind, like_dataset):
    """One verdict for all sites, so it holds whichever is shown."""
    for seed in range(2):
        reading = analysis.read(Picture(KINDS[kind](seed), []), like_dataset)
        assert analysis.familiarity(reading).level in {"careful", "unfamiliar"}, seed


def test_most_hands_that_the_study_has_not_seen_pass(analysis, in_study):
    study = analysis.study
    table = pd.read_parquet("data/images.parquet").merge(pd.read_parquet("data/photos.parquet"), on="image_id")
    unseen = table[~table["photo"].isin(study.sample["photo"]) & table["label"].isin(study.letters)]
    shown = unseen.drop_duplicates("photo")["image"]
    levels = []
    for png in shown:
        reading = analysis.read(Picture(study.image(png), [], of_sample=True), True)
        levels.append(analysis.familiarity(reading).level)
    assert len(levels) >= 2
    assert levels.count("unfamiliar") <= len(levels) / 2
