"""The section on the lenses: its verdicts follow the numbers."""

from signbridge.report.page import page
from signbridge.report.sections import lenses
from tests.report import made_up
from tests.report.reading import Page


def lead(study) -> str:
    return " ".join(lenses.section(study).lead)


def test_only_what_lies_beyond_another_images_words_is_called_more():
    said = lead(made_up.study())
    assert "LatentLens: 70.0\u202f% of the tokens on average, more than another image's words would" in said
    assert "EmbeddingLens: 2.0\u202f% of the tokens on average, no more than another image's words would" in said


def test_the_hand_is_held_against_the_background():
    said = lead(made_up.study())
    assert "LatentLens 40.0\u00a0points" in said
    assert "EmbeddingLens 0.0\u00a0points" in said


def test_what_the_lens_reads_of_text_is_told_where_it_was_tried():
    run = made_up.study()
    assert "LatentLens names 90.0\u202f% of them right" in lead(run)
    untried = made_up.study(lens=made_up.without("latent_text", of=run.lens))
    assert "of them right" not in lead(untried)


def test_every_share_stands_in_the_table_beside_its_nulls():
    shares, on_hand, leap = lenses.section(made_up.study()).pictures
    assert [row[0] for row in shares.twin.rows[::5]] == ["EmbeddingLens", "LogitLens", "LatentLens"]
    assert shares.twin.rows[-1][3] == "30.0\u202f%"
    assert on_hand.twin.rows[-1][-1].startswith("40.0\u00a0points")
    assert leap.twin.rows[0] == ("embedding", "25.0\u202f%", "75.0\u202f%")


def test_classes_without_known_words_still_show_the_text_layers():
    section = lenses.section(made_up.study(lenses=made_up.empty("lenses")))
    assert "no share of them can be told" in " ".join(section.lead)
    assert [picture.name for picture in section.pictures] == ["lens-leap"]


def test_a_run_without_lenses_says_so_and_the_page_stands():
    empty = {name: made_up.empty(name) for name in ("lenses", "lens_leap")}
    assert "in this run" in Page(page(made_up.study(**empty))).section("lenses").text
