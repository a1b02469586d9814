"""Erasers are fitted on other photos than those that they erase: drawn ones, or the other half."""

import numpy as np
import pandas as pd
import pytest

from signbridge.causal.erasure import ErasureSweep
from signbridge.causal.erasure_fit import cross_fit, drawn_images, group_folds, reading_work
from signbridge.core.names import POSITION_OF
from signbridge.rendered.dataset import RenderedParams, copy_of, frame_of, further_photos, photo_in_numbers
from signbridge.rendered.hand_photo import develop
from signbridge.vlm.extraction import Reader
from tests.vlm.conftest import PROMPT

SWEEP = ErasureSweep(layers=1, at=["both"], draws=1, drawn=0, others=1)
DATASET = {"source": "rendered", "seed": 7, "size": 28, "photos": 2, "copies": 2}
MADE_BY = {"source": "rendered", "params": DATASET}
SITE = "layer_00"
LABELS = np.repeat(list("ABC"), 8)
PHOTOS = np.array([f"photo-{index // 2}" for index in range(24)])
SAMPLE = pd.DataFrame({"label": LABELS, "photo": PHOTOS, "group": PHOTOS})


def vectors_of_images(position: str) -> np.ndarray:
    return np.random.default_rng([7, *position.encode()]).normal(size=(24, 5))


def fitted(changed_rows: np.ndarray | None = None):
    """The parts of a cross-fit, where some images may have other vectors."""

    def vectors(_, position):
        rows = vectors_of_images(position)
        if changed_rows is not None:
            rows[changed_rows] += 100
        return rows

    return cross_fit(vectors, SAMPLE, [SITE], SWEEP, seed=0)


def test_every_image_is_erased_once_and_no_photo_by_erasers_that_were_fitted_on_it():
    """What is fitted for a fold stays the same whatever the fold's own images are, and changes with any others."""
    parts = fitted()
    assert sorted(np.concatenate([part.rows for part in parts])) == list(range(24))
    for number, part in enumerate(parts):
        others = np.setdiff1d(np.arange(24), part.rows)
        assert not set(PHOTOS[part.rows]) & set(PHOTOS[others])
        for rows, same in ((part.rows, True), (others[:1], False)):
            there = fitted(rows)[number].edits[SITE]
            for before, after in zip(part.edits[SITE], there, strict=True):
                for tokens in ("image", "prompt_last"):
                    equal = np.array_equal(before.of_tokens[tokens].mean, after.of_tokens[tokens].mean)
                    assert equal == same


def test_photos_are_folded_whole_and_as_often_as_the_rarest_letter_allows():
    assert len(group_folds(LABELS, PHOTOS, 0)) == 4
    few = np.where(LABELS == "A", np.char.add("a", (np.arange(24) % 2).astype(str)), PHOTOS)
    assert len(group_folds(LABELS, few, 0)) == 2


def test_drawn_images_are_of_the_sample_s_letters_and_of_no_photo_of_the_dataset():
    drawn = drawn_images(MADE_BY, LABELS, 7)
    assert drawn.labels.tolist() == list("AABBCC")
    further = further_photos(RenderedParams(**DATASET), "ABC", 2)
    assert [image.image_id for image in further] == [f"{letter}-{photo:03d}-0" for letter in "ABC" for photo in (2, 3)]
    for picture, image in zip(drawn.images, further, strict=True):
        np.testing.assert_array_equal(np.asarray(picture), np.repeat(image.pixels[..., None], 3, axis=2))
    as_of_more = copy_of(develop(photo_in_numbers(7, "B", 3), frame_of(28)), 28, 7, "B", 3, 0)
    np.testing.assert_array_equal(further[3].pixels, as_of_more)


@pytest.mark.parametrize("dataset", [{"source": "image_folder"}, {}, MADE_BY], ids=["folder", "unknown", "none asked"])
def test_where_images_cannot_be_drawn_or_none_are_wanted_there_are_none(dataset):
    assert drawn_images(dataset, LABELS, 0 if dataset is MADE_BY else 100).images == []


def test_images_are_read_at_the_wanted_sites_as_extract_reads_them(tiny, images):
    reader = Reader(tiny, PROMPT, 1, batch_size=4)
    everything = reader.read(images).vectors
    found = reader.read(images, reading_work(reader, ["layer_02", "layer_05"])).vectors
    assert set(found) == {f"{site}.{place}" for site in ("layer_02", "layer_05") for place in POSITION_OF.values()}
    for name, rows in found.items():
        np.testing.assert_allclose(rows, everything[name], rtol=1e-4, atol=1e-4, err_msg=name)
