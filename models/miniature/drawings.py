"""Which hands does the miniature learn from? Those of `rendered` under seeds of their own, as no study draws them."""

import hashlib
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Int64, UInt8
from joblib import Parallel, delayed
from PIL import Image
from tqdm import tqdm

from signbridge.core.tables import whole_file
from signbridge.rendered.dataset import copy_of, frame_of, photo_in_numbers
from signbridge.rendered.hand_photo import develop
from signbridge.rendered.letter_poses import LETTERS

SIDE = 56  # pixels, what the tower takes in
SIZES = (28, 56)  # pixels, of every other copy: Sign Language MNIST's, and the tower's own


class Drawings(NamedTuple):
    """Photos of hands, each in some altered copies."""

    images: UInt8[np.ndarray, "photo copy 56 56"]
    letters: Int64[np.ndarray, "photo"]  # index into LETTERS

    def pick(self, rng: np.random.Generator, count: int) -> tuple[np.ndarray, list[str]]:
        """`count` images at random, and their letters."""
        photos = rng.integers(len(self.images), size=count)
        copies = rng.integers(self.images.shape[1], size=count)
        return self.images[photos, copies], [LETTERS[index] for index in self.letters[photos]]


def draw(seed: int, photos: int, copies: int, scratch: Path, workers: int = -1) -> Drawings:
    """`photos` photos a letter of `rendered` under `seed`, each in `copies` copies, as the tower takes them in.

    Letters that lie below `scratch` already are not drawn again. `workers` is joblib's `n_jobs`: -1 takes every core.
    """
    folder = scratch / f"hands-{seed}-{photos}-{copies}-{code()}"
    folder.mkdir(parents=True, exist_ok=True)
    for letter in tqdm(LETTERS, desc=f"drawing {photos} photos a letter", unit="letter", disable=photos < 50):
        path = folder / f"{letter}.npy"
        if not path.exists():
            of_letter = Parallel(workers)(delayed(_copies)(seed, letter, n, copies) for n in range(photos))
            _write(path, np.stack(of_letter))
    images = np.concatenate([np.load(folder / f"{letter}.npy") for letter in LETTERS])
    return Drawings(images, np.repeat(np.arange(len(LETTERS)), photos))


def _copies(seed: int, letter: str, number: int, copies: int) -> UInt8[np.ndarray, "copy 56 56"]:
    photo = develop(photo_in_numbers(seed, letter, number), frame_of(SIDE))  # the frame of both sizes
    pictures = []
    for copy in range(copies):
        pixels = copy_of(photo, SIZES[copy % len(SIZES)], seed, letter, number, copy)
        pictures.append(np.asarray(Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BICUBIC)))
    return np.stack(pictures)


def _write(path: Path, array: np.ndarray) -> None:
    with whole_file(path) as unfinished, unfinished.open("wb") as file:
        np.save(file, array)


def code() -> str:
    """A digest of the code that draws, so that hands drawn by another are not taken for these."""
    names = sorted(name for name in sys.modules if name.startswith("signbridge.datasets."))
    files = [*(sys.modules[name].__file__ for name in names), __file__]
    return hashlib.sha256(b"".join(Path(file).read_bytes() for file in files)).hexdigest()[:12]
