"""Do image and text tokens share directions? Measures of alignment between the two kinds, layer by layer.

Each measure is given as one value an item (photo or phrase) whose mean it is, so that all have intervals over items
and can be compared between layers on the same ones: shares and cosines are such means, of CKA and AUC the items are
the jackknife's pseudo-values (Tukey 1958): n times the whole less n - 1 times what is left without the item.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from sklearn.model_selection import KFold

from signbridge.core.tables import Metric
from signbridge.lenses.modalities import words_in
from signbridge.datasets.hands import WORDS
from signbridge.statistics.effects import effects, mean_metrics
from signbridge.statistics.intervals import StatisticsParams, draw_photos

NEIGHBOURS = ("text_near_image", "image_near_text", "text_near_image_centred", "image_near_text_centred")
COSINES = ("cosine_between", "cosine_within_image", "cosine_within_text")
PROBES = ("text_probe_on_image", "text_probe_on_text", "image_probe_on_image")
MEASURES = (*NEIGHBOURS, "cka", *COSINES, *PROBES)  # as in plots/alignment.csv
_FOLDS = 5
_FEWEST = 5  # items with and without a word for which a probe is made and held to


def linear_cka(x: Float[np.ndarray, "items width"], y: Float[np.ndarray, "items other_width"]) -> float:
    """Linear centred kernel alignment of two sets of vectors of the same items, without the bias of few items.

    Kornblith et al. 2019 with the unbiased estimate of HSIC (Song et al. 2012, equation 5), so that unrelated vectors
    give 0 on average, however wide they are. NaN for fewer than four items, and where one set does not vary.
    """
    return _cka(_kernel(x), _kernel(y))


def _kernel(x: Float[np.ndarray, "items width"]) -> Float[np.ndarray, "items items"]:
    """Products of all pairs, off an offset that CKA does not see: vectors that are all the same are zeros exactly."""
    x = x - x[0]
    x -= x.mean(0)
    return x @ x.T


def _cka(k: np.ndarray, other: np.ndarray) -> float:
    if len(k) < 4:
        return float("nan")
    scale = _hsic(k, k) * _hsic(other, other)
    return _hsic(k, other) / float(np.sqrt(scale)) if scale > 0 else float("nan")


def _hsic(k: np.ndarray, other: np.ndarray) -> float:
    n = len(k)
    k, other = (kernel - np.diag(np.diag(kernel)) for kernel in (k, other))
    middle = k.sum() * other.sum() / ((n - 1) * (n - 2)) - 2 * (k.sum(0) @ other.sum(0)) / (n - 2)
    return float(((k * other).sum() + middle) / (n * (n - 3)))


def auc(scores: Float[np.ndarray, "items"], true: Bool[np.ndarray, "items"]) -> float:
    """The chance that an item that is true scores above one that is not; ties count half. NaN for one kind alone."""
    if true.all() or not true.any():
        return float("nan")
    return float(np.sign(scores[true][:, None] - scores[~true]).mean() / 2 + 0.5)


def pseudo_values(items: int, measure: Callable[[Bool[np.ndarray, "items"]], float]) -> Float[np.ndarray, "items"]:
    """The jackknife's pseudo-values of a `measure` of those items that a mask marks."""
    every = np.ones(items, bool)
    without = []
    for item in range(items):
        every[item] = False
        without.append(measure(every))
        every[item] = True
    return items * measure(every) - (items - 1) * np.array(without)


def measured_items(
    table: pd.DataFrame, image_words: dict[str, frozenset[str]], draws: int, generator: np.random.Generator
) -> pd.DataFrame:
    """All measures that need only the items' means: a row a measure, site and item, with its value.

    `table` is `data/modalities.parquet`; `image_words` are the words that hold for each image's hand. The column `null`
    has what the measure is on average over `draws` where captions are dealt to images at random (CKA), or words to
    phrases (the text-trained probe), and NaN where half or nought is the null; `beaten` the share of draws below it.
    """
    parts = []
    for site, here in table.groupby("site", sort=False):
        kinds = {kind: rows.reset_index(drop=True) for kind, rows in here.groupby("kind", sort=False)}
        image, text = kinds["image"], kinds["text"]
        found = {**_cosines(_stacked(image, "unit_mean"), _stacked(text, "unit_mean"))}
        nulls: dict[str, np.ndarray] = {}
        if "caption" in kinds:
            found["cka"], nulls["cka"] = _cka_items(
                _stacked(image, "mean"), _stacked(kinds["caption"], "mean"), draws, generator
            )
        known = image[image["item"].isin(image_words)]
        if len(known):
            on_probes, nulls["text_probe_on_image"] = _probe_items(known, text, image_words, draws, generator)
            found |= on_probes
        ids = {"text": text["item"], "image": image["item"], "known": known["item"]}
        for measure, values in found.items():
            of = "known" if measure.endswith("probe_on_image") else "text" if measure.endswith("text") else "image"
            null, whole = nulls.get(measure, np.array([np.nan])), np.mean(values)
            parts.append(
                pd.DataFrame(
                    {
                        "measure": measure, "site": site, "item": ids[of].to_numpy(), "value": values,
                        "null": np.mean(null), "beaten": np.mean(null < whole) if measure in nulls else np.nan,
                    }
                )
            )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _stacked(rows: pd.DataFrame, name: str) -> Float[np.ndarray, "items width"]:
    return np.stack(rows[name].to_list()).astype(np.float64)


def _cosines(
    image: Float[np.ndarray, "images width"], text: Float[np.ndarray, "phrases width"]
) -> dict[str, Float[np.ndarray, "items"]]:
    """The mean cosine of each image's tokens with those of all phrases, of the other images, and of phrases alike."""
    within = {
        name: ((of @ of.sum(0)) - (of * of).sum(1)) / max(len(of) - 1, 1)
        for name, of in (("cosine_within_image", image), ("cosine_within_text", text))
    }
    return {"cosine_between": image @ text.mean(0), **within}


def _cka_items(
    image: np.ndarray, caption: np.ndarray, draws: int, generator: np.random.Generator
) -> tuple[Float[np.ndarray, "images"], Float[np.ndarray, "draws"]]:
    k, other = _kernel(image), _kernel(caption)
    dealt = [generator.permutation(len(other)) for _ in range(draws)]
    null = np.array([_cka(k, other[np.ix_(order, order)]) for order in dealt])
    return pseudo_values(len(k), lambda kept: _cka(k[np.ix_(kept, kept)], other[np.ix_(kept, kept)])), null


def _probe_items(
    image: pd.DataFrame,
    text: pd.DataFrame,
    image_words: dict[str, frozenset[str]],
    draws: int,
    generator: np.random.Generator,
) -> tuple[dict[str, Float[np.ndarray, "items"]], Float[np.ndarray, "draws"]]:
    """AUC of probes of hand words, on average over words: trained on phrases and held to images, and to their own."""
    said = np.array([[word in words_in(phrase) for word in WORDS] for phrase in text["item"]])
    shown = np.array([[word in image_words[item] for word in WORDS] for item in image["item"]])
    fit = np.all([_both_kinds(labels) for labels in (said, shown)], axis=0)
    if not fit.any():
        return {}, np.array([])
    said, shown = said[:, fit], shown[:, fit]
    # Each kind in its own mean and spread: what parts the two as a whole is not what a word is read by.
    of_text, of_image = (_standardised(_stacked(rows, "mean")) for rows in (text, image))
    shuffled = [said[generator.permutation(len(said))] for _ in range(draws)]
    real, *null = np.split(of_image @ _probes(of_text, np.hstack([said, *shuffled])), 1 + draws, axis=1)
    on_text, on_image = _cross_validated(of_text, said), _cross_validated(of_image, shown)
    items = {
        name: pseudo_values(len(true), lambda kept, by=by, true=true: _mean_auc(by[kept], true[kept]))
        for name, by, true in zip(
            PROBES, (real, on_text, on_image), (shown, said, shown), strict=True
        )
    }  # fmt: skip
    return items, np.array([_mean_auc(of_draw, shown) for of_draw in null])


def _both_kinds(labels: Bool[np.ndarray, "items words"]) -> Bool[np.ndarray, "words"]:
    return (labels.sum(0) >= _FEWEST) & ((~labels).sum(0) >= _FEWEST)


def _probes(
    vectors: Float[np.ndarray, "items width"], true: Bool[np.ndarray, "items words"]
) -> Float[np.ndarray, "width words"]:
    """For each word the difference of the means of the items with and without it (Marks and Tegmark 2023).

    There is no penalty to choose: one that suits text reads the word's own token, and need not suit images.
    """
    with_word = true / np.maximum(true.sum(0), 1)
    without = ~true / np.maximum((~true).sum(0), 1)
    return vectors.T @ (with_word - without)


def _cross_validated(
    vectors: Float[np.ndarray, "items width"], true: Bool[np.ndarray, "items words"]
) -> Float[np.ndarray, "items words"]:
    """The scores of items by probes of the other folds' items."""
    scores = np.empty(true.shape)
    for train, test in KFold(_FOLDS, shuffle=True, random_state=0).split(vectors):
        scores[test] = vectors[test] @ _probes(vectors[train], true[train])
    return scores


def _standardised(vectors: Float[np.ndarray, "items width"]) -> Float[np.ndarray, "items width"]:
    spread = vectors.std(0)
    return (vectors - vectors.mean(0)) / np.where(spread > 0, spread, 1)


def _mean_auc(scores: Float[np.ndarray, "items words"], true: Bool[np.ndarray, "items words"]) -> float:
    return float(np.mean([auc(*of_word) for of_word in zip(scores.T, true.T, strict=True)]))


def alignment(items: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> pd.DataFrame:
    """measure, site, value, low, high, null and beaten: each measure at each site, with an interval over its items."""
    parts = []
    for measure in [measure for measure in MEASURES if measure in set(items["measure"])]:
        rows = items[items["measure"] == measure].dropna(subset="value")
        if rows.empty:
            continue
        found = effects(rows, ["measure", "site"], "item", "value", statistics, generator)
        table = found.table("value", statistics.confidence, share=measure in NEIGHBOURS)
        table = table.rename(columns={"value_low": "low", "value_high": "high"})
        if measure in PROBES:  # pseudo-values go beyond what an AUC can be
            table[["low", "high"]] = table[["low", "high"]].clip(0, 1)
        parts.append(table.merge(rows.groupby("site", sort=False)[["null", "beaten"]].first().reset_index(), on="site"))
    columns = ["measure", "site", "value", "low", "high", "null", "beaten"]
    return pd.concat(parts, ignore_index=True)[columns] if parts else pd.DataFrame(columns=columns)


def alignment_metrics(
    items: pd.DataFrame, sites: Sequence[str], statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """Each measure at the first and last of the `sites`, and how much more it is at the last, over the same items."""
    metrics: dict[str, Metric] = {}
    for measure in [measure for measure in MEASURES if measure in set(items["measure"])]:
        rows = items[items["measure"] == measure]
        by_item = rows.pivot_table("value", "item", "site", sort=False).reindex(columns=list(sites)).dropna()
        if by_item.empty:
            continue
        first, last = by_item[sites[0]].to_numpy(), by_item[sites[-1]].to_numpy()
        drawn = draw_photos(len(by_item), statistics.resamples, generator)
        metrics |= {f"{measure}_first": float(first.mean()), f"{measure}_last": float(last.mean())}
        metrics |= mean_metrics(f"{measure}_last_minus_first", last - first, drawn, statistics.confidence)
    return metrics
