"""The stage `answers`, run on a few answers of every awkward kind."""

import json
from pathlib import Path

import pandas as pd
import pytest

from signbridge import tables
from signbridge.errors import SignBridgeError
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


@pytest.fixture
def project_root(tmp_path, monkeypatch) -> Path:
    monkeypatch.chdir(tmp_path)
    ids = [f"image-{index}" for index in range(len(ANSWERS))]
    labels = [label for label, _, _ in ANSWERS]
    given = pd.DataFrame({"image_id": ids, "label": labels, "prompt": "?", "answer": [row[1] for row in ANSWERS]})
    tables.write(given, "data/answers.parquet", {"model": {"name": "tiny"}})
    write_predictions("grouped", labels)
    Path("params.yaml").write_text("model_notes: {tiny: a test bed}\n")
    return tmp_path


def write_predictions(protocol: str, labels: list[str]) -> None:
    """A probe that always says A: right three times in eight; at `layer_00` never."""
    predictions = pd.DataFrame({"site": "layer_01", "label": labels, "predicted": "A"})
    wrong = predictions.assign(site="layer_00", predicted="?")
    both = pd.concat([wrong, predictions], ignore_index=True).assign(protocol=protocol, position="prompt_last")
    tables.write(both, "data/predictions.parquet", {})


def test_every_answer_stands_beside_its_letter_as_it_was_given(project_root):
    main()
    table = pd.read_csv("plots/answers.csv", keep_default_na=False, lineterminator="\n")
    assert list(table.columns) == ["image_id", "label", "answer", "named"]
    expected = [(label, answer, named or "(none)") for label, answer, named in ANSWERS]
    assert list(table[["label", "answer", "named"]].itertuples(index=False, name=None)) == expected


def test_the_text_and_the_probe_are_one_number_apart(project_root):
    main()
    metrics = json.loads(Path("metrics/answers.json").read_text())
    assert metrics["model"] == "tiny (a test bed)"
    assert metrics["images"] == 8
    assert metrics["share_naming_right_letter"] == 0.25
    assert metrics["share_naming_any_letter"] == 0.375
    assert metrics["share_naming_no_letter"] == 0.625
    assert metrics["distinct_answers"] == 7
    assert metrics["share_commonest_answer"] == 0.25
    assert metrics["best_reading"] == 0.875, "the empty answer was given to A and to B"
    assert metrics["probe_peak"] == "layer_01 prompt_last"
    assert metrics["probe_accuracy"] == 0.375
    assert metrics["probe_minus_text"] == 0.125
    assert metrics["probe_minus_best_reading"] == -0.5


def test_without_a_grouped_probe_the_text_is_still_counted(project_root):
    write_predictions("signbridge", [label for label, _, _ in ANSWERS])
    main()
    metrics = json.loads(Path("metrics/answers.json").read_text())
    assert metrics["images"] == 8
    assert not any(name.startswith("probe") for name in metrics)


def test_the_commonest_answers_of_every_letter_are_listed(project_root):
    main()
    table = pd.read_csv("plots/answers_by_letter.csv", keep_default_na=False, lineterminator="\n")
    assert list(table.columns) == ["letter", "rank", "answer", "count", "share"]
    assert table["letter"].tolist() == ["A", "A", "A", "B", "B", "B"]
    assert table["rank"].tolist() == [1, 2, 3, 1, 2, 3]
    assert table["share"].tolist() == [0.333333] * 3 + [0.2] * 3


def test_a_second_run_writes_the_same_bytes(project_root):
    written = ["metrics/answers.json", "plots/answers.csv", "plots/answers_by_letter.csv"]
    main()
    first = [Path(path).read_bytes() for path in written]
    main()
    assert [Path(path).read_bytes() for path in written] == first


def test_missing_answers_are_reported_by_path(project_root):
    Path("data/answers.parquet").unlink()
    with pytest.raises(SignBridgeError, match=r"data/answers\.parquet: no such table"):
        main()
