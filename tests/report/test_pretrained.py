"""The section on a pretrained autoencoder: an autoencoder that does not fit is never shown without saying so."""

from signbridge.report.sections import pretrained
from tests.report import made_up
from tests.report.reading import Page, usual_page


def with_metrics(**changes: object) -> dict[str, object]:
    return {"found": {**made_up.pretrained().found, **changes}}


def test_it_says_what_was_read_where_and_how_much_it_explains():
    said = " ".join(pretrained.section(made_up.pretrained()).lead)
    assert "16,384 features at layer_01, read at token 586 of the prompt, counted from 0 ('<start_of_turn>')" in said
    assert "12 features that fired for some image of every letter were dropped" in said
    assert (
        "71.0\u202f% (70.0\u00a0to\u00a072.0\u202f%) of the variance of image tokens, with a fidelity of 0.80" in said
    )
    assert "of the variance of text tokens, with a fidelity that cannot be measured" in said
    assert "Neither is below 0.50" in said


def test_a_named_token_and_named_features_are_said():
    run = made_up.pretrained(**with_metrics(position="after <end_of_turn>", dropped_by="name"))
    said = " ".join(pretrained.section(run).lead)
    assert "read at the token after <end_of_turn> (" in said
    assert "12 features that the catalog names, as they say nothing of a class, were dropped" in said


def test_features_stand_with_their_words_and_whether_they_are_published():
    (table,) = pretrained.section(made_up.pretrained()).tables
    assert table.rows[0] == ("A", "4500 (mentions of <b>dogs</b>, published); 7")
    assert table.rows[1] == ("B", "4501")
    assert "does not fit" not in table.caption
    lead = " ".join(pretrained.section(made_up.pretrained()).lead)
    assert "published of 1 letter here, 50.0\u202f% are listed on average (A 50.0\u202f%)" in lead


def test_an_autoencoder_that_does_not_fit_marks_table_and_text():
    run = made_up.pretrained(**with_metrics(fits=False))
    section = pretrained.section(run)
    assert "does not fit this model" in pretrained.answer(run)[0]
    assert "fits this model" in pretrained.answer(made_up.pretrained())[0]
    assert pretrained.UNFIT in section.tables[0].caption
    assert pretrained.UNFIT in " ".join(section.lead)


def test_without_descriptions_the_page_says_indices_alone():
    lead = " ".join(pretrained.section(made_up.pretrained(**with_metrics(descriptions="none", described=0))).lead)
    assert "named by their index alone" in lead


def test_what_others_wrote_is_text_on_the_page():
    shown = usual_page(made_up.pretrained).section("pretrained").text
    assert "mentions of <b>dogs</b>" in shown


def test_without_classes_that_fire_there_is_no_table():
    none_fire = made_up.pretrained(classes=made_up.empty("classes"))
    assert pretrained.section(none_fire).tables == ()


def test_steering_by_its_features_stands_on_its_page():
    of_sae = made_up.sae()
    rows = {
        name: getattr(of_sae, name).query("steered == 'classes'").assign(steered="pretrained")
        for name in ("steering", "steering_area", "descriptions", "steered_features")
    }
    found = {key.replace("classes_", "pretrained_", 1): value for key, value in of_sae.steered.items()}
    page = Page(made_up.page(made_up.pretrained(**rows, steered=found)))
    assert "by features of the pretrained autoencoder" in page.section("feature-steering").text
    assert not usual_page(made_up.pretrained).all("section", id="feature-steering")


def test_a_fidelity_that_cannot_be_told_is_not_said_to_be_high_enough():
    known = made_up.pretrained().found
    unknown = {name: value for name, value in known.items() if not name.startswith("fidelity_image")}
    said = " ".join(pretrained.section(made_up.pretrained(found=unknown)).lead)
    assert "Neither" not in said
    assert "The variance is not below 0.50 at image tokens." in said
