"""statistics: what the predictions amount to: intervals, controls, comparisons of layers, and the curve."""

from pathlib import Path
from typing import Any

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.probing.peak import headline
from signbridge.probing.protocols import copies_in_train
from signbridge.probing.settings import ProbeParams, splits_of
from signbridge.probing.within_word import accuracy_within
from signbridge.report.figures.probe_accuracy_curve import probe_accuracy_curve
from signbridge.report.figures.saving import save_figure
from signbridge.statistics import summary
from signbridge.statistics.curves import (
    accuracy_table,
    confused_pairs,
    controls_table,
    curves,
    layer_comparison,
    letter_accuracy,
    peak_table,
    with_headlines,
)
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.summary import Study, published_table

ANSWERS = Path("data/answers.parquet")
SAMPLE = Path("data/sample.parquet")
PLOTS = Path("plots")


def main() -> None:
    """Write metrics/probe.json, the tables below plots/ and plots/probe_accuracy_curve.png."""
    settings, probe = params.section("statistics", StatisticsParams), params.section("probe", ProbeParams)
    seed = params.seed()
    sample = tables.read(SAMPLE, columns=["image_id", "label", "photo"])
    predictions, choices = tables.read("data/predictions.parquet"), tables.read("data/choices.parquet")
    controls_read = tables.read("data/control_predictions.parquet"), tables.read("data/control_choices.parquet")
    photo_of = sample.set_index("image_id")["photo"]
    splits = splits_of(probe, sample["label"].to_numpy(), sample["photo"].to_numpy(), seed)
    leaks = copies_in_train(splits, sample["photo"].to_numpy())

    everything = with_headlines(predictions, choices, *controls_read)
    measured = curves(everything, photo_of, settings, np.random.default_rng(seed))
    accuracy = accuracy_table(measured, leaks)
    comparison = layer_comparison(measured)
    peaks = peak_table(measured, comparison, choices)
    shuffled = tables.read("data/shuffled_labels.parquet")
    controls = controls_table(measured, shuffled)
    bits = tables.read("data/description_length.parquet")
    within_word = tables.read("data/within_word.parquet")
    depths = accuracy.drop_duplicates("site").set_index("site")["depth"].to_dict()
    quoted = headline(predictions, choices)
    letters = sample["label"].value_counts()
    findings = summary.Findings(measured, choices, peaks, controls, shuffled, bits, float(letters.max() / len(sample)))

    model = model_name(ANSWERS)
    numbers = {"images": len(sample), "photos": int(photo_of.nunique()), "letters": len(letters), "model": model}
    numbers |= summary.summary(findings, leaks)
    tables.write_metrics("metrics/probe.json", numbers)

    generator = np.random.default_rng(seed)
    for name, table in {
        "probe_accuracy": accuracy,
        "controls": controls,
        "layer_comparison": comparison,
        "peak_probability": peaks,
        "description_length": bits,
        "letter_accuracy": letter_accuracy(quoted, photo_of, settings, generator),
        "confused_pairs": confused_pairs(quoted),
        "confusion": quoted[["label", "predicted"]].rename(columns={"label": "actual"}),
        "within_word": accuracy_within(within_word, photo_of, depths, settings, np.random.default_rng(seed)),
        "published": published_table(accuracy, _study(), settings.confidence),
    }.items():
        tables.write_csv(table, PLOTS / f"{name}.csv")
    figure = probe_accuracy_curve(accuracy, controls, findings.chance, leaks, settings.confidence, model)
    save_figure(figure, PLOTS / "probe_accuracy_curve.png")


def _study() -> Study:
    """What was asked of what, to be held against the notebook's."""
    made: dict[str, Any] = tables.made_by(SAMPLE)
    model = tables.made_by(ANSWERS)["model"]
    return Study(model.get("hub_id"), made["images"].get("source"), made["params"].get("strategy"))


if __name__ == "__main__":
    run(main)
