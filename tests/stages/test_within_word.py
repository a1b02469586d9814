"""The stage `within_word`, on a small model's worth of vectors."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge import activations, tables
from signbridge.probing.within_word import COLUMNS
from stages.within_word import main

SITES = ["pixels", "vision", "projector", "embedding", "layer_00"]
LETTERS = np.repeat(list("ABCD"), 8)
IDS = [f"image-{index}" for index in range(len(LETTERS))]
WRITTEN = ["data/within_word.parquet", "plots/within_word.csv"]


@pytest.fixture
def study(workspace):
    """Four letters of four photos; A and B got one word, C and D another. `layer_00` tells the letters apart."""
    workspace.set(
        probe__grouped={"folds": 4, "repeats": 2, "inner_folds": 2, "C": [0.001, 0.01]},
        probe__positions=["prompt_last", "answer_last"],
        statistics={"confidence": 0.95, "resamples": 100},
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
    tables.write(shuffled, "data/answers.parquet", {})


def read_plot() -> pd.DataFrame:
    return pd.read_csv("plots/within_word.csv", keep_default_na=False, lineterminator="\n")


def test_what_the_layer_knows_beyond_the_word_is_written(study):
    main()
    predictions = tables.read("data/within_word.parquet")
    assert list(predictions.columns) == list(COLUMNS)
    assert predictions["word"].unique().tolist() == ["NA", "one"]
    table = read_plot()
    assert table["word"].unique().tolist() == ["NA", "one", "(all)"]
    assert table["letters"].unique().tolist() == ["CD", "AB", "ABCD"]
    layer = table[(table["site"] == "layer_00") & (table["word"] == "(all)")].set_index("position")
    assert layer.loc["prompt_last", "accuracy"] == 1
    assert layer.loc["prompt_last", "chance"] == 0.5
    assert layer.loc["prompt_last", "depth"] == 4, "the depth that the site has in the whole study"
    assert set(table["site"]) == {"pixels", "vision", "embedding", "layer_00"}


def test_text_that_is_noise_gives_tables_without_rows(study):
    write_answers([f"noise {index}" for index in range(len(IDS))])
    main()
    assert list(tables.read("data/within_word.parquet").columns) == list(COLUMNS)
    assert tables.read("data/within_word.parquet").empty
    assert read_plot().empty
    assert "accuracy" in read_plot().columns


def test_a_second_run_writes_the_same_bytes(study):
    main()
    first = [Path(path).read_bytes() for path in WRITTEN]
    main()
    assert [Path(path).read_bytes() for path in WRITTEN] == first


def test_missing_answers_are_reported_by_path(study):
    Path("data/answers.parquet").unlink()
    assert "data/answers.parquet: no such table" in study.message_of_failure(main)
