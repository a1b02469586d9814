"""All rungs of the resolution ladder on the same resamples: what each loses against the pictures as they are."""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import model_name
from signbridge.datasets.resolution import FULL
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.resolution import PLOTTED, compare_rungs, findings_of, headline_of

RUNGS, PROBED, READ = (Path("data/resolution") / name for name in ("pictures/rungs.parquet", "probed", "read"))
ANSWERS = Path("data/answers.parquet")  # the study's
WRITTEN = Path("data/resolution/compared")


def main() -> None:
    """Read predictions and answers of all rungs; write data/resolution/compared/, metrics and a plot."""
    seed, statistics = params.seed(), params.section("statistics", StatisticsParams)
    sample, groups = read_sample(["image_id", "label"])
    rungs = tables.read(RUNGS)
    distinct = rungs.loc[rungs["same_as"] == "", "rung"].tolist()
    answers = {
        rung: tables.read(ANSWERS if rung == FULL else READ / rung / "answers.parquet", ["image_id", "label", "answer"])
        for rung in distinct
    }
    predictions, choices = (tables.read(PROBED / f"{name}.parquet") for name in ("predictions", "choices"))
    group_of = sample.set_index("image_id")["group"]
    found = compare_rungs(predictions, choices, answers, group_of, statistics, np.random.default_rng(seed))
    findings = {
        "model": model_name(ANSWERS, params.model_notes()),
        "images": len(sample),
        "photos": int(sample["photo"].nunique()),
        **groups.findings(),
        "chance": float(sample["label"].value_counts(normalize=True).max()),
        "confidence": statistics.confidence,
        **findings_of(found, rungs, statistics.confidence),
    }
    made_by = {"statistics": statistics.model_dump(), "seed": seed}
    made_by |= {"probed": tables.made_by(PROBED / "choices.parquet")}
    for name, table in {**found, "rungs": rungs}.items():
        tables.write(table, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/resolution.json", findings, headline_of(distinct))
    tables.write_csv(found["accuracy"][PLOTTED], "plots/resolution/accuracy.csv")


if __name__ == "__main__":
    run(main)
