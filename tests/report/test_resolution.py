"""The page of the resolution ladder: what the text says is what the tables say."""

from signbridge.report.pages import resolution_page
from signbridge.report.sections import is_it_real, resolution
from signbridge.report.settings import Settings
from signbridge.report.wording import points_with_interval
from tests.report import made_up
from tests.report.reading import Page, rows_of


def row(ladder, what, rung, against):
    """One comparison."""
    table = ladder.differences
    [found] = table[(table["what"] == what) & (table["rung"] == rung) & (table["against"] == against)].to_dict(
        "records"
    )
    return found


def test_the_answer_names_the_smallest_size_the_full_one_and_their_difference():
    ladder = made_up.resolution()
    first, second = resolution.answer(ladder)
    small, full = ladder.read("28-grey", "best"), ladder.read("full", "best")
    loss = row(ladder, "decoder", "28-grey", "full")
    assert f"at 28 pixels in grey a probe of the decoder reads {small['accuracy'] * 100:.1f}\u202f%" in first
    assert f"as they are (24 to 96 pixels) {full['accuracy'] * 100:.1f}\u202f%" in first
    assert f"The small size less the full one: \u2212{abs(loss['difference']) * 100:.1f}\u00a0points" in first
    assert second.startswith("No smaller size is like full size")


def test_sizes_that_are_not_told_apart_are_not_called_equal():
    ladder = made_up.resolution()
    alike = made_up.resolution(found={**ladder.found, "alike_from": "56"})
    assert resolution.answer(alike)[1].startswith("From 56 pixels upwards no size is told apart from full size.")
    assert "no proof that they are equal" in resolution.answer(alike)[1]


def test_what_was_left_out_and_how_many_were_smaller_already_is_said():
    section = resolution.section(made_up.resolution())
    assert "Left out: 112 pixels and 224 pixels, as these are the pictures of the full size." in section.lead
    sizes = {cells[0]: cells[1:] for cells in section.tables[2].rows}
    assert sizes["28 pixels in grey"] == ("28", "grey", "3 of 40 images", "")
    assert sizes["112 pixels"][3] == "left out: the pictures of full size"
    assert sizes["full size"] == ("24 to 96", "colour", "–", "")


def test_the_curve_has_a_point_a_size_and_site_and_every_comparison_is_in_the_table():
    ladder = made_up.resolution()
    page = Page(made_up.page(ladder))
    rows = rows_of(page.specs["resolution-curve"])
    assert {(one["rung"], one["site"]) for one in rows if "rung" in one} == {
        (rung, site) for rung in ("28-grey", "28", "56", "full") for site in ("best", "vision", "pixels", "answer")
    }
    table = resolution.section(ladder).tables[1]
    assert len(table.rows) == len(ladder.differences) == int(ladder.found["comparisons"])
    assert table.rows[-1][:3] == ("decoder over pixels", "full size", "pixels")


def test_the_decoder_is_held_against_pixels_and_tower_with_intervals():
    ladder = made_up.resolution()
    [table] = is_it_real.of_resolution(ladder).tables
    found = {row[:2]: row[2] for row in table.rows}
    over = row(ladder, "decoder over pixels", "full", "full")
    shown = points_with_interval(over["difference"], over["low"], over["high"])
    reads = "a probe of the decoder, pictures at full"
    assert found[reads, "the pixels of this size"] == shown
    tower = ladder.accuracy.set_index(["rung", "site"]).loc[("full", "vision")]
    shown = points_with_interval(*(tower[f"decoder_over{end}"] for end in ("", "_low", "_high")))
    assert found[reads, "the vision tower at this size"] == shown
    assert not [cells for cells in table.rows if "(" not in cells[2]]


def test_a_photo_is_shown_at_every_size_unless_none_may_be():
    ladder = made_up.resolution()
    assert [picture.name for picture in resolution.section(ladder).pictures] == ["resolution-pictures"]
    hidden = made_up.resolution(settings=Settings({}, {}, hidden="none is shown"))
    assert resolution.section(hidden).pictures == ()


def test_one_size_alone_makes_a_page_that_says_what_to_do():
    ladder = made_up.resolution([])
    page = resolution_page(ladder)
    [said] = page.answer
    assert "There is no ladder here: the pictures are 24 to 96 pixels" in said
    assert "Choose a dataset of larger pictures" in said
    assert page.figure is None
    assert Page(made_up.page(ladder)).section("resolution").text
