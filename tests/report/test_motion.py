"""The page on clips: what the text says is what the tables say, and no claim is larger than its hardest control."""

import pytest

from signbridge.report.sections import clips, motion, order
from signbridge.report.settings import Settings
from tests.report import made_up
from tests.report.reading import Page, rows_of


def points(share: float) -> str:
    return f"{100 * share:.1f}\u00a0points"


def test_the_answer_begins_with_what_order_adds_its_baseline_and_its_p_value():
    run = made_up.motion()
    first = motion.answer(run)[0]
    found = run.found
    assert f"{100 * found['movement_in_order']:.1f}\u202f% of the clips with their frames in order" in first
    assert f"{100 * found['movement_shuffled']:.1f}\u202f% with the same frames shuffled (chance 50.0\u202f%)" in first
    assert f"Order adds {points(found['order_adds'])}" in first
    assert "p\u202f=\u202f0.031" in first


def test_the_hardest_controls_stand_beside_the_claim():
    said = " ".join(motion.answer(made_up.motion()))
    assert "The hardest of the controls that do not see the order is" in said
    assert "The decoder tells no more than the picture gives away." in said
    run = made_up.motion()
    weak = run.controls.assign(accuracy=0.6)
    assert "The decoder tells more than these." in " ".join(motion.answer(made_up.motion(controls=weak)))


def test_where_nothing_is_held_no_gain_is_claimed():
    said = motion.answer(made_up.motion("nothing"))
    assert "No gain from order is shown" in said[0]
    assert "No layer by itself is told apart" in " ".join(said)
    assert "is not found where it was taught" in " ".join(said)


def test_what_is_known_of_the_model_is_held_against_what_is_found():
    said = " ".join(motion.answer(made_up.motion()))
    assert "The first layer at which order adds is layer_01; the gain rises most at layer_01." in said
    assert "blocks 1 and 2 alone learnt to tell the movement, so it is found where it was taught" in said
    unknown = made_up.without("taught", of=made_up.motion().found)
    assert "learnt to tell" not in " ".join(motion.answer(made_up.motion(found=unknown)))


def test_the_chart_has_every_reading_at_every_site_and_chance():
    run = made_up.motion()
    rows = [row for row in rows_of(Page(made_up.page(run)).specs["motion-curve"]) if "series" in row]
    by_series = {
        name: [row["site"] for row in rows if row["series"] == name] for name in {row["series"] for row in rows}
    }
    assert {"frames in order", "frames shuffled", "untrained twin, in order", "chance"} <= by_series.keys()
    assert all(sorted(sites) == sorted(run.sites) for sites in by_series.values())


def test_every_control_is_in_the_table_and_says_whether_it_sees_the_order():
    tables = {table.caption: table for table in order.is_it_real(made_up.motion()).tables}
    [of_movement] = (table for caption, table in tables.items() if caption.startswith("The movement"))
    sees = {row[0]: row[1] for row in of_movement.rows}
    assert sees["raw pixels, frames side by side"] == "yes"
    assert sees["raw pixels, mean over frames"] == sees["the middle frame alone"] == "no"
    assert len(sees) == len(made_up.motion().controls.query("target == 'movement'"))


@pytest.mark.parametrize(
    ("found", "says"),
    [({"pairs_tried": 0, "pairs_patched": 0}, "No pair was patched"), ({"pairs_patched": 0}, "none got two answers")],
)
def test_without_two_answers_the_page_says_so_and_has_no_chart(found, says):
    run = made_up.motion()
    empty = made_up.motion(frames=run.frames.iloc[:0], found={**run.found, **found})
    section = clips.frames(empty)
    assert says in " ".join(section.lead)
    assert section.pictures == ()
    assert Page(made_up.page(empty)).section("frames").text


def test_the_frame_that_moves_most_is_named_by_its_place_from_one():
    [picture] = clips.frames(made_up.motion()).pictures
    assert (
        "At embedding frame 4 moves most: 50.0\u202f% of the gap; all frames together move 100.0\u202f%" in picture.sees
    )
    assert [row[0] for row in picture.twin.rows] == [*(f"frame {number}" for number in range(1, 9)), "all frames"]


def test_frames_are_shown_in_a_row_unless_none_may_be():
    assert [len(row) for _, row in clips.data(made_up.motion()).gallery.groups] == [2]
    hidden = made_up.motion(settings=Settings({}, {}, hidden="none is shown"))
    assert clips.data(hidden).gallery is None
    assert "none is shown" in " ".join(clips.data(hidden).lead)


def test_where_no_two_signs_differ_in_movement_alone_the_sign_is_quoted():
    run = made_up.motion()
    known = {
        key: value for key, value in run.found.items() if not key.startswith(("movement", "shape", "order_adds_p"))
    }
    known = made_up.without("order_from", "twin", "reversed", "in_order_names", "best", of=known)
    of_sign = {name: getattr(run, name).query("target == 'sign'") for name in ("accuracy", "order", "controls")}
    signs = made_up.motion(found=known, backwards=run.backwards.iloc[:0], other_clip=run.other_clip.iloc[:0], **of_sign)
    assert "tells the sign, among all, for" in motion.answer(signs)[0]
    assert Page(made_up.page(signs)).section("order").text
