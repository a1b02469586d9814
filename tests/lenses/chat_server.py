"""A server on this machine that answers chat completions as OpenAI's does, with what a test wants it to say."""

import base64
import json
import re
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from http.server import ThreadingHTTPServer
from threading import Lock
from typing import Any, NamedTuple

from tests.local_server import Quiet, answering

WORDS = re.compile(r"The words:\s*(\[.*\])")


class Asked(NamedTuple):
    """One request, as a judge takes it in."""

    words: list[str]
    text: str
    pictures: list[bytes]
    body: dict[str, Any]
    key: str


class ChatServer:
    """Keeps what it was asked; `reply` takes one `Asked` and gives a text, or a status and a body."""

    def __init__(self, reply: Callable[[Asked], str | tuple[int, Any]]):
        self.reply, self.asked, self._lock = reply, [], Lock()
        server = self

        class Handler(Quiet):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                one = _asked(body, self.headers["Authorization"])
                with server._lock:
                    server.asked.append(one)
                    given = server.reply(one)
                given = (200, completion(given)) if isinstance(given, str) else given
                status, content = given if self.path == "/v1/chat/completions" else (404, {"error": "no such page"})
                is_page = isinstance(content, str)
                payload = content.encode() if is_page else json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "text/html" if is_page else "application/json")
                self.send_header("Content-Length", str(len(payload)))
                self.end_headers()
                self.wfile.write(payload)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self._http.server_port}/v1"

    @contextmanager
    def running(self) -> Iterator["ChatServer"]:
        """Serve in the background while the block runs."""
        with answering(self._http):
            yield self


def completion(text: str | None) -> dict[str, Any]:
    """The body of an answer."""
    message = {"role": "assistant", "content": text}
    return {"id": "1", "object": "chat.completion", "created": 0, "model": "judge-2026",
            "choices": [{"index": 0, "finish_reason": "stop", "message": message}]}  # fmt: skip


def judgement(concrete: Sequence[str] = (), abstract: Sequence[str] = (), elsewhere: Sequence[str] = ()) -> str:
    """An answer of the form asked for, with some reasoning before it."""
    found = {
        "reasoning": "I looked.",
        "interpretable": bool(concrete or abstract or elsewhere),
        "concrete_words": list(concrete),
        "abstract_words": list(abstract),
        "global_words": list(elsewhere),
    }
    return f"Let me see {{first}}.\n```json\n{json.dumps(found)}\n```"


def _asked(body: dict[str, Any], key: str) -> Asked:
    (message,) = body["messages"]
    parts = message["content"]
    (text,) = (part["text"] for part in parts if part["type"] == "text")
    urls = [part["image_url"]["url"] for part in parts if part["type"] == "image_url"]
    assert all(url.startswith("data:image/png;base64,") for url in urls)
    pictures = [base64.b64decode(url.partition(",")[2]) for url in urls]
    return Asked(json.loads(WORDS.search(text)[1]), text, pictures, body, key.removeprefix("Bearer "))
