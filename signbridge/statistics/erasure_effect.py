"""What erasure takes away: from probes there and later, from the answers, and from the descriptions.

Every share weights images equally. Its interval resamples groups, with all their images, and the draws of a control.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd

from signbridge.core.names import (
    LEACE,
    LEACE_IN_SAMPLE,
    NOTHING,
    POSITION_OF,
    RANDOM_SUBSPACE,
    SHUFFLED_LABELS,
    TOKENS_OF,
)
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects, site_interval
from signbridge.statistics.intervals import StatisticsParams

ERASED_AT = ["at", "site", "eraser"]
READ_AT = [*ERASED_AT, "read_site", "read_position"]

CONTROLS = (RANDOM_SUBSPACE, SHUFFLED_LABELS)
HEADLINE = {
    "accuracy_left": "erasure_accuracy_left",
    "accuracy_left_in_sample": "erasure_accuracy_left_in_sample",
    "accuracy_left_at_one_image_token": "erasure_accuracy_left_at_one_image_token",
    "accuracy_nothing_erased": "erasure_nothing_erased",
    **{f"accuracy_read_again{end}": f"erasure_comes_back{end}" for end in ("", "_low", "_high")},
    "read_again_layer": "erasure_comes_back_site",
    **{f"given_back_by_image_tokens{end}": f"erasure_given_back_by_image_tokens{end}" for end in ("", "_low", "_high")},
    **{f"answers_changed{end}": f"erasure_prompt_last_leace_changed{end}" for end in ("", "_low", "_high")},
    "answers_changed_layer": "erasure_prompt_last_site",
    "answers_changed_by_random_subspace": "erasure_prompt_last_random_subspace_changed",
    "answers_changed_by_shuffled_letters": "erasure_prompt_last_shuffled_labels_changed",
    **{
        f"answers_changed_over_shuffled_letters{end}": f"erasure_prompt_last_over_shuffled_labels{end}"
        for end in ("", "_low", "_high")
    },
    "damage": "erasure_prompt_last_leace_damage",
    "drawn_images": "erasure_drawn_images",
    "images": "erasure_images",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is; answers: with the last token of the prompt erased


class Erasure(NamedTuple):
    """The tables of an erasure sweep, and the group (photo, clip or signer) of each image."""

    probes: pd.DataFrame  # of the stage `erase`, as are the next two
    changed: pd.DataFrame  # whether answers changed
    damage: pd.DataFrame  # of descriptions
    group: pd.Series  # by image_id


def erasure_effects(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """The tables of `probe_accuracy_under_erasure` and `effect_on_text`, and the findings.

    Where nothing was erased they are empty.
    """
    if erasure.probes.empty:
        accuracy, rises = (_with_interval(name) for name in ("accuracy", "damage"))
        return (
            pd.DataFrame(columns=[*READ_AT, *accuracy]),
            pd.DataFrame(columns=[*ERASED_AT, *_with_interval("changed"), *rises]),
            {},
        )
    accuracy = probe_accuracy_under_erasure(erasure, statistics, generator)
    answers, found = effect_on_text(erasure, statistics, generator)
    return accuracy, answers, {**erasure_metrics(erasure, accuracy, statistics, generator), **found}


def _with_interval(name: str) -> list[str]:
    return [name, f"{name}_low", f"{name}_high"]


def probe_accuracy_under_erasure(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> pd.DataFrame:
    """The accuracy of probes on held-out photos, a row a place that was erased and read.

    at, site, eraser, read_site, read_position, accuracy with its interval over groups.
    """
    table = erasure.probes
    rows = table.assign(group=table["image_id"].map(erasure.group), right=table["label"] == table["predicted"])
    found = effects(rows, READ_AT, "group", "right", statistics, generator)
    return found.table("accuracy", statistics.confidence, share=True)


def effect_on_text(
    erasure: Erasure, statistics: StatisticsParams, generator: np.random.Generator
) -> tuple[pd.DataFrame, dict[str, Metric]]:
    """The share of answers that change and the damage to descriptions, a row an edit, and the findings.

    The findings quote, for each kind of token, the site whose answers LEACE changes most, and its controls there.
    """
    keys, damage = ERASED_AT, erasure.damage
    changed = erasure.changed.assign(group=erasure.changed["image_id"].map(erasure.group))
    found = effects(changed, keys, "group", "changed", statistics, generator, nulls="eraser")
    answers = found.table("changed", statistics.confidence, share=True)
    rise = effects(damage, keys, "image_id", "damage", statistics, generator, nulls="eraser")
    rise = rise.table("damage", statistics.confidence)
    metrics: dict[str, Metric] = {"erasure_images": int(changed["image_id"].nunique())}
    for at in answers["at"].unique():
        found_at = _at_its_site(changed[changed["at"] == at], damage[damage["at"] == at], statistics, generator)
        metrics |= {f"erasure_{at}_{name}": value for name, value in found_at.items()}
    return answers.merge(rise, on=keys, how="left"), metrics


def _at_its_site(
    changed: pd.DataFrame, damage: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """The site whose answers LEACE changes most, chosen on half of the photos and quoted on the other, both ways."""
    by_leace, sites = changed[changed["eraser"] == LEACE], list(dict.fromkeys(changed["site"]))
    second = pd.Series(pd.factorize(changed["group"], sort=True)[0] % 2 == 1, changed.index)

    def most_changed(rows: pd.DataFrame) -> str:
        return sites[int(rows.groupby("site")["changed"].mean()[sites].to_numpy().argmax())]

    overall = most_changed(by_leace)
    chosen = {side: most_changed(by_leace[second[by_leace.index] == side]) for side in (False, True)}
    quoted = changed[changed["site"] == second.map({side: chosen[not side] for side in chosen})]
    found = effects(quoted, ["eraser"], "group", "changed", statistics, generator, nulls="eraser")
    peaks = effects(by_leace, ["site"], "group", "changed", statistics, generator).resampled.argmax(axis=1)
    low, high = site_interval(peaks, sites, statistics.confidence)
    metrics: dict[str, Metric] = {
        "site": overall, "site_low": low, "site_high": high, "halves_agree": set(chosen.values()) == {overall},
    }  # fmt: skip
    number = {eraser: row for row, eraser in enumerate(found.keys["eraser"])}
    for eraser in (LEACE, *CONTROLS):
        metrics |= found.metrics(f"{eraser}_changed", number[eraser], statistics.confidence)
    for control in CONTROLS:
        gap = found.over("eraser", control)
        metrics |= gap.metrics(f"over_{control}", number[LEACE], statistics.confidence)
    rises = damage[damage["site"] == overall].groupby("eraser")["damage"].mean()
    return metrics | {f"{eraser}_damage": float(rises[eraser]) for eraser in (LEACE, *CONTROLS)}


def erasure_metrics(
    erasure: Erasure, accuracy: pd.DataFrame, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """What is left where LEACE was applied, and what can be read again at the last site of the sweep.

    `accuracy` is the table of `probe_accuracy_under_erasure`. Left: the largest accuracy of all sites and tokens that
    were erased; the same where the eraser was fitted on the very images; and at a single image token. Read again: the
    accuracy at the last token, where only the last token was erased, at the first site; the same with nothing erased;
    and how much lower it is on the same images if the image tokens are erased too: what these gave back.
    """
    leace = accuracy[accuracy["eraser"] == LEACE]
    here = leace[leace["site"] == leace["read_site"]]
    positions = here["at"].map(lambda at: [POSITION_OF[tokens] for tokens in TOKENS_OF[at]])
    left = here[[position in erased for position, erased in zip(here["read_position"], positions, strict=True)]]
    metrics: dict[str, Metric] = {"erasure_accuracy_left": float(left["accuracy"].max())}
    for name, rows in {
        "erasure_accuracy_left_in_sample": accuracy[accuracy["eraser"] == LEACE_IN_SAMPLE],
        "erasure_accuracy_left_at_one_image_token": here[here["read_position"] == "image_token"],
    }.items():
        if len(rows):
            metrics[name] = float(rows["accuracy"].max())
    back = leace[(leace["at"] == "prompt_last") & (leace["site"] != leace["read_site"])]
    if back.empty:
        return metrics
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
    return metrics | _given_back(erasure, row, statistics, generator)


def _given_back(
    erasure: Erasure, row: pd.Series, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """How much more can be read again where the image tokens were left alone; empty without `both`."""
    table = erasure.probes
    there = (table["eraser"] == LEACE) & (table["site"] == row["site"]) & (table["read_site"] == row["read_site"])
    table = table[there & (table["read_position"] == "prompt_last")]
    right = table.assign(right=table["label"] == table["predicted"], group=table["image_id"].map(erasure.group))
    if "both" not in set(right["at"]):
        return {}
    gap = effects(right, ["at"], "group", "right", statistics, generator).over("at", "both")
    [row_of] = np.flatnonzero(gap.keys["at"] == "prompt_last")
    return gap.metrics("erasure_given_back_by_image_tokens", int(row_of), statistics.confidence)
