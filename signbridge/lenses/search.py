"""The stored text vectors that are nearest to given vectors by cosine, over all text layers together.

`nearest` is exact: products with blocks of stored vectors, on the device of the queries. A score and the place of its
vector make one integer, so that the larger of two is the better score or, of equal scores, the lower layer and then the
lower row. Equal text vectors are common (every text begins with the same token), and faiss promises no order of them.

All searches can be asked for words: the best row of each word, then the best words. A token's contexts lie close
together, so that the rows nearest to a vector mostly say one word.
"""

from collections.abc import Callable, Mapping, Sequence
from types import ModuleType
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from signbridge.core.errors import SignBridgeError
from signbridge.lenses.stored_vectors import StoredVectors
from signbridge.vlm.memory import halving

_PLACES = 2**32  # of vectors in all layers together
_ROWS = 32, 2048  # stored vectors in a block, at least and at most: more make the product no faster
_ROW_BYTES, _SCORE_BYTES = 12, 64  # of an entry of a stored vector; of a score that is sorted


class Neighbours(NamedTuple):
    """The best of all stored vectors for each query, best first; fewer than k columns where fewer are stored."""

    score: Float[Tensor, "queries best"]  # cosine
    row: Int[Tensor, "queries best"]  # in its layer
    layer: Int[Tensor, "queries best"]  # index into `list(layers)`


Best = tuple[Tensor, Tensor]  # scores and rows, queries x best, best first


class BlockSizes(NamedTuple):
    """How many queries and stored vectors are multiplied together, and the scores of how many queries are sorted."""

    queries: int
    rows: int
    sorted: int


def nearest(
    queries: Float[Tensor, "queries width"],
    layers: Mapping[str, StoredVectors],
    k: int,
    memory_bytes: int,
    word: Int[Tensor, " rows"] | None = None,
) -> Neighbours:
    """The `k` stored vectors with the largest cosine to each query, on the queries' device.

    With `word`, the number of the word that each row of every layer stands for, they are those of the `k` nearest
    words. Of equal scores the lower layer is first, then the lower row. At most `memory_bytes` are taken beside queries
    and result, and half as many each time that memory runs out; every stored vector is read once for each block of
    queries. A query of zeros has cosine 0 with everything. Raises `SignBridgeError` if queries are not finite or of
    another width, or for too little memory.
    """
    _check(queries, layers)
    stored = list(layers.values())
    k = min(k, sum(vectors.rows for vectors in stored) if word is None else len(word.unique()))
    word = None if word is None else word.to(queries.device)

    def search(most_bytes: int) -> Int[Tensor, "queries k"]:
        sizes = block_sizes(most_bytes, queries.shape[1], k)
        return torch.cat([_best_keys(_unit(part), stored, k, sizes, word) for part in queries.split(sizes.queries)])

    keys, _ = halving(search, memory_bytes, queries.device, "one text vector at a time", "Free some.")
    place = _PLACES - 1 - keys % _PLACES
    ends = torch.tensor([0, *(vectors.rows for vectors in stored)], dtype=torch.int64, device=keys.device).cumsum(0)
    layer = torch.bucketize(place, ends[1:], right=True)
    return Neighbours(_score(keys), place - ends[layer], layer)


def block_sizes(memory_bytes: int, width: int, k: int) -> BlockSizes:
    """The largest blocks that `memory_bytes` allow: a quarter for stored vectors, half of the rest for sorting scores.

    Raises `SignBridgeError` if there is no room for a block of 32 stored vectors and one query.
    """
    least, most = _ROWS
    rows = max(least, min(most, memory_bytes // 4 // (_ROW_BYTES * width)) // least * least)
    half = (memory_bytes - rows * _ROW_BYTES * width) // 2
    queries, together = half // (4 * width + 4 * rows + 32 * k), half // (_SCORE_BYTES * (rows + k))
    if min(queries, together) < 1:
        needed = 4 * (_ROW_BYTES * width * least + _SCORE_BYTES * (least + k))
        raise SignBridgeError(f"{memory_bytes} bytes are too few to search vectors of {width} entries: give {needed}.")
    return BlockSizes(queries, rows, together)


def nearest_approximate(
    queries: Float[Tensor, "queries width"],
    layers: Mapping[str, StoredVectors],
    k: int,
    probes: int = 16,
    word: Int[Tensor, " rows"] | None = None,
) -> Neighbours:
    """As `nearest`, but looking only into the `probes` cells of a layer whose centres are nearest to the query (faiss).

    Each layer's vectors go into as many cells as the root of their number, by k-means, in 16 bits an entry. Where the
    cells hold fewer than k: score -inf, row and layer -1. `recall` says what it misses. Raises `SignBridgeError`
    without faiss, and as `nearest`.
    """
    faiss = imported_faiss()
    _check(queries, layers)
    word = None if word is None else word.cpu()
    sought, there = _unit(queries).cpu().numpy(), sum(vectors.rows for vectors in layers.values())
    k = min(k, there if word is None else len(word.unique()))
    score, (row, layer) = torch.empty(len(sought), 0), torch.empty(2, len(sought), 0, dtype=torch.int64)
    for number, vectors in enumerate(layers.values()):
        if vectors.rows and len(sought):
            cells = _cells(faiss, vectors, probes)
            found = best_of_words(
                lambda count, cells=cells: tuple(map(torch.from_numpy, cells.search(sought, count))),
                min(k, vectors.rows), vectors.rows, word,
            )  # fmt: skip
            score, row = (torch.cat(both, dim=1) for both in zip((score, row), found, strict=True))
            layer = torch.cat([layer, torch.where(found[1] < 0, -1, number)], dim=1)
    order = torch.where(row < 0, -torch.inf, score).argsort(dim=1, descending=True, stable=True)
    best = Neighbours(*(values.gather(1, order) for values in (score, row, layer)))
    return Neighbours(*(values.to(queries.device) for values in _one_a_word(best, word, k)))


def best_of_words(search: Callable[[int], Best], k: int, most: int, word: Int[Tensor, " rows"] | None = None) -> Best:
    """The best row of each of the `k` best words; -inf and row -1 where there are fewer.

    `search(n)` gives the n best rows of each query, for n up to `most`: it is asked for more until there are words
    enough. `word` has the number of each row's word; without it every row counts.
    """
    wanted = min(k, most)
    while True:
        best = search(wanted)
        short = _new_words(best[1], word).sum(1) < k
        if wanted == most or not (short & (best[1][:, -1] >= 0)).any():
            return _one_a_word(best, word, k)
        wanted = min(4 * wanted, most)


def _one_a_word(best: Sequence[Tensor], word: Int[Tensor, " rows"] | None, k: int) -> tuple[Tensor, ...]:
    """Of score, row and what else is known of the best, best first, the first `k` columns that say a new word."""
    new = _new_words(best[1], word)
    front = (~new).byte().argsort(dim=1, stable=True)[:, :k]
    new, (score, *others) = new.gather(1, front), [values.gather(1, front) for values in best]
    return score.where(new, -torch.inf), *(values.where(new, -1) for values in others)


def _new_words(row: Int[Tensor, "queries best"], word: Int[Tensor, " rows"] | None) -> Bool[Tensor, "queries best"]:
    """Which rows say a word that no row before them says; -1 is no row."""
    if word is None:
        return row >= 0
    said, order = torch.where(row < 0, -1, word[row]).sort(dim=1, stable=True)
    new = torch.ones_like(said, dtype=torch.bool)
    new[:, 1:] = said[:, 1:] != said[:, :-1]
    return torch.empty_like(new).scatter_(1, order, new) & (row >= 0)


def imported_faiss() -> ModuleType:
    """The module that approximate search needs. Raises `SignBridgeError` if it is not installed."""
    try:
        import faiss
    except ImportError:
        raise SignBridgeError("Approximate search needs faiss: pip install 'signbridge[lenses]'") from None
    return faiss


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


def _best_keys(
    queries: Float[Tensor, "queries width"],
    stored: list[StoredVectors],
    k: int,
    sizes: BlockSizes,
    word: Int[Tensor, " rows"] | None,
) -> Int[Tensor, "queries k"]:
    """Every block goes through the same memory: new memory takes longer to get than vectors to expand (measured)."""
    device, first = queries.device, 0
    nothing = torch.full((len(queries), k), -torch.inf, device=device)
    best = _keys(nothing, torch.zeros_like(nothing, dtype=torch.int64))
    said = torch.full_like(best, -1)  # the words of the best
    units, products = queries.new_empty((sizes.rows, queries.shape[1])), queries.new_empty(len(queries) * sizes.rows)
    for vectors in stored if best.numel() else []:
        for start in range(0, vectors.rows, sizes.rows):
            count = min(sizes.rows, vectors.rows - start)
            vectors.block(start, start + count, device, out=units[:count])
            scores = torch.mm(queries, units[:count].T, out=products[: len(queries) * count].view(len(queries), count))
            place = torch.arange(first, first + count, device=device)
            improved = (scores.amax(1) > _score(best[:, -1])).nonzero().squeeze(1)
            of_block = None if word is None else word[start : start + count].unique(return_inverse=True)
            for some in improved.split(sizes.sorted):
                keys = _keys(scores[some], place)
                if of_block is None:
                    best[some] = torch.cat([best[some], keys], dim=1).topk(k).values
                else:
                    best[some], said[some] = _best_words(best[some], said[some], keys, *of_block)
            first += count
    return best


def _best_words(
    best: Int[Tensor, "queries k"],
    said: Int[Tensor, "queries k"],
    keys: Int[Tensor, "queries rows"],
    words: Int[Tensor, " words"],
    which: Int[Tensor, " rows"],
) -> tuple[Int[Tensor, "queries k"], Int[Tensor, "queries k"]]:
    """The best keys of k different words, and their words, of those so far and of a block: `which` of `words` each row.

    A word that is among the best already takes part once, with the better of its two keys.
    """
    lowest = torch.iinfo(keys.dtype).min
    of_block = keys.new_full((len(keys), len(words)), lowest)
    of_block.scatter_reduce_(1, which.expand_as(keys), keys, "amax")
    column = torch.searchsorted(words, said).clamp_(max=len(words) - 1)
    again = words[column] == said
    of_block.scatter_reduce_(1, column, best.where(again, lowest), "amax")
    both, place = torch.cat([best.where(~again, lowest), of_block], dim=1).topk(best.shape[1])
    new = place - best.shape[1]
    return both, torch.where(new < 0, said.gather(1, place.clamp(max=best.shape[1] - 1)), words[new.clamp(min=0)])


def _keys(scores: Float[Tensor, "queries rows"], place: Int[Tensor, "*queries rows"]) -> Int[Tensor, "queries rows"]:
    """Integers in the order of score, then of place, lowest first: the score's bits, then the places behind its own."""
    bits = (scores + 0.0).view(torch.int32)  # -0 and 0 are one score
    bits = bits ^ ((bits >> 31) & 0x7FFFFFFF)  # so that negative ones are in order, too
    return bits.long().mul_(_PLACES).add_(_PLACES - 1 - place)


def _score(keys: Int[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    bits = (keys >> 32).int()
    return (bits ^ ((bits >> 31) & 0x7FFFFFFF)).view(torch.float32)


def _cells(faiss: ModuleType, vectors: StoredVectors, probes: int):
    """A layer's cells (an inverted file). K-means sees 40 vectors a cell, faiss's own least, evenly from the layer."""
    cells = max(1, round(vectors.rows**0.5))
    index = faiss.index_factory(vectors.width, f"IVF{cells},SQfp16", faiss.METRIC_INNER_PRODUCT)
    index.nprobe = probes
    every = max(1, vectors.rows // (40 * cells))
    blocks = [(start, min(start + _ROWS[1], vectors.rows)) for start in range(0, vectors.rows, _ROWS[1])]
    seen = [vectors.block(start, stop, "cpu")[-start % every :: every] for start, stop in blocks]
    index.train(torch.cat(seen).numpy())
    for start, stop in blocks:
        index.add(vectors.block(start, stop, "cpu").numpy())
    return index
