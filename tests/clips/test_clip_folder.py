"""Clips of one's own: videos, or folders of frames, told by a pattern; and what is known of each sign."""

import io
from pathlib import Path

import pytest
from PIL import Image

from signbridge.clips.attributes import read_attributes
from signbridge.clips.clip_folder import ClipFolderParams, fetch, in_natural_order
from signbridge.core.errors import SignBridgeError
from tests.clips import layouts
from tests.clips.videos import square_at
from tests.datasets.layouts import write

VIDEOS = r"(?P<label>\w+)/(?P<signer>P\d+)_\d+\.mp4$"
FRAMES = r"(?P<signer>P\d+)/(?P<label>\w+)/frame\d+\.png$"


def params(path: Path, pattern: str = VIDEOS, **values) -> ClipFolderParams:
    return ClipFolderParams(
        source="clip_folder", path=str(path), pattern=pattern, **{"frames": 3, "trim": False} | values
    )


@pytest.mark.parametrize("as_zip", [False, True])
def test_videos_are_told_by_the_pattern(tmp_path, as_zip):
    place = layouts.clip_folder(tmp_path / "set")
    place = layouts.zipped(place, tmp_path / "mine.zip") if as_zip else place
    clips = fetch(params(place, upper=True)).clips
    assert [(clip.clip, clip.label, clip.signer, clip.split) for clip in clips][:2] == [
        ("hello/P1_001.mp4", "HELLO", "P1", "all"), ("hello/P2_001.mp4", "HELLO", "P2", "all"),
    ]  # fmt: skip
    assert clips[0].read().times == pytest.approx([0, 4 / 25, 9 / 25])


@pytest.mark.parametrize("as_zip", [False, True])
def test_a_folder_of_frames_is_a_clip_in_the_order_of_their_numbers(tmp_path, as_zip):
    place = layouts.frame_folders(tmp_path / "set")
    place = layouts.zipped(place, tmp_path / "frames.zip") if as_zip else place
    clips = fetch(params(place, FRAMES, frame_rate=10)).clips
    assert [clip.clip for clip in clips] == ["P1/hello", "P1/thanks", "P2/hello", "P2/thanks"]
    read = clips[0].read()
    assert read.times == pytest.approx([0, 0.5, 1.1])
    assert square_at(read.images[-1])[0] > square_at(read.images[1])[0] > square_at(read.images[0])[0]
    assert sorted(["f10", "f9", "f1"], key=in_natural_order) == ["f1", "f9", "f10"]


def test_rest_is_cut_of_frame_folders_too(tmp_path):
    for number in range(40):
        picture = Image.new("L", (64, 48), 40)
        picture.paste(220, (min(max(number - 15, 0), 10) * 4, 8, min(max(number - 15, 0), 10) * 4 + 16, 40))
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        write(tmp_path, f"P1/wave/frame{number}.png", buffer.getvalue())
    read = fetch(params(tmp_path, FRAMES, trim=True)).clips[0].read()
    assert 11 / 25 <= read.times[0] <= 15 / 25
    assert 25 / 25 <= read.times[-1] <= 29 / 25


def test_a_broken_frame_is_said_or_its_clip_left_out(tmp_path):
    layouts.frame_folders(tmp_path)
    write(tmp_path, "frames/P1/hello/frame5.png", b"no picture")
    with pytest.raises(SignBridgeError, match=r"P1/hello: its frame frame5.png cannot be read"):
        fetch(params(tmp_path, FRAMES)).clips[0].read()
    fetched = fetch(params(tmp_path, FRAMES, on_unreadable="skip"))
    assert [clip.read() is None for clip in fetched.clips] == [True, False, False, False]
    assert fetched.provenance["left_out"] == {"cannot be decoded": {"images": 1, "first": "frames/P1/hello"}}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?P<label>\w+)/P\d+_\d+\.mp4$", r"has no group \(\?P<signer>...\)"),
        (
            r"(?P<label>\w+)/(?P<signer>X\d+)\.mp4$",
            "finds no video and no picture among its 6 files, such as 'mine/hello/P1",
        ),
        (r"(?P<label>\w+)/(?P<signer>P\d+)", "finds videos, such as .* and pictures"),
        (r"(?P<signer>P\d+)_.*(mp4|png)$|(?P<label>f)\d+\.mp4$", "finds no label"),
    ],
)
def test_a_pattern_that_does_not_tell_clips_is_refused(tmp_path, pattern, said):
    layouts.clip_folder(tmp_path)
    write(tmp_path, "mine/hello/P3.png", b"")
    with pytest.raises(SignBridgeError, match=said):
        fetch(params(tmp_path, pattern))


def test_frames_of_two_signs_in_one_folder_are_refused(tmp_path):
    for sign in ("hello", "thanks"):
        write(tmp_path, f"all/{sign}_P1_1.png", b"")
    with pytest.raises(SignBridgeError, match="all: `pattern` finds two signs"):
        fetch(params(tmp_path, r"all/(?P<label>[a-z]+)_(?P<signer>P\d)_\d\.png$"))


def test_a_place_that_is_missing_or_no_zip_is_said(tmp_path):
    with pytest.raises(SignBridgeError, match="no such folder or file"):
        fetch(params(tmp_path / "none"))
    (tmp_path / "text.zip").write_bytes(b"text")
    with pytest.raises(SignBridgeError, match="neither a folder nor a whole zip"):
        fetch(params(tmp_path / "text.zip"))


def table(folder: Path, text: str) -> str:
    (folder / "signs.csv").write_text(text, encoding="utf-8-sig")
    return str(folder / "signs.csv")


def test_shape_and_movement_come_from_a_table_and_stay_unknown_of_the_others(tmp_path):
    layouts.clip_folder(tmp_path)
    where = table(tmp_path, 'movement,gloss,shape,notes\nup,hello,"B",x\nleft,other,S,\n')
    clips, provenance = fetch(params(tmp_path, attributes=where))
    known = {clip.label: (clip.shape, clip.movement, clip.kind) for clip in clips}
    assert known == {"hello": ("B", "up", None), "thanks": (None, None, None)}
    assert len(provenance["attributes"]) == 64


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("gloss,shape\nhello,B\n", "signs.csv: no column 'movement'; there are: gloss, shape"),
        ("gloss,shape,movement\nhello,B,\n", "signs.csv, row 2: no movement"),
        ("gloss,shape,movement\nhello,B,up\nhello,B,down\n", "'hello' is there twice, and differs"),
        ("gloss,shape,movement\nHELLO,B,up\n", "none of its glosses is one of the chosen signs, such as 'hello'"),
    ],
)
def test_a_table_of_attributes_that_says_nothing_or_two_things_is_refused(tmp_path, text, said):
    layouts.clip_folder(tmp_path)
    with pytest.raises(SignBridgeError, match=said):
        fetch(params(tmp_path, attributes=table(tmp_path, text)))


def test_a_table_of_attributes_that_is_missing_is_said(tmp_path):
    with pytest.raises(SignBridgeError, match=r"attributes: no file 'none\.csv'"):
        read_attributes(Path("none.csv"))
