"""The stage `score_letters` as DVC runs it: a process of its own, in a folder with params and a sample."""

import shutil

import numpy as np
import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.datasets.images import encode_png

TEMPLATE = "USER: <image>\nWhich letter? Choose one of {letters}.\nASSISTANT:"
SMALL = {"SIGNBRIDGE_BATCH_SIZE": "2", "SIGNBRIDGE_SHARD_IMAGES": "4"}


@pytest.fixture
def study(workspace):
    """A sample of five images and the random model."""
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
    (workspace.folder / "data/model.json").write_text('{"folder_sha256": "that of the stage model"}')
    workspace.set(model="tiny-random", prompts={"offer_letters": TEMPLATE})
    return workspace


def test_every_image_has_a_score_for_every_letter_of_the_sample(study):
    done = study.run("score_letters", **SMALL)
    assert done.returncode == 0, done.stderr
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


def test_two_runs_are_equal_to_the_byte(study):
    assert study.run("score_letters", **SMALL).returncode == 0
    first = (study.folder / "data/letter_scores.parquet").read_bytes()
    shutil.rmtree(study.folder / ".scratch")
    assert study.run("score_letters", **SMALL).returncode == 0
    assert (study.folder / "data/letter_scores.parquet").read_bytes() == first


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
    kept = study.folder / "data/letter_scores.parquet"
    kept.write_bytes(b"an earlier run's")
    done = study.run("score_letters", **SMALL)
    assert done.returncode == 1
    message = done.stderr[done.stderr.index("error: ") :]
    assert said in message
    assert "Traceback" not in done.stderr
    assert len(message.strip().splitlines()) <= 2
    assert kept.read_bytes() == b"an earlier run's"


def test_a_missing_digest_of_the_model_says_how_to_make_it(study):
    (study.folder / "data/model.json").unlink()
    done = study.run("score_letters", **SMALL)
    assert done.returncode == 1
    assert "error: data/model.json: not there. Make it with `dvc repro`" in done.stderr
