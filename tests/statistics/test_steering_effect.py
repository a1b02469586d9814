"""What steering does, from tables whose effects are known: areas, breakdown, and a choice that does not flatter."""

import itertools

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import DIRECTIONS, RANDOM, SHUFFLED_MEANS
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.steering_effect import (
    AREA_COLUMNS,
    DOSE_COLUMNS,
    Steering,
    SteeringEffectsParams,
    at_the_best_place,
    steering_effects,
    trapezoid_weights,
)

STRENGTHS = [1.0, 2.0, 4.0]
PLACES = [("image", "prefill", "layer_00"), ("prompt_last", "every_step", "layer_00"), ("image", "prefill", "layer_07")]
BEST = PLACES[2]
CLEAN = 0.1
SETTINGS = SteeringEffectsParams(most_damage=0.3, breakdown=1.0)


def probability(place, direction, strength, image) -> float:
    """Class means do everything at one place, by half at strength 1 and wholly from 2 on; nothing else does much."""
    if direction == "class_means" and place == BEST:
        return {1.0: 0.5, 2.0: 0.9, 4.0: 0.9}[strength]
    return CLEAN


def rise(place, direction, strength, image) -> float:
    """Nats a token: with the strength, twice as much at random."""
    return 0.1 * strength ** (2 if direction != RANDOM else 3)


def tables(probability=probability, rise=rise, images=8, draws=2, strengths=STRENGTHS) -> tuple:
    directions = [(name, 0) for name in DIRECTIONS]
    directions += [(null, draw) for null in (RANDOM, SHUFFLED_MEANS) for draw in range(draws)]
    answers, damage = [], []
    for place, (direction, draw), strength, image in itertools.product(PLACES, directions, strengths, range(images)):
        at, during, site = place
        edit = {"a": "A", "b": "B", "at": at, "during": during, "site": site, "direction": direction, "draw": draw,
                "strength": strength}  # fmt: skip
        likely = probability(place, direction, strength, image)
        answers.append({**edit, "image_id": f"s{image:02d}", "clean_probability": CLEAN, "clean_says": False,
                        "probability": likely, "says": likely > 0.5})  # fmt: skip
        damage.append({**edit, "image_id": f"o{image:02d}", "damage": rise(place, direction, strength, image)})
    return pd.DataFrame(answers), pd.DataFrame(damage)


def effects_of(answers, damage, settings=SETTINGS, seed=0, resamples=200):
    statistics = StatisticsParams(confidence=0.9, resamples=resamples)
    return steering_effects(Steering(answers, damage, settings, statistics), np.random.default_rng(seed))


@pytest.fixture(scope="module")
def found():
    return effects_of(*tables())


def test_a_direction_with_nulls_of_its_own_is_compared_with_them_under_the_others_names():
    """The null that the others have does all that there is to be done; the own one does half."""

    def likely(place, direction, strength, image) -> float:
        return {"probe": 0.8, SHUFFLED_MEANS: 0.8, "own": 0.45}.get(direction, CLEAN)

    answers, damage = tables(likely)
    own = [table[table["direction"] == SHUFFLED_MEANS].assign(direction="own") for table in (answers, damage)]
    own[0]["probability"], own[1]["damage"] = 0.45, 0.07
    both = [pd.concat(parts, ignore_index=True) for parts in zip((answers, damage), own, strict=True)]
    steering = Steering(*both, SETTINGS, StatisticsParams(confidence=0.9, resamples=50))
    steering = steering._replace(nulls_of={"probe": {SHUFFLED_MEANS: "own"}})
    doses, areas, metrics = steering_effects(steering, np.random.default_rng(0))
    assert metrics[f"steering_probe_over_{SHUFFLED_MEANS}"] == pytest.approx(0.35)
    assert metrics[f"steering_probe_{SHUFFLED_MEANS}_damage"] == pytest.approx(0.07)
    assert metrics["steering_probe_over_random"] == pytest.approx(0.7)
    assert metrics[f"steering_class_means_over_{SHUFFLED_MEANS}"] == pytest.approx(CLEAN - 0.8)
    assert not any("own" in name for name in metrics)
    assert set(doses["direction"]) == set(areas["direction"]) == {*DIRECTIONS, RANDOM, SHUFFLED_MEANS, "own"}


def cell(table, place=BEST, **more):
    wanted = dict(zip(("at", "during", "site"), place, strict=True)) | more
    rows = table[np.logical_and.reduce([table[name] == value for name, value in wanted.items()])]
    assert len(rows) == 1
    return rows.iloc[0]


def test_the_dose_response_begins_unsteered_and_rises_as_the_images_do(found):
    doses, _, _ = found
    assert list(doses.columns) == DOSE_COLUMNS
    assert len(doses) == len(PLACES) * (len(DIRECTIONS) + 2) * (1 + len(STRENGTHS))
    for strength, expected in {0.0: CLEAN, 1.0: 0.5, 2.0: 0.9, 4.0: 0.9}.items():
        row = cell(doses, direction="class_means", strength=strength)
        assert row["probability"] == pytest.approx(expected)
        assert row["says"] == (expected > 0.5)
        assert row["damage"] == pytest.approx(0.1 * strength**2)
        assert row["depth"] == 7
    unsteered = doses[doses["strength"] == 0]
    np.testing.assert_allclose(unsteered["probability"], CLEAN)
    assert not unsteered[["says", "damage"]].to_numpy().any()


def test_no_text_said_or_every_text_said_is_not_quoted_as_certain(found):
    doses, _, _ = found
    assert cell(doses, direction=RANDOM, strength=2.0)["says_high"] > 0.1
    assert cell(doses, direction="class_means", strength=2.0)["says_low"] < 0.9


def test_the_area_is_what_lies_over_random_up_to_the_largest_strength(found):
    _, areas, _ = found
    assert list(areas.columns) == AREA_COLUMNS
    by_hand = (0.5 * 0.4 + 1.0 * (0.4 + 0.8) / 2 + 2.0 * 0.8) / 4.0
    assert cell(areas, direction="class_means")["area"] == pytest.approx(by_hand)
    assert cell(areas, direction="probe")["area"] == pytest.approx(0)
    assert cell(areas, PLACES[0], direction="class_means")["area"] == pytest.approx(0)


def test_a_direction_that_always_does_all_has_the_largest_area_there_is():
    def all_or_nothing(place, direction, strength, image):
        return 0.0 if direction == RANDOM else 1.0  # the other null too: only one is what areas lie over

    answers, damage = tables(all_or_nothing)
    answers["clean_probability"] = 1.0 * (answers["direction"] != RANDOM)
    _, areas, _ = effects_of(answers, damage)
    np.testing.assert_allclose(areas["area"], 1.0 * (areas["direction"] != RANDOM))


def test_a_text_breaks_down_at_the_smallest_strength_that_does_the_damage_or_never(found):
    """0.1, 0.4, 1.6 nats at strengths 1, 2, 4."""
    _, areas, _ = found
    assert cell(areas, direction="class_means")["breakdown_strength"] == 4.0
    _, easily, _ = effects_of(*tables(), settings=SETTINGS.model_copy(update={"breakdown": 0.3}))
    assert cell(easily, direction="class_means")["breakdown_strength"] == 2.0
    _, never, _ = effects_of(*tables(), settings=SETTINGS.model_copy(update={"breakdown": 9.0}))
    assert never["breakdown_strength"].isna().all()


def test_a_direction_is_quoted_where_it_works_best_without_more_damage_than_is_borne(found):
    """At strength 2 it would do more, but at 0.4 nats."""
    _, _, metrics = found
    best = {name: metrics[f"steering_class_means_best_{name}"] for name in ("at", "during", "site", "strength")}
    assert best == {"at": "image", "during": "prefill", "site": "layer_07", "strength": 1.0}
    assert metrics["steering_class_means_probability"] == pytest.approx(0.5)
    assert metrics["steering_class_means_over_random"] == pytest.approx(0.4)
    assert metrics["steering_class_means_damage"] == pytest.approx(0.1)
    assert metrics["steering_class_means_random_damage"] == pytest.approx(0.1)
    _, _, bold = effects_of(*tables(), settings=SETTINGS.model_copy(update={"most_damage": 0.5}))
    assert bold["steering_class_means_probability"] == pytest.approx(0.9)
    assert bold["steering_class_means_says"] == 1
    assert bold["steering_class_means_random_says"] == 0


def test_a_direction_that_always_does_too_much_damage_is_not_quoted():
    _, _, metrics = effects_of(*tables(rise=lambda *edit: 5.0))
    assert "steering_class_means_probability" not in metrics
    assert metrics["steering_class_means_image_peak_site"] == "layer_07"


def test_the_layer_of_greatest_effect_has_the_largest_area(found):
    _, _, metrics = found
    assert [metrics[f"steering_class_means_image_peak_site{end}"] for end in ("", "_low", "_high")] == ["layer_07"] * 3
    assert metrics["steering_class_means_prompt_last_largest_area"] == pytest.approx(0)
    assert metrics["steering_class_means_image_largest_area"] == pytest.approx((0.5 * 0.4 + 0.6 + 1.6) / 4)


def test_the_choice_among_places_does_not_flatter_what_is_quoted():
    """Noise alone: chosen and quoted on the same images it would lie well over random, on others it does not."""
    flattered, quoted = [], []
    strengths = [0.1 * step for step in range(1, 11)]
    for seed in range(8):
        generator = np.random.default_rng(seed)
        answers, damage = tables(lambda *edit: 0.0, lambda *edit: 0.0, images=10, draws=1, strengths=strengths)
        noise = answers.assign(probability=generator.uniform(size=len(answers)))
        _, _, metrics = effects_of(noise, damage, seed=seed, resamples=10)
        quoted.append(metrics["steering_class_means_over_random"])
        keys = ["at", "during", "site", "strength"]
        means = noise.pivot_table("probability", keys, "direction")
        flattered.append((means["class_means"] - means[RANDOM]).max())
    assert np.mean(flattered) > 0.2
    assert abs(np.mean(quoted)) < 0.1


def of_pairs(likely, pairs: int) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The tables of some pairs of classes, whose images have a probability `likely(pair, place, direction)`."""
    parts = []
    for pair in range(pairs):
        answers, damage = tables(lambda place, direction, *_, pair=pair: likely(pair, place, direction), images=4)
        named = {"a": f"a{pair}", "b": f"b{pair}"}
        parts.append((answers.assign(**named, image_id=f"{pair}-" + answers["image_id"]), damage.assign(**named)))
    return tuple(pd.concat(tables, ignore_index=True) for tables in zip(*parts, strict=True))


def test_images_of_one_pair_share_its_direction_so_pairs_are_what_an_interval_is_over():
    """Half of the pairs are steered wholly and half not at all, whichever of their images is looked at."""

    def of_pair(pair, place, direction):
        return 1.0 * (direction == "class_means" and pair % 4 < 2)

    doses, areas, metrics = effects_of(*of_pairs(of_pair, pairs=8))
    assert (metrics["steering_class_pairs"], metrics["steering_images"]) == (8, 32)
    assert metrics["steering_class_means_probability"] == pytest.approx(0.5)
    width = metrics["steering_class_means_over_random_high"] - metrics["steering_class_means_over_random_low"]
    assert width >= 0.5  # of eight pairs, not of 32 images: 0.25
    row = cell(doses, direction="class_means", strength=2.0)
    assert row["probability_high"] - row["probability_low"] >= 0.5
    assert cell(areas, direction="class_means")["area_high"] - cell(areas, direction="class_means")["area_low"] > 0.3


def test_draws_of_a_null_are_part_of_how_sure_a_difference_is():
    """One of two draws of shuffled means does all that there is to be done: the difference may be all or nothing."""
    answers, damage = of_pairs(lambda pair, place, direction: 1.0 * (direction == "class_means"), pairs=8)
    does_all = (answers["direction"] == SHUFFLED_MEANS) & (answers["draw"] == 0)
    answers.loc[does_all, "probability"] = 1.0
    _, _, metrics = effects_of(answers, damage)
    over = [metrics[f"steering_class_means_over_{SHUFFLED_MEANS}{end}"] for end in ("", "_low", "_high")]
    assert over == pytest.approx([0.5, 0, 1])


def test_a_place_is_quoted_of_other_pairs_than_it_was_chosen_by():
    """Every other pair answers at one place alone, the rest at another: each half's choice does nothing elsewhere."""

    def by_turns(pair, place, direction):
        return 1.0 * (direction == "class_means" and place == PLACES[2 * (pair % 2)])

    _, _, metrics = effects_of(*of_pairs(by_turns, pairs=6))
    assert metrics["steering_class_means_probability"] == 0
    assert not metrics["steering_class_means_halves_agree"]


def test_a_single_image_cannot_be_both_chosen_by_and_quoted():
    _, _, metrics = effects_of(*tables(images=1))
    assert "steering_class_means_probability" not in metrics
    assert metrics["steering_class_means_image_peak_site"] == "layer_07"


def test_draws_of_the_random_direction_are_averaged():
    answers, damage = tables(draws=2)
    random = answers["direction"] == RANDOM
    answers.loc[random, "probability"] = np.where(answers.loc[random, "draw"] == 0, 0.2, 0.4)
    doses, _, _ = effects_of(answers, damage)
    assert cell(doses, direction=RANDOM, strength=2.0)["probability"] == pytest.approx(0.3)


def test_intervals_are_over_images_and_not_over_rows():
    def noisy(place, direction, strength, image):
        return (image * 7 % 10) / 10

    answers, damage = tables(noisy, lambda place, direction, strength, image: (image * 3 % 10) / 10, images=10)
    once = effects_of(answers, damage)
    often = effects_of(pd.concat([answers] * 5), pd.concat([damage] * 5))
    for one, five in zip(once[:2], often[:2], strict=True):
        pd.testing.assert_frame_equal(one, five)
    assert once[2] == pytest.approx(often[2])
    row = cell(once[0], direction="probe", strength=2.0)
    assert row["probability_low"] < row["probability"] < row["probability_high"]


def test_the_place_drawn_is_that_of_the_largest_area(found):
    doses, areas, _ = found
    best = at_the_best_place(doses, areas)
    assert set(best[["at", "during", "site"]].itertuples(index=False, name=None)) == {BEST}
    assert len(best) == (len(DIRECTIONS) + 2) * (1 + len(STRENGTHS))


def test_where_nothing_was_steered_there_is_no_row_and_no_number():
    doses, areas, metrics = effects_of(*(table.head(0) for table in tables()))
    assert (doses.empty, areas.empty, metrics) == (True, True, {})
    assert list(doses.columns) == DOSE_COLUMNS
    assert list(areas.columns) == AREA_COLUMNS
    assert at_the_best_place(doses, areas).empty


@pytest.mark.parametrize("end", [0.5, 1.0, 3.0])
def test_weights_give_the_mean_of_the_line_through_the_points_level_behind_the_last(end):
    places, values = np.array([0.0, 0.2, 0.2, 0.9, 2.0]), np.array([0.1, 0.3, 0.5, 0.9, 0.4])
    grid = np.linspace(0, end, 200_001)
    expected = np.interp(grid, places, values).mean()
    assert trapezoid_weights(places, end) @ values == pytest.approx(expected, abs=1e-4)


def test_weights_of_a_level_line_are_one():
    assert trapezoid_weights(np.array([0.0, 0.0, 0.0]), 1.0).sum() == pytest.approx(1)
    assert trapezoid_weights(np.array([0.0, 0.5]), 0.0).sum() == pytest.approx(1)


def test_a_direction_that_does_the_same_at_half_the_damage_has_the_larger_area_over_damage():
    gentle = effects_of(*tables(rise=lambda place, direction, strength, image: strength / 20))[1]
    harsh = effects_of(*tables(rise=lambda place, direction, strength, image: strength / 5))[1]
    of = {"direction": "class_means"}
    assert cell(gentle, **of)["area"] == cell(harsh, **of)["area"]
    assert cell(gentle, **of)["damage_area"] > cell(harsh, **of)["damage_area"]
