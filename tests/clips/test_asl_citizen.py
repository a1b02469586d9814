"""ASL Citizen from a folder, a zip and a server: gloss from the tables, only what is chosen, and nothing passed on."""

import hashlib
from pathlib import Path

import pytest

from signbridge.clips import asl_citizen, web_zip
from signbridge.clips.asl_citizen import AslCitizenParams, fetch
from signbridge.clips.recordings import Files
from signbridge.clips.table import read_clips, write_clips
from signbridge.core.errors import SignBridgeError
from tests.clips import layouts
from tests.clips.range_server import RangeServer
from tests.datasets.layouts import write


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    return layouts.asl_citizen(tmp_path_factory.mktemp("citizen"))


@pytest.fixture(scope="module")
def archive(folder, tmp_path_factory) -> Path:
    return layouts.zipped(folder, tmp_path_factory.mktemp("zip") / "ASL_Citizen.zip")


def params(path: Path | None = None, **values) -> AslCitizenParams:
    return AslCitizenParams(source="asl_citizen", path=path and str(path), **{"frames": 4} | values)


def test_gloss_signer_and_split_come_from_the_tables(folder):
    clips, provenance = fetch(params(folder))
    said = {clip.clip: (clip.label, clip.signer, clip.split) for clip in clips}
    assert said["P1/4.7299129501965353e-7-seedSOUR"] == ("APPLE", "P1", "train"), "not what the file is called"
    assert said["P2/0042-seedAPPLE"] == ("APPLE", "P2", "train"), "no blanks at its end"
    assert said["P5/0051-HURDLE"] == ("HURDLE/TRIP1", "P5", "valid")
    assert said["P9/0092-YES"] == ("YES, OF COURSE", "P9", "test")
    assert len(said) == 11, "those that participant 46 repeats are two clips"
    assert provenance["from"] == folder.name
    assert provenance["left_out"] == {}
    assert [len(clip.read().images) for clip in clips[:2]] == [4, 4]


def test_a_folder_a_zip_and_a_server_give_the_same_clips(folder, archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    wanted = {"glosses": 2, "clips_per_sign": 2}
    with RangeServer(archive.read_bytes()).running() as server:
        places = params(folder, **wanted), params(archive, **wanted), params(web={"url": server.url}, **wanted)
        for number, place in enumerate(places):
            write_clips(fetch(place).clips, tmp_path / f"{number}.parquet", {})  # in several threads at once
    contents = [(tmp_path / f"{number}.parquet").read_bytes() for number in range(3)]
    assert contents[0] == contents[1] == contents[2]
    assert set(read_clips(tmp_path / "0.parquet")["label"]) == {"APPLE", "HURDLE/TRIP1"}


def test_of_a_server_only_the_chosen_are_downloaded_and_a_run_that_broke_off_goes_on(archive, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with RangeServer(archive.read_bytes()).running() as server:
        chosen = params(web={"url": server.url}, glosses=["YES, OF COURSE"], signers=["P1", "P9"])
        clips = fetch(chosen).clips
        before = len(server.asked)
        clips[0].read()
        server.status = 503
        with pytest.raises(SignBridgeError, match=r"it answered 503.*run it again"):
            clips[1].read()
        server.status = 206
        again = fetch(chosen).clips
        for clip in again:
            clip.read()
        videos = list(Path(".scratch/clips").rglob("*.mp4"))
        assert len(videos) == 2
        read_in_full = [span for span in server.asked[before:] if span[1] - span[0] > 1]
        assert len(read_in_full) == 1 + 2 + 1, "one, one in vain twice, and in the second run that one alone"


def test_tables_that_are_not_the_official_ones_stop_a_download_and_are_said_of_a_copy(
    folder, archive, tmp_path, monkeypatch, caplog
):
    monkeypatch.chdir(tmp_path)
    official = {"valid": hashlib.sha256((folder / "ASL_Citizen/splits/val.csv").read_bytes()).hexdigest()}
    with RangeServer(archive.read_bytes()).running() as server:
        assert len(fetch(params(web={"url": server.url}, splits_sha256=official)).clips) == 11
        with pytest.raises(SignBridgeError, match=r"splits/train.csv: its SHA-256 is .* not the one in datasets.yaml"):
            fetch(params(web={"url": server.url}, splits_sha256={"train": "0" * 64}))
    assert len(fetch(params(folder, splits_sha256={"train": "0" * 64})).clips) == 11
    assert "splits/train.csv: not the table of ASL Citizen 1.0" in caplog.text


def test_videos_that_are_listed_but_missing_are_counted_for_the_chosen_signs(tmp_path):
    layouts.asl_citizen(tmp_path)
    for name in ("0042-seedAPPLE.mp4", "0091-APPLE.mp4", "0044-YES.mp4"):
        (tmp_path / "ASL_Citizen/videos" / name).unlink()
    clips, provenance = fetch(params(tmp_path, glosses=["APPLE"]))
    assert sorted(clip.signer for clip in clips) == ["P1", "P1", "P5"]
    assert provenance["left_out"] == {}, "nobody of those signers lacks one"
    provenance = fetch(params(tmp_path)).provenance
    assert provenance["left_out"] == {
        "listed, but not there": {"images": 3, "first": "ASL_Citizen/videos/0042-seedAPPLE.mp4"}
    }


@pytest.mark.parametrize(
    ("broken", "said"),
    [
        (lambda place: (place / "ASL_Citizen/splits/val.csv").unlink(), r"no splits/val.csv in it. Expected ASL"),
        (lambda place: write(place, "ASL_Citizen/splits/test.csv", b"Video,Gloss\n"), r"no column 'Participant ID'"),
        (lambda place: write(place, "ASL_Citizen/splits/test.csv", layouts.HEADER.encode() + b"P1,a.mp4,,x\n"),
         r"splits/test.csv, row 2: no Gloss"),
        (lambda place: write(place, "ASL_Citizen/splits/test.csv", b"\xff\xfe"), "no CSV in UTF-8"),
        (lambda place: [video.unlink() for video in place.rglob("*.mp4")], "none of the 11 recordings is there"),
    ],
)  # fmt: skip
def test_a_copy_that_is_not_laid_out_as_the_set_is_refused(tmp_path, broken, said):
    layouts.asl_citizen(tmp_path)
    broken(tmp_path)
    with pytest.raises(SignBridgeError, match=said):
        fetch(params(tmp_path))


def test_an_entry_without_a_place_is_refused():
    with pytest.raises(SignBridgeError, match="names neither `path` nor `web`"):
        fetch(params())


def test_the_committed_entry_reads_the_official_address_and_lets_nothing_be_passed_on(monkeypatch):
    from signbridge.core import params as choices

    entry = choices.entry("asl_citizen", choices.DATASETS, AslCitizenParams)
    assert entry.pass_on is False
    assert entry.web.url.startswith("https://download.microsoft.com/")
    assert entry.web.url.endswith("/ASL_Citizen.zip")
    assert sorted(entry.splits_sha256) == ["test", "train", "valid"]
    monkeypatch.setattr(asl_citizen, "files_on_web", lambda url: Files(url, [], lambda name: b""))
    with pytest.raises(SignBridgeError, match=r"ASL_Citizen.zip: no splits/train.csv"):
        fetch(entry)
    assert web_zip.KEPT.parts[0] == ".scratch", "which git does not see"
