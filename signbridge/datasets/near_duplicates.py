"""Which images are altered copies of one photo.

Sign Language MNIST was grown from some 1,700 photos by resampling, brightness, contrast, pixelation and rotation.
Copies of one photo correlate almost perfectly, pixel by pixel, so near-duplicates are the connected components of
"correlates above a threshold" within a letter and signer. One picture under two letters, or two signers, is a mistake
of whoever sorted it, also where one of the two was saved again or resized. Across them the threshold is higher
(`ACROSS`).
"""

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8
from pydantic import Field
from scipy.fft import dct
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from signbridge.core.params import Section

# Measured. Hands of R and U, drawn in one scene with all else equal, correlate by 0.9974 at most (100 pairs; half of
# them above 0.98), as frames of one film may. Copies of real signs of 200 x 200 pixels: by 0.9997 and more where saved
# again as JPEG, quality 30 to 90, or WebP, by 0.9977 and more where resized to half. Any other pair of two letters
# correlates by 0.90 at most in the rendered dataset, by 0.93 in 4,303 images of Sign Language MNIST.
ACROSS = 0.9975
TILE = 512  # images a side of one matrix product: 1 MB of correlations at a time, however many images
BLOCK = 4096  # images a side that are scaled to length 1 at a time: 13 MB each, however many images
COARSE = 8  # frequencies a side by which a tile of two labels is judged before it is computed
PAIRS = 2048  # pairs checked at once in float64
# Above the rounding of a float32 dot product of two unit vectors of 784 (at most 784 * 2**-24 = 4.7e-5).
FLOAT32_ERROR = 1e-4
FLOAT64_ERROR = 1e-9  # so that no link hangs on the last bit, which differs between machines


class PhotosParams(Section):
    """`photos` of `params.yaml`."""

    threshold: float = Field(gt=0, le=1)  # at 1, copies differ by brightness and contrast alone


class Photos(NamedTuple):
    """Which images are of one photo."""

    of_image: Int[np.ndarray, " images"]  # the row of the first image of each image's photo
    # Rows that show one picture under different letters, and under different signers; one of each two.
    under_two_letters: list[tuple[int, int]]
    under_two_signers: list[tuple[int, int]]


def find_photos(
    pixels: UInt8[np.ndarray, "images height width"],
    labels: np.ndarray,
    threshold: float,
    signers: np.ndarray | None = None,
    known: np.ndarray | None = None,
) -> Photos:
    """For each image the row of the first image of its photo, and what links photos of different labels or signers.

    Images of one label and signer are linked if the Pearson correlation of their pixels reaches `threshold`, others if
    it also reaches `ACROSS`, and any images if they are identical (an image of one shade correlates with nothing) or of
    one photo by what is `known`; a photo is a connected component. Exact: what float32 cannot decide is computed again
    in float64. Memory beside the pixels: two blocks, a tile, and some 450 bytes an image. Time grows with the square of
    the images.
    """
    flat = pixels.reshape(len(pixels), -1)
    photos = np.arange(len(pixels))
    label_of, signer_of = (_numbered(names, len(pixels)) for names in (labels, signers))
    sorted_as = _numbered(label_of * (signer_of.max() + 1) + signer_of, len(pixels))
    first, picture = _pictures(flat)
    for number in range(sorted_as.max() + 1):
        rows = np.flatnonzero(sorted_as == number)
        _, distinct, distinct_of = np.unique(picture[rows], return_index=True, return_inverse=True)
        component = _components(flat, rows[distinct], threshold)[distinct_of]
        photos[rows] = rows[_first_of_each(component)]
    pairs = _identical_across(sorted_as, first, picture)
    photos = _first_of_each(_merge(photos, np.arange(len(photos)), first[picture]))
    if known is not None:
        photos = _first_of_each(_merge(photos, np.arange(len(photos)), _first_of_each(_numbered(known, len(pixels)))))
    photos, alike = _join_across(pixels, sorted_as, photos, max(threshold, ACROSS))
    pairs = sorted(pairs + alike)
    two_letters, two_signers = ([(a, b) for a, b in pairs if of[a] != of[b]] for of in (label_of, signer_of))
    return Photos(photos, two_letters, two_signers)


def _numbered(names: np.ndarray | None, images: int) -> Int[np.ndarray, " images"]:
    return np.zeros(images, dtype=int) if names is None else np.unique(np.asarray(names), return_inverse=True)[1]


def _identical_across(sorted_as: np.ndarray, first: np.ndarray, picture: np.ndarray) -> list[tuple[int, int]]:
    """Each picture's first image is paired with its first one under each other label and signer."""
    suspects = np.flatnonzero(sorted_as != sorted_as[first[picture]])
    pairs = {(int(first[picture[row]]), int(sorted_as[row])): int(row) for row in suspects[::-1]}
    return [(one, other) for (one, _), other in pairs.items()]


def _join_across(
    pixels: UInt8[np.ndarray, "images height width"], sorted_as: np.ndarray, photos: np.ndarray, threshold: float
) -> tuple[Int[np.ndarray, " images"], list[tuple[int, int]]]:
    """The photos, joined where images of two labels or signers are linked; and such a pair for each two photos.

    `threshold` is not below that within a label, so that of two linked images of one label both are of one photo.
    """
    order = np.argsort(sorted_as, kind="stable")  # so that most tiles of one label are left out
    component, pairs, flat = photos[order], [], pixels.reshape(len(pixels), -1)
    for correlation, corner in _tiles_across(pixels, order, sorted_as[order], threshold):
        a, b = _linked_pairs(correlation, flat, order, component, corner, threshold)
        ends = np.sort(np.stack([component[a], component[b]], axis=1), axis=1)
        one_each = np.unique(ends, axis=0, return_index=True)[1]
        pairs += [tuple(sorted((int(order[a[i]]), int(order[b[i]])))) for i in one_each]
        component = _merge(component, a, b)
    joined = np.empty_like(component)
    joined[order] = component
    return _first_of_each(joined), pairs


def _pictures(
    pixels: UInt8[np.ndarray, "images pixels"],
) -> tuple[Int[np.ndarray, " pictures"], Int[np.ndarray, " images"]]:
    """The row of each distinct picture's first image, and which picture each image shows."""
    digests = b"".join(hashlib.sha256(np.ascontiguousarray(image)).digest() for image in pixels)
    _, first, picture = np.unique(np.frombuffer(digests, "V32"), return_index=True, return_inverse=True)
    return first, picture


def _first_of_each(component: Int[np.ndarray, " images"]) -> Int[np.ndarray, " images"]:
    """For each image the row of its component's first one."""
    _, first, component_of = np.unique(component, return_index=True, return_inverse=True)
    return first[component_of]


def _components(
    pixels: UInt8[np.ndarray, "images pixels"], rows: Int[np.ndarray, " some"], threshold: float
) -> Int[np.ndarray, " some"]:
    component = np.arange(len(rows))
    for correlation, corner in _tiles(pixels, rows):
        a, b = _linked_pairs(correlation, pixels, rows, component, corner, threshold)
        component = _merge(component, a, b)
    return component


def _tiles(
    pixels: UInt8[np.ndarray, "images pixels"], rows: Int[np.ndarray, " some"]
) -> Iterator[tuple[Float32[np.ndarray, "top left"], tuple[int, int]]]:
    """The correlations of all pairs of the images `rows`, a tile at a time, with the places that its corner is of."""
    n = len(rows)
    for block in range(0, n, BLOCK):
        down = _unit_block(pixels, rows[block : block + BLOCK])
        for other in range(block, n, BLOCK):
            columns = down if other == block else _unit_block(pixels, rows[other : other + BLOCK])
            for top in range(block, block + len(down), TILE):
                for left in range(max(top, other), other + len(columns), TILE):
                    across = columns[left - other : left - other + TILE]
                    yield down[top - block : top - block + TILE] @ across.T, (top, left)


def _tiles_across(
    pixels: UInt8[np.ndarray, "images height width"],
    rows: Int[np.ndarray, " some"],
    labels: Int[np.ndarray, " some"],
    threshold: float,
) -> Iterator[tuple[Float32[np.ndarray, "top left"], tuple[int, int]]]:
    """Those of `_tiles` with images of two labels, which are in order, where a correlation may reach `threshold`."""
    coarse, flat = _coarse(pixels, rows), pixels.reshape(len(pixels), -1)
    for top in range(0, len(rows), TILE):
        for left in range(top, len(rows), TILE):
            if labels[top] == labels[left : left + TILE][-1]:
                continue
            if (coarse[top : top + TILE] @ coarse[left : left + TILE].T).max() >= threshold - FLOAT32_ERROR:
                down, across = (_unit_block(flat, rows[start : start + TILE]) for start in (top, left))
                yield down @ across.T, (top, left)


def _coarse(
    pixels: UInt8[np.ndarray, "images height width"], rows: Int[np.ndarray, " some"]
) -> Float32[np.ndarray, "some coarse"]:
    """Vectors whose dot products are not below the correlations: low frequencies, and the length of what they leave.

    With P the projection on the frequencies, a.b = Pa.Pb + (a - Pa).(b - Pb) <= Pa.Pb + |a - Pa| |b - Pb| (Cauchy and
    Schwarz).
    """
    basis = np.kron(*(dct(np.eye(side), axis=0, norm="ortho")[:COARSE] for side in pixels.shape[1:]))
    coarse = np.empty((len(rows), len(basis) + 1), np.float32)
    for start in range(0, len(rows), TILE):
        units = unit_rows(pixels[rows[start : start + TILE]].reshape(-1, basis.shape[1]))
        low = units @ basis.T
        rest = np.square(units).sum(axis=1) - np.square(low).sum(axis=1)
        coarse[start : start + TILE, :-1], coarse[start : start + TILE, -1] = low, np.sqrt(rest.clip(0))
    return coarse


def _unit_block(
    pixels: UInt8[np.ndarray, "images pixels"], rows: Int[np.ndarray, " some"]
) -> Float32[np.ndarray, "some pixels"]:
    block = np.empty((len(rows), pixels.shape[1]), np.float32)
    for start in range(0, len(rows), TILE):  # float64 takes much more
        block[start : start + TILE] = unit_rows(pixels[rows[start : start + TILE]])
    return block


def _linked_pairs(
    correlation: Float32[np.ndarray, "top left"],
    pixels: UInt8[np.ndarray, "images pixels"],
    rows: Int[np.ndarray, " some"],
    component: Int[np.ndarray, " some"],
    corner: tuple[int, int],
    threshold: float,
) -> tuple[Int[np.ndarray, " links"], Int[np.ndarray, " links"]]:
    """The pairs of a tile that are linked and not yet in one component."""
    candidates = np.flatnonzero(correlation >= threshold - FLOAT32_ERROR)
    value = correlation.reshape(-1)[candidates]
    a, b = np.divmod(candidates, correlation.shape[1])
    a, b = a + corner[0], b + corner[1]
    apart = component[a] != component[b]
    a, b, value = a[apart], b[apart], value[apart]
    linked = value >= threshold + FLOAT32_ERROR
    unsure = np.flatnonzero(~linked)
    for start in range(0, len(unsure), PAIRS):
        pairs = unsure[start : start + PAIRS]
        exact = np.einsum("pd,pd->p", unit_rows(pixels[rows[a[pairs]]]), unit_rows(pixels[rows[b[pairs]]]))
        linked[pairs] = exact >= threshold - FLOAT64_ERROR
    return a[linked], b[linked]


def _merge(
    component: Int[np.ndarray, " images"], a: Int[np.ndarray, " links"], b: Int[np.ndarray, " links"]
) -> Int[np.ndarray, " images"]:
    if not len(a):
        return component
    n = len(component)
    links = coo_array((np.ones(len(a), dtype=bool), (component[a], component[b])), shape=(n, n))
    return connected_components(links, directed=False)[1][component].astype(component.dtype)


def unit_rows(pixels: UInt8[np.ndarray, "images pixels"]) -> Float64[np.ndarray, "images pixels"]:
    """Each row less its mean, scaled to length 1, so that a dot product is a correlation; 0 for one shade."""
    centred = pixels - pixels.mean(axis=1, keepdims=True, dtype=np.float64)
    length = np.linalg.norm(centred, axis=1, keepdims=True)
    return np.divide(centred, length, out=np.zeros_like(centred), where=length > 0)
