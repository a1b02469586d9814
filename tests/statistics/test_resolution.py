"""The resolution ladder: every figure beside a plain recomputation, on rungs whose truth is known."""

import numpy as np
import pandas as pd
import pytest
from statsmodels.stats.multitest import multipletests

from signbridge.datasets.resolution import FULL, RUNGS, ladder
from signbridge.statistics.resolution import findings_of, headline_of
from tests.report.made_up_resolution import compared

SAMPLE = pd.DataFrame({
    "image_id": [f"i{number}" for number in range(80)], "label": np.repeat(list("ABCD"), 20),
    "photo": [f"{number // 2}" for number in range(80)],
})  # fmt: skip
SHARES = {
    "28-grey": {"pixels": 0.3, "vision": 0.4, "layer_00": 0.3, "layer_01": 0.2, "answer": 0.25},
    "28": {"pixels": 0.3, "vision": 0.9, "layer_00": 0.5, "layer_01": 0.9, "answer": 0.25},
    FULL: {"pixels": 0.4, "vision": 0.9, "layer_00": 0.5, "layer_01": 0.9, "answer": 0.25},
}


@pytest.fixture(scope="module")
def found() -> dict[str, pd.DataFrame]:
    return compared(SAMPLE, SHARES)


def rungs(names: list[str], left_out: tuple[str, ...] = ()) -> pd.DataFrame:
    rows = [(name, 28, 28, True, 0, FULL if name in left_out else "") for name in (*names, FULL)]
    return pd.DataFrame(rows, columns=RUNGS)


def test_the_decoder_is_read_at_the_layer_that_each_rung_chooses_beside_that_of_full_size(found):
    read = found["accuracy"].set_index(["rung", "site"])["accuracy"]
    assert read["28-grey", "best"] == pytest.approx(0.3)
    assert read["28-grey", "layer_of_full"] == pytest.approx(0.2)
    assert read[FULL, "best"] == read[FULL, "layer_of_full"] == pytest.approx(0.9)
    assert read["28-grey", "vision"] == pytest.approx(0.4)
    assert read["28", "answer"] == pytest.approx(0.25)
    assert (read[:, "named"] == 0).all()
    assert list(dict.fromkeys(found["accuracy"]["rung"])) == list(SHARES)


def test_every_rung_is_compared_with_full_size_and_the_rung_below_and_holm_counts_all(found):
    table = found["differences"]
    of_decoder = table[table["what"] == "decoder"]
    assert list(zip(of_decoder["rung"], of_decoder["against"], strict=True)) == [
        ("28-grey", FULL), ("28", FULL), ("28", "28-grey"),
    ]  # fmt: skip
    assert of_decoder["difference"].tolist() == pytest.approx([-0.6, 0, 0.6])
    assert (of_decoder["low"] <= of_decoder["difference"]).all()
    over_pixels = table[table["what"] == "decoder over pixels"].set_index("rung")["difference"]
    assert over_pixels[["28-grey", "28", FULL]].tolist() == pytest.approx([0, 0.6, 0.5])
    assert len(table) == 4 * 3 + 3
    assert table["p_holm"].tolist() == pytest.approx(multipletests(table["p_value"], method="holm")[1].tolist())


def test_the_decoder_is_held_against_the_tower_on_the_same_resamples(found):
    rows = found["accuracy"].set_index(["rung", "site"])
    over = rows["decoder_over"]
    assert over["28-grey", "vision"] == pytest.approx(-0.1)
    assert over["28", "pixels"] == pytest.approx(0.6)
    # The same images are read right of both at these sizes, so a paired difference does not vary at all.
    assert rows.loc[[("28", "vision"), (FULL, "vision"), (FULL, "best")], "decoder_over_low"].tolist() == [0, 0, 0]
    assert rows.loc[("28", "vision"), "decoder_over_high"] == 0 < rows.loc[("28", "vision"), "high"] - 0.9
    over_pixels = found["differences"].query("what == 'decoder over pixels'").set_index("rung")
    assert rows.loc[("28", "pixels"), "decoder_over_low"] == over_pixels.loc["28", "low"]


def test_rungs_that_lose_nothing_are_alike_from_the_smallest_such_on(found):
    said = findings_of(found, rungs(["28-grey", "28", "56"], left_out=("56",)), 0.95)
    assert said["alike_from"] == "28"
    assert (said["rungs"], said["left_out"], said["comparisons"]) == (3, 1, 15)
    assert said["28-grey_over_full"] == pytest.approx(-0.6)
    assert said["full_pixels"] == pytest.approx(0.4)
    lossless = compared(SAMPLE, {"28": SHARES[FULL], FULL: SHARES[FULL]})
    assert findings_of(lossless, rungs(["28"]), 0.95)["alike_from"] == "28"
    lossy = compared(SAMPLE, {"28": SHARES["28-grey"], FULL: SHARES[FULL]})
    assert findings_of(lossy, rungs(["28"]), 0.95)["alike_from"] == FULL


def test_full_size_alone_is_compared_with_pixels_and_nothing_else():
    alone = compared(SAMPLE, {FULL: SHARES[FULL]})
    assert alone["differences"]["what"].tolist() == ["decoder over pixels"]
    said = findings_of(alone, rungs(["28"], left_out=("28",)), 0.95)
    assert (said["rungs"], said["alike_from"], said["full_accuracy"]) == (1, FULL, pytest.approx(0.9))


def test_the_metrics_stay_readable_however_many_rungs_there_are():
    names = [rung.name for rung in ladder([14, "28-grey", 28, 56, 112, 224, 336, 448])]
    assert len(headline_of([*names, FULL])) == 25
    assert len(headline_of([FULL])) == 13
