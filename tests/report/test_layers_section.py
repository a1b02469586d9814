"""What the section on layers says of penalties at an end of their list, and of the code's growth with depth."""

import pytest

from signbridge.report.sections.layers import section
from tests.report import made_up


def said(**found: float) -> str:
    study = made_up.study()
    study = made_up.study(found=type(study.found)({**study.found, **found}))
    shown = section(study)
    return " ".join([*shown.lead, *(picture.sees for picture in shown.pictures)])


def test_how_often_an_end_of_the_list_of_penalties_was_chosen_is_said():
    text = said(grouped_folds_at_edge=7, grouped_folds=25)
    assert "an end of its list in 7 of these 25 choices, at a layer in at most 2 and at the pixels in 2." in text
    assert "an end of the list in" in text


@pytest.mark.parametrize(
    ("low", "high", "verdict"),
    [(2, 67, "the last needs more"), (-67, -2, "the last needs fewer"), (-2, 67, "they are not told apart")],
)
def test_the_growth_of_the_code_is_quoted_with_its_interval_and_claimed_only_beyond_it(low, high, verdict):
    text = said(grouped_code_growth_low=low, grouped_code_growth_high=high)
    assert f"a difference of 20 ({low} to {high}): {verdict}".replace("-", "−") in text
