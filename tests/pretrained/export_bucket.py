"""A server on this machine that answers as the bucket of Neuronpedia's exports does."""

import gzip
import json
import urllib.parse
from collections.abc import Iterator
from http.server import ThreadingHTTPServer

import pytest

from signbridge.pretrained import neuronpedia
from tests.local_server import Quiet, answering

SAE = "gemma-2b/12-res-jb"
XML = 'xmlns="http://s3.amazonaws.com/doc/2006-03-01/"'


def packed(*said: dict) -> bytes:
    return gzip.compress("".join(json.dumps(one) + "\n" for one in said).encode(), mtime=0)


class Bucket(ThreadingHTTPServer):
    """Files by key, listed two at a time; what is asked for is kept, and `failing` answers are errors."""

    def __init__(self, files: dict[str, bytes]):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files, self.asked, self.failing = files, [], {}
        self.address = f"http://127.0.0.1:{self.server_port}"


class Handler(Quiet):
    def do_GET(self) -> None:
        url = urllib.parse.urlsplit(self.path)
        key, query = urllib.parse.unquote(url.path).lstrip("/"), dict(urllib.parse.parse_qsl(url.query))
        self.server.asked.append(key or query["prefix"])
        codes = self.server.failing.get(key, [])
        if codes:
            return self._answer(codes.pop(0), b"")
        if not key:
            return self._answer(200, self._listing(query))
        return self._answer(200, self.server.files[key]) if key in self.server.files else self._answer(404, b"")

    def _listing(self, query: dict[str, str]) -> bytes:
        keys = sorted(key for key in self.server.files if key.startswith(query["prefix"]))
        start = int(query.get("continuation-token", 0))
        more = f"<NextContinuationToken>{start + 2}</NextContinuationToken>" if len(keys) > start + 2 else ""
        entries = "".join(f"<Contents><Key>{key}</Key></Contents>" for key in keys[start : start + 2])
        return f"<ListBucketResult {XML}>{entries}{more}</ListBucketResult>".encode()

    def _answer(self, code: int, content: bytes) -> None:
        self.send_response(code)
        self.end_headers()
        self.wfile.write(content)


@pytest.fixture
def bucket(monkeypatch) -> Iterator[Bucket]:
    monkeypatch.setattr(neuronpedia, "SECONDS_BETWEEN_TRIES", 0.0)
    prefix = f"v1/{SAE}/explanations"
    files = {
        f"{prefix}/batch-{number}.jsonl.gz": packed({"index": str(number), "description": f" of\n{number} "})
        for number in (0, 1, 2, 10)
    }
    files |= {f"{prefix}/readme.txt": b"", f"v1/{SAE}-other/explanations/batch-0.jsonl.gz": packed()}
    server = Bucket(files)
    with answering(server):
        yield server
