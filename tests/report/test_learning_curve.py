"""What the page says of the number of photos: a rise is claimed only where its interval shows one."""

import altair as alt
import pandas as pd
import pytest
import vl_convert

from signbridge.report.columns import COLUMNS
from signbridge.report.pages import study_page
from signbridge.report.sections.learning_curve import section
from tests.report import made_up, made_up_signers

PLACES = (("pixels", "flat"), ("vision", "image_mean"), ("layer_02", "prompt_last"))


def curve(gain: float = 0.1, beyond: float | None = 0.15) -> pd.DataFrame:
    """Half of the photos read `gain` less; pixels read `beyond` more with the dataset's other photos."""
    rows = []
    for site, position in PLACES:
        for name, groups, images, gap in (
            ("share 0.25", 3, 6, -2 * gain),
            ("share 0.5", 5, 10, -gain),
            ("images 1", 9, 9, -0.01),
            ("all", 9, 18, 0.0),
        ):
            rows.append((site, position, "sample", name, groups, images, 3, gap))
    for name, groups, images, gap in (
        ("all", 9, 18, 0.0),
        ("more photos", 40, 49, beyond),
        ("more images", 9, 27, 0.01),
    ):
        if beyond is not None:
            rows.append(("pixels", "flat", "dataset", name, groups, images, 1, gap))
    table = pd.DataFrame(rows, columns=["site", "position", "of", "trained_on", "groups", "images", "repeats", "gap"])
    share, spread = 0.7 + table["gap"], 0.05 * (table["trained_on"] != "all")
    table = table.assign(accuracy=share, low=share - 0.1, high=share + 0.1, difference=table["gap"])
    return table.assign(difference_low=table["gap"] - spread, difference_high=table["gap"] + spread)[
        COLUMNS["learning_curve"]
    ]


def said(table: pd.DataFrame, study=made_up.study) -> str:
    return " ".join(section(study(learning_curve=table)).lead).replace("\u00a0", " ").replace("\u202f", " ")


@pytest.mark.parametrize(("gain", "verdict"), [(0.1, "accuracy still rises"), (0.02, "accuracy is not shown to rise")])
def test_a_rise_is_claimed_only_beyond_its_interval(gain, verdict):
    text = said(curve(gain))
    assert f"At raw pixels {verdict} from 5 to 9 training photos: {gain * 100:.1f} points" in text
    assert f"at layer_02 {verdict}" in text
    assert text.count("accuracy") == 3


def test_what_pixels_gain_from_the_rest_of_the_dataset_is_said_and_what_it_means_for_the_layers():
    text = said(curve())
    assert "With one image of each other photo as well (49 training images, 18 before) pixels read 15.0 points" in text
    assert "With more images of the same photos (27) they read 1.0 points (−4.0 to 6.0) more." in text
    assert "depends on the number of photos" in text
    assert "depends on the number of photos" not in said(curve(beyond=0.02))
    assert "dataset" not in said(curve(beyond=None))


def test_groups_are_called_what_they_are():
    assert "from 5 to 9 training signers" in said(curve(), made_up_signers.study)


def test_the_chart_is_valid_and_the_table_has_every_point():
    [picture] = section(made_up.study(learning_curve=curve())).pictures
    alt.LayerChart.from_dict(picture.spec)
    assert "NaN" not in vl_convert.vegalite_to_svg({**picture.spec, "width": 320})
    drawn = pd.DataFrame(picture.spec["datasets"]["rows"])
    assert drawn["series"].value_counts().to_dict() == {
        "pixels": 3, "vision tower": 3, "best layer": 3, "pixels, with the dataset's other photos": 2,
    }  # fmt: skip
    assert len(picture.twin.rows) == len(curve())
    assert {row[1] for row in picture.twin.rows} >= {"25 % of the photos", "1 image of each photo at most"}


def test_the_page_has_the_section_where_a_curve_was_measured():
    def names(study):
        return [shown.name for shown in study_page(study).sections]

    assert "learning-curve" in names(made_up.study(learning_curve=curve()))
    assert "learning-curve" not in names(made_up.study())
