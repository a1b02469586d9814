"""What is knowing the signer worth: accuracy on a signer who was seen in training, less that on one who was not."""

import numpy as np
import pandas as pd
from scipy.stats import permutation_test

from signbridge.core.tables import Metric
from signbridge.probing.signers import SEEN, UNSEEN
from signbridge.statistics.effects import effects
from signbridge.statistics.intervals import StatisticsParams, holm

KEYS = ["site", "position"]
SHARES = ["seen", "seen_low", "seen_high", "unseen", "unseen_low", "unseen_high"]
COLUMNS = [*KEYS, "depth", *SHARES, "difference", "low", "high", "p_value", "p_holm"]


def seen_and_unseen(
    predictions: pd.DataFrame,
    sample: pd.DataFrame,
    depths: dict[str, int],
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row a site and position (`COLUMNS`), in order of depth; no row without predictions.

    `predictions` is `data/control_probes/signers.parquet`; `sample` has image_id and signer; `depths` are those of the
    sites. Intervals resample signers. The p-value is the exact one of exchanging seen and unseen signer by signer (of
    more than 12 signers, of 10,000 such exchanges): of n signers it is never below 2 / 2^n. `p_holm` corrects for all
    rows.
    """
    if predictions.empty:
        return pd.DataFrame(columns=COLUMNS)
    rows = predictions.merge(sample[["image_id", "signer"]], on="image_id", validate="many_to_one")
    rows["right"] = rows["label"] == rows["predicted"]
    found = effects(rows, [*KEYS, "protocol"], "signer", "right", statistics, generator)
    shares = found.table("share", statistics.confidence, share=True).set_index([*KEYS, "protocol"])
    gaps = found.over("protocol", UNSEEN).table("difference", statistics.confidence)
    table = gaps[gaps["protocol"] == SEEN].drop(columns="protocol")
    table = table.rename(columns={"difference_low": "low", "difference_high": "high"}).reset_index(drop=True)
    cells = pd.MultiIndex.from_frame(table[KEYS])
    for protocol in (SEEN, UNSEEN):
        of_protocol = shares.xs(protocol, level="protocol").loc[cells]
        for end in ("", "_low", "_high"):
            table[f"{protocol}{end}"] = of_protocol[f"share{end}"].to_numpy()
    by_signer = rows.pivot_table("right", "signer", [*KEYS, "protocol"], "sum", fill_value=0)
    changes = np.stack([(by_signer[*cell, SEEN] - by_signer[*cell, UNSEEN]).to_numpy(float) for cell in cells], axis=1)
    table["p_value"] = _exchanged(changes, generator)
    table["p_holm"] = holm(table["p_value"].to_numpy())
    return table.assign(depth=table["site"].map(depths))[COLUMNS]


def _exchanged(changes: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """The two-sided p-value of each column, whose rows are the signers' changes: their signs are exchanged."""
    exchanges = 2 ** len(changes) if len(changes) <= 12 else 10_000
    return permutation_test(
        (changes,), lambda x, axis: x.mean(axis=axis), permutation_type="samples", vectorized=True, axis=0,
        n_resamples=exchanges, rng=generator,
    ).pvalue  # fmt: skip


def signer_findings(table: pd.DataFrame, best: str | None, position: str | None) -> dict[str, Metric]:
    """`signer_worth` with its interval: at the layer that most folds chose; nothing where it was not measured."""
    row = table[(table["site"] == best) & (table["position"] == position)]
    if row.empty:
        return {}
    ends = {"": "difference", "_low": "low", "_high": "high"}
    found = {f"signer_worth{end}": float(row[name].iloc[0]) for end, name in ends.items()}
    return {**found, "signer_seen": float(row["seen"].iloc[0]), "signer_unseen": float(row["unseen"].iloc[0])}
