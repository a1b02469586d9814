"""What erasure takes away, from tables whose shares are known."""

import itertools

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import (
    LEACE,
    LEACE_IN_SAMPLE,
    NOTHING,
    RANDOM_SUBSPACE,
    SHUFFLED_LABELS,
)
from signbridge.statistics.erasure_effect import (
    ERASED_AT,
    READ_AT,
    Erasure,
    erasure_effects,
)
from signbridge.statistics.intervals import StatisticsParams

STATISTICS = StatisticsParams(confidence=0.9, resamples=200)
SITES = ["layer_00", "layer_05", "layer_09"]
ERASERS = [(LEACE, 0), (RANDOM_SUBSPACE, 0), (RANDOM_SUBSPACE, 1), (SHUFFLED_LABELS, 0)]
IDS = [f"image-{index:02d}" for index in range(40)]
PHOTO = pd.Series([f"photo-{index // 2}" for index in range(40)], index=IDS)
# How many of 40 are read right: at the site that was erased, and wherever the letter comes back.
HERE = {LEACE: 4, RANDOM_SUBSPACE: 36, SHUFFLED_LABELS: 32}
BACK = {LEACE: {"layer_05": 12, "layer_09": 24}, RANDOM_SUBSPACE: {}, SHUFFLED_LABELS: {}}
UNEDITED = {"layer_00": 10, "layer_05": 30, "layer_09": 38}
CHANGED = {"layer_00": 2, "layer_05": 20, "layer_09": 6}  # answers, by LEACE; 1 by its controls


def read(place: dict, right: int) -> list[dict]:
    return [{**place, "image_id": image, "label": "A", "predicted": "A" if number < right else "B"}
            for number, image in enumerate(IDS)]  # fmt: skip


def made_up(photo: pd.Series = PHOTO) -> Erasure:
    probes = [row for site, right in UNEDITED.items() for row in read(
        {"at": NOTHING, "site": site, "eraser": NOTHING, "draw": 0, "read_site": site, "read_position": "prompt_last"},
        right)]  # fmt: skip
    changed, damage = [], []
    for site, (eraser, draw) in itertools.product(SITES, ERASERS):
        edit = {"at": "prompt_last", "site": site, "eraser": eraser, "draw": draw}
        for later in SITES[SITES.index(site) :]:
            right = HERE[eraser] if later == site else BACK[eraser].get(later, 36)
            probes += read({**edit, "read_site": later, "read_position": "prompt_last"}, right)
        others = CHANGED[site] if eraser == LEACE else 1 + 2 * draw
        changed += [{**edit, "image_id": image, "changed": number < others} for number, image in enumerate(IDS)]
        damage += [{**edit, "image_id": image, "damage": 0.5 if eraser == LEACE else 0.1} for image in IDS[:4]]
    return Erasure(pd.DataFrame(probes), pd.DataFrame(changed), pd.DataFrame(damage), photo)


def effects_of(erasure: Erasure, seed: int = 0):
    return erasure_effects(erasure, STATISTICS, np.random.default_rng(seed))


@pytest.fixture(scope="module")
def found():
    return effects_of(made_up())


def test_accuracy_is_the_share_read_right_at_each_place_with_draws_of_a_control_averaged(found):
    accuracy, _, _ = found
    assert list(accuracy.columns) == [*READ_AT, "accuracy", "accuracy_low", "accuracy_high"]
    by_place = accuracy.set_index(READ_AT)["accuracy"]
    for site, right in UNEDITED.items():
        assert by_place[NOTHING, site, NOTHING, site, "prompt_last"] == right / 40
    for eraser, right in HERE.items():
        assert by_place["prompt_last", "layer_05", eraser, "layer_05", "prompt_last"] == right / 40
    assert len(accuracy) == 3 + 6 * 3


def test_what_is_left_is_the_most_that_a_probe_reads_where_the_letter_was_erased(found):
    assert found[2]["erasure_accuracy_left"] == 4 / 40


def test_what_comes_back_is_quoted_of_the_first_site_erased_at_the_last_that_is_read(found):
    _, _, metrics = found
    assert metrics["erasure_comes_back"] == 24 / 40
    assert metrics["erasure_comes_back_low"] < 24 / 40 < metrics["erasure_comes_back_high"]
    assert metrics["erasure_comes_back_erased_site"] == "layer_00"
    assert metrics["erasure_comes_back_site"] == "layer_09"
    assert metrics["erasure_nothing_erased"] == 38 / 40


def test_answers_are_quoted_where_leace_changes_most_beside_its_controls_there(found):
    _, answers, metrics = found
    assert metrics["erasure_prompt_last_site"] == "layer_05"
    assert metrics["erasure_prompt_last_leace_changed"] == 20 / 40
    assert metrics["erasure_prompt_last_leace_changed_low"] < 0.5 < metrics["erasure_prompt_last_leace_changed_high"]
    assert metrics["erasure_prompt_last_random_subspace_changed"] == (1 + 3) / 80
    assert metrics["erasure_prompt_last_shuffled_labels_changed"] == 1 / 40
    assert metrics["erasure_prompt_last_leace_damage"] == pytest.approx(0.5)
    assert metrics["erasure_prompt_last_random_subspace_damage"] == pytest.approx(0.1)
    of_place = answers.set_index(ERASED_AT)["changed"]
    for site, changed in CHANGED.items():
        assert of_place["prompt_last", site, LEACE] == changed / 40


def test_intervals_are_over_photos_and_not_over_images():
    """Images of one photo stand or fall together, so ten photos of four say less than forty of one."""
    photos = {count: pd.Series([f"photo-{index * count // 40}" for index in range(40)], index=IDS) for count in (4, 40)}
    width = {}
    for count, photo in photos.items():
        accuracy = effects_of(made_up(photo))[0].set_index(READ_AT)
        row = accuracy.loc[(NOTHING, "layer_05", NOTHING, "layer_05", "prompt_last")]
        width[count] = row["accuracy_high"] - row["accuracy_low"]
    assert width[4] > 1.5 * width[40]


def test_a_sweep_that_reads_nothing_later_has_nothing_that_comes_back():
    erasure = made_up()
    here = erasure.probes[erasure.probes["site"] == erasure.probes["read_site"]]
    _, _, metrics = effects_of(erasure._replace(probes=here))
    assert metrics["erasure_accuracy_left"] == 4 / 40
    assert "erasure_comes_back" not in metrics


def test_where_nothing_was_erased_there_is_no_row_and_no_number():
    some = effects_of(made_up())
    none = effects_of(Erasure(*(table.head(0) for table in made_up()[:3]), PHOTO))
    assert none[2] == {}
    for empty, full in zip(none[:2], some[:2], strict=True):
        assert empty.empty
        assert list(empty.columns) == list(full.columns)


def with_both_erased(right: int) -> Erasure:
    """The same sweep, and the first site erased at the image tokens too: `right` of 40 are read at the last one."""
    erasure = made_up()
    place = {"at": "both", "site": SITES[0], "eraser": LEACE, "draw": 0, "read_position": "prompt_last"}
    probes = [row for site, read_right in ((SITES[0], 4), (SITES[-1], right))
              for row in read({**place, "read_site": site}, read_right)]  # fmt: skip
    return erasure._replace(probes=pd.concat([erasure.probes, pd.DataFrame(probes)], ignore_index=True))


def test_what_untouched_tokens_gave_back_is_the_difference_on_the_same_photos():
    _, _, metrics = effects_of(with_both_erased(right=8))
    name = "erasure_given_back_by_image_tokens"
    assert metrics[name] == pytest.approx((24 - 8) / 40)
    assert metrics[f"{name}_low"] < metrics[name] < metrics[f"{name}_high"]
    assert metrics[f"{name}_low"] > 0


def test_as_much_read_with_the_image_tokens_erased_gives_nothing_to_them():
    _, _, metrics = effects_of(with_both_erased(right=24))
    name = "erasure_given_back_by_image_tokens"
    assert metrics[name] == metrics[f"{name}_low"] == metrics[f"{name}_high"] == 0


def test_without_both_erased_nothing_says_where_it_came_from(found):
    assert not any("given_back" in key for key in found[2])


def test_what_an_eraser_of_the_same_images_leaves_is_told_apart():
    erasure = made_up()
    place = {"at": "prompt_last", "site": SITES[0], "eraser": LEACE_IN_SAMPLE, "draw": 0}
    rows = read({**place, "read_site": SITES[0], "read_position": "prompt_last"}, 30)
    more = erasure._replace(probes=pd.concat([erasure.probes, pd.DataFrame(rows)], ignore_index=True))
    _, _, metrics = effects_of(more)
    assert metrics["erasure_accuracy_left_in_sample"] == 0.75
    assert metrics["erasure_accuracy_left"] == effects_of(made_up())[2]["erasure_accuracy_left"]


UNEVEN = pd.Series([f"photo-{index % 4 // 3}-{index // 4}" for index in range(40)], index=IDS)  # of three and of one


def test_every_share_and_difference_weights_images_equally_however_many_their_photo_has():
    """By photos instead, three images of one photo would count as one."""
    erasure = with_both_erased(right=8)
    even, uneven = (effects_of(erasure._replace(group=photo))[2] for photo in (PHOTO, UNEVEN))
    name = "erasure_given_back_by_image_tokens"
    assert uneven[name] == even[name] == pytest.approx((24 - 8) / 40)
    for eraser in (LEACE, RANDOM_SUBSPACE, SHUFFLED_LABELS):
        key = f"erasure_prompt_last_{eraser}_changed"
        assert uneven[key] == pytest.approx(even[key])


def test_draws_of_a_control_are_part_of_how_sure_the_difference_from_it_is():
    """One of two draws of shuffled letters changes every answer that LEACE does, the other none."""
    erasure = made_up()
    of_leace = erasure.changed[erasure.changed["eraser"] == LEACE]
    rest = erasure.changed[erasure.changed["eraser"] != SHUFFLED_LABELS]
    draws = [
        of_leace.assign(eraser=SHUFFLED_LABELS, draw=0),
        of_leace.assign(eraser=SHUFFLED_LABELS, draw=1, changed=False),
    ]
    _, _, metrics = effects_of(erasure._replace(changed=pd.concat([rest, *draws], ignore_index=True)))
    name = "erasure_prompt_last_over_shuffled_labels"
    assert metrics[name] == pytest.approx(0.25)
    assert metrics[f"{name}_low"] == 0
    assert metrics[f"{name}_high"] > 0.45
