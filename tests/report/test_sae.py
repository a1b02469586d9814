"""The section on sparse autoencoders: what it says follows the numbers."""

from signbridge.report.inputs import Findings
from signbridge.report.sections import sae
from tests.report import made_up
from tests.report.reading import Page


def test_it_says_how_many_features_are_shared_and_what_they_read():
    said = " ".join(sae.section(made_up.sae()).lead)
    assert (
        "share 10.0\u202f% at layer_00 and 30.0\u202f% at layer_03: 20.0\u00a0points (15.0\u00a0to\u00a025.0) more"
        in said
    )
    assert "in 0 of 6 comparisons and worse in 3; better than one of as many dimensions of the stream in 0 of 4" in said
    assert "30 phrases (3 of them read in training)" in said


def test_either_kind_of_token_has_its_row_and_what_cannot_be_told_a_dash():
    quality, letters, _ = sae.section(made_up.sae()).tables
    assert quality.rows[0] == ("layer_00, image", "98.0\u202f% (97.0\u00a0to\u00a099.0\u202f%)", "30.0", "–", "0.5000")
    assert quality.rows[1][3] == "0.90 (0.80\u00a0to\u00a01.00)"
    assert letters.columns[:4] == ("what is read", "k = 1", "k = 20", "all")
    assert letters.rows[1][:4] == (
        "layer_00, last token of the prompt: dimensions of the stream", "20.0\u202f%", "70.0\u202f%", "90.0\u202f%"
    )  # fmt: skip


def test_controls_that_were_read_stand_beside_what_all_features_tell():
    study = made_up.sae()
    _, letters, _ = sae.section(study).tables
    assert letters.columns[4:] == ("all: untrained twin", "all: no image"), "another letter's image was not read"
    assert letters.rows[0][4:] == ("20.0\u202f%", "5.0\u202f%")
    assert letters.rows[1][4:] == ("15.0\u202f%", "4.0\u202f%")
    _, letters, _ = sae.section(made_up.sae(probes=study.probes.assign(other_letter=0.06))).tables
    assert letters.columns[-1] == "all: another letter's image"
    _, letters, _ = sae.section(made_up.sae(probes=study.probes.assign(**dict.fromkeys(
        ("untrained_twin", "no_image", "other_letter"), float("nan"))))).tables  # fmt: skip
    assert letters.columns[-1] == "all"


def test_one_layer_alone_is_compared_with_none():
    said = " ".join(sae.section(made_up.sae(layers=1)).lead)
    assert "share 10.0\u202f% at layer_00." in said


def test_a_run_without_autoencoders_shows_no_such_section_and_the_page_stands():
    empty = {name: made_up.empty(name) for name in ("measures", "probes")}
    found = Page(made_up.page(made_up.sae(**empty)))
    assert not found.all("section", id="sae")
    assert found.section("features")


def test_the_answer_says_how_many_features_are_shared_and_what_one_feature_detects():
    shared, detects = Page(made_up.page(made_up.sae())).answer
    assert "share 10.0" in shared
    assert "its area under the ROC curve is 0.95, that of the best feature of an untrained network 0.60" in detects


def test_a_study_without_the_untrained_twin_says_nothing_of_it_and_leaves_no_gap():
    """As after `controls.read` without it: no autoencoders were trained on it."""
    whole = made_up.sae()
    found = Findings({key: value for key, value in whole.found.items() if "untrained_twin" not in key})
    without = made_up.sae(found=found, concept=whole.concept.query("reads != 'untrained_twin'"))
    (_, detects), lead = sae.answer(without), " ".join(sae.section(without).lead)
    assert "its area under the ROC curve is 0.95." in detects
    assert "The best dimension of the stream has 0.90" in lead
    assert "corrected for all features tried). Among photos" in lead
    assert not [words for words in (detects, lead) if "twin" in words or "untrained" in words or "–" in words]
    assert "untrained twin's autoencoders has 0.60" in " ".join(sae.section(whole).lead)
    assert "tried; 1.0\u202f% in the untrained twin)" in " ".join(sae.section(whole).lead)
