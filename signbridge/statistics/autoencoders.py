"""How well autoencoders do at image and at text tokens, and which features fire for both kinds, with intervals.

Items are resampled: photos for image tokens, phrases for text tokens, independently of each other. All sites have the
same resamples, so that layers can be compared.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Annotated, NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int
from pydantic import AfterValidator, Field

from signbridge.core import tables
from signbridge.core.names import KINDS, TWIN
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects
from signbridge.statistics.intervals import StatisticsParams, draw_groups, interval

BOTH = "both"  # kinds together
SHARES = ("shared", "image_only", "text_only")  # of the features that are not dead
SHARED_MASS = "shared_mass"  # the share of all activation that is of shared features
ALL_OR_ONE_KIND = ("", "_all")  # where the stream is replaced: at tokens of one kind, or at all of them
LIKELIHOODS = ("nll", "nll_sae", "nll_zero", "nll_sae_all", "nll_zero_all")  # nats a token (`sae/splicing.py`)
_FEATURES_AT_ONCE = 1024


def _in_order(bounds: list[float]) -> list[float]:
    if bounds[0] > bounds[1]:
        raise ValueError("the two bounds should be in ascending order")
    return bounds


# Modality scores between which a feature counts as shared by image and text tokens.
Bounds = Annotated[
    list[Annotated[float, Field(ge=0, le=1)]], Field(min_length=2, max_length=2), AfterValidator(_in_order)
]


class EvaluateParams(Section):
    """The section `evaluate` of stages/sae/params.yaml."""

    shared: Bounds


class Items(NamedTuple):
    """The items of one kind at every site, the same ones in the same order."""

    table: pd.DataFrame  # site, item, and the columns of `sae.features.item_table`
    masses: dict[str, Float[np.ndarray, "items features"]]  # by site, summed over the item's tokens
    explained: Mapping[str, Float[np.ndarray, "items components"]] = MappingProxyType({})  # by site, by a PCA


def read_items(folder: Path, sites: Sequence[str]) -> dict[str, Items]:
    """By kind of token the items at every site, from the tables in `folder` (one a site, by `sae.features`)."""
    of_site = {site: items_of(folder, site) for site in sites}
    found = {}
    for kind in KINDS:
        mine = {site: (table["kind"] == kind).to_numpy() for site, (table, _) in of_site.items()}
        lists = {
            name: {site: lists[name][mine[site]] for site, (_, lists) in of_site.items() if name in lists}
            for name in ("mass", "explained")
        }
        rows = pd.concat([table[mine[site]].assign(site=site) for site, (table, _) in of_site.items()])
        found[kind] = Items(rows, lists["mass"], lists["explained"])
    return found


def items_of(folder: Path, site: str) -> tuple[pd.DataFrame, dict[str, Float[np.ndarray, "items numbers"]]]:
    """The table of items of one site without its lists, `mass` and `explained`, and these as arrays."""
    table = tables.read_arrow(folder / f"{site}.parquet")
    lists = {}
    for name in [name for name in ("mass", "explained") if name in table.column_names]:
        lists[name] = table[name].combine_chunks().flatten().to_numpy(zero_copy_only=False).reshape(len(table), -1)
    return table.drop_columns(list(lists)).to_pandas(), lists


class Drawn(NamedTuple):
    """A value with what it is in each resample."""

    value: float
    resampled: Float[np.ndarray, "resamples"]


def judged(
    items: Mapping[str, Items],
    features: pd.DataFrame,
    bounds: tuple[float, float],
    statistics: StatisticsParams,
    generator: np.random.Generator,
    of_twin: Mapping[str, Items] | None = None,
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The table of measures (site, modality, measure, value, low, high), and the findings.

    `items` are by kind of token, `features` is the table of `sae.features.feature_rows`. A feature is shared if its
    modality score is within `bounds`; `shared_mass` is the share of all activation, of as many tokens of either kind,
    that is of such features. `of_twin` has the same items as the untrained twin's autoencoders read them: what is
    shared there is the null, on the same resamples. Measures of each kind of token: the variance explained, and that of
    as many principal components as L0; L0, the features that fire for a token; the share of features that fire at all;
    the negative log-likelihoods in nats a token; the cost of zeros in place of the stream; and fidelity, the share of
    this cost that the autoencoder saves, at the tokens of this kind and (`_all`) at all tokens. Fidelity is NaN where
    the cost is not clearly above 0. Shares of features that are only counted have no interval.
    """
    rows, drawn = [], {}
    for kind in KINDS:
        for measure, curves in _measures(with_pca(items[kind]), statistics, generator).items():
            table = curves.table("value", statistics.confidence)
            rows.append(table.rename(columns={"value_low": "low", "value_high": "high"}).assign(measure=measure))
            rows[-1]["modality"] = kind
            for place, site in enumerate(table["site"]):
                drawn[site, kind, measure] = Drawn(float(curves.overall[place]), curves.resampled[:, place])
        rows.append(_share(features, features[f"{kind}_fires"] > 0, "fires", kind))
    rows.append(_share(features, features["modality"].isna(), "dead", BOTH))
    state = generator.bit_generator.state
    shares = shares_of_modality(items, bounds, statistics, generator)
    if of_twin:
        generator.bit_generator.state = state  # the same resamples
        shares = _beside_twin(shares, shares_of_modality(of_twin, bounds, statistics, generator))
    for site, of_site in shares.items():
        for measure, share in of_site.items():
            drawn[site, BOTH, measure] = share
            rows.append(_row(site, BOTH, measure, share, statistics.confidence))
    table = pd.concat(rows, ignore_index=True)[["site", "modality", "measure", "value", "low", "high"]]
    unclear = _zeros_unclear(drawn, statistics.confidence)
    keys = zip(table["site"], table["modality"], table["measure"], strict=True)
    table.loc[[key in unclear for key in keys], ["value", "low", "high"]] = np.nan
    return table, _metrics(table, {key: one for key, one in drawn.items() if key not in unclear}, statistics)


def with_pca(items: Items) -> pd.DataFrame:
    """The table of items with `by_pca` and `off_centre`: what as many principal components as L0 explain of how much.

    That many of each kind of token at each site, rounded. Without a PCA, or with fewer components, there are none.
    """
    parts = []
    for site, table in items.table.groupby("site", sort=False):
        wanted = round(table["active"].sum() / table["tokens"].sum())
        explained = items.explained.get(site)
        enough = explained is not None and explained.shape[1] >= wanted
        parts.append(table.assign(by_pca=explained[:, :wanted].sum(1)) if enough else table)
    return pd.concat(parts)


def _measures(table: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> dict[str, Effects]:
    """Each measure of one kind of token at every site."""
    of = {"variance_explained": ("explained", "deviation"), "l0": ("active", "tokens")}
    if "by_pca" in table:
        of["pca_variance_explained"] = ("by_pca", "deviation")
        table = table.assign(by_pca=table["deviation"] - (table["off_centre"] - table["by_pca"]))
    table = table.assign(explained=table["deviation"] - table["error"], items=1.0)
    for end in ALL_OR_ONE_KIND:
        lost, kept = f"lost_to_zeros{end}", f"kept{end}"
        table[lost], table[kept] = (
            table[f"nll_zero{end}"] - table["nll"],
            table[f"nll_zero{end}"] - table[f"nll_sae{end}"],
        )
        of |= {f"fidelity{end}": (kept, lost), f"zeros_cost{end}": (lost, "items")}
    of |= {name: (name, "items") for name in LIKELIHOODS}
    (one,) = generator.spawn(1)
    state = one.bit_generator.state
    found = {}
    for measure, (value, weight) in of.items():
        one.bit_generator.state = state  # the same resamples for every measure
        found[measure] = effects(table, ["site"], "item", value, statistics, one, weight)
    return found


def _beside_twin(
    shares: Mapping[str, Mapping[str, Drawn]], of_twin: Mapping[str, Mapping[str, Drawn]]
) -> dict[str, dict[str, Drawn]]:
    """What is shared, what is shared in the twin, and the difference, by site."""
    found = {}
    for site, mine in shares.items():
        found[site] = dict(mine)
        for name in ("shared", SHARED_MASS):
            null = of_twin[site][name]
            gap = Drawn(mine[name].value - null.value, mine[name].resampled - null.resampled)
            found[site] |= {f"{name}_{TWIN}": null, f"{name}_over_{TWIN}": gap}
    return found


def shares_of_modality(
    items: Mapping[str, Items],
    bounds: tuple[float, float],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> dict[str, dict[str, Drawn]]:
    """By site the `SHARES` of the features that fire: modality scores within `bounds`, above them, and below them.

    And `SHARED_MASS`, the share of all activation that is of shared features: a plain count gives a feature that fires
    once as much weight as one that fires always.

    A resample does not hold all items, so some features fire for none of its items. They count by their score over all
    items: most rare features belong to one kind, and without them every resample would be biased.
    """
    drawn, tokens = {}, {}
    for kind in KINDS:
        first = items[kind].table.drop_duplicates("item")
        counts = draw_groups(len(first), statistics.resamples, generator)
        drawn[kind] = np.vstack([np.ones((1, len(first)), int), counts])  # the first row is what was measured
        tokens[kind] = first["tokens"].to_numpy(np.float64)
    found = {}
    for site in items["image"].masses:
        of_site = {kind: items[kind].masses[site] for kind in KINDS}
        counts, masses = _by_modality(of_site, drawn, tokens, bounds)
        shares = counts / np.maximum(counts.sum(0), 1)
        found[site] = {name: Drawn(float(of[0]), of[1:]) for name, of in zip(SHARES, shares, strict=True)}
        mass = np.divide(masses[0], masses.sum(0), out=np.zeros(len(masses[0])), where=masses.sum(0) > 0)
        found[site][SHARED_MASS] = Drawn(float(mass[0]), mass[1:])
    return found


def _by_modality(
    masses: Mapping[str, Float[np.ndarray, "_ features"]],
    drawn: Mapping[str, Int[np.ndarray, "resamples _"]],
    tokens: Mapping[str, Float[np.ndarray, "_"]],
    bounds: tuple[float, float],
) -> tuple[Float[np.ndarray, "shares resamples"], Float[np.ndarray, "shares resamples"]]:
    """How many features are shared, of images only and of text only, in each resample; and how much they fire."""
    counts, mass = np.zeros((2, len(SHARES), len(drawn["image"])))
    for start in range(0, masses["image"].shape[1], _FEATURES_AT_ONCE):
        means = []
        for kind in KINDS:
            of_kind = masses[kind][:, start : start + _FEATURES_AT_ONCE].astype(np.float64)
            means.append((drawn[kind] @ of_kind) / (drawn[kind] @ tokens[kind])[:, None])
        score = _image_share(*means)
        score = np.where(np.isnan(score), score[0], score)
        low, high = bounds
        for row, which in enumerate([(score >= low) & (score <= high), score > high, score < low]):
            counts[row] += which.sum(1)
            mass[row] += (which * (means[0] + means[1])).sum(1)
    return counts, mass


def _image_share(image: Float[np.ndarray, "..."], text: Float[np.ndarray, "..."]) -> Float[np.ndarray, "..."]:
    """Mean activation on image tokens over the sum of both means, as `sae.features.modality_scores` has it."""
    both = image + text
    return np.divide(image, both, out=np.full(both.shape, np.nan), where=both > 0)


def _share(features: pd.DataFrame, which: pd.Series, measure: str, modality: str) -> pd.DataFrame:
    """The share of features at each site, without an interval."""
    value = which.groupby(features["site"], sort=False).mean().rename("value").rename_axis("site").reset_index()
    return value.assign(measure=measure, modality=modality, low=np.nan, high=np.nan)


def _row(site: str, modality: str, measure: str, drawn: Drawn, confidence: float) -> pd.DataFrame:
    low, high = interval(drawn.resampled[:, None], confidence)
    one = {"site": site, "modality": modality, "measure": measure, "value": drawn.value, "low": low, "high": high}
    return pd.DataFrame(one)


def _zeros_unclear(drawn: Mapping[tuple[str, str, str], Drawn], confidence: float) -> set[tuple[str, str, str]]:
    """The fidelities of places where the cost of zeros may be 0."""
    costs = {key: one for key, one in drawn.items() if key[2].startswith("zeros_cost")}
    return {
        (site, kind, measure.replace("zeros_cost", "fidelity"))
        for (site, kind, measure), cost in costs.items()
        if not interval(cost.resampled[:, None], confidence)[0][0] > 0
    }


def _metrics(
    table: pd.DataFrame, drawn: Mapping[tuple[str, str, str], Drawn], statistics: StatisticsParams
) -> dict[str, Metric]:
    """Each measure at the first and the last site, and the difference between the two."""
    sites = list(dict.fromkeys(table["site"]))
    metrics: dict[str, Metric] = {}
    for place, rows in table[~table["measure"].isin(LIKELIHOODS)].groupby(["modality", "measure"], sort=False):
        value = rows.set_index("site")["value"]
        name = f"{place[1]}_{place[0]}" if place[0] != BOTH else str(place[1])
        for end, site in (("first", sites[0]), ("last", sites[-1])):
            if np.isfinite(value[site]):
                metrics[f"{name}_{end}"] = float(value[site])
        first, last = (drawn.get((site, *place)) for site in (sites[0], sites[-1]))
        if len(sites) > 1 and first and last and np.isfinite([first.value, last.value]).all():
            low, high = interval((last.resampled - first.resampled)[:, None], statistics.confidence)
            metrics[f"{name}_last_minus_first"] = last.value - first.value
            metrics |= {f"{name}_last_minus_first_{end}": float(of[0]) for end, of in (("low", low), ("high", high))}
    return metrics
