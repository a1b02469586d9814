"""The accuracy curve says what leaks, where chance and controls are, and stays legible with few layers and many."""

from itertools import pairwise

import numpy as np
import pandas as pd
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signbridge.core.activations import SITES_BEFORE_LAYERS, layer_site, positions_of
from signbridge.report.curve import CONTROLS, probe_accuracy_curve

MODEL = "a model (with a note)"
LEAKING = {"signbridge": 0.9, "grouped": 0.0}
CONTROL_NAMES = {"untrained twin", "shuffled labels", "another letter's image", "no image"}


def table(layers: int, before: tuple[str, ...] = SITES_BEFORE_LAYERS) -> pd.DataFrame:
    sites = [*before, *(layer_site(block) for block in range(layers))]
    rows = [
        {"protocol": protocol, "site": site, "depth": depth, "position": position, "accuracy": 0.5}
        for protocol in ("signbridge", "grouped")
        for depth, site in enumerate(sites)
        for position in positions_of(site)
    ]
    return pd.DataFrame(rows).assign(low=0.4, high=0.6, images_tested=60, leaking=False)


def no_controls() -> pd.DataFrame:
    return pd.DataFrame(columns=["control", "site", "depth", "position", "accuracy"])


def controls(of: pd.DataFrame) -> pd.DataFrame:
    """Every control wherever the model was probed: 0.1 at `prompt_last` in the layers and `image_mean` before them."""
    cells = of.loc[of["protocol"] == "grouped", ["site", "depth", "position"]]
    drawn = np.where(cells["site"].str.startswith("layer_"), "prompt_last", "image_mean")
    accuracy = np.where((cells["position"] == drawn) | (cells["position"] == "flat"), 0.1, 0.9)
    return pd.concat([cells.assign(control=control, accuracy=accuracy) for control in CONTROLS])


def curve(
    of: pd.DataFrame,
    beside: pd.DataFrame | None = None,
    chance: float = 0.05,
    copies_in_train: dict[str, float] = LEAKING,
    confidence: float = 0.95,
) -> Figure:
    beside = no_controls() if beside is None else beside
    return probe_accuracy_curve(of, beside, chance, copies_in_train, confidence, MODEL)


def legend(figure: Figure) -> list[str]:
    return [text.get_text() for text in figure.legends[0].get_texts()]


def points_of(axes: Axes, name: str) -> tuple[np.ndarray, np.ndarray]:
    """The points of all lines of that name."""
    lines = [line for line in axes.lines if line.get_label() == name]
    return tuple(
        np.concatenate([of(line) for line in lines]) for of in (lambda o: o.get_xdata(), lambda o: o.get_ydata())
    )


def names_of_lines(axes: Axes) -> set[str]:
    return set(axes.get_legend_handles_labels()[1])


@pytest.mark.parametrize("layers", [1, 4, 8, 32, 80])
def test_tick_labels_do_not_touch(layers):
    figure = curve(table(layers))
    figure.draw_without_rendering()
    for axes in figure.axes:
        boxes = [label.get_window_extent() for label in axes.get_xticklabels()]
        assert all(left.x1 <= right.x0 for left, right in pairwise(boxes))


@pytest.mark.parametrize("layers", [1, 32])
def test_nothing_is_drawn_outside_of_the_picture_or_over_another_text(layers):
    both = table(layers)
    figure = curve(both, controls(both))
    figure.draw_without_rendering()
    axis_labels = [label for axes in figure.axes for label in (axes.xaxis.label, axes.yaxis.label) if label.get_text()]
    texts = [*(axes.title for axes in figure.axes), *figure.texts, *figure.legends[0].get_texts(), *axis_labels]
    boxes = [text.get_window_extent() for text in texts]
    width, height = figure.bbox.size
    for text, box in zip(texts, boxes, strict=True):
        assert min(box.x0, box.y0) >= 0, text
        assert (box.x1 <= width, box.y1 <= height) == (True, True), text
    for index, box in enumerate(boxes):
        assert box.count_overlaps(boxes[index + 1 :]) == 0, texts[index]


@pytest.mark.parametrize("layers", [4, 32])
def test_the_curves_have_half_of_the_height_of_the_picture(layers):
    both = table(layers)
    figure = curve(both, controls(both))
    figure.draw_without_rendering()
    assert all(axes.get_position().height > 0.45 for axes in figure.axes)


def test_the_first_and_the_last_block_are_named():
    [axes, _] = curve(table(32)).axes
    labels = [label.get_text() for label in axes.get_xticklabels()]
    assert labels[:5] == [*SITES_BEFORE_LAYERS, "0"]
    assert labels[-1] == "31"


def test_the_split_that_leaks_is_named_as_such_and_the_one_that_does_not_is_not():
    notebook, grouped = curve(table(4)).axes
    assert notebook.get_title() == (
        "Notebook's split, leaking: a copy of the same photo\nis in train for 90% of test images"
    )
    assert grouped.get_title() == "No photo on both sides"


def test_the_notebooks_split_is_not_called_leaking_where_no_photo_has_copies():
    figure = curve(table(4), copies_in_train={"signbridge": 0.0, "grouped": 0.0})
    assert not any("leaking" in axes.get_title() for axes in figure.axes)


def test_what_the_answer_gives_away_is_a_line_across_and_no_site_of_the_axis():
    sites = table(4)
    text = [
        {"protocol": protocol, "site": "answer", "depth": 8, "position": "text", "accuracy": share}
        for protocol, share in (("signbridge", 0.31), ("grouped", 0.32))
    ]
    figure = curve(pd.concat([sites, pd.DataFrame(text).assign(low=0.2, high=0.4)]))
    bare = curve(sites)
    assert "what the model's answer gives away" in legend(figure)
    assert "what the model's answer gives away" not in legend(bare)
    for axes, other, share in zip(figure.axes, bare.axes, (0.31, 0.32), strict=True):
        assert any(np.all(np.asarray(line.get_ydata()) == share) for line in axes.lines)
        assert list(axes.get_xticks()) == list(other.get_xticks())


def test_chance_and_the_kind_of_interval_are_drawn_and_named():
    figure = curve(table(4), confidence=0.9)
    assert figure.get_suptitle() == MODEL
    assert "chance, 5.0%" in legend(figure)
    assert figure.legends[0].get_title().get_text() == "bars and bands: 90% intervals, photos resampled"
    for axes in figure.axes:
        assert any(np.all(np.asarray(line.get_ydata()) == 0.05) for line in axes.lines)


# Controls ----------------------------------------------------------------------------------------------------------


def test_every_control_is_drawn_and_named_under_grouped_alone():
    both = table(4)
    notebook, grouped = curve(both, controls(both)).axes
    named = {f"control: {name}" for name in CONTROL_NAMES}
    assert named <= names_of_lines(grouped)
    assert not named & names_of_lines(notebook), "a control is not probed on a split that leaks"
    assert named <= set(legend(curve(both, controls(both))))


def test_a_control_is_one_line_at_one_position_a_site():
    both = table(4)
    _, grouped = curve(both, controls(both)).axes
    names = {name for name in names_of_lines(grouped) if name.startswith("control: ")}
    assert len(names) == len(CONTROLS)
    for name in names:
        places, values = points_of(grouped, name)
        assert len(places) == len(SITES_BEFORE_LAYERS) + 4, "one point a site"
        assert np.all(values == 0.1), "no other position's"
        assert np.all(np.diff(places) > 0), "in order of depth"


def test_in_print_too_a_line_never_joins_two_positions():
    both = table(4)
    _, grouped = curve(both, controls(both)).axes
    parts = [line for line in grouped.lines if line.get_label() == "control: untrained twin"]
    assert [len(line.get_xdata()) for line in parts] == [1, len(SITES_BEFORE_LAYERS) - 1, 4]


def test_a_control_stands_over_the_sites_of_the_model():
    both = table(32)
    _, grouped = curve(both, controls(both)).axes
    assert set(grouped.get_xticks()) <= set(points_of(grouped, "control: untrained twin")[0])


def test_a_control_that_was_read_at_fewer_sites_has_a_shorter_line():
    both = table(4)
    twin = controls(both).query("control == 'untrained_twin' and site != 'pixels'")
    _, grouped = curve(both, twin).axes
    assert {name for name in names_of_lines(grouped) if name.startswith("control")} == {"control: untrained twin"}
    assert len(points_of(grouped, "control: untrained twin")[0]) == len(SITES_BEFORE_LAYERS) + 4 - 1


def test_without_controls_none_is_named():
    assert not any("control" in name for name in legend(curve(table(4))))


def test_controls_without_a_panel_of_their_protocol_are_left_out():
    both = table(4)
    figure = curve(both.query("protocol == 'signbridge'"), controls(both))
    assert not any("control" in name for name in legend(figure))


@pytest.mark.parametrize("chosen", [table(0), table(3, before=()), table(4).query("protocol == 'grouped'")])
def test_any_choice_of_sites_and_protocols_can_be_drawn(chosen):
    figure = curve(chosen, controls(chosen))
    figure.draw_without_rendering()
    assert len(figure.axes) == chosen["protocol"].nunique()
