"""Single files of a zip on a server: what is downloaded, what is kept, and what is said where it does not work."""

import io
import zipfile
from types import SimpleNamespace

import numpy as np
import pytest

from signbridge.clips import web_zip
from signbridge.clips.web_zip import WebZip
from signbridge.core.errors import SignBridgeError
from tests.clips.range_server import RangeServer

CONTENT = {
    f"Set/videos/{number}.mp4": np.random.default_rng(number).bytes(50_000 + 1000 * number) for number in range(8)
}


def archive(content: dict[str, bytes] = CONTENT, packed: int = zipfile.ZIP_STORED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", packed) as opened:
        opened.mkdir("Set")
        for name, inside in content.items():
            opened.writestr(name, inside)
    return buffer.getvalue()


@pytest.fixture
def server():
    with RangeServer(archive()).running() as running:
        yield running


@pytest.mark.parametrize("as_beyond_4_gb", [False, True])
@pytest.mark.parametrize("packed", [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
def test_one_file_is_read_without_the_others(tmp_path, server, packed, as_beyond_4_gb, monkeypatch):
    if as_beyond_4_gb:
        monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 1000)  # places and sizes in fields of 64 bits, as in 46 GB
    server.content = archive(CONTENT | {"Set/text.csv": b"one,two\n" * 5000}, packed)
    opened = WebZip(server.url, tmp_path)
    assert sorted(opened.infos) == sorted([*CONTENT, "Set/text.csv"])
    before = server.sent
    for name in ("Set/videos/3.mp4", "Set/text.csv"):
        inside = opened.fetched(name).read_bytes()
        assert inside == CONTENT.get(name, b"one,two\n" * 5000)
    assert server.sent - before < 1.1 * len(CONTENT["Set/videos/3.mp4"]) + 45_000


def test_what_was_read_is_not_asked_for_again_in_another_run(tmp_path, server):
    first = WebZip(server.url, tmp_path)
    first.fetched("Set/videos/1.mp4")
    before = server.sent
    second = WebZip(server.url, tmp_path)
    assert second.fetched("Set/videos/1.mp4").read_bytes() == CONTENT["Set/videos/1.mp4"]
    assert server.sent - before == 1, "a single byte, for the archive's length"
    second.fetched("Set/videos/2.mp4")
    assert server.sent - before > 50_000


def test_an_archive_that_changed_is_read_anew(tmp_path, server):
    WebZip(server.url, tmp_path).fetched("Set/videos/1.mp4")
    server.content = archive({"Set/videos/1.mp4": b"another"})
    assert WebZip(server.url, tmp_path).fetched("Set/videos/1.mp4").read_bytes() == b"another"


def test_an_answer_that_breaks_off_is_asked_for_once_more_and_leaves_nothing_half(tmp_path, server):
    opened = WebZip(server.url, tmp_path)
    server.breaks_off = 1
    assert opened.fetched("Set/videos/5.mp4").read_bytes() == CONTENT["Set/videos/5.mp4"]
    server.breaks_off = 9
    with pytest.raises(SignBridgeError, match=r"\(ChunkedEncodingError\).*run it again: what came is kept"):
        opened.fetched("Set/videos/6.mp4")
    assert not opened.path("Set/videos/6.mp4").exists()


def test_a_server_without_ranges_is_refused_before_the_archive_is_downloaded(tmp_path):
    with RangeServer(archive(), ranges=False).running() as server, pytest.raises(SignBridgeError) as raised:
        WebZip(server.url, tmp_path)
    assert "gives no parts of a file (HTTP ranges). Download the archive whole, and set `path`" in str(raised.value)


@pytest.mark.parametrize("status", [403, 404, 500])
def test_what_a_server_refuses_is_said(tmp_path, server, status):
    server.status = status
    with pytest.raises(SignBridgeError, match=rf"cannot fetch http.*\(it answered {status}\). Check the network"):
        WebZip(server.url, tmp_path)


def test_that_nobody_answers_is_said(tmp_path):
    with pytest.raises(SignBridgeError, match=r"cannot fetch http.*\(ConnectionError\)"):
        WebZip("http://127.0.0.1:9/archive.zip", tmp_path)


def test_what_is_no_zip_or_damaged_is_said(tmp_path, server):
    whole = server.content
    server.content = whole[:100_000]
    with pytest.raises(SignBridgeError, match="not a zip, or cut short"):
        WebZip(server.url, tmp_path)
    server.content = whole[:500] + bytes(1000) + whole[1500:]
    with pytest.raises(SignBridgeError, match=r"videos/0.mp4 did not come as its directory says"):
        WebZip(server.url, tmp_path).fetched("Set/videos/0.mp4")


def test_a_disk_without_room_is_said_before_the_files_are_fetched(tmp_path, server, monkeypatch):
    opened = WebZip(server.url, tmp_path)
    opened.check_room(CONTENT)
    monkeypatch.setattr(web_zip.shutil, "disk_usage", lambda _: SimpleNamespace(free=100_000))
    with pytest.raises(
        SignBridgeError, match=r"0\.0 GB of archive\.zip are to be downloaded .* choose fewer `glosses`"
    ):
        opened.check_room(CONTENT)
