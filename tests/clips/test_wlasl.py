"""WLASL as Kaggle has it: some videos missing, some cut to their sign, and splits of its own that share no signer."""

import json
from pathlib import Path

import pytest

from signbridge.clips import wlasl
from signbridge.clips.wlasl import SHARES, WlaslParams, fetch, split_by_signer
from signbridge.core.errors import SignBridgeError
from tests.clips import layouts
from tests.datasets.layouts import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return layouts.wlasl(tmp_path_factory.mktemp("wlasl"))


def params(path: Path | None, **values) -> WlaslParams:
    return WlaslParams(source="wlasl", path=path and str(path), **{"frames": 3, "trim": False} | values)


def test_labels_are_those_of_the_json_and_what_kaggle_lacks_is_counted(folder):
    clips, provenance = fetch(params(folder))
    assert {(clip.clip, clip.label) for clip in clips} >= {
        ("signer-118/00001", "book"),
        ("signer-007/00004", "thank you"),
    }
    assert len(clips) == 10
    assert provenance["left_out"] == {"listed, but not there": {"images": 1, "first": "videos/70349.mp4"}}


def test_a_number_of_glosses_takes_the_first_of_the_labels_not_the_most_frequent(folder):
    assert {clip.label for clip in fetch(params(folder, glosses=2)).clips} == {"book", "thank you"}


def test_no_signer_is_in_two_splits_and_the_official_ones_are_not_used(folder):
    split_of: dict[str, set[str]] = {}
    for clip in fetch(params(folder)).clips:
        split_of.setdefault(clip.signer, set()).add(clip.split)
    assert all(len(splits) == 1 for splits in split_of.values())
    assert split_of["signer-118"] == {"train"}


def test_splits_have_their_shares_as_nearly_as_whole_signers_allow():
    signers = [f"s{number % 40}" for number in range(1000)]
    split_of = split_by_signer(signers)
    for split, share in SHARES.items():
        assert sum(split_of[signer] == split for signer in signers) == pytest.approx(1000 * share, abs=25)
    assert split_by_signer(signers[::-1]) == split_of


def test_a_sign_is_cut_out_by_its_frames_which_count_from_one_unless_the_copy_did_so(folder):
    by_name = {clip.clip: clip for clip in fetch(params(folder)).clips}
    assert by_name["signer-007/00003"].read().times == pytest.approx([5 / 25, 7 / 25, 9 / 25]), "frames 6 to 10"
    assert by_name["signer-007/00004"].read().times == pytest.approx([0, 5 / 25, 11 / 25]), (
        "cut before: 12 frames of 42"
    )
    assert by_name["signer-118/00001"].read().times == pytest.approx([0, 5 / 25, 11 / 25]), "-1 is to the end"


def test_the_box_of_the_signer_is_cut_out_on_demand(folder):
    whole, cut = (fetch(params(folder, crop=crop, glosses=1)).clips[0].read().images[0] for crop in (False, True))
    assert (whole.shape, cut.shape) == ((48, 64, 3), (40, 48, 3))


def test_without_a_path_the_copy_of_kaggle_is_read(folder, monkeypatch):
    asked = []
    monkeypatch.setattr(wlasl, "kaggle_folder", lambda handle, *_: asked.append(handle) or folder)
    clips, provenance = fetch(params(None, kaggle="owner/wlasl/versions/5"))
    assert asked == ["owner/wlasl/versions/5"] == [provenance["from"]]
    assert len(clips) == 10


def test_a_zip_gives_what_the_folder_gives(folder, tmp_path):
    names = [
        sorted((clip.clip, clip.split) for clip in fetch(params(place)).clips)
        for place in (folder, layouts.zipped(folder, tmp_path / "wlasl.zip"))
    ]
    assert names[0] == names[1]


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"{not json", "no JSON"),
        (b'{"book": 3}', "its first sign: not as WLASL 0.3 writes it"),
        (json.dumps([{"gloss": "book", "instances": [{"video_id": "1"}]}]).encode(), "sign 1: not as WLASL 0.3"),
    ],
)
def test_labels_that_are_not_wlasls_are_refused(tmp_path, content, said):
    write(tmp_path, "WLASL_v0.3.json", content)
    with pytest.raises(SignBridgeError, match=said):
        fetch(params(tmp_path))


def test_a_copy_without_labels_and_an_entry_without_a_place_are_refused(tmp_path):
    write(tmp_path, "videos/1.mp4", b"")
    with pytest.raises(SignBridgeError, match=r"no WLASL_v0.3.json in it. Put it beside videos/"):
        fetch(params(tmp_path))
    with pytest.raises(SignBridgeError, match="names neither `path` nor `kaggle`"):
        fetch(params(None))
