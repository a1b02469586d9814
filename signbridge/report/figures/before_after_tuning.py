"""The figure for print of fine-tuning: probe and answer by layer before and after, and the answer of every run."""

from collections.abc import Callable, Sequence

import pandas as pd
from matplotlib.figure import Figure

from signbridge.report import palette
from signbridge.report.charts.style import named_sites, short_site
from signbridge.report.figures.axes import legend_below, of_shares

WIDTH, HEIGHT = 7.0, 3.6  # inches; the width is that of a paper's text


def before_after_tuning(
    table: pd.DataFrame,
    layers: Sequence[str],
    position: str,
    answer_before: str,
    chance: float,
    confidence: float,
    called: Callable[[str], str],
) -> Figure:
    """Draw `table` (run, site, position, accuracy, low, high): probes at `layers` before and after, and answers.

    `answer_before` is the way to take the answer before tuning (a site of the table), `chance` the share of the
    commonest letter, `confidence` that of the intervals, `called` what a run is called.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, right = figure.subplots(1, 2, sharey=True, width_ratios=(1.4, 1))
    cells = table.set_index(["run", "site"])
    for run, name, site in (("base", "before", answer_before), ("letters", "after", "named")):
        probe, answer = palette.TUNED[f"probe_{name}"], palette.TUNED[f"answer_{name}"]
        rows = table[(table["run"] == run) & (table["position"] == position)].set_index("site").reindex(layers)
        left.fill_between(range(len(layers)), rows["low"], rows["high"], color=probe.colour, alpha=0.15, linewidth=0)
        left.plot(range(len(layers)), rows["accuracy"], **probe.matplotlib(), markersize=3, linewidth=1.1,
                  label=probe.name)  # fmt: skip
        look = {key: value for key, value in answer.matplotlib().items() if key != "marker"}
        left.axhline(cells.loc[(run, site), "accuracy"], **look, linewidth=1.1, label=answer.name)
    left.axhline(chance, color=palette.FAINT, linestyle="-", linewidth=1.4, label=f"chance, {chance:.1%}", zorder=0)
    named = named_sites(layers)
    left.set_xticks([layers.index(site) for site in named], [short_site(site) for site in named], fontsize=7)
    left.set_xlabel("decoder block", fontsize=8)
    left.set_ylabel("read right, images of other photos (%)", fontsize=8)
    runs = list(dict.fromkeys(table["run"]))
    rows = cells.loc[[(run, "named") for run in runs]]
    bars = [rows["accuracy"] - rows["low"], rows["high"] - rows["accuracy"]]
    colour = palette.TUNED["answer_after"].colour
    right.errorbar(range(len(runs)), rows["accuracy"], bars, color=colour, marker="o", linestyle="none",
                   markersize=4, elinewidth=0.9, capsize=2)  # fmt: skip
    right.axhline(chance, color=palette.FAINT, linewidth=1.4, zorder=0)
    right.set_xticks(range(len(runs)), [called(run).replace(" (null)", "") for run in runs], fontsize=6.5,
                     rotation=35, ha="right")  # fmt: skip
    right.set_xlim(-0.5, len(runs) - 0.5)
    right.set_title("the answer names it", fontsize=8)
    left.set_title("a probe, and the answer", fontsize=8)
    for axes in (left, right):
        axes.set_ylim(0, 1.03)
        of_shares(axes)
    legend_below(figure, f"bars and bands: {confidence:.0%} intervals, groups of images resampled")
    return figure
