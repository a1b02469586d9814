"""report: all that the study found, as one page that opens with no network, and its figures for print."""

import io
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from signbridge.core import tables
from signbridge.core.command_line import run
from signbridge.report.curve import probe_accuracy_curve
from signbridge.report.figures.class_grid import class_grid
from signbridge.report.figures.saving import save_figure
from signbridge.report.figures.umap_projection import umap_projection
from signbridge.report.inputs import COLUMNS, Findings, Study
from signbridge.report.page import write
from signbridge.report.pages import study_page
from signbridge.report.settings import read_settings

REPORT = Path("report/index.html")
PLOTS = Path("plots")
STATISTICS = Path("data/statistics")
TEXT = Path("data/text")
SAMPLE, UMAP = Path("data/sample.parquet"), Path("data/umap.parquet")
MADE = (SAMPLE, Path("data/answers.parquet"), Path("data/predictions.parquet"), UMAP)
OF_STATISTICS = ("accuracy", "controls", "selectivity", "layer_comparison", "peak_probability", "description_length")
OF_STATISTICS += ("letter_accuracy", "confused_pairs", "confusion", "within_word", "published")
OF_TEXT = ("named_answers", "answers_by_letter")


def main() -> None:
    """Read data/statistics/, data/text/, the sample and the plane; write three figures in plots/ and the page."""
    study = Study(
        found=Findings(tables.read_findings(STATISTICS / "findings.json")),
        leakage=Findings(tables.read_findings("metrics/leakage.json")),
        text=Findings(tables.read_findings(TEXT / "findings.json")),
        **{name: tables.read(STATISTICS / f"{name}.parquet", COLUMNS[name]) for name in OF_STATISTICS},
        **{name: tables.read(TEXT / f"{name}.parquet", COLUMNS[name]) for name in OF_TEXT},
        sample=tables.read(SAMPLE),
        umap=tables.read(UMAP),
        settings=read_settings(MADE),
    )
    save_figures(study)
    study = replace(study, class_grid=(PLOTS / "class_grid.png").read_bytes())
    write(study_page(study), REPORT)


def save_figures(study: Study) -> None:
    """Write the class grid, the layer curve and the UMAP plane to plots/."""
    found, model = study.found, str(study.found["model"])
    first = study.sample.drop_duplicates("label")
    pictures = [np.asarray(Image.open(io.BytesIO(png))) for png in first["image"]]
    save_figure(class_grid(first["label"].tolist(), pictures), PLOTS / "class_grid.png")

    copies = {protocol: study.copies_in_train(protocol) for protocol in study.protocols()}
    curve = probe_accuracy_curve(
        study.accuracy, study.controls, found.number("chance"), copies, found.number("confidence"), model
    )
    save_figure(curve, PLOTS / "probe_accuracy_curve.png")

    place = study.settings.made_by[str(UMAP)]
    save_figure(umap_projection(study.umap, place["site"], place["position"], model), PLOTS / "umap_projection.png")


if __name__ == "__main__":
    run(main)
