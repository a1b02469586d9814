"""The table of clips: what is written is what is read, in order, a few clips in memory at a time."""

import numpy as np
import pyarrow.parquet as pq
import pytest

from signbridge.clips import table
from signbridge.clips.table import Clip, Frames, each_clip, frames_of, read_clips, write_clips, write_truth
from signbridge.core import tables
from signbridge.core.errors import SignBridgeError


def clip(name: str, frames: int = 3, **known) -> Clip:
    rng = np.random.default_rng(len(name) + ord(name[-1]))
    images = list(rng.integers(0, 256, (frames, 12, 16, 3), dtype=np.uint8))
    return Clip(name, name[0].upper(), f"signer-{name[-1]}", "all", Frames(images, np.arange(frames) / 25), **known)


def test_frames_come_back_as_they_were_sorted_by_clip_and_frame(tmp_path):
    clips = [clip("b-2"), clip("a-1", shape="B"), clip("b-1", shape="S", movement="up", kind="path")]
    write_clips(clips, tmp_path / "clips.parquet", {"source": "test"})
    rows = tables.read(tmp_path / "clips.parquet")
    assert list(rows) == ["clip", "frame", "time", "signer", "label", "split", "shape", "movement", "kind", "image"]
    assert rows["clip"].tolist() == ["a-1"] * 3 + ["b-1"] * 3 + ["b-2"] * 3
    assert rows["frame"].tolist() == [0, 1, 2] * 3
    assert rows["time"].tolist() == pytest.approx([0, 0.04, 0.08] * 3)
    assert rows["shape"].isna().tolist() == [False] * 6 + [True] * 3
    assert tables.made_by(tmp_path / "clips.parquet") == {"source": "test"}
    for given in clips:
        for one, other in zip(frames_of(tmp_path / "clips.parquet", given.clip), given.frames.images, strict=True):
            assert (np.asarray(one) == other).all()


def test_clips_are_listed_without_their_images(tmp_path):
    write_clips([clip("b-2", 4), clip("a-1")], tmp_path / "clips.parquet", {})
    listed = read_clips(tmp_path / "clips.parquet")
    assert list(listed) == ["clip", "label", "signer", "split", "frames"]
    assert listed.to_dict("list") == {
        "clip": ["a-1", "b-2"], "label": ["A", "B"], "signer": ["signer-1", "signer-2"], "split": ["all"] * 2,
        "frames": [3, 4],
    }  # fmt: skip


def test_no_clip_is_cut_in_two_by_the_row_groups_and_all_are_read_in_turn(tmp_path, monkeypatch):
    monkeypatch.setattr(table, "PART_BYTES", 2000)
    clips = [clip(f"c-{number}", 4) for number in range(7)]
    write_clips(clips, tmp_path / "clips.parquet", {})
    with pq.ParquetFile(tmp_path / "clips.parquet") as file:
        assert file.num_row_groups > 3
        assert all(file.metadata.row_group(group).num_rows % 4 == 0 for group in range(file.num_row_groups))
    read = list(each_clip(tmp_path / "clips.parquet"))
    assert [name for name, _ in read] == [given.clip for given in clips]
    pairs = zip(clips, read, strict=True)
    assert all((np.asarray(image[1]) == given.frames.images[1]).all() for given, (_, image) in pairs)


def test_a_clip_that_its_source_leaves_out_is_not_there(tmp_path):
    write_clips([clip("a-1"), clip("a-2")._replace(frames=lambda: None)], tmp_path / "clips.parquet", {})
    assert read_clips(tmp_path / "clips.parquet")["clip"].tolist() == ["a-1"]
    with pytest.raises(SignBridgeError, match="none of the clips"):
        write_clips([clip("a-2")._replace(frames=lambda: None)], tmp_path / "none.parquet", {})
    with pytest.raises(SignBridgeError, match="no clip 'a-2'"):
        frames_of(tmp_path / "clips.parquet", "a-2")


def test_two_clips_of_one_name_and_a_clip_with_no_frame_are_refused(tmp_path):
    with pytest.raises(SignBridgeError, match="two clips are called 'a-1'"):
        write_clips([clip("a-1"), clip("a-1")], tmp_path / "clips.parquet", {})
    with pytest.raises(SignBridgeError, match="a-1: a clip with no frame"):
        write_clips([clip("a-1", 0)], tmp_path / "clips.parquet", {})
    assert not (tmp_path / "clips.parquet").exists()


def test_jpeg_takes_less_and_differs_little(tmp_path):
    smooth = np.linspace(0, 255, 96 * 96 * 3).reshape(96, 96, 3).astype(np.uint8)
    grey = Clip("a", "A", "s", "all", Frames([smooth, smooth[..., 0]], [0, 1]))
    for image_format in ("png", "jpeg"):
        write_clips([grey], tmp_path / image_format, {}, image_format)
    png, jpeg = (tables.read(tmp_path / kind)["image"] for kind in ("png", "jpeg"))
    assert all(image.startswith(b"\xff\xd8") for image in jpeg)
    assert all(image.startswith(b"\x89PNG") for image in png)
    off = np.abs(np.asarray(frames_of(tmp_path / "jpeg", "a")[0], int) - smooth)
    assert off.mean() < 3


def test_what_is_true_of_each_frame_lies_beside_or_a_table_with_no_row(tmp_path):
    told = [{"right": 0.5, "B": 1.0}, {"right": 0.75, "B": 0.0}]
    write_truth([clip("b-1", 2, truth=told), clip("a-1", 1, truth=told[:1])], tmp_path / "truth.parquet", {})
    truth = tables.read(tmp_path / "truth.parquet")
    assert truth.to_dict("list") == {
        "clip": ["a-1", "b-1", "b-1"], "frame": [0, 0, 1], "right": [0.5, 0.5, 0.75], "B": [1.0, 1.0, 0.0]
    }  # fmt: skip
    write_truth([clip("a-1")], tmp_path / "none.parquet", {})
    assert list(tables.read(tmp_path / "none.parquet")) == ["clip", "frame"]
