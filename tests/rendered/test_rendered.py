"""The rendered dataset: reproducible, in order, and copies that belong to their photo."""

from dataclasses import replace

import numpy as np
import pytest
from pydantic import ValidationError

from signbridge.core.params import DATASETS, section
from signbridge.rendered import dataset
from signbridge.rendered.dataset import RenderedParams, photo_in_numbers, render, signer_of
from signbridge.rendered.hand_photo import develop
from signbridge.rendered.letter_poses import LETTERS
from stages.fetch import fetch
from tests.conftest import ROOT


def params(**changes) -> RenderedParams:
    return RenderedParams(**{"source": "rendered", "seed": 7, "size": 28, "photos": 2, "copies": 3, **changes})


def by_id(images):
    return {image.image_id: image.pixels for image in images}


@pytest.fixture(scope="module")
def images():
    return render(params())


def test_ids_labels_and_order_are_letter_photo_copy(images):
    assert [image.image_id for image in images] == [
        f"{letter}-{photo:03d}-{copy}" for letter in LETTERS for photo in range(2) for copy in range(3)
    ]
    assert all(image.label == image.image_id[0] and image.split == "all" for image in images)


def test_images_are_grey_bytes_of_the_size_asked_for(images):
    assert {(image.pixels.shape, image.pixels.dtype.name) for image in images} == {((28, 28), "uint8")}
    assert min(image.pixels.std() for image in images) > 5, "a hand stands out from its background"


def test_equal_params_give_equal_pixels_and_another_seed_others(images):
    before = by_id(images)
    other = by_id(render(params(seed=8, photos=1)))
    for name, pixels in by_id(render(params(photos=1))).items():
        np.testing.assert_array_equal(pixels, before[name])
        assert not np.array_equal(pixels, other[name])


@pytest.mark.parametrize("changes", [{"photos": 1, "copies": 4}, {"photos": 3, "copies": 2}])
def test_asking_for_more_or_fewer_leaves_the_other_images_as_they_were(images, changes):
    before, after = by_id(images), by_id(render(params(**changes)))
    shared = before.keys() & after.keys()
    assert len(shared) == 24 * min(2, changes.get("photos", 2)) * min(3, changes.get("copies", 3))
    for name in shared:
        np.testing.assert_array_equal(before[name], after[name])


def test_a_larger_dataset_shows_the_same_hands(images):
    large = by_id(render(params(size=56, photos=1, copies=1)))
    for name, pixels in large.items():
        assert pixels.shape == (56, 56)
        small = pixels.reshape(28, 2, 28, 2).mean(axis=(1, 3))
        assert np.corrcoef(small.ravel(), by_id(images)[name].ravel())[0, 1] > 0.9


def test_odd_sizes_are_drawn_too():
    assert {image.pixels.shape for image in render(params(size=33, photos=1, copies=1))} == {(33, 33)}


def test_copies_resemble_their_own_photo_more_than_any_other(images):
    flat = np.stack([image.pixels.ravel() for image in images]).astype(float)
    correlation = np.corrcoef(flat)
    photo = np.array([image.image_id.rsplit("-", 1)[0] for image in images])
    same = photo[:, None] == photo
    assert correlation[same].min() > 0.88
    assert correlation[~same].max() < 0.98, "the threshold above which the photos stage calls images copies"


def test_copies_of_one_photo_differ(images):
    pixels = [image.pixels.tobytes() for image in images]
    assert len(set(pixels)) == len(pixels)


def test_the_numbers_behind_a_photo_are_those_it_was_drawn_from():
    photos = [photo_in_numbers(7, "V", number) for number in range(12)]
    assert photos[0] == photo_in_numbers(7, "V", 0)
    assert len({photo.pose.angles()["index_mcp"] for photo in photos}) == 12, "joints vary from photo to photo"
    for photo in photos:
        angles = photo.pose.angles()
        assert angles["ring_pip"] > 80
        assert angles["index_pip"] < 20, "and V keeps its index straight"


def test_a_left_hand_is_the_mirror_image_of_a_right_one():
    photo = replace(photo_in_numbers(7, "L", 0), left_handed=False)
    left, right = develop(replace(photo, left_handed=True), 112), develop(photo, 112)
    np.testing.assert_allclose(left, right[:, ::-1], atol=1 / 255)


@pytest.mark.parametrize("changes", [{"size": 7}, {"size": 513}, {"photos": 0}, {"copies": 0}, {"seed": -1}])
def test_params_out_of_range_are_refused(changes):
    with pytest.raises(ValidationError):
        params(**changes)


def test_the_table_of_images_names_the_params_that_the_entry_says_and_no_others(monkeypatch):
    monkeypatch.setattr(dataset, "render", lambda entry: [])  # what is drawn is not looked at
    _, made_by = fetch(params(photos=1))
    assert made_by == {"params": {"source": "rendered", "seed": 7, "size": 28, "photos": 1, "copies": 3}}
    signed = params(signers=2, colour=True)
    assert RenderedParams(**fetch(signed)[1]["params"]) == signed


def test_the_catalog_has_drawn_signers_in_colour():
    entry = section("rendered_signers", RenderedParams, ROOT / DATASETS)
    assert entry.colour
    assert entry.photos // entry.signers >= 4, "photos of a signer and letter"
    assert {signer_of(entry, "A", number)[0] for number in range(entry.photos)} == {
        f"signer-{number:02d}" for number in range(1, entry.signers + 1)
    }
