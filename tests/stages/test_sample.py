from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import stages.sample
from signbridge.core import tables
from signbridge.datasets.images import LabelledImage, images_table


@pytest.fixture
def pool(workspace):
    """Five letters of six images from three photos each; the params ask for four letters of two images."""
    rng = np.random.default_rng(0)
    images = [
        LabelledImage(f"{letter}-{i}", letter, "all", rng.integers(0, 256, (28, 28), dtype=np.uint8))
        for i in range(6)
        for letter in "ABCDE"
    ]
    table = images_table(images)
    tables.write(table, "data/images.parquet", {"dataset": "made up"})
    photo = [f"{image_id[0]}-{int(image_id[2:]) % 3}" for image_id in table["image_id"]]
    photos = pd.DataFrame({"image_id": table["image_id"], "photo": photo})
    tables.write(photos, "data/photos.parquet", {"params": {"threshold": 0.98}})
    drawn = {"strategy": "one_per_photo", "classes": 4, "per_class": 2, "signers": "all"}
    workspace.set(sample=drawn, probe__protocols=["signbridge"], probe__signbridge__test_size=0.5)
    return workspace


@pytest.mark.usefixtures("pool")
def test_the_sample_lies_letter_by_letter_with_photo_and_image():
    stages.sample.main()
    sample = tables.read("data/sample.parquet")
    assert sample.columns.tolist() == ["image_id", "label", "photo", "image"]
    assert sample["label"].tolist() == list("AABBCCDD")
    assert sample["photo"].is_unique
    images = tables.read("data/images.parquet").set_index("image_id")
    assert (images.loc[sample["image_id"], "image"].to_numpy() == sample["image"].to_numpy()).all()


@pytest.mark.usefixtures("pool")
def test_a_rerun_writes_the_same_bytes():
    written = []
    for _ in range(2):
        stages.sample.main()
        written.append(Path("data/sample.parquet").read_bytes())
    assert written[0] == written[1]


def test_another_seed_draws_other_images(pool):
    samples = []
    for seed in (1, 2):
        pool.set(seed=seed)
        stages.sample.main()
        samples.append(tables.read("data/sample.parquet")["image_id"].tolist())
    assert samples[0] != samples[1]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"per_class": 4}, "letter 'A' has 3 photos, 4 asked for"),
        ({"per_class": 7, "strategy": "signbridge"}, "letter 'A' has 6 images, 7 asked for"),
        ({"classes": ["A", "Q"]}, "no letter 'Q'. There are: A, B, C, D, E."),
        ({"classes": ["B"]}, "only 'B': a probe needs 2 letters or more"),
        ({"classes": 6}, "6 letters asked for, the dataset has 5"),
        ({"strategy": "notebook"}, "sample.strategy: expected 'signbridge' or 'one_per_photo' (got 'notebook')"),
        ({"per_clas": 2}, "sample.per_clas: unknown key. Did you mean 'per_class'?"),
        ({"per_class": "2"}, "sample.per_class: expected an integer or 'all' (got '2')"),
        ({"classes": "every"}, "sample.classes: expected an integer, 'all' or a list (got 'every')"),
    ],
)
def test_a_sample_that_cannot_be_drawn_says_why_and_the_earlier_one_stays(pool, changes, said):
    stages.sample.main()
    before = Path("data/sample.parquet").read_bytes()
    pool.set(**{f"sample__{key}": value for key, value in changes.items()})
    assert said in pool.message_of_failure(stages.sample.main)
    assert Path("data/sample.parquet").read_bytes() == before


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {},
            "5 folds needs 5 photos a letter; there are: A 3, B 3, C 3, D 3. Set probe.grouped.folds to 3",
        ),
        ({"grouped__folds": 3, "grouped__inner_folds": 3}, "a fold leaves 2 images a letter to train"),
        ({"protocols": ["signbridge"], "signbridge__test_size": 0.2}, "leaves 3 of 12 images to test and 9 to train"),
        ({"protocols": ["nonsense"]}, "probe.protocols: no 'nonsense'"),
    ],
)
def test_a_sample_that_the_probe_could_not_split_is_refused_before_a_model_is_loaded(pool, changes, said):
    changes = {"protocols": ["grouped"], **changes}
    pool.set(sample__per_class=3, **{f"probe__{key}": value for key, value in changes.items()})
    assert said in pool.message_of_failure(stages.sample.main)
    assert not Path("data/sample.parquet").exists()


def test_photos_of_another_dataset_are_refused(pool):
    photos = tables.read("data/photos.parquet").iloc[1:]
    tables.write(photos, "data/photos.parquet", {"params": {}})
    assert "data/photos.parquet: not made from this data/images.parquet" in pool.message_of_failure(stages.sample.main)


def test_the_command_itself_says_which_letter_has_too_few(pool):
    pool.set(sample__per_class=4)
    done = pool.run("sample")
    assert done.returncode == 1
    stage, error = done.stderr.splitlines()
    assert stage == "study: sample"
    assert error.startswith("error: sample.per_class: letter 'A' has 3 photos, 4 asked for. ")
    assert "Traceback" not in done.stderr
