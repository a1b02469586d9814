import hashlib
import time

import numpy as np
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import decode_png, images_table
from signbridge.datasets.sign_mnist import Rows, parse_csv, read_archive
from tests.datasets.kaggle_layout import (
    HEADER,
    TEST,
    TRAIN,
    csv_text,
    whole,
    with_cell,
    write_zip,
)


@pytest.fixture
def archive(tmp_path):
    return write_zip(tmp_path / "signs.zip", whole())


def test_images_come_in_the_order_of_the_pool_with_readable_ids_and_letters(archive):
    images, _ = read_archive(archive, Rows(train=6, test=3))
    assert [image.image_id for image in images] == [f"train-{i:05d}" for i in range(6)] + [
        f"test-{i:05d}" for i in range(3)
    ]
    assert "".join(image.label for image in images) == "ABCIKYABY"
    assert {image.split for image in images[:6]} == {"train"}


def test_pixels_are_the_rows_of_the_csv(archive):
    images, _ = read_archive(archive, None)
    row = whole()[TRAIN].splitlines()[3].split(",")
    assert images[2].pixels.ravel().tolist() == [int(cell) for cell in row[1:]]
    np.testing.assert_array_equal(decode_png(images_table(images)["image"][2]), images[2].pixels)


def test_the_copy_at_the_root_is_read_and_not_its_double(archive):
    assert len(read_archive(archive, None).images) == 9


def test_the_copy_in_the_folder_of_its_own_name_serves_where_the_root_has_none(tmp_path):
    files = whole()
    del files[TRAIN]
    assert len(read_archive(write_zip(tmp_path / "a.zip", files), None).images) == 1 + 3


def test_a_folder_reads_as_the_zip_does(archive, tmp_path):
    folder = tmp_path / "unpacked"
    folder.mkdir()
    for name in (TRAIN, TEST):
        (folder / name).write_text(whole()[name])
    from_zip, from_folder = read_archive(archive, None), read_archive(folder, None)
    assert images_table(from_zip.images).equals(images_table(from_folder.images))
    assert from_zip.provenance["sha256"] == from_folder.provenance["sha256"]


def test_provenance_holds_checksums_and_no_path_of_the_machine(archive):
    provenance = read_archive(archive, None).provenance
    assert provenance["from"] == "signs.zip"
    assert provenance["sha256"][TRAIN] == hashlib.sha256(whole()[TRAIN].encode()).hexdigest()


@pytest.mark.parametrize("ending", ["\r\n", "\n"])
def test_line_endings_byte_order_mark_and_blank_last_lines_do_not_matter(ending):
    text = "\ufeff" + csv_text([0, 1]).replace("\n", ending) + ending * 2
    assert parse_csv(text.encode(), TRAIN)[0].tolist() == [0, 1]


@pytest.mark.parametrize("cell", ["256", "-1", "abc", "", " ", "1.5", "NA", "1e2", "99999999999999999999"])
def test_a_cell_that_is_no_pixel_is_named_by_file_row_line_and_column(cell):
    text = with_cell(csv_text([0] * 20), row=17, column=5, value=cell)
    with pytest.raises(SignBridgeError, match=rf"^{TRAIN}, row 17 \(line 19\), pixel5: .*from 0 to 255") as error:
        parse_csv(text.encode(), TRAIN)
    assert (cell.strip() or "blank") in str(error.value)


@pytest.mark.parametrize("label", [9, 25, 200])
def test_a_label_that_the_dataset_does_not_have_is_named_by_row(label):
    with pytest.raises(SignBridgeError, match=f"row 2, label: {label} is not a label: 0 to 24 without 9"):
        parse_csv(csv_text([0, 1, label, 3]).encode(), TRAIN)


@pytest.mark.parametrize(
    ("header", "said"),
    [
        (HEADER.replace("label", "letter"), "column 1 is 'letter', not 'label'"),
        (HEADER.replace("pixel3,", ""), "column 4 is 'pixel4', not 'pixel3'"),
        (HEADER + ",pixel785", "786 columns, not 785"),
        (HEADER.rsplit(",", 1)[0], "784 columns, not 785"),
        ("3,107,118", "column 1 is '3', not 'label'"),
    ],
)
def test_a_wrong_header_says_which_column(header, said):
    text = csv_text([0, 1]).replace(HEADER, header)
    with pytest.raises(SignBridgeError) as error:
        parse_csv(text.encode(), TRAIN)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b" \n\n", "empty"),
        (HEADER.encode() + b"\n", "no rows"),
        (b"<!DOCTYPE html>\n<html><body>Sign in</body></html>", "HTML page"),
        (b"\n  <html>", "HTML page"),
        (csv_text([0, 1, 2])[:-40].encode(), "row 2 (line 4): "),
        ((csv_text([0, 1]) + "1,2,3\n").encode(), "row 2 (line 4): 3 cells, not 785"),
        (b"\x00\xff\x1f\x8b" * 100, "header"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(content, said):
    with pytest.raises(SignBridgeError) as error:
        parse_csv(content, TRAIN)
    assert str(error.value).startswith(TRAIN)
    assert said in str(error.value)


def test_row_counts_are_held_to_those_declared(archive):
    with pytest.raises(SignBridgeError, match=rf"{TEST}: 3 rows, but datasets.yaml declares 4"):
        read_archive(archive, Rows(train=6, test=4))


def test_a_damaged_member_of_a_zip_is_refused(archive):
    content = bytearray(archive.read_bytes())
    content[2000] ^= 0xFF
    archive.write_bytes(content)
    with pytest.raises(SignBridgeError, match=rf"signs.zip: {TRAIN} cannot be unpacked"):
        read_archive(archive, None)


def test_the_full_dataset_is_parsed_in_seconds(tmp_path):
    rows = np.random.default_rng(0).integers(0, 256, (500, 784))
    body = "".join(f"{i % 9}," + ",".join(map(str, row)) + "\n" for i, row in enumerate(rows.tolist()))
    content = (HEADER + "\n" + body * 55).encode()  # 27,500 rows, as many as the training file
    start = time.perf_counter()
    labels, pixels = parse_csv(content, TRAIN)
    assert time.perf_counter() - start < 20  # alone on two cores: under 1 s
    assert len(labels) == 27_500
    np.testing.assert_array_equal(pixels[:500].reshape(500, -1), rows)


def test_the_excerpt_of_real_signs_is_read_whole(real_signs):
    images, provenance = read_archive(real_signs / "sign-language-mnist-excerpt.zip", Rows(train=3176, test=1127))
    assert len(images) == 4303
    assert len({image.label for image in images}) == 24
    assert set(provenance["sha256"]) == {TRAIN, TEST}
