"""`make check` tells another processor's digits from another result."""

import json
import subprocess

import pytest

from signbridge import check

PROBE = {"accuracy": 0.9693, "best_layer": "layer_03", "photos": 280, "compression": 4.6}
SAE = {"fidelity": 0.8, "features_of_letters": 100, "images": 60}


@pytest.fixture
def project(tmp_path, monkeypatch):
    """A repository with two committed metrics files."""
    monkeypatch.chdir(tmp_path)
    write(PROBE, SAE)
    for command in (["init", "-q"], ["add", "."], ["commit", "-qm", "Results"]):
        subprocess.run(["git", "-c", "user.name=Test", "-c", "user.email=test@example.org", *command], check=True)
    return tmp_path


def write(probe, sae):
    for name, values in (("probe", probe), ("sae/evaluation", sae)):
        path = check.METRICS / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(values))


def verdict(capsys):
    """Exit status and lines of the check."""
    try:
        check.main()
        status = 0
    except SystemExit as stopped:
        status = stopped.code
    return status, capsys.readouterr().out.splitlines()


def test_the_same_metrics_are_identical(project, capsys):
    assert verdict(capsys) == (0, ["headline identical, 7 of 7 keys within tolerance"])


def test_another_processors_digits_pass_and_are_listed(project, capsys):
    write(PROBE | {"compression": 4.61}, SAE | {"features_of_letters": 90})
    status, lines = verdict(capsys)
    assert status == 0
    assert lines[:2] == ["headline identical, 7 of 7 keys within tolerance", "Within it, 2 not equal:"]
    assert "metrics/probe.json compression: 4.6 committed, 4.61 here (may differ by 0.46)" in lines[2]


def test_a_headline_that_moves_within_its_tolerance_is_said(project, capsys):
    write(PROBE | {"accuracy": 0.96}, SAE)
    status, lines = verdict(capsys)
    assert (status, lines[0]) == (0, "headline within tolerance, 7 of 7 keys within tolerance")


@pytest.mark.parametrize(
    ("probe", "sae", "named", "kept"),
    [
        ({"accuracy": 0.94}, {}, "metrics/probe.json accuracy", 6),
        ({"best_layer": "layer_04"}, {}, "metrics/probe.json best_layer", 6),
        ({"photos": 279}, {}, "metrics/probe.json photos", 6),
        ({"compression": 5.2}, {}, "metrics/probe.json compression", 6),
        ({}, {"fidelity": 0.5}, "metrics/sae/evaluation.json fidelity", 6),
        ({}, {"features_of_letters": 60}, "metrics/sae/evaluation.json features_of_letters", 6),
        ({}, {"images": 59}, "metrics/sae/evaluation.json images", 6),
        ({"photos": "280"}, {}, "metrics/probe.json photos", 6),
    ],
)
def test_what_is_outside_its_tolerance_fails_and_is_named(project, capsys, probe, sae, named, kept):
    write(PROBE | probe, SAE | sae)
    status, lines = verdict(capsys)
    assert status == 1
    assert f"{kept} of 7 keys within tolerance" in lines[0]
    assert lines[1] == "Outside their tolerance:"
    assert lines[2].strip().startswith(f"{named}: ")


def test_a_changed_headline_is_said_loudly(project, capsys):
    write(PROBE | {"accuracy": 0.5}, SAE)
    assert verdict(capsys)[1][0].startswith("HEADLINE CHANGED, 6 of 7")


def test_a_metric_that_is_missing_or_new_fails(project, capsys):
    write({key: value for key, value in PROBE.items() if key != "photos"} | {"copies": 3}, SAE)
    status, lines = verdict(capsys)
    assert status == 1
    assert lines[0] == "headline identical, 6 of 8 keys within tolerance"
    assert "photos: 280 committed, none here" in lines[2]
    assert "copies: none committed, 3 here" in lines[3]


def test_a_file_of_a_question_that_is_missing_fails(project, capsys):
    (check.METRICS / "sae/evaluation.json").unlink()
    assert verdict(capsys)[0] == 1


def test_every_metric_has_a_tolerance_and_every_tolerance_a_reason():
    assert check.tolerance_of("metrics/probe.json", "accuracy") is check.SHARES
    assert check.tolerance_of("metrics/causal/steering.json", "damage_at_best") is check.MEASURED
    assert check.tolerance_of("metrics/sae/evaluation.json", "fidelity") is check.TRAINED
    assert check.tolerance_of("metrics/finetune.json", "answer_after") is check.TRAINED
    assert check.tolerance_of("metrics/finetune.json", "in_train") is check.SHARES
    assert all(tolerance.why for tolerance in check.TOLERANCES)


def test_in_a_clone_of_another_user_the_message_says_so_in_one_line(tmp_path, monkeypatch, workspace):
    subprocess.run(["git", "init", "-q"], check=True)
    monkeypatch.setenv("GIT_TEST_ASSUME_DIFFERENT_OWNER", "1")
    said = workspace.message_of_failure(check.main)
    assert "dubious ownership" in said
    assert said.endswith("Run from the root of a git clone that is yours.")


def test_outside_a_repository_the_message_says_so(tmp_path, monkeypatch, workspace):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path.parent))
    assert "git ls-tree failed" in workspace.message_of_failure(check.main)
