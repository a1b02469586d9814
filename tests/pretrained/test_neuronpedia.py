"""Feature descriptions, from a server on this machine that answers as the bucket of the exports does."""

from pathlib import Path

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.pretrained.neuronpedia import descriptions_in, fetch_export, files_of_export
from tests.pretrained.export_bucket import SAE, bucket, packed

__all__ = ["bucket"]


def test_every_file_of_the_export_is_fetched_and_read(bucket, tmp_path):
    paths = fetch_export(SAE, tmp_path, bucket.address)
    assert [path.name for path in paths] == [f"batch-{number}.jsonl.gz" for number in (0, 1, 2, 10)]
    assert descriptions_in(paths).to_dict("list") == {
        "feature": [0, 1, 2, 10], "description": ["of 0", "of 1", "of 2", "of 10"]
    }  # fmt: skip


def test_an_autoencoder_without_an_export_has_no_descriptions(bucket, tmp_path):
    assert fetch_export("gemma-2b/17-res-jb", tmp_path, bucket.address) == []
    assert descriptions_in([]).empty


def test_what_was_fetched_is_kept_and_only_the_rest_is_asked_for_again(bucket, tmp_path):
    last = f"v1/{SAE}/explanations/batch-10.jsonl.gz"
    bucket.failing[last] = [500, 500, 500]
    with pytest.raises(SignBridgeError, match=r"cannot be had from 127\.0\.0\.1.*\n.*run the stage again"):
        fetch_export(SAE, tmp_path, bucket.address)
    assert len(list(tmp_path.iterdir())) == 3
    bucket.asked.clear()
    assert len(descriptions_in(fetch_export(SAE, tmp_path, bucket.address))) == 4
    assert [key for key in bucket.asked if key.endswith(".gz")] == [last]


def test_a_hiccup_is_tried_again_and_a_refusal_is_not(bucket, tmp_path):
    bucket.failing[f"v1/{SAE}/explanations/batch-0.jsonl.gz"] = [503, 429]
    assert len(fetch_export(SAE, tmp_path / "first", bucket.address)) == 4
    refused = f"v1/{SAE}/explanations/batch-1.jsonl.gz"
    bucket.failing[refused] = [403, 403, 403]
    bucket.asked.clear()
    with pytest.raises(SignBridgeError, match="Forbidden"):
        fetch_export(SAE, tmp_path / "second", bucket.address)
    assert bucket.asked.count(refused) == 1


def test_a_server_that_is_not_there_is_named(bucket, tmp_path):
    bucket.shutdown()
    bucket.server_close()
    with pytest.raises(SignBridgeError, match="descriptions to none"):
        fetch_export(SAE, tmp_path, bucket.address)


def test_an_export_on_a_disk_is_a_file_or_a_folder_of_them(tmp_path):
    (tmp_path / "batch-0.jsonl.gz").write_bytes(packed({"index": 3, "description": "threes"}))
    (tmp_path / "mine.jsonl").write_text('\n{"index": "3", "description": "later"}\n{"index": 4, "description": null}')
    assert descriptions_in(files_of_export(tmp_path)).to_dict("list") == {"feature": [3], "description": ["threes"]}
    assert descriptions_in(files_of_export(tmp_path / "mine.jsonl"))["description"].tolist() == ["later"]
    with pytest.raises(SignBridgeError, match="no export at"):
        files_of_export(tmp_path / "nothing")


@pytest.mark.parametrize(
    "content",
    [b"", b"no gzip", packed({"feature": 1}), packed({"index": "x", "description": "y"})],
    ids=["empty", "no gzip", "no description", "no index"],
)
def test_a_damaged_file_is_named(tmp_path, content):
    path = Path(tmp_path / "batch-0.jsonl.gz")
    path.write_bytes(content)
    with pytest.raises(SignBridgeError, match=r"batch-0\.jsonl\.gz: not a file of feature descriptions"):
        descriptions_in([path])
