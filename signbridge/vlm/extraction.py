"""Read a model's activations and answers for a list of images, shard by shard, so that a killed run goes on.

Every batch has one fixed shape: the last is filled up with copies of its first image, whose results are dropped. So
an image's vectors are the same bytes whatever ran beside it or before it; shards of batches of another size are
computed again.
"""

import logging
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import groupby
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from PIL import Image
from tqdm import tqdm
from transformers import BatchFeature

from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import (
    Shard,
    is_whole,
    made_with,
    shard_path,
    write_shard,
)
from signbridge.vlm.answering import read_and_answer
from signbridge.vlm.loading import LoadedModel
from signbridge.vlm.memory import first_batch_size
from signbridge.vlm.prompts import prompt_for

log = logging.getLogger(__name__)

IMAGES_PER_SHARD = 64  # a multiple of every batch size

T = TypeVar("T")
S = TypeVar("S")


class Reader:
    """Reads batches of images through one model with one prompt.

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
        """What the bytes of a shard depend on beside images, model and machine."""
        packed = any(type(module).__name__ == "Linear4bit" for module in self.loaded.model.modules())
        return f"batches of {self.batch_size}, {'packed' if packed else 'plain'} weights"

    def _first_batch_size(self) -> int:
        prompt = self.prepare([Image.new("RGB", (28, 28))])
        tokens = prompt["input_ids"].shape[1] + self.max_new_tokens
        model = self.loaded.model
        return first_batch_size(model, tokens)

    def prepare(self, images: list[Image.Image], prompts: list[str] | None = None) -> BatchFeature:
        """What the model takes in for `images`, each with the reader's prompt or its own of `prompts`, on the CPU.

        Without padding there is no attention mask.
        """
        texts = prompts or [self.prompt] * len(images)
        of_each = [[image] for image in images]  # which some families want: an image could go with any of the prompts
        inputs = self.loaded.processor(images=of_each, text=texts, return_tensors="pt", padding=True)
        if inputs["attention_mask"].all():
            del inputs["attention_mask"]
        return inputs

    def read(self, images: list, on_images: Callable[[int], None] = lambda count: None) -> Shard:
        """The vectors and answers of `images` (or whatever a subclass reads), in order.

        `on_images` is told how many are done, batch by batch.
        """
        while True:
            done = []
            try:
                for shard in self._read_batches(images):
                    done.append(shard)
                    on_images(len(shard.answers))
                return _joined(done)
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
                on_images(-sum(len(shard.answers) for shard in done))
            self._halve_batch()

    def retrying(self, work: Callable[[], T]) -> T:
        """What `work` gives, with smaller batches each time that memory runs out in it."""
        while True:
            try:
                return work()
            except RuntimeError as error:
                if not _is_out_of_memory(error):
                    raise
            self._halve_batch()

    def _halve_batch(self) -> None:
        if self.batch_size == 1:
            raise SignBridgeError(
                f"{self.loaded.device}: out of memory with one image at a time. "
                "Free some, or choose a smaller model or quantization: nf4."
            )
        self.batch_size //= 2
        if self.loaded.device.type == "cuda":
            torch.cuda.empty_cache()
        log.warning("out of memory: going on with batches of %d", self.batch_size)

    def _batches(self, images: list[Image.Image]) -> list[list[Image.Image]]:
        return in_batches(images, self.batch_size)

    def _read_batches(self, images: list) -> Iterator[Shard]:
        batches = self._batches(images)
        return self._side_by_side(batches) if self.loaded.device.type == "cpu" else self._one_by_one(batches)

    def _side_by_side(self, batches: list) -> Iterator[Shard]:
        """On processor cores: as many batches at once as there are cores.

        Threads that share one product of an answer's step wait for each other longer than they compute.
        """
        threads = torch.get_num_threads()
        at_once = min(threads, max(1, IMAGES_PER_SHARD // self.batch_size))  # for every shard the same
        try:
            with ThreadPoolExecutor(at_once, initializer=torch.set_num_threads, initargs=(threads // at_once,)) as pool:
                yield from pool.map(
                    lambda batch: self._read_batch(self._prepare_filled(batch), keep=len(batch)), batches
                )
        finally:
            torch.set_num_threads(threads)

    def _one_by_one(self, batches: list) -> Iterator[Shard]:
        """On an accelerator: the next batch is prepared while it reads this one."""
        with ThreadPoolExecutor(1) as pool:
            for batch, inputs in zip(batches, _one_ahead(pool, self._prepare_filled, batches), strict=True):
                yield self._read_batch(inputs, keep=len(batch))

    def _prepare_filled(self, batch: list[Image.Image]) -> BatchFeature:
        return self.prepare(batch + batch[:1] * (self.batch_size - len(batch)))

    def _read_batch(self, inputs: BatchFeature, keep: int) -> Shard:
        model, processor, parts, end_tokens, device = self.loaded
        inputs = inputs.to(device, dtype=model.dtype)
        answered = read_and_answer(model, parts, inputs, self.max_new_tokens, end_tokens)
        dtype = stored_dtype(model.dtype)
        vectors = {
            f"{site}.{position}": vector[:keep].to(dtype).cpu().numpy()
            for site, positions in answered.vectors.items()
            for position, vector in positions.items()
        }
        answers = processor.batch_decode(answered.answers[:keep], skip_special_tokens=True)
        return Shard(vectors, [answer.strip() for answer in answers], self.made_with)


def in_batches(items: list[T], most: int) -> list[list[T]]:
    """The items in order, `most` together."""
    return [items[start : start + most] for start in range(0, len(items), most)]


def batches_of_one_length(items: list[T], lengths: Sequence[int], most: int) -> list[list[T]]:
    """The items in order, at most `most` together and only such as follow each other with the same of `lengths`."""
    runs = groupby(zip(lengths, items, strict=True), key=lambda pair: pair[0])
    return [batch for _, run in runs for batch in in_batches([item for _, item in run], most)]


def _one_ahead(pool: ThreadPoolExecutor, work: Callable[[T], S], items: list[T]) -> Iterator[S]:
    """`work` of each item, begun while the one before is being used."""
    waiting = pool.submit(work, items[0])
    for item in items[1:]:
        done = waiting.result()
        waiting = pool.submit(work, item)
        yield done
    yield waiting.result()


def _is_out_of_memory(error: RuntimeError) -> bool:
    return isinstance(error, torch.OutOfMemoryError) or "can't allocate memory" in str(error)


def stored_dtype(dtype: torch.dtype) -> torch.dtype:
    """Float16 for a model that computes in it, else float32 (which also holds bfloat16's range)."""
    return torch.float16 if dtype == torch.float16 else torch.float32


def read_in_shards(
    reader: Reader, images: list, folder: Path, images_per_shard: int, title: str = "extract", unit: str = "image"
) -> list[Path]:
    """Read `images` (or whatever the reader reads) into shards below `folder`, in order, and return their paths.

    `title` heads the progress bar, which counts each `unit`. Shards that lie there whole, and were made as `reader`
    makes them, are not computed again.
    """
    slices = in_batches(images, images_per_shard)
    todo = {shard_path(folder, index): part for index, part in enumerate(slices)}
    there = sum(_is_done(path, reader) for path in todo)
    log.info("%d of %d shards already there", there, len(todo))
    log.info("reading on %s in batches of %d", reader.loaded.device, reader.batch_size)
    with tqdm(total=len(images), unit=unit, desc=title) as progress:
        batches = None
        while batches != reader.batch_size:  # once, unless memory runs out on the way
            batches = reader.batch_size
            progress.reset()
            progress.initial = 0
            for path, part in todo.items():
                if _is_done(path, reader):
                    _skip(progress, len(part))
                else:
                    write_shard(path, reader.read(part, progress.update))
    return list(todo)


def _skip(progress: tqdm, images: int) -> None:
    """Move the bar on over what was there already: done, but no part of the speed or the time left."""
    progress.n += images
    progress.initial += images
    progress.last_print_n += images
    progress.refresh()


def _is_done(path: Path, reader: Reader) -> bool:
    return is_whole(path) and made_with(path) == reader.made_with


def _joined(shards: list[Shard]) -> Shard:
    names = shards[0].vectors
    vectors = {name: np.concatenate([shard.vectors[name] for shard in shards]) for name in names}
    return Shard(vectors, [answer for shard in shards for answer in shard.answers], shards[0].made_with)
