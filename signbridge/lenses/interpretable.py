"""What share of patches can be read: does one of their words hold for the hand that the image shows?

LatentLens (2026) asks a judge, a paid service, whether a patch's top words name what is there. Here a patch is
interpretable if one of its k words is among those that hold for the hand (`hand_words.py`). Most hands share most
words, so the share alone says little: beside it stand two nulls, the same words held to the hand of another image
(of another class, drawn anew for each image), and words drawn from the same lens and layer at random.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from pydantic import Field

from signbridge.causal.resampling import effects
from signbridge.lenses.names import LENSES
from signbridge.metrics import Metric
from signbridge.params import Section
from signbridge.probing.statistics import StatisticsParams


class InterpretableParams(Section):
    """The section `interpretable`."""

    draws: int = Field(ge=1)  # of each null
    text_words: int = Field(ge=1)  # words of text that LatentLens is tried on, at most


NULLS = ("other_image", "shuffled_words")


def interpretable_patches(
    table: pd.DataFrame,
    words: Mapping[str, frozenset[str]],
    labels: Mapping[str, str],
    draws: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row an image, site, lens and patch: whether it is interpretable, and how often it is under each null.

    `table` is `data/lenses.parquet`; `words` and `labels` are by image_id, of the images that words are known of.
    `other_image` and `shuffled_words` are shares of `draws`.
    """
    known = table[table["image_id"].isin(words)]
    ids = list(dict.fromkeys(known["image_id"]))
    others = {image: [other for other in ids if labels[other] != labels[image]] for image in ids}
    keys, rows = ["image_id", "site", "lens", "patch"], []
    for (site, lens), here in known.groupby(["site", "lens"], sort=False):
        said = here["word"].str.lower()
        of_images = dict(list(said.groupby(here["image_id"], sort=False)))
        for image, of_image in of_images.items():
            if not others[image]:
                continue
            patches, of_patch = np.unique(here.loc[of_image.index, "patch"], return_inverse=True)
            drawn = [others[image][index] for index in generator.integers(len(others[image]), size=draws)]
            shuffled = [generator.choice(said, size=len(of_image)) for _ in range(draws)]
            by_other = [_says_one(of_image, words[other], of_patch) for other in drawn]
            by_chance = [_says_one(at_random, words[image], of_patch) for at_random in shuffled]
            rows.append(
                pd.DataFrame(
                    {
                        "image_id": image, "site": site, "lens": lens, "patch": patches,
                        "interpretable": _says_one(of_image, words[image], of_patch).astype(float),
                        "other_image": np.mean(by_other, axis=0), "shuffled_words": np.mean(by_chance, axis=0),
                    }
                )
            )  # fmt: skip
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[*keys, "interpretable", *NULLS])


def _says_one(
    said: pd.Series | np.ndarray, true: frozenset[str], of_patch: Int[np.ndarray, "words"]
) -> Bool[np.ndarray, "patches"]:
    """Whether one of the words of each patch is true."""
    return np.bincount(of_patch, np.isin(said, list(true))) > 0


def shares(patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """The share of patches that are interpretable at each site under each lens, and what is beyond each null.

    The table has lens, site, share, other_image, shuffled_words, over_other_image and over_shuffled_words, each of the
    five with low and high.
    """
    names = ("share", *NULLS, *(f"over_{null}" for null in NULLS))
    if patches.empty:
        columns = [f"{name}{end}" for name in names for end in ("", "_low", "_high")]
        return pd.DataFrame(columns=["lens", "site", *columns])
    measured = patches.assign(**{f"over_{null}": patches["interpretable"] - patches[null] for null in NULLS})
    measured = measured.rename(columns={"interpretable": "share"})
    found = {name: effects(measured, ["lens", "site"], "image_id", name, statistics, generator) for name in names}
    table = found["share"].keys
    for name, of_name in found.items():
        table = table.merge(of_name.table(name, statistics.confidence), on=["lens", "site"])
    order = {lens: place for place, lens in enumerate(LENSES)}
    return table.sort_values("lens", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def lens_metrics(found: pd.DataFrame, leaps: pd.DataFrame) -> dict[str, Metric]:
    """For each lens its mean share over the visual layers, beyond each null too, and the layer of the largest.

    `leap_first` and `leap_last` are the mean text layer (0 is the first that is stored) of the nearest neighbours of
    the first and the last visual layer.
    """
    metrics: dict[str, Metric] = {}
    for lens, rows in found.groupby("lens", sort=False):
        best = rows.loc[rows["over_other_image"].idxmax()]
        metrics |= {
            f"{lens}_share": float(rows["share"].mean()),
            f"{lens}_over_other_image": float(rows["over_other_image"].mean()),
            f"{lens}_over_shuffled_words": float(rows["over_shuffled_words"].mean()),
            f"{lens}_best_site": str(best["site"]),
            f"{lens}_best_over_other_image": float(best["over_other_image"]),
            f"{lens}_best_over_other_image_low": float(best["over_other_image_low"]),
            f"{lens}_best_over_other_image_high": float(best["over_other_image_high"]),
        }
    text_sites = sorted(leaps["text_site"].unique())
    for name, site in (("first", leaps["site"].iloc[0]), ("last", leaps["site"].iloc[-1])):
        rows = leaps[leaps["site"] == site]
        metrics[f"leap_{name}"] = float((rows["text_site"].map(text_sites.index) * rows["share"]).sum())
    return metrics


def leap(table: pd.DataFrame) -> pd.DataFrame:
    """The mid-layer leap: a row a visual layer and text layer, the share of LatentLens's nearest neighbours there."""
    latent = table[table["lens"] == "latent"]
    sites = list(dict.fromkeys(latent["site"]))
    counts = latent.groupby(["site", "text_site"]).size().rename("share").reset_index()
    counts["share"] /= counts.groupby("site")["share"].transform("sum")
    return counts.sort_values(["site", "text_site"], key=lambda c: c.map(sites.index) if c.name == "site" else c,
                              ignore_index=True)  # fmt: skip
