"""What the stage `probe` says within a word, on a small model's worth of vectors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import activations, tables
from signbridge.probing.within_word import COLUMNS
from stages.probe import main

SITES = ["pixels", "vision", "projector", "embedding", "layer_00"]
LETTERS = np.repeat(list("ABCD"), 8)
IDS = [f"image-{index}" for index in range(len(LETTERS))]
WRITTEN = "data/within_word.parquet"


@pytest.fixture
def study(workspace):
    """Four letters of four photos; A and B got one word, C and D another. `layer_00` tells the letters apart."""
    workspace.set(
        probe__grouped={"by": "auto", "folds": 4, "repeats": 2, "inner_folds": 2, "C": [0.001, 0.01]},
        probe__positions=["prompt_last", "answer_last"],
    )
    photos = [f"{letter}{index // 2}" for index, letter in enumerate(LETTERS)]
    tables.write(pd.DataFrame({"image_id": IDS, "label": LETTERS, "photo": photos}), "data/sample.parquet", {})
    write_answers([{"A": "one", "B": "one"}.get(letter, "NA") for letter in LETTERS])
    generator = np.random.default_rng(0)
    for site in SITES:
        told = 9 * np.eye(4)[np.unique(LETTERS, return_inverse=True)[1]] * (site == "layer_00")
        vectors = {
            position: (generator.normal(size=(len(IDS), 4)) + told).astype(np.float32)
            for position in activations.positions_of(site)
        }
        activations.write(Path("data/activations"), site, IDS, vectors, {"sites": SITES})
    return workspace


def write_answers(answers: list[str]) -> None:
    table = pd.DataFrame({"image_id": IDS, "label": LETTERS, "prompt": "?", "answer": answers})
    shuffled = table.sample(frac=1, random_state=0)  # the stage is to look up and not to count on the order
    tables.write(shuffled, "data/answers.parquet", {"model": {"name": "tiny"}})


def test_what_the_layer_knows_beyond_the_word_is_written(study):
    main()
    predictions = tables.read(WRITTEN)
    assert list(predictions.columns) == list(COLUMNS)
    assert predictions["word"].unique().tolist() == ["NA", "one"]
    assert set(predictions["site"]) == {"pixels", "vision", "embedding", "layer_00"}
    assert set(predictions.loc[predictions["word"] == "one", "label"]) == {"A", "B"}
    layer = predictions[(predictions["site"] == "layer_00") & (predictions["position"] == "prompt_last")]
    assert (layer["label"] == layer["predicted"]).all()


def test_text_that_is_noise_gives_a_table_without_rows(study):
    write_answers([f"noise {index}" for index in range(len(IDS))])
    main()
    assert list(tables.read(WRITTEN).columns) == list(COLUMNS)
    assert tables.read(WRITTEN).empty


def test_a_second_run_writes_the_same_bytes(study):
    main()
    first = Path(WRITTEN).read_bytes()
    main()
    assert Path(WRITTEN).read_bytes() == first


def test_missing_answers_are_reported_by_path(study):
    Path("data/answers.parquet").unlink()
    assert "data/answers.parquet: no such table" in study.message_of_failure(main)
