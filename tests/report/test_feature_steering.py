"""The sections on steering by single features, and on the concept that one feature tells."""

import pandas as pd
import pytest

from signbridge.report import pages
from signbridge.report.charts.planes import reached_by_nulls
from signbridge.report.sections import feature_steering, sae
from tests.report import made_up
from tests.report.made_up_sae_steering import STRENGTHS


def text_of(section) -> str:
    return " ".join(section.lead)


def test_what_is_shown_to_steer_says_so_and_what_is_not_does_not():
    towards, away, classes = feature_steering.section(made_up.sae()).lead[1:]
    assert towards.startswith("Towards “index finger up”, 8 images")
    assert "70.0" in towards
    assert "it steers (by 60.0" in towards
    assert away.startswith("Away from")
    assert "not shown to do more than every null" in away
    assert "it steers" in classes


def test_the_first_screen_says_where_a_feature_steers_and_shows_it():
    page = pages.sae_page(made_up.sae())
    said = page.answer[-1].replace("\u00a0", " ")
    assert said.startswith(
        "Adding one feature steers the answer towards “index finger up” (its probability: 60.0 points"
    )
    assert said.endswith("That is not shown away from “index finger up”.")
    assert page.figure.name == "feature-steering-concept"
    untried = {name: getattr(made_up.sae(), name).iloc[:0] for name in ("steering", "steering_area")}
    page = pages.sae_page(made_up.sae(**untried))
    assert page.figure.name == "sae-shared"
    assert "Adding one feature" not in " ".join(page.answer)


def test_a_null_that_does_as_much_takes_the_verdict_back():
    run = made_up.sae()
    tied = {**run.steered, "concept_feature_over_like_features_low": -0.01}
    before, after = (feature_steering.section(study).lead[1] for study in (run, made_up.sae(steered=tied)))
    said = "it is not shown to do more than every null"
    assert (before.count(said), after.count(said)) == (0, 1)


def test_the_dose_at_natural_values_stands_beside_a_stronger_one_that_works_best():
    run = made_up.sae()
    assert "(35.0\u202f% (33.0\u00a0to\u00a037.0\u202f%) at strength 1)" in feature_steering.section(run).lead[1]
    natural = {**run.steered, "concept_feature_best_strength": 1.0}
    assert "at strength 1)" not in feature_steering.section(made_up.sae(steered=natural)).lead[1].split(";")[0]


def test_a_null_of_equal_logit_effect_takes_the_verdict_back_too():
    tied = {**made_up.sae().steered, "concept_feature_over_equal_logit_low": -0.01}
    assert "not shown to do more than every null" in feature_steering.section(made_up.sae(steered=tied)).lead[1]


def test_there_is_a_picture_for_each_kind_with_the_features_that_are_pushed():
    section = feature_steering.section(made_up.sae())
    assert [picture.name for picture in section.pictures] == [
        f"feature-steering-{steered}{way}"
        for way in ("", "-subtracted")
        for steered in ("concept", "concept-undone", "classes")
    ]
    assert "feature 179 (index finger not up to index finger up)" in section.pictures[0].sees
    rows = section.pictures[0].twin.rows
    assert ("the feature, added", "2") in {row[:2] for row in rows}


def test_texts_are_told_at_the_strength_that_is_quoted():
    best, texts = feature_steering.section(made_up.sae()).tables
    assert len(best.rows) == 12
    assert texts.columns[2:] == (
        "before", "feature added", "feature held", "feature held, stream decoded", "other's feature subtracted", "noise"
    )  # fmt: skip
    pushed = ("feature", "clamp", "clamp_decoded", "feature_down", "random")
    assert texts.rows[0][2:] == ("It is down.", *(f"{name} made it up." for name in pushed))


def test_each_chart_has_at_most_four_colours_and_every_line_its_name_at_its_end():
    pictures = feature_steering.section(made_up.sae()).pictures[::3]
    for picture, edits in zip(pictures, (["feature", "clamp", "clamp_decoded"], ["feature_down"]), strict=True):
        names = [feature_steering.LOOKS[edit].name for edit in edits]
        data = picture.spec["datasets"]
        assert {row["series"] for row in data["rows"]} == set(names)
        assert {row["series"] for row in data["ends"]} == {*names, feature_steering.BAND.name}
        assert len(data["nulls"]) == 4 * len(STRENGTHS)
    looks = [*feature_steering.LOOKS.values(), feature_steering.BAND]
    for part in ("colour", "dash", "shape"):
        assert len({getattr(look, part) for look in looks}) == len(looks), part


def test_every_null_stands_in_the_table_of_the_chart_that_it_is_drawn_in():
    added, subtracted = (
        {row[0] for row in picture.twin.rows} for picture in feature_steering.section(made_up.sae()).pictures[::3]
    )
    assert added | subtracted == set(feature_steering.NAMES.values())
    assert added & subtracted == {"noise"}


def test_the_band_is_the_most_that_each_null_reaches_with_no_more_damage():
    nulls = pd.DataFrame({
        "series": ["a", "a", "b", "b", "c", "c"], "damage": [0, 0.2, -0.01, 0.1, 0, 0.3],
        "probability": [0.1, 0.5, 0.1, 0.05, 0.1, 0.3],
    })  # fmt: skip
    band = reached_by_nulls(nulls, 1.0).set_index("damage")
    assert band.index.tolist() == [0, 0.1, 0.2, 0.3, 1.0]
    assert band["low"].tolist() == [0.1] * 5, "b falls, and had 0.1 without damage"
    assert band["median"].tolist() == [0.1, 0.1, 0.1, 0.3, 0.3]
    assert band["high"].tolist() == [0.1, 0.1, 0.5, 0.5, 0.5]


@pytest.mark.parametrize("kind", ["concept", "classes"])
def test_what_was_not_steered_is_left_out(kind):
    run = made_up.sae()
    left = {
        name: getattr(run, name)[~getattr(run, name)["steered"].str.startswith(kind)]
        for name in ("steering", "steering_area", "descriptions", "steered_features")
    }
    metrics = made_up.without(kind, of=run.steered)
    section = feature_steering.section(made_up.sae(**left, steered=metrics))
    assert not any(kind in picture.name for picture in section.pictures)
    assert section.pictures


def test_nothing_steered_is_no_section():
    run = made_up.sae()
    none = {name: getattr(run, name)[:0] for name in ("steering", "steering_area", "descriptions")}
    assert feature_steering.section(made_up.sae(**none, steered={"model": "tiny"})) is None


def test_one_feature_is_told_beside_the_best_of_the_twin_and_of_the_stream():
    run = made_up.sae()
    said = text_of(sae.section(run))
    assert "One feature of" in said
    strongest = said.split("The difference from the strongest baseline is ")[1]
    values = {name: run.found[f"concept_model_over_{name}"] for name in ("untrained_twin", "stream")}
    assert strongest.startswith(f"{min(values.values()):.2f}")
    assert f"{max(values.values()):.2f} (" not in strongest
    unknown = made_up.without("concept", "fingers", of=run.found)
    section = sae.section(made_up.sae(found=unknown, concept=run.concept[:0]))
    assert "detects" not in text_of(section)
    assert len(section.tables) == 3


def test_features_that_follow_no_finger_within_a_letter_are_said_to_know_the_letter_alone():
    run = made_up.sae()
    assert "do not show that the features hold more than the letter" in text_of(sae.section(run))
    some = {**run.found, "fingers_model_image_mean_tracking_within_letters": 0.1}
    said = text_of(sae.section(made_up.sae(found=some)))
    assert "hold more than the letter" not in said
    assert "and 10.0" in said


def test_texts_of_the_model_are_no_markup():
    run = made_up.sae()
    hostile = run.descriptions.assign(after="<script>alert(1)</script>")
    assert "<script>alert(1)" not in made_up.page(made_up.sae(descriptions=pd.DataFrame(hostile)))
