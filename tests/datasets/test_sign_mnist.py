import bz2
import csv
import gzip
import hashlib
import io
import lzma
import os
import re
import time
import zipfile

import numpy as np
import pandas as pd
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.datasets.images import decode_png, images_table
from signbridge.datasets.sign_mnist import Rows, read_archive
from signbridge.datasets.sign_mnist_csv import parse_csv
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


def as_saved_with(**options):
    """The training CSV read and saved again by pandas."""
    return lambda text: pd.read_csv(io.StringIO(text)).to_csv(**({"index": False} | options))


def with_decimals(text):
    header, *rows = text.splitlines()
    return "\n".join([header, *(row.replace(",", ".0,") + ".0" for row in rows)])


def with_exponents(text):
    header, *rows = text.splitlines()
    return "\n".join([header, *(",".join(f"{int(cell):.18e}" for cell in row.split(",")) for row in rows)])


def move_label(text):
    return "\n".join(",".join([*line.split(",")[1:], line.split(",")[0]]) for line in text.splitlines())


SAVED_AGAIN = {
    "semicolons": (lambda text: text.replace(",", ";"), "cells are parted by semicolons"),
    "semicolons and a line for Excel": (lambda text: "sep=;\n" + text.replace(",", ";"), "semicolons"),
    "semicolons and decimal commas": (lambda text: with_decimals(text).replace(",", ";").replace(".", ","), "decimals"),
    "NumPy's numbers": (with_exponents, "whole numbers written as decimals"),
    "NumPy's header": (lambda text: f"# {text}", ""),
    "an index called id": (as_saved_with(index=True, index_label="id"), "its index"),
    "tabs": (lambda text: text.replace(",", "\t"), "cells are parted by tabs"),
    "an index": (as_saved_with(index=True), "saved with its index (`index=False` saves without)"),
    "an index of an index": (lambda text: as_saved_with(index=True)(as_saved_with(index=True)(text)), "its index"),
    "an index and tabs": (as_saved_with(index=True, sep="\t"), "its index"),
    "a named index": (as_saved_with(index=True, index_label="Index"), "its index"),
    "an empty last column": (lambda text: text.replace("\n", ",\n"), "that column is left out"),
    "decimals": (with_decimals, "whole numbers written as decimals"),
    "all in quotes": (as_saved_with(quoting=csv.QUOTE_ALL), ""),
    "padded cells": (lambda text: text.replace(",", ", "), ""),
    "capital names": (lambda text: text.replace("label", "Label").replace("pixel", "Pixel"), ""),
    "the label last": (move_label, "columns in another order, read by their names"),
    "CR LF": (lambda text: text.replace("\n", "\r\n"), ""),
    "CR": (lambda text: text.replace("\n", "\r"), ""),
    "CR CR LF": (lambda text: text.replace("\n", "\r\r\n"), ""),
    "mixed line ends": (lambda text: text.replace("\n", "\r\n", 2).replace("\n", "\r", 1), ""),
    "next-line characters": (lambda text: text.replace("\n", "\x85"), ""),
    "no line end at the end": (lambda text: text.rstrip(), ""),
    "blank lines first and last": (lambda text: f"\n\n{text}\n\n\x1a", ""),
}


@pytest.mark.parametrize("form", SAVED_AGAIN)
def test_a_csv_that_was_saved_again_is_read_and_what_was_taken_is_said(caplog, form):
    change, said = SAVED_AGAIN[form]
    text = csv_text([0, 1, 24])
    with caplog.at_level("INFO"):
        labels, pixels = parse_csv(change(text).encode(), TRAIN)
    assert labels.tolist() == [0, 1, 24]
    np.testing.assert_array_equal(pixels, parse_csv(text.encode(), TRAIN)[1])
    assert said in caplog.text
    assert bool(said) == bool(caplog.text), "nothing is said where nothing was to choose"


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("change", [str, as_saved_with(index=True), as_saved_with(quoting=csv.QUOTE_ALL)])
def test_a_csv_in_another_unicode_encoding_is_read(caplog, encoding, change):
    with caplog.at_level("INFO"):
        assert parse_csv(change(csv_text([0, 1])).encode(encoding), TRAIN)[0].tolist() == [0, 1]
    assert ("read as UTF-" in caplog.text) == (encoding != "utf-8-sig")


@pytest.mark.parametrize(
    ("form", "cell", "said"),
    [
        ("semicolons", "1;5", "786 cells, not 785"),
        ("an index", "256", "row 1 (line 3), pixel5: '256'"),
        ("decimals", "1.5", "row 1 (line 3), pixel5: '1.5'"),
        ("CR", "x", "row 1 (line 3), pixel5: 'x'"),
    ],
)
def test_a_bad_cell_of_a_csv_that_was_saved_again_is_named_all_the_same(form, cell, said):
    text = SAVED_AGAIN[form][0](csv_text([0, 1, 2]))
    lines = re.split("\r|\n", text)
    delimiter = ";" if form == "semicolons" else ","
    cells = lines[2].split(delimiter)
    cells[6 if form == "an index" else 5] = cell
    lines[2] = delimiter.join(cells)
    with pytest.raises(SignBridgeError) as error:
        parse_csv("\n".join(lines).encode(), TRAIN)
    assert said in str(error.value)


def zipped(content, name=TRAIN):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr(name, content)
    return buffer.getvalue()


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress, zipped])
@pytest.mark.parametrize("ending", ["", ".gz"])
def test_an_archive_under_a_csvs_name_is_unpacked_and_said(tmp_path, caplog, pack, ending):
    folder(tmp_path, {TRAIN + ending: pack(whole()[TRAIN].encode()), TEST: whole()[TEST]})
    with caplog.at_level("INFO"):
        images, provenance = read_archive(tmp_path, None)
    assert len(images) == 9
    assert "unpacked" in caplog.text or "in it is read" in caplog.text
    assert provenance["sha256"][TRAIN] == hashlib.sha256(whole()[TRAIN].encode()).hexdigest()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (gzip.compress(whole()[TRAIN].encode())[:-50], "gzip, cut short or damaged"),
        (zipped("x", "xl/workbook.xml"), "an Excel workbook"),
        (zipped("x", "a.txt"), "a zip archive with 0 CSV files"),
        (b"PK\x03\x04", "a zip archive that cannot be unpacked"),
        (b"7z\xbc\xaf\x27\x1c", "a 7z archive under the name of a CSV. Unpack it"),
        ("label".encode("utf-16") + b"x", "UTF-16, cut short or damaged"),
    ],
)
def test_an_archive_that_cannot_be_unpacked_is_named(tmp_path, content, said):
    folder(tmp_path, {TRAIN: content, TEST: whole()[TEST]})
    with pytest.raises(SignBridgeError, match=rf"{TRAIN}: {said}"):
        read_archive(tmp_path, None)


def folder(path, files):
    """A folder of files."""
    for name, content in files.items():
        (path / name).parent.mkdir(parents=True, exist_ok=True)
        (path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    return path


@pytest.mark.parametrize("kind", [folder, write_zip])
@pytest.mark.parametrize(
    ("train", "test"),
    [
        (f"archive/{TRAIN}", f"archive/{TEST}"),
        (f"{TRAIN}/{TRAIN}", f"{TEST}/{TEST}"),  # Windows unpacks so
        (f"a/b/sign_mnist_train/{TRAIN}", f"a/b/{TEST}"),
        (TRAIN.upper(), TEST.title()),
    ],
)
def test_csvs_in_other_folders_are_found_and_said(tmp_path, caplog, kind, train, test):
    files = {train: whole()[TRAIN], test: whole()[TEST], f"__MACOSX/._{TRAIN}": "?", f".trash/{TEST}": "?"}
    with caplog.at_level("INFO"):
        assert len(read_archive(kind(tmp_path / "signs", files), None).images) == 9
    assert f"{TRAIN}: read from signs/{train}" in caplog.text


@pytest.mark.parametrize(
    ("files", "named", "said"),
    [
        ([f"old/{TRAIN}", f"new/{TRAIN}", TEST], ".", rf"{TRAIN} found in new/ and in old/: name one of these folders"),
        ([f"in/sign_mnist_train/{TRAIN}", f"in/{TEST}"], "in/sign_mnist_train", rf"no {TEST} in it; found in .*in'"),
        ([TRAIN, "sign_mnist_test (1).csv"], ".", r"There is sign_mnist_test \(1\).csv, .*: rename it"),
        ([TRAIN, TEST], TRAIN, "Name the folder that holds both"),
    ],
)
def test_csvs_that_are_not_certain_to_be_meant_are_named(tmp_path, files, named, said):
    folder(tmp_path, {name: whole()[TRAIN] for name in files})
    with pytest.raises(SignBridgeError, match=said):
        read_archive(tmp_path / named, None)


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
        ("3,107,118", "no header, the first line holds numbers. Put label,pixel1,...,pixel784 above it"),
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
        ((csv_text([0, 1]) + "1,2,3\n").encode(), "row 2 (line 4): 3 cells, not 785. Was the file cut short?"),
        (
            csv_text([0]).replace("\n", ",\n").replace(",\n", "\n", 1).encode(),
            "786 cells, not 785. Is there a delimiter",
        ),
        (b"\x00\xff\x1f\x8b" * 100, "header"),
    ],
)
def test_a_file_that_is_no_such_csv_is_refused(content, said):
    with pytest.raises(SignBridgeError) as error:
        parse_csv(content, TRAIN)
    assert str(error.value).startswith(TRAIN)
    assert said in str(error.value)


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"PAR1" + bytes(50), "a Parquet file under the name of a CSV. Save it as CSV"),
        (b"\x93NUMPY\x01\x00v\x00", "a NumPy file"),
        (b"SQLite format 3\x00", "a SQLite file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\n", "a Git LFS pointer"),
        (
            gzip.compress(bytes(257) + b"ustar" + bytes(250), mtime=0),
            "a tar archive under the name of a CSV. Unpack it",
        ),
    ],
)
def test_another_kind_of_file_under_the_name_of_a_csv_is_called_by_its_own(tmp_path, content, said):
    (tmp_path / TRAIN).write_bytes(content)
    (tmp_path / TEST).write_text(whole()[TEST])
    with pytest.raises(SignBridgeError, match=rf"{TRAIN}: {said}"):
        read_archive(tmp_path, None)


def test_a_csv_that_was_compressed_twice_or_lies_in_a_linked_folder_is_read(tmp_path):
    folder = tmp_path / "signs"
    (folder / "again").mkdir(parents=True)
    (tmp_path / "else").mkdir()
    (tmp_path / "else" / TRAIN).write_bytes(gzip.compress(gzip.compress(whole()[TRAIN].encode())))
    (folder / "linked").symlink_to(tmp_path / "else")
    (folder / "again/round").symlink_to(folder)  # has no end
    (folder / TEST).write_text(whole()[TEST])
    assert len(read_archive(folder, None).images) == 9


def test_a_folder_within_that_may_not_be_read_is_named_with_the_reason(tmp_path, monkeypatch):
    scan = os.scandir

    def denied(path="."):
        if str(path).endswith("closed"):
            raise PermissionError(13, "Permission denied", str(path))
        return scan(path)

    (tmp_path / "closed").mkdir()
    (tmp_path / TEST).write_text(whole()[TEST])
    monkeypatch.setattr(os, "scandir", denied)
    with pytest.raises(SignBridgeError, match=r"cannot read '.*closed' \(Permission denied\)"):
        read_archive(tmp_path, None)


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
