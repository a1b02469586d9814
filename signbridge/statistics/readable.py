"""What share of patches can be read: does a word hold for the hand that the image shows?

LatentLens (2026) asks a judge, a vision model, whether a patch's words name what is there. Here a patch is readable if
one of its words is among those that hold for the hand (`datasets/hands.py`): its nearest word, or one of its first k.
Every lens has the same number of guesses, because its k words are different ones.

Most hands share most words, so the share alone says little. There are two nulls, both without drawing:

- the same words, compared with the hand of another image: the mean over all images of other classes;
- shuffled words: the words that the lens says at any layer change their meaning with one another, each word everywhere
  alike. So the w different words of a patch become any w of the n words that the lens says, of which m hold for the
  hand: one of them does with probability 1 - C(n - m, w) / C(n, w).

A share is quoted beyond the harder of the two, which is chosen for each layer.
"""

from collections.abc import Mapping

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int

from signbridge.core.activations import block_of
from signbridge.core.names import DISPLAYED, LENSES
from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects
from signbridge.statistics.intervals import StatisticsParams, interval

NULLS = ("other_image", "shuffled_words")
ON_HAND = 0.5  # a patch is on the hand if this much of it is
KINDS = ("hand", "background")
_ENDS = ("", "_low", "_high")
_CURVES = ["lens", "guesses", "site"]

# Names in metrics/lenses/readable.json, and the findings that they are: shares of patches, 0 to 1, beyond the harder
# null, by the nearest word or by the first k.
_BEST = tuple(f"over_null{end}" for end in _ENDS)
HEADLINE = (
    {f"{lens}_lens_first_layer{end}": f"{lens}_first_layer{end}" for lens in ("latent", "logit") for end in _ENDS}
    | {"latent_lens_leads_up_to": "latent_leads_up_to"}
    | {
        f"{lens}_lens_{name}": f"{lens}_{name}"
        for lens in ("latent", "logit")
        for name in (*_BEST, "k_words_over_null")
    }
    | {"logit_lens_best_layer": "logit_best_layer"}  # LatentLens's curve is flat: its best is any layer
    | {f"embedding_lens_{name}": f"embedding_{name}" for name in _BEST}
    | {
        "logit_lens_hand_minus_background": "logit_hand_minus_background",
        "latent_lens_text_words_right": "latent_text_words_right",
        "latent_lens_search_recall": "latent_search_recall",
        "images": "images",
        "model": "model",
    }
)


def image_grid(table: pd.DataFrame) -> tuple[int, int] | None:
    """Rows and columns of the grid of all image tokens; None where they make none.

    `table` is `data/lenses/words.parquet`.
    """
    rows, columns = table[["rows", "columns"]].iloc[0]
    return None if pd.isna(rows) else (int(rows), int(columns))


def readable_patches(
    table: pd.DataFrame, words: Mapping[str, frozenset[str]], labels: Mapping[str, str]
) -> pd.DataFrame:
    """One row an image, site, lens, number of guesses (1, and k) and patch.

    `interpretable` is 1 if one of the patch's first words holds for the hand, else 0; `other_image` and
    `shuffled_words` are the shares under each null. `table` is `data/lenses/words.parquet`; `words` and `labels` are by
    image_id, of the images that words are known of. An image that no image of another class stands beside is left out.
    """
    known = table[table["image_id"].isin(words)]
    codes, said = pd.factorize(known["word"].str.lower())
    known = known.assign(code=codes)
    own, true, others = _hands(list(dict.fromkeys(known["image_id"])), words, labels, said)
    of_lens = {lens: np.unique(here) for lens, here in known.groupby("lens")["code"]}
    k, keys, found = int(known["rank"].max()) if len(known) else 0, [], []
    for (image, site, lens), here in known.groupby(["image_id", "site", "lens"], sort=False):
        if image not in others:
            continue
        patches, of_patch = np.unique(here["patch"], return_inverse=True)
        of_ranks = np.full((len(patches), k), -1)
        of_ranks[of_patch, here["rank"] - 1] = here["code"]
        holding = int(true[own[image]][of_lens[lens]].sum())
        for guesses in sorted({1, k}):
            first = of_ranks[:, :guesses]
            holds = true[:, first].any(axis=2)  # hands x patches
            at_random = _one_at_random(len(of_lens[lens]), holding, (first >= 0).sum(axis=1))
            keys.append((image, site, lens, guesses))
            found.append(np.array([patches, holds[own[image]], others[image] @ holds, at_random]))
    columns = pd.DataFrame(keys, columns=["image_id", "site", "lens", "guesses"])
    columns = columns.loc[np.repeat(columns.index, [of_keys.shape[1] for of_keys in found])].reset_index(drop=True)
    patch, interpretable, *nulls = np.concatenate(found, axis=1) if found else np.empty((2 + len(NULLS), 0))
    return columns.assign(patch=patch.astype(int), interpretable=interpretable, **dict(zip(NULLS, nulls, strict=True)))


def _hands(
    ids: list[str], words: Mapping[str, frozenset[str]], labels: Mapping[str, str], said: pd.Index
) -> tuple[dict[str, int], Bool[np.ndarray, "hands words"], dict[str, Float[np.ndarray, " hands"]]]:
    """Hands that the same words hold for are one: which each image shows, and which words of `said` hold for each.

    Also, by image, which share of the images of other classes shows each hand. A last column is no word at all.
    """
    hands = list(dict.fromkeys(words[image] for image in ids))
    own = {image: hands.index(words[image]) for image in ids}
    true = np.zeros((len(hands), len(said) + 1), dtype=bool)
    for hand, holding in enumerate(hands):
        true[hand, :-1] = said.isin(list(holding))
    counts = pd.crosstab([labels[image] for image in ids], [own[image] for image in ids]) if ids else pd.DataFrame()
    others = {}
    for image in ids:
        left = (counts.sum() - counts.loc[labels[image]]).to_numpy()
        if left.sum():
            others[image] = left / left.sum()
    return own, true, others


def _one_at_random(said: int, holding: int, drawn: Int[np.ndarray, " patches"]) -> Float[np.ndarray, " patches"]:
    """How likely one of the `drawn` words, of `said` of which some are `holding`, is one that holds."""
    none = np.cumprod([1.0, *((said - holding - number) / (said - number) for number in range(drawn.max()))])
    return 1 - np.maximum(none, 0)[drawn]


def shares(patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """The share of patches that are readable at each site under each lens, and what is beyond the harder null.

    The table has lens, guesses, site, harder_null (its name), and share, other_image, shuffled_words and over_null,
    each with low and high.
    """
    names = ("share", *NULLS, "over_null")
    if patches.empty:
        return pd.DataFrame(columns=[*_CURVES, "harder_null", *(f"{name}{end}" for name in names for end in _ENDS)])
    measured = _beyond_null(patches)
    table = measured[[*_CURVES, "harder_null"]].drop_duplicates()
    for name in names:
        found = effects(measured, _CURVES, "image_id", name, statistics, generator)
        table = table.merge(found.table(name, statistics.confidence, share=name == "share"), on=_CURVES)
    return _in_order(table)


def latent_over_logit(
    patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """By how much LatentLens is above LogitLens, each beyond its harder null: guesses, site, difference, low, high."""
    if patches.empty:
        return pd.DataFrame(columns=["guesses", "site", *(f"difference{end}" for end in _ENDS)])
    found = effects(_beyond_null(patches), _CURVES, "image_id", "over_null", statistics, generator)
    return _difference(found, ["guesses", "site"], "lens", ("latent", "logit"), statistics.confidence)


def _beyond_null(patches: pd.DataFrame) -> pd.DataFrame:
    """The patches with the name of the harder null of their curve, and what is beyond it."""
    harder = patches.groupby(_CURVES)[list(NULLS)].mean().idxmax(axis=1).rename("harder_null").reset_index()
    patches = patches.merge(harder, on=_CURVES).rename(columns={"interpretable": "share"})
    null = np.where(patches["harder_null"] == NULLS[0], patches[NULLS[0]], patches[NULLS[1]])
    return patches.assign(over_null=patches["share"] - null)


def shares_on_hand(patches: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """The shares of patches on the hand and of those on the background, by the nearest word, at each site by lens.

    `patches` has `hand`, how much of a patch the hand covers (NaN: not known, left out). The table has lens, site,
    hand and background, and hand_over_other_image and background_over_other_image (beyond the words of another image:
    shuffled words are the same null for both), and difference (between these two), each with low and high.
    """
    known = patches[patches["guesses"] == 1].dropna(subset="hand")
    known = known.assign(over_other_image=known["interpretable"] - known["other_image"])
    known["where"] = np.where(known["hand"] >= ON_HAND, *KINDS)
    names = {"interpretable": "", "over_other_image": "_over_other_image"}
    if known["where"].nunique() < 2:  # no patch, or all of one kind
        columns = [f"{where}{suffix}" for suffix in names.values() for where in KINDS] + ["difference"]
        return pd.DataFrame(columns=["lens", "site", *(f"{name}{end}" for name in columns for end in _ENDS)])
    by = ["lens", "site"]
    found = {name: effects(known, [*by, "where"], "image_id", name, statistics, generator) for name in names}
    table = _difference(found["over_other_image"], by, "where", KINDS, statistics.confidence)
    for name, suffix in names.items():
        for where in KINDS:
            of_kind = found[name].table(f"{where}{suffix}", statistics.confidence)
            table = table.merge(of_kind[of_kind.pop("where") == where], on=by)
    return _in_order(known[by].drop_duplicates().merge(table, on=by))


def _difference(found: Effects, by: list[str], between: str, pair: tuple[str, str], confidence: float) -> pd.DataFrame:
    """The first of the `pair` minus the second, where both are there: the keys `by`, difference, low and high."""
    curves = found.keys.assign(curve=np.arange(len(found.keys)))
    curves = curves.pivot_table("curve", by, between, sort=False).reindex(columns=pair).dropna()
    first, second = (curves[one].astype(int).to_numpy() for one in pair)
    low, high = interval(found.resampled[:, first] - found.resampled[:, second], confidence)
    return curves.index.to_frame(index=False).assign(
        difference=found.overall[first] - found.overall[second], difference_low=low, difference_high=high
    )


def _in_order(table: pd.DataFrame) -> pd.DataFrame:
    order = {lens: place for place, lens in enumerate(LENSES)}
    return table.sort_values("lens", key=lambda column: column.map(order), kind="stable", ignore_index=True)


def lens_metrics(found: pd.DataFrame, leads: pd.DataFrame, on_hand: pd.DataFrame) -> dict[str, Metric]:
    """What is beyond the harder null for each lens at the first layer and at its best, by the nearest word and by k.

    `found`, `leads` and `on_hand` are what `shares`, `latent_over_logit` and `shares_on_hand` give, the last of the
    patches of all layers together. `latent_leads_up_to` is the last layer of those, from the first on, where LatentLens
    is above LogitLens with an interval above zero.
    """
    metrics: dict[str, Metric] = {}
    for (lens, guesses), rows in found.groupby(["lens", "guesses"], sort=False):
        first, best = rows.iloc[0], rows.loc[rows["over_null"].idxmax()]
        name = f"{lens}_" if guesses == 1 else f"{lens}_k_words_"
        metrics |= {
            f"{name}share": float(rows["share"].mean()),
            f"{name}best_layer": str(best["site"]),
            **{f"{name}first_layer{end}": float(first[f"over_null{end}"]) for end in _ENDS},
            **{f"{name}over_null{end}": float(best[f"over_null{end}"]) for end in _ENDS},
        }
    of_first = leads[leads["guesses"] == 1]
    if len(of_first):
        ahead = (of_first["difference_low"] > 0).cummin().sum()
        metrics["latent_leads_up_to"] = str(of_first["site"].iloc[ahead - 1]) if ahead else "no layer"
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
    """What `dvc plots` draws of `shares` by the nearest word: lens, words (the lens's, or the harder null's), blocks,
    share, low, high.

    `blocks` is how many decoder blocks a token has passed.
    """
    first = found[found["guesses"] == 1]
    columns = {"the nearest": ["share"] * len(first), "the harder null": first["harder_null"]}
    parts = [
        pd.DataFrame({
            "lens": first["lens"].map(DISPLAYED),
            "words": words,
            "blocks": first["site"].map(_blocks_passed),
            **{
                name: [row[f"{column}{end}"] for column, (_, row) in zip(of_rows, first.iterrows(), strict=True)]
                for name, end in (("share", ""), ("low", "_low"), ("high", "_high"))
            },
        })
        for words, of_rows in columns.items()
    ]  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _blocks_passed(site: str) -> int:
    block = block_of(site)
    return 0 if block is None else block + 1


def leap_metrics(
    table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """The mean text layer of LatentLens's nearest neighbour at the first and the last visual layer, with intervals.

    Text layers are numbered from 0, the first that is stored. `table` is `data/lenses/words.parquet`.
    """
    latent = _nearest(table)
    numbers = {site: number for number, site in enumerate(sorted(latent["text_site"].unique()))}
    numbered = latent.assign(number=latent["text_site"].map(numbers))
    found = effects(numbered, ["site"], "image_id", "number", statistics, generator).table(
        "leap", statistics.confidence
    )
    ends = {"first": found.iloc[0], "last": found.iloc[-1]}
    return {f"leap_{name}{end}": float(row[f"leap{end}"]) for name, row in ends.items() for end in _ENDS}


def leap(table: pd.DataFrame) -> pd.DataFrame:
    """The mid-layer leap: a row a visual layer and text layer, the share of LatentLens's nearest neighbours there."""
    latent = _nearest(table)
    sites = list(dict.fromkeys(latent["site"]))
    counts = latent.groupby(["site", "text_site"]).size().rename("share").reset_index()
    counts["share"] /= counts.groupby("site")["share"].transform("sum")
    return counts.sort_values(["site", "text_site"], key=lambda c: c.map(sites.index) if c.name == "site" else c,
                              ignore_index=True)  # fmt: skip


def _nearest(table: pd.DataFrame) -> pd.DataFrame:
    return table[(table["lens"] == "latent") & (table["rank"] == 1)]
