"""A hub of one repository, for tests without a network: what the client's calls give, and a cache as it lays it."""

import hashlib
import shutil
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx2
from huggingface_hub import constants
from huggingface_hub.errors import GatedRepoError, LocalEntryNotFoundError

from signbridge.vlm import hub

HUB_ID, REVISION = "some/model", "0" * 40


class StubHub:
    """The repository `some/model`, whose files lie in `source`; what is fetched is noted in `fetched`."""

    def __init__(self, source: Path, cache: Path, gated: bool = False, let_in: bool = True):
        self.source, self.cache, self.gated, self.let_in = source, cache, gated, let_in
        self.sizes: dict[str, int] = {}  # of files that are not there at all
        self.asked, self.fetched = 0, []

    @property
    def snapshot(self) -> Path:
        """Where the client lays the commit's files."""
        return self.cache / "models--some--model/snapshots" / REVISION

    def model_info(self, hub_id: str, *, revision: str, files_metadata: bool, timeout: float) -> Any:
        """As `HfApi.model_info`; sizes and, of weights, SHA-256."""
        assert (hub_id, revision, files_metadata) == (HUB_ID, REVISION, True)
        assert 0 < timeout <= 10
        self.asked += 1
        there = [self._sibling(path) for path in sorted(self.source.iterdir())]
        there += [SimpleNamespace(rfilename=name, size=size, lfs=None) for name, size in self.sizes.items()]
        return SimpleNamespace(siblings=there, gated="manual" if self.gated else False)

    def auth_check(self, hub_id: str) -> None:
        """As `HfApi.auth_check`."""
        assert hub_id == HUB_ID
        if not self.let_in:
            raise self._gated()

    def snapshot_download(
        self, hub_id: str, *, revision: str, allow_patterns: list[str], local_files_only: bool = False
    ) -> str:
        """As the client's; each file is a link to a blob."""
        assert (hub_id, revision) == (HUB_ID, REVISION)
        if not local_files_only:
            if not self.let_in:
                raise self._gated()
            for file in sorted({file for pattern in allow_patterns for file in self.source.glob(pattern)}):
                self._lay(file)
        elif not self.snapshot.is_dir():
            raise LocalEntryNotFoundError("not in the cache")
        return str(self.snapshot)

    def _lay(self, file: Path) -> None:
        link = self.snapshot / file.name
        if link.exists():
            return
        blob = self.cache / "models--some--model/blobs" / hashlib.sha256(file.read_bytes()).hexdigest()
        for folder in (blob.parent, link.parent):
            folder.mkdir(parents=True, exist_ok=True)
        if not blob.exists():  # as the client: a blob that is there is whole
            shutil.copyfile(file, blob)
        link.symlink_to(blob)
        self.fetched.append(file.name)

    def _sibling(self, path: Path) -> SimpleNamespace:
        digest = hashlib.sha256(path.read_bytes()).hexdigest() if path.suffix == ".safetensors" else None
        lfs = SimpleNamespace(sha256=digest) if digest else None
        return SimpleNamespace(rfilename=path.name, size=path.stat().st_size, lfs=lfs)

    def _gated(self) -> GatedRepoError:
        response = httpx2.Response(403, request=httpx2.Request("GET", "https://hub"))
        return GatedRepoError("403 Client Error", response=response)


def install(monkeypatch: Any, source: Path, cache: Path, **changes: bool) -> StubHub:
    """Put the stub in the place of the hub's client."""
    stub = StubHub(source, cache, **changes)
    monkeypatch.setattr(hub, "HfApi", lambda: stub)
    monkeypatch.setattr(hub, "snapshot_download", stub.snapshot_download)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
    return stub


def unplug(monkeypatch: Any, cache: Path) -> None:
    """The hub's own client, whose every request is refused at once."""
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", False)
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(cache))
