"""Two sets of drawn hands of which it is known whether it helps a probe to have seen the person."""

from functools import cache
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from signbridge.rendered.dataset import RenderedParams, render


class Signed(NamedTuple):
    """Photos of six signers, as many of each and of each letter."""

    images: UInt8[np.ndarray, "photos 28 28"]
    labels: np.ndarray  # letters
    signers: np.ndarray  # `signer-01`, ...
    photos: np.ndarray  # names; every image is a photo of its own


@cache
def signer_easy_letter_hard() -> Signed:
    """Each person has so strong an accent that the letters of one are not those of another: to have seen them helps.

    96 photos, 4 of a signer and letter. Pixels tell the signer.
    """
    return _drawn("ADEF", photos=24, accent=24.0, signer_share=0.95)


@cache
def signer_a_mere_name() -> Signed:
    """Letters that differ, and photos that are dealt out to names: to have seen the person cannot help.

    144 photos, 6 of a signer and letter. Nothing tells the signer, and letters are read well.
    """
    return _drawn("BCLY", photos=36, accent=0.0, signer_share=0.0)


def _drawn(letters: str, **changes: float) -> Signed:
    entry = {"source": "rendered", "seed": 2, "size": 28, "copies": 1, "signers": 6}
    images = render(RenderedParams(**entry, **changes), letters)
    return Signed(
        np.stack([image.pixels for image in images]),
        np.array([image.label for image in images]),
        np.array([image.signer for image in images]),
        np.array([image.image_id.rpartition("-")[0] for image in images]),
    )
