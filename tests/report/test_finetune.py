"""The page of fine-tuning: what the text claims is what the tables say, and quoted beside the null that is hardest."""

from dataclasses import replace

import pytest

from signbridge.report.inputs import Findings
from signbridge.report.sections import finetune, tuned_layers
from tests.report import made_up
from tests.report.made_up_finetune import LAYERS
from tests.report.reading import Page, rows_of


@pytest.fixture(scope="module")
def closed():
    return made_up.finetune()


def test_the_answer_gives_before_and_after_and_the_better_null(closed):
    first, gap, blocks = finetune.answer(closed)
    assert "Tuned on 480 images of other photos, the answer names the letter of 90.0\u202f%" in first
    assert "Before tuning it named 0.0\u202f% (the letter guessed from the answer: 40.0\u202f% right)" in first
    assert "That is 80.0\u00a0points" in first
    assert "over the better null" in first
    assert "and is told apart from every null." in first
    assert gap.startswith("The gap between a probe of the decoder and the answer went from 40.0\u00a0points")
    assert blocks.endswith("early blocks 0.0\u202f%, middle blocks 90.0\u202f% and late blocks 90.0\u202f%.")


def test_a_gap_that_is_left_is_called_narrower_and_one_that_holds_0_is_not_called_closed(closed):
    row = closed.gap("letters")
    assert row["after_low"] > 0, "the folds chose layer_03, which reads all"
    assert "The gap is narrower, and not closed." in finetune.answer(closed)[1]
    gaps = closed.gaps.assign(after_low=closed.gaps["after_low"].where(closed.gaps["run"] != "letters", -0.01))
    assert (
        "It is narrower. What is left is not told apart from 0, by this one seed."
        in finetune.answer(replace(closed, gaps=gaps))[1]
    )


def test_where_nothing_moves_the_page_says_so():
    still = made_up.finetune("nothing")
    first, gap, _ = finetune.answer(still)
    assert "is not told apart from all nulls" in first
    assert "(and no more so than a null: see above)" in gap
    lead = tuned_layers.section(still).lead
    assert lead[0] == "At none of the 4 layers is what a probe reads told apart before and after tuning."


def test_what_a_null_does_as_well_is_not_claimed_for_the_letters():
    first, gap, _ = finetune.answer(made_up.finetune("null_as_good"))
    assert "That is 0.0\u00a0points" in first
    assert "(tuned on shuffled letters)" in first
    assert "is not told apart from all nulls" in first
    assert "(and no more so than a null: see above)" in gap


def test_images_that_were_trained_on_mark_the_page_as_leaking(closed):
    assert "leaking" not in " ".join(finetune.is_it_real(closed).lead)
    leaks = replace(closed, found=Findings(closed.found | {"in_train": 0.25}))
    assert "25.0\u202f% have a copy of its photo" in finetune.is_it_real(leaks).lead[0]
    assert "leaking" in finetune.is_it_real(leaks).lead[0]


def test_the_curves_have_every_layer_and_every_table_every_row(closed):
    page = Page(made_up.page(closed))
    for name, series in (("finetune-gap", 6), ("finetune-direction", 4), ("finetune-distance", 6)):
        rows = [row for row in rows_of(page.specs[name]) if "site" in row]
        assert len({row["series"] for row in rows}) == series, name
        assert {row["site"] for row in rows} == set(LAYERS), name
    [accuracy, gaps] = finetune.section(closed).tables
    assert [row[0] for row in accuracy.rows] == [closed.called(run) for run in closed.runs]
    assert len(gaps.rows) == 6 * 4
    [changes, damage] = finetune.is_it_real(closed).tables
    assert len(changes.rows) == len(closed.changes)
    assert len(damage.rows) == 5
    assert len(tuned_layers.section(closed).pictures[0].twin.rows) == len(LAYERS) * 4


def test_the_direction_says_where_the_old_probe_is_worst_and_what_patching_says_moved(closed):
    section = tuned_layers.section(closed)
    assert "worst at layer_03: 40.0\u202f%, where a probe of its own reads 100.0\u202f%" in section.pictures[0].sees
    assert "from layer_01" in section.lead[1]
    assert "from layer_02" in section.lead[1]
    assert (
        "After tuning on shuffled letters the same probe reads 40.0\u202f% at that layer." in section.pictures[0].sees
    )
    assert "Tuned on shuffled letters it is 0.40 there" in section.pictures[1].sees
    assert "a shift of 1 (1\u00a0to\u00a01) blocks. The interval leaves out 0." in section.lead[1]


def test_what_was_not_run_is_left_out(closed):
    found = made_up.without("taken_over", "pairs", "null", "over_null", "beats_nulls", of=closed.found)
    bare = replace(closed, taken_over=closed.taken_over.iloc[:0], damage=closed.damage.iloc[:0], found=Findings(found))
    assert len(finetune.is_it_real(bare).tables) == 1
    assert "not known" in tuned_layers.section(bare).lead[1]
    assert not tuned_layers.section(bare).tables
    assert "No null was tuned beside it" in finetune.answer(bare)[0]
