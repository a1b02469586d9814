"""Photos in a zip or tar are read as those in a folder are, and what is not read is named and counted."""

import bz2
import io
import tarfile
import zipfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from signbridge.core.errors import SignBridgeError
from signbridge.datasets import archives, image_folder, images
from signbridge.datasets.image_folder import ImageFolderParams
from signbridge.datasets.images import decode_png, images_table
from tests.datasets.layouts import photo, tarred, write, zipped

PATTERN = r"(?P<label>[A-Z])/[^/]+\.(?i:png|jpe?g|gif|webp|tiff|bmp)$"
GREY = np.arange(64, dtype=np.uint8).reshape(8, 8)
COLOUR = np.stack([GREY, GREY.T, 255 - GREY], axis=-1)


def fetch(path: Path, **options):
    """What is read of a folder or archive: the images as they come, and where they came from."""
    return image_folder.fetch(ImageFolderParams(source="image_folder", path=str(path), **options))


def read(path: Path, **options):
    """The table of images, and what was left out."""
    found, provenance = fetch(path, **options)
    return images_table(found), provenance["left_out"]


def refused(path: Path, **options) -> str:
    """What is said of an archive that cannot be read."""
    with pytest.raises(SignBridgeError) as error:
        read(path, **options)
    message = str(error.value)
    assert len(message) < 400
    assert len(message.splitlines()) <= 2
    return message


def saved(image: Image.Image, kind: str, **options) -> bytes:
    """The image as a file of that kind."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def turned() -> bytes:
    """A picture whose tag says that it is to be turned a quarter to the right."""
    exif = Image.Exif()
    exif[0x0112] = 6
    return saved(Image.fromarray(COLOUR[:4]), "PNG", exif=exif)


def moving(kind: str) -> bytes:
    """A picture of two frames, the second all white."""
    first, second = Image.fromarray(COLOUR), Image.new("RGB", (8, 8), "white")
    return saved(first, kind, save_all=True, append_images=[second], **({"lossless": True} if kind == "WEBP" else {}))


def half_clear() -> Image.Image:
    """Colour whose upper half is transparent."""
    return Image.fromarray(np.dstack([COLOUR, np.where(GREY < 32, 0, 255).astype(np.uint8)]))


CLEARED = np.where(GREY[..., None] < 32, 255, COLOUR).astype(np.uint8)
UNUSUAL = {
    "turned by its tag": ("1.png", turned(), np.rot90(COLOUR[:4], k=-1)),
    "a palette": ("1.gif", saved(Image.fromarray(GREY).convert("P"), "GIF"), GREY),
    "a palette with a clear colour": ("1.png", saved(half_clear().quantize(64), "PNG"), None),
    "transparency": ("1.png", saved(half_clear(), "PNG"), CLEARED),
    "CMYK": ("1.tiff", saved(Image.fromarray(COLOUR).convert("CMYK"), "TIFF"), COLOUR),
    "CMYK in a JPEG": ("1.jpg", saved(Image.fromarray(COLOUR).convert("CMYK"), "JPEG", quality=100), None),
    "16 bits of grey": ("1.png", saved(Image.fromarray(GREY.astype(np.uint16) * 1024), "PNG"), GREY * 4),
    "an animated GIF": ("1.gif", moving("GIF"), None),
    "an animated PNG": ("1.png", moving("PNG"), COLOUR),
    "an animated WebP": ("1.webp", moving("WEBP"), COLOUR),
    "an ending in capitals": ("1.PNG", saved(Image.fromarray(COLOUR), "PNG"), COLOUR),
    "another kind than its ending says": ("1.jpg", saved(Image.fromarray(COLOUR), "PNG"), COLOUR),
}


@pytest.mark.parametrize("kind", UNUSUAL)
def test_unusual_pictures_are_what_one_sees_in_a_folder_and_in_archives_alike(tmp_path, kind):
    name, content, expected = UNUSUAL[kind]
    folder = tmp_path / "signs"
    write(folder, f"A/{name}", content)
    places = [folder, zipped(folder, tmp_path / "signs.zip"), tarred(folder, tmp_path / "signs.tar.gz")]
    found = [decode_png(read(place, pattern=PATTERN)[0]["image"][0]) for place in places]
    for pixels in found if expected is None else [*found, expected]:
        np.testing.assert_array_equal(pixels, found[0])
    assert found[0].min() < 100, "the first frame, and no white one"


def test_colours_of_a_cmyk_jpeg_are_not_turned_round(tmp_path):
    write(tmp_path, "A/1.jpg", UNUSUAL["CMYK in a JPEG"][1])
    pixels = decode_png(read(tmp_path, pattern=PATTERN)[0]["image"][0]).astype(int)
    assert np.abs(pixels - COLOUR).mean() < 20


LAYOUTS = {
    "classes": (["A/1.png", "B/1.png"], {"all"}),
    "one folder above them": (["signs/A/1.png", "signs/B/1.png"], {"all"}),
    "two, and what systems leave": (["x/y/A/1.png", "x/y/B/1.png", "__MACOSX/x/y/A/._1.png", "x/.DS_Store"], {"all"}),
    "splits": (["train/A/1.png", "train/B/1.png", "Test/A/1.png", "README.txt"], {"train", "test"}),
}


@pytest.mark.parametrize("kind", LAYOUTS)
@pytest.mark.parametrize("archive", ["zip", "tar", "tar.bz2"])
def test_without_a_pattern_an_archive_is_laid_out_as_a_folder_is(tmp_path, kind, archive):
    names, splits = LAYOUTS[kind]
    for number, name in enumerate(names):
        write(tmp_path / "in", name, photo(number, 8, 8, "png"))
    place = (zipped if archive == "zip" else tarred)(tmp_path / "in", tmp_path / f"signs.{archive}")
    expected, left_out_of_folder = read(tmp_path / "in")
    found, left_out = read(place)
    assert found.sort_values("image_id", ignore_index=True).equals(expected.sort_values("image_id", ignore_index=True))
    assert set(found["split"]) == splits
    assert {reason: count["images"] for reason, count in left_out.items()} == {
        reason: count["images"] for reason, count in left_out_of_folder.items()
    }


def test_labels_are_put_in_capitals_without_a_pattern_too(tmp_path):
    for name in ("a/1.png", "b/1.png"):
        write(tmp_path / "in", name, photo(0, 8, 8, "png"))
    for place in (tmp_path / "in", zipped(tmp_path / "in", tmp_path / "signs.zip")):
        found = read(place, upper=True)[0]
        assert found["label"].tolist() == ["A", "B"]
        assert found["image_id"].tolist() == ["a/1.png", "b/1.png"]


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["1.png"], "image folder 'signs.zip': '1.png' lies beside the class folders"),
        (["x/A/1.png", "x/B/1.png", "y/1.png"], "Classes found in signs.zip/x/: name that folder"),
        (["A/1.png", "B/notes.txt"], "image folder 'signs.zip/B': a class with no images"),
        (["A/B/1.png"], "image folder 'signs.zip/A/B': a folder within a class"),
        ([], "image folder 'signs.zip': empty"),
    ],
)
def test_an_archive_laid_out_otherwise_says_how_it_should_be(tmp_path, names, said):
    (tmp_path / "in").mkdir()
    for name in names:
        write(tmp_path / "in", name, photo(0, 8, 8, "png"))
    assert said in refused(zipped(tmp_path / "in", tmp_path / "signs.zip"))


def test_an_archive_in_a_folder_without_a_pattern_is_named(tmp_path):
    write(tmp_path, "signs.zip", b"PK")
    assert "'signs.zip' lies beside the class folders, an archive. Name it" in refused(tmp_path)


def cut_tar(folder: Path, to: Path) -> None:
    """A compressed tar of which the end is missing."""
    whole = tarred(folder, to).read_bytes()
    to.write_bytes(whole[: len(whole) // 2])


def cut_zip(folder: Path, to: Path) -> None:
    """A zip of which the end is missing."""
    to.write_bytes(zipped(folder, to).read_bytes()[:-30])


def encrypted_zip(folder: Path, to: Path) -> None:
    """A zip whose every file says that it is encrypted."""
    content = bytearray(zipped(folder, to).read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):
        start = -1
        while (start := content.find(mark, start + 1)) >= 0:
            content[start + place] |= 1
    to.write_bytes(content)


def under_its_name(content: bytes):
    """What writes this content in place of an archive."""
    return lambda folder, to: to.write_bytes(content)


@pytest.mark.parametrize(
    ("make", "ending", "said"),
    [
        (cut_tar, "tar.bz2", "signs.tar.bz2: cut short or damaged"),
        (cut_tar, "tar.gz", "signs.tar.gz: cut short or damaged"),
        (cut_tar, "tar.xz", "signs.tar.xz: cut short or damaged"),
        (cut_tar, "tar", "signs.tar: cut short or damaged"),
        (cut_zip, "zip", "signs.zip: cut short or damaged"),
        (encrypted_zip, "zip", "signs.zip: encrypted. Unpack it with its password"),
        (under_its_name(b"<!DOCTYPE html>Sign in"), "zip", "signs.zip: an HTML page: a login page, saved?"),
        (under_its_name(b"Rar!\x1a\x07"), "zip", "signs.zip: a RAR archive. Unpack it"),
        (under_its_name(b"7z\xbc\xaf\x27\x1c"), "zip", "a 7z archive. Unpack it"),
        (under_its_name(b"version https://git-lfs.github.com/spec/v1\n"), "zip", "a Git LFS pointer"),
        (under_its_name(b""), "zip", "neither a folder nor a zip or tar archive"),
        (under_its_name(bz2.compress(b"a letter")), "tar.bz2", "signs.tar.bz2: cut short or damaged"),
        (lambda folder, to: None, "zip", "signs.zip': no such folder or file. Correct its `path`"),
    ],
)
@pytest.mark.parametrize("pattern", [PATTERN, None], ids=["pattern", "folders"])
def test_an_archive_that_cannot_be_read_says_what_it_is(tmp_path, make, ending, said, pattern):
    for number in range(3):
        write(tmp_path / "in", f"A/{number}.png", photo(number, 40, 40, "png"))
        write(tmp_path / "in", f"B/{number}.png", photo(number, 40, 40, "png"))
    make(tmp_path / "in", tmp_path / f"signs.{ending}")
    assert said in refused(tmp_path / f"signs.{ending}", pattern=pattern)


def test_a_tar_that_was_compressed_in_pieces_is_read_to_its_end(tmp_path):
    for number in range(5):
        write(tmp_path / "in", f"A/{number}.png", photo(number, 40, 40, "png"))
    whole = tarred(tmp_path / "in", tmp_path / "whole.tar").read_bytes()
    pieces = [bz2.compress(whole[start : start + 5000]) for start in range(0, len(whole), 5000)]
    (tmp_path / "pieces.tar.bz2").write_bytes(b"".join(pieces))
    assert len(read(tmp_path / "pieces.tar.bz2", pattern=PATTERN)[0]) == 5


def test_a_compressed_tar_is_read_once_from_front_to_end(tmp_path, monkeypatch):
    opened = []
    unpack = archives.COMPRESSED[b"BZh"]
    monkeypatch.setitem(archives.COMPRESSED, b"BZh", lambda path: opened.append(path) or unpack(path))
    for number in range(5):
        write(tmp_path / "in", f"A/{number}.png", photo(number, 40, 40, "png"))
    place = tarred(tmp_path / "in", tmp_path / "signs.tar.bz2")
    assert len(read(place, pattern=PATTERN)[0]) == 5
    assert opened == [place]


def some_broken(folder: Path) -> Path:
    """Five pictures, of which one is text and one is cut short."""
    for number in range(3):
        write(folder, f"A/{number}.png", photo(number, 40, 40, "png"))
    write(folder, "A/text.png", b"not a picture")
    write(folder, "A/cut.png", photo(9, 40, 40, "png")[:200])
    return folder


@pytest.mark.parametrize("kind", ["folder", "zip", "tar.bz2"])
def test_pictures_that_cannot_be_read_stop_the_reading_or_are_skipped_and_counted(tmp_path, kind):
    place = some_broken(tmp_path / "in")
    if kind != "folder":
        place = (zipped if kind == "zip" else tarred)(place, tmp_path / f"signs.{kind}")
    assert "/A/cut.png: damaged or cut short" in refused(place, pattern=PATTERN)
    found, left_out = read(place, pattern=PATTERN, on_unreadable="skip")
    assert found["image_id"].tolist() == ["A/0.png", "A/1.png", "A/2.png"]
    assert left_out == {image_folder.UNREADABLE: {"images": 2, "first": "A/cut.png"}}


def test_a_picture_whose_bytes_do_not_match_the_zips_own_sum_is_unreadable_too(tmp_path):
    for number in range(3):
        write(tmp_path / "in", f"A/{number}.png", photo(number, 40, 40, "png"))
    content = bytearray(zipped(tmp_path / "in", tmp_path / "signs.zip").read_bytes())
    content[content.find(b"A/1.png") + 300] ^= 0xFF
    (tmp_path / "signs.zip").write_bytes(content)
    assert "signs.zip/A/1.png: cut short or damaged (Bad CRC-32" in refused(tmp_path / "signs.zip", pattern=PATTERN)
    found, left_out = read(tmp_path / "signs.zip", pattern=PATTERN, on_unreadable="skip")
    assert len(found) == 2
    assert left_out[image_folder.UNREADABLE]["first"] == "A/1.png"


def test_where_no_picture_can_be_read_nothing_is_skipped_silently(tmp_path):
    write(tmp_path, "A/text.png", b"not a picture")
    message = refused(tmp_path, pattern=PATTERN, on_unreadable="skip")
    assert "none of the images of the dataset can be read" in message


def test_a_huge_picture_or_file_is_named(tmp_path, monkeypatch):
    write(tmp_path / "in", "A/1.png", photo(0, 40, 40, "png"))
    place = zipped(tmp_path / "in", tmp_path / "signs.zip")
    monkeypatch.setattr(archives, "MOST_BYTES", 100)
    assert "signs.zip/A/1.png: a file of 0 MB is no photo" in refused(place, pattern=PATTERN)
    monkeypatch.undo()
    monkeypatch.setattr(image_folder, "MOST_PIXELS", 100)
    assert "signs.zip/A/1.png: more than 0 million pixels" in refused(place, pattern=PATTERN)


def test_content_is_taken_from_an_archive_no_faster_than_it_is_encoded(tmp_path, monkeypatch):
    monkeypatch.setattr(images, "MOST_WORKERS", 1)
    taken, decoded, ahead = [], [], []

    def take(member, content=image_folder._content):
        taken.append(member.path)
        ahead.append(len(taken) - len(decoded))
        return content(member)

    def decode(*arguments, read_image=image_folder.read_image):
        decoded.append(arguments)
        return read_image(*arguments)

    monkeypatch.setattr(image_folder, "_content", take)
    monkeypatch.setattr(image_folder, "read_image", decode)
    for number in range(40):
        write(tmp_path / "in", f"A/{number}.png", photo(number, 8, 8, "png"))
    for place in (zipped(tmp_path / "in", tmp_path / "signs.zip"), tarred(tmp_path / "in", tmp_path / "signs.tar.gz")):
        assert len(read(place, pattern=PATTERN)[0]) == 40
    assert len(taken) == 80
    assert max(ahead) <= 4


def test_links_within_archives_are_counted_and_those_of_a_folder_are_followed(tmp_path):
    content = photo(0, 40, 40, "png")
    write(tmp_path / "in", "A/1.png", content)
    (tmp_path / "in/A/2.png").symlink_to("1.png")
    (tmp_path / "in/B").symlink_to("A")
    assert read(tmp_path / "in", pattern=PATTERN)[0]["image_id"].tolist() == [
        "A/1.png",
        "A/2.png",
        "B/1.png",
        "B/2.png",
    ]
    with tarfile.open(tmp_path / "signs.tar", "w") as archive:
        archive.add(tmp_path / "in/A", "A")
    with zipfile.ZipFile(tmp_path / "signs.zip", "w") as archive:
        archive.writestr("A/1.png", content)
        link = zipfile.ZipInfo("A/2.png")
        link.external_attr = 0o120777 << 16
        archive.writestr(link, "1.png")
    for place in ("signs.tar", "signs.zip"):
        found, left_out = read(tmp_path / place, pattern=PATTERN)
        assert found["image_id"].tolist() == ["A/1.png"]
        assert left_out == {image_folder.LINK: {"images": 1, "first": "A/2.png"}}


def test_links_that_lead_nowhere_or_never_end_are_named(tmp_path):
    write(tmp_path, "in/A/1.png", photo(0, 40, 40, "png"))
    (tmp_path / "in/A/2.png").symlink_to("nowhere.png")
    assert "2.png' is a link to nowhere, a pipe or a device" in refused(tmp_path / "in", pattern=PATTERN)
    (tmp_path / "in/A/2.png").unlink()
    (tmp_path / "else").mkdir()
    (tmp_path / "else/back").symlink_to(tmp_path / "in")
    (tmp_path / "in/B").symlink_to(tmp_path / "else")
    assert "in/B/back' is a link to a folder that it lies in. Remove it" in refused(tmp_path / "in", pattern=PATTERN)


def test_a_folder_that_may_not_be_read_is_named_with_the_reason(tmp_path, monkeypatch):
    def refuse(folder):
        raise PermissionError(13, "Permission denied", str(folder))

    write(tmp_path, "in/A/1.png", photo(0, 40, 40, "png"))
    monkeypatch.setattr(Path, "iterdir", refuse)
    assert "in: Permission denied" in refused(tmp_path / "in", pattern=PATTERN)


def test_hidden_files_and_those_that_systems_leave_match_no_pattern(tmp_path):
    for name in ("A/1.png", "A/._1.png", "__MACOSX/A/1.png", ".cache/A/1.png", "@eaDir/A/1.png"):
        write(tmp_path / "in", name, photo(0, 40, 40, "png"))
    for place in (tmp_path / "in", zipped(tmp_path / "in", tmp_path / "signs.zip")):
        found, left_out = read(place, pattern=PATTERN)
        assert found["image_id"].tolist() == ["A/1.png"]
        assert left_out == {}


@pytest.mark.parametrize(
    ("pattern", "said"),
    [
        (r"(?P<label>[0-9])/.*\.png$", "finds no image. The first path in it is 'B/1.png'"),
        (r"(?P<label>[A-Z])/(?P<signer>P\d)?.*\.png$", "B/1.png: its signer is not known, that of other images is"),
        ("(?P<label>[A-Z]", "`pattern` is no regular expression"),
    ],
)
def test_a_pattern_is_tried_on_all_paths_before_any_picture_is_read(tmp_path, pattern, said, monkeypatch):
    for name in ("B/1.png", "B/P3.png"):
        write(tmp_path / "in", name, photo(0, 40, 40, "png"))
    monkeypatch.setattr(Image, "open", lambda file: pytest.fail("a picture was read"))
    for place in (tmp_path / "in", zipped(tmp_path / "in", tmp_path / "signs.zip")):
        with pytest.raises(SignBridgeError) as error:
            fetch(place, pattern=pattern)
        assert said in str(error.value)


def test_in_a_compressed_tar_the_same_is_said_as_the_pictures_come(tmp_path):
    for name in ("B/1.png", "B/P3.png"):
        write(tmp_path / "in", name, photo(0, 40, 40, "png"))
    place = tarred(tmp_path / "in", tmp_path / "signs.tar.bz2")
    assert "finds no image" in refused(place, pattern="(?P<label>[0-9])/")
    assert "its signer is not known" in refused(place, pattern=r"(?P<label>[A-Z])/(?P<signer>P\d)?.*\.png$")


def test_two_files_that_would_have_one_id_are_named(tmp_path):
    for name in ("new/A/1.png", "old/A/1.png"):
        write(tmp_path, name, photo(0, 40, 40, "png"))
    message = refused(tmp_path, pattern=PATTERN)
    assert "new/A/1.png and old/A/1.png would both be called 'A/1.png'" in message


def test_no_place_at_all_is_said():
    with pytest.raises(SignBridgeError, match="`path`, `kaggle`, `hub` or `web`"):
        image_folder.fetch(ImageFolderParams(source="image_folder"))


@pytest.mark.parametrize(("size", "shape"), [(None, (30, 60)), (60, (30, 60)), (20, (10, 20)), (1, (1, 1))])
def test_every_photo_keeps_its_size_unless_the_entry_says_otherwise(tmp_path, size, shape):
    write(tmp_path, "A/1.png", photo(0, 60, 30, "png"))
    pixels = decode_png(read(tmp_path, pattern=PATTERN, size=size)[0]["image"][0])
    assert pixels.shape == (*shape, 3)
    whole = np.asarray(Image.open(tmp_path / "A/1.png"), float)
    assert abs(pixels.mean() - whole.mean()) < 5 or size == 1


def test_a_zip_that_was_packed_on_windows_has_folders_too(tmp_path):
    with zipfile.ZipFile(tmp_path / "signs.zip", "w") as archive:
        archive.writestr("A/1.png", photo(0, 40, 40, "png"))
    content = (tmp_path / "signs.zip").read_bytes().replace(b"A/1.png", b"A\\1.png")
    (tmp_path / "signs.zip").write_bytes(content)
    assert read(tmp_path / "signs.zip", pattern=PATTERN)[0]["image_id"].tolist() == ["A/1.png"]


def test_a_zip_within_zips_without_end_is_left_at_some_depth(tmp_path):
    content = b""
    for depth in range(6):
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(f"A/{depth}.png", photo(depth, 8, 8, "png"))
            archive.writestr("more.zip", content or b"end")
        content = buffer.getvalue()
    (tmp_path / "signs.zip").write_bytes(content)
    found = [member.path.count("more.zip") for member in archives.members(tmp_path / "signs.zip")]
    assert sorted(found) == [0, 1, 2, 3]
