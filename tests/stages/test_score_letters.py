"""The stage `score_letters`: once as DVC runs it, in a process of its own, else in this one."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import params, tables
from signbridge.datasets.images import encode_png
from signbridge.vlm.chosen import write_as_read
from stages.models import model, score_letters
from stages.score_letters import SCORES, main

TEMPLATE = "USER: <image>\nWhich letter? Choose one of {letters}.\nASSISTANT:"
SMALL = {"SIGNBRIDGE_BATCH_SIZE": "2", "SIGNBRIDGE_SHARD_IMAGES": "4"}


@pytest.fixture
def study(workspace, monkeypatch):
    """A sample of five images and the random model."""
    for name, value in SMALL.items():
        monkeypatch.setenv(name, value)
    pixels = np.random.default_rng(0).integers(0, 256, (5, 28, 28), dtype=np.uint8)
    sample = pd.DataFrame(
        {
            "image_id": [f"image-{index}" for index in range(5)],
            "label": list("BBAAC"),
            "photo": [f"image-{index}" for index in range(5)],
            "image": [encode_png(image) for image in pixels],
        }
    )
    tables.write(sample, "data/sample.parquet", {})
    workspace.set(model="tiny-random", prompts={"offer_letters": TEMPLATE})
    workspace.describe_model()
    return workspace


def test_every_image_has_a_score_for_every_letter_of_the_sample(study):
    main()
    scores = tables.read("data/letter_scores.parquet")
    assert list(scores.columns) == ["image_id", "label", "prompt", "letter", "log_probability"]
    assert scores["image_id"].tolist() == [f"image-{image}" for image in range(5) for _ in "ABC"]
    assert scores["label"].tolist() == [label for label in "BBAAC" for _ in "ABC"]
    assert scores["letter"].tolist() == list("ABC") * 5
    assert set(scores["prompt"]) == {TEMPLATE.replace("{letters}", "A, B or C")}
    assert (scores["log_probability"] < 0).all()
    assert scores.groupby("letter")["log_probability"].nunique().min() == 5, "each image has scores of its own"
    made_by = tables.made_by("data/letter_scores.parquet")
    assert made_by["model"]["name"] == "tiny-random"
    assert made_by["model_folder_sha256"] == "that of the stage model"
    assert made_by["prompts"] == {"offer_letters": TEMPLATE}
    assert not (study.folder / ".scratch/score_letters").exists(), "finished shards are cleared away"


def test_one_of_several_models_is_asked_in_the_form_of_its_own_prompt_or_it_is_said_why_not(study, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["stage", "tiny-random"])
    study.set_in(params.SIDE_BY_SIDE, letters_question="Which letter? Choose one of {letters}.")
    scored = Path("data/models/scored/tiny-random.parquet")
    described, as_read = (Path(f"data/models/{said}/tiny-random.json") for said in ("described", "as_read"))
    main()
    model.main()
    assert f"{as_read}: not there. Make it with `dvc repro stages/models/dvc.yaml`" in (
        study.message_of_failure(score_letters.main)
    )
    write_as_read("plain", described, as_read)
    score_letters.main()
    assert tables.read(scored).equals(tables.read(SCORES)), "whose prompt is the same"
    study.set(question="Who is it?")
    model.main()
    write_as_read("plain", described, as_read)
    score_letters.main()
    assert tables.read(scored).empty
    assert "does not hold `question` of params.yaml" in tables.made_by(scored)["not_scored"]
    study.set_in(params.SIDE_BY_SIDE, letters_question="Which letter?")
    message = study.message_of_failure(score_letters.main)
    assert "stages/models/params.yaml: letters_question must hold {letters} exactly once, not 0" in message


@pytest.mark.slow
def test_two_runs_are_equal_to_the_byte(study):
    main()
    first = SCORES.read_bytes()
    SCORES.unlink()
    shutil.rmtree(".scratch", ignore_errors=True)
    done = study.run("score_letters")
    assert done.returncode == 0, done.stderr
    assert SCORES.read_bytes() == first


@pytest.mark.parametrize(
    ("template", "said"),
    [
        ("USER: <image>\nWhich letter?\nASSISTANT:", "prompts.offer_letters must hold {letters} exactly once, not 0"),
        ("USER: Which of {letters}?\nASSISTANT:", "prompts.offer_letters must hold <image> exactly once, not 0"),
        ("", "prompts.offer_letters: expected"),
    ],
)
def test_a_prompt_that_cannot_be_used_is_said_and_no_table_is_touched(study, template, said):
    study.set(prompts={"offer_letters": template})
    SCORES.write_bytes(b"an earlier run's")
    assert said in study.message_of_failure(main)
    assert SCORES.read_bytes() == b"an earlier run's"


def test_a_missing_digest_of_the_model_says_how_to_make_it(study):
    Path("data/model_as_read.json").unlink()
    assert "error: data/model_as_read.json: not there. Make it with `dvc repro`" in study.message_of_failure(main)
