"""report: which methods find the planted variable, as one page that opens with no network, and its figure for print."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.report.columns import COLUMNS, PROBED
from signbridge.report.curve import at_one_position
from signbridge.report.figures.planted_curve import planted_curve
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings, Planted
from signbridge.report.page import write
from signbridge.report.pages import planted_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/planted.html")
FIGURE = Path("plots/planted/planted_curve.png")
SAMPLE, ACCURACY = Path("data/sample.parquet"), Path("data/statistics/accuracy.parquet")
DATA = Path("data/planted")
SCORES = DATA / "scores"
MADE = (SAMPLE, DATA / "asked.parquet", DATA / "probes.parquet", DATA / "edits.parquet", SCORES / "curves.parquet")


def main() -> None:
    """Read data/planted/, the sample and the study's accuracy; write the figure and the page."""
    accuracy = tables.read(ACCURACY, ["protocol", "position", *PROBED])
    unleaked = accuracy[accuracy["protocol"] == "grouped"]
    truth = tables.made_by(DATA / "asked.parquet")["model"]["planted"]["blocks"]
    settings = read_settings(MADE, [params.PLANTED])
    planted = Planted(
        found=Findings(tables.read_findings(SCORES / "findings.json")),
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        letter=at_one_position(unleaked, "prompt_last")[PROBED].reset_index(drop=True),
        **{
            name: tables.read(SCORES / f"{name}.parquet", COLUMNS[f"planted_{name}"])
            for name in ("accuracy", "curves", "verdicts")
        },
        blocks=tuple(sorted(truth)),
    )
    figure = planted_curve(
        planted.letter, planted.chance, planted.accuracy, planted.curves, planted.blocks,
        planted.found.number("confidence"), str(planted.found["model"]),
    )  # fmt: skip
    save_figure(figure, FIGURE)
    write(planted_page(planted), REPORT)


if __name__ == "__main__":
    run(main)
