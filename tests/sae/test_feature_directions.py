"""Directions that are single features, and the features that they are held against."""

import numpy as np
import pytest
import torch

from signbridge.causal.pairs import ClassPair
from signbridge.core.names import (
    CLAMP,
    CLAMP_DECODED,
    EQUAL_LOGIT,
    EQUAL_LOGIT_DOWN,
    FEATURE,
    FEATURE_DIRECTIONS,
    FEATURE_DOWN,
    FEATURE_NULLS,
    LIKE_FEATURES,
    LIKE_FEATURES_DOWN,
    NEIGHBOURS,
    NEIGHBOURS_DOWN,
    NULLS_DOWN,
    RANDOM,
)
from signbridge.sae.feature_directions import (
    LIKE,
    Chosen,
    FeatureDirections,
    chosen_features,
    equal_logit,
    feature_directions,
    features_table,
    like_features,
    named,
    neighbours,
)
from tests.sae.hand_made import hand_made

WIDTH, FEATURES, DRAWS = 6, 200, 3
PAIR = ClassPair("A", "B", "fist", "palm")
LABELS = np.array(list("AABBCC") * 2)
HALF = np.arange(len(LABELS)) < 6
SITES = ["layer_01", "layer_06"]
PLACES = [(site, position) for site in SITES for position in ("prompt_last", "image_mean")]


def numbers(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


DECODER = numbers(1).normal(size=(FEATURES, WIDTH))  # of other lengths than 1
ACTIVE = numbers(2).exponential(size=(2, FEATURES))  # of two images
MEAN = ACTIVE.mean(0)
CHOSEN = Chosen(up=7, down=30)
NATURAL = Chosen(*(ACTIVE[:, feature].max() for feature in CHOSEN))
TOWARD = numbers(5).normal(size=WIDTH)


def rows_of(decoder: np.ndarray = DECODER, seed: int = 0) -> dict[tuple[str, int], np.ndarray]:
    """By name and draw."""
    found = feature_directions(decoder, ACTIVE, CHOSEN, TOWARD, DRAWS, numbers(seed))
    return dict(zip(named(DRAWS), found, strict=True))


def unit(vector: np.ndarray) -> np.ndarray:
    return vector / np.linalg.norm(vector)


def numbers_of(rows: dict[tuple[str, int], np.ndarray], name: str, sign: int = 1) -> list[int]:
    """Which features the rows of a null are, added, or subtracted where the sign is -1."""
    cosines = [sign * DECODER @ unit(rows[name, draw]) / np.linalg.norm(DECODER, axis=1) for draw in range(DRAWS)]
    assert all(of_draw.max() == pytest.approx(1) for of_draw in cosines)
    return [int(of_draw.argmax()) for of_draw in cosines]


def test_the_rows_are_what_their_names_say():
    rows = rows_of()
    for name in (FEATURE, CLAMP, CLAMP_DECODED):
        np.testing.assert_allclose(rows[name, 0], NATURAL.up * unit(DECODER[7]))
    np.testing.assert_allclose(rows[FEATURE_DOWN, 0], -NATURAL.down * unit(DECODER[30]))
    assert numbers_of(rows, NEIGHBOURS) == [8, 6, 9]
    assert set(numbers_of(rows, LIKE_FEATURES)) <= set(nearest(7, LIKE * DRAWS))
    for draw in range(DRAWS):
        cosines = DECODER @ unit(rows[RANDOM, draw]) / np.linalg.norm(DECODER, axis=1)
        assert np.abs(cosines).max() < 0.999, "of no feature"
    assert {name for name, _ in rows} == {*FEATURE_DIRECTIONS, *FEATURE_NULLS, *NULLS_DOWN.values()}


def test_the_nulls_of_the_feature_that_is_subtracted_are_features_like_it_and_next_to_it_subtracted():
    rows = rows_of()
    assert numbers_of(rows, NEIGHBOURS_DOWN, -1) == [31, 29, 32]
    like = numbers_of(rows, LIKE_FEATURES_DOWN, -1)
    assert set(like) <= set(nearest(30, LIKE * DRAWS))
    assert len(set(like)) == DRAWS
    assert like != numbers_of(rows, LIKE_FEATURES)


def test_every_row_is_as_long_as_the_largest_natural_activation_but_that_of_a_feature_that_writes_nothing():
    for (name, _), row in rows_of().items():
        assert np.linalg.norm(row) == pytest.approx(NATURAL.down if name.endswith("_down") else NATURAL.up), name
    silent = DECODER.copy()
    silent[7] = 0
    rows = rows_of(silent)
    assert not rows[FEATURE, 0].any()
    assert np.isfinite(np.stack(list(rows.values()))).all()


def test_the_null_of_equal_logit_effect_moves_the_answers_logit_as_the_feature_does_and_is_noise_beside_it():
    rows = rows_of()
    for null, pushed in ((EQUAL_LOGIT, FEATURE), (EQUAL_LOGIT_DOWN, FEATURE_DOWN)):
        drawn = [rows[null, draw] for draw in range(DRAWS)]
        np.testing.assert_allclose(drawn @ TOWARD, rows[pushed, 0] @ TOWARD)
        assert not np.allclose(drawn[0], drawn[1])
        assert not np.allclose(drawn[0], rows[pushed, 0])
    along = 3 * TOWARD
    np.testing.assert_allclose(equal_logit(along, TOWARD, 2, numbers()), [along, along], err_msg="all of it is")
    nowhere = equal_logit(along, 0 * TOWARD, 2, numbers())
    np.testing.assert_allclose(np.linalg.norm(nowhere, axis=1), np.linalg.norm(along))


def test_equal_generators_draw_equal_nulls_and_others_do_not():
    first, same, other = (np.stack(list(rows_of(seed=seed).values())) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first, same)
    assert not np.allclose(first, other)


def test_up_is_the_feature_with_the_most_more_on_b_and_down_the_one_with_the_most_more_on_a():
    features = numbers(3).uniform(0, 0.1, (len(LABELS), 5))
    features[LABELS == "B", 1] += 5
    features[LABELS == "B", 2] += 4
    features[LABELS == "A", 3] += 5
    features[LABELS == "C", 4] += 50
    features[:, 0] += 100  # fires for all
    assert chosen_features(features, LABELS, PAIR) == Chosen(up=1, down=3)
    assert chosen_features(features, LABELS, ClassPair("B", "A", "palm", "fist")) == Chosen(up=3, down=1)


def test_of_features_that_others_named_for_a_class_the_one_that_tells_it_best_is_taken():
    features = np.zeros((len(LABELS), 6))
    features[LABELS == "B", :3] = [5, 1, 2]
    features[LABELS == "A", 3:5] = [5, 1]
    assert chosen_features(features, LABELS, PAIR, {"b": [1, 2, 900]}) == Chosen(up=2, down=3)
    assert chosen_features(features, LABELS, PAIR, {"A": [4], "B": [1]}) == Chosen(up=1, down=4)
    assert chosen_features(features, LABELS, PAIR, {"C": [4], "B": [900]}) == Chosen(up=0, down=3), "none of them here"


def test_a_studys_directions_are_of_the_published_features():
    directed = FeatureDirections(
        autoencoders(), random_features(), LABELS, HALF, DRAWS, 5, toward, {"A": [3], "B": [6]}
    )
    assert directed.chosen("layer_06", PAIR, "every") == Chosen(up=6, down=3)


def nearest(feature: int, count: int) -> np.ndarray:
    others = np.delete(np.arange(FEATURES), feature)
    return others[np.argsort(np.abs(MEAN[others] - MEAN[feature]))][:count]


def test_features_of_like_activation_are_near_never_itself_and_not_twice():
    for seed in range(30):
        found = like_features(MEAN, 7, DRAWS, numbers(seed))
        assert 7 not in found
        assert len(set(found)) == DRAWS
        assert set(found) <= set(nearest(7, LIKE * DRAWS))
    assert len({int(one) for seed in range(30) for one in like_features(MEAN, 7, 1, numbers(seed))}) > 5


def test_fewer_features_than_draws_come_more_than_once():
    found = like_features(np.ones(3), 1, 10, numbers())
    assert set(found) == {0, 2}
    assert len(found) == 10


@pytest.mark.parametrize(
    ("feature", "draws", "expected"),
    [(5, 1, [6]), (5, 4, [6, 4, 7, 3]), (0, 3, [1, 9, 2]), (9, 3, [0, 8, 1]), (9, 4, [0, 8, 1, 7])],
)
def test_neighbours_are_the_next_on_either_side_around_the_ends(feature, draws, expected):
    assert neighbours(feature, 10, draws).tolist() == expected


# Of a study ----------------------------------------------------------------------------------------------------------


def autoencoders() -> dict[str, torch.nn.Module]:
    made = {}
    for number, site in enumerate(SITES):
        decoder = torch.randn(8, WIDTH, generator=torch.Generator().manual_seed(number))
        made[site] = hand_made(decoder.T.contiguous(), decoder)
    return made


def study(features: dict[tuple[str, str], np.ndarray], seed: int = 5) -> FeatureDirections:
    return FeatureDirections(autoencoders(), features, LABELS, HALF, DRAWS, seed, toward)


def toward(answer: str) -> np.ndarray:
    """Another direction for every answer."""
    return numbers(len(answer)).normal(size=WIDTH)


def random_features(seed: int = 4) -> dict[tuple[str, str], np.ndarray]:
    generator = numbers(seed)
    return {place: generator.exponential(size=(len(LABELS), 8)) for place in PLACES}


def test_each_site_and_kind_of_token_has_its_own_features():
    features = random_features()
    for number, place in enumerate(PLACES):
        features[place][LABELS == "B", number] += 100
    directed = study(features)
    at_of = {"prompt_last": ("prompt_last", "every"), "image_mean": ("image",)}
    for number, (site, position) in enumerate(PLACES):
        for at in at_of[position]:
            assert directed.chosen(site, PAIR, at).up == number
            row = unit(directed.between(PAIR, at, 0)[site][0])
            np.testing.assert_allclose(row, unit(autoencoders()[site].W_dec[number].detach().numpy()), rtol=1e-5)


def test_only_the_images_of_the_fitted_half_are_looked_at():
    features, other = random_features(), random_features()
    for vectors in other.values():
        vectors[~HALF] = 1e6 * numbers(9).normal(size=vectors[~HALF].shape)
    first, second = study(features), study(other)
    for at in ("image", "prompt_last", "every"):
        for site in SITES:
            assert first.chosen(site, PAIR, at) == second.chosen(site, PAIR, at)
            np.testing.assert_array_equal(first.between(PAIR, at, 0)[site], second.between(PAIR, at, 0)[site])


def test_the_two_clamps_alone_hold_a_feature_the_one_that_is_pushed_up_and_one_decodes():
    directed = study(random_features())
    held = directed.clamps(PAIR, "image")
    assert list(held) == SITES
    for site in SITES:
        by_name = dict(zip(directed.names, held[site].features.tolist(), strict=True))
        for name in (CLAMP, CLAMP_DECODED):
            assert by_name.pop((name, 0)) == directed.chosen(site, PAIR, "image").up
        assert set(by_name.values()) == {-1}
        decoded = dict(zip(directed.names, held[site].decoded.tolist(), strict=True))
        assert [name for name, is_so in decoded.items() if is_so] == [(CLAMP_DECODED, 0)]
        given = torch.ones(3, WIDTH)
        torch.testing.assert_close(held[site].encoder.encode(given), autoencoders()[site].encode(given))


def test_the_equal_null_is_of_the_wanted_answer():
    directed = study(random_features())
    for pair in (PAIR, ClassPair("A", "B", "fist", "an open palm")):
        rows = directed.between(pair, "image", 0)["layer_06"]
        null = rows[directed.names.index((EQUAL_LOGIT, 0))]
        assert null @ toward(pair.answer_b) == pytest.approx(rows[0] @ toward(pair.answer_b))


def test_noise_differs_by_pair_depth_and_seed_and_not_by_run():
    def noise(site: str, number: int, seed: int) -> np.ndarray:
        directed = study(random_features(), seed)
        return directed.between(PAIR, "image", number)[site][directed.names.index((RANDOM, 0))]

    first = noise("layer_01", 0, 5)
    np.testing.assert_array_equal(first, noise("layer_01", 0, 5))
    for other in (noise("layer_06", 0, 5), noise("layer_01", 1, 5), noise("layer_01", 0, 6)):
        assert not np.allclose(first, other)


def test_the_table_says_which_features_were_pushed():
    directed = study(random_features())
    back = ClassPair("B", "A", "palm", "fist")
    table = features_table([directed], [(PAIR, "image"), (back, "every")], SITES)
    assert table[["a", "b", "at", "site"]].to_numpy().tolist() == [
        ["A", "B", "image", "layer_01"], ["A", "B", "image", "layer_06"],
        ["B", "A", "every", "layer_01"], ["B", "A", "every", "layer_06"],
    ]  # fmt: skip
    assert tuple(table.loc[1, ["up", "down"]]) == directed.chosen("layer_06", PAIR, "image")
    assert tuple(table.loc[2, ["up", "down"]]) == directed.chosen("layer_01", back, "every")


def test_where_nothing_was_steered_the_table_is_empty():
    table = features_table([], [], SITES)
    assert table.empty
    assert list(table.columns) == ["a", "b", "at", "site", "up", "down"]


def test_the_directions_that_are_described_are_among_the_names():
    assert {(name, 0) for name in FeatureDirections.told} <= set(named(1))
