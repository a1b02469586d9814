"""ASL Citizen: 83,399 recordings of 2,731 signs by 52 people, most of them Deaf, each at home (arXiv 2304.05934).

https://www.microsoft.com/en-us/research/project/asl-citizen/. Of the archive (46 GB) only the recordings of the chosen
signs and signers are downloaded, unless `path` names a copy. The gloss comes from the tables of splits: names of files
hold others at times. No signer is in two splits.
"""

import hashlib
import logging
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from signbridge.clips.attributes import rows_of_csv
from signbridge.clips.entry import FilmedEntry, Recording
from signbridge.clips.recordings import Fetched, Files, clips_of, files_in, files_on_web
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.downloads import Sha256, WebFile
from signbridge.datasets.images import readable_name

CSV_OF_SPLIT = {"train": "splits/train.csv", "valid": "splits/val.csv", "test": "splits/test.csv"}
SIGNER, VIDEO, GLOSS = "Participant ID", "Video file", "Gloss"

log = logging.getLogger(__name__)


class AslCitizenParams(FilmedEntry):
    """An entry of `datasets` with `source: asl_citizen`."""

    source: Literal["asl_citizen"]
    path: Annotated[str, Field(min_length=1)] | None = None  # the archive, or the folder it was unpacked to
    web: WebFile | None = None  # read where no path is named, a recording at a time
    splits_sha256: dict[Literal["train", "valid", "test"], Sha256] = Field(default_factory=dict)  # of their tables


def fetch(params: AslCitizenParams) -> Fetched:
    """The chosen clips. Raises `SignBridgeError` if the tables of splits are not there or not those of `params`."""
    files = _files(params)
    recordings, digests = [], {}
    for split, ending in CSV_OF_SPLIT.items():
        name = files.ending(ending)
        if name is None:
            raise SignBridgeError(
                f"{files.name}: no {ending} in it. Expected ASL Citizen's own layout: videos/ and splits/ with "
                "train.csv, val.csv and test.csv."
            )
        content = files.content(name)
        digests[split] = hashlib.sha256(content).hexdigest()
        _check(params, split, digests[split], ending)
        recordings += _recordings(content, name, split)
    fetched = clips_of(recordings, files, params)
    return fetched._replace(provenance=fetched.provenance | {"sha256": digests})


def _files(params: AslCitizenParams) -> Files:
    if params.path is not None:
        return files_in(Path(params.path).expanduser())
    if params.web is None:
        raise SignBridgeError("datasets.yaml: an entry of ASL Citizen names neither `path` nor `web`. Name one.")
    return files_on_web(params.web.url)


def _check(params: AslCitizenParams, split: str, found: str, name: str) -> None:
    expected = params.splits_sha256.get(split, found)
    if found == expected:
        return
    if params.path is None:
        raise SignBridgeError(
            f"{name}: its SHA-256 is {found}, not the one in datasets.yaml. Others have changed the archive: correct "
            "`splits_sha256` once you know how."
        )
    log.warning("%s: not the table of ASL Citizen 1.0, by its SHA-256", name)


def _recordings(content: bytes, name: str, split: str) -> list[Recording]:
    videos = name.removesuffix(CSV_OF_SPLIT[split]) + "videos/"
    return [
        Recording(
            f"{row[SIGNER]}/{readable_name(row[VIDEO]).rpartition('.')[0]}",
            readable_name(row[GLOSS]),
            row[SIGNER],
            split,
            videos + row[VIDEO],
        )
        for row in rows_of_csv(content, name, (SIGNER, VIDEO, GLOSS))
    ]
