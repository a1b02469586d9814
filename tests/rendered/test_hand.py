"""The hand's bones: what any pose keeps, and what each joint does."""

import numpy as np
import pytest

from signbridge.rendered.hand import (
    DIGITS,
    FINGERS,
    LENGTHS,
    Finger,
    HandPose,
    Proportions,
    about_y,
    skeleton,
)
from signbridge.rendered.letter_poses import LETTER_POSES, LETTERS


def random_pose(rng: np.random.Generator) -> HandPose:
    """Any angles, possible for a real hand or not."""
    return HandPose().with_angles({name: rng.uniform(-90, 90) for name in HandPose().angles()})


@pytest.mark.parametrize("digit", DIGITS)
def test_bones_keep_their_length_in_any_pose(digit):
    rng = np.random.default_rng(0)
    for _ in range(20):
        joints = skeleton(random_pose(rng)).chains[digit].joints
        np.testing.assert_allclose(np.linalg.norm(np.diff(joints, axis=0), axis=1), LENGTHS[digit])


@pytest.mark.parametrize("digit", DIGITS)
def test_backs_of_bones_stay_square_to_the_bones(digit):
    chain = skeleton(random_pose(np.random.default_rng(1))).chains[digit]
    along = np.diff(chain.joints, axis=0)
    np.testing.assert_allclose((along * chain.backs).sum(axis=1), 0, atol=1e-12)
    np.testing.assert_allclose(np.linalg.norm(chain.backs, axis=1), 1)


@pytest.mark.parametrize("finger", FINGERS)
def test_a_straight_finger_points_along_the_hand_and_a_folded_one_returns_to_the_palm(finger):
    straight = skeleton(HandPose()).chains[finger].joints
    np.testing.assert_allclose(straight[-1] - straight[0], [0, sum(LENGTHS[finger]), 0], atol=1e-12)
    folded = skeleton(HandPose(**{finger: Finger(85, 100, 65)})).tip(finger)
    assert 0 < folded[2] < 0.4, "the tip lies before the palm, not behind it"
    assert folded[1] < straight[0][1], "and below the knuckle"


def test_flexing_one_joint_bends_towards_the_palm_and_leaves_other_fingers_alone():
    before, after = skeleton(HandPose()), skeleton(HandPose().with_angles({"ring_pip": 40}))
    assert after.tip("ring")[2] > before.tip("ring")[2]
    np.testing.assert_array_equal(after.chains["ring"].joints[:2], before.chains["ring"].joints[:2])
    np.testing.assert_array_equal(after.chains["index"].joints, before.chains["index"].joints)


def test_spread_parts_the_fingertips_by_its_own_angle():
    spread = skeleton(HandPose(index=Finger(spread=20), middle=Finger(spread=-10)))
    together = skeleton(HandPose())

    def gap(bones):
        return np.linalg.norm(bones.tip("index") - bones.tip("middle"))

    def bone(name):
        joints = spread.chains[name].joints
        return (joints[-1] - joints[0]) / np.linalg.norm(joints[-1] - joints[0])

    assert gap(spread) > gap(together) + 0.3
    assert np.rad2deg(np.arccos(bone("index") @ bone("middle"))) == pytest.approx(30)


def test_opposition_brings_the_thumb_out_of_the_palm_and_abduction_away_from_the_fingers():
    def tip(**angles):
        return skeleton(HandPose().with_angles(angles)).tip("thumb")

    assert tip(thumb_opposition=60)[2] > tip()[2] + 0.5
    assert tip(thumb_abduction=60)[0] > tip()[0] + 0.5
    assert tip(thumb_mcp=50)[0] < tip()[0], "flexion leads across the palm"


def test_proportions_scale_the_bones_they_name():
    large = skeleton(HandPose(), Proportions(fingers=1.2, thumb=0.8))
    assert np.linalg.norm(np.diff(large.chains["index"].joints, axis=0), axis=1).sum() == pytest.approx(
        1.2 * sum(LENGTHS["index"])
    )
    assert np.linalg.norm(np.diff(large.chains["thumb"].joints, axis=0), axis=1).sum() == pytest.approx(
        0.8 * sum(LENGTHS["thumb"])
    )


@pytest.mark.parametrize("letter", LETTERS)
def test_views_are_rotations_so_they_keep_distances_and_never_mirror(letter):
    rotation = LETTER_POSES[letter].turned(about_y(30)).rotation()
    np.testing.assert_allclose(rotation @ rotation.T, np.eye(3), atol=1e-12)
    assert np.linalg.det(rotation) == pytest.approx(1)


def test_turning_a_hand_turns_what_it_faces():
    turned = HandPose().turned(about_y(90))
    np.testing.assert_allclose(turned.palm_faces, [1, 0, 0], atol=1e-12)
    np.testing.assert_allclose(turned.fingers_point, [0, 1, 0], atol=1e-12)


def test_angles_survive_the_way_to_names_and_back():
    pose = LETTER_POSES["P"]
    assert HandPose(fingers_point=pose.fingers_point, palm_faces=pose.palm_faces).with_angles(pose.angles()) == pose
    assert len(pose.angles()) == 4 * 4 + 5 + 1


def test_a_misspelt_joint_is_refused():
    with pytest.raises(KeyError, match="index_pib"):
        HandPose().with_angles({"index_pib": 10})


def test_every_static_letter_has_a_pose_of_its_own():
    assert sorted(LETTER_POSES) == sorted(set("ABCDEFGHIJKLMNOPQRSTUVWXYZ") - {"J", "Z"}) == list(LETTERS)
    poses = list(LETTER_POSES.values())
    assert all(a != b for i, a in enumerate(poses) for b in poses[:i])


# Which fingers each letter holds straight; the letters not named hold none.
UP = {
    **{"B": FINGERS, "D": ("index",), "F": ("middle", "ring", "pinky"), "G": ("index",), "H": ("index", "middle")},
    **{"I": ("pinky",), "K": ("index", "middle"), "L": ("index",), "P": ("index", "middle"), "Q": ("index",)},
    **{"R": ("index", "middle"), "U": ("index", "middle"), "V": ("index", "middle")},
    **{"W": ("index", "middle", "ring"), "Y": ("pinky",)},
}


@pytest.mark.parametrize("letter", LETTERS)
def test_each_letter_holds_the_fingers_straight_that_the_alphabet_asks_for(letter):
    straight = []
    for finger in FINGERS:
        joints = skeleton(LETTER_POSES[letter]).chains[finger].joints
        if np.linalg.norm(joints[-1] - joints[0]) > 0.98 * sum(LENGTHS[finger]):
            straight.append(finger)
    assert tuple(straight) == tuple(UP.get(letter, ()))


def test_r_crosses_index_and_middle_and_v_does_not():
    def sides(letter):
        bones = skeleton(LETTER_POSES[letter])
        return bones.tip("index")[0] - bones.tip("middle")[0]

    assert sides("R") < -0.02
    assert sides("V") > 0.3


@pytest.mark.parametrize(("letter", "finger"), [("D", "middle"), ("F", "index"), ("O", "middle")])
def test_the_thumb_meets_the_fingertip_where_the_letter_closes_a_ring(letter, finger):
    bones = skeleton(LETTER_POSES[letter])
    assert np.linalg.norm(bones.tip("thumb") - bones.tip(finger)) < 0.25
