"""The resolution ladder: what every rung reads and loses, all on the same resamples of the same groups of images.

The decoder is read as the study reads it: each fold chooses its layer inside its training images, anew at every rung.
Beside it stands what the layers read that the folds chose on the pictures as they are: a small picture might be read
best elsewhere.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise

import numpy as np
import pandas as pd

from signbridge.core.activations import TEXT_POSITION, TEXT_SITE
from signbridge.core.tables import Metric
from signbridge.datasets.resolution import FULL
from signbridge.probing.peak import headline_position, headline_predictions
from signbridge.statistics.answers import with_named
from signbridge.statistics.curves import BEST, KEY, Curves, curves
from signbridge.statistics.intervals import StatisticsParams, holm

NAMED = "named"  # the letter that the answer names is right
STUDY_LAYER = "layer_of_full"  # the layers that the folds chose on the pictures as they are
DECODER, TOWER, PIXELS, TEXT = "decoder", "vision tower", "pixels", "text"
READ = {DECODER: BEST, TOWER: "vision", PIXELS: "pixels", TEXT: TEXT_SITE}  # what is compared between rungs, by site
OVER_PIXELS = "decoder over pixels"
PLOTTED = ["rung", "site", "accuracy", "low", "high"]
ACCURACY = [*PLOTTED, "decoder_over", "decoder_over_low", "decoder_over_high"]
MOST = 6  # rungs of which metrics/resolution.json has keys of their own


def compare_rungs(
    predictions: pd.DataFrame,
    choices: pd.DataFrame,
    answers: Mapping[str, pd.DataFrame],
    group_of: pd.Series,
    statistics: StatisticsParams,
    generator: np.random.Generator,
) -> dict[str, pd.DataFrame]:
    """The tables `accuracy` and `differences`.

    `accuracy` has a row a rung and what is read at it (site, accuracy, low, high), and by how much the decoder is above
    it at this rung, on the same resamples: decoder_over, decoder_over_low, decoder_over_high.
    `predictions` and `choices` have the column `rung`; `answers` are by rung, the smallest first and `full` last;
    `group_of` is by image_id, of the sample.
    """
    rungs = list(answers)
    measured = curves(_everything(predictions, choices, answers), group_of, statistics, generator)
    table = measured.table.rename(columns={"series": "rung"})
    decoder = table[table["site"] == BEST].reset_index().set_index("rung")["index"]
    gap = measured.compare(table["rung"].map(decoder).to_numpy(dtype=int), table.index.to_numpy())
    table = table.assign(decoder_over=gap.difference, decoder_over_low=gap.low, decoder_over_high=gap.high)
    read = [*READ.values(), STUDY_LAYER, NAMED]
    order = {(rung, site): place for place, (rung, site) in enumerate((r, s) for r in rungs for s in read)}
    rows = table[table["site"].isin(read)]
    places = [order[pair] for pair in zip(rows["rung"], rows["site"], strict=True)]
    accuracy = rows[ACCURACY].iloc[np.argsort(places)].reset_index(drop=True)
    return {"accuracy": accuracy, "differences": _differences(measured, rungs)}


def _everything(predictions: pd.DataFrame, choices: pd.DataFrame, answers: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    """All predictions, each with its rung as the `series`; of layers only those that folds chose."""
    position = headline_position(choices)
    of_full = choices[choices["rung"] == FULL]
    tables = [predictions[~predictions["site"].str.startswith("layer_")].rename(columns={"rung": "series"})]
    for rung, answered in answers.items():
        read, chose = (table[table["rung"] == rung] for table in (predictions, choices))
        tables.append(headline_predictions(read, chose, position).assign(site=BEST, series=rung))
        tables.append(headline_predictions(read, of_full, position).assign(site=STUDY_LAYER, series=rung))
        named = with_named(answered).rename(columns={"named": "predicted"})
        tables.append(named.assign(protocol="grouped", site=NAMED, position=TEXT_POSITION, series=rung))
    columns = [*KEY, "image_id", "label", "predicted"]
    return pd.concat([table[columns] for table in tables], ignore_index=True)


def _differences(measured: Curves, rungs: Sequence[str]) -> pd.DataFrame:
    """One row a comparison, on the same groups; Holm corrects for all rows.

    Each rung less `full`, and less the rung below it, of each of `READ`; and at each rung the decoder less pixels.
    """
    against = [(rung, FULL) for rung in rungs[:-1]] + [(above, below) for below, above in pairwise(rungs[:-1])]
    wanted = [(what, *pair, READ[what], READ[what]) for what in READ for pair in against]
    wanted += [(OVER_PIXELS, rung, rung, BEST, "pixels") for rung in rungs]
    place = {key: row for row, key in enumerate(zip(measured.table["series"], measured.table["site"], strict=True))}
    there = [one for one in wanted if (one[1], one[3]) in place and (one[2], one[4]) in place]
    first = np.array([place[rung, site] for _, rung, _, site, _ in there], dtype=int)
    second = np.array([place[other, site] for _, _, other, _, site in there], dtype=int)
    gap = measured.compare(first, second)
    table = pd.DataFrame([one[:3] for one in there], columns=["what", "rung", "against"])
    return table.assign(**gap._asdict(), p_holm=holm(gap.p_value))


def findings_of(found: Mapping[str, pd.DataFrame], rungs: pd.DataFrame, confidence: float) -> dict[str, Metric]:
    """What the tables of `compare_rungs` amount to, by name; `rungs` is the table of all of them."""
    accuracy, differences = found["accuracy"], found["differences"]
    read = accuracy.set_index(["rung", "site"])
    losses = differences[(differences["what"] == DECODER) & (differences["against"] == FULL)].set_index("rung")
    distinct = rungs.loc[rungs["same_as"] == "", "rung"].tolist()
    findings: dict[str, Metric] = {
        "rungs": len(distinct),
        "left_out": int((rungs["same_as"] != "").sum()),
        "comparisons": len(differences),
        "full_side": int(rungs.loc[rungs["rung"] == FULL, "side"].iloc[0]),
        "full_least_side": int(rungs.loc[rungs["rung"] == FULL, "least_side"].iloc[0]),
        "alike_from": _alike_from(losses, distinct, 1 - confidence),
    }
    for rung in distinct:
        for name, site in (("accuracy", BEST), ("vision", "vision"), ("pixels", "pixels")):
            if (rung, site) in read.index:
                row = read.loc[(rung, site)]
                findings |= {f"{rung}_{name}": row["accuracy"], f"{rung}_{name}_low": row["low"]}
                findings |= {f"{rung}_{name}_high": row["high"]}
        if rung in losses.index:
            findings[f"{rung}_over_full"] = losses.loc[rung, "difference"]
    return {name: value.item() if isinstance(value, np.generic) else value for name, value in findings.items()}


def _alike_from(losses: pd.DataFrame, rungs: Sequence[str], level: float) -> str:
    """The smallest rung such that the decoder at it, and at all above it, is not told apart from full size."""
    alike = FULL
    for rung in reversed(rungs[:-1]):
        if losses.loc[rung, "p_holm"] < level:
            break
        alike = rung
    return alike


def headline_of(rungs: Sequence[str]) -> dict[str, str]:
    """The metrics of `metrics/resolution.json`, each with its finding; the first `MOST` rungs have own ones."""
    keys = ["rungs", "left_out", "full_side", "alike_from", "full_accuracy", "full_accuracy_low", "full_accuracy_high"]
    keys += ["full_vision", "full_pixels", "chance", "images", "photos"]
    keys += [f"{rung}_{what}" for rung in rungs[:-1][:MOST] for what in ("accuracy", "over_full")]
    return {key: key for key in (*keys, "model")}
