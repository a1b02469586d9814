"""The section on image tokens and words: what it says of deeper layers follows the numbers."""

from signbridge.report.sections import alignment
from tests.report import made_up
from tests.report.reading import Page


def test_only_a_change_beyond_its_interval_is_called_one():
    said = " ".join(alignment.section(made_up.lenses()).lead)
    assert "CKA from 0.30 to 0.50, more" in said
    assert "AUC on images from 0.50 to 0.60, no clear change" in said


def test_every_measure_stands_in_a_table_beside_its_null():
    neighbours, geometry, probes = alignment.section(made_up.lenses()).pictures
    assert neighbours.twin.rows[0][:2] == ("embedding", "1.0\u202f% (\u22121.0\u00a0to\u00a03.0\u202f%)")
    assert geometry.twin.columns[-1] == "null: captions assigned at random"
    assert probes.twin.rows[-1][1] == "0.60 (0.58\u00a0to\u00a00.62)"


def test_classes_without_known_words_have_neighbours_and_geometry_alone():
    run = made_up.lenses()
    shown = run.alignment[~run.alignment["measure"].str.contains("probe")]
    section = alignment.section(made_up.lenses(alignment=shown, aligned=made_up.without("text_probe", of=run.aligned)))
    assert [picture.name for picture in section.pictures] == ["alignment-neighbours", "alignment-geometry"]
    assert "AUC" not in " ".join(section.lead)


def test_a_run_that_compared_nothing_shows_no_such_section_and_the_page_stands():
    found = Page(made_up.page(made_up.lenses(alignment=made_up.empty("alignment"), aligned={})))
    assert not found.all("section", id="alignment")
    assert found.section("lenses")
