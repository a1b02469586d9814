"""answers: what the text gives away, beside what a probe reads from the layers of the same images.

`named` and the metrics go by the rule of `signbridge.answers.named_letter`.
"""

from pathlib import Path

from signbridge import answers, metrics, tables
from signbridge.command_line import run
from signbridge.model_name import model_name
from signbridge.peak import peak_layer

ANSWERS = Path("data/answers.parquet")


def main() -> None:
    """Write metrics/answers.json, plots/answers.csv and plots/answers_by_letter.csv."""
    given = tables.read(ANSWERS, columns=["image_id", "label", "answer"])
    predictions = tables.read(
        "data/predictions.parquet", columns=["protocol", "site", "position", "label", "predicted"]
    )

    named = answers.with_named(given)
    values = {"model": model_name(ANSWERS)} | answers.summary(named)
    peak = peak_layer(predictions, "grouped")
    if peak:
        values["probe_peak"] = f"{peak.site} {peak.position}"
        values["probe_accuracy"] = peak.accuracy
        values["probe_minus_text"] = peak.accuracy - values["share_naming_right_letter"]
        values["probe_minus_best_reading"] = peak.accuracy - values["best_reading"]

    metrics.write(Path("metrics/answers.json"), values)
    Path("plots").mkdir(exist_ok=True)
    shown = named.replace({"named": {"": "(none)"}})
    shown.to_csv("plots/answers.csv", index=False, lineterminator="\n")
    answers.commonest_by_letter(given).to_csv("plots/answers_by_letter.csv", index=False, lineterminator="\n")


if __name__ == "__main__":
    run(main)
