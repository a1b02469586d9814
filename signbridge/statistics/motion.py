"""What order adds: the same clips with their frames in order and shuffled, by layer, and beside every control.

Every number is of the same clips, and all intervals are of the same resamples of the signers. Few signers make
intervals rough, so each difference also has an exact test: were order worth nothing, each signer's difference could as
well have had the other sign (Fisher 1935). Of n signers its p-value is never below 2 / 2^n. `p_max` corrects it for
many layers, or many controls: by the largest difference among them under the same flips, step by step (Westfall and
Young 1993). Holm's correction multiplies: of six signers it could show nothing in ten layers, however large.
"""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float, Int

from signbridge.core.names import (
    IN_ORDER,
    MIDDLE_FRAME,
    MOVEMENT,
    REVERSED,
    SHUFFLED,
    SIGN,
    SINGLE_FRAMES,
    TWIN_IN_ORDER,
    TWIN_SHUFFLED,
)
from signbridge.statistics.effects import Effects, effects
from signbridge.statistics.intervals import StatisticsParams, interval, permutation_p_value

ALL = "all"  # kinds of movement together
BEST, OWN = "best", "own"  # sites: the layer that each fold chose in order; that which it chose in this very reading
KEYS = ["series", "target", "kind", "site", "position"]
FEW = 12  # signers, up to which every pattern of signs is tried
FLIPS = 10_000  # of more signers
OWN_LAYERS = (SHUFFLED, MIDDLE_FRAME, SINGLE_FRAMES, TWIN_IN_ORDER)  # readings that are controls of the one in order
TWIN = "twin"  # what is subtracted of what: the model's own is ""
ORDER = ["of", "target", "kind", "site", "position", "difference", "low", "high", "p_value", "p_max"]
REVERSED_COLUMNS = ["kind", "site", "backwards", "low", "high", "in_order"]
REVERSED_COLUMNS += ["difference", "difference_low", "difference_high", "p_value"]
CONTROLS = [
    "control",
    "target",
    "site",
    "accuracy",
    "low",
    "high",
    "over",
    "over_low",
    "over_high",
    "p_value",
    "p_max",
]


class Probed(NamedTuple):
    """What the probes of one reading, or of one baseline, said."""

    predictions: pd.DataFrame  # target, site, position, fold, clip, label, predicted
    choices: pd.DataFrame | None = None  # of the penalties, by target, group, site, position and fold


def layer_of_each_fold(choices: pd.DataFrame, target: str, position: str) -> pd.DataFrame:
    """The layer that read the inner folds best, of equals the first in depth: fold, site.

    A fold's score is the share of all its training clips, whatever group they were probed in.
    """
    rows = choices[(choices["target"] == target) & (choices["position"] == position)]
    rows = rows[rows["site"].str.startswith("layer_")]
    rows = rows.assign(right=rows["inner_accuracy"] * rows["clips"])
    scores = rows.groupby(["fold", "site"], sort=False)[["right", "clips"]].sum()
    share = (scores["right"] / scores["clips"]).round(12).reset_index(name="share")
    return share.loc[share.groupby("fold")["share"].idxmax(), ["fold", "site"]].reset_index(drop=True)


def everything(probed: Mapping[str, Probed], clips: pd.DataFrame, position: str) -> pd.DataFrame:
    """All predictions as rows of `KEYS`, signer and right (0 or 1); of movement also by kind, at `position` alone.

    `clips` has clip, signer and kind. At the sites `BEST` and `OWN` stand what the chosen layers read.
    """
    tables = []
    for series, (predictions, choices) in probed.items():
        tables.append(predictions.assign(series=series))
        for site, chose in ((BEST, probed[IN_ORDER].choices), (OWN, choices)):
            if choices is None or chose is None:
                continue
            for target in predictions["target"].unique():
                chosen = layer_of_each_fold(chose, target, position)
                rows = predictions[(predictions["target"] == target) & (predictions["position"] == position)]
                tables.append(rows.merge(chosen, on=["fold", "site"]).assign(series=series, site=site))
    rows = pd.concat(tables, ignore_index=True).merge(clips[["clip", "signer", "kind"]], on="clip")
    rows["right"] = (rows["label"] == rows["predicted"]).astype(float)
    by_kind = rows[(rows["target"] == MOVEMENT) & (rows["kind"] != "")]
    by_kind = by_kind[by_kind["position"].isin([position, "flat"])]
    return pd.concat([rows.assign(kind=ALL), by_kind], ignore_index=True)[[*KEYS, "clip", "signer", "right"]]


def flipped(
    changes: Float[np.ndarray, "signers curves"], generator: np.random.Generator
) -> tuple[Float[np.ndarray, "curves"], Float[np.ndarray, "curves"]]:
    """The two-sided p-value of each column of signers' differences, and that corrected for all columns.

    Of `FEW` signers or fewer every pattern of signs is tried, of more `FLIPS` drawn ones. It is corrected by the free
    step-down of the largest (Westfall and Young 1993, algorithm 4.1): the largest of all columns, then of the rest.
    """
    signers = len(changes)
    if signers <= FEW:
        signs = 1 - 2 * (np.arange(2**signers)[:, None] >> np.arange(signers) & 1)
    else:
        signs = np.concatenate([np.ones((1, signers)), generator.choice([-1, 1], (FLIPS, signers))])
    found = np.abs(signs @ changes)
    observed = found[0] - 1e-9
    largest_first = np.argsort(-observed, kind="stable")
    rest = np.maximum.accumulate(found[:, largest_first[::-1]], axis=1)[:, ::-1]
    corrected = np.empty(len(observed))
    corrected[largest_first] = np.maximum.accumulate((rest >= observed[largest_first]).mean(axis=0))
    return (found >= observed).mean(axis=0), corrected


class Measured(NamedTuple):
    """Every accuracy of `everything`, and how to compare any two."""

    effects: Effects
    statistics: StatisticsParams
    generator: np.random.Generator

    def accuracy(self) -> pd.DataFrame:
        """A row an accuracy: `KEYS`, accuracy, low, high, clips."""
        table = self.effects.table("accuracy", self.statistics.confidence, share=True)
        table = table.rename(columns={"accuracy_low": "low", "accuracy_high": "high"})
        return table.assign(clips=self.effects.weights.sum(axis=0).astype(int))

    def column(self, *key: str) -> int | None:
        """Which curve has these `KEYS`; None if it was not measured."""
        found = np.flatnonzero((self.effects.keys[KEYS] == list(key)).all(axis=1))
        return int(found[0]) if len(found) else None

    def compare(self, first: Int[np.ndarray, "pairs"], second: Int[np.ndarray, "pairs"]) -> pd.DataFrame:
        """Accuracies `first` less accuracies `second` of the same clips: difference, low, high, p_value, p_max."""
        of = self.effects
        low, high = interval(of.resampled[:, first] - of.resampled[:, second], self.statistics.confidence)
        p_value, p_max = flipped(of.sums[:, first] - of.sums[:, second], self.generator)
        gap = of.overall[first] - of.overall[second]
        return pd.DataFrame({"difference": gap, "low": low, "high": high, "p_value": p_value, "p_max": p_max})


def measured(rows: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator) -> Measured:
    """All accuracies of `everything` on the same resamples of signers."""
    return Measured(effects(rows, KEYS, "signer", "right", statistics, generator), statistics, generator)


def order_table(found: Measured) -> pd.DataFrame:
    """What order adds, of the model and of its twin: the columns `ORDER`.

    `p_max` corrects for all layers of one target, kind and position; at other sites it is the p-value.
    """
    keys = found.effects.keys
    tables = []
    for of, first, second in (("", IN_ORDER, SHUFFLED), (TWIN, TWIN_IN_ORDER, TWIN_SHUFFLED)):
        rows = keys[(keys["series"] == first) & ~keys["site"].isin([OWN])]
        pairs = [
            (column, found.column(second, *row[1:])) for column, row in zip(rows.index, rows.to_numpy(), strict=True)
        ]
        kept = [pair for pair in pairs if pair[1] is not None]
        if not kept:
            continue
        table = keys.loc[[pair[0] for pair in kept]].reset_index(drop=True).assign(of=of)
        family = table[["target", "kind", "position"]].agg("|".join, axis=1)
        family += np.where(table["site"].str.startswith("layer_"), "", table["site"])
        first_of, second_of = np.array(kept).T
        numbers = pd.concat(
            [
                found.compare(first_of[rows], second_of[rows]).set_index(rows)
                for rows in (np.flatnonzero(family == one) for one in family.unique())
            ]
        ).sort_index()
        tables.append(pd.concat([table, numbers], axis=1)[ORDER])
    return pd.concat(tables, ignore_index=True)


def controls_table(found: Measured) -> pd.DataFrame:
    """What is read in order, less every control of it: the columns `CONTROLS`; `p_max` is over all rows of a target.

    A reading stands with the layers that its own folds chose (`OWN`), shuffled clips also with those that were chosen
    in order (`BEST`); what has no layers stands with its one site.
    """
    keys, accuracy = found.effects.keys, found.accuracy()
    tables = []
    for target in keys["target"].unique():
        rows = keys[(keys["target"] == target) & (keys["kind"] == ALL)]
        [quoted] = rows.index[(rows["series"] == IN_ORDER) & (rows["site"] == BEST)]
        tower = (rows["series"] == IN_ORDER) & (rows["site"] == "vision")
        own = rows["series"].isin(OWN_LAYERS) & (rows["site"] == OWN) | (rows["series"] == rows["site"])
        beside = rows[own | tower | (rows["series"] == SHUFFLED) & (rows["site"] == BEST)]
        first, second = np.full(len(beside), quoted), beside.index.to_numpy()
        gap = found.compare(first, second).rename(
            columns={"difference": "over", "low": "over_low", "high": "over_high"}
        )
        read = accuracy.loc[second, ["accuracy", "low", "high"]].reset_index(drop=True)
        control = np.where(beside["series"] == IN_ORDER, "vision", beside["series"])
        named = pd.DataFrame({"control": control, "target": target, "site": beside["site"].to_numpy()})
        table = pd.concat([named, read, gap], axis=1)
        tables.append(table[CONTROLS])
    return pd.concat(tables, ignore_index=True)


def other_clip_table(accuracy: pd.DataFrame, draws: pd.DataFrame, confidence: float) -> pd.DataFrame:
    """The null of labels of another clip by layer: site, position, accuracy, low, high (over draws), p_value.

    The p-value is that of the accuracy in order among the draws.
    """
    rows = accuracy[(accuracy["series"] == IN_ORDER) & (accuracy["target"] == MOVEMENT) & (accuracy["kind"] == ALL)]
    observed = rows.set_index(["site", "position"])["accuracy"]
    tail = (1 - confidence) / 2
    found = []
    for place, null in draws.groupby(["site", "position"], sort=False)["accuracy"]:
        low, high = np.quantile(null, [tail, 1 - tail])
        found.append((*place, null.mean(), low, high, permutation_p_value(observed[place], null.to_numpy())))
    return pd.DataFrame(found, columns=["site", "position", "accuracy", "low", "high", "p_value"])


def reversed_table(
    backwards: pd.DataFrame,
    in_order: Probed,
    clips: pd.DataFrame,
    position: str,
    of: tuple[StatisticsParams, np.random.Generator],
) -> pd.DataFrame:
    """How often a probe fitted in order names another member of the pair, of clips backwards and in order.

    A row a kind and layer, and the layers that the folds chose (`BEST`): the columns `REVERSED_COLUMNS`.
    """
    if backwards.empty:
        return pd.DataFrame(columns=REVERSED_COLUMNS)
    forward = in_order.predictions
    forward = forward[(forward["target"] == MOVEMENT) & (forward["position"] == position)]
    parts = [
        backwards.assign(series=REVERSED),
        forward[forward["site"].isin(backwards["site"])].assign(series=IN_ORDER),
    ]
    rows = pd.concat(parts, ignore_index=True).merge(clips[["clip", "signer", "kind"]], on="clip")
    chosen = layer_of_each_fold(in_order.choices, MOVEMENT, position)
    rows = pd.concat([rows, rows.merge(chosen, on=["fold", "site"]).assign(site=BEST)], ignore_index=True)
    rows["other"] = (rows["label"] != rows["predicted"]).astype(float)
    rows = pd.concat([rows.assign(kind=ALL), rows[rows["kind"] != ""]], ignore_index=True)
    found = effects(rows, ["series", "kind", "site"], "signer", "other", *of)
    statistics, generator = of
    shares = found.table("share", statistics.confidence, share=True)
    first = np.flatnonzero(shares["series"] == REVERSED)
    place = {key: row for row, key in enumerate(shares[["series", "kind", "site"]].itertuples(index=False, name=None))}
    second = np.array([place[IN_ORDER, *key] for key in shares.loc[first, ["kind", "site"]].to_numpy()], dtype=int)
    gap = Measured(found, statistics, generator).compare(first, second)
    table = shares.loc[first, ["kind", "site", "share", "share_low", "share_high"]].reset_index(drop=True)
    table.columns = ["kind", "site", "backwards", "low", "high"]
    return table.assign(
        in_order=found.overall[second], difference=gap["difference"], difference_low=gap["low"],
        difference_high=gap["high"], p_value=gap["p_value"],
    )[REVERSED_COLUMNS]  # fmt: skip


def by_layer(accuracy: pd.DataFrame, position: str) -> pd.DataFrame:
    """For `dvc plots`: series, target, layer (a number), accuracy, low, high of every reading at `position`.

    Of the movement or, where it is not known, of the sign.
    """
    target = MOVEMENT if MOVEMENT in set(accuracy["target"]) else SIGN
    rows = accuracy[(accuracy["kind"] == ALL) & (accuracy["position"] == position) & (accuracy["target"] == target)]
    rows = rows[rows["site"].str.startswith("layer_")]
    rows = rows.assign(layer=rows["site"].str.removeprefix("layer_").astype(int))
    return rows[["series", "target", "layer", "accuracy", "low", "high"]]
