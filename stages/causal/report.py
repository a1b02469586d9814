"""report: what the causal questions found, as one page that opens with no network, and its figure for print."""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.report.columns import COLUMNS, PROBED
from signbridge.report.figures.causal_effects import at_the_best_place, causal_effects
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Causal, Findings
from signbridge.report.page import write
from signbridge.report.pages import causal_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/causal.html")
FIGURE = Path("plots/causal/causal_effects.png")
SAMPLE, ACCURACY = Path("data/sample.parquet"), Path("data/statistics/accuracy.parquet")
DATA = Path("data/causal")
EFFECTS = DATA / "effects"
DESCRIPTIONS = DATA / "steering/descriptions.parquet"
MADE = (
    SAMPLE,
    DATA / "patching.parquet",
    DATA / "steering/answers.parquet",
    DATA / "erasure/probes.parquet",
)
SAID = DATA / "minimal_pairs/said.parquet"
TABLES = (
    "patching",
    "parts",
    "knockout",
    "minimal_read",
    "minimal_patched",
    "steering",
    "steering_area",
    "erasure",
    "erasure_answers",
)


def main() -> None:
    """Read data/causal/, the sample and the study's accuracy; write the figure and the page."""
    settings = read_settings(MADE, [params.CAUSAL])
    causal = Causal(
        found=Findings(tables.read_findings(EFFECTS / "findings.json")),
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        probed=probed(tables.read(ACCURACY, ["protocol", "position", *PROBED])),
        **{name: tables.read(EFFECTS / f"{name}.parquet", COLUMNS[name]) for name in TABLES},
        descriptions=tables.read(DESCRIPTIONS),
        minimal_said=as_shown(tables.read(SAID), settings.hidden, ("unmoved", "moved")),
    )
    first_erased = causal.erasure_answers["at"].head(1).squeeze()
    figure = causal_effects(
        causal.probed, causal.patching, at_the_best_place(causal.steering, causal.steering_area),
        causal.erasure_answers[causal.erasure_answers["at"] == first_erased],
        causal.found.number("confidence"), str(causal.found["model"]), causal.group,
    )  # fmt: skip
    save_figure(figure, FIGURE)
    write(causal_page(causal), REPORT)


def probed(accuracy: pd.DataFrame) -> pd.DataFrame:
    """The probe of the last token without leakage, by depth; no row where it was not run."""
    rows = accuracy[(accuracy["protocol"] == "grouped") & (accuracy["position"] == "prompt_last")]
    return rows.sort_values("depth")[PROBED]


if __name__ == "__main__":
    run(main)
