"""Drawn signers: who signs which photo, what is theirs, and what it is worth to have seen them."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError

from signbridge.datasets.hands import joint_angles
from signbridge.datasets.images import check_known
from signbridge.probing.signers import signer_splits, signers_table
from signbridge.probing.sweep import Cell, predict
from signbridge.rendered.dataset import (
    RenderedParams,
    first_further,
    further_photos,
    hand_in,
    image_id,
    photo_in,
    photo_in_numbers,
    render,
    signer_of,
)
from signbridge.rendered.hand_photo import Photo, develop, hand_mask
from signbridge.rendered.hands_table import hands_table
from signbridge.rendered.letter_poses import LETTER_POSES
from signbridge.rendered.minimal_pairs import minimal_pairs
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.signers import seen_and_unseen
from tests.rendered.signers import Signed, signer_a_mere_name, signer_easy_letter_hard


def params(**changes) -> RenderedParams:
    default = {"source": "rendered", "seed": 7, "size": 28, "photos": 6, "copies": 1, "signers": 3}
    return RenderedParams(**{**default, **changes})


def angles(photo: Photo) -> np.ndarray:
    return np.array(list(photo.pose.angles().values()))


def test_an_entry_without_signers_names_none_and_draws_what_it_drew_before():
    old = RenderedParams(source="rendered", seed=7, size=28, photos=1, copies=2)
    images = render(old, "V")
    assert check_known(images) == []
    assert photo_in(old, "V", 5) == photo_in_numbers(7, "V", 5)
    np.testing.assert_allclose(
        [image.pixels.reshape(4, 7, 28).mean(axis=(1, 2)) for image in images],
        [[131.05, 139.48, 128.95, 128.08], [118.64, 127.22, 116.51, 115.68]],  # before there were signers
        atol=0.5,
    )


def test_photos_are_spread_evenly_over_the_signers_letter_by_letter():
    images = render(params(photos=4, copies=2), "AB")
    assert check_known(images) == ["signer"]
    for letter in "AB":
        of_letter = [image.signer for image in images if image.label == letter and image.image_id.endswith("-0")]
        assert of_letter == [f"signer-0{number}" for number in (1, 2, 3, 1)]
    by_photo = {image.image_id[:5]: set() for image in images}
    for image in images:
        by_photo[image.image_id[:5]].add(image.signer)
    assert all(len(signers) == 1 for signers in by_photo.values()), "a photo's copies are its signer's"


def test_more_photos_and_copies_leave_the_others_as_they_were():
    few, many = (
        {image.image_id: image.pixels.tobytes() for image in render(params(photos=photos, copies=copies), "K")}
        for photos, copies in ((3, 1), (5, 2))
    )
    assert len(few) == 3
    assert len(many) == 10
    assert few.items() <= many.items()


def test_more_signers_leave_the_photos_of_the_others_as_they_were():
    three, five = (
        {
            (signer_of(entry, "K", number), number // entry.signers): photo_in(entry, "K", number)
            for number in range(entry.photos)
        }
        for entry in (params(accent=5.0), params(accent=5.0, signers=5, photos=10))
    )
    assert len(three) == 6
    assert three.items() <= five.items()


def test_an_accent_is_the_same_in_all_photos_of_a_signer_and_letter_and_in_no_others():
    plain, with_accent = params(), params(accent=6.0)
    offsets = {
        (letter, number): angles(photo_in(with_accent, letter, number)) - angles(photo_in(plain, letter, number))
        for letter in "LY"
        for number in range(6)
    }
    for letter in "LY":
        np.testing.assert_allclose(offsets[letter, 0], offsets[letter, 3], atol=1e-9)
    distinct = [offsets[letter, number] for letter in "LY" for number in range(3)]
    assert np.mean([np.std(offset) for offset in distinct]) == pytest.approx(6, rel=0.3)
    assert all(np.abs(one - other).max() > 5 for n, one in enumerate(distinct) for other in distinct[:n])


def test_the_table_of_hands_knows_of_the_accent():
    entry = params(accent=20.0)
    ids = [image_id("L", number, 0) for number in range(6)]
    found = joint_angles(hands_table(ids, ["L"] * 6, entry))
    np.testing.assert_allclose(found, [angles(photo_in(entry, "L", number)) for number in range(6)])
    assert np.abs(found - angles_of_letter("L")).to_numpy().max() > 30


def angles_of_letter(letter: str) -> np.ndarray:
    return np.array(list(LETTER_POSES[letter].angles().values()))


@pytest.mark.parametrize(("share", "low", "high"), [(0.0, -0.35, 0.35), (0.8, 0.6, 0.95)])
def test_so_much_of_what_differs_between_photos_is_the_signers(share, low, high):
    entry = params(signers=12, photos=24, signer_share=share)
    first, second = (
        np.array([body(photo_in(entry, "L", number)) for number in numbers]) for numbers in (range(12), range(12, 24))
    )
    pairs = [(one - one.mean(0)) / one.std(0) for one in (first, second)]
    assert low < np.mean(pairs[0] * pairs[1]) < high


def body(photo: Photo) -> tuple[float, ...]:
    of, look = photo.proportions, photo.look
    return of.fingers, of.thumb, of.width, of.thickness, look.skin, look.ambient, look.gloss, photo.fill


def test_a_signer_that_is_alike_in_everything_has_one_body_one_light_and_one_place():
    entry = params(signer_share=1.0, background="photo", colour=True)
    first, other, second = (photo_in(entry, "L", number) for number in (0, 1, 3))
    for part in ("proportions", "look", "background", "colours", "left_handed", "fill", "blur"):
        assert getattr(first, part) == getattr(second, part)
    assert first.scene.things == second.scene.things != other.scene.things
    assert first.scene.shift != second.scene.shift, "the camera stands a little elsewhere"
    assert first.pose != second.pose
    assert first.proportions != other.proportions


def test_frames_of_one_recording_are_nearly_the_same_photo():
    entry = params(signers=2, photos=8, frames=2, signer_share=0.5)
    named = [signer_of(entry, "A", number) for number in range(8)]
    assert named[:3] == [
        ("signer-01", "signer-01/A/clip-01"),
        ("signer-02", "signer-02/A/clip-01"),
        ("signer-01", "signer-01/A/clip-01"),
    ]
    assert named[4] == ("signer-01", "signer-01/A/clip-02")
    assert check_known(render(replace_params(entry, photos=2), "A")) == ["signer", "clip"]
    held = [angles(photo_in(entry, "A", number)) for number in range(8)]
    within = [np.abs(held[a] - held[b]).mean() for a, b in ((0, 2), (1, 3), (4, 6), (5, 7))]
    across = [np.abs(held[a] - held[b]).mean() for a, b in ((0, 4), (1, 5), (2, 6), (3, 7))]
    assert max(within) < 0.5 * min(across)
    assert photo_in(entry, "A", 0).look == photo_in(entry, "A", 2).look


def replace_params(entry: RenderedParams, **changes) -> RenderedParams:
    return RenderedParams(**{**entry.model_dump(), **changes})


def test_further_photos_are_of_the_signers_and_of_recordings_that_the_dataset_does_not_hold(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    entry = params(signers=2, photos=5, frames=2)
    assert first_further(entry) == 8
    further = further_photos(entry, "A", 3)
    assert [(image.image_id, image.clip) for image in further] == [
        ("A-008-0", "signer-01/A/clip-03"),
        ("A-009-0", "signer-02/A/clip-03"),
        ("A-010-0", "signer-01/A/clip-03"),
    ]
    within = {signer_of(entry, "A", number)[1] for number in range(5)}
    assert within.isdisjoint(image.clip for image in further)
    assert first_further(RenderedParams(source="rendered", seed=1, size=28, photos=5, copies=1)) == 5


def test_minimal_pairs_of_a_signer_in_colour_change_where_the_hand_is_and_nowhere_else(monkeypatch):
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    entry = params(size=56, colour=True, background="cluttered", accent=5.0)
    [pair] = minimal_pairs(entry, "B", 1, 40.0)
    assert pair.unmoved.shape == (56, 56, 3)
    for moved in pair.moved.values():
        changed = np.abs(moved.astype(int) - pair.unmoved).max(axis=-1) > 12
        assert 3 < changed.sum() < 0.2 * changed.size


def test_the_hand_is_where_it_is_known_to_be_whatever_stands_behind():
    entry = params(signers=2, photos=4, colour=True, background="photo")
    photo = photo_in(entry, "Y", 3)
    sharp = replace(photo, blur=1e-3)
    elsewhere = replace(sharp, scene=photo_in(entry, "Y", 0).scene)
    differs = (develop(sharp, 112) != develop(elsewhere, 112)).any(axis=-1)
    assert (differs != hand_mask(photo, 112)).mean() > 0.99
    assert hand_in(entry, "Y-003-0").shape == (112, 112)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"photos": 2}, "fewer than signers"),
        ({"signers": 0, "accent": 3.0}, "set signers"),
        ({"signers": 0, "frames": 2}, "set signers"),
        ({"signer_share": 1.5}, "signer_share"),
    ],
)
def test_what_cannot_be_drawn_is_refused(changes, said):
    with pytest.raises(ValidationError, match=said):
        params(**changes)


def test_a_probe_that_has_seen_the_person_does_better_where_that_is_so_and_no_better_where_it_is_not():
    helps, does_not = worth_of_the_person(signer_easy_letter_hard()), worth_of_the_person(signer_a_mere_name())
    assert helps["difference"] > helps["low"] > 0.10
    assert 0.3 < helps["unseen"] < 0.5, "hard, and better than chance"
    assert does_not["low"] <= 0 <= does_not["high"]
    assert does_not["high"] - does_not["low"] < 0.10
    assert 0.6 < does_not["unseen"] < 0.9, "so that there is room for more"


def test_pixels_tell_the_signer_only_where_there_is_one():
    easy, name = (share_of_signers_told(drawn()) for drawn in (signer_easy_letter_hard, signer_a_mere_name))
    assert easy > 0.85
    assert name < 1 / 6 + 0.12


def coarse(drawn: Signed) -> np.ndarray:
    """Means of 2 x 2 pixels, which a probe is fitted on in a quarter of the time."""
    return drawn.images.reshape(-1, 14, 2, 14, 2).mean(axis=(2, 4)).reshape(-1, 196).astype(np.float32)


def worth_of_the_person(drawn: Signed) -> pd.Series:
    """The row of `data/statistics/signers.parquet`, of pixels."""
    sample = pd.DataFrame({"image_id": drawn.photos, "label": drawn.labels, "photo": drawn.photos})
    sample["signer"] = drawn.signers
    splits = signer_splits(sample, 2, 0)
    scored = predict(Cell("pixels", "flat", coarse(drawn)), drawn.labels, splits, [0.01, 0.1])
    predictions = signers_table([scored], splits, drawn.photos, drawn.labels)
    statistics = StatisticsParams(confidence=0.95, resamples=500)
    return seen_and_unseen(predictions, sample, {"pixels": 0}, statistics, np.random.default_rng(0)).iloc[0]


def share_of_signers_told(drawn: Signed) -> float:
    """Of photos whose nearest other photo, pixel by pixel, is of the same signer."""
    pixels = coarse(drawn)
    distance = ((pixels[:, None] - pixels) ** 2).sum(axis=-1)
    np.fill_diagonal(distance, np.inf)
    return float((drawn.signers[distance.argmin(axis=1)] == drawn.signers).mean())
