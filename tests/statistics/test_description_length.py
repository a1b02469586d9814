"""The interval of a code is over photos and orders together, and depths are compared on the same resamples."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.description_length import COLUMNS, code_lengths
from signbridge.statistics.intervals import StatisticsParams

IMAGES, ORDERS = 40, 6
SAMPLE = pd.DataFrame(
    {
        "image_id": [f"i{number}" for number in range(IMAGES)],
        "label": list("ABCD") * (IMAGES // 4),
        "group": [f"p{number // 2}" for number in range(IMAGES)],
    }
)
DEPTHS = {"pixels": 0, "layer_00": 1, "layer_01": 2}
PARAMS = StatisticsParams(confidence=0.95, resamples=2000)


def codes(**of_site: np.ndarray) -> pd.DataFrame:
    """Bits of each order and image at `prompt_last`; the second order chose an end of the list at `layer_01`."""
    tables = [
        pd.DataFrame({"image_id": SAMPLE["image_id"], "bits": bits}).assign(
            site=site, position="prompt_last", order=order, C=1.0, at_edge=site == "layer_01" and order == 1
        )
        for site, by_order in of_site.items()
        for order, bits in enumerate(by_order)
    ]
    return pd.concat(tables, ignore_index=True)


def measured(**of_site: np.ndarray):
    return code_lengths(codes(**of_site), SAMPLE, DEPTHS, PARAMS, np.random.default_rng(0))


def same(bits: float) -> np.ndarray:
    return np.full((ORDERS, IMAGES), bits)


def width(found) -> float:
    return float(found.table["high"].iloc[0] - found.table["low"].iloc[0])


def test_bits_are_the_mean_over_orders_beside_those_of_a_uniform_code():
    found = measured(pixels=same(2.0), layer_00=same(0.5) + np.arange(ORDERS)[:, None] / ORDERS, layer_01=same(1.0))
    assert found.table.columns.tolist() == COLUMNS
    assert found.table["bits"].tolist() == pytest.approx([80, 20 + 40 * 2.5 / 6, 40])
    assert found.table["uniform_bits"].tolist() == [80.0] * 3
    assert found.table["compression"].tolist() == pytest.approx([1, 80 / found.table["bits"][1], 2])
    assert found.table["depth"].tolist() == [0, 1, 2]
    assert (found.table["orders"].tolist(), found.table["at_edge"].tolist()) == ([ORDERS] * 3, [0, 0, 1])


def test_what_neither_photos_nor_orders_change_is_certain():
    assert width(measured(layer_00=same(1.0))) == pytest.approx(0, abs=1e-9)


def test_orders_that_disagree_widen_the_interval_as_their_mean_varies():
    by_order = np.random.default_rng(1).normal(1, 0.2, (ORDERS, 1)) + np.zeros((ORDERS, IMAGES))
    found = measured(layer_00=by_order)
    deviation = by_order[:, 0].std() * IMAGES / np.sqrt(ORDERS)
    assert found.resampled.std() == pytest.approx(deviation, rel=0.1)


def test_copies_of_a_photo_stand_or_fall_together():
    alone = np.random.default_rng(2).normal(1, 0.5, IMAGES // 2)
    found = measured(layer_00=np.tile(np.repeat(alone, 2), (ORDERS, 1)))
    assert found.resampled.std() == pytest.approx(alone.std() * IMAGES / np.sqrt(IMAGES / 2), rel=0.1)


def test_two_layers_are_compared_on_the_same_resamples():
    noise = np.random.default_rng(3).normal(1, 1, (ORDERS, IMAGES))
    found = measured(layer_00=noise, layer_01=noise + 0.5).growth("prompt_last")
    assert width(measured(layer_00=noise)) > 5
    assert found["code_growth_bits"] == pytest.approx(20)
    assert (found["code_growth_low"], found["code_growth_high"]) == pytest.approx((20, 20))
    assert measured(layer_00=noise).growth("prompt_last") == {}


def test_without_codes_there_is_an_empty_table():
    found = code_lengths(codes(layer_00=same(1.0))[:0], SAMPLE, DEPTHS, PARAMS, np.random.default_rng(0))
    assert found.table.columns.tolist() == COLUMNS
    assert (len(found.table), found.growth("prompt_last")) == (0, {})
