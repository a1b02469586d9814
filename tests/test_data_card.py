"""The data card of a dataset, which needs no study."""

import sys

import numpy as np
import pytest
from PIL import Image

from signbridge.core.command_line import run
from signbridge.data_card import SHEETS, aligned, card, look_at
from signbridge.datasets import contact_sheet
from signbridge.datasets.__main__ import main
from signbridge.datasets.entry import Entry
from signbridge.datasets.images import LabelledImage

RANDOM = np.random.default_rng(0)
RED = np.array([255, 0, 0], np.uint8)


def picture(height: int, width: int, *colour: int) -> np.ndarray:
    return RANDOM.integers(0, 256, (height, width, *colour), dtype=np.uint8)


@pytest.fixture
def folder(workspace, monkeypatch):
    """A dataset of three letters, six photos each: two of A are equal, one is in colour, and one lies under B too."""
    for letter in "ABC":
        (workspace.folder / "photos" / letter).mkdir(parents=True)
        for index in range(6):
            pixels = picture(30, 20 + index)
            Image.fromarray(pixels).save(workspace.folder / f"photos/{letter}/{index}.png")
    again = Image.open(workspace.folder / "photos/A/0.png")
    again.save(workspace.folder / "photos/A/1.png")
    again.save(workspace.folder / "photos/B/0.png")
    Image.fromarray(picture(400, 300, 3)).save(workspace.folder / "photos/C/0.png")
    workspace.set(datasets__mine={"source": "image_folder", "path": "photos"})
    monkeypatch.setattr(sys, "argv", ["datasets", "mine"])
    return workspace


def test_the_card_says_what_is_there_before_any_study(folder, capsys):
    run(main)
    said = " ".join(capsys.readouterr().out.split())
    assert "mine: 18 images of 3 letters, signers not known" in said
    assert "licence: not said; its images may be passed on" in said
    assert "A 6 5" in said, "images and photos of the letter"
    assert "images equal to another, pixel by pixel: 2" in said
    assert "near-duplicates of: 16, the largest of 3 images" in said
    assert "one picture under two letters: 1 A/0.png (A) = B/0.png (B)" in said
    assert "all 18 100.0% 5.6% 20 x 30 23 x 30 300 x 400" in said
    assert f"contact sheet: {SHEETS / 'mine.png'}" in said
    with Image.open(SHEETS / "mine.png") as sheet:
        step = contact_sheet.CELL + contact_sheet.GAP
        assert 3 * step < sheet.width < 4 * step
        assert 4 * step < sheet.height < 5 * step
    assert sorted(path.name for path in folder.folder.iterdir() if path.is_dir()) == [".scratch", "photos", "stages"]


def test_copies_are_shown_once_on_the_sheet_and_what_is_left_out_is_not_counted(folder):
    same = picture(28, 28)
    images = [LabelledImage(str(index), "A", "all", same) for index in range(5)]
    images.append(LabelledImage("broken", "A", "all", lambda: None))
    seen = look_at(images, 0.98)
    assert len(seen.ids) == 5, "what cannot be read is left out"
    assert len(seen.shown) == 1


def test_images_that_the_dataset_says_are_of_one_photo_are_counted_as_one():
    images = [LabelledImage(str(index), "A", "all", picture(28, 28), photo=f"A/{index // 2}") for index in range(6)]
    assert look_at(images, 0.98).found_photos(0.98).of_image.tolist() == [0, 0, 2, 2, 4, 4]


def test_a_name_that_is_not_there_is_refused_with_those_that_are(folder, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["datasets", "rendred"])
    assert "Did you mean 'rendered'?" in folder.message_of_failure(main)


def test_the_card_of_signers_counts_letters_by_signer_and_names_what_two_of_them_share():
    images = [
        LabelledImage(f"{signer}/{letter}", letter, "all", picture(28, 28), signer, f"{signer}/{letter}/clip")
        for signer in ("P1", "P2", "P3")
        for letter in "AB"
    ]
    images[2] = images[2]._replace(pixels=images[0].pixels)  # P2's A is P1's
    del images[5]  # P3 has no B
    seen = look_at(images, 0.98)
    photos = seen.found_photos(0.98)
    entry = Entry(licence="none stated", pass_on="unclear", citation="Somebody 2011")
    lines = [
        " ".join(line.split()) for line in card("mine", entry, seen, photos, {"broken": {"images": 2, "first": "x"}})
    ]
    assert lines[:4] == [
        "mine: 5 images of 2 letters, 3 signers, 5 clips",
        "citation: Somebody 2011",
        "licence: none stated; its images may perhaps not be passed on: that is unclear",
        "left out: 2 files (broken), first x",
    ]
    assert {"letter images photos signers P1 P2 P3", "A 3 2 3 1 1 1", "B 2 2 2 1 1 0"} <= set(lines)
    at = lines.index("one picture under two signers: 1")
    assert lines[at + 1] == "P1/A (P1) = P2/A (P2)"
    assert sum(line.startswith(("P1 2", "P2 2", "P3 1")) for line in lines) == 3


def test_the_sheet_has_a_column_a_letter_and_a_row_a_signer_in_colour():
    red = contact_sheet.small(np.zeros((300, 200, 3), np.uint8) + RED)
    sheet = np.asarray(contact_sheet.contact_sheet(["A", "B"], ["P1", "P2"], {("B", "P1"): red}))
    rows, columns = np.nonzero((sheet == RED).all(axis=2))
    assert columns.min() > sheet.shape[1] / 2, "in the second column"
    assert rows.max() < sheet.shape[0] * 0.6, "in the first row"
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (contact_sheet.CELL, contact_sheet.CELL * 2 // 3)


def test_the_columns_of_the_card_stand_below_one_another():
    assert list(aligned([("letter", "images"), ("A", "1,000")])) == ["letter  images", "A        1,000"]
