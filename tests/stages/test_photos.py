from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import stages.photos
from signbridge.core import tables
from signbridge.datasets.images import LabelledImage, images_table

RNG = np.random.default_rng(0)


@pytest.fixture
def images(workspace):
    """Two photos of A in two copies each, and one of B; the split separates the copies of the first."""
    first, second, third = RNG.integers(40, 200, (3, 28, 28), dtype=np.uint8)
    rows = [
        ("a1", "A", "train", first),
        ("b1", "B", "train", third),
        ("a2", "A", "train", second),
        ("a3", "A", "test", first + 20),
        ("a4", "A", "train", second + 30),
        ("a5", "B", "test", 255 - third),
    ]
    tables.write(images_table([LabelledImage(*row) for row in rows]), "data/images.parquet", {"dataset": "made up"})


@pytest.mark.usefixtures("images")
def test_every_image_has_the_id_of_its_photos_first_image():
    stages.photos.main()
    photos = tables.read("data/photos.parquet")
    assert photos.to_numpy().tolist() == [
        ["a1", "a1"],
        ["b1", "b1"],
        ["a2", "a2"],
        ["a3", "a1"],
        ["a4", "a2"],
        ["a5", "a5"],
    ]
    assert tables.made_by("data/photos.parquet") == {"images": {"dataset": "made up"}, "params": {"threshold": 0.98}}


@pytest.mark.usefixtures("images")
def test_a_rerun_writes_the_same_bytes():
    written = []
    for _ in range(2):
        stages.photos.main()
        written.append(Path("data/photos.parquet").read_bytes())
    assert written[0] == written[1]


def test_one_picture_under_two_labels_is_one_photo_and_the_pair_is_named(workspace, caplog):
    pictures = RNG.integers(0, 256, (7, 40, 40, 3), dtype=np.uint8)
    rows = [(f"{label}/{i}.png", label, "all", picture) for label in "AB" for i, picture in enumerate(pictures)]
    tables.write(images_table([LabelledImage(*row) for row in rows]), "data/images.parquet", {})
    stages.photos.main()
    assert tables.read("data/photos.parquet")["photo"].tolist() == [f"A/{i}.png" for i in range(7)] * 2
    assert "the same picture under two labels: A/0.png (A) = B/0.png (B), A/1.png (A)" in caplog.text
    assert "and 2 more" in caplog.text
    assert "Remove" in caplog.text


def test_a_picture_that_was_resized_and_saved_again_under_another_label_is_one_photo_and_named(workspace, caplog):
    coarse = [Image.fromarray(RNG.integers(0, 256, (8, 8, 3), dtype=np.uint8)).resize((120, 120)) for _ in range(4)]
    coarse[3].resize((90, 90)).save("again.jpg", quality=60)
    again = Image.open("again.jpg")
    rows = [
        (f"{i}", label, "all", np.asarray(p))
        for i, (label, p) in enumerate(zip("ABABA", [*coarse, again], strict=True))
    ]
    tables.write(images_table([LabelledImage(*row) for row in rows]), "data/images.parquet", {})
    stages.photos.main()
    assert tables.read("data/photos.parquet")["photo"].tolist() == ["0", "1", "2", "3", "3"]
    assert "under two labels: 3 (B) = 4 (A)." in caplog.text


@pytest.mark.parametrize("threshold", [0, 1.5, "0.98"])
def test_a_threshold_that_is_none_is_named(workspace, threshold):
    workspace.set(photos__threshold=threshold)
    assert "params.yaml: photos.threshold: expected" in workspace.message_of_failure(stages.photos.main)
    assert not Path("data").exists()


def test_missing_images_say_how_to_get_them(workspace):
    assert "data/images.parquet: no such table" in workspace.message_of_failure(stages.photos.main)


@pytest.mark.usefixtures("images")
def test_the_command_itself_runs(workspace):
    done = workspace.run("photos")
    assert (done.returncode, done.stdout) == (0, "")
    assert done.stderr == "study: photos\n", "nothing else is worth a line"
