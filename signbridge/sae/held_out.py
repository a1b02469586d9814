"""Which images and phrases training did not read: as far as they reach, autoencoders are judged by them.

Training deals passages in a random order that follows from its seed alone (`token_stream.py`), so how many it read says
which. A passage is an image under one prompt, or a phrase; an image counts as unread if none of its passages was read.
Another copy of its photo may well have been: there are too few photos to keep some from training.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool
from transformers import PreTrainedTokenizerBase

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.sampling import looked_at
from signbridge.sae.token_stream import Deck

_DECKS = {"images": 0, "texts": 1}  # the last number of a deck's seed, as `ModelTokens` has it
_FEWEST = 2  # fewer unread ones say nothing


def unread(passages: Sequence[int], read: int, seed: int, kind: str) -> Bool[np.ndarray, "items"]:
    """Which items have no passage among the first `read` that training dealt.

    `passages` is how many each item has, in order; `kind` is `images` or `texts`.
    """
    owner = np.repeat(np.arange(len(passages)), passages).tolist()
    dealt = Deck(owner, [seed, _DECKS[kind]]).deal(0, min(read, len(owner)))
    unseen = np.ones(len(passages), bool)
    unseen[dealt] = False
    return unseen


def judged_images(sample: pd.DataFrame, unread_ids: set[str], most: int, seed: int) -> pd.DataFrame:
    """Up to `most` rows of the sample, each of another photo, that training did not read; if it read all, any."""
    held_out = looked_at(sample[sample["image_id"].isin(unread_ids)], most, seed)
    return held_out if len(held_out) >= _FEWEST else looked_at(sample, most, seed)


def judged_phrases(
    corpus: Sequence[str], is_unread: Bool[np.ndarray, "phrases"], most: int, generator: np.random.Generator
) -> list[str]:
    """Up to `most` phrases, drawn, in the order of the corpus, that training did not read; if it read all, any."""
    unread_phrases = [phrase for phrase, one in zip(corpus, is_unread, strict=True) if one]
    return drawn_phrases(unread_phrases if len(unread_phrases) >= _FEWEST else corpus, most, generator)


def drawn_phrases(phrases: Sequence[str], most: int, generator: np.random.Generator) -> list[str]:
    """Up to `most` of them, drawn, in their order."""
    return [phrases[place] for place in np.sort(generator.permutation(len(phrases))[:most])]


def with_successors(phrases: Sequence[str], tokenizer: PreTrainedTokenizerBase, corpus: str) -> dict[str, list[int]]:
    """The token ids of those phrases that have two tokens or more, so that one follows another; the shorter ones first.

    Raises `SignBridgeError` naming the `corpus` if there are too few.
    """
    token_ids = dict(zip(phrases, tokenizer(list(phrases))["input_ids"], strict=True))
    said = sorted((text for text in phrases if len(token_ids[text]) > 1), key=lambda text: len(token_ids[text]))
    if len(said) < _FEWEST:
        raise SignBridgeError(
            f"{corpus}: {len(said)} phrases of two tokens or more; autoencoders are judged by two at least. "
            "Add some, or templates that make some of words."
        )
    return {text: token_ids[text] for text in said}
