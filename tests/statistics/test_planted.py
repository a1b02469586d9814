"""Methods against a truth that the test knows."""

import numpy as np
import pandas as pd
import pytest

from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.planted import FALSE, FOUND, LAST, MISSED, accuracies, curves, score, verdicts

BLOCKS = 12


def steps(**at: float) -> dict[int, float]:
    return {block: at.get(f"b{block}", 0.0) for block in range(BLOCKS)}


@pytest.mark.parametrize(
    ("given", "verdict", "located", "false_marks"),
    [
        (steps(b7=0.9), FOUND, 7, 0),
        (steps(b5=0.9), FOUND, 5, 0),  # within one block of the first
        (steps(b9=0.9), FOUND, 9, 0),
        (steps(b4=0.9), FALSE, 4, 1),
        (steps(b7=0.6, b1=0.3), FOUND, 7, 1),
        (steps(b7=0.3, b1=0.6), FALSE, 1, 1),
        (steps(b7=0.19), MISSED, None, 0),
        (steps(b7=-0.9), MISSED, None, 0),
    ],
)
def test_a_method_is_scored_by_its_largest_step(given, verdict, located, false_marks):
    found = score(given, [6, 7, 8], least_step=0.2, within=1)
    assert (found.verdict, found.located, found.false_marks) == (verdict, located, false_marks)


def test_the_last_layer_is_held_against_every_probe_on_the_same_resamples():
    right = np.tile([1, 1, 1, 0], 20)
    parts = [("model", "vision", "image_mean", right), ("model", "layer_00", LAST, 1 - right)]
    parts += [("model", "layer_01", LAST, right), ("untrained_twin", "layer_01", LAST, 1 - right)]
    probes = [pd.DataFrame({"right": told, "photo": range(80)}).assign(reader=reader, site=site, position=position)
              for reader, site, position, told in parts]  # fmt: skip
    statistics = StatisticsParams(confidence=0.95, resamples=500)
    found = accuracies(pd.concat(probes), statistics, np.random.default_rng(0))
    assert found["last_over"].tolist() == [0, 0.5, 0, 0.5]
    assert found["last_over_low"].tolist()[::2] == found["last_over_high"].tolist()[::2] == [0, 0]  # the same photos
    assert found["last_over_low"][1] < 0.5 < found["last_over_high"][1]


def table_of(values: dict[str, float], **columns: str) -> pd.DataFrame:
    rows = pd.DataFrame({"site": list(values), "value": list(values.values())})
    return rows.assign(low=rows["value"], high=rows["value"], **columns)


def test_every_curve_is_put_on_one_scale_and_knockout_is_read_backwards():
    sites = ["embedding", *(f"layer_{block:02d}" for block in range(BLOCKS))]
    late = {site: 0.5 if place <= 7 else 1.0 for place, site in enumerate(sites)}  # from layer_07 on
    accuracy = pd.concat(
        [
            table_of(late, reader="model", position="prompt_last"),
            table_of(dict.fromkeys(sites, 0.5), reader="untrained_twin", position="prompt_last"),
        ]
    )
    lenses = pd.concat([table_of(late, lens="logit"), table_of(dict.fromkeys(sites, 0.5), lens="embedding")])
    moved = {site: 2 * (share - 0.5) for site, share in late.items()}
    cut = {site: 1.0 if place <= 8 else 0.0 for place, site in enumerate(sites) if place}  # block 7 reads it
    edited = pd.concat(
        [table_of(moved, edit="patching"), table_of(cut, edit="question"), table_of(cut, edit="image")]
    ).rename(columns={"site": "place"})
    drawn = curves(accuracy, lenses, edited)
    assert drawn["value"].between(0, 1).all()
    found = verdicts(drawn, [6, 7, 8], least_step=0.2, within=1)
    located = {method: one.located for method, one in found.items()}
    assert located == {
        "probe": 7, "untrained_twin": None, "logit_lens": 7, "embedding_lens": None, "patching": 7,
        "knockout_question": 7, "knockout_image": 7,
    }  # fmt: skip
    assert np.isclose([one.step for one in found.values() if one.located], 1).all()
