"""Anyone's own signs: a folder with one sub-folder a class, its name the label.

`signs/A/1.jpg`, `signs/A/2.jpg`, `signs/B/1.jpg`, ..., or with splits above the classes (`folder_layout.py`).
"""

import threading
import warnings
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image, ImageOps

from signbridge.core.errors import SignBridgeError, place_tried, refusal
from signbridge.core.params import Section
from signbridge.datasets.folder_layout import classes_of
from signbridge.datasets.images import LabelledImage, UnfitPixelsError, bits_of, eight_bits, readable_name

OPENING = threading.Lock()
MOST_PIXELS = 50_000_000  # an image: beyond any camera's hand, within any machine's memory


class ImageFolderParams(Section):
    """An entry of `datasets` with `source: image_folder`."""

    source: Literal["image_folder"]
    path: str  # of the folder, from the project's root


def read_folder(folder: Path) -> list[LabelledImage]:
    """Every image of `folder`, by split (train first), class and file name; its id is its path.

    The path is that below the folder in which the splits or classes lie; pixels are read when they are encoded.

    Grey images stay grey, all others become RGB; orientation tags are applied; transparency is laid over white;
    10- to 16-bit grey keeps its upper 8 bits; of several frames the first counts; sizes stay as they are.
    Raises `SignBridgeError` naming the file or folder that is not as it should be.
    """
    try:
        if not folder.exists():
            raise SignBridgeError(
                f"image folder '{folder}': no such folder. Correct its `path` in datasets.yaml.{place_tried(folder)}"
            )
        root, files = classes_of(folder)
    except OSError as error:
        raise refusal(error, error.filename) or error from None
    ids = [readable_name(file.path.relative_to(root).as_posix()) for file in files]
    if twice := [name for name, times in Counter(ids).items() if times > 1]:
        raise SignBridgeError(f"{folder}: two files are called '{twice[0]}' in different encodings. Rename one.")
    return [
        LabelledImage(name, readable_name(file.label), file.split, partial(read_image, file.path))
        for name, file in zip(ids, files, strict=True)
    ]


def read_image(file: Path) -> UInt8[np.ndarray, "height width *colour"]:
    """The pixels of an image file. Raises `SignBridgeError` if it is none, damaged, or above `MOST_PIXELS`."""
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
            f"{file}: more than {MOST_PIXELS // 1_000_000} million pixels. Scale the image down, or remove it."
        ) from None
    except Image.UnidentifiedImageError:
        raise SignBridgeError(f"{file}: not an image that can be read. Save it as PNG or JPEG, or remove it.") from None
    except UnfitPixelsError as error:
        raise SignBridgeError(f"{file}: {error}.") from None
    except (OSError, SyntaxError, ValueError, EOFError) as error:  # what Pillow raises on damaged files
        if said := refusal(error, file):
            raise said from None
        reason = " ".join(str(error).split())[:100]
        raise SignBridgeError(f"{file}: damaged or cut short ({reason}). Replace or remove it.") from None
