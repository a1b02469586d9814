"""report: what an autoencoder that others trained sees, as one page that opens with no network."""

from pathlib import Path

import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import PRETRAINED
from signbridge.report.columns import COLUMNS
from signbridge.report.inputs import Findings, Pretrained
from signbridge.report.page import write
from signbridge.report.pages import pretrained_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/pretrained.html")
SAMPLE = Path("data/sample.parquet")
CLASSES, EFFECTS, STEERING = (Path("data/pretrained") / name for name in ("classes", "effects", "steering"))


def main() -> None:
    """Read data/pretrained/ and the sample; write the page."""
    settings = read_settings(
        (SAMPLE, CLASSES / "classes.parquet"),
        [params.PRETRAINED],
        {"autoencoder": (params.PRETRAINED, params.AUTOENCODERS)},
    )
    pretrained = Pretrained(
        found=Findings(tables.read_findings(CLASSES / "findings.json")),
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        steered=Findings(tables.read_findings(EFFECTS / "findings.json")),
        **{name: of_kind(EFFECTS / f"{name}.parquet", COLUMNS[name]) for name in ("steering", "steering_area")},
        descriptions=of_kind(STEERING / "descriptions.parquet"),
        steered_features=of_kind(STEERING / "features.parquet"),
        classes=tables.read(CLASSES / "classes.parquet", COLUMNS["classes"]),
    )
    write(pretrained_page(pretrained), REPORT)


def of_kind(path: Path, columns: list[str] | None = None) -> pd.DataFrame:
    """The table at `path`, or its `columns`, with the column `steered`: the one kind of steering that there is here."""
    return tables.read(path, columns).assign(steered=PRETRAINED)


if __name__ == "__main__":
    run(main)
