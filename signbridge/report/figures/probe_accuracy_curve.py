"""Accuracy of the probes by site in order of depth, one panel a protocol."""

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter

WIDTH = 7.0  # inches, the text width of a paper
HEIGHT = 4.2  # half of it for the curves, above the names of the sites and a legend of eleven
# Okabe and Ito's colours; marker and dash tell the positions apart without colour too.
STYLES = {
    "flat": ("#000000", "D", "none", "pixels, flattened"),
    "image_mean": ("#009E73", "s", (0, (1, 1)), "mean over image tokens"),
    "prompt_last": ("#0072B2", "o", "-", "last token of the prompt"),
    "answer_last": ("#D55E00", "^", (0, (4, 1.5)), "last token of the answer"),
}
TEXT_COLOUR = "#CC79A7"
# Beside the model's own lines, in grey: what the probes read where there should be nothing to find.
CONTROL_STYLES = {
    "untrained_twin": ("x", "-", "untrained twin"),
    "shuffled_labels": ("", (0, (1, 1)), "shuffled labels"),
    "other_letter": ("", (0, (3, 1, 1, 1)), "another letter's image"),
    "no_image": ("", (0, (6, 2, 1, 2)), "no image"),
}
CONTROL_COLOUR = "#7F7F7F"
PREFERRED = ("prompt_last", "answer_last", "image_mean")  # position of the controls in the layers
TITLES = {"signbridge": "Notebook's split", "grouped": "No photo on both sides"}


def probe_accuracy_curve(
    table: pd.DataFrame,
    controls: pd.DataFrame,
    chance: float,
    copies_in_train: dict[str, float],
    confidence: float,
    model: str,
) -> Figure:
    """Draw the table `plots/probe_accuracy.csv`: a line a position, its interval shaded; chance, pixels and the reading
    of the model's answer beside it, and under `grouped` the controls (`plots/controls.csv`) at one position.

    `chance` is the share of the commonest letter; `copies_in_train` the share of the images tested under each protocol
    that have a copy in train: where it is above zero the panel says so. `confidence` is that of the intervals,
    `model` the name that the picture is headed with.
    """
    text = table[table["position"] == "text"].set_index("protocol")
    table = table[table["position"] != "text"]
    table = table.assign(x=_places(table))
    protocols = list(table["protocol"].unique())
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    panels = figure.subplots(1, len(protocols), sharey=True, squeeze=False)[0]
    for axes, protocol in zip(panels, protocols, strict=True):
        rows = table[table["protocol"] == protocol]
        _draw(axes, rows, chance)
        if protocol in text.index:
            _draw_text(axes, text.loc[protocol])
        if protocol == "grouped":
            _draw_controls(axes, rows, controls)
        title = TITLES.get(protocol, protocol)
        if copies_in_train[protocol] > 0:
            share = copies_in_train[protocol]
            title = f"{title}, leaking: a copy of the same photo\nis in train for {share:.0%} of test images"
        axes.set_title(title, fontsize=8)
        _label_sites(axes, rows)
    figure.suptitle(model, fontsize=8)
    panels[0].set_ylabel("letters read right, held-out images (%)", fontsize=8)
    panels[0].set_ylim(0, 1.03)
    panels[0].set_yticks(np.linspace(0, 1, 6))
    panels[0].yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    shown = {label: handle for axes in panels for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)}
    shown[f"{confidence:.0%} interval, photos resampled"] = Patch(color="#808080", alpha=0.3, linewidth=0)
    figure.legend(shown.values(), shown.keys(), loc="outside lower center", ncols=3, fontsize=7, frameon=False)
    return figure


def _places(table: pd.DataFrame) -> pd.Series:
    """Where on the axis each row stands: blocks one apart, sites before them far enough for their names."""
    before = table["depth"].where(~table["site"].str.startswith("layer_"))
    extra = max(table["depth"].max() / 18, 1) - 1
    return table["depth"] + extra * np.minimum(table["depth"], before.max() + 1 if before.notna().any() else 0)


def _draw(axes: Axes, rows: pd.DataFrame, chance: float) -> None:
    for position, (colour, marker, dash, label) in STYLES.items():
        line = rows[rows["position"] == position].sort_values("depth")
        if line.empty:
            continue
        if len(line) > 1:
            axes.fill_between(line["x"], line["low"], line["high"], color=colour, alpha=0.15, linewidth=0)
        else:
            below, above = line["accuracy"] - line["low"], line["high"] - line["accuracy"]
            axes.errorbar(line["x"], line["accuracy"], [below, above], color=colour, elinewidth=1, capsize=2)
        axes.plot(
            line["x"], line["accuracy"], color=colour, marker=marker, linestyle=dash,
            markersize=3, linewidth=1.1, label=label,
        )  # fmt: skip
        if position == "flat":
            axes.axhline(line["accuracy"].iloc[0], color=colour, linewidth=0.7, linestyle=(0, (1, 2)), zorder=1)
    axes.axhline(chance, color="#595959", linewidth=0.9, linestyle=(0, (6, 2)), label=f"chance, {chance:.1%}", zorder=1)
    axes.grid(axis="y", color="#E0E0E0", linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def _draw_controls(axes: Axes, rows: pd.DataFrame, controls: pd.DataFrame) -> None:
    """Each control as one line: the mean over image tokens before the layers, then where the prompt ends."""
    places = rows.drop_duplicates("site").set_index("site")["x"]
    in_layers = next((name for name in PREFERRED if name in set(rows["position"])), None)
    is_layer = controls["site"].str.startswith("layer_")
    before = ~is_layer & controls["position"].isin(["flat", "image_mean"])
    controls = controls[before | (is_layer & (controls["position"] == in_layers))].sort_values("depth")
    for control, (marker, dash, label) in CONTROL_STYLES.items():
        line = controls[controls["control"] == control]
        if not line.empty:
            axes.plot(
                line["site"].map(places), line["accuracy"], color=CONTROL_COLOUR, marker=marker, linestyle=dash,
                markersize=3, linewidth=0.8, label=f"control: {label}", zorder=1.5,
            )  # fmt: skip


def _draw_text(axes: Axes, row: pd.Series) -> None:
    axes.axhspan(row["low"], row["high"], color=TEXT_COLOUR, alpha=0.12, linewidth=0, zorder=1)
    axes.axhline(
        row["accuracy"], color=TEXT_COLOUR, linewidth=1.1, linestyle=(0, (5, 1, 1, 1)), zorder=1,
        label="what the model's answer gives away",
    )  # fmt: skip


def _label_sites(axes: Axes, rows: pd.DataFrame) -> None:
    """Names before the decoder, block numbers within it, thinned to at most nine."""
    sites = rows.drop_duplicates("site").sort_values("depth")
    blocks = sites[sites["site"].str.startswith("layer_")]
    others = sites.drop(blocks.index)
    step = next(step for step in (1, 2, 4, 8, 16, 32, 64) if len(blocks) / step <= 9)
    numbers = blocks["site"].str.removeprefix("layer_").astype(int)
    named = blocks[(numbers % step == 0).to_numpy() | (np.arange(len(blocks)) == len(blocks) - 1)]
    if len(named) > 1 and numbers[named.index].diff().iloc[-1] < step / 2:
        named = named.drop(named.index[-2])
    labels = [*others["site"], *numbers[named.index].astype(str)]
    axes.set_xticks([*others["x"], *named["x"]], labels, fontsize=7)
    for tick in axes.get_xticklabels()[: len(others)]:
        tick.set(rotation=90)
    axes.tick_params(axis="y", labelsize=7)
    if len(others) and len(blocks):
        axes.axvline(blocks["x"].min() - (blocks["x"].min() - others["x"].max()) / 2, color="#BFBFBF", linewidth=0.7)
    axes.set_xlabel("site, in order of depth (numbers: decoder block)", fontsize=7)
    axes.margins(x=0.03)
