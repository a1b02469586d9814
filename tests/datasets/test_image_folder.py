import numpy as np
import pytest
from PIL import Image

from signbridge.core.errors import SignBridgeError
from signbridge.datasets import image_folder
from signbridge.datasets.image_folder import read_folder, read_image

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


@pytest.mark.parametrize(
    ("files", "said"),
    [
        ([], "empty. Expected one sub-folder a class"),
        (["1.png"], "'1.png' lies beside the class folders"),
        (["A/1.png", "2.png"], "'2.png' lies beside the class folders"),
        (["A/1.png", "B/"], "B': a class with no images"),
        (["A/deep/1.png"], "A/deep': a folder within a class"),
    ],
)
def test_a_folder_laid_out_otherwise_says_how_it_should_be(tmp_path, files, said):
    for name in files:
        if name.endswith("/"):
            (tmp_path / name).mkdir()
        else:
            save(tmp_path / name)
    with pytest.raises(SignBridgeError) as error:
        read_folder(tmp_path)
    assert said in str(error.value)


def test_a_folder_that_is_not_there_is_named(tmp_path):
    with pytest.raises(SignBridgeError, match="nowhere': no such folder"):
        read_folder(tmp_path / "nowhere")
