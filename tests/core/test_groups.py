import numpy as np
import pandas as pd
import pytest

from signbridge.core import tables
from signbridge.core.errors import SignBridgeError
from signbridge.core.groups import groups_of, read_sample

PHOTOS = pd.DataFrame({"image_id": list("abcdef"), "photo": ["p", "p", "q", "r", "s", "s"]})
CLIPS = PHOTOS.assign(clip=["1", "1", "1", "2", "3", "3"])
SIGNERS = CLIPS.assign(signer=["ann", "ann", "ann", "ann", "bob", "bob"])


@pytest.mark.parametrize(
    ("images", "by", "kind"),
    [
        (PHOTOS, "auto", "photo"),
        (CLIPS, "auto", "clip"),
        (SIGNERS, "auto", "signer"),
        (SIGNERS, "photo", "photo"),
        (SIGNERS, "clip", "clip"),
        (SIGNERS.assign(signer="ann"), "auto", "clip"),
        (PHOTOS.assign(signer="ann", photo="p"), "auto", "signer"),
    ],
    ids=["photos alone", "clips", "signers", "asked for photos", "asked for clips", "one signer", "one of everything"],
)
def test_groups_are_the_coarsest_that_is_known_and_several(images, by, kind):
    groups = groups_of(images, by)
    assert groups.kind == kind
    assert np.array_equal(groups.of_image, images[kind])


def test_what_the_dataset_does_not_know_cannot_be_kept_whole():
    with pytest.raises(SignBridgeError, match=r"knows no signer of its images\. It knows: clip, photo\."):
        groups_of(CLIPS, "signer")


def test_clips_that_share_a_photo_are_one_group():
    shared = CLIPS.assign(photo=["p", "p", "q", "q", "s", "t"])
    assert groups_of(shared, "clip").of_image.tolist() == ["1", "1", "1", "1", "3", "3"]


@pytest.mark.parametrize(("by", "kind"), [("auto", "signer"), ("clip", "clip")])
def test_the_sample_is_read_with_its_groups(tmp_path, monkeypatch, by, kind):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "params.yaml").write_text(f"probe: {{grouped: {{by: {by}}}}}\n", encoding="utf-8")
    tables.write(SIGNERS.assign(label="A"), "data/sample.parquet", {})
    sample, groups = read_sample(["image_id", "label"])
    assert list(sample) == ["image_id", "label", "photo", "signer", "clip", "group"]
    assert groups.kind == kind
    assert sample["group"].tolist() == groups.of_image.tolist() == SIGNERS[kind].tolist()
