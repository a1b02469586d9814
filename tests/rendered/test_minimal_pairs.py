"""Minimal pairs differ in one finger, to the number and to the pixel, and in nothing else."""

from dataclasses import replace

import numpy as np
import pytest

from signbridge.datasets.hands import FINGERS
from signbridge.rendered.dataset import RenderedParams, copy_of, frame_of, photo_in_numbers
from signbridge.rendered.hand_photo import develop
from signbridge.rendered.minimal_pairs import bendable, bent, minimal_pairs

PARAMS = RenderedParams(source="rendered", seed=5, size=28, photos=3, copies=2)


@pytest.fixture(scope="module")
def pairs():
    with pytest.MonkeyPatch.context() as here:
        here.setenv("LOKY_MAX_CPU_COUNT", "1")  # processes take longer to begin than two photos to draw
        return minimal_pairs(PARAMS, ["B"], 2, 40.0)


@pytest.mark.parametrize("finger", FINGERS)
def test_one_joint_is_bent_by_so_many_degrees_and_every_other_number_stays(finger):
    photo = photo_in_numbers(5, "B", 3)
    moved = bent(photo, finger, 40.0)
    before, after = photo.pose.angles(), moved.pose.angles()
    assert {joint for joint in before if before[joint] != after[joint]} == {f"{finger}_mcp"}
    assert after[f"{finger}_mcp"] - before[f"{finger}_mcp"] == pytest.approx(40)
    assert replace(moved, pose=photo.pose) == photo


def test_the_unmoved_image_is_a_photo_of_the_dataset_that_the_dataset_does_not_hold(pairs):
    assert [(one.letter, one.number) for one in pairs] == [("B", 3), ("B", 4)]
    expected = copy_of(develop(photo_in_numbers(5, "B", 3), frame_of(28)), 28, 5, "B", 3, 0)
    np.testing.assert_array_equal(pairs[0].unmoved, expected)


def test_every_finger_changes_pixels_of_its_own_and_leaves_most_of_the_picture_as_it_was(pairs):
    for one in pairs:
        changed = {finger: np.abs(moved.astype(int) - one.unmoved) > 12 for finger, moved in one.moved.items()}
        assert list(changed) == list(FINGERS)
        for finger, where in changed.items():
            assert 3 < where.sum() < 0.2 * where.size, finger
        columns = [np.nonzero(where)[1].mean() for where in changed.values()]
        assert columns in (sorted(columns), sorted(columns, reverse=True)), "from the thumb's side to the other"


def test_the_frame_stays_where_it_was_though_the_hand_takes_less_room():
    """A hand that is framed anew is drawn larger, and all of it moves."""
    photo = photo_in_numbers(5, "B", 3)
    moved = replace(photo, pose=photo.pose.with_angles({f"{finger}_mcp": 80.0 for finger in FINGERS}))
    unmoved, framed_anew = develop(photo, 112), develop(moved, 112)
    in_place = develop(moved, 112, photo.pose)
    wrist = slice(-20, None)
    assert np.abs(in_place - unmoved)[wrist].max() < 0.02
    assert np.abs(framed_anew - unmoved)[wrist].max() > 0.05


def test_only_letters_whose_fingers_can_all_be_bent_further_are_taken():
    assert bendable(["A", "B", "C", "V", "hello"]) == ["B", "C"]
