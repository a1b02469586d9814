"""The stages `text_index` and `lens`, with the tiny random model."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from signbridge import tables
from signbridge.lenses.text_index import open_index
from stages import lens, text_index
from tests.stages.causal_study import IDS, PHOTOS, copy_to_run, extracted, resumes_with_the_same_bytes
from tests.stages.small_study import as_declared, declared, written_by

CORPUS = Path("corpus.txt")
PHRASES = [
    f"The {finger} finger is {how}." for finger in ("index", "middle", "ring") for how in ("up", "bent", "hooked")
]
CONTEXTS, IMAGES, PATCHES, K = 2, 5, 9, 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, dict[str, bytes]]]:
    """The folder of a study whose stages have run, and what each wrote."""
    folder = tmp_path_factory.mktemp("lens")
    with extracted(folder) as workspace:
        CORPUS.write_text("\n".join(PHRASES), encoding="utf-8")
        workspace.set(
            text_index={"corpus": str(CORPUS), "templates": [], "contexts": CONTEXTS, "layers": "published",
                        "storage": "float8"},
            lenses={"images": IMAGES, "patches": PATCHES, "layers": 3, "k": K, "memory_gib": 0.1},
        )  # fmt: skip
        return folder, {"text_index": written_by(text_index.main), "lens": written_by(lens.main)}


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


@pytest.mark.parametrize("stage", ["text_index", "lens"])
def test_a_stage_writes_what_it_declares(finished, stage):
    assert as_declared(stage, finished[1][stage]) == declared(stage)


def test_the_index_has_a_vector_a_context_at_every_text_layer(study):
    index = open_index(text_index.INDEX)
    assert set(Counter(index.contexts["token_id"]).values()) <= {1, 2}
    assert set(index.contexts["sentence"]) <= set(PHRASES)
    assert list(index.vectors) == tables.made_by(text_index.INDEX / "contexts.parquet")["sites"]
    for vectors in index.vectors.values():
        assert vectors.rows == len(index.contexts)
        block = vectors.block(0, vectors.rows, "cpu").numpy()
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), 1, rtol=1e-5)


def test_every_patch_of_images_of_different_photos_says_k_words_under_each_lens(study):
    table = tables.read(lens.LENSES)
    shown = sorted(set(table["image_id"]))
    photo = dict(zip(IDS, PHOTOS, strict=True))
    assert len(shown) == len({photo[image] for image in shown}) == IMAGES
    assert table.groupby(["image_id", "site", "lens", "patch"]).size().unique().tolist() == [K]
    assert len(table) == IMAGES * table["site"].nunique() * 3 * table["patch"].nunique() * K
    latent = table[table["lens"] == "latent"]
    assert set(latent["sentence"]) <= set(PHRASES)
    assert all(row.sentence[row.start : row.end] == row.word for row in latent.itertuples())


def test_a_killed_index_goes_on_to_the_same_bytes(study, monkeypatch):
    resumes_with_the_same_bytes(text_index.main, monkeypatch, killed_after=1, shards=2)


def test_a_killed_lens_goes_on_to_the_same_bytes(study, monkeypatch):
    resumes_with_the_same_bytes(lens.main, monkeypatch, killed_after=0, shards=1)


def test_sixteen_bits_on_a_switch_give_nearly_the_same_words(study):
    before = tables.read(lens.LENSES)
    study.set(text_index__storage="float16")
    text_index.main()
    lens.main()
    after = tables.read(lens.LENSES)
    latent = before["lens"] == "latent"
    assert (before.loc[~latent] == after.loc[~latent]).all(axis=None)
    same = (before.loc[latent, "word"] == after.loc[latent, "word"]).mean()
    assert same > 0.8
    assert np.abs(before.loc[latent, "score"] - after.loc[latent, "score"]).max() < 0.02


def test_a_missing_corpus_is_named_and_an_older_index_is_kept(study):
    before = (text_index.INDEX / "contexts.parquet").read_bytes()
    CORPUS.unlink()
    assert "corpus.txt" in study.message_of_failure(text_index.main)
    assert (text_index.INDEX / "contexts.parquet").read_bytes() == before


def test_a_missing_index_is_named(study):
    (text_index.INDEX / "contexts.parquet").unlink()
    assert "contexts.parquet" in study.message_of_failure(lens.main)


def test_a_layer_that_the_decoder_does_not_have_is_refused(study):
    study.set(text_index__layers=[0, 99])
    assert "text_index.layers" in study.message_of_failure(text_index.main)
