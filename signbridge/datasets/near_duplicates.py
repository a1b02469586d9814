"""Which images are altered copies of one photo.

Sign Language MNIST was grown from some 1,700 photos by resampling, brightness, contrast, pixelation and rotation.
Copies of one photo correlate almost perfectly, pixel by pixel, so near-duplicates are the connected components of
"correlates above a threshold" within a letter. Across letters only identical pictures are linked: hands of two
letters may look alike, but one picture under two labels is a mistake of whoever sorted it.
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

    Images of one label are linked if the Pearson correlation of their pixels reaches `threshold`, images of any labels
    if they are identical (an image of one shade correlates with nothing); a photo is a connected component. Exact: what
    float32 cannot decide is computed again in float64. Memory: the pixels of one label in float32, and a tile.
    """
    flat = pixels.reshape(len(pixels), -1)
    photos = np.arange(len(pixels))
    labels = np.asarray(labels)
    for label in np.unique(labels):
        rows = np.flatnonzero(labels == label)
        distinct, distinct_of = _pictures(flat[rows])
        component = _components(flat[rows[distinct]], threshold)[distinct_of]
        photos[rows] = rows[_first_of_each(component)]
    first, picture = _pictures(flat)
    return _first_of_each(_merge(photos, np.arange(len(photos)), first[picture]))


def under_two_labels(pixels: UInt8[np.ndarray, "images height width"], labels: np.ndarray) -> list[tuple[int, int]]:
    """The rows of images that show one and the same picture under different labels.

    Each picture's first image is paired with its first one under each other label.
    """
    first, picture = _pictures(pixels.reshape(len(pixels), -1))
    labels = np.asarray(labels)
    suspects = np.flatnonzero(labels != labels[first[picture]])
    pairs = {(int(first[picture[row]]), str(labels[row])): int(row) for row in suspects[::-1]}
    return sorted((one, other) for (one, _), other in pairs.items())


def _pictures(
    pixels: UInt8[np.ndarray, "images pixels"],
) -> tuple[Int[np.ndarray, " pictures"], Int[np.ndarray, " images"]]:
    """The row of each distinct picture's first image, and which picture each image shows."""
    whole = np.ascontiguousarray(pixels).view(np.dtype((np.void, pixels.shape[1])))[:, 0]  # an image as one value
    _, first, picture = np.unique(whole, return_index=True, return_inverse=True)
    return first, picture


def _first_of_each(component: Int[np.ndarray, " images"]) -> Int[np.ndarray, " images"]:
    """For each image the row of its component's first one."""
    _, first, component_of = np.unique(component, return_index=True, return_inverse=True)
    return first[component_of]


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
