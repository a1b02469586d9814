"""What the shipped miniature says, in a word and in a sentence.

    python -m benchmarks.miniature [--archive sign-language-mnist.zip] [--keep]

On the hands that the default study draws (`datasets.rendered`), none of which it was trained on; with `--archive`, a
copy of Sign Language MNIST in Kaggle's layout, the same on real signs as well: for orientation, it has never seen one.

- Answers and sentences are asked for `COPIES` copies of each photo, all letters. A sentence is right if it is, word for
  word, the one that `models/miniature/words.yaml` gives for the letter. Intervals are over photos.
What its layers know beyond its words is what the study itself measures: `dvc repro`, and then metrics/probe.json and
metrics/answers.json.

`--keep` appends the figures to benchmarks/results/miniature.md.
"""

import argparse
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from PIL import Image

from benchmarks.machine import describe, keep
from models.miniature.lessons import SENTENCE_PROMPT, hands
from signbridge.core import params
from signbridge.core.command_line import run
from signbridge.datasets.images import LabelledImage, encode_png, grey_pixels
from signbridge.datasets.near_duplicates import PhotosParams, find_photos
from signbridge.datasets.sign_mnist import read_archive
from signbridge.rendered.dataset import RenderedParams, render
from signbridge.statistics.intervals import StatisticsParams, group_bootstrap
from signbridge.vlm.catalog import FolderModel
from signbridge.vlm.extraction import Reader
from signbridge.vlm.loading import LoadedModel, load

COPIES = 3  # of each photo, asked for an answer and a sentence
MAX_SENTENCE = 60  # new tokens


class Pictures(NamedTuple):
    """Images with their letter and photo, one entry an image."""

    images: list[Image.Image]
    letters: np.ndarray
    photos: np.ndarray

    def rows(self, rows: list[int]) -> "Pictures":
        """These rows only."""
        images = [self.images[row] for row in rows]
        return Pictures(images, self.letters[rows], self.photos[rows])


def main() -> None:
    """Print the figures of the drawn hands and, with `--archive`, of real signs."""
    arguments = _arguments()
    entry = params.section("miniature", FolderModel, params.MODELS)
    loaded = load(entry, Path(".scratch/models"), torch.device("cpu"))
    dataset = params.section("rendered", RenderedParams, params.DATASETS)
    sets = {"drawn hands, none of them trained on": lambda: render(dataset)}
    if arguments.archive:
        sets["real signs, for orientation"] = lambda: read_archive(arguments.archive, None).images
    for name, labelled in sets.items():
        pictures = _pictures(labelled())
        lines = [describe(), f"{name}:", *_said(loaded, entry, pictures)]
        print("\n".join(lines), flush=True)
        if arguments.keep:
            keep("miniature", lines)


def _pictures(labelled: list[LabelledImage]) -> Pictures:
    pixels = np.stack([grey_pixels(encode_png(image.pixels)) for image in labelled])
    letters = np.array([image.label for image in labelled])
    ids = np.array([image.image_id for image in labelled])
    photos = ids[
        find_photos(pixels, letters, params.section("photos", PhotosParams).threshold).of_image
    ]  # as in the study
    images = [Image.fromarray(image.pixels).convert("RGB") for image in labelled]
    return Pictures(images, letters, photos)


def _said(loaded: LoadedModel, entry: FolderModel, pictures: Pictures) -> list[str]:
    """How often the one word and the sentence are right, and a letter is named."""
    nth_copy = pd.Series(pictures.photos).groupby(pictures.photos).cumcount()
    asked = pictures.rows(np.flatnonzero(nth_copy < COPIES).tolist())
    said_words = Reader(loaded, entry.prompt, entry.max_new_tokens).read(asked.images).answers
    said_sentences = Reader(loaded, SENTENCE_PROMPT, MAX_SENTENCE).read(asked.images).answers
    right_word = np.array([said == hands()[of].word for said, of in zip(said_words, asked.letters, strict=True)])
    right_sentence = np.array(
        [said == hands()[of].sentence for said, of in zip(said_sentences, asked.letters, strict=True)]
    )
    lettered = sum(bool(re.search(r"\b[A-Za-z]\b", said)) for said in said_words)
    strange = sum(said not in {hand.word for hand in hands().values()} for said in said_words)
    worst = pd.Series(right_sentence).groupby(asked.letters).mean().nsmallest(5)
    fewest = ", ".join(f"{letter} {share:.0%}" for letter, share in worst.items())
    word, sentence = (_share(right, asked.photos) for right in (right_word, right_sentence))
    return [
        f"  asked: {len(asked.images)} images of {len(set(asked.photos))} photos and {len(set(asked.letters))} letters",
        f"  one-word answer right: {word} (to show: at least 95 %)",
        f"  answers that hold a letter: {lettered} (to show: none); answers that are none of its words: {strange}",
        f"  sentence right, word for word: {sentence} (to show: at least 80 %); fewest for {fewest}",
    ]


def _share(right: np.ndarray, photos: np.ndarray) -> str:
    low, high = _interval(right[:, None], photos)
    return f"{right.mean():.1%} ({low[0]:.1%} to {high[0]:.1%})"


def _interval(values: np.ndarray, photos: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    by_photo = pd.DataFrame(values.astype(float)).assign(images=1.0).groupby(photos).sum()
    settings = params.section("statistics", StatisticsParams)
    generator = np.random.default_rng(params.seed())
    images = by_photo.pop("images").to_numpy()
    return group_bootstrap(by_photo.to_numpy(), images, settings.confidence, settings.resamples, generator)


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--archive", type=Path, help="Sign Language MNIST in Kaggle's layout, a zip or a folder")
    parser.add_argument("--keep", action="store_true", help="append to benchmarks/results/miniature.md")
    return parser.parse_args()


if __name__ == "__main__":
    run(main)
