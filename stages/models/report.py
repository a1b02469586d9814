"""report: models side by side, as one page that opens with no network, and its figure for print."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.report.columns import COLUMNS
from signbridge.report.figures.accuracy_by_depth import accuracy_by_depth
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings, Models
from signbridge.report.page import write
from signbridge.report.pages import models_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/models.html")
FIGURE = Path("plots/models/accuracy_by_depth.png")
SAMPLE, COMPARED = Path("data/sample.parquet"), Path("data/models/compared")
DRIFT, PATCHING_DRIFT = Path("data/models/drift.parquet"), Path("data/models/patching_drift.parquet")
TABLES = {"accuracy": "model_accuracy", "models": "models", "differences": "model_differences", "peaks": "model_peaks"}
TABLES |= {"controls": "model_controls"}


def main() -> None:
    """Read data/models/, the sample and the catalog; write the figure and the page."""
    settings = read_settings((SAMPLE, COMPARED / "models.parquet"), [params.SIDE_BY_SIDE])
    models = Models(
        found=Findings(tables.read_findings(COMPARED / "findings.json")),
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        **{name: tables.read(COMPARED / f"{name}.parquet", COLUMNS[key]) for name, key in TABLES.items()},
        drift=tables.read(DRIFT, COLUMNS["drift"]),
        patching_drift=tables.read(PATCHING_DRIFT, COLUMNS["patching_drift"]),
        licences=licences(),
    )
    quoted = str(models.found["position"])
    rows = models.accuracy[~models.accuracy["site"].eq("embedding")]
    rows = rows[~rows["site"].str.startswith("layer_") | (rows["position"] == quoted)]
    save_figure(accuracy_by_depth(rows, models.chance, models.found.number("confidence"), models.group), FIGURE)
    write(models_page(models), REPORT)


def licences() -> dict[str, str]:
    """The licence of each model of the catalog that says one."""
    entries = {name: params.entry(name, params.MODELS, dict) for name in params.whole(dict, params.MODELS)}
    return {name: entry["about"]["licence"] for name, entry in entries.items() if "about" in entry}


if __name__ == "__main__":
    run(main)
