"""report: the resolution ladder, as one page that opens with no network, and its figures for print."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.datasets.resolution import FULL, RUNGS, ResolutionParams
from signbridge.report.columns import COLUMNS
from signbridge.report.figures.accuracy_by_size import accuracy_by_size
from signbridge.report.figures.class_grid import class_grid
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings, Resolution
from signbridge.report.page import write
from signbridge.report.page_parts import pixels_of
from signbridge.report.pages import resolution_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/resolution.html")
CURVE, GRID = (Path("plots/resolution") / name for name in ("accuracy_by_size.png", "pictures.png"))
SAMPLE = Path("data/sample.parquet")
COMPARED, PICTURES = Path("data/resolution/compared"), Path("data/resolution/pictures")


def main() -> None:
    """Read data/resolution/ and the sample; write the figures and the page."""
    settings = read_settings((SAMPLE, COMPARED / "accuracy.parquet"), [params.RESOLUTION])
    rungs, sample = tables.read(COMPARED / "rungs.parquet", RUNGS), tables.read(SAMPLE)
    distinct = rungs.loc[rungs["same_as"] == "", "rung"].tolist()
    pictures = {rung: sample if rung == FULL else tables.read(PICTURES / f"{rung}.parquet") for rung in distinct}
    first = [as_shown(images.iloc[:1], settings.hidden)["image"].iloc[0] for images in pictures.values()]
    save_figure(class_grid(distinct, [pixels_of(png) for png in first]), GRID, columns=False)
    ladder = Resolution(
        found=Findings(tables.read_findings(COMPARED / "findings.json")),
        sample=as_shown(sample, settings.hidden),
        settings=settings,
        accuracy=tables.read(COMPARED / "accuracy.parquet", COLUMNS["rung_accuracy"]),
        differences=tables.read(COMPARED / "differences.parquet", COLUMNS["rung_differences"]),
        rungs=rungs,
        most_pixels=params.whole(ResolutionParams, params.RESOLUTION).pixels,
        pictures=GRID.read_bytes(),
    )
    confidence = ladder.found.number("confidence")
    save_figure(accuracy_by_size(ladder.accuracy, distinct, ladder.chance, confidence, ladder.group), CURVE)
    write(resolution_page(ladder), REPORT)


if __name__ == "__main__":
    run(main)
