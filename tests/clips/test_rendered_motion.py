"""Drawn clips: what is true of them is known frame by frame, and nothing but the order tells a pair apart."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from pydantic import ValidationError
from ruamel.yaml import YAML
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GroupKFold, cross_val_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from signbridge.clips.movements import SIGNS, Manner, Sign, moments
from signbridge.clips.rendered_motion import (
    RenderedMotionParams,
    accent_in,
    draw_clip,
    recordings,
    render_clips,
)
from signbridge.core.errors import SignBridgeError

PAIRS = [pair for pair in pairwise(SIGNS.values()) if pair[0].shape == pair[1].shape]
MANNERS = [Manner(), Manner(pause=0.1, easing=0.3, tilt=0.2)]


def entry(**changed) -> RenderedMotionParams:
    return RenderedMotionParams.model_validate(
        {"source": "rendered_motion", "seed": 3, "size": 16, "signers": 2, "clips_per_sign": 2, "frames": 8} | changed
    )


def names(pair: tuple[Sign, Sign]) -> str:
    return f"{pair[0].label}/{pair[1].movement}"


def test_there_are_nine_minimal_pairs_and_two_letters():
    assert len(PAIRS) == 9
    assert [sign.label for sign in SIGNS.values() if sign.kind == "letter"] == ["J", "Z"]


@pytest.mark.parametrize("pair", PAIRS, ids=names)
@pytest.mark.parametrize("manner", MANNERS)
@pytest.mark.parametrize("frames", [4, 8, 16])
def test_the_members_of_a_pair_pass_the_same_places_in_another_order(pair, manner, frames):
    one, other = (np.array(moments(sign, frames, manner))[:, 1:] for sign in pair)
    assert np.abs(one - other).max() > 0.3
    of_one, of_other = (sorted(map(tuple, rows.round(9))) for rows in (one, other))
    np.testing.assert_allclose(of_one, of_other, atol=1e-8)


@pytest.mark.parametrize("pair", [pair for pair in PAIRS if pair[0].kind != "repetition"], ids=names)
def test_the_members_of_a_pair_are_each_other_backwards(pair):
    one, other = (np.array(moments(sign, 8, MANNERS[1])) for sign in pair)
    np.testing.assert_allclose(one, other[::-1], atol=1e-9)


@pytest.mark.parametrize(("movement", "turns"), [("once", 1), ("twice", 3)])
def test_a_stroke_made_twice_turns_three_times(movement, turns):
    along = np.array(moments(SIGNS[f"C-{movement}"], 8))[:, 0]
    steps = np.diff(along)
    assert np.count_nonzero(np.diff(np.sign(steps[steps != 0]))) == turns


def centre_of_mass(images: list[np.ndarray]) -> np.ndarray:
    """Where what changes in a clip is, right and down, a row a frame: shares of the frame."""
    stack = np.stack(images).astype(float)
    moving = np.abs(stack - np.median(stack, axis=0))
    moving[moving < 25] = 0
    along = (np.arange(stack.shape[1]) + 0.5) / stack.shape[1]
    weights = moving / moving.sum(axis=(1, 2), keepdims=True)
    return np.stack([(weights.sum(axis=1) * along).sum(axis=1), (weights.sum(axis=2) * along).sum(axis=1)], axis=1)


@pytest.mark.parametrize(("label", "axis"), [("Y-left", 0), ("Y-right", 0), ("W-clockwise", 0)])
def test_the_hand_is_where_the_truth_says(label, axis):
    params = entry(size=48, glosses=[label])
    clip = draw_clip(params, recordings(params)[0])
    said = [row[("right", "down")[axis]] for row in clip.truth]
    assert np.corrcoef(centre_of_mass(clip.frames.images)[:, axis], said)[0, 1] > 0.9


def test_the_truth_names_shapes_and_rest_of_each_frame():
    params = entry(trim=False, glosses=["B+S-opens"])
    rows = draw_clip(params, recordings(params)[0]).truth
    assert [row["segment"] for row in rows] == ["rest"] * 2 + ["movement"] * 4 + ["rest"] * 2
    assert {(row["first_shape"], row["second_shape"]) for row in rows} == {("S", "B")}
    weights = [row["second_weight"] for row in rows]
    assert weights == sorted(weights)
    assert weights[0] < 0.2 < 0.8 < weights[-1]
    assert all(row["first_weight"] + row["second_weight"] == 1 for row in rows)


def pixels(clips) -> np.ndarray:
    return np.stack([np.stack(clip.read().images) for clip in clips]).reshape(len(clips), 8, -1).astype(float)


def test_a_bag_of_frames_does_not_tell_the_members_of_a_pair_and_their_order_does():
    params = entry(size=16, signers=4, clips_per_sign=8, glosses=["Y-right", "Y-left", "B+S-opens", "B+S-closes"])
    clips = [draw_clip(params, one) for one in recordings(params)]
    every = pixels(clips)
    signers = np.array([clip.signer for clip in clips])
    in_order, bag = [], []
    for shape in ("Y", "B+S"):
        mine = np.array([clip.shape == shape for clip in clips])
        movement = np.array([clip.movement for clip in clips])[mine]
        stack = every[mine]
        probe = make_pipeline(StandardScaler(), LogisticRegression(C=0.01))
        for into, seen in (
            (in_order, stack.reshape(len(stack), -1)),
            (bag, np.concatenate([np.sort(stack, axis=1).reshape(len(stack), -1), stack.mean(axis=1)], axis=1)),
        ):
            scores = cross_val_score(probe, seen, movement, groups=signers[mine], cv=GroupKFold(4))
            into.append(scores.mean())
    assert np.mean(in_order) > 0.8
    assert np.mean(bag) < 0.75  # of 32 clips: two standard deviations above one half are 0.68


def test_equal_params_give_equal_clips():
    params = entry(glosses=["Z"], signers=1, clips_per_sign=1)
    np.testing.assert_array_equal(pixels(render_clips(params, workers=1)), pixels(render_clips(params, workers=1)))


def test_more_clips_signers_and_signs_leave_the_others_as_they_were():
    few, many = entry(glosses=["J"]), entry(glosses=["J", "Z"], signers=3, clips_per_sign=6)
    before = {clip.clip: clip for clip in (draw_clip(few, one) for one in recordings(few))}
    assert len(recordings(many)) == 12
    after = {one.clip: draw_clip(many, one) for one in recordings(many) if one.clip in before}
    assert before.keys() == after.keys()
    for name, clip in before.items():
        np.testing.assert_array_equal(pixels([clip]), pixels([after[name]]))
        assert clip.truth == after[name].truth


def test_clips_of_one_signer_differ_and_signers_move_in_their_own_manner():
    params = entry(glosses=["J"], clips_per_sign=4)
    one, _, again, _ = pixels([draw_clip(params, which) for which in recordings(params)])
    assert (one != again).mean() > 0.5
    assert accent_in(params, 0) != accent_in(params, 1)


def test_the_kinds_of_the_vocabulary_are_chosen():
    shown = {one.sign.kind for one in recordings(entry(vocabulary=["order", "letter"]))}
    assert shown == {"order", "letter"}


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"frames": 10}, "multiple of 4"),
        ({"frames": 12, "trim": False}, "multiple of 8"),
        ({"signers": 6}, "take one for each"),
    ],
)
def test_an_entry_that_cannot_be_drawn_is_refused(changed, said):
    with pytest.raises(ValidationError, match=said):
        entry(**changed)


def test_a_sign_that_there_is_not_is_refused():
    with pytest.raises(SignBridgeError, match="Did you mean 'B-left'"):
        recordings(entry(glosses=["B-lefts"]))


def test_the_catalog_has_drawn_clips():
    found = YAML(typ="safe").load(Path("datasets.yaml").read_text(encoding="utf-8"))["rendered_motion"]
    params = RenderedMotionParams.model_validate(found)
    assert len(recordings(params)) in range(200, 301)
