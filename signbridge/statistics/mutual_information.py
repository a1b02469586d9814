"""How many bits of the letter the answer holds: mutual information, with the bias of a small sample taken off.

The plug-in estimate, counts for probabilities, is never negative and far too large where answers are many and images
few: if every answer differs, it is the whole entropy of the letter, and says nothing (Panzeri and Treves 1996,
"Analytical estimates of limited sampling biases in different information measures"). What it would be if answer and
letter had nothing to do with each other is found by shuffling and taken off, as the adjusted mutual information does
(Vinh, Epps and Bailey 2010, "Information theoretic measures for clusterings comparison"). There images are shuffled,
here whole photos: copies of one photo that get one answer are one observation and not many.
"""

from typing import Annotated, NamedTuple

import numpy as np
from jaxtyping import Int
from pydantic import Field
from scipy.stats import entropy
from sklearn.metrics import mutual_info_score
from tqdm import tqdm

from signbridge.core.params import Section

# Equal ratios of information to entropy may differ by rounding.
_EQUAL = 1e-9


class AnswersParams(Section):
    """The section `answers`."""

    shuffles: Annotated[int, Field(ge=1)]  # of the letters over the photos


class Information(NamedTuple):
    """Mutual information of answer and letter, in bits."""

    bits: float  # plug-in minus bias; scatters around zero where the answers hold nothing
    plugin_bits: float  # of the counts as they are
    bias_bits: float  # what the counts would give if answers and letters had nothing to do with each other
    p_value: float  # share of shuffles that gave as much, the data themselves counted as one
    letter_bits: float  # entropy of the letter: the most that there is to know

    def findings(self) -> dict[str, float]:
        """By name, as the stage `answers` writes them."""
        of_both = {f"information_{name}": value for name, value in self._asdict().items() if name != "letter_bits"}
        return {**of_both, "letter_bits": self.letter_bits}


def answer_information(
    answers: np.ndarray, letters: np.ndarray, photos: np.ndarray, shuffles: int, generator: np.random.Generator
) -> Information:
    """The mutual information of `answers` and `letters`, one entry an image; images of one photo share its letter.

    A shuffle deals the photos' letters out anew. Photos have more and fewer images, so that it changes how common the
    letters are and with that how much there is to know; so what is compared is the share of the letter's entropy
    that the answer holds (Theil's uncertainty coefficient). The bias is its mean over the shuffles, times the entropy.
    Answers that do depend on the letter are fewer to a letter than shuffled ones and their true bias is less, so that
    `bits` is then rather too low than too high.

    Raises `ValueError` if a photo has two letters.
    """
    said = np.unique(answers, return_inverse=True)[1]
    letter = np.unique(letters, return_inverse=True)[1]
    photo = np.unique(photos, return_inverse=True)[1]
    of_photo = _letter_of_photo(letter, photo)

    letter_bits = _entropy_bits(letter)
    if letter_bits == 0:
        return Information(0.0, 0.0, 0.0, 1.0, 0.0)
    share = _share_known(said, letter)
    rounds = tqdm(range(shuffles), desc="shuffles", unit="shuffle", delay=2, leave=False)
    by_chance = np.array([_share_known(said, generator.permutation(of_photo)[photo]) for _ in rounds])
    bias = float(by_chance.mean())
    return Information(
        bits=(share - bias) * letter_bits,
        plugin_bits=share * letter_bits,
        bias_bits=bias * letter_bits,
        p_value=float((1 + (by_chance >= share - _EQUAL).sum()) / (1 + shuffles)),
        letter_bits=letter_bits,
    )


def _letter_of_photo(letter: Int[np.ndarray, "images"], photo: Int[np.ndarray, "images"]) -> Int[np.ndarray, "photos"]:
    of_photo = np.zeros(photo.max() + 1, dtype=letter.dtype)
    of_photo[photo] = letter
    if (of_photo[photo] != letter).any():
        raise ValueError("a photo has images of two letters")
    return of_photo


def _share_known(said: Int[np.ndarray, "images"], letter: Int[np.ndarray, "images"]) -> float:
    """The share of the letter's entropy that the answer holds: 1 where it settles the letter."""
    return mutual_info_score(said, letter) / np.log(2) / _entropy_bits(letter)


def _entropy_bits(letter: Int[np.ndarray, "images"]) -> float:
    return float(entropy(np.bincount(letter), base=2))
