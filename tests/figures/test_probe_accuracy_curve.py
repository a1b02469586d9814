"""The accuracy curve says what leaks, where chance is, and stays legible with few layers and many."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest

from signbridge.activations import SITES_BEFORE_LAYERS, layer_site, positions_of
from signbridge.figures.probe_accuracy_curve import probe_accuracy_curve


def table(layers: int, before: tuple[str, ...] = SITES_BEFORE_LAYERS) -> pd.DataFrame:
    sites = [*before, *(layer_site(block) for block in range(layers))]
    rows = [
        {"protocol": protocol, "site": site, "depth": depth, "position": position, "accuracy": 0.5}
        for protocol in ("signbridge", "grouped")
        for depth, site in enumerate(sites)
        for position in positions_of(site)
    ]
    return pd.DataFrame(rows).assign(low=0.4, high=0.6, images_tested=60)


MODEL = "a model (with a note)"


def texts(figure) -> str:
    axes = figure.axes
    legend = [text.get_text() for text in figure.legends[0].get_texts()]
    return " ".join([*(one.get_title() for one in axes), *legend])


@pytest.mark.parametrize("layers", [1, 4, 8, 32, 80])
def test_tick_labels_do_not_touch(layers):
    figure = probe_accuracy_curve(table(layers), 0.05, 0.9, 0.95, MODEL)
    figure.canvas.draw()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


def test_the_first_and_the_last_block_are_named():
    [axes, _] = probe_accuracy_curve(table(32), 0.05, 0.9, 0.95, MODEL).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[:5] == [*SITES_BEFORE_LAYERS, "0"]
    assert labels[-1] == "31"


def test_a_leaking_split_is_named_as_such_and_one_that_does_not_leak_is_not():
    assert "leaking: a copy of the same photo\nis in train for 90% of" in texts(
        probe_accuracy_curve(table(4), 0.05, 0.9, 0.95, MODEL)
    )
    assert "leaking" not in texts(probe_accuracy_curve(table(4), 0.05, 0.0, 0.95, MODEL))


def test_what_the_answer_gives_away_is_a_line_across_and_no_site_of_the_axis():
    sites = table(4)
    text = [
        {"protocol": protocol, "site": "answer", "depth": 8, "position": "text", "accuracy": share}
        for protocol, share in (("signbridge", 0.31), ("grouped", 0.32))
    ]
    figure = probe_accuracy_curve(
        pd.concat([sites, pd.DataFrame(text).assign(low=0.2, high=0.4)]), 0.05, 0.9, 0.95, MODEL
    )
    bare = probe_accuracy_curve(sites, 0.05, 0.9, 0.95, MODEL)
    assert "what the model's answer gives away" in texts(figure)
    assert "answer gives away" not in texts(bare)
    for axes, other, share in zip(figure.axes, bare.axes, (0.31, 0.32), strict=True):
        assert any(np.all(np.asarray(line.get_ydata()) == share) for line in axes.lines)
        assert list(axes.get_xticks()) == list(other.get_xticks())


def test_chance_and_the_kind_of_interval_are_drawn_and_named():
    figure = probe_accuracy_curve(table(4), 0.05, 0.9, 0.9, MODEL)
    assert figure.get_suptitle() == MODEL
    assert "chance, 5.0%" in texts(figure)
    assert "90% interval" in texts(figure)
    for axes in figure.axes:
        assert any(np.all(np.asarray(line.get_ydata()) == 0.05) for line in axes.lines)


@pytest.mark.parametrize("chosen", [table(0), table(3, before=()), table(4).query("protocol == 'grouped'")])
def test_any_choice_of_sites_and_protocols_can_be_drawn(chosen):
    figure = probe_accuracy_curve(chosen, 0.05, 0.0, 0.95, MODEL)
    figure.canvas.draw()
    assert len(figure.axes) == chosen["protocol"].nunique()
