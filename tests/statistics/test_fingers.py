"""Features that track a finger: correlations held to SciPy's, and p-values to what hands at random give."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import pearsonr

from signbridge.statistics.fingers import (
    COLUMNS,
    FingerParams,
    Hands,
    Place,
    Tracked,
    by_photo,
    finger_metrics,
    tracked,
    tracking_table,
)

JOINTS = ["index_pip", "middle_mcp", "wrist"]
LETTERS = np.repeat(list("ABCDEF"), 8)
SETTINGS = FingerParams(draws=199, p=0.05, listed=10)
PIP, MCP, WRIST = range(len(JOINTS))


def numbers(seed: int = 0) -> np.random.Generator:
    return np.random.default_rng(seed)


def hands(generator: np.random.Generator, letters: np.ndarray = LETTERS) -> Hands:
    """Each letter has a pose of its own, from which its photos differ."""
    places = np.unique(letters, return_inverse=True)[1]
    of_letter = generator.normal(0, 40, (places.max() + 1, len(JOINTS)))
    return Hands(pd.DataFrame(of_letter[places] + generator.normal(0, 10, (len(letters), len(JOINTS))), columns=JOINTS),
                 letters)  # fmt: skip


def noise(generator: np.random.Generator, features: int = 20, photos: int = len(LETTERS)) -> np.ndarray:
    return generator.normal(size=(photos, features))


def without_letters(values: np.ndarray) -> np.ndarray:
    """What is left of each column when each letter's mean is taken out."""
    table = pd.DataFrame(values)
    return (table - table.groupby(LETTERS).transform("mean")).to_numpy()


def tracked_alone(
    features: np.ndarray, made: Hands, draws: int, generator: np.random.Generator, within: bool
) -> Tracked:
    """At a single place."""
    (found,) = tracked([features], made, draws, generator, within)
    return found


def test_the_mean_of_each_photo_is_over_its_images_whatever_their_order():
    photos = np.array(["b", "a", "b", "c", "a", "b"])
    values = np.arange(12, dtype=np.float32).reshape(6, 2)
    expected = pd.DataFrame(values).groupby(photos).mean().to_numpy()
    np.testing.assert_allclose(by_photo(values, photos), expected)


@pytest.mark.parametrize("within", [False, True])
def test_r_is_that_of_the_joint_with_the_strongest_correlation(within):
    made = hands(numbers())
    features = noise(numbers(1)) + made.angles["wrist"].to_numpy()[:, None] * np.linspace(-0.05, 0.05, 20)
    found = tracked_alone(features, made, 5, numbers(), within)
    columns, angles = features, made.angles.to_numpy()
    if within:
        columns, angles = without_letters(columns), without_letters(angles)
    for feature in range(features.shape[1]):
        slow = [pearsonr(columns[:, feature], angles[:, joint]).statistic for joint in range(len(JOINTS))]
        strongest = int(np.abs(slow).argmax())
        assert found.joint[feature] == strongest
        assert found.r[feature] == pytest.approx(slow[strongest], abs=1e-9)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_feature_that_follows_a_joint_is_found_among_noise(sign):
    made = hands(numbers())
    features = noise(numbers(1))
    features[:, 7] = sign * made.angles["middle_mcp"] + numbers(2).normal(0, 10, len(LETTERS))
    found = tracked_alone(features, made, SETTINGS.draws, numbers(), within=False)
    assert found.joint[7] == MCP
    assert sign * found.r[7] > 0.8
    assert found.p[7] == 1 / (1 + SETTINGS.draws), "no shuffle comes near"
    assert np.delete(found.p, 7).min() > 0.05


@pytest.mark.parametrize("within", [False, True])
def test_noise_passes_for_a_joint_in_a_twentieth_of_all_studies_however_many_features_are_tried(within):
    generator, studies = numbers(3), 200
    smallest = [
        tracked_alone(noise(generator, 30), hands(generator), 79, generator, within).p.min() for _ in range(studies)
    ]  # fmt: skip
    passed = np.mean(np.array(smallest) <= 0.05)
    assert 0.005 <= passed <= 0.1
    assert np.mean(smallest) == pytest.approx(0.5, abs=0.1), "the smallest of a study's p-values is as good as any"


@pytest.mark.parametrize("within", [False, True])
def test_noise_passes_no_oftener_at_many_places(within):
    """Features of several places are one family: by p-values of a place alone some 0.19 of the studies would pass."""
    generator, studies = numbers(3), 200
    smallest = []
    for _ in range(studies):
        places = tracked([noise(generator, 8) for _ in range(4)], hands(generator), 79, generator, within)
        smallest.append(min(place.p.min() for place in places))
    assert 0.005 <= np.mean(np.array(smallest) <= 0.05) <= 0.1


def test_what_is_found_at_one_place_is_corrected_for_another():
    made, features = hands(numbers()), noise(numbers(1))
    strong = made.angles[["index_pip"]].to_numpy()
    alone, _ = tracked([features, strong], made, SETTINGS.draws, numbers(), within=False)
    beside = tracked([features, noise(numbers(5), 500)], made, SETTINGS.draws, numbers(), within=False)[0]
    np.testing.assert_array_equal(alone.r, beside.r)
    assert (beside.p >= alone.p).all()
    assert (beside.p > alone.p).any()


def test_a_feature_of_the_letter_alone_goes_with_fingers_but_not_within_letters():
    made = hands(numbers())
    features = noise(numbers(1), 3)
    mean_pip = made.angles.groupby(LETTERS)["index_pip"].transform("mean").to_numpy()
    features[:, 0] = mean_pip + numbers(2).normal(0, 5, len(LETTERS))
    over, within = (tracked_alone(features, made, SETTINGS.draws, numbers(), one) for one in (False, True))
    assert over.p[0] == 1 / (1 + SETTINGS.draws)
    assert within.p[0] > 0.1


def test_a_feature_of_the_angle_is_found_within_letters_though_another_hides_it_over_all():
    made = hands(numbers())
    features = noise(numbers(1), 3)
    places = np.unique(LETTERS, return_inverse=True)[1]
    of_letter = numbers(4).normal(0, 400, 6)[places]  # the letter, by no finger that is asked for
    features[:, 1] = of_letter + made.angles["wrist"]
    over, within = (tracked_alone(features, made, SETTINGS.draws, numbers(), one) for one in (False, True))
    assert (within.joint[1], within.p[1]) == (WRIST, 1 / (1 + SETTINGS.draws))
    assert within.r[1] == pytest.approx(1)
    assert abs(over.r[1]) < 0.9


@pytest.mark.parametrize("within", [False, True])
@pytest.mark.parametrize("beside", [0, 1], ids=["alone", "beside one that varies"])
def test_what_does_not_vary_goes_with_nothing(within, beside):
    """A photo's mean of equal numbers can be another in the last digit than that of more of them."""
    made = hands(numbers())
    photos = np.repeat(np.arange(len(LETTERS)), np.arange(len(LETTERS)) % 5 + 1)
    constant = by_photo(np.tile([0.1, 1e6 / 3, 0.0], (len(photos), 1)), photos)
    features = np.hstack([constant, 1e3 * noise(numbers(1), beside)])
    found = tracked_alone(features, made, 49, numbers(), within)
    assert found.r[:3].tolist() == [0, 0, 0]
    assert found.p[:3].tolist() == [1, 1, 1]


def test_joints_that_do_not_vary_within_letters_are_followed_by_nothing():
    """Of a dataset whose letters have one pose each."""
    made = hands(numbers())
    still = Hands(made.angles.groupby(LETTERS).transform("mean"), LETTERS)
    found = tracked_alone(noise(numbers(1)), still, 49, numbers(), within=True)
    assert (found.r == 0).all()
    assert (found.p == 1).all()


def test_few_photos_cannot_make_a_small_p_value():
    """Of two photos of two letters half of all shuffles leave the hands as they were, or turn all of them round."""
    letters = np.repeat(list("AB"), 2)
    generator = numbers()
    for _ in range(20):
        found = tracked_alone(noise(generator, 40, 4), hands(generator, letters), 99, generator, within=True)
        assert found.p.min() > 0.3


def table_of(features: np.ndarray, made: Hands, **changes) -> tuple[pd.DataFrame, dict[str, float]]:
    settings = SETTINGS.model_copy(update=changes)
    table, counts = tracking_table(
        "model", [Place("layer_03", "image_mean", lambda: features)], made, settings, numbers()
    )
    return table, counts["model", "layer_03", "image_mean"]


def test_the_table_has_what_tracks_a_joint_strongest_first():
    made = hands(numbers())
    features = noise(numbers(1))
    features[:, 4] = made.angles["index_pip"] + numbers(2).normal(0, 20, len(LETTERS))
    features[:, 9] = -made.angles["wrist"]
    features[:, 12] = 0
    table, counts = table_of(features, made)
    assert list(table.columns) == COLUMNS
    assert table["feature"].tolist()[:2] == [9, 4]
    assert table[["finger", "joint"]].to_numpy().tolist()[:2] == [["wrist", "wrist"], ["index", "pip"]]
    assert set(table[["reads", "site", "position"]].itertuples(index=False, name=None)) == {
        ("model", "layer_03", "image_mean")
    }
    assert ((table["p"] < 0.05) | (table["within_p"] < 0.05)).all()
    assert counts["alive"] == 19
    assert counts["tracking"] == (table["p"] < 0.05).sum() >= 2
    assert counts["tracking_within_letters"] == (table["within_p"] < 0.05).sum() >= 2
    assert len(table_of(features, made, listed=1)[0]) == 1


def test_noise_leaves_an_empty_table_with_its_columns():
    table, counts = table_of(noise(numbers(1), 3), hands(numbers()), p=0.001)
    assert table.empty
    assert list(table.columns) == COLUMNS
    assert counts == {"alive": 3, "tracking": 0, "tracking_within_letters": 0}


def test_the_metrics_are_shares_of_the_features_that_vary_at_the_last_site():
    def counted(alive: int, tracking: int, within: int) -> dict[str, float]:
        return {"alive": alive, "tracking": tracking, "tracking_within_letters": within}

    found = finger_metrics({
        ("model", "layer_00", "image_mean"): counted(50, 50, 50),
        ("model", "layer_06", "image_mean"): counted(40, 10, 4),
        ("untrained_twin", "layer_06", "image_mean"): counted(0, 0, 0),
    })  # fmt: skip
    assert found == {
        "fingers_model_image_mean_tracking": 0.25, "fingers_model_image_mean_tracking_within_letters": 0.1,
        "fingers_untrained_twin_image_mean_tracking": 0, "fingers_untrained_twin_image_mean_tracking_within_letters": 0,
    }  # fmt: skip
