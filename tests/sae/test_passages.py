"""Which images and phrases training left: held to what it deals."""

import hashlib
import tracemalloc

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest

from signbridge.core import tables
from signbridge.core.shards import Shard
from signbridge.rendered.hands_table import hands_table
from signbridge.sae.passages import (
    Deck,
    Passage,
    Pictured,
    ReadParams,
    counts,
    judged_images,
    judged_items,
    judged_phrases,
    training_set,
    unread,
    unread_table,
)
from signbridge.sae.settings import SaeParams, TopKPreset
from signbridge.sae.token_stream import IS_IMAGE, ModelTokens

SEED = 5


class Remembers:
    """Reads passages of one token each, and remembers them."""

    def __init__(self):
        self.passages: list[Passage] = []

    def read(self, passages: list[Passage]) -> Shard:
        self.passages += passages
        is_image = np.full(len(passages), passages[0].png is not None)
        return Shard({"layer_00": np.zeros((len(passages), 2), np.float32), IS_IMAGE: is_image}, [], "")


@pytest.mark.parametrize("reads", [3, 12])
def test_unread_is_what_training_did_not_deal(reads):
    prompts = [1 + row % 2 for row in range(400)]
    images = [Passage(f"prompt {number}", str(row).encode()) for row, of in enumerate(prompts) for number in range(of)]
    texts = [Passage(f"phrase {row}") for row in range(300)]
    reader = Remembers()
    source = ModelTokens(reader.read, images, texts, 0.4, SEED)
    for _ in range(reads):
        source.more()
    is_unread = unread(prompts, source.position["images"], SEED, "images")
    seen = {one.png for one in reader.passages if one.png}
    assert {str(row).encode() for row in np.flatnonzero(~is_unread)} == seen
    assert is_unread.any()
    is_unread = unread([1] * 300, source.position["texts"], SEED, "texts")
    assert {texts[row].text for row in np.flatnonzero(~is_unread)} == {
        one.text for one in reader.passages if not one.png
    }


def test_after_a_whole_round_nothing_is_unread():
    assert not unread([2, 1, 1], 4, SEED, "images").any()
    assert not unread([2, 1, 1], 100, SEED, "images").any()
    assert unread([2, 1, 1], 0, SEED, "images").all()


def test_images_are_unread_ones_of_different_photos_and_any_where_all_were_read():
    rows = range(12)
    sample = pd.DataFrame({"image_id": [f"i{row}" for row in rows], "photo": [f"p{row // 2}" for row in rows]})
    chosen = judged_images(sample, {"i1", "i2", "i3", "i8"}, 10, SEED)
    assert set(chosen["image_id"]) <= {"i1", "i2", "i3", "i8"}
    assert chosen["photo"].tolist() == ["p0", "p1", "p4"]
    assert len(judged_images(sample, {"i1", "i2", "i3", "i8"}, 2, SEED)) == 2
    assert judged_images(sample, set(), 10, SEED)["photo"].tolist() == [f"p{row}" for row in range(6)]


def test_phrases_are_unread_ones_in_order_and_any_where_all_were_read():
    corpus = [f"phrase {row}" for row in range(10)]
    is_unread = np.arange(10) % 2 == 0
    chosen = judged_phrases(corpus, is_unread, 3, np.random.default_rng(0))
    assert len(chosen) == 3
    assert set(chosen) <= set(corpus[::2])
    assert chosen == sorted(chosen)
    assert judged_phrases(corpus, is_unread & False, 20, np.random.default_rng(0)) == corpus


def test_another_seed_deals_others():
    assert (unread([1] * 50, 25, 1, "images") != unread([1] * 50, 25, 2, "images")).any()
    assert (unread([1] * 50, 25, 1, "images") != unread([1] * 50, 25, 1, "texts")).any()


def test_the_table_of_what_is_unread_is_what_items_are_chosen_by():
    prompts, corpus = [["one", "two"]] * 6, [f"phrase {row}" for row in range(8)]
    ids = [f"i{row}" for row in range(6)]
    table = unread_table(ids, prompts, corpus, {"images": 3, "texts": 4}, SEED)
    assert table.loc[table["kind"] == "images", "item"].tolist() == ids
    assert table.loc[table["kind"] == "texts", "item"].tolist() == corpus
    left = {kind: of.loc[of["unread"], "item"].tolist() for kind, of in table.groupby("kind")}
    assert left["images"] == [ids[row] for row in np.flatnonzero(unread([2] * 6, 3, SEED, "images"))]
    assert left["texts"] == [corpus[row] for row in np.flatnonzero(unread([1] * 8, 4, SEED, "texts"))]
    sample = pd.DataFrame({"image_id": ids, "photo": ids})
    images, phrases = judged_items(table, sample, ReadParams(images=9, phrases=9), SEED)
    assert (images["image_id"].tolist(), phrases) == (left["images"], left["texts"])
    counted = counts(table, ids, phrases)
    assert counted == {
        "images": 6, "images_in_training": 6 - len(left["images"]), "phrases": 4, "phrases_in_training": 0,
    }  # fmt: skip


def test_images_are_read_from_disk_as_they_are_dealt_each_with_its_own_prompts(tmp_path):
    pngs = [bytes([row]) * (row * 700) for row in range(40)]  # also one of no bytes
    groups = (pa.table({"image": pa.array(pngs[start : start + 10])}) for start in range(0, 40, 10))
    tables.write_parts(groups, tmp_path / "images.parquet", {})
    prompts = [[f"{row} first", f"{row} second"][: row % 3] for row in range(40)]
    pictured = Pictured(tmp_path / "images.parquet", prompts, tmp_path / "scratch/deep")
    expected = [Passage(text, png) for texts, png in zip(prompts, pngs, strict=True) for text in texts]
    assert len(pictured) == len(expected)
    assert list(pictured) == expected
    assert Deck(pictured, [SEED]).deal(30, 20) == Deck(expected, [SEED]).deal(30, 20)
    assert list((tmp_path / "scratch/deep").iterdir()) == []


def test_a_training_set_holds_no_picture(tmp_path):
    rows = pd.DataFrame({"image_id": [f"{row}" for row in range(9)], "label": "A", "image": [bytes(500_000)] * 9})
    tables.write(rows, tmp_path / "images.parquet", {})
    tables.write(hands_table(rows["image_id"].tolist(), rows["label"].tolist(), None), tmp_path / "hands.parquet", {})
    settings = SaeParams(preset="small", layers=1, prompts=["own"], text_share=0.5)
    preset = TopKPreset(
        architecture="topk", width=8, k=2, tokens=8, batch=2, buffer=4, lr=0.1, warm_up=0.1, decay=0.1, mean_norm=1.0,
        dead_after=2,
    )  # fmt: skip
    tracemalloc.start()
    study = training_set(tmp_path / "images.parquet", tmp_path / "hands.parquet", settings, preset, ["a"], SEED)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 2_000_000
    assert study.images.columns.tolist() == ["image_id", "label"]
    assert study.made_by["images_sha256"] == hashlib.sha256((tmp_path / "images.parquet").read_bytes()).hexdigest()
