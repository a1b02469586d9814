"""What a visitor uploads, as a picture that the model can take in, or a sentence that says why not.

Nothing is decoded before its size is known, and nothing but pixels is taken from a file.
"""

import warnings
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

MOST_PIXELS = 50_000_000  # a 50-megapixel photo takes some 150 MB decoded
LEAST_SIDE = 16  # pixels: smaller ones show no hand
WIDEST = 20  # times as long as high, or the other way round
BACKGROUND = (127, 127, 127)  # behind what is transparent


class UploadError(Exception):
    """An upload that cannot be shown to the model, as a sentence for the visitor."""


class Upload(NamedTuple):
    """A picture, upright and in colour."""

    image: Image.Image  # RGB
    notes: list[str]  # what was done to it, one sentence each


def open_upload(path: Path | str) -> Upload:
    """Read the file at `path`. Raises `UploadError` with a sentence if it is no picture that can be shown."""
    path = Path(path)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", Image.DecompressionBombWarning)  # the limit here is tighter
        try:
            with Image.open(path) as image:
                _check_size(*image.size)
                return _as_colour(image)
        except (UnidentifiedImageError, FileNotFoundError, IsADirectoryError):
            raise UploadError(_not_a_picture(path)) from None
        except Image.DecompressionBombError:
            raise UploadError(
                f"This picture is far too large: at most {MOST_PIXELS // 10**6} megapixels are taken. Make it smaller."
            ) from None
        except (OSError, SyntaxError, ValueError, EOFError, MemoryError) as error:  # what decoders raise on bad bytes
            raise UploadError(
                "This picture is damaged or cut short and cannot be read whole. Save or send it again."
            ) from error


def _check_size(width: int, height: int) -> None:
    if width * height > MOST_PIXELS:
        raise UploadError(
            f"This picture has {width:,} x {height:,} pixels; at most {MOST_PIXELS // 10**6} megapixels are taken. "
            "Scale it down first."
        )
    if min(width, height) < LEAST_SIDE:
        raise UploadError(
            f"This picture has {width} x {height} pixels: too few to show a hand. It needs {LEAST_SIDE} a side."
        )
    if max(width, height) > WIDEST * min(width, height):
        raise UploadError(f"This picture is a strip of {width:,} x {height:,} pixels. Crop it to the hand.")


def _as_colour(image: Image.Image) -> Upload:
    notes = []
    if getattr(image, "n_frames", 1) > 1:
        notes.append(f"This file has {image.n_frames} frames; only the first was taken.")
        image.seek(0)
    image.load()
    if image.getexif().get(0x0112, 1) != 1:  # orientation
        notes.append("The picture was turned upright, as its camera noted.")
    upright = ImageOps.exif_transpose(image)
    if upright.mode == "CMYK":
        notes.append("Its printing colours (CMYK) were turned into screen colours.")
    if upright.mode in ("I", "F") or upright.mode.startswith("I;16"):
        notes.append("Its shades were scaled down to 256.")
        upright = _to_eight_bits(upright)
    if upright.has_transparency_data:
        upright = upright.convert("RGBA")
        if upright.getchannel("A").getextrema()[0] < 255:
            notes.append("What was transparent was filled with grey.")
        behind = Image.new("RGBA", upright.size, (*BACKGROUND, 255))
        upright = Image.alpha_composite(behind, upright)
    return Upload(upright.convert("RGB"), notes)


def _to_eight_bits(image: Image.Image) -> Image.Image:
    """Shades of 16 bits divided by 257; others stretched from their least to their greatest."""
    shades = np.asarray(image).astype(np.float64)
    low, high = (0.0, 65535.0) if shades.min() >= 0 and 255 < shades.max() <= 65535 else (shades.min(), shades.max())
    if not np.isfinite([low, high]).all():
        raise ValueError("shades that are no numbers")
    return Image.fromarray(np.round((shades - low) / max(high - low, 1e-9) * 255).astype(np.uint8))


def _not_a_picture(path: Path) -> str:
    try:
        start = path.read_bytes()[:4096].lstrip().lower()
    except OSError:
        return "The picture did not arrive. Send it again."
    if b"<svg" in start:
        return "This is an SVG drawing, not a picture of pixels. Save it as PNG or JPEG."
    return "This file is not a picture that can be read. PNG, JPEG, WebP, GIF, BMP and TIFF can."
