"""The features of the page: what lights up is what was measured, in few bytes, and no text becomes markup."""

import json

import numpy as np
import pandas as pd
import pytest

from signbridge.report.feature_browser import (
    feature_browser,
    levels_of,
    marked_phrase,
    written_activations,
)
from signbridge.report.sections import features
from tests.report import made_up, made_up_features
from tests.report.reading import Page, usual_page

HOSTILE = "</script><script>alert(1)</script><!--"


def levels(text: str) -> list[int]:
    """As the script reads them."""
    return [level for one in text for level in ([0] * (ord(one) - 96) if one >= "a" else [int(one)])]


def opened(data: dict, site: str, number: int) -> dict:
    """One feature of the page's data."""
    [found] = [one for one in data["features"] if data["sites"][one["site"]] == site and one["number"] == number]
    return found


@pytest.mark.parametrize("tokens", [1, 3, 27, 60])
def test_the_level_of_every_token_is_read_back(tokens):
    generator = np.random.default_rng(tokens)
    activations = generator.random(tokens) * (generator.random(tokens) < 0.3)
    activations[tokens // 2] = 1.0
    assert levels(written_activations(activations, 1.0)) == levels_of(activations, 1.0)
    assert levels(written_activations(np.zeros(tokens), 1.0)) == [0] * tokens
    assert len(written_activations(np.zeros(576), 1.0)) == 23


def test_levels_are_equal_steps_and_only_silence_is_nought():
    assert levels_of(np.array([0, 1e-6, 1 / 9, 1 / 9 + 1e-3, 0.5, 1]), 1.0) == [0, 1, 1, 2, 5, 9]
    assert levels_of(np.array([0.0, 2.0, 4.0], np.float32), 4.0) == [0, 5, 9]


def test_every_feature_has_its_own_images_patches_and_words():
    run = made_up.sae()
    data = feature_browser(run).data
    assert len(data["features"]) == 2 * 7
    assert len(data["images"]) == 12
    for site in ("layer_00", "layer_03"):
        for place, letter in enumerate("ABCD"):
            number = 10 * (place + 1)
            one = opened(data, site, number)
            assert [data["images"][image][1] for image, *_ in one["images"]] == [letter] * 3
            lit = [levels(text) for *_, text in one["images"]]
            assert [of.index(max(of)) for of in lit] == [number % 9] * 3
            assert [max(of) for of in lit] == [9, 5, 3]
            assert one["images"][0][1] == 2
            first, second = one["phrases"]
            for sentence, _, marks in (first, second):
                text = data["sentences"][sentence]
                assert text[slice(*marks[0][:2])] == f"w{number}"
                assert site in text
            assert [mark[2] for mark in first[2]] == [9]
            assert [data["sentences"][second[0]][slice(*mark[:2])] for mark in second[2]] == [f"w{number}", "nt"]
            assert one["lists"] == [[place, 1, pytest.approx(0.9 + 0.01 * place)]]
            assert one["means"] == [0.4, [1000 if other == place else 250 for other in range(4)]]
    assert opened(data, "layer_00", 1)["phrases"] == opened(data, "layer_00", 2)["images"] == []
    assert opened(data, "layer_00", 2)["means"] == [0, [0, 0, 0, 0]]


def test_only_joints_that_stand_the_correction_are_tracked():
    data = feature_browser(made_up.sae()).data
    assert opened(data, "layer_00", 10)["joints"] == [["index_pip", "image_mean", 0.62, 0.004, 0.41, 0.03]]
    assert opened(data, "layer_00", 3)["joints"] == opened(data, "layer_03", 10)["joints"] == []


def test_bytes_of_one_character_share_a_mark_and_spaces_before_a_word_have_none():
    text, marks = marked_phrase("a \N{WAVING HAND SIGN} is", [0, 1, 2, 2, 3], [1, 3, 3, 3, 6], [0, 2, 5, 0, 9])
    assert marks == [[2, 3, 5], [4, 6, 9]]
    assert text == "a \N{WAVING HAND SIGN} is"


def test_tokens_side_by_side_have_marks_of_their_own():
    assert marked_phrase("bent", [0, 2], [2, 4], [4, 4])[1] == [[0, 2, 4], [2, 4, 4]]


@pytest.mark.parametrize("place", [0, 400, 799])
def test_a_long_phrase_is_cut_around_its_strongest_token(place):
    phrase = "x" * place + "Y" + "x" * (799 - place)
    text, marks = marked_phrase(phrase, [place], [place + 1], [9])
    assert len(text) <= 302
    assert [text[start:end] for start, end, _ in marks] == ["Y"]
    assert text.startswith("…") == (place > 0)
    assert text.endswith("…") == (place < 799)


def test_a_photo_is_made_small_and_a_small_image_is_passed_on():
    run = made_up.sae()
    photo = made_up.png(np.random.default_rng(0).integers(0, 256, (600, 800, 3), dtype=np.uint8))
    sample = run.sample.assign(image=[photo, *run.sample["image"].iloc[1:]])
    sources = {name: source for source, _, name in feature_browser(made_up.sae(sample=sample)).data["images"]}
    assert sources["A-000-0"].startswith("data:image/jpeg;base64,")
    assert len(sources["A-000-0"]) < 20_000
    assert all(source.startswith("data:image/png") for name, source in sources.items() if name != "A-000-0")


# --- How many bytes --------------------------------------------------------------------------------------------------


def _size(part) -> int:
    return len(json.dumps(part.data, separators=(",", ":")))


def test_what_does_not_fit_is_left_out_from_the_end_of_every_layer_and_said():
    run = made_up.sae()
    whole = feature_browser(run)
    assert "keep the page small" not in " ".join(whole.sees)
    some = feature_browser(run, budget=_size(whole) * 2 // 3)
    kept = [(one["site"], one["number"]) for one in some.data["features"]]
    assert 4 <= len(kept) < 14
    assert kept == [(one["site"], one["number"]) for one in whole.data["features"]][: len(kept)]
    assert kept[:4] == [(0, 10), (1, 10), (0, 20), (1, 20)]
    assert _size(some) <= _size(whole) * 2 // 3 + 300
    assert f"no more than {len(kept)}" in " ".join(some.sees) or f"{len(kept)} of 14 features" in " ".join(some.sees)
    named = {image for one in some.data["features"] for image, *_ in one["images"]}
    assert named == set(range(len(some.data["images"])))


def test_one_feature_at_least_is_shown():
    assert len(feature_browser(made_up.sae(), budget=1).data["features"]) == 1


def test_a_large_model_stays_within_the_budget():
    run = made_up.sae()
    row = run.features.iloc[0]
    many = pd.DataFrame([row] * 1500).assign(feature=range(1500))
    generator = np.random.default_rng(0)
    images = pd.DataFrame([
        (row["site"], feature, rank, run.sample["image_id"].iloc[(feature + rank) % 24], 1.0,
         np.maximum(generator.normal(size=576), 0).astype(np.float32))
        for feature in range(1500) for rank in range(1, 5)
    ], columns=run.images.columns)  # fmt: skip
    part = feature_browser(made_up.sae(features=many, images=images))
    assert 100 < len(part.data["features"]) < 1500
    assert _size(part) < 1_510_000


# --- On the page -----------------------------------------------------------------------------------------------------


def test_without_a_script_there_is_a_table_of_the_first_features_with_their_phrase():
    section = usual_page(made_up.sae).section("features")
    [part] = section.all("div", id="features-browser")
    [explorer] = part.all("div", id="features-browser-explorer")
    assert "hidden" in explorer.attributes
    assert "needs a script" in part.all("noscript")[0].text
    rows = part.all("details")[0].all("tbody")[0].all("tr")
    assert len(rows) == 4 * 2
    assert "A, layer_00" in rows[0].text
    assert "«w10» is bent." in rows[0].text


def test_the_section_says_the_rule_and_sets_the_features_beside_the_stream():
    section = features.section(made_up.sae())
    said = " ".join(section.lead)
    assert "at each layer the 1 best for each letter" in said
    assert "in one image of all of the 12 photos of the sample" in said
    assert "in 30 of the 40 phrases of the corpus" in said
    assert "0.915 at layer_00 (the best dimension of the stream, chosen in the same way: 0.915)" in said
    assert "1 feature tracks a joint" in said
    letters, joints = section.tables
    assert letters.rows[1] == ("B", "0.910 (no. 20)", "0.910 (no. 1)", "0.910 (no. 20)", "0.910 (no. 1)")
    assert joints.rows[0][:2] == ("layer_00, 10", "index_pip")
    assert len(joints.rows) == 1


def test_where_no_joint_is_tracked_or_none_was_tried_it_says_so_or_nothing():
    run = made_up.sae()
    none = made_up.sae(fingers=run.fingers.assign(p=0.5))
    assert "No feature tracks a joint" in " ".join(features.section(none).lead)
    untried = features.section(made_up.sae(fingers=run.fingers[:0]))
    assert "joint" not in " ".join(untried.lead)
    assert len(untried.tables) == 1


@pytest.mark.parametrize("empty", ["images", "phrases", "letters", "fingers"])
def test_any_part_may_be_empty_and_the_page_stands(empty):
    run = made_up.sae()
    part = Page(made_up.page(made_up.sae(**{empty: getattr(run, empty).iloc[:0]}))).section("features")
    assert part.all("div", id="features-browser")


def test_a_run_without_features_shows_no_such_section_and_the_page_stands():
    run = made_up.sae()
    none = {name: getattr(run, name).iloc[:0] for name in ("features", "letters", "images", "phrases")}
    found = Page(made_up.page(made_up.sae(**none)))
    assert not found.all("section", id="features")
    assert not found.all("div", id="features-browser")
    assert found.section("sae")


def test_hostile_texts_stay_text():
    usual = usual_page(made_up.sae)
    run = made_up.sae(names=(HOSTILE, "B"))
    phrases = run.phrases.assign(phrase=HOSTILE)
    fingers = made_up_features.fingers(["layer_00"]).assign(joint=HOSTILE)
    found = Page(made_up.page(made_up.sae(names=(HOSTILE, "B"), phrases=phrases, fingers=fingers)))
    assert len(found.all("script")) == len(usual.all("script"))
    data = json.loads(found.all("script", id="features-browser-data")[0].raw)
    assert data["sentences"] == [HOSTILE]
    assert HOSTILE in data["letters"]
