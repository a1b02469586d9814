"""What features stand for, in the words of Neuronpedia: its exports, fetched file by file or read from a disk.

An export of an autoencoder's explanations is a list of files `batch-0.jsonl.gz`, ... in a public bucket, each line a
JSON object with `index`, the feature, and `description`.
"""

import gzip
import http.client
import json
import time
import urllib.error
import urllib.parse
import urllib.request
import xml.etree.ElementTree as ElementTree
import zlib
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pandas as pd
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError, place_tried
from signbridge.core.tables import whole_file

BUCKET = "https://neuronpedia-datasets.s3.us-east-1.amazonaws.com"
AT_ONCE = 8  # files
TRIES = 3
SECONDS_BETWEEN_TRIES = 2.0
TIMEOUT = 60  # seconds
WAY_OUT = (
    "What was fetched is kept: run the stage again. Or set classes.descriptions to none, or to a folder with the "
    "export's files, in stages/pretrained/params.yaml."
)


def fetch_export(sae: str, folder: Path, bucket: str) -> list[Path]:
    """Fetch the export of `sae` (`MODEL/SAE`) from a bucket into `folder`; files that lie there are kept.

    Returns them in order, none if there is no such export. Raises `SignBridgeError` if the bucket cannot be reached or
    answers otherwise than expected.
    """
    keys = _keys(f"v1/{sae}/explanations/", bucket)
    paths = [folder / Path(key).name for key in keys]
    todo = [(key, path) for key, path in zip(keys, paths, strict=True) if not path.is_file()]

    def fetch(one: tuple[str, Path]) -> None:
        key, path = one
        content = _get(f"{bucket}/{urllib.parse.quote(key)}")
        with whole_file(path) as unfinished:
            unfinished.write_bytes(content)

    with ThreadPoolExecutor(AT_ONCE) as pool:
        list(tqdm(pool.map(fetch, todo), total=len(todo), desc="feature descriptions", unit="file", disable=not todo))
    return paths


def files_of_export(path: Path) -> list[Path]:
    """The files of an export that lies at `path`, a file or a folder. Raises `SignBridgeError` if there is none."""
    found = [path] if path.is_file() else sorted([*path.glob("*.jsonl.gz"), *path.glob("*.jsonl")])
    if not found:
        raise SignBridgeError(
            f"stages/pretrained/params.yaml: classes.descriptions: no export at '{path}': expected *.jsonl.gz "
            f"files, or one. Correct it, or set it to neuronpedia or none.{place_tried(path)}"
        )
    return found


def descriptions_in(paths: Iterable[Path]) -> pd.DataFrame:
    """A row a feature that is described, in order: feature, description; of several the first in the files counts.

    Raises `SignBridgeError` naming the file that is damaged.
    """
    found: dict[int, str] = {}
    for path in paths:
        content = path.read_bytes()
        try:
            if not content:
                raise EOFError
            text = (gzip.decompress(content) if path.suffix == ".gz" else content).decode("utf-8")
            for line in filter(str.strip, text.split("\n")):
                said = json.loads(line)
                if description := " ".join(str(said["description"] or "").split()):
                    found.setdefault(int(said["index"]), description)
        except (OSError, EOFError, ValueError, KeyError, TypeError, zlib.error):
            raise SignBridgeError(
                f"{path}: not a file of feature descriptions: expected lines of JSON with index and description. "
                "Delete it, and run the stage again."
            ) from None
    return pd.DataFrame(sorted(found.items()), columns=["feature", "description"]).astype(
        {"feature": "int64", "description": "str"}
    )


def _keys(prefix: str, bucket: str) -> list[str]:
    """The names of the files below `prefix`, in the order of their numbers."""
    keys: list[str] = []
    query = {"list-type": "2", "prefix": prefix}
    while True:
        answer = _get(f"{bucket}/?{urllib.parse.urlencode(query)}")
        try:
            listing = ElementTree.fromstring(answer)
        except ElementTree.ParseError:
            raise SignBridgeError(f"{bucket}: answers with no list of files.\n{WAY_OUT}") from None
        keys += [key for key in (node.text or "" for node in listing.iterfind(".//{*}Key")) if key.endswith(".gz")]
        following = listing.findtext("{*}NextContinuationToken")
        if not following:
            return sorted(keys, key=lambda key: (len(key), key))  # batch-2 before batch-10
        query["continuation-token"] = following


def _get(url: str) -> bytes:
    for left in reversed(range(TRIES)):
        try:
            with urllib.request.urlopen(url, timeout=TIMEOUT) as answer:
                return answer.read()
        except (OSError, http.client.HTTPException) as error:  # a URLError is an OSError
            refused = isinstance(error, urllib.error.HTTPError) and error.code < 500 and error.code != 429
            if left and not refused:
                time.sleep(SECONDS_BETWEEN_TRIES)
                continue
            reason = getattr(error, "reason", None) or error
            host = urllib.parse.urlsplit(url).netloc
            raise SignBridgeError(f"feature descriptions cannot be had from {host}: {reason}.\n{WAY_OUT}") from None
    raise AssertionError("the last try returns or raises")
