"""What steering does, against random directions of the same norm: efficacy, damage, and where both are best.

Draws of the random direction are averaged. Where a direction works best (site, tokens, strength) is chosen on half of
the steered images and quoted on the other half, and the other way round, so that the choice does not flatter it.
"""

from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from signbridge.causal.edits import DIRECTIONS, RANDOM
from signbridge.causal.resampling import effects, site_interval
from signbridge.metrics import Metric
from signbridge.params import Section
from signbridge.probing.statistics import StatisticsParams, draw_photos, interval

PLACE = ["at", "during", "site"]
DOSE_COLUMNS = ["depth", *PLACE, "direction", "strength"]
DOSE_COLUMNS += [f"{name}{end}" for name in ("probability", "says", "damage") for end in ("", "_low", "_high")]
AREA_COLUMNS = [*PLACE, "direction", "area", "area_low", "area_high", "breakdown_strength"]


class CausalEffectsParams(Section):
    """The section `causal_effects`."""

    most_damage: float = Field(ge=0)  # nats a token, at the place and strength that are quoted
    breakdown: float = Field(gt=0)  # nats a token


class Steering(NamedTuple):
    """The tables of a steering sweep, and how sure to be of them."""

    answers: pd.DataFrame  # data/steering.parquet
    damage: pd.DataFrame  # data/steering_damage.parquet
    settings: CausalEffectsParams
    statistics: StatisticsParams


def steering_effects(
    steering: Steering, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """`plots/steering.csv`, `plots/steering_area.csv` and the metrics. Where nothing was steered they are empty."""
    if steering.answers.empty:
        return pd.DataFrame(columns=DOSE_COLUMNS), pd.DataFrame(columns=AREA_COLUMNS), {}
    doses = dose_response(steering, generator)
    return doses, areas(steering, doses, generator), steering_metrics(steering, doses, generator)


def dose_response(steering: Steering, generator: np.random.Generator) -> pd.DataFrame:
    """`plots/steering.csv`: a row a place, direction and strength, from strength 0, with intervals over photos.

    site, depth, at, during, direction, strength, then probability of b's answer, says (share of texts that hold it)
    and damage (nats a token), each with low and high.
    """
    keys, confidence = [*PLACE, "direction", "strength"], steering.statistics.confidence
    unsteered = steering.answers[steering.answers["strength"] == steering.answers["strength"].min()]
    unsteered = unsteered.assign(strength=0.0, probability=unsteered["clean_probability"], says=False)
    answers = pd.concat([unsteered, steering.answers], ignore_index=True)
    damage = pd.concat([steering.damage.assign(strength=0.0, damage=0.0), steering.damage], ignore_index=True)
    likely = effects(answers, keys, "image_id", "probability", steering.statistics, generator)
    said = effects(answers, keys, "image_id", "says", steering.statistics, generator)
    rise = effects(damage, keys, "image_id", "damage", steering.statistics, generator)
    table = likely.table("probability", confidence).merge(said.table("says", confidence, share=True), on=keys)
    table = table.merge(rise.table("damage", confidence), on=keys)
    sites = sorted(table["site"].unique())
    table.insert(0, "depth", table["site"].map(lambda site: int(site.removeprefix("layer_"))))
    order = {name: index for index, name in enumerate((*DIRECTIONS, RANDOM))}
    ranks = {"direction": order.get, "site": sites.index}
    return table.sort_values(keys, key=lambda c: c.map(ranks[c.name]) if c.name in ranks else c, ignore_index=True)


def areas(steering: Steering, doses: pd.DataFrame, generator: np.random.Generator) -> pd.DataFrame:
    """`plots/steering_area.csv`: a row a place and direction.

    area: between the probability steered and at random, over the strength from 0 to the largest and divided by it (so
    at most 1), with its interval over photos; breakdown_strength: the smallest of the sweep at which the mean damage
    reaches `breakdown`, NaN if none does. `doses` is the table of `dose_response`.
    """
    by_image, keys = _area_by_image(steering.answers), [*PLACE, "direction"]
    table = effects(by_image, keys, "image_id", "area", steering.statistics, generator)
    broken = doses[doses["damage"] >= steering.settings.breakdown].groupby(keys)["strength"].min()
    found = table.table("area", steering.statistics.confidence)
    return found.merge(broken.rename("breakdown_strength").reset_index(), on=keys, how="left")


def at_the_best_place(doses: pd.DataFrame, areas: pd.DataFrame) -> pd.DataFrame:
    """The rows of `doses` where the difference of class means has its largest area over random."""
    of_means = areas[areas["direction"] == "class_means"]
    if of_means.empty:
        return doses
    best = of_means.loc[of_means["area"].idxmax()]
    return doses[(doses[PLACE] == best[PLACE]).all(axis=1)]


def steering_metrics(steering: Steering, doses: pd.DataFrame, generator: np.random.Generator) -> dict[str, Metric]:
    """For each direction: efficacy and damage where it works best, against random, and the layer of greatest effect."""
    metrics: dict[str, Metric] = {}
    by_image = _area_by_image(steering.answers)
    for direction in DIRECTIONS:
        found = _at_its_best(steering, doses, direction, generator)
        found |= _best_layer(by_image, direction, steering.statistics, generator)
        metrics |= {f"steering_{direction}_{name}": value for name, value in found.items()}
    return metrics


def _at_its_best(
    steering: Steering, doses: pd.DataFrame, direction: str, generator: np.random.Generator
) -> dict[str, Metric]:
    """Chosen on one half of the steered images, quoted on the other, both ways."""
    names = [*PLACE, "strength"]
    answers = steering.answers[steering.answers["direction"].isin([direction, RANDOM])]
    values = answers.pivot_table(["probability", "says"], [*names, "image_id"], "direction")
    rise = doses.pivot_table("damage", names, "direction")
    bearable = rise.index[rise[direction] <= steering.settings.most_damage]
    gain = values["probability"][direction] - values["probability"][RANDOM]
    gain = gain.rename("gain").reset_index().pivot_table("gain", names, "image_id")
    gain = gain.loc[gain.index.intersection(bearable)]
    if gain.empty or gain.shape[1] == 1:  # one image cannot be both chosen by and quoted
        return {}
    half = np.arange(gain.shape[1]) % 2 == 0
    quoted, rises = [], []
    for chosen_on in (half, ~half):
        best = gain.loc[:, chosen_on].mean(axis=1).idxmax()
        here = values.loc[best]
        quoted.append(here[here.index.isin(gain.columns[~chosen_on])])
        rises += [rise.loc[best, [direction, RANDOM]]] * len(quoted[-1])
    table, risen = pd.concat(quoted), pd.DataFrame(rises)
    drawn = draw_photos(len(table), steering.statistics.resamples, generator)
    steered = table["probability"][direction].to_numpy()
    low, high = interval((drawn @ steered)[:, None] / len(table), steering.statistics.confidence)
    over = (steered - table["probability"][RANDOM]).to_numpy()
    over_low, over_high = interval((drawn @ over)[:, None] / len(table), steering.statistics.confidence)
    at, during, site, strength = gain.mean(axis=1).idxmax()
    return {
        "probability": float(steered.mean()), "probability_low": float(low[0]), "probability_high": float(high[0]),
        "over_random": float(over.mean()), "over_random_low": float(over_low[0]),
        "over_random_high": float(over_high[0]), "random_probability": float(table["probability"][RANDOM].mean()),
        "says": float(table["says"][direction].mean()), "random_says": float(table["says"][RANDOM].mean()),
        "damage": float(risen[direction].mean()), "random_damage": float(risen[RANDOM].mean()),
        "best_at": at, "best_during": during, "best_site": site, "best_strength": float(strength),
    }  # fmt: skip


def _best_layer(
    by_image: pd.DataFrame, direction: str, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """The site with the largest area, by the tokens at which it is largest."""
    mine = by_image[by_image["direction"] == direction]
    found = effects(mine, PLACE, "image_id", "area", statistics, generator)
    sites = sorted(mine["site"].unique())
    depth = found.keys["site"].map(sites.index).to_numpy()
    best = found.keys.iloc[int(found.overall.argmax())]
    low, high = site_interval(depth[found.resampled.argmax(axis=1)], sites, statistics.confidence)
    area = float(found.overall.max())
    return {
        "area": area,
        "peak_site": best["site"],
        "peak_at": best["at"],
        "peak_site_low": low,
        "peak_site_high": high,
    }


def _area_by_image(answers: pd.DataFrame) -> pd.DataFrame:
    """The area between each direction and random, image by image (of each pair of classes that it is steered for)."""
    keys = [*PLACE, "a", "b", "image_id"]
    probability = answers.pivot_table("probability", [*keys, "direction"], "strength")
    probability.insert(0, 0.0, answers.groupby([*keys, "direction"])["clean_probability"].first())
    strengths = probability.columns.to_numpy(dtype=np.float64)
    areas = np.trapezoid(probability.to_numpy(), strengths, axis=1) / strengths[-1]
    by_direction = probability.index.to_frame(index=False).assign(area=areas).pivot_table("area", keys, "direction")
    over = by_direction[list(DIRECTIONS)].sub(by_direction[RANDOM], axis=0)
    return over.reset_index().melt(keys, list(DIRECTIONS), "direction", "area")
