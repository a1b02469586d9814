"""How the axes of figures for print look that show shares."""

from matplotlib.axes import Axes
from matplotlib.ticker import PercentFormatter

from signbridge.report import palette


def of_shares(axes: Axes) -> None:
    """Show shares upwards in per cent, over faint lines, in no box."""
    axes.yaxis.set_major_formatter(PercentFormatter(1, symbol=""))
    axes.tick_params(axis="y", labelsize=7)
    axes.grid(axis="y", color=palette.FAINT, linewidth=0.5)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)
