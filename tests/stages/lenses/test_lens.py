"""The stages `text_index` and `lens`, with the tiny random model."""

import importlib.util
import logging
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from signbridge.core import params, tables
from signbridge.lenses.stored_vectors import open_index
from stages.lenses import lens, text_index
from tests.stages.causal_study import (
    IDS,
    PHOTOS,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.lens_study import LENSES, TEXT_INDEX, sampled
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
    with sampled(folder, PHRASES) as workspace:
        workspace.set_in(
            params.LENSES, text_index={**TEXT_INDEX, "contexts": CONTEXTS, "layers": "published"},
            lenses={**LENSES, "images": IMAGES, "patches": PATCHES, "layers": 3, "k": K},
        )  # fmt: skip
        return folder, {"text_index": written_by(text_index.main), "lens": written_by(lens.main)}


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


@pytest.mark.parametrize("stage", ["text_index", "lens"])
def test_a_stage_writes_what_it_declares(finished, stage):
    assert as_declared(f"lenses.{stage}", finished[1][stage]) == declared(f"lenses.{stage}")


def test_the_index_has_a_vector_a_context_at_every_text_layer(study):
    index = open_index(text_index.INDEX)
    assert set(Counter(index.contexts["token_id"]).values()) <= {1, 2}
    assert set(index.contexts["sentence"]) <= set(PHRASES)
    assert list(index.vectors) == tables.made_by(text_index.INDEX / "contexts.parquet")["sites"]
    for vectors in index.vectors.values():
        assert vectors.rows == len(index.contexts)
        block = vectors.block(0, vectors.rows, "cpu").numpy()
        np.testing.assert_allclose(np.linalg.norm(block, axis=1), 1, rtol=1e-5)


def test_the_first_tokens_of_a_phrase_are_in_the_index_only_if_they_are_asked_for(study):
    of_first_words = {}
    for skip in (0, 5):
        study.set_in(params.LENSES, text_index__skip=skip, text_index__prefer=0)
        text_index.main()
        of_first_words[skip] = (open_index(text_index.INDEX).contexts["start"] == 0).sum()
    assert of_first_words[5] == 0 < of_first_words[0]


def test_every_patch_of_images_of_different_photos_says_k_different_words_under_each_lens(study):
    table = tables.read(lens.WORDS)
    shown = sorted(set(table["image_id"]))
    photo = dict(zip(IDS, PHOTOS, strict=True))
    assert len(shown) == len({photo[image] for image in shown}) == IMAGES
    said = table["word"].str.lower().groupby([table[name] for name in ("image_id", "site", "lens", "patch")])
    assert said.size().unique().tolist() == said.nunique().unique().tolist() == [K]
    assert len(table) == IMAGES * table["site"].nunique() * 3 * table["patch"].nunique() * K
    latent = table[table["lens"] == "latent"]
    assert set(latent["sentence"]) <= set(PHRASES)
    assert all(row.sentence[row.start : row.end] == row.word for row in latent.itertuples())
    of_index = open_index(text_index.INDEX).contexts.iloc[latent["row"]]
    assert list(of_index["sentence"]) == list(latent["sentence"])


def test_the_grid_of_all_image_tokens_is_in_the_table(study):
    words = tables.read(lens.WORDS)
    rows, columns = words[["rows", "columns"]].iloc[0]
    assert (words[["rows", "columns"]] == [rows, columns]).all(axis=None)
    assert rows == columns
    assert words["patch"].max() < rows * columns


@pytest.mark.slow
def test_a_killed_index_goes_on_to_the_same_bytes(study, monkeypatch):
    resumes_with_the_same_bytes(text_index.main, monkeypatch, killed_after=1, shards=2)


@pytest.mark.slow
def test_a_killed_lens_goes_on_to_the_same_bytes(study, monkeypatch):
    resumes_with_the_same_bytes(lens.main, monkeypatch, killed_after=0, shards=1)


def test_sixteen_bits_on_a_switch_give_nearly_the_same_words(study):
    before = tables.read(lens.WORDS)
    study.set_in(params.LENSES, text_index__storage="float16")
    text_index.main()
    lens.main()
    after = tables.read(lens.WORDS)
    latent = before["lens"] == "latent"
    assert (before.loc[~latent] == after.loc[~latent]).all(axis=None)
    same = (before.loc[latent, "word"] == after.loc[latent, "word"]).mean()
    assert same > 0.8
    assert np.abs(before.loc[latent, "score"] - after.loc[latent, "score"]).max() < 0.02


@pytest.mark.skipif(importlib.util.find_spec("faiss") is None, reason="needs faiss")
def test_approximate_search_tells_what_it_misses_and_finds_all_in_all_cells(study, caplog):
    caplog.set_level(logging.INFO)
    before = tables.read(lens.WORDS)
    assert set(tables.read(lens.CHECKS)["check"]) == {"text_words"}
    found = {}
    for probes in (1, 1000):
        study.set_in(params.LENSES, lenses__search="approximate", lenses__cells=probes)
        lens.main()
        checks = tables.read(lens.CHECKS)
        found[probes] = checks[checks["check"] == "recall"].set_index("site")["share"].to_dict()
    assert list(found[1]) == list(dict.fromkeys(before["site"]))
    assert all(found[1][site] < found[1000][site] for site in found[1])
    site, share = next(iter(found[1].items()))
    said = f"{site}: approximate search finds {100 * share:.1f} % of the exact neighbours ({IMAGES * PATCHES} patches)"
    assert said in caplog.text
    after = tables.read(lens.WORDS)
    assert list(after["rank"]) == list(before["rank"])
    # Of equal vectors, which are common in so small a model, it may find others: the scores are those of the best.
    np.testing.assert_allclose(after["score"], before["score"], atol=1e-3)


def test_approximate_search_without_faiss_is_refused_before_the_model_is_run(study, monkeypatch):
    monkeypatch.setitem(sys.modules, "faiss", None)
    study.set_in(params.LENSES, lenses__search="approximate")
    monkeypatch.setattr(lens, "model_run", None)
    message = study.message_of_failure(lens.main)
    assert "faiss" in message
    assert "[lenses]" in message


def test_a_missing_corpus_is_named_and_an_older_index_is_kept(study):
    before = (text_index.INDEX / "contexts.parquet").read_bytes()
    CORPUS.unlink()
    assert "corpus.txt" in study.message_of_failure(text_index.main)
    assert (text_index.INDEX / "contexts.parquet").read_bytes() == before


def test_a_missing_index_is_named(study):
    (text_index.INDEX / "contexts.parquet").unlink()
    assert "contexts.parquet" in study.message_of_failure(lens.main)


def test_a_layer_that_the_decoder_does_not_have_is_refused(study):
    study.set_in(params.LENSES, text_index__layers=[0, 99])
    assert "text_index.layers" in study.message_of_failure(text_index.main)
