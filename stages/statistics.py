"""statistics: what the predictions amount to: intervals, controls, comparisons of layers."""

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import model_name
from signbridge.probing.peak import chosen_layer, headline, headline_position
from signbridge.statistics import curves, description_length, dvc_plots, summary
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.learning_curve import learning_curve, learning_findings
from signbridge.statistics.selectivity import selectivity_findings, selectivity_table
from signbridge.statistics.signers import seen_and_unseen, signer_findings
from signbridge.statistics.within_word import accuracy_within

SAMPLE = Path("data/sample.parquet")
PREDICTIONS = Path("data/predictions.parquet")
CONTROLS = Path("data/control_probes")
WRITTEN = Path("data/statistics")


def main() -> None:
    """Write data/statistics/, metrics/probe.json, and what `dvc plots` shows."""
    settings, seed = params.section("statistics", StatisticsParams), params.seed()
    sample, groups = read_sample(["image_id", "label"])
    predictions, choices = tables.read(PREDICTIONS), tables.read("data/choices.parquet")
    of_controls = tables.read(CONTROLS / "predictions.parquet"), tables.read(CONTROLS / "choices.parquet")
    shuffled = tables.read(CONTROLS / "shuffled_labels.parquet")
    task = tables.read(CONTROLS / "control_task.parquet")
    codes, within_word = tables.read("data/description_length.parquet"), tables.read("data/within_word.parquet")
    of_signers = tables.read(CONTROLS / "signers.parquet")
    points = tables.read(CONTROLS / "learning_curve.parquet")
    group_of, letters = sample.set_index("image_id")["group"], sample["label"].value_counts()

    everything = curves.with_headlines(predictions, choices, *of_controls)
    measured = curves.curves(everything, group_of, settings, np.random.default_rng(seed))
    leaks = curves.copies_in_train(predictions, group_of)
    accuracy, comparison = curves.accuracy_table(measured, leaks, choices), curves.layer_comparison(measured)
    peaks, controls = curves.peak_table(measured, comparison, choices), curves.controls_table(measured, shuffled)
    depths = accuracy.drop_duplicates("site").set_index("site")["depth"].to_dict()
    quoted = headline(predictions, choices)
    bits = description_length.code_lengths(codes, sample, depths, settings, np.random.default_rng(seed))
    found = {
        "accuracy": accuracy,
        "controls": controls,
        "layer_comparison": comparison,
        "peak_probability": peaks,
        "description_length": bits.table,
        "letter_accuracy": curves.letter_accuracy(quoted, group_of, settings, np.random.default_rng(seed)),
        "confused_pairs": curves.confused_pairs(quoted),
        "confusion": quoted[["label", "predicted"]].rename(columns={"label": "actual"}),
        "within_word": accuracy_within(within_word, group_of, depths, settings, np.random.default_rng(seed)),
        "selectivity": selectivity_table(predictions, task, group_of, settings, np.random.default_rng(seed)),
        "signers": seen_and_unseen(of_signers, sample, depths, settings, np.random.default_rng(seed)),
        "learning_curve": learning_curve(points, predictions, group_of, settings, np.random.default_rng(seed)),
        "published": summary.published_table(accuracy, _study(), settings.confidence),
    }
    findings = summary.Findings(measured, choices, peaks, controls, shuffled, bits, float(letters.max() / len(sample)))
    numbers = {
        "images": len(sample),
        "photos": int(sample["photo"].nunique()),
        **groups.findings(),
        "letters": len(letters),
        "model": model_name(PREDICTIONS, params.model_notes()),
        **summary.summary(findings, leaks),
        **signer_findings(found["signers"], *_best(choices)),
        **learning_findings(found["learning_curve"], *_best(choices)),
        **selectivity_findings(found["selectivity"], summary.notebook_prefix(leaks)),
    }

    made_by = {"statistics": settings.model_dump(), "seed": seed}
    for name, table in found.items():
        tables.write(table, WRITTEN / f"{name}.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", numbers)
    tables.write_metrics("metrics/probe.json", numbers, summary.HEADLINE)
    for name, table in dvc_plots.plots(found, numbers).items():
        tables.write_csv(table, f"plots/{name}.csv")


def _best(choices: pd.DataFrame) -> tuple[str | None, str | None]:
    """The layer that most folds chose, and the position where it is quoted."""
    position = headline_position(choices)
    return (chosen_layer(choices, position), position) if position else (None, None)


def _study() -> summary.Study:
    """What was asked of what, to be compared with the notebook's study."""
    made: dict[str, Any] = tables.made_by(SAMPLE)
    model = tables.made_by(PREDICTIONS)["model"]
    return summary.Study(model.get("hub_id"), made["images"].get("source"), made["params"].get("strategy"))


if __name__ == "__main__":
    run(main)
