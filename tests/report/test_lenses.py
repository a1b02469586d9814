"""The section on the lenses: its verdicts follow the numbers."""

from signbridge.report.sections import lenses
from tests.report import made_up
from tests.report.reading import Page, usual_page


def lead(study) -> str:
    return " ".join(lenses.section(study).lead)


def test_only_what_lies_beyond_the_harder_null_is_called_more():
    said = lead(made_up.lenses())
    assert "LatentLens: 70.0\u202f% of the tokens are interpretable on average over the layers." in said
    assert "30.0\u00a0points (20.0" in said, "at the first layer"
    assert "At the best, layer_03, that is above it: 40.0\u00a0points" in said
    assert "that is not shown to be above it: 0.0\u00a0points" in said


def test_how_far_latentlens_leads_is_told_with_the_difference_at_both_ends():
    said = lead(made_up.lenses())
    assert "LatentLens is ahead of LogitLens up to layer_02: LatentLens minus LogitLens is 35.0\u00a0points" in said
    assert "at embedding and \u221220.0\u00a0points" in said
    behind = made_up.lenses()
    behind.found["latent_leads_up_to"] = "no layer"
    assert "LatentLens is at no layer shown to be ahead of LogitLens" in lead(behind)


def test_the_hand_is_held_against_the_background():
    said = lead(made_up.lenses())
    assert "LatentLens 40.0\u00a0points" in said
    assert "EmbeddingLens 0.0\u00a0points" in said


def test_what_the_lens_reads_of_text_is_told_where_it_was_tried():
    run = made_up.lenses()
    assert "LatentLens names 90.0\u202f% of them right" in lead(run)
    untried = made_up.lenses(found=made_up.without("latent_text", of=run.found))
    assert "of them right" not in lead(untried)


def test_every_share_stands_in_the_table_beside_its_nulls():
    shares, of_k, on_hand, leap = lenses.section(made_up.lenses()).pictures
    for picture in (shares, of_k):
        assert [row[0] for row in picture.twin.rows[::5]] == ["EmbeddingLens", "LogitLens", "LatentLens"]
        assert picture.twin.rows[-1][3:6] == ("30.0\u202f%", "15.0\u202f%", "another image's hand")
    assert "by the nearest word" in shares.title
    assert "by the first 2 different words" in of_k.title
    assert on_hand.twin.rows[-1][-1].startswith("40.0\u00a0points")
    assert leap.twin.rows[0] == ("embedding", "25.0\u202f%", "75.0\u202f%")


def test_classes_without_known_words_still_show_the_text_layers():
    section = lenses.section(made_up.lenses(shares=made_up.empty("shares")))
    assert "no interpretable share can be measured" in " ".join(section.lead)
    assert [picture.name for picture in section.pictures] == ["lens-leap"]


def test_a_run_without_lenses_shows_no_such_section_and_the_page_stands():
    empty = {name: made_up.empty(name) for name in ("shares", "leap")}
    found = Page(made_up.page(made_up.lenses(**empty)))
    assert not found.all("section", id="lenses")
    assert found.section("alignment")


def test_the_answer_names_the_lenses_that_describe_the_hand_and_those_that_do_not():
    describes, others, ahead = usual_page(made_up.lenses).answer
    assert "LogitLens" in describes
    assert "LatentLens" in describes
    assert others == "That is not shown for EmbeddingLens."
    assert ahead.startswith("LatentLens is ahead of LogitLens up to layer_02")
    unknown = made_up.lenses(shares=made_up.empty("shares"))
    assert Page(made_up.page(unknown)).answer == [lenses.UNKNOWN]
