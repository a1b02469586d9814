"""report: what sparse features of the decoder hold, as one page that opens with no network."""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import CLASSES, CONCEPT, CONCEPT_UNDONE
from signbridge.report.columns import COLUMNS
from signbridge.report.inputs import Findings, Sae
from signbridge.report.page import write
from signbridge.report.pages import sae_page
from signbridge.report.settings import read_settings
from signbridge.report.shown_images import as_shown

REPORT = Path("report/sae.html")
SAMPLE = Path("data/sample.parquet")
DATA = Path("data/sae")
PROBES, EVALUATION, STEERING = DATA / "probes", DATA / "evaluation", DATA / "steering"
EFFECTS, EXAMPLES = DATA / "effects", DATA / "examples"
FEATURES = EXAMPLES / "features.parquet"
OF_EVALUATION, OF_PROBES = ("measures", "concept", "fingers"), ("probes", "one_letter")
OF_EFFECTS = ("steering", "steering_area")
OF_EXAMPLES = ("features", "letters", "images", "phrases")


def main() -> None:
    """Read data/sae/ and the sample; write the page."""
    found = Findings(tables.read_findings(EVALUATION / "findings.json"))
    settings = read_settings((SAMPLE, FEATURES), [params.SAE], {"sae.preset": (params.SAE, params.SAE_PRESETS)})
    sae = Sae(
        found=found,
        sample=as_shown(tables.read(SAMPLE), settings.hidden),
        settings=settings,
        **{name: tables.read(EVALUATION / f"{name}.parquet", COLUMNS[name]) for name in OF_EVALUATION},
        **{name: tables.read(PROBES / f"{name}.parquet", COLUMNS[name]) for name in OF_PROBES},
        steered=Findings(tables.read_findings(EFFECTS / "findings.json")),
        **{name: tables.read(EFFECTS / f"{name}.parquet", ["steered", *COLUMNS[name]]) for name in OF_EFFECTS},
        told_fingers=tables.read(EFFECTS / "minimal_pairs.parquet", COLUMNS["told_fingers"]),
        descriptions=steered("descriptions", found.get("concept")),
        steered_features=steered("features", found.get("concept")),
        **{name: tables.read(EXAMPLES / f"{name}.parquet") for name in OF_EXAMPLES},
        examples_made_by=tables.made_by(FEATURES),
    )
    write(sae_page(sae), REPORT)


def steered(name: str, concept: str | None) -> pd.DataFrame:
    """The tables `name` of both kinds of steering, with the column `steered`: the kind.

    Of the `concept`, as hands are called of which it is true, that is whether to it or away from it.
    """
    parts = {kind: tables.read(STEERING / kind / f"{name}.parquet") for kind in (CLASSES, CONCEPT)}
    towards = np.where(parts[CONCEPT]["b"] == concept, CONCEPT, CONCEPT_UNDONE)
    there = [part.assign(steered=towards if kind == CONCEPT else kind) for kind, part in parts.items()]
    return pd.concat([part for part in there if len(part)] or there[:1], ignore_index=True)


if __name__ == "__main__":
    run(main)
