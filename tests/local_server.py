"""What the HTTP servers of tests share: they are on this machine, say nothing, and end with a block of the test."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any


class Quiet(BaseHTTPRequestHandler):
    """Answers requests and writes no log."""

    def log_message(self, *_: Any) -> None:
        """Nothing."""


@contextmanager
def answering(server: HTTPServer) -> Iterator[None]:
    """Answer in the background while the block runs."""
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
