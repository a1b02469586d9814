"""What `make repro` ends with."""

import json
from pathlib import Path

import pytest

from signbridge import closing
from signbridge.core import tables

PROBE = {
    "accuracy": 0.9693,
    "accuracy_low": 0.9443,
    "accuracy_high": 0.9894,
    "best_layer": "layer_00",
    "over_pixels": 0.5093,
    "over_untrained_twin": 0.8607,
    "chance": 0.05,
    "leaking_split_accuracy": 0.9833,
}
LEAKAGE = {"signbridge_copies_in_train": 0.5167}
ANSWERS = {"text_names_right_letter": 0.0}


def test_the_study_ends_with_five_lines_of_what_was_found_the_page_and_what_is_next():
    lines = closing.study(PROBE, LEAKAGE, ANSWERS)
    assert len(lines) == 5
    assert (
        "96.9 % of held-out letters (interval 94.4 % to 98.9 %), most often chosen: layer_00; chance is 5.0 %"
        in lines[0]
    )
    assert "+50.9 points over pixels, the strongest baseline; " in lines[1]
    assert "twin" not in lines[1]
    assert "names the right letter for 0.0 %" in lines[1]
    assert "copy of 51.7 % of its test images in training, and scores 98.3 %" in lines[2]
    assert "report/index.html" in lines[3]
    assert all(f"make {name}" in lines[4] for name in ("check", "demo", "causal", "lenses", "sae"))


def test_what_was_not_measured_is_left_out():
    lines = closing.study({"chance": 0.05}, {}, {})
    assert len(lines) == 5
    assert "no layer was probed" in lines[0]
    assert "no baseline" in lines[1]
    assert "no copy" in lines[2]


@pytest.mark.parametrize("question", closing.QUESTIONS)
def test_a_further_question_ends_with_its_page(workspace, monkeypatch, capsys, question):
    monkeypatch.setattr("sys.argv", ["closing", question])
    closing.main()
    found = "metrics/lenses/judge.json" if question == "judge" else f"report/{question}.html"
    assert found in capsys.readouterr().out


def test_the_metrics_of_the_folder_are_read(workspace, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["closing"])
    assert "metrics/probe.json: not there" in workspace.message_of_failure(closing.main)
    (workspace.folder / "metrics").mkdir()
    for name, values in {"probe": PROBE, "leakage": LEAKAGE, "answers": ANSWERS}.items():
        (workspace.folder / f"metrics/{name}.json").write_text(json.dumps(values))
    closing.main()
    assert "96.9 %" in capsys.readouterr().out


def test_an_unknown_question_is_refused_with_those_there_are(workspace, monkeypatch):
    monkeypatch.setattr("sys.argv", ["closing", "casual"])
    assert "There are: causal, lenses" in workspace.message_of_failure(closing.main)


def test_all_questions_end_with_the_pages_that_are_there(workspace, monkeypatch, capsys):
    for name in ("probe", "leakage", "answers"):
        tables.write_findings(f"metrics/{name}.json", {})
    Path("report").mkdir()
    Path("report/causal.html").touch()
    monkeypatch.setattr("sys.argv", ["closing", "all"])
    closing.main()
    lines = capsys.readouterr().out.splitlines()
    assert "report/questions.html" in lines.pop()
    assert lines[-2:] == [
        "Pages: report/index.html, report/causal.html (open them in a browser)",
        "Next:  make check, make demo",
    ]


def test_a_difference_is_told_against_the_strongest_baseline_alone():
    lines = closing.study({"accuracy": 0.9, "over_pixels": 0.5, "over_vision": -0.006}, {}, {})
    assert lines[1].strip() == "-0.6 points over the vision tower, the strongest baseline"
