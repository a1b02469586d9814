"""Figures for print as they are on paper, in one column and in two: no word lies upon another or leaves the sheet."""

from itertools import pairwise

import pandas as pd
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Text

from signbridge.report.figures import saving
from signbridge.report.figures.accuracy_by_depth import accuracy_by_depth
from signbridge.report.figures.accuracy_by_size import accuracy_by_size
from signbridge.report.figures.order_by_layer import order_by_layer
from signbridge.report.figures.planted_curve import planted_curve
from signbridge.report.figures.saving import WIDTHS
from tests.report import made_up


def models() -> Figure:
    """Accuracy by relative depth."""
    run = made_up.models()
    return accuracy_by_depth(run.accuracy[run.accuracy["position"] != "answer_last"], 0.05, 0.95)


def motion() -> Figure:
    """What is told by layer."""
    run = made_up.motion()
    rows = pd.concat([run.by_layer(run.target, reading) for reading in run.accuracy["series"].unique()])
    return order_by_layer(rows, run.sites, 0.5, 0.95, "the movement", run.taught)


def planted() -> Figure:
    """The letter beside the planted answer."""
    run = made_up.planted()
    return planted_curve(run.letter, 0.05, run.accuracy, run.curves, run.blocks, 0.95, "miniature")


def resolution() -> Figure:
    """Accuracy by the size of the pictures."""
    run = made_up.resolution()
    return accuracy_by_size(run.accuracy, run.distinct, 0.05, 0.95)


@pytest.mark.parametrize(
    ("drawn", "column"), [(models, "one-column"), (motion, "one-column"), (planted, "two-columns")]
)
def test_on_paper_no_name_of_an_axis_lies_on_the_next_and_all_words_are_on_the_sheet(drawn, column):
    figure = laid_out(drawn(), column)
    words = list(figure.legends[0].get_texts())
    for axes in figure.axes:
        ticks = [tick.get_window_extent() for tick in axes.get_xticklabels()]
        assert all(left.x1 <= right.x0 + 0.5 for left, right in pairwise(ticks))
        words += [axes.xaxis.label, axes.yaxis.label, axes.title]
    for word in filter(Text.get_text, words):
        box = word.get_window_extent()
        assert min(box.x0, box.y0) >= 0, word.get_text()
        assert box.x1 <= figure.bbox.x1, word.get_text()
        assert box.y1 <= figure.bbox.y1, word.get_text()


def test_in_one_column_the_legend_keeps_the_mark_of_a_line_with_bars():
    figure = laid_out(resolution(), "one-column")
    assert {line.get_marker() for line in figure.legends[0].findobj(Line2D)} >= {"o", "s", "D", "P"}


def laid_out(figure: Figure, column: str) -> Figure:
    """The figure as it is saved for that width."""
    if figure.get_figwidth() != WIDTHS[column]:
        saving._lay_out(figure, WIDTHS[column])
    FigureCanvasAgg(figure).draw()
    return figure
