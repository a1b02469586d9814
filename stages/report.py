"""report: all that the study found, as one page that opens with no network, and its figures for print."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import tables
from signbridge.core.appearance import look_of, summed_up
from signbridge.core.command_line import run
from signbridge.report.columns import COLUMNS
from signbridge.report.curve import probe_accuracy_curve
from signbridge.report.figures.class_grid import grid_of_sample
from signbridge.report.figures.saving import save_figure
from signbridge.report.figures.umap_projection import umap_projection
from signbridge.report.inputs import Findings, Study
from signbridge.report.misread import most_misread
from signbridge.report.page import write
from signbridge.report.page_parts import pixels_of
from signbridge.report.pages import study_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/index.html")
PLOTS = Path("plots")
STATISTICS = Path("data/statistics")
TEXT = Path("data/text")
SAMPLE, UMAP = Path("data/sample.parquet"), Path("data/umap.parquet")
PREDICTIONS = Path("data/predictions.parquet")
MADE = (SAMPLE, Path("data/answers.parquet"), PREDICTIONS, UMAP)
OF_STATISTICS = ("accuracy", "controls", "selectivity", "layer_comparison", "peak_probability", "description_length")
OF_STATISTICS += (
    "letter_accuracy",
    "confused_pairs",
    "confusion",
    "within_word",
    "published",
    "signers",
    "learning_curve",
)
OF_TEXT = ("named_answers", "answers_by_letter")
LOOKED_AT = 2000  # images whose size and brightness are taken, evenly: decoding all of a large sample takes minutes


def main() -> None:
    """Read data/statistics/, data/text/, the sample and the plane; write three figures in plots/ and the page."""
    settings, sample = read_settings(MADE), tables.read(SAMPLE)
    found = Findings(tables.read_findings(STATISTICS / "findings.json"))
    study = Study(
        found=found,
        leakage=Findings(tables.read_findings("metrics/leakage.json")),
        text=Findings(tables.read_findings(TEXT / "findings.json")),
        **{name: tables.read(STATISTICS / f"{name}.parquet", COLUMNS[name]) for name in OF_STATISTICS},
        **{name: tables.read(TEXT / f"{name}.parquet", COLUMNS[name]) for name in OF_TEXT},
        sample=as_shown(sample, settings.hidden),
        umap=tables.read(UMAP),
        settings=settings,
        looks=looks(sample),
        misread=most_misread(of_the_headline(found), sample),
    )
    save_figures(study)
    study = replace(study, class_grid=(PLOTS / "class_grid.png").read_bytes())
    write(study_page(study), REPORT)


def looks(sample: pd.DataFrame) -> pd.DataFrame:
    """The size, colour and brightness of the images, of so many, evenly, as can be decoded in seconds."""
    rows = sample.iloc[np.unique(np.linspace(0, len(sample) - 1, LOOKED_AT).astype(int))]
    signers = rows["signer"].tolist() if "signer" in rows else None
    return summed_up([look_of(pixels_of(png)) for png in rows["image"]], signers)


def of_the_headline(found: Findings) -> pd.DataFrame:
    """The held-out predictions at the layer that most folds chose; none where no layer was probed without leakage."""
    site, position = found.get("grouped_peak_site"), found.get("grouped_position")
    rows = tables.read_arrow(PREDICTIONS, ("site", str(site))).to_pandas()
    return rows[(rows["protocol"] == "grouped") & (rows["position"] == position)]


def save_figures(study: Study) -> None:
    """Write the class grid, the layer curve and the UMAP plane to plots/."""
    found, model = study.found, str(study.found["model"])
    save_figure(grid_of_sample(study.sample), PLOTS / "class_grid.png", columns=False)

    copies = {protocol: study.copies_in_train(protocol) for protocol in study.protocols()}
    curve = probe_accuracy_curve(
        study.accuracy, study.controls, found.number("chance"), copies, found.number("confidence"), model, study.group
    )
    save_figure(curve, PLOTS / "probe_accuracy_curve.png")

    place = study.settings.made_by[str(UMAP)]
    save_figure(umap_projection(study.umap, place["site"], place["position"], model), PLOTS / "umap_projection.png")


if __name__ == "__main__":
    run(main)
