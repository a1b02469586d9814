"""Anyone's own signs: a folder with one sub-folder a class, its name the label.

`signs/A/1.jpg`, `signs/A/2.jpg`, `signs/B/1.jpg`, ..., or, where the top level is exactly `train` and `test`,
`signs/train/A/1.jpg`, ..., `signs/test/A/1.jpg`, ...
"""

import warnings
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps
from tqdm import tqdm

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.core.params import Section
from signbridge.datasets.images import LabelledImage, eight_bits

SPLITS = ("train", "test")  # in the order of the pool
MOST_PIXELS = 50_000_000  # an image: beyond any camera's hand, within any machine's memory
LEFT_BY_SYSTEMS = {"thumbs.db", "desktop.ini"}  # hidden files are ignored too
LAYOUT = "Expected one sub-folder a class, with its images."


class ImageFolderParams(Section):
    """An entry of `datasets` with `source: image_folder`."""

    source: Literal["image_folder"]
    path: str  # of the folder, from the project's root


def read_folder(folder: Path) -> list[LabelledImage]:
    """Every image of `folder`, by split (train first), class and file name; its id is its path within.

    Grey images stay grey, all others become RGB; orientation tags are applied; transparency is laid over white;
    16-bit grey keeps its upper 8 bits; of several frames the first counts; sizes stay as they are.
    Raises `SignBridgeError` naming the file or folder that is not as it should be.
    """
    if not folder.is_dir():
        raise SignBridgeError(
            f"image folder '{folder}': no such folder. Correct its `path` in datasets.yaml.{place_tried(folder)}"
        )
    files = [(split, label, file) for split, root in _splits(folder) for label, file in _files_of_classes(root)]
    return [
        LabelledImage(file.relative_to(folder).as_posix(), label, split, read_image(file))
        for split, label, file in tqdm(files, desc="reading images", unit=" images", disable=None)
    ]


def read_image(file: Path) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of an image file. Raises `SignBridgeError` if it is none, damaged, or above `MOST_PIXELS`."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(file) as image:
                if image.width * image.height > MOST_PIXELS:
                    raise Image.DecompressionBombError
                if image.mode == "F":
                    raise SignBridgeError(
                        f"{file}: floating-point pixels have no fixed range. Save it with 8 or 16 bits a channel."
                    )
                return eight_bits(ImageOps.exif_transpose(image))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        raise SignBridgeError(
            f"{file}: more than {MOST_PIXELS // 1_000_000} million pixels. Scale the image down, or remove it."
        ) from None
    except Image.UnidentifiedImageError:
        raise SignBridgeError(f"{file}: not an image that can be read. Replace or remove it.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow raises on damaged files
        if said := refusal(error, file):
            raise said from None
        reason = " ".join(str(error).split())[:100]
        raise SignBridgeError(f"{file}: damaged or cut short ({reason}). Replace or remove it.") from None


def _splits(folder: Path) -> list[tuple[str, Path]]:
    there = _visible(folder)
    names = {entry.name for entry in there}
    if names == set(SPLITS) and all(any(inner.is_dir() for inner in _visible(entry)) for entry in there):
        return [(split, folder / split) for split in SPLITS]
    return [("all", folder)]


def _files_of_classes(root: Path) -> list[tuple[str, Path]]:
    classes = _visible(root)
    if not classes:
        raise SignBridgeError(f"image folder '{root}': empty. {LAYOUT}")
    if loose := [entry for entry in classes if not entry.is_dir()]:
        raise SignBridgeError(f"image folder '{root}': '{loose[0].name}' lies beside the class folders. {LAYOUT}")
    files = []
    for folder in classes:
        inside = _visible(folder)
        if not inside:
            raise SignBridgeError(f"image folder '{folder}': a class with no images. Fill or remove it.")
        if deeper := [entry for entry in inside if entry.is_dir()]:
            raise SignBridgeError(f"image folder '{deeper[0]}': a folder within a class. {LAYOUT}")
        files += [(folder.name, file) for file in inside]
    return files


def _visible(folder: Path) -> list[Path]:
    entries = (entry for entry in folder.iterdir() if not entry.name.startswith("."))
    return sorted((e for e in entries if e.name.lower() not in LEFT_BY_SYSTEMS), key=lambda entry: entry.name)
