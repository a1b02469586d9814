"""Each published set of datasets.yaml is read as it is laid out, from a folder as from an archive."""

import hashlib
from collections import Counter
from pathlib import Path
from typing import NamedTuple

import huggingface_hub.constants
import pytest
from kagglehub.cache import Cache
from kagglehub.handle import parse_dataset_handle

from signbridge.core import params
from signbridge.datasets import image_folder
from signbridge.datasets.image_folder import ImageFolderParams
from signbridge.datasets.images import images_table
from tests.conftest import ROOT
from tests.datasets import layouts
from tests.datasets.hub_cache import in_cache
from tests.datasets.layouts import tarred, zipped


def entry(name: str, path: Path) -> ImageFolderParams:
    """The committed entry, of a local copy."""
    found = params.entry(name, ROOT / "datasets.yaml", ImageFolderParams)
    return found.model_copy(update={"path": str(path)})


def read(name: str, path: Path):
    """The table of images of a local copy, and what was left out."""
    images, provenance = image_folder.fetch(entry(name, path))
    return images_table(images), provenance["left_out"]


class Expected(NamedTuple):
    """What is known of a small copy."""

    labels: dict[str, int]
    splits: set[str]
    signers: set[str] | None
    clips: int | None
    first: str
    left_out: int


SETS = {
    "asl_hg": Expected(
        {"0": 6, "A": 7, "Z": 6}, {"all"}, {"P1", "P2", "P10"}, None, "asl_dataset/0/P10_0_1.jpg", 0
    ),
    "dataset5": Expected({"A": 6, "I": 6, "Y": 6}, {"all"}, {"A", "E"}, 6, "A/a/color_0_0002.png", 18),
    "asl_alphabet": Expected(
        {"A": 4, "Z": 4, "del": 3, "nothing": 4, "space": 4}, {"train", "test"}, None, None,
        "alphabet_test/A_test.jpg", 0,
    ),
    "synthetic_asl_alphabet": Expected(
        {"A": 2, "B": 2, "Blank": 2}, {"train", "test"}, None, None,
        "Test_Alphabet/A/0042513a-63c0-499f-a7f7-e6ee1266cb90.rgb_0000.png", 0,
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", SETS)
def test_a_published_set_is_read_as_it_is_laid_out(tmp_path, name):
    images, left_out = read(name, getattr(layouts, name)(tmp_path))
    expected = SETS[name]
    assert dict(Counter(images["label"])) == expected.labels
    assert set(images["split"]) == expected.splits
    assert images["image_id"].min() == expected.first
    assert ("signer" in images) == (expected.signers is not None)
    if expected.signers is not None:
        assert set(images["signer"]) == expected.signers
    if expected.clips is not None:
        assert images["clip"].nunique() == expected.clips
        assert images.groupby("clip")["signer"].nunique().max() == 1
    assert sum(reason["images"] for reason in left_out.values()) == expected.left_out


@pytest.mark.parametrize("name", SETS)
def test_an_archive_gives_what_the_folder_gives(tmp_path, name):
    folder = getattr(layouts, name)(tmp_path / "unpacked")
    expected = read(name, folder)[0]
    assert read(name, zipped(folder, tmp_path / "set.zip"))[0].equals(expected)
    for ending in ("tar", "tar.gz", "tar.bz2", "tar.xz") if name == "dataset5" else ("tar.bz2",):
        found = read(name, tarred(folder, tmp_path / f"set.{ending}"))[0]
        found = found.sort_values("image_id", ignore_index=True)
        assert found.equals(expected.sort_values("image_id", ignore_index=True)), ending


def test_the_depth_frames_of_dataset5_are_counted_and_the_first_is_named(tmp_path):
    left_out = read("dataset5", layouts.dataset5(tmp_path))[1]
    assert left_out == {image_folder.NO_IMAGE: {"images": 18, "first": "dataset5/A/a/depth_0_0002.png"}}


def test_asl_hg_reads_the_same_from_mendeleys_zip_of_zips_and_from_its_folder(tmp_path):
    folder = layouts.asl_hg_of_mendeley(tmp_path)
    expected = read("asl_hg", tmp_path / "raw")[0]
    for place in (folder, zipped(folder, tmp_path / "j4y5w2c8w9-1.zip")):
        images, left_out = read("asl_hg", place)
        assert images.sort_values("image_id", ignore_index=True).equals(
            expected.sort_values("image_id", ignore_index=True)
        )
        assert left_out[image_folder.NO_IMAGE]["images"] == 2, "the processed images"


def test_each_set_is_found_where_it_is_downloaded_to(tmp_path, monkeypatch):
    monkeypatch.setenv("KAGGLEHUB_CACHE", str(tmp_path / "kaggle"))
    monkeypatch.setenv("KAGGLE_API_TOKEN", "x")
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    for name in ("dataset5", "asl_alphabet", "synthetic_asl_alphabet"):
        published = params.entry(name, ROOT / "datasets.yaml", ImageFolderParams)
        getattr(layouts, name)(tmp_path / "kaggle/datasets" / published.kaggle)
        Cache().mark_as_complete(parse_dataset_handle(published.kaggle))
        images, provenance = image_folder.fetch(published)
        assert sum(1 for _ in images) == sum(SETS[name].labels.values())
        assert provenance["from"] == published.kaggle
    published = params.entry("asl_hg", ROOT / "datasets.yaml", ImageFolderParams)
    raw = zipped(layouts.asl_hg(tmp_path / "raw"), tmp_path / "raw.zip").read_bytes()
    in_cache(tmp_path / "hub", published.hub.hub_id, published.hub.file, raw, published.hub.revision)
    hub = published.hub.model_copy(update={"sha256": hashlib.sha256(raw).hexdigest()})
    images, provenance = image_folder.fetch(published.model_copy(update={"hub": hub}))
    assert sum(1 for _ in images) == 19
    assert provenance["from"] == hub.model_dump()


def test_a_set_with_two_places_is_read_from_the_other_where_the_first_is_emptied(tmp_path, monkeypatch):
    asked = []
    archive = tarred(layouts.dataset5(tmp_path / "in"), tmp_path / "fingerspelling5.tar.bz2")
    monkeypatch.setattr(
        image_folder, "web_file", lambda file, gigabytes: asked.append((file.url, gigabytes)) or archive
    )
    published = params.entry("dataset5", ROOT / "datasets.yaml", ImageFolderParams)
    images, _ = image_folder.fetch(published.model_copy(update={"kaggle": None}))
    assert sum(1 for _ in images) == 18
    assert asked == [("http://www.cvssp.org/FingerSpellingKinect2011/fingerspelling5.tar.bz2", 2.2)]


def test_an_exact_copy_of_asl_hg_has_the_digest_of_the_other(tmp_path):
    images = read("asl_hg", layouts.asl_hg(tmp_path))[0]
    copies = images[images["sha256"].duplicated(keep=False)]["image_id"]
    assert [Path(name).name for name in copies] == ["P1_A_1.jpg", "P1_A_3.jpg"]
