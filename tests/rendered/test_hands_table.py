"""The table of hands: of drawn hands the pose of each photo, of others the pose of their letter."""

import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.hands import FINGERS, joint_angles, read_hands
from signbridge.rendered.dataset import RenderedParams, image_id, photo_in_numbers
from signbridge.rendered.hand import HandPose
from signbridge.rendered.hand_words import is_up
from signbridge.rendered.hands_table import hands_table
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS


def drawn(seed: int) -> RenderedParams:
    return RenderedParams(source="rendered", seed=seed, size=28, photos=13, copies=21)


def poses(image_ids, labels, drawn) -> dict[str, HandPose]:
    """The pose of each image of which one is known, from the angles in the table."""
    hands = hands_table(image_ids, labels, drawn)
    angles = joint_angles(hands)
    known = angles.notna().all(axis=1)
    return {
        image: HandPose().with_angles(of_image)
        for image, of_image in zip(hands["image_id"][known], angles[known].to_dict("records"), strict=True)
    }


def angles_of(pose: HandPose) -> dict[str, float]:
    return pytest.approx(pose.angles(), abs=1e-9)


def test_a_drawn_image_has_the_pose_of_its_own_photo_and_its_copies_have_the_same():
    ids = [image_id("F", 0, 1), image_id("F", 1, 0), image_id("F", 0, 20), image_id("B", 12, 0)]
    found = poses(ids, ["F", "F", "F", "B"], drawn(7))
    assert list(found) == ids
    assert found[ids[0]].angles() == found[ids[2]].angles() == angles_of(photo_in_numbers(7, "F", 0).pose)
    assert found[ids[1]].angles() == angles_of(photo_in_numbers(7, "F", 1).pose)
    assert found[ids[1]].angles() != found[ids[0]].angles()
    assert found[ids[3]].angles() == angles_of(photo_in_numbers(7, "B", 12).pose)


def test_an_entry_may_say_what_a_tuned_model_answers():
    pd.testing.assert_frame_equal(
        hands_table(["F-000-0"], ["F"], drawn(7).model_copy(update={"answers": {"F": "Fox"}})),
        hands_table(["F-000-0"], ["F"], drawn(7)),
    )


def test_another_seed_drew_other_poses():
    assert poses(["F-000-0"], ["F"], drawn(7)) != poses(["F-000-0"], ["F"], drawn(8))


def test_any_other_image_has_the_pose_of_its_letter_and_other_classes_have_none():
    ids, labels = ["test-1", "mine/2", "b-1-2"], ["B", "thumb_up", "B"]
    hands = hands_table(ids, labels, None)
    assert not hands["drawn"].any()
    found = poses(ids, labels, None)
    assert found.keys() == {"test-1", "b-1-2"}
    assert found["test-1"].angles() == found["b-1-2"].angles() == angles_of(LETTER_POSES["B"])
    unknown = hands.set_index("image_id").loc["mine/2"]
    assert unknown["words"] is None
    assert unknown[[f"up_{finger}" for finger in FINGERS]].isna().all()


def test_every_letter_has_a_pose_and_no_images_have_none():
    assert len(poses(list(LETTERS), list(LETTERS), None)) == len(LETTERS)
    assert hands_table(["F-000-0"], ["F"], drawn(7))["drawn"].all()
    assert poses([], [], drawn(7)) == poses([], [], None) == {}


def test_a_finger_is_up_as_its_pose_says():
    hands = hands_table(list(LETTERS), list(LETTERS), None).set_index("image_id")
    for letter in LETTERS:
        assert [hands.loc[letter, f"up_{finger}"] for finger in FINGERS] == [
            is_up(LETTER_POSES[letter], finger) for finger in FINGERS
        ]


def test_the_table_is_read_in_the_order_that_is_asked_for(tmp_path):
    tables.write(hands_table(["b", "a", "c"], ["B", "A", "thumb_up"], None), tmp_path / "hands.parquet", {})
    found = read_hands(tmp_path / "hands.parquet", ["c", "a"])
    assert found["image_id"].tolist() == ["c", "a"]
    assert found["words"].iloc[0] is None
    assert joint_angles(found).iloc[0].isna().all()
    assert pd.notna(found["up_index"].iloc[1])


def test_a_table_of_other_images_is_refused(tmp_path):
    tables.write(hands_table(["a"], ["A"], None), tmp_path / "hands.parquet", {})
    with pytest.raises(SignBridgeError, match="not of these images"):
        read_hands(tmp_path / "hands.parquet", ["a", "z"])
