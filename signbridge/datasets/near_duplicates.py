"""Which images are altered copies of one photo.

Sign Language MNIST was grown from some 1,700 photos by resampling, brightness, contrast, pixelation and rotation.
Copies of one photo correlate almost perfectly, pixel by pixel, so near-duplicates are the connected components of
"correlates above a threshold" within a letter.
"""

import numpy as np
from jaxtyping import Float32, Float64, Int, UInt8
from pydantic import Field
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from signbridge.core.params import Section

TILE = 512  # images a side of one matrix product: 1 MB of correlations at a time, however many images
PAIRS = 2048  # pairs checked at once in float64
# Above the rounding of a float32 dot product of two unit vectors of 784 (at most 784 * 2**-24 = 4.7e-5).
FLOAT32_ERROR = 1e-4
FLOAT64_ERROR = 1e-9  # so that no link hangs on the last bit, which differs between machines


class PhotosParams(Section):
    """`photos` of `params.yaml`."""

    threshold: float = Field(gt=0, le=1)  # at 1, copies differ by brightness and contrast alone


def find_photos(
    pixels: UInt8[np.ndarray, "images height width"], labels: np.ndarray, threshold: float
) -> Int[np.ndarray, " images"]:
    """For each image the row of the first image of its photo.

    Images of one label are linked if the Pearson correlation of their pixels reaches `threshold`, or if they are
    identical (an image of one shade correlates with nothing); a photo is a connected component. Exact: what float32
    cannot decide is computed again in float64. Memory: the pixels of one label in float32, and a tile.
    """
    flat = pixels.reshape(len(pixels), -1)
    photos = np.arange(len(pixels))
    labels = np.asarray(labels)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        whole = flat[rows].view(np.dtype((np.void, flat.shape[1])))[:, 0]  # an image as one value
        _, distinct, distinct_of = np.unique(whole, return_index=True, return_inverse=True)
        component = _components(flat[rows[distinct]], threshold)[distinct_of]
        _, first, photo_of = np.unique(component, return_index=True, return_inverse=True)
        photos[rows] = rows[first][photo_of]
    return photos


def _components(pixels: UInt8[np.ndarray, "images pixels"], threshold: float) -> Int[np.ndarray, " images"]:
    unit = unit_rows(pixels).astype(np.float32)
    component = np.arange(len(pixels))
    for top in range(0, len(pixels), TILE):
        for left in range(top, len(pixels), TILE):
            correlation = unit[top : top + TILE] @ unit[left : left + TILE].T
            a, b = _linked_pairs(correlation, pixels, component, (top, left), threshold)
            component = _merge(component, a, b)
    return component


def _linked_pairs(
    correlation: Float32[np.ndarray, "rows columns"],
    pixels: UInt8[np.ndarray, "images pixels"],
    component: Int[np.ndarray, " images"],
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
        exact = np.einsum("pd,pd->p", unit_rows(pixels[a[pairs]]), unit_rows(pixels[b[pairs]]))
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
