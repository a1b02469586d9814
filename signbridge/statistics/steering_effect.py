"""What steering does, compared with directions of the same norm that mean nothing: efficacy, damage, the best place.

Draws of a null are averaged. The place where a direction works best (site, tokens, strength) is chosen on half of the
steered images and half of the described ones, and quoted on the other halves, and the other way round: so the choice
does not inflate what is quoted.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Float
from pydantic import Field

from signbridge.core.names import DIRECTIONS, RANDOM, SHUFFLED_MEANS
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.statistics.effects import effects, mean_metrics, site_interval
from signbridge.statistics.intervals import StatisticsParams, draw_photos

PLACE = ["at", "during", "site"]
DOSE_COLUMNS = ["depth", *PLACE, "direction", "strength"]
DOSE_COLUMNS += [f"{name}{end}" for name in ("probability", "says", "damage") for end in ("", "_low", "_high")]
NULLS = (RANDOM, SHUFFLED_MEANS)  # of directions between classes
AREA_COLUMNS = [*PLACE, "direction"]
AREA_COLUMNS += [f"{name}{end}" for name in ("area", "damage_area") for end in ("", "_low", "_high")]
AREA_COLUMNS += ["breakdown_strength"]
HEADLINE = {
    **{f"class_means_over_random{end}": f"steering_class_means_over_random{end}" for end in ("", "_low", "_high")},
    **{
        f"{direction}_{name}": f"steering_{direction}_{finding}"
        for direction in DIRECTIONS
        for name, finding in {
            "over_shuffled_means": "over_shuffled_means",
            "over_shuffled_means_low": "over_shuffled_means_low",
            "over_shuffled_means_high": "over_shuffled_means_high",
            "probability": "probability",
            "damage": "damage",
            "best_layer": "best_site",
        }.items()
    },
    "class_means_best_tokens": "steering_class_means_best_at",
    "images": "steering_images",
    "sweep": "sweep",
    "model": "model",
}  # by the name of a metric, the finding that it is
TOKENS = {"image": "image tokens", "prompt_last": "last token of the prompt", "every": "every token"}


class SteeringEffectsParams(Section):
    """The section `steering_effects`."""

    most_damage: float = Field(ge=0)  # nats a token, at the place and strength that are quoted
    breakdown: float = Field(gt=0)  # nats a token


class Steering(NamedTuple):
    """The tables of a steering sweep, and how sure to be of them."""

    answers: pd.DataFrame  # of `steering_tables.answers_table`
    damage: pd.DataFrame  # of `steering_tables.damage_table`
    settings: SteeringEffectsParams
    statistics: StatisticsParams
    directions: Sequence[str] = DIRECTIONS
    nulls: Sequence[str] = NULLS  # RANDOM is one of them
    name: str = "steering"  # what the metrics begin with
    nulls_of: Mapping[str, Mapping[str, str]] = MappingProxyType({})  # by direction, what takes the place of a null

    def compared(self, direction: str) -> dict[str, str]:
        """The nulls of a direction, by the names that metrics call them."""
        own = self.nulls_of.get(direction, {})
        return {null: own.get(null, null) for null in self.nulls}


def steering_effects(
    steering: Steering, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """The tables of `dose_response` and `areas`, and the findings. Where nothing was steered they are empty."""
    if steering.answers.empty:
        return pd.DataFrame(columns=DOSE_COLUMNS), pd.DataFrame(columns=AREA_COLUMNS), {}
    doses = dose_response(steering, generator)
    by_image = area_by_image(steering, doses)
    return doses, areas(steering, doses, by_image, generator), steering_metrics(steering, by_image, generator)


def dose_response(steering: Steering, generator: np.random.Generator) -> pd.DataFrame:
    """A row a place, direction and strength, from strength 0, with intervals over photos.

    site, depth, at, during, direction, strength, then probability of b's answer, says (share of texts that hold it)
    and damage (nats a token), each with low and high.
    """
    keys, confidence = [*PLACE, "direction", "strength"], steering.statistics.confidence
    unsteered = steering.answers[steering.answers["strength"] == steering.answers["strength"].min()]
    unsteered = unsteered.assign(strength=0.0, probability=unsteered["clean_probability"], says=unsteered["clean_says"])
    answers = pd.concat([unsteered, steering.answers], ignore_index=True)
    damage = pd.concat([steering.damage.assign(strength=0.0, damage=0.0), steering.damage], ignore_index=True)
    likely = effects(answers, keys, "image_id", "probability", steering.statistics, generator)
    said = effects(answers, keys, "image_id", "says", steering.statistics, generator)
    rise = effects(damage, keys, "image_id", "damage", steering.statistics, generator)
    table = likely.table("probability", confidence).merge(said.table("says", confidence, share=True), on=keys)
    table = table.merge(rise.table("damage", confidence), on=keys)
    sites = sorted(table["site"].unique())
    table.insert(0, "depth", table["site"].map(lambda site: int(site.removeprefix("layer_"))))
    own_nulls = [null for own in steering.nulls_of.values() for null in own.values()]
    order = {name: index for index, name in enumerate((*steering.directions, *steering.nulls, *own_nulls))}
    ranks = {"direction": order.get, "site": sites.index}
    return table.sort_values(keys, key=lambda c: c.map(ranks[c.name]) if c.name in ranks else c, ignore_index=True)


def areas(
    steering: Steering, doses: pd.DataFrame, by_image: pd.DataFrame, generator: np.random.Generator
) -> pd.DataFrame:
    """A row a place and direction: what it does beyond random ones.

    area: between the probability steered and at random, over the strength from 0 to the largest and divided by it (so
    at most 1). damage_area: the same over the damage from 0 to `most_damage`, each direction at the strength that does
    that damage. Both have intervals over photos. breakdown_strength: the smallest of the sweep at which the mean damage
    reaches `breakdown`, NaN if none does. `doses` is the table of `dose_response`, `by_image` that of `area_by_image`.
    """
    keys = [*PLACE, "direction"]
    confidence = steering.statistics.confidence
    found = effects(by_image, keys, "image_id", "area", steering.statistics, generator).table("area", confidence)
    over_damage = effects(by_image, keys, "image_id", "damage_area", steering.statistics, generator)
    broken = doses[doses["damage"] >= steering.settings.breakdown].groupby(keys)["strength"].min()
    found = found.merge(over_damage.table("damage_area", confidence), on=keys)
    return found.merge(broken.rename("breakdown_strength").reset_index(), on=keys, how="left")


def at_the_best_place(doses: pd.DataFrame, areas: pd.DataFrame) -> pd.DataFrame:
    """The rows of `doses` where the difference of class means has its largest area over random."""
    of_means = areas[areas["direction"] == "class_means"]
    if of_means.empty:
        return doses
    best = of_means.loc[of_means["area"].idxmax()]
    return doses[(doses[PLACE] == best[PLACE]).all(axis=1)]


def dose_plot(doses: pd.DataFrame, areas: pd.DataFrame) -> pd.DataFrame:
    """What `dvc plots` draws: the dose-response of each kind of token, at the site where class means work best.

    tokens (in words), site, direction, strength, probability, low, high.
    """
    columns = ["tokens", "site", "direction", "strength", "probability", "low", "high"]
    if areas.empty:
        return pd.DataFrame(columns=columns)
    best = [at_the_best_place(doses[doses["at"] == at], areas[areas["at"] == at]) for at in areas["at"].unique()]
    rows = pd.concat(best).rename(columns={"probability_low": "low", "probability_high": "high"})
    return rows.assign(tokens=rows["at"].map(TOKENS))[columns]


def steering_metrics(steering: Steering, by_image: pd.DataFrame, generator: np.random.Generator) -> dict[str, Metric]:
    """For each direction: efficacy and damage where it works best, against the nulls, and the layer of greatest effect.

    A direction that has a null of its own in place of another is compared with that one, under the other's name. Also
    what stands behind the figures: pairs of classes, steered and described images, and draws of each null.
    """
    answers = steering.answers
    counts: dict[str, Metric] = {
        "class_pairs": len(answers[["a", "b"]].drop_duplicates()),
        "images": int(answers["image_id"].nunique()),
        "described_images": int(steering.damage["image_id"].nunique()),
        "draws": int(answers.loc[answers["direction"] == RANDOM, "draw"].nunique()),
    }
    metrics = {f"{steering.name}_{name}": value for name, value in counts.items()}
    for direction in steering.directions:
        found = _at_its_best(steering, direction, generator)
        found |= _best_layers(by_image, direction, steering.statistics, generator)
        metrics |= {f"{steering.name}_{direction}_{name}": value for name, value in found.items()}
    return metrics


def area_by_image(steering: Steering, doses: pd.DataFrame) -> pd.DataFrame:
    """The areas between each direction and random, image by image (of each pair of classes that it is steered for).

    Both areas are weighted sums of the probabilities at the strengths of the sweep: the weights are the trapezoids over
    the strength, or over the mean damage that each strength does, as `doses` has it.
    """
    keys, most = [*PLACE, "a", "b", "image_id"], steering.settings.most_damage
    probability = steering.answers.pivot_table("probability", [*keys, "direction"], "strength")
    probability.insert(0, 0.0, steering.answers.groupby([*keys, "direction"])["clean_probability"].first())
    strengths = probability.columns.to_numpy(dtype=np.float64)
    by_strength = trapezoid_weights(strengths, strengths[-1])
    by_damage = {
        place: trapezoid_weights(
            np.maximum.accumulate(rows.sort_values("strength")["damage"].clip(lower=0).to_numpy()), most
        )
        for place, rows in doses.groupby([*PLACE, "direction"])
    }
    index = probability.index.to_frame(index=False)
    weights = np.stack([by_damage[place] for place in zip(*(index[key] for key in [*PLACE, "direction"]), strict=True)])
    index = index.assign(
        area=probability.to_numpy() @ by_strength, damage_area=(probability * weights).sum(axis=1).values
    )
    null = index[index["direction"] == RANDOM].drop(columns="direction")
    found = index.merge(null, on=keys, suffixes=("", "_null"))
    for name in ("area", "damage_area"):
        found[name] -= found.pop(f"{name}_null")
    return found


def trapezoid_weights(places: Float[np.ndarray, "points"], end: float) -> Float[np.ndarray, "points"]:
    """Weights w such that w @ y is the mean over 0 to `end` of the line through (places, y).

    `places` begin at 0 and do not fall; behind the last the line goes on level.
    """
    weights = np.zeros(len(places))
    if end == 0:
        weights[0] = 1
        return weights
    for left, (begin, stop) in enumerate(pairwise(np.asarray(places, dtype=np.float64))):
        width = min(stop, end) - begin
        if width > 0:
            reached = width / (stop - begin)  # of this piece, before the end
            weights[left] += width * (1 - reached / 2)
            weights[left + 1] += width * reached / 2
    weights[-1] += max(end - float(places[-1]), 0)
    return weights / end


def _at_its_best(steering: Steering, direction: str, generator: np.random.Generator) -> dict[str, Metric]:
    """Chosen on one half of the steered and of the described images, quoted on the others, both ways."""
    names, nulls = [*PLACE, "strength"], steering.compared(direction)
    compared = [direction, *nulls.values()]
    answers = steering.answers[steering.answers["direction"].isin(compared)]
    values = answers.pivot_table(["probability", "says"], [*names, "image_id"], "direction")
    gain = values["probability"][direction] - values["probability"][RANDOM]
    gain = gain.rename("gain").reset_index().pivot_table("gain", names, "image_id")
    rise = steering.damage[steering.damage["direction"].isin(compared)]
    rise = rise.pivot_table("damage", names, ["direction", "image_id"])
    if min(gain.shape[1], rise[direction].shape[1]) < 2:  # one image cannot be both chosen by and quoted
        return {}
    quoted, rises, places = [], [], []
    for chosen in (0, 1):
        by_half = {name: (rise[name].iloc[:, chosen::2], rise[name].iloc[:, 1 - chosen :: 2]) for name in compared}
        best = _best_place(gain.iloc[:, chosen::2], by_half[direction][0], steering.settings.most_damage)
        if best is None:
            return {}
        here = values.loc[best]
        quoted.append(here[here.index.isin(gain.columns[1 - chosen :: 2])])
        rises += [[by_half[name][1].loc[best].mean() for name in compared]] * len(quoted[-1])
        places.append(best)
    table, risen = pd.concat(quoted), pd.DataFrame(rises, columns=compared)
    at, during, site, strength = _best_place(gain, rise[direction], steering.settings.most_damage) or places[0]
    found: dict[str, Metric] = {
        "best_at": at, "best_during": during, "best_site": site, "best_strength": float(strength),
        "halves_agree": all(place == (at, during, site, strength) for place in places),
    }  # fmt: skip
    steered = table["probability"][direction]
    drawn = draw_photos(len(table), steering.statistics.resamples, generator)
    over_nulls = {f"over_{name}": steered - table["probability"][null] for name, null in nulls.items()}
    measured = {"probability": steered, **over_nulls}
    for name, of_image in measured.items():
        found |= mean_metrics(name, of_image.to_numpy(), drawn, steering.statistics.confidence)
    for name, prefix in zip(compared, ("", *(f"{name}_" for name in nulls)), strict=True):
        found |= {f"{prefix}says": float(table["says"][name].mean()), f"{prefix}damage": float(risen[name].mean())}
    return found


def _best_place(gain: pd.DataFrame, rise: pd.DataFrame, most_damage: float) -> tuple | None:
    """Where the mean gain is largest among the places whose mean damage is bearable; None if none is."""
    bearable = rise.index[rise.mean(axis=1) <= most_damage]
    means = gain.loc[gain.index.intersection(bearable)].mean(axis=1).dropna()
    return None if means.empty else means.idxmax()


def _best_layers(
    by_image: pd.DataFrame, direction: str, statistics: StatisticsParams, generator: np.random.Generator
) -> dict[str, Metric]:
    """For each kind of token the site with the largest area, and the sites that it may be."""
    metrics: dict[str, Metric] = {}
    for at, mine in by_image[by_image["direction"] == direction].groupby("at"):
        found = effects(mine, PLACE, "image_id", "area", statistics, generator)
        sites = sorted(mine["site"].unique())
        depth = found.keys["site"].map(sites.index).to_numpy()
        best = int(found.overall.argmax())
        low, high = site_interval(depth[found.resampled.argmax(axis=1)], sites, statistics.confidence)
        metrics |= {
            f"{at}_largest_area": float(found.overall[best]), f"{at}_peak_site": found.keys["site"].iloc[best],
            f"{at}_peak_site_low": low, f"{at}_peak_site_high": high,
        }  # fmt: skip
    return metrics
