"""Photos in a folder or an archive: anyone's own signs, and most published sets.

Without `pattern` a sub-folder is a class, its name the label: `signs/A/1.jpg`, `signs/B/1.jpg`, ..., or with splits
above the classes (`folder_layout.py`). With it the path of each image says what it shows (`path_pattern.py`).
"""

import io
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from pydantic import Field

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.datasets.archives import Member, can_be_listed, members
from signbridge.datasets.downloads import KAGGLE_HANDLE, HubFile, WebFile, hub_file, kaggle_folder, web_file
from signbridge.datasets.entry import Entry
from signbridge.datasets.folder_layout import ImageFile, classes_of, tree
from signbridge.datasets.images import (
    LabelledImage,
    LeftOut,
    UnfitPixelsError,
    bits_of,
    check_known,
    eight_bits,
    readable_name,
)
from signbridge.datasets.path_pattern import Said, compiled, said

OPENING = threading.Lock()
MOST_PIXELS = 50_000_000  # an image: beyond any camera's hand, within any machine's memory

LOCAL_COPY = "set `path` of the dataset in datasets.yaml to a local copy"
# Why something was left out.
NO_IMAGE, LINK, UNREADABLE = "no image of a class, by its path", "a link within an archive", "cannot be read"
Read = Callable[..., Any]  # of a file or its content, what messages call it, and its image_id
Sort = Callable[[str], Said | None]  # what a path says of its image


class PhotosEntry(Entry):
    """What an entry may say of how photos are read."""

    upper: bool = False  # labels in capitals, as letters are elsewhere in the project
    size: int | None = Field(default=None, ge=1)  # pixels of the longer side at most; None: as they are
    on_unreadable: Literal["stop", "skip"] = "stop"


class ImageFolderParams(PhotosEntry):
    """An entry of `datasets` with `source: image_folder`."""

    source: Literal["image_folder"]
    path: Annotated[str, Field(min_length=1)] | None = None  # a folder, zip or tar, from the project's root
    # Read where no path is named, the first of them that is there:
    kaggle: Annotated[str, Field(pattern=KAGGLE_HANDLE)] | None = None
    hub: HubFile | None = None
    web: WebFile | None = None
    pattern: str | None = None  # what a path says of its image


class Images(NamedTuple):
    """The images, read as they are taken, and where they came from."""

    images: Iterable[LabelledImage]
    provenance: dict[str, Any]  # `from`; `left_out` is filled while the images are taken (`LeftOut`)


def fetch(params: ImageFolderParams) -> Images:
    """The photos of `params.path` if that names a place, else those that are downloaded.

    Raises `SignBridgeError` if `params` name no place, or the pattern finds none of the photos; and as downloads and
    archives do.
    """
    sort = partial(said, compiled(params.pattern), upper=params.upper) if params.pattern else None
    place, provenance = _place(params)
    left_out = LeftOut()
    read = reader_of(params, left_out)
    if sort is None and place.is_dir():
        images = read_folder(place, read, left_out, params.upper)
    else:
        sort = sort or _by_folders(place, params.upper)
        if can_be_listed(place):  # what is wrong is said before anything is read
            check_known([_image(found, read) for _, found in _found(place, sort, LeftOut())])
        images = _read_in_turn(place, sort, read, left_out)
    return Images(images, {**provenance, "left_out": left_out.found})


def reader_of(params: PhotosEntry, left_out: LeftOut) -> Read:
    """What reads an image as `size` and `on_unreadable` of the params say, and counts those that it skips."""
    return partial(_pixels, size=params.size, left_out=left_out if params.on_unreadable == "skip" else None)


def _place(params: ImageFolderParams) -> tuple[Path, dict[str, Any]]:
    """Where the photos lie, and what says where they came from: no path of this machine."""
    if params.path is not None:
        place = Path(params.path).expanduser()
        return place, {"from": readable_name(place.name)}
    if params.kaggle is not None:
        return kaggle_folder(params.kaggle, params.download, LOCAL_COPY), {"from": params.kaggle}
    if params.hub is not None:
        return hub_file(params.hub), {"from": params.hub.model_dump()}
    if params.web is not None:
        return web_file(params.web, params.download), {"from": params.web.model_dump()}
    raise SignBridgeError("datasets.yaml: an image_folder says where its images are: `path`, `kaggle`, `hub` or `web`.")


def read_folder(
    folder: Path, read: Read | None = None, left_out: LeftOut | None = None, upper: bool = False
) -> list[LabelledImage]:
    """Every image of `folder`, by split (train first), class and file name; its id is its path.

    The path is that below the folder in which the splits or classes lie; pixels are read when they are encoded, by
    `read`, or by `read_image`; `upper` puts labels in capitals. Raises `SignBridgeError` naming the file or folder that
    is not as it should be.
    """
    try:
        if not folder.exists():
            raise SignBridgeError(
                f"image folder '{folder}': no such folder. Correct its `path` in datasets.yaml.{place_tried(folder)}"
            )
        root, files, no_images = classes_of(folder)
    except OSError as error:
        raise refusal(error, error.filename) or error from None
    for name in no_images if left_out else ():
        left_out.add(NO_IMAGE, name)
    ids = [readable_name(file.path.relative_to(root).as_posix()) for file in files]
    if twice := [name for name, times in Counter(ids).items() if times > 1]:
        raise SignBridgeError(f"{folder}: two files are called '{twice[0]}' in different encodings. Rename one.")
    read = read or _pixels
    return [
        LabelledImage(name, _label(file, upper), file.split, partial(read, file.path, str(file.path), name))
        for name, file in zip(ids, files, strict=True)
    ]


def _by_folders(archive: Path, upper: bool) -> Sort:
    """What the folders of an archive say of each path, as those of a folder do."""
    root, files, _ = classes_of(tree([member.path for member in members(archive)], archive.name))
    found = {
        file.path.path.as_posix(): Said(file.path.relative_to(root).as_posix(), _label(file, upper), file.split)
        for file in files
    }
    return found.get


def _label(file: ImageFile, upper: bool) -> str:
    label = readable_name(file.label)
    return label.upper() if upper else label


def _found(place: Path, sort: Sort, left_out: LeftOut) -> Iterator[tuple[Member, Said]]:
    """The photos of `place`, and what their paths say of them."""
    path_of: dict[str, str] = {}
    first = None
    for member in members(place):
        first = first or member.path
        found = sort(member.path)
        if found is None:
            left_out.add(NO_IMAGE, member.path)
        elif member.file is None and member.read is None:
            left_out.add(LINK, member.path)
        elif found.image_id in path_of:
            raise SignBridgeError(
                f"{place.name}: {path_of[found.image_id]} and {member.path} would both be called '{found.image_id}'. "
                "Let `pattern` begin with a folder that tells them apart, or find one of them only."
            )
        else:
            path_of[found.image_id] = member.path
            yield member, found
    if not path_of:
        there = f"The first path in it is '{first}'" if first else "It is empty"
        raise SignBridgeError(f"{place.name}: `pattern` in datasets.yaml finds no image. {there}.")


def _read_in_turn(place: Path, sort: Sort, read: Read, left_out: LeftOut) -> Iterator[LabelledImage]:
    for member, found in _found(place, sort, left_out):
        shown = str(member.file or f"{place.name}/{member.path}")
        yield _image(found, partial(read, member.file or _content(member), shown, found.image_id))


def _content(member: Member) -> io.BytesIO | SignBridgeError:
    """The content of the member, or why there is none: what reads the image says it, or skips it."""
    try:
        return io.BytesIO(member.read())
    except SignBridgeError as error:
        return error


def _image(found: Said, pixels: Callable[..., Any]) -> LabelledImage:
    known = {"signer": found.signer, "clip": found.clip, "photo": found.photo}
    return LabelledImage(found.image_id, found.label, found.split, pixels, **known)


def _pixels(
    file: Path | io.BytesIO | SignBridgeError,
    shown: str,
    image_id: str,
    size: int | None = None,
    left_out: LeftOut | None = None,
) -> UInt8[np.ndarray, "height width *colour"] | None:
    """The pixels, the longer side scaled down to `size`; None where they cannot be read and `left_out` counts it."""
    try:
        if isinstance(file, SignBridgeError):
            raise file
        pixels = read_image(file, shown)
    except SignBridgeError as error:
        if left_out is None:
            raise SignBridgeError(f"{error} Or set `on_unreadable: skip` in datasets.yaml.") from None
        left_out.add(UNREADABLE, image_id)
        return None
    return pixels if size is None else scaled_down(pixels, size)


def read_image(file: Path | io.BytesIO, shown: str | None = None) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of an image file, which messages call `shown`.

    Grey images stay grey, all others become RGB; orientation tags are applied; transparency is laid over white;
    10- to 16-bit grey keeps its upper 8 bits; of several frames the first counts; sizes stay as they are.
    Raises `SignBridgeError` if it is no image, damaged, or above `MOST_PIXELS`.
    """
    shown = shown or str(file)
    try:
        with OPENING, warnings.catch_warnings():  # whose filters are of all threads; only the head of the file is read
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            opened = Image.open(file)
        with opened as image:
            if image.width * image.height > MOST_PIXELS:
                raise Image.DecompressionBombError
            return eight_bits(ImageOps.exif_transpose(image), bits_of(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SignBridgeError(
            f"{shown}: more than {MOST_PIXELS // 1_000_000} million pixels. Scale the image down, or remove it."
        ) from None
    except Image.UnidentifiedImageError:
        raise SignBridgeError(
            f"{shown}: not an image that can be read. Save it as PNG or JPEG, or remove it."
        ) from None
    except UnfitPixelsError as error:
        raise SignBridgeError(f"{shown}: {error}.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow raises on damaged files
        if said_of := refusal(error, shown):
            raise said_of from None
        reason = " ".join(str(error).split())[:100]
        raise SignBridgeError(f"{shown}: damaged or cut short ({reason}). Replace or remove it.") from None


def scaled_down(
    pixels: UInt8[np.ndarray, "height width *colour"], size: int
) -> UInt8[np.ndarray, "smaller_height smaller_width *colour"]:
    """The pixels, the longer side `size` of them at most (Lanczos)."""
    height, width = pixels.shape[:2]
    scale = size / max(height, width)
    if scale >= 1:
        return pixels
    shape = max(1, round(width * scale)), max(1, round(height * scale))
    return np.asarray(Image.fromarray(pixels).resize(shape, Image.Resampling.LANCZOS))
