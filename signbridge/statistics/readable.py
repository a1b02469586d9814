"""What share of patches can be read: does one of their words hold for the hand that the image shows?

LatentLens (2026) asks a judge, a vision model, whether a patch's top words name what is there. Here a patch is readable
if one of its k words is among those that hold for the hand (`datasets/hands.py`). Most hands share most words, so the
share alone says little. There are two nulls: the same words compared with the hand of another image (of another class,
drawn anew for each image), and the words of a scrambled corpus, in which every vector that a lens compares with stands
for the word of another one, drawn at random.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Int
from pydantic import Field

from signbridge.core.names import DISPLAYED, LENSES
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams, interval


class ReadableParams(Section):
    """The section `readable`."""

    draws: int = Field(ge=1)  # of each null


NULLS = ("other_image", "scrambled_corpus")
ON_HAND = 0.5  # a patch is on the hand if this much of it is
KINDS = ("hand", "background")
_ENDS = ("", "_low", "_high")

# Names in metrics/lenses/readable.json, and the findings that they are: shares of patches, 0 to 1.
HEADLINE = {
    f"{lens}_lens_{name}": f"{lens}_{finding}"
    for lens in ("logit", "latent", "embedding")
    for name, finding in {
        "over_null": "best_over_other_image",
        "over_null_low": "best_over_other_image_low",
        "over_null_high": "best_over_other_image_high",
        "best_layer": "best_site",
        "over_null_all_layers": "over_other_image",
        "readable_all_layers": "share",
    }.items()
} | {
    "logit_lens_hand_minus_background": "logit_hand_minus_background",
    "latent_lens_text_words_right": "latent_text_words_right",
    "latent_lens_search_recall": "latent_search_recall",
    "text_layer_of_first_layer": "leap_first",
    "text_layer_of_last_layer": "leap_last",
    "images": "images",
    "model": "model",
}


def image_grid(table: pd.DataFrame) -> tuple[int, int] | None:
    """Rows and columns of the grid of all image tokens; None where they make none.

    `table` is `data/lenses/words.parquet`.
    """
    rows, columns = table[["rows", "columns"]].iloc[0]
    return None if pd.isna(rows) else (int(rows), int(columns))


def readable_patches(
    table: pd.DataFrame,
    words: Mapping[str, frozenset[str]],
    labels: Mapping[str, str],
    all_words: Mapping[str, pd.Series],
    draws: int,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row an image, site, lens and patch: `interpretable` (1 if it is readable, else 0), and this under each null.

    `table` is `data/lenses/words.parquet`; `words` and `labels` are by image_id, of the images that words are known of;
    `all_words` has, by lens, the word of every `row` that the lens compares with. The nulls are shares of `draws`; a
    draw scrambles the words of all rows once for the whole table.
    """
    known = table[table["image_id"].isin(words)]
    ids = list(dict.fromkeys(known["image_id"]))
    others = {image: [other for other in ids if labels[other] != labels[image]] for image in ids}
    code_of, true_of = _coded(all_words, words)
    scrambles = {lens: [generator.permutation(of_lens) for _ in range(draws)] for lens, of_lens in code_of.items()}
    keys, rows = ["image_id", "site", "lens", "patch"], []
    for (image, site, lens), here in known.groupby(["image_id", "site", "lens"], sort=False):
        if not others[image]:
            continue
        patches, of_patch = np.unique(here["patch"], return_inverse=True)
        row, true = here["row"].to_numpy(), true_of[image]
        said = code_of[lens][row]
        drawn = [others[image][index] for index in generator.integers(len(others[image]), size=draws)]
        by_other = [_says_one(true_of[other][said], of_patch) for other in drawn]
        by_chance = [_says_one(true[scramble[row]], of_patch) for scramble in scrambles[lens]]
        rows.append(
            pd.DataFrame(
                {
                    "image_id": image, "site": site, "lens": lens, "patch": patches,
                    "interpretable": _says_one(true[said], of_patch).astype(float),
                    "other_image": np.mean(by_other, axis=0), "scrambled_corpus": np.mean(by_chance, axis=0),
                }
            )
        )  # fmt: skip
    return pd.concat(rows, ignore_index=True) if rows else pd.DataFrame(columns=[*keys, "interpretable", *NULLS])


def _coded(
    all_words: Mapping[str, pd.Series], words: Mapping[str, frozenset[str]]
) -> tuple[dict[str, Int[np.ndarray, "rows"]], dict[str, Bool[np.ndarray, "codes"]]]:
    """Words as numbers, in lower case: that of each row of each lens, and by image which numbers hold for it."""
    codes, different = pd.factorize(pd.concat(list(all_words.values())).str.lower())
    ends = np.cumsum([len(of_lens) for of_lens in all_words.values()])[:-1]
    of_rows = dict(zip(all_words, np.split(codes, ends), strict=True))
    return of_rows, {image: np.isin(different, list(true)) for image, true in words.items()}


def _says_one(true: Bool[np.ndarray, "words"], of_patch: Int[np.ndarray, "words"]) -> Bool[np.ndarray, "patches"]:
    """Whether one of the words of each patch is true."""
    return np.bincount(of_patch, true) > 0


def shares(patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """The share of patches that are readable at each site under each lens, and what is beyond each null.

    The table has lens, site, share, other_image, scrambled_corpus, over_other_image and over_scrambled_corpus, each
    with low and high.
    """
    names = ("share", *NULLS, *(f"over_{null}" for null in NULLS))
    if patches.empty:
        columns = [f"{name}{end}" for name in names for end in _ENDS]
        return pd.DataFrame(columns=["lens", "site", *columns])
    measured = _beyond_nulls(patches)
    found = {name: effects(measured, ["lens", "site"], "image_id", name, statistics, generator) for name in names}
    table = found["share"].keys
    for name, of_name in found.items():
        table = table.merge(of_name.table(name, statistics.confidence), on=["lens", "site"])
    return _in_order(table)


def shares_on_hand(patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """The shares of patches on the hand and of those on the background, at each site under each lens.

    `patches` has `hand`, how much of a patch the hand covers (NaN: not known, left out). The table has lens, site,
    hand and background, and hand_over_other_image and background_over_other_image (beyond the words of another image),
    and difference (between these two), each with low and high.
    """
    known = _beyond_nulls(patches.dropna(subset="hand"))
    known["where"] = np.where(known["hand"] >= ON_HAND, *KINDS)
    names = {"share": "", "over_other_image": "_over_other_image"}
    if known["where"].nunique() < 2:  # no patch, or all of one kind
        columns = [f"{where}{suffix}" for suffix in names.values() for where in KINDS] + ["difference"]
        return pd.DataFrame(columns=["lens", "site", *(f"{name}{end}" for name in columns for end in _ENDS)])
    by = ["lens", "site"]
    found = {name: effects(known, [*by, "where"], "image_id", name, statistics, generator) for name in names}
    beyond = found["over_other_image"]
    curves = beyond.keys.assign(curve=np.arange(len(beyond.keys)))
    curves = curves.pivot_table("curve", by, "where", sort=False).dropna()
    hand, background = (curves[where].astype(int).to_numpy() for where in KINDS)
    low, high = interval(beyond.resampled[:, hand] - beyond.resampled[:, background], statistics.confidence)
    table = curves.index.to_frame(index=False).assign(
        difference=beyond.overall[hand] - beyond.overall[background], difference_low=low, difference_high=high
    )
    for name, suffix in names.items():
        for where in KINDS:
            of_kind = found[name].table(f"{where}{suffix}", statistics.confidence)
            table = table.merge(of_kind[of_kind.pop("where") == where], on=by)
    return _in_order(known[by].drop_duplicates().merge(table, on=by))


def _beyond_nulls(patches: pd.DataFrame) -> pd.DataFrame:
    beyond = {f"over_{null}": patches["interpretable"] - patches[null] for null in NULLS}
    return patches.assign(**beyond).rename(columns={"interpretable": "share"})


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    order = {lens: place for place, lens in enumerate(LENSES)}
    return table.sort_values("lens", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def lens_metrics(found: pd.DataFrame, on_hand: pd.DataFrame) -> dict[str, Metric]:
    """For each lens its mean share over the visual layers, beyond each null too, and the layer of the largest.

    `on_hand` is `shares_on_hand` of the patches of all layers together: `hand_minus_background` is how much more there
    is beyond another image's words on the hand than off it.
    """
    metrics: dict[str, Metric] = {}
    for lens, rows in found.groupby("lens", sort=False):
        best = rows.loc[rows["over_other_image"].idxmax()]
        metrics |= {
            f"{lens}_share": float(rows["share"].mean()),
            f"{lens}_over_other_image": float(rows["over_other_image"].mean()),
            f"{lens}_over_scrambled_corpus": float(rows["over_scrambled_corpus"].mean()),
            f"{lens}_best_site": str(best["site"]),
            f"{lens}_best_over_other_image": float(best["over_other_image"]),
            f"{lens}_best_over_other_image_low": float(best["over_other_image_low"]),
            f"{lens}_best_over_other_image_high": float(best["over_other_image_high"]),
        }
    for _, row in on_hand.iterrows():
        name = f"{row['lens']}_hand_minus_background"
        metrics |= {f"{name}{end}": float(row[f"difference{end}"]) for end in _ENDS}
    return metrics


def check_metrics(checks: pd.DataFrame) -> dict[str, Metric]:
    """How often LatentLens reads text right, and how much an approximate search finds, on average over layers.

    `checks` is `data/lenses/checks.parquet`. What was not checked is left out.
    """
    share = checks.groupby("check")["share"].mean().dropna()
    names = {"text_words": "latent_text_words_right", "recall": "latent_search_recall"}
    return {name: float(share[check]) for check, name in names.items() if check in share}


def by_layer(found: pd.DataFrame) -> pd.DataFrame:
    """What `dvc plots` draws of `shares`: lens, words (of this image, or another's), blocks, share, low, high.

    `blocks` is how many decoder blocks a token has passed.
    """
    parts = [
        pd.DataFrame({
            "lens": found["lens"].map(DISPLAYED),
            "words": words,
            "blocks": found["site"].map(_blocks_passed),
            **{name: found[f"{column}{end}"] for name, end in (("share", ""), ("low", "_low"), ("high", "_high"))},
        })
        for words, column in (("of this image", "share"), ("of another image", "other_image"))
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _blocks_passed(site: str) -> int:
    return int(site.removeprefix("layer_")) + 1 if site.startswith("layer_") else 0


def leap_metrics(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """The mean text layer of LatentLens's nearest neighbours at the first and the last visual layer, with intervals.

    Text layers are numbered from 0, the first that is stored. `table` is `data/lenses/words.parquet`.
    """
    latent = table[table["lens"] == "latent"]
    numbers = {site: number for number, site in enumerate(sorted(latent["text_site"].unique()))}
    numbered = latent.assign(number=latent["text_site"].map(numbers))
    found = effects(numbered, ["site"], "image_id", "number", statistics, generator).table(
        "leap", statistics.confidence
    )
    ends = {"first": found.iloc[0], "last": found.iloc[-1]}
    return {f"leap_{name}{end}": float(row[f"leap{end}"]) for name, row in ends.items() for end in _ENDS}


def leap(table: pd.DataFrame) -> pd.DataFrame:
    """The mid-layer leap: a row a visual layer and text layer, the share of LatentLens's nearest neighbours there."""
    latent = table[table["lens"] == "latent"]
    sites = list(dict.fromkeys(latent["site"]))
    counts = latent.groupby(["site", "text_site"]).size().rename("share").reset_index()
    counts["share"] /= counts.groupby("site")["share"].transform("sum")
    return counts.sort_values(["site", "text_site"], key=lambda c: c.map(sites.index) if c.name == "site" else c,
                              ignore_index=True)  # fmt: skip
