"""What a visitor shows, as a picture that the model can take in, or a sentence that says why not.

Nothing is decoded before its size is known, and nothing but pixels is taken from a file. Pixels become what they would
in the dataset: `signbridge.datasets.images.eight_bits`.

A picture made like those of the dataset: square, grey, as small.
"""

import io
import warnings
from pathlib import Path
from typing import NamedTuple

from PIL import Image, ImageOps, UnidentifiedImageError

from signbridge.datasets.image_folder import MOST_PIXELS
from signbridge.datasets.images import eight_bits
from signbridge.demo.study import Format

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


LARGEST_SIDE = 2048  # pixels; no model of the catalog takes in more


def prepared(image: Image.Image, form: Format) -> Image.Image:
    """`image` with what all images of the dataset share: the middle square, grey, of their size; in RGB."""
    if form.square:
        side = min(image.size)
        left, top = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((left, top, left + side, top + side))
    if form.grey:
        image = image.convert("L")
    if form.side is not None and form.side != image.width:
        how = Image.Resampling.BICUBIC if form.side > image.width else Image.Resampling.BOX
        image = image.resize((form.side, form.side), how)
    return image.convert("RGB")


def bounded(image: Image.Image) -> Image.Image:
    """`image`, scaled down where a side is longer than `LARGEST_SIDE`."""
    if max(image.size) <= LARGEST_SIDE:
        return image
    smaller = image.copy()
    smaller.thumbnail((LARGEST_SIDE, LARGEST_SIDE))
    return smaller


def description(form: Format) -> str:
    """What `prepared` does, for the switch: `Cropped to the middle square, grey, 28 x 28 pixels`."""
    shared = [("cropped to the middle square", form.square), ("grey", form.grey)]
    shared.append((f"{form.side} x {form.side} pixels", form.side is not None))
    parts = ", ".join(part for part, is_shared in shared if is_shared)
    return f"{parts[0].upper()}{parts[1:]}" if parts else "The dataset's images have no shape in common"
