"""Read a model's activations and answers for a list of images, batch by batch.

Every batch of a run has one fixed shape: the last is filled up with copies of its first image, whose results are
dropped. So an image's vectors are the same bytes whatever ran beside it or before it. `shard_runs.py` keeps them.
"""

from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple, TypeVar

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature

from signbridge.core.finite import all_finite, check_finite, way_out
from signbridge.core.shards import Shard
from signbridge.vlm.answering import MeansOf, over_images, read_and_answer
from signbridge.vlm.families.parts import completed
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.memory import first_batch_size, halving
from signbridge.vlm.nf4 import packed_layers
from signbridge.vlm.prompts import prompt_for
from signbridge.vlm.store import Store, stored_dtype
from signbridge.vlm.work_list import in_batches

FREE_SOME = "Free some, or choose a smaller model or quantization: nf4."
EVERYTHING = Store()
IMAGES_PER_SHARD = 64  # a multiple of every batch size

T = TypeVar("T")
S = TypeVar("S")


class Work(NamedTuple):
    """What is done with items, batch by batch: plain functions, which keep nothing from one batch to the next."""

    read: Callable[[Any, int], Shard]  # of what `prepare` made: the vectors and answers of so many items
    prepare: Callable[[list], Any]  # of one batch, on the CPU, maybe while another is read
    batches: Callable[[list, int], list[list]]  # the items in order, cut for a batch size
    fills: bool = False  # whether a batch is filled up before it is prepared; every array then has a row an item


class Reader:
    """One model with one prompt, and how many items it reads at once.

    `batch_size` is halved whenever memory runs out, and stays there.
    """

    def __init__(self, loaded: LoadedModel, prompt: str, max_new_tokens: int, batch_size: int | None = None):
        self.loaded = loaded
        self.prompt = prompt
        self.max_new_tokens = max_new_tokens
        self.batch_size = batch_size or self._first_batch_size()

    def asking(self, prompt: str, key: str, max_new_tokens: int) -> "Reader":
        """Of the same model, with another prompt, which the params have at `key`; batches are as large.

        `<image>` stands for the model's own image token. Raises `SignBridgeError` if the prompt does not hold it once.
        """
        own = prompt_for(prompt, key, self.loaded.processor.image_token)
        return Reader(self.loaded, own, max_new_tokens, self.batch_size)

    @property
    def made_with(self) -> str:
        """What the bytes of a shard depend on beside items, model and machine."""
        return self.made_with_batches_of(self.batch_size)

    def made_with_batches_of(self, items: int) -> str:
        """The same, of batches of so many items."""
        packed = packed_layers(self.loaded.model)
        return f"batches of {items}, {'packed' if packed else 'plain'} weights"

    def _first_batch_size(self) -> int:
        prompt = self.prepare([Image.new("RGB", (28, 28))])
        return first_batch_size(self.loaded.model, prompt["input_ids"].shape[1], self.max_new_tokens)

    def prepare(self, images: list[Image.Image], prompts: list[str] | None = None) -> BatchFeature:
        """What the model takes in for `images`, each with the reader's prompt or its own of `prompts`, on the CPU.

        Without padding there is no attention mask.
        """
        texts = prompts or [self.prompt] * len(images)
        of_each = [[image] for image in images]  # which some families want: an image could go with any of the prompts
        inputs = self.loaded.processor(images=of_each, text=texts, return_tensors="pt", padding=True)
        if inputs["attention_mask"].all():
            del inputs["attention_mask"]
        return BatchFeature(completed(self.loaded.parts, inputs))

    def filled(self, batch: list[T], to: int | None = None) -> list[T]:
        """The batch, filled up `to` a fixed size (that of the reader) with copies of its first item."""
        return batch + batch[:1] * ((to or self.batch_size) - len(batch))

    def to_device(self, inputs: BatchFeature) -> BatchFeature:
        """The inputs where the model is, in its dtype."""
        return inputs.to(self.loaded.device, dtype=self.loaded.model.dtype)

    def read(
        self,
        items: list,
        work: Work | None = None,
        on_items: Callable[[int], None] = lambda count: None,
        numbers: Sequence[int] | None = None,
        unit: str = "image",
        batch_size: int | None = None,
    ) -> Shard:
        """What `work` makes of the items, in order; of images, every site and the answers unless it is said.

        `on_items` is told how many are done, batch by batch. Batches hold `batch_size` items, or as many as the reader
        takes at once; where memory runs out, fewer. Raises `SignBridgeError` once a batch has numbers that are not
        finite, naming the `unit` by its place in the run: of each item one of `numbers`, from 0 on without them.
        """
        numbers = range(len(items)) if numbers is None else numbers
        work = work or sites_and_answers(self)
        done: list[Shard] = []

        def read_all() -> Shard:
            on_items(-sum(len(shard.answers) for shard in done))
            done.clear()
            at_once = min(batch_size or self.batch_size, self.batch_size)
            for shard in self._read_batches(items, work, at_once):
                self._check_finite(shard, numbers[sum(len(before.answers) for before in done) :], unit)
                done.append(shard._replace(made_with=self.made_with_batches_of(at_once)))
                on_items(len(shard.answers))
            return _joined(done)

        return self.retrying(read_all)

    def retrying(self, work: Callable[[], T]) -> T:
        """What `work` gives, with smaller batches each time that memory runs out in it."""

        def of_size(batch_size: int) -> T:
            self.batch_size = batch_size
            return work()

        found, _ = halving(of_size, self.batch_size, self.loaded.device, "one image at a time", FREE_SOME)
        return found

    def _check_finite(self, shard: Shard, numbers: Sequence[int], unit: str) -> None:
        remedy = way_out(str(self.loaded.model.dtype).removeprefix("torch."))
        for name, array in shard.vectors.items():
            if all_finite(array):
                continue
            if len(array) == len(shard.answers):
                rows = [f"{row} (counted from 0)" for row in numbers[: len(array)]]
                check_finite(array, name, rows, remedy, f"{unit} number")
            check_finite(array, name, None, remedy, f"row of {unit} {numbers[0]} and those after it, number")

    def _read_batches(self, items: list, work: Work, at_once: int) -> Iterator[Shard]:
        batches = work.batches(items, at_once)
        if work.fills:
            prepare = work.prepare
            work = work._replace(prepare=lambda batch: prepare(self.filled(batch, at_once)))
        side_by_side = self.loaded.device.type == "cpu"
        return self._side_by_side(batches, work) if side_by_side else self._one_by_one(batches, work)

    def _side_by_side(self, batches: list, work: Work) -> Iterator[Shard]:
        """On processor cores: as many batches at once as there are cores.

        Threads that share one product of an answer's step wait for each other longer than they compute.
        """
        threads = torch.get_num_threads()
        at_once = min(threads, max(1, IMAGES_PER_SHARD // self.batch_size))  # for every shard the same
        try:
            with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
                yield from pool.map(lambda batch: work.read(work.prepare(batch), len(batch)), batches)
        finally:
            torch.set_num_threads(threads)

    def _one_by_one(self, batches: list, work: Work) -> Iterator[Shard]:
        """On an accelerator: the next batch is prepared while it reads this one."""
        with ThreadPoolExecutor(1) as pool:
            for batch, inputs in zip(batches, _one_ahead(pool, work.prepare, batches), strict=True):
                yield work.read(inputs, len(batch))


def sites_and_answers(reader: Reader, store: Store = EVERYTHING, means_of: MeansOf = over_images) -> Work:
    """Of images: every site at every position that is stored, by `site.position`, images x width, and the answers.

    `means_of` names other means than those over image tokens, for work whose batches are prepared in another way.
    """

    def read(inputs: BatchFeature, keep: int) -> Shard:
        model, processor, parts, end_tokens, _ = reader.loaded
        given = reader.to_device(inputs)
        answered = read_and_answer(model, parts, given, reader.max_new_tokens, end_tokens, means_of)
        dtype = stored_dtype(model.dtype)
        vectors = {
            f"{site}.{position}": store.stored(vector[:keep], dtype)
            for site, positions in answered.vectors.items()
            for position, vector in positions.items()
            if store.keeps(site, position)
        }
        answers = processor.batch_decode(answered.answers[:keep], skip_special_tokens=True)
        return Shard(vectors, [answer.strip() for answer in answers])

    return Work(read, reader.prepare, in_batches, fills=True)


def _one_ahead(pool: ThreadPoolExecutor, work: Callable[[T], S], items: list[T]) -> Iterator[S]:
    """`work` of each item, begun while the one before is being used."""
    waiting = pool.submit(work, items[0])
    for item in items[1:]:
        done = waiting.result()
        waiting = pool.submit(work, item)
        yield done
    yield waiting.result()


def _joined(shards: list[Shard]) -> Shard:
    names = shards[0].vectors
    vectors = {name: np.concatenate([shard.vectors[name] for shard in shards]) for name in names}
    return Shard(vectors, [answer for shard in shards for answer in shard.answers], shards[0].made_with)
