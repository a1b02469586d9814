"""What knockout and patched parts amount to: held to plain sums, and to made-up runs whose truth is known."""

import numpy as np
import pandas as pd
import pytest

from signbridge.core.names import EDGES
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.knockout_effect import HEADLINE, knockout_effects, knockout_plot
from signbridge.statistics.parts_effect import HEADLINE as OF_PARTS
from signbridge.statistics.parts_effect import parts_effects

STATISTICS = StatisticsParams(confidence=0.95, resamples=200)
BLOCKS = 6


def generator() -> np.random.Generator:
    return np.random.default_rng(0)


def cut(read_in: list[int], photos: int = 8) -> pd.DataFrame:
    """A model whose last token reads a share of the image in each of the blocks `read_in`, and nothing else."""
    rows = []
    for photo in range(photos):
        clean = 0.5 + 0.05 * photo
        for edges in EDGES:
            for keys, draws in (("named", 1), ("random", 2)):
                for draw in range(draws):
                    for span, spans in (("window", [(f, f + 2) for f in range(BLOCKS - 1)]),
                                        ("onwards", [(f, BLOCKS) for f in range(BLOCKS)])):  # fmt: skip
                        for first, stop in spans:
                            hit = sum(first <= block < stop for block in read_in) / len(read_in)
                            lost = hit * (edges == "last_to_image") * (keys == "named") + 0.02 * draw
                            sites = (f"layer_{first:02d}", f"layer_{stop - 1:02d}")
                            kept = clean * (1 - lost)
                            rows.append((f"i{photo}", edges, keys, draw, span, *sites, 9, clean, kept, lost < 0.5))
    columns = ["image_id", "edges", "keys", "draw", "span", "first", "stop", "tokens", "clean", "probability", "same"]
    return pd.DataFrame(rows, columns=columns)


def test_the_loss_is_the_fall_over_the_probability_and_stands_beside_that_of_the_null():
    curves, found = knockout_effects(cut([2, 3]), STATISTICS, generator())
    assert found["knockout_images"] == 8
    assert found["knockout_last_to_image_lost"] == pytest.approx(1)
    assert found["knockout_last_to_image_over_random"] == pytest.approx(0.99)
    assert found["knockout_question_to_image_lost"] == pytest.approx(0)
    row = curves.set_index(["edges", "keys", "span", "first"]).loc[("last_to_image", "named", "onwards", "layer_03")]
    assert (row["lost"], row["changed"]) == (pytest.approx(0.5), 1)
    assert set(HEADLINE.values()) - {"sweep", "model"} <= set(found)
    assert len(HEADLINE) <= 25


@pytest.mark.parametrize(("read_in", "half", "window"), [([2, 3], "layer_03", 1.0), ([0, 2, 4, 5], "layer_03", 0.5)])
def test_the_block_from_which_on_half_is_lost_is_found(read_in, half, window):
    _, found = knockout_effects(cut(read_in), STATISTICS, generator())
    assert [found[f"knockout_last_to_image_half_site{end}"] for end in ("", "_low", "_high")] == [half] * 3
    assert found["knockout_last_to_image_window_lost"] == pytest.approx(window)


def test_what_is_plotted_is_a_row_a_layer_and_edge():
    curves, _ = knockout_effects(cut([2]), STATISTICS, generator())
    plot = knockout_plot(curves)
    assert len(plot) == 3 * BLOCKS
    of_image = plot[plot["edges"] == "last_to_image"].set_index("layer")["lost"]
    assert of_image.round(6).tolist() == [1, 1, 1, 0, 0, 0]


def patched(moved: dict[tuple[str, int], float], pairs: int = 20) -> pd.DataFrame:
    noise = np.random.default_rng(1)
    rows = []
    for pair in range(pairs):
        for run in ("a", "b"):
            gap = 5 + noise.random()
            for part in ("attention", "mlp", "head_00", "head_01"):
                for block in range(BLOCKS):
                    share = moved.get((part, block), 0) + 0.01 * noise.standard_normal()
                    rows.append(
                        (pair, run, "d", part, "prompt_last", f"layer_{block:02d}", gap, gap * share, True, 0.001)
                    )
    columns = ["pair", "receiver", "donor", "part", "position", "site", "gap", "moved", "says_donor", "moved_by_itself"]
    return pd.DataFrame(rows, columns=columns)


def test_the_parts_that_carry_the_answer_are_found_and_their_effect_is_that_on_other_pairs():
    table = patched({("attention", 3): 0.4, ("mlp", 5): 0.2, ("head_01", 3): 0.3})
    effects, found = parts_effects(table, STATISTICS, generator())
    assert len(effects) == 4 * BLOCKS
    for kind, site, effect in (("attention", "layer_03", 0.4), ("mlp", "layer_05", 0.2), ("head", "layer_03", 0.3)):
        assert found[f"parts_{kind}_site"] == site
        assert found[f"parts_{kind}_effect"] == pytest.approx(effect, abs=0.01)
        assert found[f"parts_{kind}_effect_low"] < found[f"parts_{kind}_effect"] < found[f"parts_{kind}_effect_high"]
        assert found[f"parts_{kind}_halves_agree"]
    assert found["parts_head_part"] == "head_01"
    assert found["parts_noise"] == pytest.approx(0.001 / table["gap"].mean(), rel=0.1)
    assert set(OF_PARTS.values()) - {"sweep", "model"} <= set(found)
    assert len(OF_PARTS) <= 25


def test_the_largest_of_parts_that_do_nothing_is_not_quoted_as_if_it_did():
    """Of 12 heads that move nothing, the largest would: its interval on the pairs that chose it lies above 0."""
    low = [parts_effects(patched({}), STATISTICS, np.random.default_rng(seed))[1]["parts_head_effect_low"]
           for seed in range(3)]  # fmt: skip
    assert max(low) < 0.003
    assert abs(parts_effects(patched({}), STATISTICS, generator())[1]["parts_head_effect"]) < 0.005


def test_nothing_cut_or_patched_is_nothing_found():
    curves, found = knockout_effects(cut([2]).head(0), STATISTICS, generator())
    assert (curves.empty, found) == (True, {"knockout_images": 0})
    effects, found = parts_effects(patched({}).head(0), STATISTICS, generator())
    assert (effects.empty, found) == (True, {"parts_pairs": 0})
