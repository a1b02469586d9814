"""What erasure takes away: from probes there and later, from the answers, and from the descriptions."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.causal.edits import LEACE, NOTHING, POSITION_OF, RANDOM_SUBSPACE, SHUFFLED_LABELS, TOKENS_OF
from signbridge.causal.resampling import effects, site_interval
from signbridge.metrics import Metric
from signbridge.probing.statistics import StatisticsParams

ERASED_AT = ["at", "site", "eraser"]
READ_AT = [*ERASED_AT, "read_site", "read_position"]


class Erasure(NamedTuple):
    """The tables of an erasure sweep, and the photo of each image."""

    probes: pd.DataFrame  # data/erasure.parquet
    changed: pd.DataFrame  # data/erasure_answers.parquet
    damage: pd.DataFrame  # data/erasure_damage.parquet
    photo: pd.Series  # by image_id


def erasure_effects(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """`plots/erasure.csv`, `plots/erasure_answers.csv` and the metrics. Where nothing was erased they are empty."""
    if erasure.probes.empty:
        accuracy, rises = (_with_interval(name) for name in ("accuracy", "damage"))
        return (
            pd.DataFrame(columns=[*READ_AT, *accuracy]),
            pd.DataFrame(columns=[*ERASED_AT, *_with_interval("changed"), *rises]),
            {},
        )
    accuracy = probe_accuracy_under_erasure(erasure, statistics, generator)
    answers, found = effect_on_text(erasure, statistics, generator)
    return accuracy, answers, {**erasure_metrics(accuracy), **found}


def _with_interval(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def probe_accuracy_under_erasure(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """The accuracy of probes of the photos left out, a row a place that was erased and read.

    at, site, eraser, read_site, read_position, accuracy with its interval over photos. Draws of a control are averaged.
    """
    table = erasure.probes
    rows = table.assign(photo=table["image_id"].map(erasure.photo), right=table["label"] == table["predicted"])
    found = effects(rows, READ_AT, "photo", "right", statistics, generator)
    return found.table("accuracy", statistics.confidence, share=True)


def effect_on_text(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The share of answers that change and the damage to descriptions, a row an edit, and the metrics.

    The metrics quote for each place the site whose answers LEACE changes most, beside its controls there.
    """
    keys, damage = ERASED_AT, erasure.damage
    changed = erasure.changed.assign(photo=erasure.changed["image_id"].map(erasure.photo))
    found = effects(changed, keys, "photo", "changed", statistics, generator)
    answers = found.table("changed", statistics.confidence, share=True)
    rise = effects(damage, keys, "image_id", "damage", statistics, generator).table("damage", statistics.confidence)
    metrics: dict[str, Metric] = {}
    for at in answers["at"].unique():
        mine = ((found.keys["at"] == at) & (found.keys["eraser"] == LEACE)).to_numpy()
        sites = list(found.keys.loc[mine, "site"])
        best = sites[int(found.overall[mine].argmax())]
        low, high = site_interval(found.resampled[:, mine].argmax(axis=1), sites, statistics.confidence)
        prefix = f"erasure_{at}"
        metrics |= {f"{prefix}_site": best, f"{prefix}_site_low": low, f"{prefix}_site_high": high}
        for eraser in (LEACE, RANDOM_SUBSPACE, SHUFFLED_LABELS):
            there = (answers["at"] == at) & (answers["site"] == best) & (answers["eraser"] == eraser)
            row = answers[there].merge(rise, on=keys).iloc[0]
            metrics |= {f"{prefix}_{eraser}_{name}": float(row[name]) for name in ("changed", "damage")}
            if eraser == LEACE:
                metrics |= {f"{prefix}_{eraser}_changed_{end}": float(row[f"changed_{end}"]) for end in ("low", "high")}
    return answers.merge(rise, on=keys, how="left"), metrics


def erasure_metrics(accuracy: pd.DataFrame) -> dict[str, Metric]:
    """The most that is left where LEACE was applied, and what the last token reads again at the last site of the sweep.

    `accuracy` is the table of `probe_accuracy_under_erasure`. What comes back is quoted for the first site erased,
    at the last token alone, beside the accuracy there with nothing erased.
    """
    leace = accuracy[accuracy["eraser"] == LEACE]
    positions = leace["at"].map(lambda at: [POSITION_OF[tokens] for tokens in TOKENS_OF[at]])
    there = [position in erased for position, erased in zip(leace["read_position"], positions, strict=True)]
    left = leace[(leace["site"] == leace["read_site"]) & np.array(there)]
    metrics: dict[str, Metric] = {"erasure_accuracy_left": float(left["accuracy"].max())}
    back = leace[(leace["at"] == "prompt_last") & (leace["site"] != leace["read_site"])]
    if len(back):
        row = back[back["site"] == back["site"].iloc[0]].iloc[-1]
        clean = accuracy[(accuracy["eraser"] == NOTHING) & (accuracy["read_site"] == row["read_site"])]
        clean = clean[clean["read_position"] == "prompt_last"].iloc[0]
        metrics |= {
            "erasure_comes_back": float(row["accuracy"]),
            "erasure_comes_back_low": float(row["accuracy_low"]),
            "erasure_comes_back_high": float(row["accuracy_high"]),
            "erasure_comes_back_site": str(row["read_site"]),
            "erasure_comes_back_erased_site": str(row["site"]),
            "erasure_nothing_erased": float(clean["accuracy"]),
        }
    return metrics
