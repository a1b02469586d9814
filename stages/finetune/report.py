"""report: before and after fine-tuning, as one page that opens with no network, and its figure for print."""

from pathlib import Path

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.report.columns import COLUMNS
from signbridge.report.figures.before_after_tuning import before_after_tuning
from signbridge.report.figures.saving import save_figure
from signbridge.report.inputs import Findings
from signbridge.report.page import write
from signbridge.report.pages import finetune_page
from signbridge.report.sections.finetune import Finetune
from signbridge.report.settings import read_settings

REPORT, FIGURE = Path("report/finetune.html"), Path("plots/finetune/before_after_tuning.png")
SAMPLE, SPLIT, COMPARED = (
    Path("data") / name for name in ("sample.parquet", "finetune/split.parquet", "finetune/compared")
)
TABLES = ("accuracy", "changes", "layers", "gaps", "transfer", "drift", "taken_over", "damage")


def main() -> None:
    """Read data/finetune/ and the sample; write the figure and the page."""
    split, sample = tables.read(SPLIT, ["image_id", "part"]), tables.read(SAMPLE)
    probed = set(split.loc[split["part"] == "probe", "image_id"])
    tuned = Finetune(
        found=Findings(tables.read_findings(COMPARED / "findings.json")),
        sample=sample[sample["image_id"].isin(probed)].reset_index(drop=True),
        settings=read_settings((SAMPLE, SPLIT, COMPARED / "accuracy.parquet"), [params.FINETUNE]),
        **{name: tables.read(COMPARED / f"{name}.parquet", COLUMNS[f"tuned_{name}"]) for name in TABLES},
        tuned_on=int((split["part"] == "train").sum()),
    )
    layers, found = list(dict.fromkeys(tuned.layers["site"])), tuned.found
    drawn = (str(found["position"]), str(found["hardest_how"]), tuned.chance, found.number("confidence"))
    save_figure(before_after_tuning(tuned.accuracy, layers, *drawn, tuned.called), FIGURE)
    write(finetune_page(tuned), REPORT)


if __name__ == "__main__":
    run(main)
