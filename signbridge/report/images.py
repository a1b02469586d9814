"""Images inside the page: small ones, as data URIs."""

import base64
import io
from collections.abc import Sequence

import numpy as np
from PIL import Image

SIDE = 56  # pixels; a larger image is made smaller, twice the size of Sign Language MNIST's

LARGE_SIDE = 224  # pixels of an image that the page enlarges


def data_uri(png: bytes) -> str:
    """A PNG as it is."""
    return f"data:image/png;base64,{base64.b64encode(png).decode()}"


def thumbnail(png: bytes) -> str:
    """A PNG of at most `SIDE` pixels a side, as a data URI; a smaller one is passed on as it is."""
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= SIDE:
            return data_uri(png)
        image.thumbnail((SIDE, SIDE))
        small = io.BytesIO()
        image.save(small, format="PNG", optimize=True)
    return data_uri(small.getvalue())


def enlargeable(png: bytes, side: int = LARGE_SIDE) -> str:
    """A PNG of at most `side` pixels a side as it is, a larger one as a JPEG of that size, as a data URI."""
    with Image.open(io.BytesIO(png)) as image:
        if max(image.size) <= side:
            return data_uri(png)
        small = image.convert("RGB")
        small.thumbnail((side, side))
    jpeg = io.BytesIO()
    small.save(jpeg, format="JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(jpeg.getvalue()).decode()}"


def within_budget(images: Sequence[bytes], budget: int) -> dict[int, str]:
    """Thumbnails by their place in `images`: of all, or of as many, evenly, as `budget` characters hold."""
    if not images:
        return {}
    looked_at = np.unique(np.linspace(0, len(images) - 1, 64).astype(int))
    typical = max(float(np.mean([len(thumbnail(images[index])) for index in looked_at])), 1.0)
    allowed = max(int(budget / typical), 1)
    chosen = range(len(images)) if allowed >= len(images) else np.linspace(0, len(images) - 1, allowed).astype(int)
    return {int(index): thumbnail(images[index]) for index in chosen}
