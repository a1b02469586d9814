"""The stage `interpretable`, on the lenses of a small study."""

import json
from pathlib import Path

import numpy as np
import pytest

from signbridge.core import tables
from signbridge.datasets.images import encode_png
from signbridge.rendered.hand_words import words_of_letters
from stages.lenses import interpretable, lens, text_index
from tests.stages.causal_study import copy_to_run, extracted
from tests.stages.small_study import as_declared, declared, written_by

CORPUS = Path("corpus.txt")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what it wrote."""
    folder = tmp_path_factory.mktemp("interpretable")
    with extracted(folder) as workspace:
        CORPUS.write_text(
            "The finger is up.\nThe finger is bent.\nThe hand is up.\nThe hand is bent.", encoding="utf-8"
        )
        workspace.set(
            text_index={"corpus": str(CORPUS), "templates": [], "contexts": 4, "layers": [0, 1], "storage": "float8"},
            lenses={"images": 8, "patches": 9, "layers": 3, "k": 3, "search": "exact", "probes": 4, "memory_gib": 0.1},
            interpretable={"draws": 3, "text_words": 20},
            model_notes={"tiny-random": "it has learnt nothing"},
        )
        sample = tables.read("data/sample.parquet")
        tables.write(sample, "data/sample.parquet", {"images": {"source": "image_folder"}})
        text_index.main()
        lens.main()
        return folder, written_by(interpretable.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_what_is_declared_is_written_for_every_lens_and_layer(study, finished):
    assert as_declared("interpretable", finished[1]) == declared("interpretable")
    table = tables.read_csv("plots/lenses.csv")
    assert set(table["lens"]) == {"embedding", "logit", "latent"}
    assert table.groupby("lens").size().unique().tolist() == [3]
    found = json.loads(Path("metrics/lenses.json").read_text())
    assert found["model"] == "tiny-random (it has learnt nothing)"
    assert 0 <= found["latent_text_words_right"] <= 1
    assert not any(key.startswith("leap") and not 0 <= found[key] <= 1 for key in found)


def test_every_patch_is_there_with_its_hand_and_the_words_are_in_the_metadata(study):
    patches, table = tables.read("data/patches.parquet"), tables.read("data/lenses.parquet")
    keys = ["image_id", "site", "lens", "patch"]
    assert len(patches) == len(table[keys].drop_duplicates())
    assert len(patches.merge(table[keys].drop_duplicates(), on=keys)) == len(patches)
    assert set(patches["interpretable"]) <= {0.0, 1.0}
    assert patches[["other_image", "scrambled_corpus", "hand"]].stack().between(0, 1).all()
    words = tables.made_by("data/patches.parquet")["words"]
    labels = tables.read("data/sample.parquet").set_index("image_id")["label"]
    assert words.keys() == set(patches["image_id"])
    assert all(words[image] == sorted(words_of_letters()[labels[image]]) for image in words)


def show(square: np.ndarray) -> None:
    """The same pixels for every image of the sample, after the lenses have looked at it."""
    sample, made_by = tables.read("data/sample.parquet"), tables.made_by("data/sample.parquet")
    tables.write(sample.assign(image=[encode_png(square)] * len(sample)), "data/sample.parquet", made_by)


def test_the_hand_is_on_the_patches_that_show_it(study):
    picture = np.full((56, 56), 100, np.uint8)
    picture[24:56, 8:24] = 240  # below, left of the middle: neither turned nor mirrored it would be the same patches
    show(picture)
    interpretable.main()
    patches = tables.read("data/patches.parquet")
    rows, columns = tables.made_by("data/lenses.parquet")["grid"]
    down, right = (np.array(patches["patch"]) // columns + 0.5) / rows, (patches["patch"] % columns + 0.5) / columns
    on_it = (down > 24 / 56) & (right > 8 / 56) & (right < 24 / 56)
    hand = patches["hand"]
    assert 0 < on_it.mean() < 1
    assert hand[on_it].min() > 0.5 > hand[~on_it].max()
    on_hand = tables.read_csv("plots/lenses_on_hand.csv")
    assert set(on_hand["lens"]) == {"embedding", "logit", "latent"}
    assert "latent_hand_minus_background" in json.loads(Path("metrics/lenses.json").read_text())


@pytest.mark.parametrize("why", ["image", "tokens"])
def test_where_image_or_tokens_are_no_square_nothing_is_said_of_the_hand_but_all_else(study, why):
    before = Path("plots/lenses.csv").read_bytes()
    if why == "image":
        show(np.zeros((28, 40), np.uint8))
    else:
        made_by = tables.made_by("data/lenses.parquet")
        tables.write(tables.read("data/lenses.parquet"), "data/lenses.parquet", {**made_by, "grid": None})
    interpretable.main()
    assert tables.read("data/patches.parquet")["hand"].isna().all()
    assert tables.read_csv("plots/lenses_on_hand.csv").empty
    assert not any("hand_minus" in key for key in json.loads(Path("metrics/lenses.json").read_text()))
    assert Path("plots/lenses.csv").read_bytes() == before


def test_the_same_study_gives_the_same_bytes(study, finished):
    interpretable.main()
    assert {path: Path(path).read_bytes() for path in finished[1]} == finished[1]


def test_classes_that_are_no_letters_have_no_shares_but_text_layers(study):
    sample = tables.read("data/sample.parquet")
    made_by = tables.made_by("data/sample.parquet")
    tables.write(sample.assign(label=sample["label"].map("thumb_{}".format)), "data/sample.parquet", made_by)
    interpretable.main()
    assert tables.read_csv("plots/lenses.csv").empty
    assert tables.read_csv("plots/lenses_on_hand.csv").empty
    assert tables.read("data/patches.parquet").empty
    assert not tables.read_csv("plots/lens_leap.csv").empty
    assert "latent_share" not in json.loads(Path("metrics/lenses.json").read_text())


def test_a_missing_vocabulary_is_named(study):
    Path("data/vocabulary.parquet").unlink()
    assert "vocabulary.parquet" in study.message_of_failure(interpretable.main)
