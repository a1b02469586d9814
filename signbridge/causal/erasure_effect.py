"""What erasure takes away: from probes there and later, from the answers, and from the descriptions."""

import numpy as np
import pandas as pd

from signbridge.causal.edits import LEACE, NOTHING, POSITION_OF, RANDOM_SUBSPACE, SHUFFLED_LABELS, TOKENS_OF
from signbridge.causal.resampling import effects, site_interval
from signbridge.metrics import Metric
from signbridge.probing.statistics import StatisticsParams


def probe_accuracy_under_erasure(
    table: pd.DataFrame, photo: pd.Series, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """`plots/erasure.csv`: the accuracy of probes of the photos left out, a row a place that was erased and read.

    `table` is `data/erasure.parquet`, `photo` the photo of each image by its id. Draws of a control are averaged.
    """
    rows = table.assign(photo=table["image_id"].map(photo), right=table["label"] == table["predicted"])
    keys = ["at", "site", "eraser", "read_site", "read_position"]
    found = effects(rows, keys, "photo", "right", statistics, generator)
    return found.table("accuracy", statistics.confidence, share=True)


def effect_on_text(
    changed: pd.DataFrame,
    damage: pd.DataFrame,
    photo: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """`plots/erasure_answers.csv` and the metrics: the share of answers that change, and the damage to descriptions.

    `changed` and `damage` are `data/erasure_answers.parquet` and `data/erasure_damage.parquet`. The metrics quote for
    each place the site whose answers LEACE changes most, beside its controls there.
    """
    keys = ["at", "site", "eraser"]
    changed = changed.assign(photo=changed["image_id"].map(photo))
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
