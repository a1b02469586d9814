"""What the project costs its readers stays within its budgets: those that need no run."""

import pytest

from benchmarks import budgets
from signbridge.core.command_line import PEAK_MEMORY, note_peak_memory
from tests.conftest import ROOT

COUNTED = budgets.counted(ROOT)


@pytest.mark.parametrize("budget", COUNTED, ids=lambda budget: budget.what)
def test_a_budget_is_kept(budget):
    assert budget.is_kept, str(budget)
    assert budget.measured is not None


def test_every_pipeline_and_the_readme_are_counted():
    counted = " ".join(budget.what for budget in COUNTED)
    assert all(f"{file}, lines" in counted for file in budgets.PIPELINES)
    assert "README.md, words" in counted


def test_a_budget_that_is_exceeded_is_marked():
    over = budgets.Budget("deps of a stage", 10, "", 11, "most: dvc.yaml, report")
    assert not over.is_kept
    assert "OVER" in str(over)
    assert "OVER" not in str(over._replace(measured=10))
    assert "not measured" in str(over._replace(measured=None))


def test_comments_that_name_a_metric_are_no_words():
    assert budgets.words("It reads 96.9 %<!-- metrics/probe.json accuracy --> of\nthem.") == 6


def test_the_memory_of_this_process_is_noted_and_printed(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    unmeasured = {budget.what: budget.measured for budget in budgets.noted()}
    assert set(unmeasured.values()) == {None}
    note_peak_memory("stage-study-probe")
    assert 2**20 < int((PEAK_MEMORY / "stage-study-probe").read_text()) < 2**40
    stage = next(budget for budget in budgets.noted() if budget.what == "memory of a stage")
    assert stage.measured > 0
    assert stage.why == "most: study-probe"
