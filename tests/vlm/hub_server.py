"""A hub of one repository on this machine, which the hub's own client talks to: metadata, the listing and the files."""

import hashlib
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from huggingface_hub import constants

from tests.local_server import Quiet, answering

HUB_ID, REVISION, OTHER_REVISION = "some/model", "0" * 40, "1" * 40


class Hub:
    """The repository `some/model`, whose files lie in `source`, and the client's `cache`."""

    def __init__(self, source: Path, cache: Path):
        self.source, self.cache = source, cache
        self.sizes: dict[str, int] = {}  # of files that it names as well, and cannot give
        self.withheld = ""  # a file that it names, and does not give
        self.gated = self.lets_in = False  # a gated one lets nobody in, or everybody
        self.asked: list[str] = []  # method, path and range

    @property
    def fetched(self) -> list[str]:
        """The names of the files that it has given, in order of the alphabet."""
        return sorted(
            asked.split()[1].rpartition("/")[2] for asked in self.asked if asked.startswith(f"GET /{HUB_ID}/")
        )

    @property
    def snapshot(self) -> Path:
        """Where the client lays the commit's files."""
        return self.cache / "models--some--model/snapshots" / REVISION

    def answer(self, path: str) -> Any:
        """The JSON that it has at `path`, the bytes of a file, or why there is none."""
        names = {file.name: file.stat().st_size for file in sorted(self.source.iterdir())} | self.sizes
        if path == f"/api/models/{HUB_ID}/revision/{REVISION}":
            siblings = [{"rfilename": name, "size": size, **self._lfs(name, "sha256")} for name, size in names.items()]
            return {"id": HUB_ID, "sha": REVISION, "gated": "manual" if self.gated else False, "siblings": siblings}
        if path.startswith((f"/api/models/{HUB_ID}/", f"/{HUB_ID}/resolve/")) and OTHER_REVISION in path:
            return "RevisionNotFound"
        if self.gated and not self.lets_in:
            return "GatedRepo"
        if path == f"/api/models/{HUB_ID}/auth-check":
            return {}
        if path == f"/api/models/{HUB_ID}/tree/{REVISION}":
            return [
                {"type": "file", "path": name, "size": size, "oid": "0" * 40, **self._lfs(name, "oid")}
                for name, size in names.items()
            ]
        file = self.source / Path(path).name
        if path == f"/{HUB_ID}/resolve/{REVISION}/{file.name}" and file.is_file() and file.name != self.withheld:
            return file.read_bytes()
        return "RepoNotFound"

    def _lfs(self, name: str, called: str) -> dict[str, Any]:
        file = self.source / name
        if file.suffix != ".safetensors" or not file.is_file():
            return {}
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        return {"lfs": {called: digest, "size": file.stat().st_size, "pointerSize": 134}}


@contextmanager
def serving(monkeypatch: Any, source: Path, cache: Path) -> Iterator[Hub]:
    """The hub, while the block runs."""
    hub = Hub(source, cache)

    class Handler(Quiet):
        def do_GET(self) -> None:
            path, part = urlsplit(self.path).path, self.headers.get("Range", "")
            hub.asked.append(f"{self.command} {path} {part}")
            content = hub.answer(path)
            if isinstance(content, str):
                return self._send(403 if content == "GatedRepo" else 404, b"", {"X-Error-Code": content})
            if not isinstance(content, bytes):
                return self._send(200, json.dumps(content).encode(), {"Content-Type": "application/json"})
            etag = f'"{hashlib.sha256(content).hexdigest()}"'
            headers = {"ETag": etag, "X-Repo-Commit": REVISION, "Accept-Ranges": "bytes"}
            start = int(part.removeprefix("bytes=").partition("-")[0] or 0)
            if part:
                headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
            return self._send(206 if part else 200, content[start:], headers)

        do_HEAD = do_GET

        def _send(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(body))}).items():
                self.send_header(name, value)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    _lead(monkeypatch, f"http://127.0.0.1:{server.server_port}", cache)
    with answering(server):
        yield hub


def unplug(monkeypatch: Any, cache: Path) -> None:
    """No hub: every request is refused at once."""
    _lead(monkeypatch, "http://127.0.0.1:9", cache)


def _lead(monkeypatch: Any, endpoint: str, cache: Path) -> None:
    monkeypatch.setattr(constants, "ENDPOINT", endpoint)
    monkeypatch.setattr(
        constants, "HUGGINGFACE_CO_URL_TEMPLATE", f"{endpoint}/{{repo_id}}/resolve/{{revision}}/{{filename}}"
    )
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "http_proxy", "https_proxy", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
