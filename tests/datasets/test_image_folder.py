import os
import struct
import zlib

import numpy as np
import pytest
from PIL import Image

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.datasets import image_folder
from signbridge.datasets.image_folder import read_folder, read_image
from signbridge.datasets.images import eight_bits, images_table

GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


def save(path, pixels=GREY, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def test_the_class_folder_is_the_label_and_the_path_within_the_id(tmp_path):
    for name in ("B/2.png", "A/10.png", "A/9.png"):
        save(tmp_path / name)
    images = read_folder(tmp_path)
    assert [(i.image_id, i.label, i.split) for i in images] == [
        ("A/10.png", "A", "all"),
        ("A/9.png", "A", "all"),
        ("B/2.png", "B", "all"),
    ]


def test_train_and_test_at_the_top_are_splits_train_first(tmp_path):
    for name in ("test/A/1.png", "train/A/1.png", "train/B/1.png"):
        save(tmp_path / name)
    images = read_folder(tmp_path)
    assert [i.image_id for i in images] == ["train/A/1.png", "train/B/1.png", "test/A/1.png"]
    assert [(i.label, i.split) for i in images] == [("A", "train"), ("B", "train"), ("A", "test")]


def test_classes_that_happen_to_be_called_train_and_test_are_classes(tmp_path):
    for name in ("test/1.png", "train/1.png"):
        save(tmp_path / name)
    assert [(i.label, i.split) for i in read_folder(tmp_path)] == [("test", "all"), ("train", "all")]


def test_hidden_files_and_those_that_systems_leave_are_ignored(tmp_path):
    save(tmp_path / "A/1.png")
    for name in (".DS_Store", "A/.DS_Store", "A/._1.png", "A/Thumbs.db"):
        (tmp_path / name).write_bytes(b"?")
    (tmp_path / ".git").mkdir()
    assert len(read_folder(tmp_path)) == 1


@pytest.mark.parametrize("ending", ["png", "bmp", "tiff", "gif", "webp"])
def test_grey_images_keep_their_pixels_in_every_lossless_format(tmp_path, ending):
    options = {"lossless": True} if ending == "webp" else {}
    pixels = read_image(save(tmp_path / f"a.{ending}", **options))
    np.testing.assert_array_equal(pixels, GREY)


def test_colour_stays_colour(tmp_path):
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", COLOUR)), COLOUR)


def test_an_orientation_tag_is_applied(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned a quarter to the right
    path = save(tmp_path / "a.png", GREY[:4], exif=exif)
    np.testing.assert_array_equal(read_image(path), np.rot90(GREY[:4], k=-1))


def test_transparency_is_laid_over_white(tmp_path):
    alpha = np.where(GREY < 32, 0, 255).astype(np.uint8)
    pixels = read_image(save(tmp_path / "a.png", np.dstack([COLOUR, alpha])))
    assert (pixels[alpha == 0] == 255).all()
    np.testing.assert_array_equal(pixels[alpha == 255], COLOUR[alpha == 255])


def test_a_palette_is_looked_up(tmp_path):
    indexed = Image.fromarray(COLOUR).quantize(16)
    indexed.save(tmp_path / "a.png")
    np.testing.assert_array_equal(read_image(tmp_path / "a.png"), np.asarray(indexed.convert("RGB")))


def test_sixteen_bits_of_grey_are_scaled_and_not_cut(tmp_path):
    np.testing.assert_array_equal(read_image(save(tmp_path / "a.png", GREY.astype(np.uint16) * 1024)), GREY * 4)


def test_large_images_keep_their_size(tmp_path):
    assert read_image(save(tmp_path / "a.png", np.zeros((1500, 1100), np.uint8))).shape == (1500, 1100)


def test_a_decompression_bomb_is_refused_before_it_is_unpacked(tmp_path, monkeypatch):
    path = save(tmp_path / "A/bomb.png", np.zeros((11, 10), np.uint8))
    monkeypatch.setattr(image_folder, "MOST_PIXELS", 100)
    with pytest.raises(SignBridgeError, match=r"bomb.png: more than .* pixels. Scale"):
        read_image(path)


@pytest.mark.parametrize("limit", [60, 20])  # Pillow warns above its limit, and raises above twice that
def test_what_pillow_takes_for_a_bomb_is_refused(tmp_path, monkeypatch, limit):
    path = save(tmp_path / "A/bomb.png", np.zeros((10, 10), np.uint8))
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", limit)
    with pytest.raises(SignBridgeError, match=r"bomb\.png: more than"):
        read_image(path)


def test_images_that_cannot_be_read_are_named(tmp_path):
    whole = save(tmp_path / "a.png", COLOUR).read_bytes()
    for name, content in {
        "text.png": b"not an image",
        "empty.png": b"",
        "cut.png": whole[: len(whole) // 2],
        "head.png": whole[:30],
        "notes.txt": b"my notes",
    }.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(SignBridgeError, match=rf"{name}: .*remove it"):
            read_image(tmp_path / name)


def test_a_truncated_jpeg_is_named(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    path = save(tmp_path / "cut.jpg", noise)
    path.write_bytes(path.read_bytes()[:-1000])
    with pytest.raises(SignBridgeError, match=r"cut\.jpg: damaged or cut short"):
        read_image(path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_few_bits_of_grey_are_scaled_to_the_whole_range(tmp_path, bits):
    values = np.arange(2**bits)
    packed = np.packbits(np.unpackbits(values.astype(np.uint8)[:, None], axis=1)[:, 8 - bits :].ravel()).tobytes()
    header = struct.pack(">IIBBBBB", 2**bits, 1, bits, 0, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"IDAT", zlib.compress(b"\0" + packed)), (b"IEND", b"")]
    (tmp_path / "a.png").write_bytes(
        b"\x89PNG\r\n\x1a\n"
        + b"".join(struct.pack(">I", len(d)) + n + d + struct.pack(">I", zlib.crc32(n + d)) for n, d in chunks)
    )
    np.testing.assert_array_equal(read_image(tmp_path / "a.png")[0], values * 255 // (2**bits - 1))


def test_twelve_bits_of_a_tiff_are_scaled_as_its_tag_says():
    twelve = Image.fromarray(GREY.astype(np.uint16) * 64)
    np.testing.assert_array_equal(eight_bits(twelve, bits=12), GREY * 4)


@pytest.mark.parametrize(
    ("pixels", "said"),
    [
        (GREY.astype(np.uint16), "16-bit pixels no brighter than 63 of 65535"),
        (GREY.astype(np.uint16) * 60, "scale them to 0 to 255"),
        (GREY.astype(np.int32) * 100_000, "beyond 16 bits"),
        (GREY.astype(np.int32) - 9, "below 0"),
        (GREY.astype(np.float32) / 64, "floating-point pixels"),
    ],
)
def test_pixels_whose_range_nobody_can_know_are_refused_and_not_called_damaged(tmp_path, pixels, said):
    with pytest.raises(SignBridgeError, match=rf"a.tiff: .*{said}") as error:
        read_image(save(tmp_path / "a.tiff", pixels))
    assert "damaged" not in str(error.value)


def test_black_is_black_at_any_depth(tmp_path):
    assert not read_image(save(tmp_path / "a.png", GREY.astype(np.uint16) * 0)).any()


def tree(folder, *names):
    """Pictures, other files and, where the name ends in a slash, empty folders."""
    for name in names:
        if name.endswith("/"):
            (folder / name).mkdir(parents=True)
        elif name.endswith((".png", ".jpg")):
            save(folder / name)
        else:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_text("?")


def split_and_label(images):
    return [(image.split, image.label) for image in images]


@pytest.mark.parametrize(
    ("left_behind", "said"),
    [
        (["__MACOSX/A/._1.png", "__MACOSX/B/1.png"], ""),
        (["A/@eaDir/1.png/SYNO@.jpg", "@eaDir/x"], ""),
        (["Icon\r", "A/Icon\r", "A/desktop.ini", "$RECYCLE.BIN/x", "A/.ipynb_checkpoints/1.png"], ""),
        (["@Recycle/1.png", "#snapshot/A/1.png", "LOST.DIR/1", "Temporary Items/x"], ""),
        (["README", "LICENSE"], "2 files that are no images were left out, first 'LICENSE'"),
        (["README.txt", "A/labels.csv", "data.yaml"], "3 files that are no images were left out, first 'README.txt'"),
    ],
)
def test_what_systems_and_authors_leave_beside_the_images_is_no_class(tmp_path, caplog, left_behind, said):
    tree(tmp_path, "A/1.png", "B/1.png", *left_behind)
    with caplog.at_level("INFO"):
        assert [image.image_id for image in read_folder(tmp_path)] == ["A/1.png", "B/1.png"]
    assert said in caplog.text
    assert bool(said) == bool(caplog.text)


@pytest.mark.parametrize(
    ("splits", "expected"),
    [
        (["train", "valid", "test"], ["train", "valid", "test"]),
        (["Train", "Test"], ["train", "test"]),
        (["TRAINING", "val"], ["train", "valid"]),
        (["testing", "train", "validation"], ["train", "valid", "test"]),
        (["train", "dev"], ["train", "valid"]),
    ],
)
def test_splits_in_any_usual_spelling_are_taken_and_said(tmp_path, caplog, splits, expected):
    tree(tmp_path, "README.dataset.txt", *(f"{split}/{label}/1.png" for split in splits for label in "AB"))
    with caplog.at_level("INFO"):
        images = read_folder(tmp_path)
    assert split_and_label(images) == [(split, label) for split in expected for label in "AB"]
    assert "taken as splits: " in caplog.text


@pytest.mark.parametrize("above", ["archive", "asl/asl_alphabet", "a/b/c"])
@pytest.mark.parametrize("split", ["", "train/", "test/"])
def test_the_only_folder_with_classes_is_found_below_and_said(tmp_path, caplog, above, split):
    tree(tmp_path, *(f"{above}/{part}{label}/1.png" for part in {split, split and "train/"} for label in "AB"))
    with caplog.at_level("INFO"):
        images = read_folder(tmp_path)
    assert {image.label for image in images} == {"A", "B"}
    assert not any(image.image_id.startswith(above) for image in images), "ids do not hang on how it was unpacked"
    assert "classes found in" in caplog.text


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], ["empty. Expected one sub-folder a class"]),
        (["1.png"], ["'1.png' lies beside the class folders", "name the folder above it"]),
        (["A/1.png", "2.png"], ["'2.png' lies beside the class folders"]),
        (["A/1.png", "B/"], ["B': a class with no images"]),
        (["A/1.png", "B/notes.txt"], ["B': a class with no images"]),
        (["A/deep/1.png"], ["A/deep': a folder within a class", "A/: name that folder"]),
        (["x/A/1.png", "x/B/1.png", "y/1.png"], ["Classes found in", "x/: name that folder"]),
        (["x/A/1.png", "x/B/1.png", "y/A/1.png"], ["x/, ", "y/: name one of them, or put train and test"]),
        (["train/A/1.png", "training/A/1.png", "test/A/1.png"], ["one split under two names (train, training)"]),
    ],
)
def test_a_folder_laid_out_otherwise_says_how_it_should_be(tmp_path, files, said):
    tree(tmp_path, *files)
    with pytest.raises(SignBridgeError) as error:
        read_folder(tmp_path)
    assert all(words in str(error.value) for words in said), str(error.value)


@pytest.mark.parametrize(
    ("name", "label"),
    [
        ("e\u0301te\u0301", "\u00e9t\u00e9"),
        ("手", "手"),
        ("שלום", "שלום"),
        ("می\u200cروم", "می\u200cروم"),
        ("👍", "👍"),
        ("$x_1$ %{}", "$x_1$ %{}"),
        ("two\nlines", r"two\x0alines"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9"),
    ],
)
def test_names_in_any_script_and_of_any_bytes_become_text_that_a_table_holds(tmp_path, name, label):
    tree(tmp_path, f"{name}/{name}.png", "B/1.png")
    [image] = [image for image in read_folder(tmp_path) if image.label != "B"]
    assert (image.label, image.image_id) == (label, f"{label}/{label}.png")
    tables.write(images_table([image]), tmp_path / "images.parquet", {})
    assert tables.read(tmp_path / "images.parquet")["label"].tolist() == [label]


def test_names_that_become_one_are_refused(tmp_path):
    tree(tmp_path, "A/\u00e9.png", "A/e\u0301.png", "B/1.png")
    with pytest.raises(SignBridgeError, match=r"two files are called 'A/é\.png' in different"):
        read_folder(tmp_path)


def test_a_folder_that_is_none_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match="nowhere': no such folder"):
        read_folder(tmp_path / "nowhere")


def test_what_the_system_refuses_is_named_with_its_reason(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied", "signs/A")

    tree(tmp_path, "A/1.png", "B/1.png")
    monkeypatch.setattr(Image, "open", refuse)
    with pytest.raises(SignBridgeError, match=r"A/1\.png: Permission denied"):
        images_table(read_folder(tmp_path))
    monkeypatch.setattr("pathlib.Path.iterdir", refuse)
    with pytest.raises(SignBridgeError, match=r"signs/A: Permission denied"):
        read_folder(tmp_path)


def itself(folder):
    (folder / "B").symlink_to("B")


def to_nowhere(folder):
    (folder / "A/2.png").symlink_to("/nowhere/2.png")


def to_the_folder_that_it_lies_in(folder):
    (folder / "B").symlink_to(folder)


def alone_to_the_folder_that_it_lies_in(folder):
    (folder / "A/1.png").unlink()
    (folder / "A").rmdir()
    (folder / "again").symlink_to(folder)


def a_pipe(folder):
    os.mkfifo(folder / "A/2.png")


@pytest.mark.parametrize(
    ("add", "said"),
    [
        (itself, "B' is a link to B, which is not there. Mend or remove it"),
        (to_nowhere, "2.png' is a link to /nowhere/2.png, which is not there. Mend or remove it"),
        (to_the_folder_that_it_lies_in, "B' is a link to a folder that it lies in. Remove it"),
        (alone_to_the_folder_that_it_lies_in, "again' is a link to a folder that it lies in. Remove it"),
        (a_pipe, "2.png' is a pipe or a device, not a file. Remove it"),
    ],
)
def test_links_and_pipes_that_lead_nowhere_or_never_end_are_named(tmp_path, add, said):
    tree(tmp_path, "A/1.png")
    add(tmp_path)
    with pytest.raises(SignBridgeError) as error:
        read_folder(tmp_path)
    assert said in str(error.value)


def test_linked_classes_and_pictures_are_read(tmp_path):
    tree(tmp_path, "else/1.png", "signs/A/1.png")
    (tmp_path / "signs/B").symlink_to(tmp_path / "else")
    (tmp_path / "signs/A/2.png").symlink_to(tmp_path / "else/1.png")
    assert [image.image_id for image in read_folder(tmp_path / "signs")] == ["A/1.png", "A/2.png", "B/1.png"]


def test_a_name_that_is_too_long_for_the_system_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match=r"File name too long\. Choose a shorter name"):
        read_folder(tmp_path / ("x" * 300))
