"""Pictures of every kind that a visitor may upload, as files."""

import struct
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

SVG = b'<?xml version="1.0"?>\n<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"></svg>'


def shades(width: int = 64, height: int = 48) -> np.ndarray:
    """Dark on the left, bright on the right, and a white corner at the top left."""
    pixels = np.tile(np.linspace(20, 200, width), (height, 1)).astype(np.uint8)
    pixels[: height // 4, : width // 4] = 255
    return pixels


def png(folder: Path) -> Path:
    """An ordinary picture."""
    return _saved(Image.fromarray(shades()), folder / "picture.png")


def text(folder: Path) -> Path:
    """A text that says it is a PNG."""
    (folder / "text.png").write_text("Not a picture at all.\n" * 20)
    return folder / "text.png"


def svg(folder: Path) -> Path:
    """A drawing."""
    (folder / "drawing.svg").write_bytes(SVG)
    return folder / "drawing.svg"


def truncated(folder: Path) -> Path:
    """A JPEG whose second half is missing."""
    whole = _saved(Image.fromarray(np.random.default_rng(0).integers(0, 256, (200, 200), np.uint8)), folder / "w.jpg")
    (folder / "truncated.jpg").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    return folder / "truncated.jpg"


def animation(folder: Path) -> Path:
    """Three frames: the first is `shades`, the others black."""
    frames = [Image.fromarray(pixels) for pixels in (shades(), 0 * shades(), 0 * shades() + 3)]
    frames[0].save(folder / "animation.gif", save_all=True, append_images=frames[1:], duration=50)
    return folder / "animation.gif"


def cmyk(folder: Path) -> Path:
    """In printing colours."""
    return _saved(Image.fromarray(shades()).convert("RGB").convert("CMYK"), folder / "cmyk.jpg")


def sixteen_bit(folder: Path) -> Path:
    """`shades`, times 257."""
    return _saved(Image.fromarray(shades().astype(np.uint16) * 257), folder / "sixteen.png")


def one_pixel(folder: Path) -> Path:
    """1 x 1."""
    return _saved(Image.new("L", (1, 1)), folder / "one.png")


def gigantic(folder: Path) -> Path:
    """20,000 x 20,000 in a file of half a megabyte; decoded it would take 400 MB."""
    side = 20_000
    packer = zlib.compressobj(9)
    data = b"".join(packer.compress(b"\x00" * (side + 1)) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 8, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", data), (b"IEND", b"")]
    content = b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )
    (folder / "gigantic.png").write_bytes(b"\x89PNG\r\n\x1a\n" + content)
    return folder / "gigantic.png"


def large(folder: Path) -> Path:
    """60 megapixels."""
    return _saved(Image.new("1", (10_000, 6_000)), folder / "large.png")


def lying_on_its_side(folder: Path) -> Path:
    """`shades` turned a quarter, with the note of a camera that says so."""
    exif = Image.Exif()
    exif[0x0112] = 6  # turn it clockwise to see it upright
    turned = Image.fromarray(shades()).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "side.png", exif=exif)
    return folder / "side.png"


def tiff(folder: Path) -> Path:
    """Two pages, compressed, lying on its side."""
    turned = Image.fromarray(shades()).transpose(Image.Transpose.ROTATE_90)
    turned.save(folder / "side.tiff", save_all=True, append_images=[turned], compression="lzw", tiffinfo={0x0112: 6})
    return folder / "side.tiff"


def webp(folder: Path) -> Path:
    """A lossy one."""
    return _saved(Image.fromarray(shades()).convert("RGB"), folder / "picture.webp")


def transparent(folder: Path) -> Path:
    """Nothing but transparent black."""
    return _saved(Image.new("RGBA", (40, 40)), folder / "transparent.png")


def strip(folder: Path) -> Path:
    """Much longer than high."""
    return _saved(Image.new("L", (2000, 20)), folder / "strip.png")


def _saved(image: Image.Image, path: Path) -> Path:
    image.save(path)
    return path
