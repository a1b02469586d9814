"""Images are read and encoded a few at a time, in order, on all cores."""

import io
import threading
import time

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from signbridge.core import tables
from signbridge.datasets import images
from signbridge.datasets.images import LabelledImage, decode_png, encoded, images_table, in_threads


def noise(row):
    return np.random.default_rng(row).integers(0, 256, (20, 20, 3), dtype=np.uint8)


def test_results_come_in_order_whichever_is_ready_first():
    assert list(in_threads(lambda n: time.sleep(0.001 * (n % 3)) or n, range(40))) == list(range(40))


def test_what_is_done_ahead_is_bounded():
    done = set()
    for seen, _ in enumerate(in_threads(done.add, range(200)), start=1):
        assert len(done) <= seen + 2 * images.MOST_WORKERS + 1
        time.sleep(0.001)


def test_the_first_failure_is_raised_and_the_rest_is_left():
    started = set()

    def work(number):
        started.add(number)
        if number == 3:
            raise ValueError("the fourth")

    with pytest.raises(ValueError, match="the fourth"):
        list(in_threads(work, range(1000)))
    assert len(started) < 100
    assert threading.active_count() < 20


def test_images_that_are_read_late_are_written_in_row_groups_of_bounded_size_and_read_back(monkeypatch, tmp_path):
    monkeypatch.setattr(images, "PART_BYTES", 5_000)  # some four pictures
    late = [LabelledImage(f"{row}", "A", "all", lambda row=row: noise(row)) for row in range(30)]
    tables.write_parts(encoded(late), tmp_path / "images.parquet", {"from": "here"})
    monkeypatch.undo()
    whole = images_table([image._replace(pixels=noise(row)) for row, image in enumerate(late)])
    assert tables.read(tmp_path / "images.parquet").equals(whole)
    assert tables.made_by(tmp_path / "images.parquet") == {"from": "here"}
    groups = pq.read_metadata(tmp_path / "images.parquet").num_row_groups
    assert 5 < groups < 10
    rows = [29, 3, 3, 11]
    chosen = tables.read_rows(tmp_path / "images.parquet", rows, ["image_id", "image"])
    assert chosen["image_id"].tolist() == ["29", "3", "3", "11"]
    for row, png in zip(rows, chosen["image"], strict=True):
        np.testing.assert_array_equal(decode_png(png), noise(row))


def test_a_table_in_one_part_has_the_bytes_of_a_table_written_at_once(tmp_path):
    here = [LabelledImage(f"{row}", "A", "all", noise(row)) for row in range(9)]
    tables.write_parts(encoded(here), tmp_path / "parts.parquet", {"from": "here"})
    tables.write(images_table(here), tmp_path / "whole.parquet", {"from": "here"})
    assert (tmp_path / "parts.parquet").read_bytes() == (tmp_path / "whole.parquet").read_bytes()


def test_a_table_that_breaks_off_leaves_the_earlier_one_and_nothing_else(monkeypatch, tmp_path):
    def damaged():
        raise ValueError("damaged")

    monkeypatch.setattr(images, "PART_BYTES", 1)
    path = tmp_path / "images.parquet"
    path.write_bytes(b"earlier")
    pictures = [LabelledImage(f"{row}", "A", "all", noise(row)) for row in range(5)]
    with pytest.raises(ValueError, match="damaged"):
        tables.write_parts(encoded([*pictures, pictures[0]._replace(pixels=damaged)]), path, {})
    assert [entry.name for entry in tmp_path.iterdir()] == ["images.parquet"]
    assert path.read_bytes() == b"earlier"


@pytest.mark.parametrize(("side", "level"), [(28, 6), (100, 6), (101, 1), (200, 1)])
def test_large_pictures_are_compressed_quickly_and_every_one_is_a_pure_function_of_its_pixels(side, level):
    pixels = np.random.default_rng(side).integers(0, 8, (side, side), dtype=np.uint8)
    png = images.encode_png(pixels)
    np.testing.assert_array_equal(decode_png(png), pixels)
    assert png == images.encode_png(pixels.copy(order="F"))
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG", compress_level=level)
    assert png == buffer.getvalue()
