"""The section on features of minimal pairs: the strongest baseline is named, and without pairs there is none."""

from signbridge.report import pages
from signbridge.report.sections import told_fingers
from tests.report import made_up


def test_features_stand_beside_the_strongest_baseline_and_the_null():
    run = made_up.sae()
    said = " ".join(told_fingers.section(run).lead)
    assert "50 photos" in said
    assert "25.0\u202f% change" in said
    assert "0.60 (0.50\u00a0to\u00a00.70), averaged over fingers" in said
    assert "The difference from the strongest, pixels, is −0.30 (−0.40\u00a0to\u00a0−0.20)" in said
    assert "features have 0.51 at most" in said
    (table,) = told_fingers.section(run).tables
    assert table.rows[0][:3] == (
        "pixels: all dimensions, each letter by itself", "0.90 (0.80\u00a0to\u00a01.00)", "0.50",
    )  # fmt: skip
    assert len(table.rows) == len(run.told_fingers) / 2, "the null stands beside, not below"


def test_where_nothing_is_drawn_the_page_has_no_such_section():
    run = made_up.sae(told_fingers=made_up.empty("told_fingers"))
    assert told_fingers.section(run) is None
    names = [section.name for section in pages.sae_page(made_up.sae()).sections]
    assert names.index("sae") < names.index("told-fingers") < names.index("features")
