"""A server on this machine that gives one file, and parts of it as HTTP ranges; it notes what was asked for."""

from collections.abc import Iterator
from contextlib import contextmanager
from http.server import ThreadingHTTPServer

from tests.local_server import Quiet, answering


class RangeServer:
    """Gives `content` to whoever asks for `/archive.zip`."""

    def __init__(self, content: bytes, ranges: bool = True):
        """Without `ranges` it gives the file whole, whatever part is asked for."""
        server = self
        self.content, self.ranges = content, ranges
        self.asked: list[tuple[int, int]] = []  # first byte and the one after the last
        self.breaks_off = 0  # so many of the next answers end half-way
        self.status = 206

        class Handler(Quiet):
            def do_GET(self) -> None:
                if not server.ranges:
                    self.send_response(200)
                    self.send_header("Content-Length", str(len(server.content)))
                    self.end_headers()
                    return  # who reads on waits for ever
                start, _, last = self.headers["Range"].removeprefix("bytes=").partition("-")
                first, end = int(start), int(last) + 1
                server.asked.append((first, end))
                if server.status != 206:
                    self.send_error(server.status)
                    return
                part = server.content[first:end]
                self.send_response(206)
                self.send_header("Content-Length", str(len(part)))
                self.send_header("Content-Range", f"bytes {first}-{end - 1}/{len(server.content)}")
                self.end_headers()
                if server.breaks_off and len(part) > 1:
                    server.breaks_off -= 1
                    part = part[: len(part) // 2]
                self.wfile.write(part)

        self._http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}/archive.zip"

    @property
    def sent(self) -> int:
        """Bytes that were asked for in all."""
        return sum(end - start for start, end in self.asked)

    @contextmanager
    def running(self) -> Iterator["RangeServer"]:
        """Serve in the background while the block runs."""
        with answering(self._http):
            yield self
