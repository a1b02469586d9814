"""score: every method's curve on one scale, and what it finds, misses and marks falsely of the planted blocks.

python -m stages.planted.score
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.planted.settings import ScoreParams
from signbridge.statistics import planted
from signbridge.statistics.intervals import StatisticsParams

DATA = Path("data/planted")
WRITTEN = DATA / "scores"
METRICS = Path("metrics/planted/planted.json")


def main() -> None:
    """Read the tables of `read`, `probe` and `edit`; write `data/planted/scores/` and metrics."""
    settings = params.section("score", ScoreParams, params.PLANTED)
    statistics, seed = params.section("statistics", StatisticsParams), params.seed()
    asked, lenses, probes, edits = (
        tables.read(DATA / f"{name}.parquet") for name in ("asked", "lenses", "probes", "edits")
    )
    made_by = tables.made_by(DATA / "asked.parquet")
    truth = sorted(made_by["model"]["planted"]["blocks"])
    of_probes, of_lenses, of_edits = np.random.default_rng(seed).spawn(3)
    accuracy = planted.accuracies(probes, statistics, of_probes)
    seen = planted.lens_accuracies(lenses, asked, statistics, of_lenses)
    edited = planted.edit_effects(edits, statistics, of_edits)
    curves = planted.curves(accuracy, seen, edited)
    scored = planted.verdicts(curves, truth, settings.least_step, settings.within)
    findings = planted.findings(accuracy, asked, edits, scored, truth)
    findings |= {
        "model": model_name(DATA / "asked.parquet", params.model_notes()),
        "confidence": statistics.confidence,
        "least_step": settings.least_step,
        "within": settings.within,
    }
    made_by = {"statistics": statistics.model_dump(), "score": settings.model_dump(), "seed": seed}
    table = pd.DataFrame(
        [(method, *one[:3], ", ".join(map(str, one.marked)), one.false_marks) for method, one in scored.items()],
        columns=["method", "verdict", "located", "step", "marked", "false_marks"],
    ).astype({"located": "Int64"})
    tables.write(accuracy, WRITTEN / "accuracy.parquet", made_by)
    tables.write(curves, WRITTEN / "curves.parquet", made_by)
    tables.write(table, WRITTEN / "verdicts.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics(METRICS, findings, planted.HEADLINE)


if __name__ == "__main__":
    run(main)
