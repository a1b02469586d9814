"""Whose pose is known: of drawn hands each photo's own, of others that of their letter."""

import pytest

from signbridge.rendered.dataset import image_id, photo_in_numbers
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS
from signbridge.rendered.poses import are_drawn, poses

DRAWN = {"source": "rendered", "params": {"seed": 7}}


def test_a_drawn_image_has_the_pose_of_its_own_photo_and_its_copies_have_the_same():
    ids = [image_id("F", 0, 1), image_id("F", 1, 0), image_id("F", 0, 20), image_id("B", 12, 0)]
    found = poses(ids, ["F", "F", "F", "B"], DRAWN)
    assert list(found) == ids
    assert found[ids[0]] == found[ids[2]] == photo_in_numbers(7, "F", 0).pose
    assert found[ids[1]] == photo_in_numbers(7, "F", 1).pose != found[ids[0]]
    assert found[ids[3]] == photo_in_numbers(7, "B", 12).pose


def test_another_seed_drew_other_poses():
    other = {**DRAWN, "params": {"seed": 8}}
    assert poses(["F-000-0"], ["F"], DRAWN) != poses(["F-000-0"], ["F"], other)


@pytest.mark.parametrize("made_by", [{"source": "sign_mnist"}, {"source": "folder", "params": {"seed": 7}}, {}])
def test_any_other_image_has_the_pose_of_its_letter_and_other_classes_have_none(made_by):
    assert not are_drawn(made_by)
    found = poses(["test-1", "mine/2", "b-1-2"], ["B", "thumb_up", "B"], made_by)
    assert found == {"test-1": LETTER_POSES["B"], "b-1-2": LETTER_POSES["B"]}


def test_every_letter_has_a_pose_and_no_images_have_none():
    assert len(poses(list(LETTERS), list(LETTERS), {"source": "sign_mnist"})) == len(LETTERS)
    assert are_drawn(DRAWN)
    assert poses([], [], DRAWN) == poses([], [], {"source": "sign_mnist"}) == {}
