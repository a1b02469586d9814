"""A process without the tests' type checks, whose wrappers cannot be sent: work goes from one model to another.

    python -m tests.vlm.shipped_works FOLDER

Prints a line a kind of work: bytes sent, bytes of the weights, and whether what both models make is the same.
"""

import sys
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from signbridge.causal.patching import Swap, patching_work
from signbridge.core.shards import Shard
from signbridge.lenses.patches import patch_tokens
from signbridge.vlm.extraction import Reader, Work, sites_and_answers
from signbridge.vlm.letter_scoring import letter_scores
from signbridge.vlm.loading import LoadedModel, load
from signbridge.vlm.shard_runs import ShardRun, read_in_shards, read_shard
from signbridge.vlm.shipping import packed, unpacked
from tests.vlm.conftest import CPU, PROMPT, tiny_random

LETTERS = "USER: <image>\nWhich letter? Choose A or B.\nASSISTANT:"


def main() -> None:
    """Send each kind of work."""
    folder = Path(sys.argv[1])
    here, there = (load(tiny_random(), folder / "models", CPU) for _ in range(2))
    assert here.model is not there.model
    reader = Reader(here, PROMPT, 2, 2)
    weights = sum(weight.nbytes for weight in here.model.parameters())
    pixels = np.random.default_rng(0).integers(0, 256, (7, 28, 28, 3), dtype=np.uint8)
    images = [Image.fromarray(pixels[row]) for row in (0, 1, 2, 3, 4, 5, 0, 6, 2)]
    pair = [Swap(images[0], images[1], PROMPT, (7, 9))]
    works = {
        "sites": (sites_and_answers(reader), images[:2]),
        "letters": (
            letter_scores(reader.asking(LETTERS.replace("{letters}", "A, B"), "prompts", 1), ["A", "B"]),
            images[:2],
        ),
        "patches": (patch_tokens(reader, ["vision", "layer_02"], 9), images[:2]),
        "patching": (patching_work(reader), pair),
    }
    for name, (work, items) in works.items():
        sent = packed((work, items), here)
        print(name, len(sent), weights, is_same(made(work, items), made(*unpacked(sent, there))))
    whole, shared = (
        {path.name: path.read_bytes() for path in read_in_shards(reader, images, folder / name, 2, make=make)}
        for name, make in (("whole", None), ("shared", partial(elsewhere, there)))
    )
    print("shards", len(whole), len(shared), whole == shared)


def elsewhere(there: LoadedModel, by: Reader, run: ShardRun, numbers: list[int], items_of):
    """The part of another process, played here, its shards in another order."""
    for number in sorted(numbers, key=lambda number: (len(run.needs(number)), -number)):
        sent = packed((by, run, items_of(number)), by.loaded)
        reader, same_run, items = unpacked(sent, there)
        assert reader.loaded.model is there.model
        assert read_shard(reader, same_run, number, items)
        yield number


def made(work: Work, items: list) -> Shard:
    """Of one batch."""
    [batch] = work.batches(items, 8)
    return work.read(work.prepare(batch), len(batch))


def is_same(one: Shard, other: Shard) -> bool:
    """To the bit."""
    return one.answers == other.answers and all(
        np.array_equal(one.vectors[name], other.vectors[name]) for name in {*one.vectors, *other.vectors}
    )


if __name__ == "__main__":
    main()
