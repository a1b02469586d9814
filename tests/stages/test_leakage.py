"""The stage `leakage`: what the audit counts, worked out by hand on images that anyone can tell apart."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.datasets.images import LabelledImage, images_table
from stages.leakage import main
from tests.stages.small_study import (
    as_declared,
    declared,
    outputs,
    written_by,
)

PHOTOS, COPIES = 4, 3  # of each letter, of each photo


def write_images(shade: dict[str, int], official: str = "all") -> None:
    """Twenty-four images: two letters, four photos each, in three copies of nearly one shade.

    `shade` is the grey of each letter's first photo; a photo is 15 lighter than the one before, a copy 1.
    `official` is the dataset's own split: its name, or `halves`: the first copy of each photo is in train.
    """
    images, photos = [], []
    for letter, darkest in shade.items():
        for photo in range(PHOTOS):
            for copy in range(COPIES):
                split = {"halves": "train" if copy == 0 else "test"}.get(official, official)
                grey = np.full((28, 28), darkest + 15 * photo + copy, dtype=np.uint8)
                images.append(LabelledImage(f"{letter}-{photo}-{copy}", letter, split, grey))
                photos.append(f"{letter}-{photo}-0")
    table = images_table(images)
    tables.write(table, "data/images.parquet", {})
    of_image = pd.DataFrame({"image_id": table["image_id"], "photo": photos})
    tables.write(of_image[::-1], "data/photos.parquet", {})  # to be looked up, not counted on
    sample = table[["image_id", "label"]].assign(photo=photos, image=table["image"])
    tables.write(sample, "data/sample.parquet", {})


@pytest.fixture
def project(workspace):
    """Photos of A are dark and photos of B light, so that even another photo gives the letter away."""
    workspace.set(probe__grouped={"by": "auto", "folds": 2, "repeats": 2, "inner_folds": 2, "C": [1.0]})
    write_images({"A": 0, "B": 140})
    return workspace


def numbers() -> dict[str, float]:
    main()
    return json.loads(Path("metrics/leakage.json").read_text())


def test_the_stage_writes_what_the_pipeline_names_and_nothing_else(project):
    assert as_declared("leakage", written_by(main)) == declared("leakage")


def test_a_second_run_writes_the_same_bytes(project):
    main()
    first = outputs()
    main()
    assert outputs() == first


def test_images_and_photos_are_counted_in_the_dataset_and_in_the_sample(project):
    tables.write(tables.read("data/sample.parquet")[::2], "data/sample.parquet", {})
    found = numbers()
    counted = {name: value for name, value in found.items() if name.startswith(("dataset", "sample"))}
    assert counted == {
        "dataset_images": 24,
        "dataset_photos": 8,
        "dataset_images_per_photo": 3.0,
        "dataset_largest_photo": 3,
        "dataset_exact_duplicates": 0,
        "dataset_letters": 2,
        "dataset_photos_under_two_letters": 0,
        "sample_images": 12,
        "sample_photos": 8,
        "sample_images_per_photo": 1.5,
        "sample_letters": 2,
        "sample_photos_under_two_letters": 0,
    }


def test_the_notebooks_split_has_copies_on_both_sides_and_the_grouped_one_has_none(project):
    found = numbers()
    assert found["signbridge_copies_in_train"] > 0.8, "five images tested, 19 to train, three copies of each photo"
    assert found["grouped_copies_in_train"] == 0


def test_the_nearest_image_is_right_wherever_a_copy_is_in_train_and_at_a_loss_without(project):
    """Photos of A and B take turns in shade: the nearest image is a copy, or else of the other letter."""
    write_images({"A": 0, "B": 7})
    found = numbers()
    assert found["signbridge_nearest_image"] == found["signbridge_copies_in_train"]
    assert found["grouped_nearest_image"] < 0.5


def test_the_nearest_image_is_right_where_photos_of_a_letter_are_alike(project):
    found = numbers()
    assert (found["signbridge_nearest_image"], found["grouped_nearest_image"]) == (1.0, 1.0)


def test_the_datasets_own_split_is_audited_where_it_has_one(project):
    assert "official_test_copies_in_train" not in numbers()
    write_images({"A": 0, "B": 140}, official="halves")
    assert numbers()["official_test_copies_in_train"] == 1.0
    images = tables.read("data/images.parquet")
    tables.write(images.replace({"split": {"test": "valid"}}), "data/images.parquet", {})
    assert numbers()["official_test_copies_in_train"] == 1.0, "what is held out under any name"


def test_photos_under_two_letters_are_counted_and_kept_on_one_side(project):
    for table in ("photos", "sample"):
        path = f"data/{table}.parquet"
        rows = tables.read(path)
        rows["photo"] = rows["photo"].replace({"B-0-0": "A-0-0", "B-2-0": "A-2-0"})
        tables.write(rows, path, {})
    found = numbers()
    assert (found["dataset_photos_under_two_letters"], found["sample_photos_under_two_letters"]) == (2, 2)
    assert found["grouped_copies_in_train"] == 0


def test_identical_images_are_counted(project):
    images = tables.read("data/images.parquet")
    images.loc[1, "sha256"] = images.loc[0, "sha256"]
    tables.write(images, "data/images.parquet", {})
    assert numbers()["dataset_exact_duplicates"] == 1


@pytest.mark.parametrize(("protocol", "other"), [("signbridge", "grouped"), ("grouped", "signbridge")])
def test_only_the_protocols_of_the_study_are_audited(project, protocol, other):
    project.set(probe__protocols=[protocol])
    found = numbers()
    assert f"{protocol}_nearest_image" in found
    assert not any(name.startswith(other) for name in found)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"probe__protocols": ["notebook"]}, "params.yaml: probe.protocols: no 'notebook'"),
        ({"probe__grouped__folds": 5}, "needs 5 photos a letter; there are: A 4, B 4"),
        ({"probe__grouped__fold": 5}, "params.yaml: probe.grouped.fold: unknown key. Did you mean 'folds'"),
        ({"probe__signbridge__test_size": 1.5}, "params.yaml: probe.signbridge.test_size: expected"),
    ],
)
def test_a_wrong_param_is_refused_by_name_before_anything_is_written(project, values, message):
    project.set(**values)
    assert message in project.message_of_failure(main)
    assert not Path("metrics").exists()


@pytest.mark.parametrize("table", ["images", "photos", "sample"])
def test_a_missing_table_is_reported_by_path(project, table):
    Path(f"data/{table}.parquet").unlink()
    assert f"data/{table}.parquet: no such table" in project.message_of_failure(main)


def test_the_command_itself_runs(project):
    done = project.run("leakage")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "study: leakage\n", "nothing else is worth a line"
