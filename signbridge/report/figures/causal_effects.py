"""Where the letter can be read, where the answer hangs on it, and what steering and erasure do: three panels."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from signbridge.core.activations import block_of
from signbridge.report import palette
from signbridge.report.figures.axes import of_shares
from signbridge.report.figures.names import as_drawn
from signbridge.report.palette import Series
from signbridge.report.wording import GROUPS, Group

WIDTH, HEIGHT = 7.2, 3.0  # inches
TOKENS = {"image": "image tokens", "prompt_last": "last token", "every": "every token", "both": "image and last token"}


def at_the_best_place(steering: pd.DataFrame, areas: pd.DataFrame) -> pd.DataFrame:
    """The rows of `steering` where the difference of class means has its largest area over random."""
    of_means = areas[areas["direction"] == "class_means"]
    if of_means.empty:
        return steering
    place = ["site", "at", "during"]
    best = of_means.loc[of_means["area"].idxmax()]
    return steering[(steering[place] == best[place]).all(axis=1)]


def causal_effects(
    probed: pd.DataFrame,
    patching: pd.DataFrame,
    steering: pd.DataFrame,
    erasure: pd.DataFrame,
    confidence: float,
    model: str,
    group: Group = GROUPS["photo"],
) -> Figure:
    """Draw the effects of patching beside the probe's curve, and those of steering and of erasure at one place each.

    `probed` has site, accuracy, low and high of the last token's probe without leakage. `patching`, `steering` (at one
    place) and `erasure` (answers changed, at one kind of token) are rows of the tables in data/causal/effects/.
    Intervals are over each `group`.
    """
    figure = Figure(figsize=(WIDTH, HEIGHT), layout="constrained")
    left, middle, right = figure.subplots(1, 3)
    _patching(left, probed, patching)
    _steering(middle, steering)
    _erasure(right, erasure)
    for axes in (left, middle, right):
        axes.set_ylim(-0.02, 1.03)
        of_shares(axes)
        axes.tick_params(axis="x", labelsize=7)
        if axes.lines:
            axes.legend(loc="upper center", bbox_to_anchor=(0.5, -0.22), fontsize=6, frameon=False)
    figure.suptitle(
        f"{as_drawn(model)}; shaded: {confidence:.0%} intervals, of {group.many}, pairs and draws",
        fontsize=7,
        parse_math=False,
    )
    return figure


def _line(axes: Axes, x: pd.Series, rows: pd.DataFrame, value: str, look: Series) -> None:
    if rows.empty:  # not run; an empty table has no numbers' types
        return
    axes.fill_between(x, rows[f"{value}_low"], rows[f"{value}_high"], color=look.colour, alpha=0.15, linewidth=0)
    axes.plot(x, rows[value], **look.matplotlib(), markersize=3, linewidth=1.1, label=look.name)


def _patching(axes: Axes, probed: pd.DataFrame, patching: pd.DataFrame) -> None:
    depth = patching.drop_duplicates("site").set_index("site")["depth"]
    probed = probed[probed["site"].isin(depth.index)]
    probed = probed.rename(columns={"low": "accuracy_low", "high": "accuracy_high"})
    _line(
        axes, probed["site"].map(depth), probed, "accuracy", palette.PROBED._replace(name="read by a probe, last token")
    )
    for position, look in palette.PATCHED.items():
        rows = patching[patching["position"] == position]
        _line(axes, rows["depth"], rows, "effect", look)
    _label_depth(axes, depth)
    axes.set_title("Read, and used: patching", fontsize=8)
    axes.set_ylabel("letters read right; answer moved (%)", fontsize=7)


def _label_depth(axes: Axes, depth: pd.Series) -> None:
    """`emb.` for the embedding, block numbers behind it, thinned to at most seven."""
    step = max(1, -(-len(depth) // 7))
    shown = list(depth.items())[::step]
    names = ["emb." if site == "embedding" else str(block_of(site)) for site, _ in shown]
    axes.set_xticks([place for _, place in shown], names)
    axes.set_xlabel("after decoder block", fontsize=7)


def _steering(axes: Axes, rows: pd.DataFrame) -> None:
    for direction, look in palette.of_kind(palette.DIRECTIONS, "letter").items():
        line = rows[rows["direction"] == direction].sort_values("strength")
        if not line.empty:
            _line(axes, line["damage"].clip(lower=0), line, "probability", look)
    place = f"{TOKENS[rows['at'].iloc[0]]}, {rows['site'].iloc[0]}" if len(rows) else "not run"
    axes.set_title(f"Steered: {place}", fontsize=8)
    axes.set_xscale("symlog", linthresh=0.1)
    axes.xaxis.set_major_formatter("{x:g}")
    axes.set_xlabel("damage to other descriptions (nats a token)", fontsize=7)
    axes.set_ylabel("probability of the other answer (%)", fontsize=7)


def _erasure(axes: Axes, rows: pd.DataFrame) -> None:
    for eraser, look in palette.of_kind(palette.ERASERS, "letter").items():
        line = rows[rows["eraser"] == eraser]
        _line(axes, line["site"].str.removeprefix("layer_").astype(int), line, "changed", look)
    blocks = sorted(rows["site"].str.removeprefix("layer_").astype(int).unique())
    axes.set_xticks(blocks[:: max(1, -(-len(blocks) // 7))])
    axes.set_title(f"Erased: {TOKENS[rows['at'].iloc[0]] if len(rows) else 'not run'}", fontsize=8)
    axes.set_xlabel("after decoder block", fontsize=7)
    axes.set_ylabel("answers changed (%)", fontsize=7)
