r"""Clips of one's own, in a folder or zip: a video each, or a folder of frames each.

The path of each says what it shows (`datasets/path_pattern.py`):
`(?P<label>\w+)/(?P<signer>P\d+)_\d+\.mp4$` finds sign and signer in `hello/P3_017.mp4`, wherever that lies. Of frames
it is sought in the path of each; those in one folder are a clip, in the order of the numbers in their names.
"""

import io
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from PIL import Image, ImageOps
from pydantic import Field

from signbridge.clips.decoding import SMALL, UNREADABLE, Motion, UnfitClipError, frames_kept
from signbridge.clips.entry import FilmedEntry, Recording
from signbridge.clips.recordings import Fetched, Files, clips_of, files_in
from signbridge.clips.table import Frames
from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import readable_name
from signbridge.datasets.path_pattern import compiled, said

VIDEOS = (".mp4", ".mov", ".m4v", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".wmv", ".gif")
PICTURES = (".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff")


class ClipFolderParams(FilmedEntry):
    """An entry of `datasets` with `source: clip_folder`."""

    source: Literal["clip_folder"]
    path: Annotated[str, Field(min_length=1)]  # a folder or zip, from the project's root
    pattern: str  # what a path says of its clip: signer, and label unless the folder is called so; split
    upper: bool = False  # labels in capitals
    frame_rate: float = Field(default=25.0, gt=0)  # a second, of folders of frames: those of videos are in the file


def fetch(params: ClipFolderParams) -> Fetched:
    """The chosen clips. Raises `SignBridgeError` if the pattern finds no clip, or has no group for the signer."""
    pattern = compiled(params.pattern)
    if "signer" not in pattern.groupindex:
        raise SignBridgeError(
            "datasets.yaml: `pattern` has no group (?P<signer>...). Clips are split by signer: let it say who signs."
        )
    files = files_in(Path(params.path).expanduser())
    by_kind: dict[tuple[str, ...], list[Recording]] = {VIDEOS: [], PICTURES: []}
    for name in files.names:
        kind = next((kind for kind in by_kind if name.lower().endswith(kind)), None)
        if kind and (found := said(pattern, readable_name(name), params.upper)):
            is_video = kind is VIDEOS
            clip = found.image_id if is_video else found.image_id.rpartition("/")[0]
            place = name if is_video else name.rpartition("/")[0]
            if not found.signer or not clip:
                raise SignBridgeError(
                    f"{name}: `pattern` in datasets.yaml finds no {'signer' if clip else 'folder of its clip'} in it."
                )
            by_kind[kind].append(Recording(clip, found.label, found.signer, found.split, place))
    videos, pictures = by_kind[VIDEOS], by_kind[PICTURES]
    if videos and pictures:
        raise SignBridgeError(
            f"{files.name}: `pattern` finds videos, such as '{videos[0].place}', and pictures, in "
            f"'{pictures[0].place}'. End it with one ending, such as \\.mp4$."
        )
    if not videos and not pictures:
        example = f", such as '{files.names[0]}'" if files.names else ""
        raise SignBridgeError(
            f"{files.name}: `pattern` finds no video and no picture among its {len(files.names):,} files{example}. "
            "Correct it in datasets.yaml."
        )
    if videos:
        return clips_of(videos, files, params)
    frames_of = _by_folder(files, pictures)
    return clips_of(_one_a_folder(pictures), files, params, read=partial(_frames, files, frames_of, params))


def in_natural_order(name: str) -> list[tuple[int, str]]:
    """Sorts `frame2.png` before `frame10.png`."""
    return [(int(part), "") if part.isdigit() else (-1, part) for part in re.split(r"(\d+)", name)]


def _one_a_folder(pictures: list[Recording]) -> list[Recording]:
    """Raises `SignBridgeError` if the pattern says two things of the frames of one folder."""
    of_folder: dict[str, Recording] = {}
    for picture in pictures:
        if of_folder.setdefault(picture.place, picture) != picture:
            raise SignBridgeError(
                f"{picture.place}: `pattern` finds two signs, signers or splits in the names of its frames. The frames "
                "of a clip lie in a folder of their own."
            )
    return list(of_folder.values())


def _by_folder(files: Files, pictures: list[Recording]) -> dict[str, list[str]]:
    frames_of: dict[str, list[str]] = {picture.place: [] for picture in pictures}
    for name in files.names:
        folder = name.rpartition("/")[0]
        if folder in frames_of and name.lower().endswith(PICTURES):
            frames_of[folder].append(name)
    return {folder: sorted(names, key=in_natural_order) for folder, names in frames_of.items()}


def _frames(files: Files, frames_of: dict[str, list[str]], params: ClipFolderParams, recording: Recording) -> Frames:
    names = frames_of[recording.place]
    motion = Motion()
    for name in names:
        motion.add(_opened(files, name, _small))
    times = np.arange(len(names)) / params.frame_rate
    kept = frames_kept(times, np.array(motion.from_before), params.frames, params.trim, recording.span)
    there = {frame: _opened(files, names[frame], _whole) for frame in set(kept.tolist())}
    return Frames([there[frame] for frame in kept], times[kept].tolist())


def _small(image: Image.Image) -> np.ndarray:
    return np.asarray(image.convert("L").resize((SMALL, SMALL), Image.Resampling.BOX))


def _whole(image: Image.Image) -> np.ndarray:
    return np.asarray(ImageOps.exif_transpose(image).convert("RGB"))


def _opened(files: Files, name: str, made_of: Callable[[Image.Image], np.ndarray]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(files.content(name))) as image:
            return made_of(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise UnfitClipError(UNREADABLE, f"its frame {name.rpartition('/')[2]} cannot be read ({error})") from None
