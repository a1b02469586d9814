"""What autoencoders read: images under prompts and phrases of the corpus, and which of them training left unread.

Training deals passages in a random order that depends on its seed alone, so the number it has dealt says which it read.
A passage is an image under one prompt, or a phrase; an image is unread if training read none of its passages. Another
copy of its photo may have been read: there are too few photos to keep some of them from training.
"""

import hashlib
import importlib.metadata
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Generic, NamedTuple, TypeVar

import numpy as np
import pandas as pd
from jaxtyping import Bool
from pydantic import Field
from transformers import PreTrainedTokenizerBase

from signbridge.core import params, tables
from signbridge.core.errors import SignBridgeError, refusal
from signbridge.core.params import Section
from signbridge.core.tables import file_sha256
from signbridge.datasets.hands import read_hands, words_by_image
from signbridge.datasets.sampling import looked_at
from signbridge.sae.settings import AnyPreset, SaeParams, prompts_of_images

T = TypeVar("T")
TRAINING, PASSAGES = "training.parquet", "passages.parquet"  # beside the autoencoders: the log, and what was read
DECKS = {"images": 0, "texts": 1}  # the last number of a deck's seed
_FEWEST = 2  # unread ones; with fewer, those that were read are used too


class ReadParams(Section):
    """The section `read`."""

    images: int = Field(ge=2)  # of the sample, of different photos, at most
    phrases: int = Field(ge=2)  # of the corpus, at most


class TrainingSet(NamedTuple):
    """What autoencoders of a study are trained on, and how."""

    settings: SaeParams
    preset: AnyPreset
    images: pd.DataFrame  # image_id, label: the whole dataset
    table: Path  # that holds them, with the column image (PNG)
    hands: pd.DataFrame  # what is known of the hand in each image
    corpus: list[str]
    seed: int
    made_by: dict[str, Any]  # all of it, for the metadata of what is made


def training_set(
    images: Path, hands: Path, settings: SaeParams, preset: AnyPreset, corpus: list[str], seed: int
) -> TrainingSet:
    """The training set of the tables `images` and `hands`. Raises `SignBridgeError` if one of them is missing."""
    there = tables.read(images, ["image_id", "label"])
    known = read_hands(hands, there["image_id"])
    made_by = {
        "sae": settings.model_dump(), "preset": preset.model_dump(exclude_none=True), "seed": seed,
        "images_sha256": file_sha256(images),
        "hands_sha256": file_sha256(hands),
        "corpus_sha256": hashlib.sha256("\n".join(corpus).encode()).hexdigest(),
        "sae_lens": importlib.metadata.version("sae-lens"),
    }  # fmt: skip
    return TrainingSet(settings, preset, there, images, known, corpus, seed, made_by)


class Passage(NamedTuple):
    """A text, with the image that its image token stands for."""

    text: str
    png: bytes | None = None


class Pictured(Sequence[Passage]):
    """Each image of a table under each of its prompts, in order; images lie in a file and are read one by one.

    A table can only be read a row group at a time, and passages are dealt at random. The file is nameless and ends with
    this object.
    """

    def __init__(self, table: Path, prompts: Sequence[Sequence[str]], scratch: Path):
        """`prompts` are those of each row of the `table`; `scratch` is the folder of the file.

        Raises `SignBridgeError` if it cannot be written.
        """
        self._passages = [(row, text) for row, texts in enumerate(prompts) for text in texts]
        ends = [0]
        try:
            scratch.mkdir(parents=True, exist_ok=True)
            self._file = tempfile.TemporaryFile(dir=scratch)  # noqa: SIM115 (open as long as this object is)
            for batch in tables.batches(table, ["image"]):
                for png in batch["image"]:
                    ends.append(ends[-1] + self._file.write(png.as_buffer()))
            self._file.flush()
        except OSError as error:
            raise refusal(error, scratch) or error from None
        self._ends = ends

    def __len__(self) -> int:
        """How many passages there are."""
        return len(self._passages)

    def __getitem__(self, place: int) -> Passage:
        """That passage, with its image."""
        row, text = self._passages[place]
        start, end = self._ends[row : row + 2]
        self._file.seek(start)
        return Passage(text, self._file.read(end - start))


class Deck(Generic[T]):
    """Items dealt endlessly in a random order, each once before any comes again."""

    def __init__(self, items: Sequence[T], seed: Sequence[int]):
        """`items` must not be empty."""
        self._items, self._seed = items, list(seed)
        self._round, self._order = -1, np.empty(0, int)

    def deal(self, start: int, count: int) -> list[T]:
        """Those that are dealt after `start` others."""
        return [self._items[self._row(place)] for place in range(start, start + count)]

    def _row(self, place: int) -> int:
        turn, within = divmod(place, len(self._items))
        if turn != self._round:
            self._round = turn
            self._order = np.random.default_rng([*self._seed, turn]).permutation(len(self._items))
        return int(self._order[within])


def prompts_by_image(
    images: pd.DataFrame, hands: pd.DataFrame, prompts: Sequence[str], own: str, image_token: str
) -> list[list[str]]:
    """The prompts under which each of `images` (image_id, label) can be read; `hands` is `data/hands.parquet`.

    Raises `SignBridgeError` if no image can be read under any prompt.
    """
    words = words_by_image(hands)
    of_images = [words.get(image_id) for image_id in images["image_id"]]
    found = prompts_of_images(prompts, own, image_token, images["label"].tolist(), of_images)
    if not any(found):
        raise SignBridgeError(
            f"{params.SAE}: sae.prompts: all of them have {{words}}, which are not known of any image here. Add own."
        )
    return found


def unread(passages: Sequence[int], read: int, seed: int, kind: str) -> Bool[np.ndarray, "items"]:
    """Which items have no passage among the first `read` that training dealt.

    `passages` is how many each item has, in order; `kind` is `images` or `texts`.
    """
    owner = np.repeat(np.arange(len(passages)), passages).tolist()
    dealt = Deck(owner, [seed, DECKS[kind]]).deal(0, min(read, len(owner)))
    unseen = np.ones(len(passages), bool)
    unseen[dealt] = False
    return unseen


def unread_table(
    image_ids: Sequence[str], prompts: Sequence[Sequence[str]], corpus: Sequence[str], read: dict[str, Any], seed: int
) -> pd.DataFrame:
    """A row an image and phrase, in order: kind (`images` or `texts`), item (its id or text), and whether it is unread.

    `prompts` are those of each image, and `read` how many passages of either kind training dealt.
    """
    items = {"images": (image_ids, [len(of_image) for of_image in prompts]), "texts": (corpus, [1] * len(corpus))}
    return pd.concat(
        pd.DataFrame({"kind": kind, "item": list(names), "unread": unread(passages, read[kind], seed, kind)})
        for kind, (names, passages) in items.items()
        if len(names)
    ).reset_index(drop=True)


def judged_items(
    passages: pd.DataFrame, sample: pd.DataFrame, settings: ReadParams, seed: int
) -> tuple[pd.DataFrame, list[str]]:
    """The rows of `sample` and the phrases that autoencoders are evaluated on: unread ones, by `unread_table`."""
    texts = passages[passages["kind"] == "texts"]
    images = judged_images(sample, _unread_items(passages, "images"), settings.images, seed)
    is_unread, generator = texts["unread"].to_numpy(), np.random.default_rng(seed)
    return images, judged_phrases(texts["item"].tolist(), is_unread, settings.phrases, generator)


def counts(passages: pd.DataFrame, image_ids: Sequence[str], phrases: Sequence[str]) -> dict[str, int]:
    """How many images and phrases autoencoders are evaluated on, and how many of them training read."""
    found = {}
    for name, kind, items in (("images", "images", image_ids), ("phrases", "texts", phrases)):
        left = _unread_items(passages, kind)
        found |= {name: len(items), f"{name}_in_training": sum(item not in left for item in items)}
    return found


def _unread_items(passages: pd.DataFrame, kind: str) -> set[str]:
    return set(passages.loc[(passages["kind"] == kind) & passages["unread"], "item"])


def judged_images(sample: pd.DataFrame, unread_ids: set[str], most: int, seed: int) -> pd.DataFrame:
    """Up to `most` unread rows of the sample, each of another photo. If fewer than two are unread: any rows."""
    held_out = looked_at(sample[sample["image_id"].isin(unread_ids)], most, seed)
    return held_out if len(held_out) >= _FEWEST else looked_at(sample, most, seed)


def judged_phrases(
    corpus: Sequence[str], is_unread: Bool[np.ndarray, "phrases"], most: int, generator: np.random.Generator
) -> list[str]:
    """Up to `most` unread phrases, drawn, in the order of the corpus. If fewer than two are unread: any phrases."""
    unread_phrases = [phrase for phrase, one in zip(corpus, is_unread, strict=True) if one]
    return drawn_phrases(unread_phrases if len(unread_phrases) >= _FEWEST else corpus, most, generator)


def drawn_phrases(phrases: Sequence[str], most: int, generator: np.random.Generator) -> list[str]:
    """Up to `most` of them, drawn, in their order."""
    return [phrases[place] for place in np.sort(generator.permutation(len(phrases))[:most])]


def with_successors(phrases: Sequence[str], tokenizer: PreTrainedTokenizerBase, corpus: str) -> dict[str, list[int]]:
    """The token ids of the phrases that have two tokens or more, the shorter ones first: a token follows another.

    Raises `SignBridgeError` naming the `corpus` if there are too few.
    """
    token_ids = dict(zip(phrases, tokenizer(list(phrases))["input_ids"], strict=True))
    said = sorted((text for text in phrases if len(token_ids[text]) > 1), key=lambda text: len(token_ids[text]))
    if len(said) < _FEWEST:
        raise SignBridgeError(
            f"{corpus}: {len(said)} phrases of two tokens or more; autoencoders are evaluated on two at least. "
            "Add some, or templates that make phrases of words."
        )
    return {text: token_ids[text] for text in said}
