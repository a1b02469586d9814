"""What steering does, compared with directions of the same norm that mean nothing: efficacy, damage, the best place.

Images of one pair of classes share their direction, and all share the draws of a null: intervals resample pairs, the
images within them, and draws, together. The place where a direction works best (site, tokens, strength) is chosen on
half of the pairs and quoted on the others, and the other way round, so that the choice does not inflate what is quoted.
Where there is one pair (a concept), images take its place, and nothing is said of other directions.
"""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from types import MappingProxyType
from typing import NamedTuple

import numpy as np
import pandas as pd
from jaxtyping import Bool, Float
from pydantic import Field

from signbridge.core.activations import block_of
from signbridge.core.names import DIRECTIONS, RANDOM, SHUFFLED_MEANS
from signbridge.core.params import Section
from signbridge.core.tables import Metric
from signbridge.statistics.effects import Effects, effects, site_interval
from signbridge.statistics.intervals import StatisticsParams

PLACE = ["at", "during", "site"]
UNITS = ["pair", "image_id"]  # what is resampled, outermost first; draws are crossed with both
DOSE_COLUMNS = ["depth", *PLACE, "direction", "strength"]
DOSE_COLUMNS += [f"{name}{end}" for name in ("probability", "says", "damage") for end in ("", "_low", "_high")]
NULLS = (RANDOM, SHUFFLED_MEANS)  # of directions between classes
AREA_COLUMNS = [*PLACE, "direction"]
AREA_COLUMNS += [f"{name}{end}" for name in ("area", "damage_area") for end in ("", "_low", "_high")]
AREA_COLUMNS += ["breakdown_strength"]
HEADLINE = {
    "class_means_over_random": "steering_class_means_over_random",
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
    "pairs": "steering_class_pairs",
    "images": "steering_images",
    "draws": "steering_draws",
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

    def effects(self, table: pd.DataFrame, keys: Sequence[str], value: str, generator: np.random.Generator) -> Effects:
        """The mean of `value` by `keys` (`direction` among them): pairs, images and draws resampled together."""
        return effects(table, keys, UNITS, value, self.statistics, generator, nulls="direction")

    def compared(self, direction: str) -> dict[str, str]:
        """The nulls of a direction, by the names that metrics call them."""
        own = self.nulls_of.get(direction, {})
        return {null: own.get(null, null) for null in self.nulls}


def steering_effects(
    steering: Steering, generator: np.random.Generator
) -> tuple[pd.DataFrame, pd.DataFrame, dict[str, Metric]]:
    """The tables of `dose_response` and `area_table`, and the findings. Where nothing was steered they are empty."""
    if steering.answers.empty:
        return pd.DataFrame(columns=DOSE_COLUMNS), pd.DataFrame(columns=AREA_COLUMNS), {}
    pairs = steering.answers[["a", "b"]].drop_duplicates().assign(pair=lambda table: range(len(table)))
    answers, damage = (table.merge(pairs, on=["a", "b"]) for table in (steering.answers, steering.damage))
    steering = steering._replace(answers=answers, damage=damage)
    doses = dose_response(steering, generator)
    areas = _areas_over_random(steering, doses, generator)
    return doses, area_table(steering, doses, areas), steering_metrics(steering, areas["area"], generator)


def dose_response(steering: Steering, generator: np.random.Generator) -> pd.DataFrame:
    """A row a place, direction and strength, from strength 0, with intervals over pairs, images and draws.

    site, depth, at, during, direction, strength, then probability of b's answer, says (share of texts that hold it)
    and damage (nats a token), each with low and high.
    """
    keys, confidence = [*PLACE, "direction", "strength"], steering.statistics.confidence
    unsteered = steering.answers[steering.answers["strength"] == steering.answers["strength"].min()]
    unsteered = unsteered.assign(strength=0.0, probability=unsteered["clean_probability"], says=unsteered["clean_says"])
    answers = pd.concat([unsteered, steering.answers], ignore_index=True)
    damage = pd.concat([steering.damage.assign(strength=0.0, damage=0.0), steering.damage], ignore_index=True)
    likely = steering.effects(answers, keys, "probability", generator)
    said = steering.effects(answers, keys, "says", generator)
    rise = steering.effects(damage, keys, "damage", generator)
    table = likely.table("probability", confidence).merge(said.table("says", confidence, share=True), on=keys)
    table = table.merge(rise.table("damage", confidence), on=keys)
    sites = sorted(table["site"].unique())
    table.insert(0, "depth", table["site"].map(block_of))
    own_nulls = [null for own in steering.nulls_of.values() for null in own.values()]
    order = {name: index for index, name in enumerate((*steering.directions, *steering.nulls, *own_nulls))}
    ranks = {"direction": order.get, "site": sites.index}
    return table.sort_values(keys, key=lambda c: c.map(ranks[c.name]) if c.name in ranks else c, ignore_index=True)


def area_table(steering: Steering, doses: pd.DataFrame, areas: Mapping[str, Effects]) -> pd.DataFrame:
    """A row a place and direction: what it does beyond random ones.

    area: between the probability steered and at random, over the strength from 0 to the largest and divided by it (so
    at most 1). damage_area: the same over the damage from 0 to `most_damage`, each direction at the strength that does
    that damage. Both have intervals. breakdown_strength: the smallest of the sweep at which the mean damage reaches
    `breakdown`, NaN if none does. `doses` is the table of `dose_response`.
    """
    keys = [*PLACE, "direction"]
    over_strength, over_damage = (of.table(name, steering.statistics.confidence) for name, of in areas.items())
    broken = doses[doses["damage"] >= steering.settings.breakdown].groupby(keys)["strength"].min()
    found = over_strength.merge(over_damage, on=keys)
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


def steering_metrics(steering: Steering, areas: Effects, generator: np.random.Generator) -> dict[str, Metric]:
    """For each direction: efficacy and damage where it works best, against the nulls, and the layer of greatest effect.

    A direction that has a null of its own in place of another is compared with that one, under the other's name. Also
    what stands behind the figures: pairs of classes, steered and described images, and draws of each null.
    """
    answers = steering.answers
    counts: dict[str, Metric] = {
        "class_pairs": int(answers["pair"].nunique()),
        "images": int(answers["image_id"].nunique()),
        "described_images": int(steering.damage["image_id"].nunique()),
        "draws": int(answers.loc[answers["direction"] == RANDOM, "draw"].nunique()),
    }
    metrics = {f"{steering.name}_{name}": value for name, value in counts.items()}
    for direction in steering.directions:
        found = _at_its_best(steering, direction, generator)
        found |= _best_layers(areas, direction, steering.statistics.confidence)
        metrics |= {f"{steering.name}_{direction}_{name}": value for name, value in found.items()}
    return metrics


def _areas_over_random(steering: Steering, doses: pd.DataFrame, generator: np.random.Generator) -> dict[str, Effects]:
    """`area` and `damage_area` of every place and direction, less those of random directions on the same resamples.

    Both areas are weighted sums of the probabilities at the strengths of the sweep: the weights are the trapezoids over
    the strength, or over the mean damage that each strength does, as `doses` has it.
    """
    keys, most = [*PLACE, "direction"], steering.settings.most_damage
    of_edit = [*keys, "draw", *UNITS]
    probability = steering.answers.pivot_table("probability", of_edit, "strength")
    probability.insert(0, 0.0, steering.answers.groupby(of_edit)["clean_probability"].first())
    strengths = probability.columns.to_numpy(dtype=np.float64)
    by_strength = trapezoid_weights(strengths, strengths[-1])
    by_damage = {
        place: trapezoid_weights(
            np.maximum.accumulate(rows.sort_values("strength")["damage"].clip(lower=0).to_numpy()), most
        )
        for place, rows in doses.groupby(keys)
    }
    index = probability.index.to_frame(index=False)
    weights = np.stack([by_damage[place] for place in zip(*(index[key] for key in keys), strict=True)])
    index = index.assign(
        area=probability.to_numpy() @ by_strength, damage_area=(probability * weights).sum(axis=1).values
    )
    return {
        name: steering.effects(index, keys, name, generator).over("direction", RANDOM)
        for name in ("area", "damage_area")
    }


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
    """Chosen on one half of the pairs (of the images, where there is one pair), quoted on the other, both ways."""
    names, nulls = [*PLACE, "strength"], steering.compared(direction)
    compared = [direction, *nulls.values()]
    answers, damage = (table[table["direction"].isin(compared)] for table in (steering.answers, steering.damage))
    gain = answers.pivot_table("probability", names, ["direction", *UNITS])
    gain = gain[direction] - gain[RANDOM]
    rise = damage.pivot_table("damage", names, ["direction", *UNITS])[direction]
    halves = [_halves(table.columns) for table in (gain, rise)]
    if not all(half.any() and not half.all() for half in halves):  # what is quoted must not be chosen by
        return {}
    said, risen, places = [], [], []
    for side in (False, True):
        chosen_gain, chosen_rise = (
            table.loc[:, half == side] for table, half in zip((gain, rise), halves, strict=True)
        )
        best = _best_place(chosen_gain, chosen_rise, steering.settings.most_damage)
        if best is None:
            return {}
        places.append(best)
        for table, columns, kept in ((answers, gain.columns, said), (damage, rise.columns, risen)):
            others = columns[halves[0 if table is answers else 1] != side]
            here = table[(table[names] == list(best)).all(axis=1)]
            kept.append(here[pd.MultiIndex.from_frame(here[UNITS]).isin(others)])
    at, during, site, strength = _best_place(gain, rise, steering.settings.most_damage) or places[0]
    found: dict[str, Metric] = {
        "best_at": at, "best_during": during, "best_site": site, "best_strength": float(strength),
        "halves_agree": all(place == (at, during, site, strength) for place in places),
    }  # fmt: skip
    quoted, risen = pd.concat(said), pd.concat(risen)
    curves, confidence = (
        steering.effects(quoted, ["direction"], "probability", generator),
        steering.statistics.confidence,
    )
    number = {name: row for row, name in enumerate(curves.keys["direction"])}
    found |= curves.metrics("probability", number[direction], confidence)
    for name, null in nulls.items():
        found |= curves.over("direction", null).metrics(f"over_{name}", number[direction], confidence)
    says, rises = (table.groupby("direction")[name].mean() for table, name in ((quoted, "says"), (risen, "damage")))
    for name, prefix in zip(compared, ("", *(f"{name}_" for name in nulls)), strict=True):
        found |= {f"{prefix}says": float(says[name]), f"{prefix}damage": float(rises[name])}
    return found


def _halves(units: pd.MultiIndex) -> Bool[np.ndarray, "units"]:
    """Which units are in the second half: every other pair, or every other image of the only pair."""
    pair, image = (pd.factorize(units.get_level_values(name), sort=True)[0] for name in UNITS)
    return (pair if pair.any() else image) % 2 == 1


def _best_place(gain: pd.DataFrame, rise: pd.DataFrame, most_damage: float) -> tuple | None:
    """Where the mean gain is largest among the places whose mean damage is bearable; None if none is."""
    bearable = rise.index[rise.mean(axis=1) <= most_damage]
    means = gain.loc[gain.index.intersection(bearable)].mean(axis=1).dropna()
    return None if means.empty else means.idxmax()


def _best_layers(areas: Effects, direction: str, confidence: float) -> dict[str, Metric]:
    """For each kind of token the site with the largest area, and the sites that it may be."""
    metrics: dict[str, Metric] = {}
    for at, keys in areas.keys[areas.keys["direction"] == direction].groupby("at"):
        sites = sorted(keys["site"].unique())
        depth = keys["site"].map(sites.index).to_numpy()
        best = keys.index[int(areas.overall[keys.index].argmax())]
        places = areas.resampled[:, keys.index].argmax(axis=1)
        low, high = site_interval(depth[places], sites, confidence)
        metrics |= {
            f"{at}_largest_area": float(areas.overall[best]), f"{at}_peak_site": areas.keys["site"][best],
            f"{at}_peak_site_low": low, f"{at}_peak_site_high": high,
        }  # fmt: skip
    return metrics
