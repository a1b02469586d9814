"""What tuning amounts to: damage to descriptions, and the findings that the page and the metrics quote."""

from collections.abc import Mapping, Sequence

import numpy as np
import pandas as pd

from signbridge.core.tables import Metric
from signbridge.probing.transfer import BEFORE
from signbridge.statistics.curves import BEST
from signbridge.statistics.effects import effects
from signbridge.statistics.finetune import BASE, NAMED, NULLS, SCORED, SHUFFLED, TUNED
from signbridge.statistics.intervals import StatisticsParams, interval

DAMAGE = ["run", "damage", "low", "high", "over_shuffled", "over_shuffled_low", "over_shuffled_high"]
# The metrics of `metrics/finetune.json`, each with the finding that it is.
HEADLINE = {
    "answer_before": "named_base",
    "answer_before_hardest": "hardest_base",
    "answer_after": "named_letters",
    "answer_after_low": "named_letters_low",
    "answer_after_high": "named_letters_high",
    "answer_early_blocks": "named_early",
    "answer_middle_blocks": "named_middle",
    "answer_late_blocks": "named_late",
    "answer_shuffled_labels": "named_shuffled_labels",
    "answer_untrained_twin": "named_untrained_twin",
    "scored_before": "scored_base",
    "scored_after": "scored_letters",
    "probe_before": "probe_base",
    "probe_after": "probe_letters",
    "gap_before": "gap_before",
    "gap_after": "gap_after",
    "gap_after_low": "gap_after_low",
    "gap_after_high": "gap_after_high",
    "layers_changed": "layers_changed",
    "base_probe_on_tuned_lowest": "transfer_lowest",
    "cka_lowest": "cka_lowest",
    "taken_over_shift": "taken_over_shift",
    "damage": "damage_letters",
    "in_train": "in_train",
    "model": "model",
}


def damages(
    of_run: Mapping[str, pd.DataFrame],
    group_of: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> pd.DataFrame:
    """One row a run: damage in nats a token on the base's own descriptions, over groups, and less the shuffled null's.

    `of_run` are the tables of the stage `damage`. All runs share the resamples.
    """
    tables = [table[["image_id", "damage"]].assign(run=run) for run, table in of_run.items() if len(table)]
    if not tables:
        return pd.DataFrame(columns=DAMAGE)
    table = pd.concat(tables, ignore_index=True)
    found = effects(
        table.assign(group=table["image_id"].map(group_of)), ["run"], "group", "damage", statistics, generator
    )
    rows = found.table("damage", statistics.confidence).rename(columns={"damage_low": "low", "damage_high": "high"})
    over = pd.DataFrame(np.nan, rows.index, DAMAGE[-3:])
    if SHUFFLED in set(rows["run"]):
        more = found.over("run", SHUFFLED)
        low, high = interval(more.resampled, statistics.confidence)
        over = pd.DataFrame(dict(zip(DAMAGE[-3:], (more.overall, low, high), strict=True)))
    return pd.concat([rows, over], axis=1)[DAMAGE]


def findings_of(found: Mapping[str, pd.DataFrame], runs: Sequence[str], confidence: float) -> dict[str, Metric]:
    """What the tables of `compare_runs`, `taken_over` and `damages`, and that of drift, amount to, by name.

    What was not measured is left out.
    """
    findings: dict[str, Metric] = {}
    accuracy = found["accuracy"].set_index(["run", "site"])
    for run in runs:
        for name, site in ((NAMED, NAMED), (SCORED, SCORED), ("probe", BEST)):
            findings |= _of_row(f"{name}_{run}", accuracy.loc[(run, site)], "accuracy", ("low", "high"))
    findings |= {f"damage_{row.run}": row.damage for row in found["damage"].itertuples()}
    if TUNED in runs:
        findings |= _of_tuned(found, 1 - confidence)
        findings |= _against_nulls(found["changes"], 1 - confidence)
    return {name: _plain(value) for name, value in findings.items() if value == value}


def _of_tuned(found: Mapping[str, pd.DataFrame], level: float) -> dict[str, Metric]:
    """What became of the gap, of the probes, of the direction, of the vectors, and of the site of the answer."""
    accuracy = found["accuracy"].set_index(["run", "site"])["accuracy"]
    [gap] = _rows(found["gaps"], run=TUNED, site=BEST, how="hardest").to_dict("records")
    hardest = gap["answer_before"]
    findings: dict[str, Metric] = {"hardest_how": hardest, "hardest_base": accuracy[BASE, hardest]}
    for name in ("before", "before_low", "before_high", "after", "after_low", "after_high"):
        findings[f"gap_{name}"] = gap[name]
    findings |= {"gap_change": gap["difference"], "gap_change_low": gap["low"], "gap_change_high": gap["high"]}
    layers = _rows(found["layers"], run=TUNED)
    findings |= {"layers": len(layers), "layers_changed": int((layers["p_holm"] < level).sum())}
    findings |= {"layers_risen": int(((layers["p_holm"] < level) & (layers["difference"] > 0)).sum())}
    for how, name in (("as_read", "transfer"), ("recentred", "recentred")):
        rows = _rows(found["transfer"], run=TUNED, fitted_on=BEFORE, how=how)
        if len(rows):
            worst = rows.loc[rows["accuracy"].idxmin()]
            findings |= {f"{name}_lowest": worst["accuracy"], f"{name}_lowest_site": worst["site"]}
            findings |= {f"{name}_lowest_own": worst["own"]}
            findings |= {f"{name}_lost": int(((rows["p_holm"] < level) & (rows["difference"] < 0)).sum())}
            null = _rows(found["transfer"], run=SHUFFLED, fitted_on=BEFORE, how=how, site=worst["site"])
            findings |= {f"{name}_there_shuffled": null["accuracy"].iloc[0]} if len(null) else {}
    drift = _rows(found["drift"], run=TUNED)
    drift = drift[drift["site"].str.startswith("layer_")].dropna(subset="cka")
    if len(drift):
        worst = drift.loc[drift["cka"].idxmin()]
        findings |= {"cka_lowest": worst["cka"], "cka_lowest_site": worst["site"], "cosine_there": worst["cosine"]}
        null = _rows(found["drift"], run=SHUFFLED, site=worst["site"])
        findings |= {"cka_there_shuffled": null["cka"].iloc[0]} if len(null) else {}
    for run, name in ((BASE, "before"), (TUNED, "after")):
        for row in _rows(found["taken_over"], run=run).to_dict("records"):
            findings |= {f"taken_over_{name}": row["site"], f"taken_over_{name}_low": row["site_low"]}
            findings |= {f"taken_over_{name}_high": row["site_high"], "pairs": row["pairs"]}
            if run == TUNED:
                findings |= {"taken_over_shift": row["shift"], "taken_over_shift_low": row["shift_low"]}
                findings |= {"taken_over_shift_high": row["shift_high"]}
    return findings


def _against_nulls(changes: pd.DataFrame, level: float) -> dict[str, Metric]:
    """The null that names the letter most often (`null`), `letters` less it, and whether both nulls are told apart."""
    rows = _rows(changes, run=TUNED, what=NAMED)
    nulls = rows[rows["against"].isin(NULLS)]
    if nulls.empty:
        return {}
    hardest = nulls.loc[nulls["difference"].idxmin()]
    findings = _of_row("over_null", hardest, "difference", ("low", "high")) | {"null": hardest["against"]}
    apart = (nulls["p_holm"] < level) & (nulls["difference"] > 0)
    return findings | {"nulls": len(nulls), "beats_nulls": bool(apart.all())}


def _rows(table: pd.DataFrame, **wanted: str) -> pd.DataFrame:
    for column, value in wanted.items():
        table = table[table[column] == value]
    return table


def _of_row(name: str, row: pd.Series, value: str, ends: Sequence[str]) -> dict[str, Metric]:
    return {name: row[value], **{f"{name}_{end}": row[end] for end in ends}}


def _plain(value: Metric) -> Metric:
    return value.item() if isinstance(value, np.generic) else value
