"""A hub that does not answer is not asked again and again, as its client would by itself: for minutes."""

import socket
import time
from collections.abc import Iterator

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.datasets import downloads
from signbridge.vlm import hub
from tests.vlm import hub_server


@pytest.fixture
def silent(monkeypatch, tmp_path) -> Iterator[socket.socket]:
    """It takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0), backlog=20) as server:
        hub_server._lead(monkeypatch, f"http://127.0.0.1:{server.getsockname()[1]}", tmp_path)
        monkeypatch.setattr(hub, "SECONDS_TO_ANSWER", 0.2)
        monkeypatch.setattr(downloads, "READ_SECONDS", 0.2)
        yield server


def connections(server: socket.socket) -> int:
    """How many were made."""
    server.settimeout(0)
    made = 0
    while True:
        try:
            server.accept()[0].close()
        except BlockingIOError:
            return made
        made += 1


def test_a_silent_hub_is_not_asked_again_and_again_for_a_model_and_for_a_file_of_a_dataset(silent):
    start = time.monotonic()
    with pytest.raises(SignBridgeError, match="cannot be had from the hub: timed out"):
        hub.fetch("some/model", "0" * 40, ["*.json"])
    with pytest.raises(SignBridgeError, match="cannot be had from the hub"):
        downloads.hub_file(downloads.HubFile(hub_id="some/set", revision="0" * 40, file="a.zip"))
    assert time.monotonic() - start < 10
    assert connections(silent) <= 3, "six for each of several requests, by itself"
