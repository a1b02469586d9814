"""Single files of a zip on a web server, by HTTP ranges: of an archive of 46 GB only what is wanted is downloaded.

What came is kept in `.scratch/clips/`, in a folder for each address, which git does not see: the archive's directory
(of a hundred thousand files some 10 MB) and each file that was read, whole or not at all. So a run that was interrupted
goes on where it was.
"""

import hashlib
import io
import shutil
import struct
import zipfile
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from signbridge.core.errors import SignBridgeError
from signbridge.core.tables import whole_file
from signbridge.datasets.downloads import CONNECT_SECONDS, READ_SECONDS

KEPT = Path(".scratch/clips")
LOCAL_HEADER = struct.Struct("<4s5H3I2H")  # of a file in a zip: 30 bytes, then its name and an extra field
EXTRA = 1024  # bytes allowed for that field, which may differ from the directory's
TRIES = 2
STORED, DEFLATED = zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED


class WebZip:
    """A zip at an address: its files by name, each read by one request."""

    def __init__(self, url: str, kept: Path = KEPT):
        """Read the directory, or take the one that was kept.

        Raises `SignBridgeError` if the server cannot be reached, gives no parts of files, or gives something else.
        """
        import requests

        self.url = url
        self.name = url.rpartition("/")[2]
        self._session = requests.Session()
        self.size = self._length()
        self._kept = kept / hashlib.sha256(f"{url} {self.size}".encode()).hexdigest()[:16]
        self.infos = self._directory()

    def path(self, name: str) -> Path:
        """Where that file is kept, once it was read."""
        digest = hashlib.sha256(f"{name} {self.infos[name].CRC}".encode()).hexdigest()[:32]
        return self._kept / f"{digest}{Path(name).suffix}"

    def check_room(self, names: Iterable[str]) -> None:
        """Raises `SignBridgeError` if the disk has no room for those of the files that were not read yet."""
        needed = sum(self.infos[name].file_size for name in names if not self.path(name).exists())
        free = shutil.disk_usage(self._kept).free
        if needed > free:
            raise SignBridgeError(
                f"{needed / 1e9:.1f} GB of {self.name} are to be downloaded into {self._kept.parent}, where "
                f"{free / 1e9:.1f} GB are free. Free some room, choose fewer `glosses` or `signers`, or set `path` of "
                "the dataset in datasets.yaml to a copy of the archive."
            )

    def fetched(self, name: str) -> Path:
        """The file, on this machine's disk. Several threads may ask at once. Raises `SignBridgeError`."""
        path = self.path(name)
        if not path.exists():
            content = self._unpacked(self.infos[name])
            with whole_file(path) as unfinished:
                unfinished.write_bytes(content)
        return path

    def _unpacked(self, info: zipfile.ZipInfo) -> bytes:
        if info.flag_bits & 1 or info.compress_type not in (STORED, DEFLATED):
            raise SignBridgeError(f"{self.name}/{info.filename}: encrypted, or packed in a way that is not known here.")
        start = info.header_offset
        longest = LOCAL_HEADER.size + len(info.filename.encode()) + EXTRA + info.compress_size
        part = self._bytes(start, min(self.size, start + longest))
        magic, *_, of_name, of_extra = LOCAL_HEADER.unpack_from(part)
        begins = LOCAL_HEADER.size + of_name + of_extra
        packed = part[begins : begins + info.compress_size]
        try:
            content = zlib.decompress(packed, -zlib.MAX_WBITS) if info.compress_type == DEFLATED else packed
        except zlib.error:
            content = b""
        if magic != zipfile.stringFileHeader or zlib.crc32(content) != info.CRC:
            raise SignBridgeError(
                f"{self.url}: {info.filename} did not come as its directory says. Run it again; if it stays so, the "
                "archive is damaged or was changed: get it whole, and set `path` of the dataset in datasets.yaml."
            )
        return content

    def _directory(self) -> dict[str, zipfile.ZipInfo]:
        kept = self._kept / "directory"
        parts = _Parts(self)
        if kept.exists():
            content = kept.read_bytes()
            parts.known = self.size - len(content), content
        try:
            with zipfile.ZipFile(parts) as archive:
                start, infos = archive.start_dir, archive.infolist()
        except zipfile.BadZipFile:
            raise SignBridgeError(
                f"{self.url}: not a zip, or cut short. Correct `web` of the dataset in datasets.yaml, or set `path` to "
                "a local copy."
            ) from None
        if not kept.exists():
            with whole_file(kept) as unfinished:
                unfinished.write_bytes(parts.read_from(start))
        return {info.filename: info for info in infos if not info.is_dir()}

    def _length(self) -> int:
        """How long the archive is. Nothing of its content is read before the server has said that it gives parts."""
        import requests

        try:
            with self._asked(0, 1) as answer:
                total = answer.headers.get("Content-Range", "").rpartition("/")[2]
        except requests.RequestException as error:
            raise self._unreachable(_reason(error)) from None
        if answer.status_code != 206 or not total.isdecimal():
            raise SignBridgeError(
                f"{self.url}: the server gives no parts of a file (HTTP ranges). Download the archive whole, and set "
                "`path` of the dataset in datasets.yaml to it."
            )
        return int(total)

    def _bytes(self, start: int, end: int) -> bytes:
        """The bytes from `start` to before `end`; an answer that breaks off is asked for once more."""
        import requests

        reason = "it broke off"
        for _ in range(TRIES if end > start else 0):
            try:
                with self._asked(start, end) as answer:
                    if answer.status_code == 206 and len(answer.content) == end - start:
                        return answer.content
            except requests.RequestException as error:
                reason = _reason(error)
        if end > start:
            raise self._unreachable(reason)
        return b""

    def _asked(self, start: int, end: int) -> Any:
        # No compression: the bytes of the archive as they are.
        headers = {"Range": f"bytes={start}-{end - 1}", "Accept-Encoding": "identity"}
        answer = self._session.get(self.url, headers=headers, stream=True, timeout=(CONNECT_SECONDS, READ_SECONDS))
        answer.raise_for_status()
        return answer

    def _unreachable(self, reason: str) -> SignBridgeError:
        return SignBridgeError(
            f"cannot fetch {self.url} ({reason}). Check the network and run it again: what came is kept. Or set `path` "
            "of the dataset in datasets.yaml to a local copy."
        )


def _reason(error: Exception) -> str:
    status = getattr(getattr(error, "response", None), "status_code", None)
    return f"it answered {status}" if status else type(error).__name__


class _Parts(io.RawIOBase):
    """The archive as `zipfile` reads its directory: from the end, a few pieces."""

    def __init__(self, archive: WebZip):
        self._archive, self._place = archive, 0
        self.known: tuple[int, bytes] | None = None  # where the kept directory begins, and it, to the end

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        self._place = offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._archive.size}[whence]
        if self._place < 0:
            raise OSError("before the beginning")
        return self._place

    def tell(self) -> int:
        return self._place

    def read(self, count: int = -1) -> bytes:
        end = self._archive.size if count < 0 else min(self._archive.size, self._place + count)
        content = self.read_from(self._place, end)
        self._place = max(self._place, end)
        return content

    def read_from(self, start: int, end: int | None = None) -> bytes:
        """From there on, to `end` or the archive's."""
        end = self._archive.size if end is None else end
        if self.known is None or start < self.known[0]:
            tail = max(0, self._archive.size - 2**16)
            if start < tail:
                return self._archive._bytes(start, end)
            self.known = tail, self._archive._bytes(tail, self._archive.size)
        begins, content = self.known
        return content[start - begins : max(0, end - begins)]
