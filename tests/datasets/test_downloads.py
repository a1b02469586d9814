"""What is in a cache is taken from there with no network; what is not is checked, and refusals say what to do."""

import hashlib
from collections import namedtuple
from http.server import HTTPServer

import huggingface_hub.constants
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.datasets import downloads
from signbridge.datasets.downloads import HubFile, WebFile, hub_file, kaggle_folder, web_file
from tests.datasets.hub_cache import COMMIT, in_cache
from tests.local_server import Quiet, answering

CONTENT = bytes(range(256)) * 8
SHA256 = hashlib.sha256(CONTENT).hexdigest()
Response = namedtuple("Response", ["headers", "request", "status_code"])
Usage = namedtuple("Usage", ["total", "used", "free"])


@pytest.fixture
def full_disk(monkeypatch):
    """A disk with 1 GB left."""
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda place: Usage(0, 0, 1e9))


@pytest.fixture
def server():
    """Gives `body`, or `status`; `sent` is where it breaks off, `asked` what it was asked."""

    class Answer(Quiet):
        def do_GET(self):
            asked = self.headers.get("Range")
            self.server.asked.append(asked)
            start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
            body = self.server.body[start:]
            status = self.server.status or (206 if start else 200)
            if start and not body:
                status = 416
            self.send_response(status)
            self.send_header("Content-Type", self.server.kind)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: self.server.sent])

    found = HTTPServer(("127.0.0.1", 0), Answer)
    found.body, found.status, found.kind, found.sent, found.asked = CONTENT, None, "application/x-bzip2", None, []
    with answering(found):
        yield found


@pytest.fixture
def file(server, tmp_path, monkeypatch):
    """A file of the server's, and a cache that is empty."""
    monkeypatch.setenv("SIGNBRIDGE_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("NO_PROXY", "*")
    return WebFile(url=f"http://127.0.0.1:{server.server_port}/set.tar.bz2", sha256=SHA256)


def test_a_file_of_the_web_is_kept_and_not_asked_for_again(server, file):
    path = web_file(file, None)
    assert (path.name, path.read_bytes()) == ("set.tar.bz2", CONTENT)
    server.status = 500
    assert web_file(file, None) == path
    assert server.asked == [None]


def test_a_download_that_broke_off_goes_on_where_it_was(server, file, monkeypatch):
    monkeypatch.setattr(downloads, "AT_ONCE", 100)
    server.sent = 500
    with pytest.raises(SignBridgeError, match="run it again: what came is kept"):
        web_file(file, None)
    server.sent = None
    assert web_file(file, None).read_bytes() == CONTENT
    assert server.asked == [None, "bytes=500-"]


def test_a_file_that_is_not_the_one_that_is_named_is_removed(server, file):
    server.body = CONTENT[:-1] + b"x"
    with pytest.raises(SignBridgeError, match=r"set\.tar\.bz2: its SHA-256 is .*, not the one in datasets.yaml"):
        web_file(file, None)
    server.body = CONTENT
    assert web_file(file, None).read_bytes() == CONTENT


@pytest.mark.parametrize(
    ("status", "kind", "said"), [(404, "text/plain", "it answered 404"), (200, "text/html", "gives a web page")]
)
def test_a_server_that_has_it_no_more_is_named_with_the_way_out(server, file, status, kind, said):
    server.status, server.kind = status, kind
    with pytest.raises(SignBridgeError, match=f"{said}.*to a local copy") as error:
        web_file(file, None)
    assert len(str(error.value)) < 400


def test_a_server_that_is_not_there_is_named(monkeypatch, tmp_path):
    monkeypatch.setenv("SIGNBRIDGE_CACHE", str(tmp_path))
    monkeypatch.setenv("NO_PROXY", "*")
    with pytest.raises(SignBridgeError, match=r"cannot fetch http://127.0.0.1:9/set.tar \(ConnectionError\)"):
        web_file(WebFile(url="http://127.0.0.1:9/set.tar"), None)


def test_a_disk_that_is_too_small_is_said_before_anything_is_fetched(server, file, full_disk):
    with pytest.raises(SignBridgeError, match=r"needs 2\.3 GB in .*cache, where 1\.0 GB are free.*SIGNBRIDGE_CACHE"):
        web_file(file, 2.2)
    assert server.asked == []


@pytest.fixture
def kaggle_cache(tmp_path, monkeypatch):
    """A folder in which kagglehub keeps what it fetches."""
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path))
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    return tmp_path


def test_what_kagglehub_has_is_read_from_there_on_a_full_disk_without_a_network(kaggle_cache, full_disk, monkeypatch):
    from kagglehub.cache import Cache
    from kagglehub.handle import parse_dataset_handle

    handle = "grassknoted/asl-alphabet/versions/1"
    there = kaggle_cache / "datasets/grassknoted/asl-alphabet/versions/1"
    there.mkdir(parents=True)
    Cache().mark_as_complete(parse_dataset_handle(handle))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    assert kaggle_folder(handle, 1.1, "name a copy") == there


def test_kaggle_needs_room_for_what_it_unpacks_too(kaggle_cache, full_disk):
    with pytest.raises(SignBridgeError, match=r"needs 2\.4 GB in .*, where 1\.0 GB are free.*KAGGLEHUB_CACHE"):
        kaggle_folder("grassknoted/asl-alphabet/versions/1", 1.1, "name a copy")


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in which the hub's client keeps what it fetches, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def test_a_file_of_the_hub_is_read_from_its_cache(hub):
    path = in_cache(hub, "ann/signs", "raw/photos.zip", CONTENT)
    assert hub_file(HubFile(hub_id="ann/signs", revision=COMMIT, file="raw/photos.zip", sha256=SHA256)) == path


def test_a_file_of_the_hub_that_is_not_the_one_that_is_named_is_removed(hub):
    path = in_cache(hub, "ann/signs", "photos.zip", b"cut")
    with pytest.raises(SignBridgeError, match=r"photos\.zip: its SHA-256 is .* It was removed: run it again"):
        hub_file(HubFile(hub_id="ann/signs", revision=COMMIT, file="photos.zip", sha256=SHA256))
    assert not path.exists()


def test_a_file_of_the_hub_that_is_nowhere_says_what_to_do(hub):
    with pytest.raises(SignBridgeError, match="ann/signs is not in the cache here, and cannot be had") as error:
        hub_file(HubFile(hub_id="ann/signs", revision=COMMIT, file="photos.zip"))
    assert len(str(error.value)) < 400


def refusal_of_the_hub(kind: str) -> Exception:
    """What the hub's client raises."""
    from huggingface_hub import errors

    return getattr(errors, kind)("no", response=Response({}, None, 404))


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        ("GatedRepoError", "is gated: accept its terms on https://huggingface.co/datasets/ann/signs"),
        ("RepositoryNotFoundError", "no such dataset on the hub, or it is private"),
        ("RevisionNotFoundError", f"no commit {COMMIT} on the hub. Correct `revision`"),
        ("RemoteEntryNotFoundError", "no such file there"),
        ("HfHubHTTPError", r"cannot be had from the hub \(it answered 404\)"),
    ],
)
def test_what_the_hub_refuses_is_said_with_what_to_do(kind, said):
    with pytest.raises(SignBridgeError, match=said), downloads.of_hub("ann/signs", COMMIT):
        raise refusal_of_the_hub(kind)
