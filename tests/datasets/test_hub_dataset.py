"""A dataset of the hub is read from its Parquet files a few rows at a time, and what is wrong with it is named."""

import io
import json

import huggingface_hub.constants
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.datasets import hub_dataset
from signbridge.datasets.hub_dataset import HubParams
from signbridge.datasets.images import decode_png, images_table
from tests.datasets.hub_cache import COMMIT, in_cache
from tests.datasets.layouts import photo

LETTERS = ["A", "B", "del"]


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """A folder in which the hub's client keeps what it fetches, and no network."""
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    return tmp_path


def file_of(rows: list[dict], named: bool = True, row_group: int = 5) -> bytes:
    """A Parquet file as the hub's own library writes one, with the names of labels in its schema."""
    table = pa.Table.from_pylist(rows)
    features = {"image": {"_type": "Image"}, "label": {"names": LETTERS, "_type": "ClassLabel"}}
    if named:
        table = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    buffer = io.BytesIO()
    pq.write_table(table, buffer, row_group_size=row_group)
    return buffer.getvalue()


def row(seed: int, label, **more) -> dict:
    """A row with a picture, which lies in the file."""
    return {"image": {"bytes": photo(seed, 30, 20), "path": f"{seed}.jpg"}, "label": label, **more}


def put(hub, rows, name="data/train-00000-of-00001.parquet", **options) -> None:
    """Put such a file into the cache."""
    in_cache(hub, "ann/signs", name, file_of(rows, **options))


def read(**options):
    """The table of images, and what was left out."""
    params = HubParams(source="hub", hub_id="ann/signs", revision=COMMIT, **options)
    images, provenance = hub_dataset.fetch(params)
    return images_table(images), provenance["left_out"]


def refused(**options) -> str:
    """What is said where it cannot be read."""
    with pytest.raises(SignBridgeError) as error:
        read(**options)
    assert len(str(error.value)) < 400
    return str(error.value)


def test_rows_become_images_train_first_under_the_names_of_their_labels(hub):
    put(hub, [row(n, n % 3) for n in range(3)], "data/test-00000-of-00001.parquet")
    put(hub, [row(n, n % 3) for n in range(10, 30)], "data/train-00000-of-00002.parquet")
    put(hub, [row(n, 2) for n in range(30, 32)], "data/train-00001-of-00002.parquet")
    images, left_out = read()
    assert images["image_id"].tolist() == [f"train-{n:05d}" for n in range(22)] + [f"test-{n:05d}" for n in range(3)]
    assert images["label"].tolist()[:3] == ["B", "del", "A"]
    assert images["split"].value_counts().to_dict() == {"train": 22, "test": 3}
    assert left_out == {}
    assert "signer" not in images


def test_the_pixels_are_those_of_the_picture_in_the_row(hub, tmp_path):
    put(hub, [row(n, 0) for n in range(7)], row_group=3)
    from PIL import Image

    found = decode_png(read()[0]["image"][4])
    np.testing.assert_array_equal(found, np.asarray(Image.open(io.BytesIO(photo(4, 30, 20)))))


@pytest.mark.parametrize(
    ("labels", "named", "expected"),
    [
        (["a", "b"], False, ["A", "B"]),
        ([0, 2], True, ["A", "DEL"]),
        ([0, 2], False, ["0", "2"]),
    ],
)
def test_labels_are_text_or_numbers_with_names_or_without(hub, labels, named, expected):
    put(hub, [row(n, label) for n, label in enumerate(labels)], named=named)
    assert read(upper=True)[0]["label"].tolist() == expected


def test_signers_and_plain_bytes_are_read_from_the_columns_that_are_named(hub):
    rows = [{"jpg": photo(n, 30, 20), "letter": "A", "who": n // 2} for n in range(4)]
    put(hub, rows, "signs.parquet", named=False)
    images, _ = read(image="jpg", label="letter", signer="who", size=10)
    assert images["signer"].tolist() == ["0", "0", "1", "1"]
    assert images["split"].unique().tolist() == ["all"]
    assert decode_png(images["image"][0]).shape == (7, 10, 3)


def test_rows_without_a_label_are_left_out_and_counted(hub):
    put(hub, [row(0, 0), row(1, -1), row(2, None), row(3, 1)])
    images, left_out = read()
    assert images["image_id"].tolist() == ["train-00000", "train-00003"]
    assert left_out == {hub_dataset.NO_LABEL: {"images": 2, "first": "train-00001"}}


@pytest.mark.parametrize("content", [None, b"no picture"])
def test_pictures_that_cannot_be_read_stop_the_reading_or_are_skipped(hub, content):
    put(hub, [row(0, 0), {"image": {"bytes": content, "path": "1.jpg"}, "label": 1}])
    assert "ann/signs, train-00001: " in refused()
    images, left_out = read(on_unreadable="skip")
    assert images["image_id"].tolist() == ["train-00000"]
    assert [count["images"] for count in left_out.values()] == [1]


@pytest.mark.parametrize(
    ("rows", "options", "said"),
    [
        ([row(0, 0)], {"label": "letter"}, "no column 'letter'. Set `label` in datasets.yaml to one of: image, label"),
        ([row(0, 0)], {"image": "label"}, "column 'label' is int64, no pictures. Correct `image`"),
        ([row(0, 1.5)], {}, "column 'label' is double, no labels. Correct `label`"),
        ([row(0, 7)], {}, "a label is 7, of which there are 3"),
        ([row(0, 0, who="P1"), row(1, 0, who=None)], {"signer": "who"}, "train-00001: no signer in column 'who'"),
        ([row(0, 0)], {"files": "test*"}, "no file is called test* at 0123456789ab. Choose a commit that has"),
    ],
)
def test_a_dataset_that_is_not_as_the_entry_says_is_named(hub, rows, options, said):
    put(hub, rows)
    assert said in refused(**options)


def test_a_cache_that_was_filled_in_part_is_not_taken_for_the_whole(hub):
    put(hub, [row(0, 0)], "data/train-00001-of-00003.parquet")
    put(hub, [row(1, 0)], "data/train-00000-of-00003.parquet")
    assert "train-00000-of-00003.parquet is there, but not all 3 files of that name" in refused()


def test_without_a_network_and_a_cache_it_is_said_what_to_do(hub):
    assert "ann/signs is not in the cache here, and cannot be had from the hub" in refused()


def test_a_file_that_is_damaged_is_named(hub):
    path = in_cache(hub, "ann/signs", "train.parquet", file_of([row(0, 0)])[:-20])
    assert "a file of it is no readable Parquet" in refused()
    whole = bytearray(file_of([row(n, 0) for n in range(20)]))
    whole[300:600] = bytes(300)
    path.write_bytes(whole)
    assert "ann/signs" in refused()


def test_no_more_than_a_row_group_is_in_memory(hub):
    rows = [{"image": {"bytes": np.random.default_rng(n).bytes(200_000), "path": ""}, "label": 0} for n in range(150)]
    put(hub, rows, row_group=15)
    params = HubParams(source="hub", hub_id="ann/signs", revision=COMMIT)
    pool = pa.proxy_memory_pool(pa.default_memory_pool())
    before = pa.default_memory_pool()
    pa.set_memory_pool(pool)
    try:
        assert sum(1 for _ in hub_dataset.fetch(params)[0]) == 150
    finally:
        pa.set_memory_pool(before)
    assert pool.max_memory() < 15e6, "of 30 MB"
