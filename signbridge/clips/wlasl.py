"""WLASL 0.3: recordings of words from the web, by the labels of their collectors (arXiv 1910.11006).

https://github.com/dxli94/WLASL. Many of its addresses are dead, so the recordings are those of a copy on Kaggle, some
12,000 of 21,083; those that it lacks are counted. The official splits share signers (issue 61 there), so splits are
made here: no signer is in two.
"""

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from signbridge.clips.entry import FilmedEntry, Recording, Span
from signbridge.clips.recordings import Fetched, clips_of, files_in
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.downloads import KAGGLE_HANDLE, kaggle_folder
from signbridge.datasets.images import readable_name

LABELS = "WLASL_v0.3.json"
SHARES = {"train": 0.7, "valid": 0.1, "test": 0.2}  # of the clips; met as nearly as whole signers allow
LOCAL_COPY = "set `path` of the dataset in datasets.yaml to a local copy"


class WlaslParams(FilmedEntry):
    """An entry of `datasets` with `source: wlasl`. A number of `glosses` takes the first of the labels, as WLASL100."""

    source: Literal["wlasl"]
    path: Annotated[str, Field(min_length=1)] | None = None  # a folder or zip with videos/ and the labels
    kaggle: Annotated[str, Field(pattern=KAGGLE_HANDLE)] | None = None  # read where no path is named
    crop: bool = False  # to the box of the signer that the labels give


def fetch(params: WlaslParams) -> Fetched:
    """The chosen clips. Raises `SignBridgeError` if the labels are not there, or not as WLASL writes them."""
    if params.path is None and params.kaggle is None:
        raise SignBridgeError("datasets.yaml: an entry of WLASL names neither `path` nor `kaggle`. Name one.")
    place = Path(params.path).expanduser() if params.path else kaggle_folder(params.kaggle, params.download, LOCAL_COPY)
    files = files_in(place)
    name = files.ending(LABELS)
    if name is None:
        raise SignBridgeError(f"{files.name}: no {LABELS} in it. Put it beside videos/.")
    recordings, glosses = _recordings(files.content(name), name, params.crop)
    fetched = clips_of(recordings, files, params, glosses)
    split_of = split_by_signer([clip.signer for clip in fetched.clips])
    clips = [clip._replace(split=split_of[clip.signer]) for clip in fetched.clips]
    return Fetched(clips, fetched.provenance | {"from": params.kaggle if params.path is None else files.name})


def split_by_signer(signers: Sequence[str]) -> dict[str, str]:
    """The split of each signer; `signers` is one a clip. Those with the most clips first, to what lacks the most."""
    counts = Counter(signers)
    lacking = {split: share * len(signers) for split, share in SHARES.items()}
    split_of = {}
    for signer in sorted(counts, key=lambda signer: (-counts[signer], signer)):
        split_of[signer] = max(lacking, key=lambda split: lacking[split])
        lacking[split_of[signer]] -= counts[signer]
    return split_of


def _recordings(content: bytes, name: str, crop: bool) -> tuple[list[Recording], list[str]]:
    """All recordings of the labels, and the glosses in their order."""
    try:
        labels = json.loads(content)
    except ValueError as error:
        raise SignBridgeError(f"{name}: no JSON ({error}). Get it again.") from None
    videos = name.removesuffix(LABELS) + "videos/"
    recordings, glosses = [], []
    try:
        for sign in labels:
            glosses.append(readable_name(sign["gloss"].strip()))
            recordings += [_recording(one, glosses[-1], videos, crop) for one in sign["instances"]]
    except (KeyError, TypeError, ValueError, AttributeError):
        where = f"sign {len(glosses)}" if glosses else "its first sign"
        raise SignBridgeError(
            f"{name}, {where}: not as WLASL 0.3 writes it: a list of gloss and instances, each with video_id, "
            "signer_id, frame_start, frame_end and bbox. Get it again."
        ) from None
    return recordings, glosses


def _recording(one: dict[str, Any], gloss: str, videos: str, crop: bool) -> Recording:
    """`frame_start` counts from 1, `frame_end` is the last frame, -1 the recording's."""
    start, end = int(one["frame_start"]), int(one["frame_end"])
    signer = f"signer-{int(one['signer_id']):03d}"
    left, top, right, bottom = (int(side) for side in one["bbox"])
    span = Span(max(0, start - 1), None if end < 0 else end, (left, top, right, bottom) if crop else None)
    return Recording(f"{signer}/{one['video_id']}", gloss, signer, "all", f"{videos}{one['video_id']}.mp4", span)
