"""The section on sparse autoencoders: what it says follows the numbers."""

from signbridge.report.inputs import Findings
from signbridge.report.sections import sae
from tests.report import made_up
from tests.report.reading import Page, usual_page


def test_it_says_what_features_tell_beside_each_baseline():
    said = " ".join(sae.section(made_up.sae()).lead)
    assert (
        "At layer_03, mean over image tokens, one feature tells one letter from the rest with an AUC of 0.900 "
        "(5.0\u00a0points (4.0\u00a0to\u00a06.0) over one of the principal components of the stream); 20 features "
        "with an AUC of 0.970 (−2.0\u00a0points (−3.0\u00a0to\u00a0−1.0) over as many principal components" in said
    )
    assert "features do worst (layer_00, mean over image tokens), one feature" in said
    assert "(−15.0\u00a0points (" in said
    assert "in 0 of 6 comparisons and worse in 3" in said
    assert "30 phrases (3 of them read in training)" in said
    assert "98.0\u202f% of image tokens at layer_00 (components 90.0\u202f%)" in said
    assert "98.0\u202f% of text tokens at layer_03 (components 90.0\u202f%)" in said


def test_what_is_shared_stands_last_beside_the_twin_and_nothing_is_concluded_from_it():
    *_, said = sae.section(made_up.sae()).lead
    assert (
        "share 10.0\u202f% at layer_00 (weighted by activation 20.0\u202f%; in the untrained twin 12.0\u202f%)" in said
    )
    assert "30.0\u202f% at layer_03 (weighted by activation 40.0\u202f%; in the untrained twin 28.0\u202f%)" in said
    assert "nothing is concluded" in said
    assert "more in the deeper layer" not in said


def test_either_kind_of_token_has_its_row_and_what_cannot_be_told_a_dash():
    _, letters, every, quality = sae.section(made_up.sae()).tables
    assert quality.rows[0] == (
        "layer_00, image", "98.0\u202f% (97.0\u00a0to\u00a099.0\u202f%)", "90.0\u202f%", "30.0", "–", "0.5000",
        "0.99 (0.98\u00a0to\u00a01.00)", "5.0000",
    )  # fmt: skip
    assert quality.rows[1][4] == "0.90 (0.80\u00a0to\u00a01.00)"
    assert letters.columns == ("what is read", "k = 1", "k = 20")
    assert letters.rows[1][0] == "layer_00, mean over image tokens: dimensions of the stream"
    assert letters.rows[1][1] == "0.80 (0.78\u00a0to\u00a00.81)"
    assert every.rows[1][:2] == ("layer_00, last token of the prompt: dimensions of the stream", "90.0\u202f%")


def test_controls_that_were_read_stand_beside_what_all_features_tell():
    study = made_up.sae()
    every = sae.section(study).tables[2]
    assert every.columns[2:] == ("untrained twin", "no image"), "another letter's image was not read"
    assert every.rows[0][2:] == ("20.0\u202f%", "5.0\u202f%")
    assert every.rows[1][2:] == ("15.0\u202f%", "4.0\u202f%")
    every = sae.section(made_up.sae(probes=study.probes.assign(other_letter=0.06))).tables[2]
    assert every.columns[-1] == "another letter's image"
    every = sae.section(made_up.sae(probes=study.probes.assign(**dict.fromkeys(
        ("untrained_twin", "no_image", "other_letter"), float("nan"))))).tables[2]  # fmt: skip
    assert every.columns == ("what is read", "the model")


def test_one_layer_alone_is_compared_with_none():
    said = " ".join(sae.section(made_up.sae(layers=1)).lead)
    assert "at layer_00 (weighted by activation" in said
    assert "layer_03" not in said


def test_a_run_without_autoencoders_shows_no_such_section_and_the_page_stands():
    empty = {name: made_up.empty(name) for name in ("measures", "probes", "one_letter")}
    found = Page(made_up.page(made_up.sae(**empty)))
    assert not found.all("section", id="sae")
    assert found.section("features")


def test_the_answer_says_what_one_feature_detects_beside_its_hardest_baseline_and_no_index():
    detects, letters, _ = usual_page(made_up.sae).answer
    assert (
        "area under the ROC curve is 0.95, that of the best single dimension of the stream 0.90, of the best" in detects
    )
    assert "one feature tells one letter" in letters
    said = " ".join(sae.section(made_up.sae()).lead)
    assert "179" not in said, "another training gives the feature another number"


def test_a_study_without_the_untrained_twin_says_nothing_of_it_and_leaves_no_gap():
    """As after `controls.read` without it: no autoencoders were trained on it."""
    whole = made_up.sae()
    found = Findings({key: value for key, value in whole.found.items() if "untrained_twin" not in key})
    without = made_up.sae(found=found, concept=whole.concept.query("reads != 'untrained_twin'"))
    (detects, _), lead = sae.answer(without), " ".join(sae.section(without).lead)
    assert "that of the best single dimension of the stream 0.90." in detects
    assert "The best dimension of the stream has 0.90" in lead
    assert "corrected for all features tried). Among photos" in lead
    assert not [words for words in (detects, lead) if "twin" in words or "untrained" in words or "–" in words]
    assert "untrained twin's autoencoders has 0.60" in " ".join(sae.section(whole).lead)
    assert "tried; 1.0\u202f% in the untrained twin)" in " ".join(sae.section(whole).lead)
