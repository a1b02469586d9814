"""The stage `answers`, run on a few answers of every awkward kind."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.statistics.within_word import ALL_WORDS
from stages.answers import main

# label, answer, what it names
ANSWERS = [
    ("A", "A", "A"),
    ("A", 'The letter\n"B", I think', "B"),
    ("A", "", ""),
    ("B", "NA", ""),
    ("B", "Peace,\r\nlove; and\ttabs", ""),
    ("B", " Ünïcödé ✌ ", ""),
    ("B", "the letter b", "B"),
    ("B", "", ""),
]
IDS = [f"image-{index}" for index in range(len(ANSWERS))]
LABELS = [label for label, _, _ in ANSWERS]
CHOICE_COLUMNS = ["protocol", "site", "position", "repeat", "fold", "C", "inner_accuracy"]


@pytest.fixture
def project_root(workspace) -> Path:
    workspace.set(
        model_notes={"tiny": "a test bed"},
        answers={"shuffles": 20},
        statistics={"confidence": 0.95, "resamples": 100},
    )
    given = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?", "answer": [row[1] for row in ANSWERS]})
    tables.write(given, "data/answers.parquet", {"model": {"name": "tiny"}})
    sample = pd.DataFrame({"image_id": IDS, "label": LABELS, "photo": [f"photo-{index // 2}" for index in range(8)]})
    sample.loc[2, "photo"] = "photo-0"
    tables.write(sample[::-1], "data/sample.parquet", {})
    write_scores()
    write_probes("grouped")
    write_within_word("layer_01")
    return workspace.folder


def write_scores() -> None:
    """The model holds A for likeliest, twice as likely as B, and seldom says either."""
    each = pd.DataFrame({"image_id": IDS, "label": LABELS, "prompt": "?"})
    both = [each.assign(letter=letter, log_probability=np.log(chance)) for letter, chance in (("A", 0.02), ("B", 0.01))]
    scores = pd.concat(both, ignore_index=True).astype({"log_probability": np.float32})
    tables.write(scores, "data/letter_scores.parquet", {})


def write_probes(protocol: str) -> None:
    """A probe at `layer_01` that always says A, right three times in eight; at `layer_00` never. The text says B."""
    rows = pd.DataFrame({"label": LABELS, "protocol": protocol, "image_id": IDS, "repeat": 0, "fold": 0})
    said = {("layer_00", "prompt_last"): "?", ("layer_01", "prompt_last"): "A", ("answer", "text"): "B"}
    cells = [rows.assign(site=site, position=position, predicted=letter) for (site, position), letter in said.items()]
    tables.write(pd.concat(cells, ignore_index=True), "data/predictions.parquet", {})
    choices = [("grouped", f"layer_0{layer}", "prompt_last", 0, 0, 1.0, layer / 2) for layer in range(2)]
    choices = pd.DataFrame(choices if protocol == "grouped" else [], columns=CHOICE_COLUMNS)
    tables.write(choices, "data/choices.parquet", {})


def write_within_word(*sites: str) -> None:
    """What the stage `statistics` says of `sites` within words: of the word NA, and over all words."""
    of_site = {"letters": "AB", "images": 6, "photos": 4, "chance": 0.5, "depth": 1, "position": "prompt_last"}
    rows = [
        {"word": word, "site": site, "accuracy": accuracy, "low": 0.25, "high": 0.875, **of_site}
        for site in sites
        for word, accuracy in (("NA", 0.5), (ALL_WORDS, 0.75))
    ]
    columns = ["word", "letters", "images", "photos", "chance", "site", "depth", "position", "accuracy", "low", "high"]
    tables.write(pd.DataFrame(rows, columns=columns), "data/statistics/within_word.parquet", {})


def run_and_read() -> dict[str, float | int | str]:
    main()
    return tables.read_findings("data/text/findings.json")


def test_every_answer_stands_beside_its_letter_as_it_was_given(project_root):
    main()
    table = tables.read("data/text/named_answers.parquet")
    assert list(table.columns) == ["image_id", "label", "answer", "named"]
    expected = [(label, answer, named or "(none)") for label, answer, named in ANSWERS]
    assert list(table[["label", "answer", "named"]].itertuples(index=False, name=None)) == expected


def test_what_the_text_names_is_counted(project_root):
    metrics = run_and_read()
    assert metrics["model"] == "tiny (a test bed)"
    assert metrics["images"] == 8
    assert metrics["share_naming_right_letter"] == 0.25
    assert metrics["share_naming_any_letter"] == 0.375
    assert metrics["share_naming_no_letter"] == 0.625
    assert metrics["distinct_answers"] == 7
    assert metrics["share_commonest_answer"] == 0.25
    assert metrics["best_reading"] == 0.875, "the empty answer was given to A and to B"


def test_text_reading_letters_and_probe_are_one_number_apart(project_root):
    metrics = run_and_read()
    assert metrics["reading"] == 0.625
    assert metrics["zero_shot_accuracy"] == 0.375
    assert metrics["zero_shot_chance"] == 0.625
    assert metrics["zero_shot_probability_of_letters"] == pytest.approx(0.03)
    assert metrics["probe_accuracy"] == 0.375
    assert metrics["probe_position"] == "prompt_last"
    assert metrics["probe_minus_text"] == 0.125
    assert metrics["probe_minus_reading"] == -0.25
    assert metrics["probe_minus_zero_shot"] == 0
    for name in ("share_naming_right_letter", "reading", "zero_shot_accuracy", "probe_accuracy", "probe_minus_reading"):
        assert metrics[f"{name}_low"] <= metrics[name] <= metrics[f"{name}_high"]


def test_the_metrics_are_few_findings_under_names_that_a_stranger_reads_the_headline_first(project_root):
    found = run_and_read()
    metrics = json.loads(Path("metrics/answers.json").read_text())
    assert next(iter(metrics)) == "text_names_right_letter"
    assert len(metrics) <= 25
    assert metrics["text_names_right_letter"] == found["share_naming_right_letter"]
    assert metrics["probe_over_text"] == found["probe_minus_text"]
    assert metrics["same_answer_accuracy"] == found["within_word_accuracy"]


def test_the_bits_of_the_answer_add_up(project_root):
    metrics = run_and_read()
    letters = pd.Series(LABELS).value_counts(normalize=True)
    assert metrics["letter_bits"] == pytest.approx(-(letters * np.log2(letters)).sum(), abs=1e-6)
    assert metrics["information_bits"] == pytest.approx(
        metrics["information_plugin_bits"] - metrics["information_bias_bits"], abs=2e-6
    )
    assert 0 < metrics["information_p_value"] <= 1


def test_within_words_the_layer_is_quoted_that_the_study_chose(project_root):
    """Not the best within words, whose accuracy would flatter."""
    metrics = run_and_read()
    assert metrics["within_word_site"] == "layer_01"
    assert metrics["within_word_position"] == "prompt_last"
    assert metrics["within_word_accuracy"] == 0.75
    assert (metrics["within_word_accuracy_low"], metrics["within_word_accuracy_high"]) == (0.25, 0.875)
    assert metrics["within_word_chance"] == 0.5
    assert metrics["within_word_images"] == 6


@pytest.mark.parametrize("sites", [(), ("layer_00",)])
def test_without_a_word_that_letters_share_nothing_is_said_of_it(project_root, sites):
    write_within_word(*sites)
    assert not any(name.startswith("within_word") for name in run_and_read())


def test_without_a_grouped_probe_the_text_is_still_counted(project_root):
    write_probes("signbridge")
    metrics = run_and_read()
    assert metrics["images"] == 8
    assert metrics["zero_shot_accuracy"] == 0.375
    assert "information_bits" in metrics
    assert not any(name.startswith(("probe", "reading", "within_word")) for name in metrics)


def test_the_commonest_answers_of_every_letter_are_listed(project_root):
    main()
    table = tables.read("data/text/answers_by_letter.parquet")
    assert list(table.columns) == ["letter", "rank", "answer", "count", "share"]
    assert table["letter"].tolist() == ["A", "A", "A", "B", "B", "B"]
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert table["share"].tolist() == [0.333333] * 3 + [0.2] * 3


def test_a_second_run_writes_the_same_bytes(project_root):
    names = ("findings.json", "named_answers.parquet", "answers_by_letter.parquet")
    written = ["metrics/answers.json", *(f"data/text/{name}" for name in names)]
    main()
    first = [Path(path).read_bytes() for path in written]
    main()
    assert [Path(path).read_bytes() for path in written] == first


@pytest.mark.parametrize(
    "path", ["data/answers.parquet", "data/letter_scores.parquet", "data/statistics/within_word.parquet"]
)
def test_a_missing_file_is_reported_by_path(project_root, workspace, path):
    Path(path).unlink()
    assert path in workspace.message_of_failure(main)
