"""Accuracy, peaks and answers of all models, on the same photos and the same resamples of them."""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.probing.settings import SideBySideParams
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.side_by_side import ModelResults, compare_models, findings_of, headline_of

READ, PROBED, SCORED = Path("data/models/read"), Path("data/models/probed"), Path("data/models/scored")
WRITTEN = Path("data/models/compared")


def main() -> None:
    """Read the predictions and answers of all models; write data/models/compared/, metrics and a plot."""
    settings, seed = params.whole(SideBySideParams, params.SIDE_BY_SIDE), params.seed()
    statistics, notes = params.section("statistics", StatisticsParams), params.model_notes()
    sample, groups = read_sample(["image_id", "label"])
    named = {name: params.shown_name(name) for name in settings.models}
    results = {
        shown: ModelResults(
            predictions=tables.read(PROBED / name / "predictions.parquet"),
            choices=tables.read(PROBED / name / "choices.parquet"),
            answers=tables.read(READ / name / "answers.parquet", ["image_id", "label", "answer"]),
            controls=tables.read(PROBED / name / "controls.parquet"),
            shuffled=tables.read(PROBED / name / "shuffled_labels.parquet"),
            scores=tables.read(SCORED / f"{name}.parquet"),
            made_by=tables.made_by(READ / name / "answers.parquet"),
        )
        for name, shown in named.items()
    }
    said = [f"{name}: {notes[name]}" for name in settings.models if name in notes]
    for name, shown in named.items():
        if reason := tables.made_by(SCORED / f"{name}.parquet").get("not_scored"):
            said.append(f"{shown}: its letters are not scored. {reason.rstrip('.')}")
    found = compare_models(
        results, sample.set_index("image_id")["group"], settings, statistics, np.random.default_rng(seed)
    )
    findings = {
        "model": ", ".join(results),
        "images": len(sample),
        "photos": int(sample["photo"].nunique()),
        **groups.findings(),
        "chance": float(sample["label"].value_counts(normalize=True).max()),
        "confidence": statistics.confidence,
        "notes": "; ".join(said),
        **findings_of(found, settings),
    }
    made_by = {**settings.model_dump(), "statistics": statistics.model_dump(), "seed": seed}
    made_by |= {
        "read": {
            name: {"model": one.made_by["model"], "read_on": one.made_by["read_on"]} for name, one in results.items()
        }
    }
    for name, table in found.items():
        tables.write(table, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/models.json", findings, headline_of(list(results)))
    tables.write_csv(found["accuracy"].query("position == @settings.positions[0]"), "plots/models/accuracy.csv")


if __name__ == "__main__":
    run(main)
