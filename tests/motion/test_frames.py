"""Which frames are seen in a reading, and what is said of clips that cannot be compared."""

import numpy as np
import pytest

from signbridge.clips.table import Clip as Recorded
from signbridge.clips.table import Frames, write_clips
from signbridge.core.errors import SignBridgeError
from signbridge.core.names import READINGS
from signbridge.motion.frames import Clip, ClipFrames, order_of, seen_in
from tests.motion.conftest import SECONDS, write_random_clips

CLIPS = [Clip(f"clip-{number}", (0.0, 0.5, 1.0, 1.5, 2.0), (56, 56)) for number in range(40)]


def test_shuffled_clips_have_orders_of_their_own_that_are_no_clips_own_nor_its_reverse():
    orders = {clip.name: order_of("shuffled", 5, clip.name, 7) for clip in CLIPS}
    assert all(sorted(order) == list(range(5)) for order in orders.values())
    assert not {(0, 1, 2, 3, 4), (4, 3, 2, 1, 0)} & set(orders.values())
    assert len(set(orders.values())) > 20
    again = {clip.name: order_of("shuffled", 5, clip.name, 7) for clip in reversed(CLIPS)}
    assert again == orders, "by the clip's name and not by its place"
    assert orders != {clip.name: order_of("shuffled", 5, clip.name, 8) for clip in CLIPS}
    assert {order_of("shuffled", 3, clip.name, 7) for clip in CLIPS} == {(0, 2, 1), (1, 0, 2), (1, 2, 0), (2, 0, 1)}


def test_frames_are_moved_and_times_are_not():
    for reading in ("in_order", "shuffled", "reversed", "twin_in_order", "twin_shuffled"):
        assert {item.times for item in seen_in(reading, CLIPS, 0)} == {CLIPS[0].times}
    assert seen_in("reversed", CLIPS, 0)[0].frames == (4, 3, 2, 1, 0)
    assert seen_in("twin_shuffled", CLIPS, 0) == seen_in("shuffled", CLIPS, 0)
    assert seen_in("twin_in_order", CLIPS, 0) == seen_in("in_order", CLIPS, 0)


def test_frames_alone_all_stand_at_one_time_or_their_mean_would_hold_the_order():
    middle, single = seen_in("middle_frame", CLIPS, 0), seen_in("single_frames", CLIPS, 0)
    assert [item.frames for item in middle] == [(2,)] * 40
    assert [item.frames for item in single[:5]] == [(0,), (1,), (2,), (3,), (4,)]
    assert len(single) == 5 * len(CLIPS)
    assert {(item.times, item.whole) for item in [*middle, *single]} == {((0.0,), 5)}


def test_of_an_even_number_of_frames_one_of_the_two_in_the_middle_is_drawn_for_each_clip():
    even = [Clip(clip.name, (0.0, 0.1, 0.2, 0.3), clip.size) for clip in CLIPS]
    middle = [item.frames[0] for item in seen_in("middle_frame", even, 0)]
    assert 10 < middle.count(1) < 30
    assert middle.count(1) + middle.count(2) == 40
    assert middle != [item.frames[0] for item in seen_in("middle_frame", even, 1)]
    assert middle[::-1] == [item.frames[0] for item in seen_in("middle_frame", even[::-1], 0)]


def test_two_frames_have_no_third_order():
    with pytest.raises(SignBridgeError, match=r"no order is left .*\bleave `shuffled` and `twin_shuffled` out"):
        seen_in("shuffled", [Clip("short", (0.0, 1.0), (56, 56))], 0)
    assert [len(seen_in(name, CLIPS, 0)) for name in READINGS] == [40, 40, 40, 40, 200, 40, 40]


def test_frames_come_back_in_the_order_that_is_asked_for(tmp_path):
    path = tmp_path / "clips.parquet"
    write_random_clips(path, clips=3)
    frames = ClipFrames(path)
    assert [clip.name for clip in frames.clips] == ["clip-0", "clip-1", "clip-2"]
    assert frames.count == 4
    np.testing.assert_allclose(frames.clips[1].times, [0, SECONDS, 2 * SECONDS, 3 * SECONDS], atol=1e-6)
    straight, turned = (frames.decoded(seen_in(name, frames.clips, 0)[2]) for name in ("in_order", "reversed"))
    assert [np.array(frame).tolist() for frame in turned] == [np.array(frame).tolist() for frame in straight[::-1]]
    assert straight[0].mode == "RGB"
    assert not np.array_equal(straight[0], straight[1])


def test_a_clips_first_frame_is_second_0_wherever_the_sign_starts_in_its_recording(tmp_path):
    image = np.zeros((8, 8), np.uint8)
    write_clips([Recorded("late", "J", "s", "all", Frames([image] * 3, [7.0, 7.5, 8.0]))], tmp_path / "c.parquet", {})
    assert ClipFrames(tmp_path / "c.parquet").clips == [Clip("late", (0.0, 0.5, 1.0), (8, 8))]


@pytest.mark.parametrize(
    ("sizes", "counts", "message"),
    [
        (((8, 8), (8, 8)), (3, 4), "clips have from 3 to 4 frames"),
        (((8, 8), (8, 9)), (3, 3), "the frames of clip 'b' are not of one size"),
    ],
)
def test_clips_that_cannot_be_compared_frame_by_frame_are_refused(tmp_path, sizes, counts, message):
    first, rest = (np.zeros(size, np.uint8) for size in sizes)
    clips = [
        Recorded(name, "J", "s", "all", Frames([first, *[rest if name == "b" else first] * (count - 1)], range(count)))
        for name, count in zip("ab", counts, strict=True)
    ]
    write_clips(clips, tmp_path / "c.parquet", {})
    with pytest.raises(SignBridgeError, match=message):
        ClipFrames(tmp_path / "c.parquet")
