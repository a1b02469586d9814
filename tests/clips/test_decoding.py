"""Which frames of a recording are kept, and what is said of recordings that give none."""

import io
import sys
import tracemalloc
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from signbridge.clips.decoding import UnfitClipError, frames_of_sign, moving_part, nearest, or_left_out
from signbridge.clips.entry import FilmedEntry, Span
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import LeftOut
from tests.clips.videos import moving, sound, square_at, turned, video


def test_frames_are_those_of_linspace_where_the_rate_is_even():
    kept = frames_of_sign(video(moving(20)), 8, trim=False)
    wanted = np.rint(np.linspace(0, 19, 8)).astype(int)
    assert kept.times == pytest.approx(wanted / 25)
    for picture, frame in zip(kept.images, wanted, strict=True):
        assert picture.shape == (48, 64, 3)
        assert square_at(picture) == pytest.approx((7.5 + round(48 * frame / 19), 23.5), abs=1)


def test_frames_are_at_equal_distances_in_time_where_the_rate_varies():
    milliseconds = [20 * place for place in range(10)] + [200 + 100 * place for place in range(10)]
    kept = frames_of_sign(video(moving(20), milliseconds), 12, trim=False)
    assert kept.times == pytest.approx(np.linspace(0, 1.1, 12))
    assert square_at(kept.images[6])[0] == pytest.approx(7.5 + round(48 * 14 / 19), abs=1), "the frame shown at 0.6 s"


def test_a_tie_between_two_frames_takes_the_earlier_and_few_frames_are_there_twice():
    assert nearest(np.array([0.0, 1.0]), 3).tolist() == [0, 0, 1]
    assert nearest(np.arange(3.0), 6).tolist() == [0, 0, 1, 1, 2, 2]


def test_rest_is_cut_at_both_ends_and_nowhere_else():
    recording = video(moving(20, still=(15, 25)))
    whole, cut = (frames_of_sign(recording, 16, trim=trim) for trim in (False, True))
    assert whole.times[-1] == pytest.approx(59 / 25)
    assert 10 / 25 <= cut.times[0] <= 15 / 25, "the movement begins with frame 15"
    assert 34 / 25 <= cut.times[-1] <= 39 / 25, "and ends with frame 34"
    assert square_at(cut.images[0])[0] == pytest.approx(7.5, abs=3)
    assert square_at(cut.images[-1])[0] == pytest.approx(55.5, abs=3)


@pytest.mark.parametrize("motion", [np.zeros(30), np.full(30, 4.0), np.linspace(0, 0.09, 30)])
def test_what_does_not_move_or_moves_all_along_is_kept_whole(motion):
    assert moving_part(motion) == (0, 31)


@pytest.mark.parametrize("side", [16, 60])
def test_rest_is_found_behind_the_noise_of_a_camera_and_for_a_hand_that_is_small(side):
    rng = np.random.default_rng(0)
    wall = rng.integers(40, 120, (12, 16, 3)).repeat(20, 0).repeat(20, 1)
    pictures = []
    for step in [0] * 20 + list(range(16)) + [15] * 20:
        picture = wall + rng.normal(0, 8, wall.shape)
        picture[100 : 100 + side, 40 + 8 * step : 40 + 8 * step + side] = 220
        pictures.append(np.clip(picture, 0, 255).astype(np.uint8))
    times = frames_of_sign(video(pictures), 8, trim=True).times
    assert 15 / 25 <= times[0] <= 20 / 25
    assert 35 / 25 <= times[-1] <= 40 / 25


def test_little_rest_is_cut_off_a_long_recording_too():
    motion = np.full(400, 5.0)
    motion[:9] = motion[-6:] = 0.3
    start, end = moving_part(motion)
    assert 5 <= start <= 9
    assert 395 <= end <= 399


def test_a_hold_within_the_sign_is_kept_and_noise_before_it_is_rest():
    noise = np.random.default_rng(0).uniform(0.2, 0.4, 60)
    noise[20:25] = noise[35:40] = 6.0
    noise[3] = 1.0  # one frame that is coded badly
    start, end = moving_part(noise)
    assert 16 <= start <= 20
    assert 40 <= end <= 44


def test_a_phone_held_upright_gives_upright_frames():
    recording = video(moving(6))
    lying, upright = (frames_of_sign(content, 2, trim=False).images for content in (recording, turned(recording)))
    assert lying[0].shape == (48, 64, 3)
    assert upright[0].shape == (64, 48, 3)
    assert (upright[0] == np.rot90(lying[0], -1)).all(), "a quarter turn clockwise"


def test_pixels_that_are_not_square_are_stretched_as_a_viewer_does():
    recording = video(moving(4), stretched=Fraction(3, 2))
    assert frames_of_sign(recording, 2, trim=False).images[0].shape == (48, 96, 3)
    assert frames_of_sign(turned(recording), 2, trim=False).images[0].shape == (96, 48, 3)


def test_the_sign_is_cut_out_by_its_frames_unless_that_was_done_before():
    recording = video(moving(20))
    span = frames_of_sign(recording, 4, trim=False, span=Span(5, 9))
    assert span.times == pytest.approx(np.arange(5, 9) / 25)
    to_the_end = frames_of_sign(recording, 2, trim=False, span=Span(5))
    assert to_the_end.times == pytest.approx([0.2, 0.76])
    cut_before = frames_of_sign(recording, 2, trim=False, span=Span(5, 25))
    assert cut_before.times == pytest.approx([0, 0.76])


def test_a_box_is_cut_out_and_one_that_lies_outside_is_not():
    recording = video(moving(4))
    assert frames_of_sign(recording, 2, False, Span(crop=(10, 8, 500, 40))).images[0].shape == (32, 54, 3)
    assert frames_of_sign(recording, 2, False, Span(crop=(100, 100, 500, 400))).images[0].shape == (48, 64, 3)


BAD = {
    "empty": (b"", "cannot be decoded", "Invalid data"),
    "no video": (b"GIF, perhaps? " * 40, "cannot be decoded", "Invalid data"),
    "cut": (video(moving(20))[:1500], "cannot be decoded", "no picture in it: it was cut short"),
    "one": (video(moving(1)), "one frame alone", "a single frame, which shows no movement"),
    "sound": (sound(), "cannot be decoded", "no picture in it"),
}


@pytest.mark.parametrize("kind", BAD)
def test_a_recording_that_gives_no_clip_stops_by_name_or_is_counted_and_left_out(kind):
    content, reason, said = BAD[kind]
    left_out, read = LeftOut(), partial(frames_of_sign, content, 8, trim=True)
    with pytest.raises(SignBridgeError) as raised:
        or_left_out(read, "videos/7.mp4", FilmedEntry(), left_out)()
    assert f"videos/7.mp4: {said}" in str(raised.value)
    assert "Get it again or remove it, or set `on_unreadable: skip`" in str(raised.value)
    assert left_out.found == {}
    for name in ("videos/7.mp4", "videos/5.mp4"):
        assert or_left_out(read, name, FilmedEntry(on_unreadable="skip"), left_out)() is None
    assert left_out.found == {reason: {"images": 2, "first": "videos/5.mp4"}}


def test_a_recording_that_was_cut_short_is_no_shorter_sign(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (20, 48, 64, 3), dtype=np.uint8)
    recording = video(list(noise), place=tmp_path / "index_first.mp4", movflags="faststart")
    with av.open(io.BytesIO(recording)) as container:
        places = [packet.pos for packet in container.demux() if packet.size]
    with pytest.raises(UnfitClipError, match="cut short: 10 of its 20 frames can be decoded"):
        frames_of_sign(recording[: places[10]], 8, trim=False)
    with pytest.raises(UnfitClipError, match="Invalid data"):
        frames_of_sign(recording[: places[10] + 9], 8, trim=False)


def test_no_frames_are_left_of_a_sign_that_begins_after_the_recordings_end():
    with pytest.raises(UnfitClipError, match="no frame from frame 31 on"):
        frames_of_sign(video(moving(20)), 8, trim=False, span=Span(30))


def test_memory_does_not_grow_with_the_length_of_a_recording(tmp_path):
    picture = np.zeros((240, 320, 3), np.uint8)
    (tmp_path / "long.mp4").write_bytes(video([picture + (place % 2) for place in range(200)]))
    tracemalloc.start()
    frames_of_sign(tmp_path / "long.mp4", 4, trim=True)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * picture.nbytes, "200 frames would take 200 pictures"


def test_that_the_decoder_is_missing_is_said(monkeypatch):
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(SignBridgeError, match=r"decoded by PyAV, which is not installed: pip install .*\[video\]"):
        frames_of_sign(b"", 8, trim=True)
