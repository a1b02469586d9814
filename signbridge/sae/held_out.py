"""Which images and phrases training did not read: as far as they reach, autoencoders are judged by them.

Training deals passages in a random order that follows from its seed alone (`token_stream.py`), so how many it read says
which. A passage is an image under one prompt, or a phrase; an image counts as unread if none of its passages was read.
Another copy of its photo may well have been: there are too few photos to keep some from training.
"""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool

from signbridge.lenses.patches import looked_at
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
    among = np.flatnonzero(is_unread) if is_unread.sum() >= _FEWEST else np.arange(len(corpus))
    return [corpus[place] for place in np.sort(generator.permutation(among)[:most])]
