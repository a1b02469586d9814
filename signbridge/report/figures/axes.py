"""What figures for print share: axes of shares, axes of sites, and one legend below all panels."""

from collections.abc import Mapping

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import PercentFormatter

from signbridge.report import palette
from signbridge.report.charts.style import named_sites, short_site


def of_shares(axes: Axes) -> None:
    """Show shares upwards in per cent, over faint lines, in no box."""
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="y", color=palette.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def of_sites(axes: Axes, places: Mapping[str, float]) -> None:
    """Name the sites that stand at `places`, in order of depth; those before the decoder upright, which takes less."""
    named = named_sites(list(places))
    axes.set_xticks([places[site] for site in named], [short_site(site) for site in named], fontsize=7)
    for tick in axes.get_xticklabels()[: sum(not site.startswith("layer_") for site in named)]:
        tick.set(rotation=90)
    axes.set_xlabel("site, by depth (numbers: decoder blocks)", fontsize=7)


def legend_below(figure: Figure, title: str, columns: int = 3) -> None:
    """One legend of all panels, each name once; `title` says what bars and bands are."""
    shown = {
        label: handle for axes in figure.axes for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    figure.legend(
        shown.values(), shown.keys(), loc="outside lower center", ncols=columns, fontsize=7, frameon=False,
        title=title, title_fontsize=7,
    )  # fmt: skip
