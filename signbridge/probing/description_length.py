"""How many bits it takes to send the letters to someone who has the vectors: the online code of Voita and Titov.

Voita and Titov 2020, "Information-Theoretic Probing with Minimum Description Length", section 2.2.2. Sender and
receiver both have the vectors. Blocks of images are sent one after the other, each with the code of a probe that was
trained on the blocks before it, so a probe that needs few examples makes a short code. The first block holds one photo
of each letter and costs log2(letters) an image; then the blocks double. A photo is whole in one block: otherwise its
copies would cost nothing.

The bits of each image are kept, so that photos and orders can be resampled.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int

from signbridge.probing.coordinates import reduce
from signbridge.probing.folds import at_edge
from signbridge.probing.logistic_regression import decision, fit, probabilities

TOLERANCE = 1e-5  # of the fits: a bit in ten thousand
Block = Int[np.ndarray, "_images"]  # each block has another number of them


def online_blocks(labels: np.ndarray, photos: np.ndarray, generator: np.random.Generator) -> list[Block]:
    """The images in the order in which they are sent, as rows of the sample: blocks of whole photos."""
    _, first = np.unique(photos, return_index=True)
    first = generator.permutation(first)  # one row a photo, in the order they are sent
    _, leading = np.unique(labels[first], return_index=True)
    ahead = np.zeros(len(first), dtype=bool)
    ahead[leading] = True
    order = np.concatenate([first[ahead], first[~ahead]])
    ends = [ahead.sum()]
    while ends[-1] < len(order):
        ends.append(min(2 * ends[-1], len(order)))
    return [np.flatnonzero(np.isin(photos, photos[sent])) for sent in np.split(order, ends[:-1])]


class Code(NamedTuple):
    """The shortest code of one order of sending."""

    bits: Float[np.ndarray, "images"]  # of each image, in table order; the bits that say which C are spread over all
    C: float
    at_edge: bool  # whether C is the smallest or the largest that was offered


def shortest_code(
    rows: Float[np.ndarray, "images rank"],
    targets: Int[np.ndarray, "images"],
    blocks: Sequence[Block],
    Cs: Sequence[float],
) -> Code:
    """The shortest code among those of `Cs`, with the bits that say which: log2 of how many there are."""
    lengths = bits_of_images(rows, targets, blocks, Cs)
    best = int(lengths.sum(axis=1).argmin())
    return Code(lengths[best] + np.log2(len(Cs)) / len(rows), float(Cs[best]), at_edge(Cs, best))


def bits_of_images(
    rows: Float[np.ndarray, "images rank"],
    targets: Int[np.ndarray, "images"],
    blocks: Sequence[Block],
    Cs: Sequence[float],
) -> Float[np.ndarray, "penalties images"]:
    """Bits of each image in the online code of `targets` (0 to letters - 1), of probes with each penalty of `Cs`."""
    letters = int(targets.max()) + 1
    bits = np.full((len(Cs), len(rows)), np.log2(letters))  # what those of the first block cost
    for index in range(1, len(blocks)):
        known, sent = np.concatenate(blocks[:index]), blocks[index]
        coordinates = reduce(rows[known], rows[sent])
        model = None  # the first block holds every letter, so all are known from then on
        for number in np.argsort(Cs):
            model = fit(coordinates, targets[known], letters, Cs[number], model, TOLERANCE)
            chances = probabilities(decision(model, coordinates.test))
            bits[number, sent] = -np.log2(chances[np.arange(len(sent)), targets[sent]])
    return bits
