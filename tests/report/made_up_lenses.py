"""A made-up run of the lenses: LatentLens says something of the hand, EmbeddingLens nothing.

Of each photo's first image 3 x 3 patches are looked at; LatentLens says a word that holds for it on the first row.
"""

from collections.abc import Iterable
from typing import Any

import numpy as np
import pandas as pd

from signbridge.report.columns import COLUMNS

SHARES = {"embedding": (0.02, 0.02), "logit": (0.3, 0.25), "latent": (0.7, 0.3)}  # and of another image's hand

TRUE_WORDS = frozenset({"up", "together"})
WORDS_COLUMNS = ["image_id", "patch", "site", "lens", "rank", "row", "token", "word", "sentence", "start", "end"]
WORDS_COLUMNS += ["text_site", "score"]


def tables(blocks: list[str], sample: pd.DataFrame) -> dict[str, Any]:
    """The tables that `Lenses` has of them, by name, and their metrics."""
    sites = ["embedding", *blocks] if blocks else []
    ids = sample.drop_duplicates("photo")["image_id"].tolist()
    return {
        "found": _metrics(sites), "shares": _shares(sites), "leads": _leads(sites), "on_hand": _on_hand(sites),
        "leap": _leap(sites),
        "words": words_table(ids, sites, range(9)), "patches": _patches(ids, sites),
        "true_words": dict.fromkeys(ids, TRUE_WORDS),
    }  # fmt: skip


def words_table(image_ids: list[str], sites: list[str], patches: Iterable[int], k: int = 2) -> pd.DataFrame:
    """A table as `data/lenses/words.parquet`: each word names its image, site and patch.

    LatentLens's nearest word is `Up` on the first three patches, in a sentence that no two cells share.
    """
    rows = []
    for site in sites:
        for lens in ("embedding", "logit", "latent"):
            for image in image_ids:
                for place, patch in enumerate(patches):
                    for rank in range(1, k + 1):
                        says = lens == "latent" and place < 3 and rank == 1
                        word = "Up" if says else f"{lens}.{image}.{site}.{patch}.{rank}"
                        before = f"\N{WAVING HAND SIGN} In {image} at {site} "
                        latent = {"sentence": f"{before}{word} of {patch}.", "start": len(before)}
                        latent |= {"end": len(before) + len(word), "text_site": "layer_02"}
                        none = {"sentence": "", "start": 0, "end": 0, "text_site": ""}
                        row = {"image_id": image, "patch": patch, "site": site, "lens": lens, "rank": rank, "row": 7}
                        row |= {"token": f"\u0120{word}", "word": word, **(latent if lens == "latent" else none)}
                        rows.append(row | {"score": np.float32(0.5 - 0.01 * rank)})
    return pd.DataFrame(rows, columns=WORDS_COLUMNS)


def _patches(image_ids: list[str], sites: list[str]) -> pd.DataFrame:
    rows = [
        {
            "image_id": image,
            "patch": patch,
            "site": site,
            "lens": lens,
            "guesses": 1,
            "interpretable": lens == "latent" and patch < 3,
        }
        for site in sites
        for lens in ("embedding", "logit", "latent")
        for image in image_ids
        for patch in range(9)
    ]
    table = pd.DataFrame(rows, columns=["image_id", "patch", "site", "lens", "guesses", "interpretable"])
    return table.assign(hand=np.where(table["patch"] == 8, np.nan, table["patch"] / 10))


def _shares(sites: list[str]) -> pd.DataFrame:
    rows = []
    for guesses in (1, 2):
        for lens, (share, other) in SHARES.items():
            for site in sites:
                over = share - other
                rows.append({
                    "lens": lens, "guesses": guesses, "site": site, "harder_null": "other_image", "share": share,
                    "share_low": share - 0.05, "share_high": share + 0.05, "other_image": other,
                    "shuffled_words": other / 2, "over_null": over, "over_null_low": over - 0.03,
                    "over_null_high": over + 0.03,
                })  # fmt: skip
    return pd.DataFrame(rows, columns=COLUMNS["shares"])


def _leads(sites: list[str]) -> pd.DataFrame:
    """LatentLens is ahead at every layer but the last."""
    rows = [
        (guesses, site, lead, lead - 0.1, lead + 0.1)
        for guesses in (1, 2)
        for site, lead in zip(sites, [0.35] * (len(sites) - 1) + [-0.2], strict=True)
    ]
    return pd.DataFrame(rows, columns=COLUMNS["leads"])


def _on_hand(sites: list[str]) -> pd.DataFrame:
    """Only LatentLens says more on the hand."""
    rows = []
    for lens, (share, _) in SHARES.items():
        more = 0.4 if lens == "latent" else 0.0
        for site in sites:
            row = {"lens": lens, "site": site}
            values = {"hand": share, "background": share - more, "hand_over_other_image": more}
            for name, value in (values | {"background_over_other_image": 0.0, "difference": more}).items():
                row |= {name: value, f"{name}_low": value - 0.05, f"{name}_high": value + 0.05}
            rows.append(row)
    return pd.DataFrame(rows, columns=COLUMNS["on_hand"])


def _leap(sites: list[str]) -> pd.DataFrame:
    rows = [(site, text, share) for site in sites for text, share in (("layer_00", 0.25), ("layer_02", 0.75))]
    return pd.DataFrame(rows, columns=COLUMNS["leap"])


def _metrics(sites: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": "tiny (a test bed)", "images": 20, "latent_text_words_right": 0.9}
    if sites:
        found["latent_leads_up_to"] = sites[-2]
        for lens, (share, other) in SHARES.items():
            over, more = share - other, 0.4 if lens == "latent" else 0.0
            found |= {
                f"{lens}_hand_minus_background": more, f"{lens}_hand_minus_background_low": more - 0.05,
                f"{lens}_hand_minus_background_high": more + 0.05,
                f"{lens}_share": share, f"{lens}_best_layer": sites[-1], f"{lens}_over_null": over,
                f"{lens}_over_null_low": over - 0.03, f"{lens}_over_null_high": over + 0.03,
                f"{lens}_first_layer": over - 0.1, f"{lens}_first_layer_low": over - 0.2,
                f"{lens}_first_layer_high": over,
            }  # fmt: skip
    return found
