"""answers: what the text gives away, beside what a probe reads from the layers of the same images.

`named` and the findings go by the rule of `signbridge.statistics.answers.named_class`.
"""

from pathlib import Path

import numpy as np

from signbridge.core import params, tables
from signbridge.core.command_line import run
from signbridge.core.groups import read_sample
from signbridge.core.names import model_name
from signbridge.probing.peak import chosen_layer, headline_position
from signbridge.statistics import answers
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.mutual_information import AnswersParams, answer_information
from signbridge.statistics.within_word import headline_within

ANSWERS = Path("data/answers.parquet")
WITHIN_WORD = Path("data/statistics/within_word.parquet")
WRITTEN = Path("data/text")


def main() -> None:
    """Write data/text/ and metrics/answers.json."""
    chosen, statistics = params.section("answers", AnswersParams), params.section("statistics", StatisticsParams)
    seed = params.seed()
    generator = np.random.default_rng(seed)
    given = tables.read(ANSWERS, columns=["image_id", "label", "answer"])
    sample, groups = read_sample(["image_id"])
    of_image = sample.set_index("image_id")
    scores, predictions = tables.read("data/letter_scores.parquet"), tables.read("data/predictions.parquet")
    choices, within_word = tables.read("data/choices.parquet"), tables.read(WITHIN_WORD)
    position = headline_position(choices)

    named = answers.with_named(given)
    right = answers.right_by_image(named, scores, predictions, choices, position)
    name = model_name(ANSWERS, params.model_notes())
    findings = {"model": name, **groups.findings(), **answers.summary(named), **answers.zero_shot_summary(scores)}
    findings |= answers.intervals(right, of_image["group"], statistics, generator)
    said, labels = given["answer"].to_numpy(), given["label"].to_numpy()
    photos = of_image.loc[given["image_id"], "photo"].to_numpy()
    findings |= answer_information(said, labels, photos, chosen.shuffles, generator).findings()
    if position is not None:
        findings["probe_position"] = position
        findings |= headline_within(within_word, chosen_layer(choices, position), position)

    made_by = {"answers": chosen.model_dump(), "statistics": statistics.model_dump(), "seed": seed}
    tables.write(named.replace({"named": {"": "(none)"}}), WRITTEN / "named_answers.parquet", made_by)
    tables.write(answers.commonest_by_letter(given), WRITTEN / "answers_by_letter.parquet", made_by)
    tables.write_findings(WRITTEN / "findings.json", findings)
    tables.write_metrics("metrics/answers.json", findings, answers.HEADLINE)


if __name__ == "__main__":
    run(main)
