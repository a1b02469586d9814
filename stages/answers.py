"""answers: what the text gives away, beside what a probe reads from the layers of the same images.

`named` and the metrics go by the rule of `signbridge.statistics.answers.named_class`.
"""

from pathlib import Path

import numpy as np
import pandas as pd

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.names import model_name
from signbridge.probing.peak import chosen_layer, headline_position
from signbridge.probing.within_word import ALL_WORDS
from signbridge.statistics import answers
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.mutual_information import AnswersParams, answer_information

ANSWERS = Path("data/answers.parquet")
WITHIN_WORD = Path("plots/within_word.csv")


def main() -> None:
    """Write metrics/answers.json, plots/answers.csv and plots/answers_by_letter.csv."""
    chosen = params.section("answers", AnswersParams)
    statistics = params.section("statistics", StatisticsParams)
    generator = np.random.default_rng(params.seed())
    given = tables.read(ANSWERS, columns=["image_id", "label", "answer"])
    photo = tables.read("data/sample.parquet", columns=["image_id", "photo"]).set_index("image_id")["photo"]
    scores = tables.read("data/letter_scores.parquet")
    predictions = tables.read("data/predictions.parquet")
    choices = tables.read("data/choices.parquet")
    position = headline_position(choices)

    named = answers.with_named(given)
    right = answers.right_by_image(named, scores, predictions, choices, position)
    values = {"model": model_name(ANSWERS), **answers.summary(named), **answers.zero_shot_summary(scores)}
    values |= answers.intervals(right, photo, statistics, generator)
    values |= _information(given, photo[given["image_id"]].to_numpy(), chosen.shuffles, generator)
    if position is not None:
        values |= {"probe_position": position, **_within_word(chosen_layer(choices, position), position)}

    tables.write_metrics(Path("metrics/answers.json"), values)
    tables.write_csv(named.replace({"named": {"": "(none)"}}), "plots/answers.csv")
    tables.write_csv(answers.commonest_by_letter(given), "plots/answers_by_letter.csv")


def _information(
    given: pd.DataFrame, photos: np.ndarray, shuffles: int, generator: np.random.Generator
) -> dict[str, float]:
    found = answer_information(given["answer"].to_numpy(), given["label"].to_numpy(), photos, shuffles, generator)
    of_both = {f"information_{name}": value for name, value in found._asdict().items() if name != "letter_bits"}
    return {**of_both, "letter_bits": found.letter_bits}


def _within_word(site: str | None, position: str) -> dict[str, float | int | str]:
    """What is known beyond the word at the layer that the study chose, over all words; empty without such a word."""
    table = tables.read_csv(WITHIN_WORD)
    rows = table[(table["word"] == ALL_WORDS) & (table["site"] == site) & (table["position"] == position)]
    if rows.empty:
        return {}
    row = rows.iloc[-1]
    return {
        "within_word_accuracy": float(row["accuracy"]),
        "within_word_accuracy_low": float(row["low"]),
        "within_word_accuracy_high": float(row["high"]),
        "within_word_chance": float(row["chance"]),
        "within_word_images": int(row["images"]),
        "within_word_site": site,
        "within_word_position": position,
    }


if __name__ == "__main__":
    run(main)
