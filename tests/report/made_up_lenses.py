"""A made-up run of the lenses: LatentLens says something of the hand, EmbeddingLens nothing."""

from typing import Any

import pandas as pd

from signbridge.report.inputs import COLUMNS

SHARES = {"embedding": (0.02, 0.02), "logit": (0.3, 0.25), "latent": (0.7, 0.3)}  # and of another image's hand


def tables(blocks: list[str]) -> dict[str, Any]:
    """The tables that `Study` has of them, by name, and their metrics."""
    sites = ["embedding", *blocks] if blocks else []
    return {"lens": _metrics(sites), "lenses": _shares(sites), "lens_leap": _leap(sites)}


def _shares(sites: list[str]) -> pd.DataFrame:
    rows = []
    for lens, (share, other) in SHARES.items():
        for site in sites:
            over = share - other
            rows.append({
                "lens": lens, "site": site, "share": share, "share_low": share - 0.05, "share_high": share + 0.05,
                "other_image": other, "shuffled_words": other, "over_other_image": over,
                "over_other_image_low": over - 0.03, "over_other_image_high": over + 0.03,
            })  # fmt: skip
    return pd.DataFrame(rows, columns=list(COLUMNS["lenses"]))


def _leap(sites: list[str]) -> pd.DataFrame:
    rows = [(site, text, share) for site in sites for text, share in (("layer_00", 0.25), ("layer_02", 0.75))]
    return pd.DataFrame(rows, columns=list(COLUMNS["lens_leap"]))


def _metrics(sites: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {"model": "tiny (a test bed)", "images": 20, "latent_text_words_right": 0.9}
    if sites:
        for lens, (share, other) in SHARES.items():
            over = share - other
            found |= {
                f"{lens}_share": share, f"{lens}_best_site": sites[-1], f"{lens}_best_over_other_image": over,
                f"{lens}_best_over_other_image_low": over - 0.03, f"{lens}_best_over_other_image_high": over + 0.03,
            }  # fmt: skip
    return found
