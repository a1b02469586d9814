"""The stored text vectors that are nearest to given vectors by cosine, over all text layers together.

`nearest` is exact: a blocked matrix product, of which only the scores that can still be among the best are looked at
again. A score and the place of its vector make one integer, so that the larger of two is the better score or, of equal
scores, the lower layer and then the lower row: the order of the best never depends on how the work was cut.
"""

import math
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import NamedTuple

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from signbridge.core.errors import SignBridgeError
from signbridge.lenses.stored_vectors import StoredVectors

_PLACES = 2**32  # of vectors in all layers together
_MOST_ROWS = 2048  # in a block: a product this wide runs at the full rate, and more would take memory from the queries
_ROW_BYTES = 12  # an entry: as it lies on disk, between, and in float32
_GROUP = 32  # scores with one maximum: of all that follows the product, only the maxima are taken of every score


class Neighbours(NamedTuple):
    """The best of all stored vectors for each query, best first; fewer than k columns where fewer are stored."""

    score: Float[Tensor, "queries best"]  # cosine
    row: Int[Tensor, "queries best"]  # in its layer
    layer: Int[Tensor, "queries best"]  # index into `list(layers)`


class BlockSizes(NamedTuple):
    """How many queries and stored vectors are multiplied together."""

    queries: int
    rows: int


def nearest(
    queries: Float[Tensor, "queries width"], layers: Mapping[str, StoredVectors], k: int, memory_bytes: int
) -> Neighbours:
    """The `k` stored vectors with the largest cosine to each query, on the queries' device.

    Of equal scores the lower layer is first, then the lower row. At most `memory_bytes` are taken beside queries,
    result and what the matrix library packs for itself, and every stored vector is read once for each block of queries
    (`block_sizes`): memory for all queries at once is the fastest. A query of zeros has cosine 0 with everything.

    Raises `SignBridgeError` if queries are not finite or of another width, or for too little memory.
    """
    stored = list(layers.values())
    _check(queries, layers)
    k = min(k, sum(vectors.rows for vectors in stored))
    sizes = block_sizes(memory_bytes, queries.shape[1], k)
    parts = [_best_keys(_unit(part), stored, k, sizes.rows) for part in queries.split(sizes.queries)]
    return _decoded(torch.cat(parts), stored)


def block_sizes(memory_bytes: int, width: int, k: int) -> BlockSizes:
    """The largest blocks that `memory_bytes` allow: a quarter of it for stored vectors, the rest for queries.

    A stored vector takes 12 bytes an entry; a query 4 an entry, 4 a score, 64 a group of scores, 2048 a group that is
    looked at closer (k of them, if there are as many) and 64 a neighbour. Raises `SignBridgeError` if not even one
    group and one query have room.
    """
    row_bytes = _ROW_BYTES * width
    rows = max(1, min(_MOST_ROWS, memory_bytes // 4 // row_bytes) // _GROUP) * _GROUP
    groups = rows // _GROUP
    query_bytes = 4 * width + (4 * _GROUP + 64) * groups + 2048 * min(k, groups) + 64 * k
    queries = (memory_bytes - rows * row_bytes) // query_bytes
    if queries < 1:
        needed = 4 * (16 * width * _GROUP + 192 + 2112 * k)
        raise SignBridgeError(f"{memory_bytes} bytes are too few to search vectors of {width} entries: give {needed}.")
    return BlockSizes(queries, rows)


def nearest_approximate(
    queries: Float[Tensor, "queries width"], layers: Mapping[str, StoredVectors], k: int, probes: int = 16
) -> Neighbours:
    """As `nearest`, but looking only into the `probes` cells of a layer whose centres are nearest to the query (faiss).

    Each layer's vectors go into as many cells as the root of their number, by k-means, in 16 bits an entry; a layer's
    index is made here, used for all queries and dropped. Where the cells hold fewer than k: score -inf, row and layer
    -1. `recall` says what it misses. Raises `SignBridgeError` without faiss, and as `nearest`.
    """
    faiss = imported_faiss()
    _check(queries, layers)
    sought, k = _unit(queries).cpu().numpy(), min(k, sum(vectors.rows for vectors in layers.values()))
    score, row, layer = (np.empty((len(sought), 0), kind) for kind in (np.float32, np.int64, np.int64))
    for number, vectors in enumerate(layers.values()):
        if not vectors.rows or not len(sought):
            continue
        found = _index(faiss, vectors, probes).search(sought, min(k, vectors.rows))
        score, row = (np.hstack(both) for both in zip((score, row), found, strict=True))
        layer = np.hstack([layer, np.where(found[1] < 0, -1, number)])
    score = np.where(row < 0, -np.inf, score)
    order = np.argsort(-score, axis=1, kind="stable")[:, :k]
    best = (np.take_along_axis(values, order, axis=1) for values in (score, row, layer))
    return Neighbours(*(torch.from_numpy(values).to(queries.device) for values in best))


def recall(approximate: Neighbours, exact: Neighbours) -> float:
    """The share of the exact neighbours, over all queries, that are also among the approximate ones."""
    same = (exact.row[:, :, None] == approximate.row[:, None]) & (exact.layer[:, :, None] == approximate.layer[:, None])
    return same.any(2).double().mean().item()


def _check(queries: Tensor, layers: Mapping[str, StoredVectors]) -> None:
    for name, vectors in layers.items():
        if vectors.width != queries.shape[1]:
            raise SignBridgeError(
                f"The text vectors of {name} have {vectors.width} entries and those sought {queries.shape[1]}: "
                "they are of different models."
            )
    if sum(vectors.rows for vectors in layers.values()) >= _PLACES:
        raise SignBridgeError(f"More than {_PLACES} text vectors: search fewer layers at a time.")
    unfit = ~torch.linalg.vector_norm(queries, dim=1, dtype=torch.float32).isfinite()
    if unfit.any():
        raise SignBridgeError(f"Vector {int(unfit.nonzero()[0, 0])} of those sought is not finite.")


def _unit(queries: Float[Tensor, "queries width"]) -> Float[Tensor, "queries width"]:
    length = torch.linalg.vector_norm(queries, dim=1, keepdim=True, dtype=torch.float32)
    return queries.to(torch.float32, copy=True).div_(torch.where(length > 0, length, 1))


def _blocks(stored: list[StoredVectors], rows: int) -> Iterator[tuple[StoredVectors, int, int, int]]:
    """The vectors of all layers in blocks of at most `rows`: whose, from, to, and the place of the first of all."""
    before = 0
    for vectors in stored:
        for start in range(0, vectors.rows, rows):
            yield vectors, start, min(start + rows, vectors.rows), before + start
        before += vectors.rows


def _best_keys(
    queries: Float[Tensor, "queries width"], stored: list[StoredVectors], k: int, rows: int
) -> Int[Tensor, "queries k"]:
    """Every block goes through the same memory: new memory takes longer to get than vectors to expand (measured)."""
    device = queries.device
    nothing = torch.full((len(queries), k), -torch.inf, device=device)
    best = _keys(nothing, torch.zeros_like(nothing, dtype=torch.int64))
    if not best.numel():
        return best
    units, products = queries.new_zeros((rows, queries.shape[1])), queries.new_empty(len(queries) * rows)
    for vectors, start, stop, first in _blocks(stored, rows):
        count = stop - start
        filled = math.ceil(count / _GROUP) * _GROUP  # to whole groups, with vectors that are then ruled out
        vectors.block(start, stop, device, out=units[:count])
        scores = products[: len(queries) * filled].view(len(queries), filled)
        torch.mm(queries, units[:filled].T, out=scores)[:, count:] = -torch.inf
        _merge(best, scores, first)
    return best


def _merge(best: Int[Tensor, "queries k"], scores: Float[Tensor, "queries rows"], first: int) -> None:
    """Put into `best` what is better among `scores`, whose first column has the place `first`.

    Only queries whose best new score beats their k-th are looked at closer, and of these only the k groups of columns
    with the best maxima: all of the k best are in these.
    """
    k = best.shape[1]
    groups = scores.unflatten(1, (-1, _GROUP))
    maxima = groups.amax(2)
    improved = (maxima.amax(1) > _score(best[:, -1])).nonzero().squeeze(1)
    number = torch.arange(maxima.shape[1], device=best.device)
    chosen = _place(_keys(maxima[improved], number).topk(min(k, len(number))).values)
    place = first + (chosen[..., None] * _GROUP + torch.arange(_GROUP, device=best.device)).flatten(1)
    found = _keys(groups[improved[:, None], chosen].flatten(1), place)
    best[improved] = torch.cat([best[improved], found], dim=1).topk(k).values


def _keys(scores: Float[Tensor, "queries rows"], place: Int[Tensor, "*queries rows"]) -> Int[Tensor, "queries rows"]:
    """Integers in the order of score, then of place, lowest first: the score's bits, then the places behind its own."""
    bits = (scores + 0.0).view(torch.int32)  # -0 and 0 are one score
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # so that negative ones are in order, too
    return bits.long().mul_(_PLACES).add_(_PLACES - 1 - place)


def _place(keys: Int[Tensor, "*any"]) -> Int[Tensor, "*any"]:
    return _PLACES - 1 - keys % _PLACES


def _score(keys: Int[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    bits = (keys >> 32).int()
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)


def _decoded(keys: Int[Tensor, "queries k"], stored: list[StoredVectors]) -> Neighbours:
    place = _place(keys)
    ends = torch.tensor([vectors.rows for vectors in stored], dtype=torch.int64, device=keys.device).cumsum(0)
    layer = torch.bucketize(place, ends, right=True)
    starts = torch.cat([ends.new_zeros(1), ends])
    return Neighbours(_score(keys), place - starts[layer], layer)


def imported_faiss() -> ModuleType:
    """The module that approximate search needs. Raises `SignBridgeError` if it is not installed."""
    try:
        import faiss
    except ImportError:
        raise SignBridgeError("Approximate search needs faiss: pip install 'signbridge[faiss]'") from None
    return faiss


def _index(faiss: ModuleType, vectors: StoredVectors, probes: int):
    """A layer's cells (an inverted file). K-means sees 40 vectors a cell, faiss's own least, evenly from the layer."""
    cells = max(1, round(vectors.rows**0.5))
    index = faiss.index_factory(vectors.width, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = probes
    every = max(1, vectors.rows // (40 * cells))
    blocks = [(start, stop) for _, start, stop, _ in _blocks([vectors], _MOST_ROWS)]
    seen = [vectors.block(start, stop, "cpu")[-start % every :: every] for start, stop in blocks]
    index.train(torch.cat(seen).numpy())
    for start, stop in blocks:
        index.add(vectors.block(start, stop, "cpu").numpy())
    return index
