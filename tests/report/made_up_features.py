"""Made-up examples of features: each fires where its own number says, so that none can stand for another.

At each of two layers feature 10 * n tells the n-th letter, features 1, 2 and 3 are merely active: 1 fires in images
alone, 2 in text alone, 3 tells of both. An image has 3 x 3 tokens, of which feature f fires strongest on number f % 9.
"""

from typing import Any

import numpy as np
import pandas as pd

PATCHES = 9
IMAGES, PHRASES = 3, 2
OTHERS = {1: ("image only", 1.0), 2: ("text only", 0.0), 3: ("shared", 0.5)}
MADE_BY = {"images": 12, "images_read": 12, "phrases": 40, "phrases_read": 30}
MADE_BY |= {"examples": {"letters": 1, "features": 7}}


def tables(blocks: list[str], sample: pd.DataFrame) -> dict[str, Any]:
    """The tables that `Sae` has of them, by name."""
    letters = sorted(set(sample["label"]))
    sites = [blocks[0], blocks[-1]] if len(blocks) > 1 else blocks
    numbers = [*(10 * (place + 1) for place in range(len(letters))), *OTHERS]
    return {
        "features": _features(sites, numbers, letters), "letters": _letters(sites, letters),
        "images": _images(sites, numbers, letters, sample), "phrases": _phrases(sites, numbers),
        "fingers": fingers(sites), "examples_made_by": MADE_BY,
    }  # fmt: skip


def fingers(sites: list[str]) -> pd.DataFrame:
    """Feature 10 tracks a joint at the first layer; feature 3 does not, once corrected. The twin's 10 is another's."""
    columns = ["reads", "site", "feature", "position", "finger", "joint", "r", "p", "within_r", "within_p"]
    rows = [
        row
        for site in sites[:1]
        for row in (
            ("model", site, 10.0, "image_mean", "index", "index_pip", 0.62, 0.004, 0.41, 0.03),
            ("untrained_twin", site, 10.0, "image_mean", "ring", "ring_pip", 0.9, 0.001, 0.5, 0.001),
            ("model", site, 3.0, "prompt_last", "thumb", "thumb_ip", 0.3, 0.2, np.nan, np.nan),
        )
    ]
    return pd.DataFrame(rows, columns=columns)


def activations_of(feature: int, tokens: int = PATCHES) -> np.ndarray:
    """Strongest at one token, half as strong at the next, a ninth at the one after."""
    found = np.zeros(tokens, np.float32)
    for share, place in ((1, feature), (0.5, feature + 1), (1 / 9, feature + 2)):
        found[place % tokens] = share * 2.0
    return found


def _features(sites: list[str], numbers: list[int], letters: list[str]) -> pd.DataFrame:
    rows = []
    for site in sites:
        for number in numbers:
            kind, modality = OTHERS.get(number, ("image only", 0.95))
            means = np.full(len(letters), 0.1)
            means[(number // 10 - 1) % len(letters)] = 0.4
            rows.append({"site": site, "feature": number, "image_mean": 0.1, "image_fires": 0.25, "text_mean": 0.01,
                         "text_fires": 0.02, "modality": modality, "kind": kind,
                         "letters": means * (kind != "text only")})  # fmt: skip
    columns = ["site", "feature", "image_mean", "image_fires", "text_mean", "text_fires", "modality", "kind", "letters"]
    return pd.DataFrame(rows, columns=columns)


def _letters(sites: list[str], letters: list[str]) -> pd.DataFrame:
    rows = [
        (letter, 1, number, 0.99, 0.9 + 0.01 * place, site, reads)
        for site in sites
        for place, letter in enumerate(letters)
        for reads, number in (("sae", 10 * (place + 1)), ("stream", place))
    ]
    return pd.DataFrame(rows, columns=["letter", "rank", "feature", "auc", "auc_held_out", "site", "reads"])


def _images(sites: list[str], numbers: list[int], letters: list[str], sample: pd.DataFrame) -> pd.DataFrame:
    columns = ["site", "feature", "rank", "image_id", "strongest", "activations"]
    rows = []
    for site in sites:
        for number in numbers:
            letter = letters[(number // 10 - 1) % len(letters)]
            own = sample.loc[sample["label"] == letter].drop_duplicates("photo")["image_id"].tolist()[:IMAGES]
            for rank, image in enumerate(own if number != 2 else [], start=1):
                activations = activations_of(number) / rank
                rows.append((site, number, rank, image, float(activations.max()), activations))
    return pd.DataFrame(rows, columns=columns)


def _phrases(sites: list[str], numbers: list[int]) -> pd.DataFrame:
    """Of feature f its own number, and of the second phrase `bent` half as much, a word in two tokens."""
    columns = ["site", "feature", "rank", "phrase", "strongest", "activations", "start", "end"]
    rows = []
    for site in sites:
        for number in numbers:
            for rank in range(1, PHRASES + 1 if number != 1 else 1):
                parts = ["\N{WAVING HAND SIGN}", " In", f" {site}", f" w{number}", " is", " be", "nt", "."]
                ends = np.cumsum([len(part) for part in parts])
                activations = np.array([0, 0, 0, 3, 0, 0, 1.5 * (rank == 2), 0], np.float32) / rank
                starts = (ends - [len(part) for part in parts]).tolist()
                phrase = "".join(parts)
                rows.append((site, number, rank, phrase, float(activations.max()), activations, starts, ends.tolist()))
    return pd.DataFrame(rows, columns=columns)
