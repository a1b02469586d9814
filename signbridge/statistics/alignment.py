"""Do image and text tokens share directions? Measures of alignment between the two kinds, layer by layer.

Each measure is the mean of one value an item (photo or phrase), so that all measures have intervals over items, and
layers are compared on the same items. Shares and cosines are such means. For CKA and AUC the values are the
pseudo-values of the jackknife (Tukey 1958): n times the whole minus n - 1 times the measure without the item.
"""

from collections.abc import Callable, Sequence

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float, Int
from pydantic import Field
from scipy.stats import norm
from sklearn.model_selection import KFold

from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.datasets.hands import WORDS, words_in
from signbridge.statistics.effects import effects, mean_metrics
from signbridge.statistics.intervals import StatisticsParams, draw_groups

NEIGHBOURS = ("text_near_image", "image_near_text", "text_near_image_centred", "image_near_text_centred")
COSINES = ("cosine_between", "cosine_within_image", "cosine_within_text")
PROBES = ("text_probe_on_image", "text_probe_on_text", "image_probe_on_image")
MEASURES = (*NEIGHBOURS, "cka", *COSINES, *PROBES)  # in the order of the table
BLOCKS = 50  # in which groups are left out, at most
_FOLDS = 5
_FEWEST = 5  # items with a word, and without it, for a probe of the word to be fitted and evaluated

# Names in metrics/lenses/alignment.json, and the findings that they are. The AUC of probes is 0.5 by chance.
HEADLINE = {
    "image_words_by_text_probe_auc_last_layer": "text_probe_on_image_last",
    "image_words_by_text_probe_auc_first_layer": "text_probe_on_image_first",
    "image_words_by_text_probe_auc_gain": "text_probe_on_image_last_minus_first",
    "image_words_by_text_probe_auc_gain_low": "text_probe_on_image_last_minus_first_low",
    "image_words_by_text_probe_auc_gain_high": "text_probe_on_image_last_minus_first_high",
    "image_words_by_image_probe_auc_last_layer": "image_probe_on_image_last",
    "text_words_by_text_probe_auc_last_layer": "text_probe_on_text_last",
    "image_caption_cka_first_layer": "cka_first",
    "image_caption_cka_last_layer": "cka_last",
    "image_caption_cka_gain": "cka_last_minus_first",
    "image_caption_cka_gain_low": "cka_last_minus_first_low",
    "image_caption_cka_gain_high": "cka_last_minus_first_high",
    "share_of_text_near_image_tokens_first_layer": "text_near_image_first",
    "share_of_text_near_image_tokens_last_layer": "text_near_image_last",
    "share_of_images_near_text_tokens_first_layer": "image_near_text_first",
    "share_of_images_near_text_tokens_last_layer": "image_near_text_last",
    "cosine_image_text_first_layer": "cosine_between_first",
    "cosine_image_text_last_layer": "cosine_between_last",
    "cosine_image_image_last_layer": "cosine_within_image_last",
    "cosine_text_text_last_layer": "cosine_within_text_last",
    "images": "images",
    "model": "model",
}


class AlignmentParams(Section):
    """The section `alignment`."""

    draws: int = Field(ge=1)  # of each null


def linear_cka(x: Float[np.ndarray, "items width"], y: Float[np.ndarray, "items other_width"]) -> float:
    """Linear centred kernel alignment of two sets of vectors of the same items, without the bias of few items.

    Kornblith et al. 2019 with the unbiased estimate of HSIC (Song et al. 2012, equation 5), so that unrelated vectors
    give 0 on average, however wide they are. NaN for fewer than four items, and where one set does not vary.
    """
    return _cka(_kernel(x), _kernel(y))


def cka_with_interval(
    x: Float[np.ndarray, "items width"],
    y: Float[np.ndarray, "items other_width"],
    group: Int[np.ndarray, "items"],
    confidence: float,
) -> tuple[float, float, float]:
    """`linear_cka` and its interval: the jackknife's over groups (Tukey 1958), normal, no higher than 1.

    Groups are left out in `BLOCKS` lots at most, in turn, so that many groups do not take long.
    """
    k, other = _kernel(x), _kernel(y)
    lots = np.unique(group, return_inverse=True)[1] % BLOCKS
    whole, without = _cka(k, other), []
    for lot in np.unique(lots):
        kept = np.flatnonzero(lots != lot)
        without.append(_cka(k[np.ix_(kept, kept)], other[np.ix_(kept, kept)]))
    left_out = np.array(without)
    error = np.sqrt((len(left_out) - 1) * np.mean((left_out - left_out.mean()) ** 2))
    half = float(norm.ppf((1 + confidence) / 2) * error)
    return whole, whole - half, min(whole + half, 1.0)


def _kernel(x: Float[np.ndarray, "items width"]) -> Float[np.ndarray, "items items"]:
    """Products of all pairs of centred vectors. Equal vectors give exact zeros, as one of them is subtracted first."""
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
    """The probability that a true item scores above a false one; ties count half. NaN where all are of one kind."""
    if true.all() or not true.any():
        return float("nan")
    return float(np.sign(scores[true][:, None] - scores[~true]).mean() / 2 + 0.5)


def pseudo_values(items: int, measure: Callable[[Bool[np.ndarray, "items"]], float]) -> Float[np.ndarray, "items"]:
    """The jackknife's pseudo-values of a `measure`, which takes a mask of items."""
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

    `table` is `data/lenses/modalities.parquet`; `image_words` are the words that hold for each image's hand. `null` is
    the mean of the measure over `draws` in which captions are given to random images (CKA), or words to random phrases
    (the probe fitted on text); `beaten` is the share of draws below the measure. Both are NaN for the other measures.
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
    """The mean cosine of each image's tokens with those of all phrases, and of other images; of phrases likewise."""
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
    """Mean AUC over words of probes fitted on phrases and evaluated on images, or on held-out items of one kind."""
    said = np.array([[word in words_in(phrase) for word in WORDS] for phrase in text["item"]])
    shown = np.array([[word in image_words[item] for word in WORDS] for item in image["item"]])
    fit = np.all([_both_kinds(labels) for labels in (said, shown)], axis=0)
    if not fit.any():
        return {}, np.array([])
    said, shown = said[:, fit], shown[:, fit]
    # Each kind is standardised by itself: a constant offset between the two says nothing about a word.
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

    It has no penalty to choose: one that suits text, where the word's own token is read, need not suit images.
    """
    with_word = true / np.maximum(true.sum(0), 1)
    without = ~true / np.maximum((~true).sum(0), 1)
    return vectors.T @ (with_word - without)


def _cross_validated(
    vectors: Float[np.ndarray, "items width"], true: Bool[np.ndarray, "items words"]
) -> Float[np.ndarray, "items words"]:
    """The scores of items by probes that are fitted on the other folds."""
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
    """Each measure at the first and the last of the `sites`, and the difference, over the same items."""
    metrics: dict[str, Metric] = {}
    for measure in [measure for measure in MEASURES if measure in set(items["measure"])]:
        rows = items[items["measure"] == measure]
        by_item = rows.pivot_table("value", "item", "site", sort=False).reindex(columns=list(sites)).dropna()
        if by_item.empty:
            continue
        first, last = by_item[sites[0]].to_numpy(), by_item[sites[-1]].to_numpy()
        drawn = draw_groups(len(by_item), statistics.resamples, generator)
        metrics |= {f"{measure}_first": float(first.mean()), f"{measure}_last": float(last.mean())}
        metrics |= mean_metrics(f"{measure}_last_minus_first", last - first, drawn, statistics.confidence)
    return metrics
