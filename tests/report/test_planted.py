"""The page and the picture on a planted variable: every method with its verdict, and the truth beside it."""

from dataclasses import replace

import pytest

from signbridge.report.figures.planted_curve import planted_curve
from signbridge.report.inputs import Planted
from signbridge.report.page import html
from signbridge.report.pages import planted_page
from signbridge.report.sections import is_it_real
from signbridge.report.sections import planted as section
from tests.report import made_up
from tests.report.made_up_planted import BLOCKS


@pytest.fixture(scope="module")
def run() -> Planted:
    """Probe, patching and knockout find it; a lens sees nothing."""
    return made_up.planted()


def test_the_answer_counts_the_methods_and_names_those_that_miss_it(run):
    below, scores = section.answer(run)
    assert "at most 50.0" in below.replace("\u2009", " ")
    assert scores.startswith("3 of 5 methods find it within 1 block of blocks 6, 7 and 8")
    assert "missed by EmbeddingLens at the last token and attention knockout, last token to the image" in scores


def test_every_method_is_in_the_table_with_its_block(run):
    [verdicts, _] = section.section(run).tables
    by_method = {row[0]: row[1:3] for row in verdicts.rows}
    assert by_method["a linear probe of the last token"] == ("found", "layer_06")
    assert by_method["attention knockout, last token to the question"] == ("found", "layer_07")
    assert by_method["EmbeddingLens at the last token"] == ("missed", "–")
    assert by_method["a linear probe of the untrained twin (control)"] == ("nothing to find", "–")


def test_the_difference_from_each_null_has_its_paired_interval(run):
    [table] = is_it_real.of_planted(run).tables
    found = {row[1]: row[2:] for row in table.rows}
    assert list(found) == ["the untrained twin", "blocks below the planted ones", "the vision tower"]
    for difference, above in found.values():
        assert difference.replace("\u00a0", " ") == "47.0 points (46.0 to 50.0)"
        assert above == "yes"


def test_the_null_that_is_shown_is_the_one_farthest_from_chance(run):
    below = (run.accuracy["site"] == "layer_03") & (run.accuracy["reader"] == "model")
    found = run.accuracy.assign(
        value=run.accuracy["value"].mask(below, 0.4), last_over=run.accuracy["last_over"].mask(below, 0.57)
    )
    [table] = is_it_real.of_planted(replace(run, accuracy=found)).tables
    shown = {row[1]: row[2].replace("\u00a0", " ") for row in table.rows}
    assert shown["blocks below the planted ones"].startswith("57.0 points")


def test_the_page_holds_both_curves_and_the_tables(run):
    page = html(planted_page(run))
    for text in ("planted-accuracy", "planted-curves", "Every method against the truth", "chance by construction"):
        assert text in page


def test_the_figure_shades_the_planted_blocks_beside_the_letter(run):
    figure = planted_curve(run.letter, 0.05, run.accuracy, run.curves, run.blocks, 0.95, "miniature (a note)")
    left, right = figure.axes
    assert len(left.lines) == 2  # the letter, and chance
    [shade] = [patch for patch in right.patches if patch.get_width() == pytest.approx(3)]
    probe = next(line for line in right.lines if line.get_label() == "a probe reads it, last token of the prompt")
    inside = [x for x in probe.get_xdata() if shade.get_x() < x < shade.get_x() + shade.get_width()]
    assert len(inside) == len(BLOCKS)
