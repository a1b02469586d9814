"""What a visitor shows, as a picture that the model can take in, or a sentence that says why not.

Nothing is decoded before its size is known, and nothing but pixels is taken from a file. Pixels become what they would
in the dataset: `signbridge.datasets.images.eight_bits`.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from signbridge.datasets.image_folder import MOST_PIXELS
from signbridge.datasets.images import eight_bits

FORMATS = ("PNG", "JPEG", "WEBP", "GIF", "BMP", "TIFF")  # of all that Pillow opens, those that cameras write
LEAST_SIDE = 16  # pixels: smaller ones show no hand
LONGEST = 20  # times as long as the other side
ORIENTATION = 0x0112  # the tag with which a camera says which side is up


class UploadError(Exception):
    """An upload that cannot be shown to the model, as a sentence for the visitor."""


class Upload(NamedTuple):
    """A picture, upright and in colour."""

    image: Image.Image  # RGB
    notes: list[str]  # what was done to it, one sentence each


def open_upload(source: Path | str | bytes) -> Upload:
    """Read the file at a path, or the bytes of one.

    Raises `UploadError` with a sentence if it is no picture that can be shown.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the limit here is tighter, and damage that can be read over is none
            with Image.open(io.BytesIO(source) if isinstance(source, bytes) else source, formats=FORMATS) as image:
                _check_size(*image.size)
                return _upright_in_colour(image)
    except (UnidentifiedImageError, FileNotFoundError, IsADirectoryError, PermissionError):
        raise UploadError(_not_a_picture(source)) from None
    except Image.DecompressionBombError:
        raise UploadError(
            f"This picture is far too large: at most {MOST_PIXELS // 10**6} megapixels are taken. Make it smaller."
        ) from None
    # What decoders raise on bad bytes, each its own.
    except (OSError, SyntaxError, ValueError, EOFError, MemoryError, TypeError, RuntimeError, AssertionError) as error:
        raise UploadError(
            "This picture is damaged or cut short, or its shades have no fixed range. Save it anew, as PNG or JPEG."
        ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UploadError(
            f"This picture has {width:,} x {height:,} pixels; at most {MOST_PIXELS // 10**6} megapixels are taken. "
            "Make it smaller."
        )
    if min(width, height) < LEAST_SIDE:
        raise UploadError(
            f"This picture has {width} x {height} pixels: too few to show a hand. It needs {LEAST_SIDE} a side."
        )
    if max(width, height) > LONGEST * min(width, height):
        raise UploadError(f"This picture is a strip of {width:,} x {height:,} pixels. Crop it to the hand.")


def _upright_in_colour(image: Image.Image) -> Upload:
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"This file has {image.n_frames} frames; only the first was taken.")
        image.seek(0)
    if image.getexif().get(ORIENTATION) in range(2, 9):  # before loading, which turns some formats and drops the tag
        notes.append("The picture was turned upright, as its camera noted.")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "CMYK":
        notes.append("Its printing colours (CMYK) were turned into screen colours.")
    if upright.mode.startswith("I"):
        notes.append("Of its 16-bit shades the upper 8 bits were kept.")
    if upright.has_transparency_data and upright.convert("RGBA").getchannel("A").getextrema()[0] < 255:
        notes.append("What was transparent was filled with white.")
    return Upload(Image.fromarray(eight_bits(upright)).convert("RGB"), notes)


def _not_a_picture(source: Path | str | bytes) -> str:
    try:
        start = source[:4096] if isinstance(source, bytes) else _start_of(Path(source))
    except OSError:
        return "The picture did not arrive. Send it again."
    if b"<svg" in start.lower():
        return "This is an SVG drawing, not a picture of pixels. Save it as PNG or JPEG."
    return f"This file is not a picture that can be read. {', '.join(FORMATS[:2])}, WebP, GIF, BMP and TIFF can."


def _start_of(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(4096)
