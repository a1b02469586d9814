"""The table of the three lenses, beside each lens written out in full."""

import numpy as np
import pandas as pd
import pytest
import torch

from signbridge.activations import layer_site
from signbridge.extraction import Reader
from signbridge.lenses import stored_vectors
from signbridge.lenses.latent import reads_text
from signbridge.lenses.stored_vectors import StoredVectors
from signbridge.lenses.table import COLUMNS, lens_rows
from signbridge.lenses.text_index import TextIndex
from signbridge.vlm.residual import decoder_sites, reading
from tests.vlm.conftest import PROMPT

IDS, PATCHES, K = ["one", "two"], np.array([3, 5, 8]), 4
SITES = [layer_site(0), layer_site(3)]


@pytest.fixture(scope="module")
def width(tiny) -> int:
    return tiny.model.config.get_text_config().hidden_size


@pytest.fixture(scope="module")
def text(width) -> np.ndarray:
    """Two text layers of ten vectors."""
    return np.random.default_rng(1).normal(size=(2, 10, width)).astype(np.float32)


@pytest.fixture(scope="module")
def index(text, width, tmp_path_factory) -> TextIndex:
    folder = tmp_path_factory.mktemp("index")
    for site, vectors in zip(SITES, text, strict=True):
        stored_vectors.write(folder / f"{site}.safetensors", [vectors], 10, width, "float16")
    contexts = pd.DataFrame(
        {
            "token_id": range(10),
            "token": [f"t{row}" for row in range(10)],
            "word": [f"word{row}" for row in range(10)],
            "sentence": [f"A word{row} here." for row in range(10)],
            "start": 2,
            "end": 7,
        }
    )
    return TextIndex(contexts, {site: StoredVectors.open(folder / f"{site}.safetensors") for site in SITES})


@pytest.fixture(scope="module")
def vectors(width) -> np.ndarray:
    return np.random.default_rng(0).normal(size=(2, 3, width)).astype(np.float32)


@pytest.fixture(scope="module")
def rows(tiny, vectors, index) -> pd.DataFrame:
    return lens_rows(vectors, IDS, PATCHES, "layer_01", tiny, index, K, 2**24)


def of(rows, lens) -> pd.DataFrame:
    return rows[rows["lens"] == lens].reset_index(drop=True)


def test_every_patch_has_its_k_words_under_each_lens_best_first(rows):
    assert list(rows.columns) == COLUMNS
    for lens in ("embedding", "logit", "latent"):
        mine = of(rows, lens)
        assert list(mine["image_id"]) == list(np.repeat(IDS, 3 * K))
        assert list(mine["patch"]) == list(np.tile(np.repeat(PATCHES, K), 2))
        assert list(mine["rank"]) == list(range(1, K + 1)) * 6
        assert (np.diff(mine["score"].to_numpy().reshape(6, K)) <= 0).all()


def test_the_embedding_lens_is_the_cosine_with_the_input_embeddings(rows, tiny, vectors):
    table = tiny.model.get_input_embeddings().weight.detach().numpy()
    flat = vectors.reshape(6, -1)
    cosine = flat @ table.T / np.linalg.norm(flat, axis=1)[:, None] / np.maximum(np.linalg.norm(table, axis=1), 1e-12)
    best = np.argsort(-cosine, axis=1)[:, :K]
    mine = of(rows, "embedding")
    tokens = tiny.processor.tokenizer.convert_ids_to_tokens(best.ravel().tolist())
    assert list(mine["token"]) == [token or "" for token in tokens]
    np.testing.assert_allclose(mine["score"], np.take_along_axis(cosine, best, 1).ravel(), atol=1e-5)


@torch.inference_mode()
def test_the_logit_lens_of_the_last_stream_is_what_the_model_says(tiny, index, images):
    inputs = Reader(tiny, PROMPT, 1, batch_size=2).prepare(images[:1])
    run = tiny.model(**inputs, output_hidden_states=True)
    streams = {}
    with reading(tiny.parts, lambda site, stream: streams.update({site: stream.clone()})):
        tiny.model(**inputs)
    last = streams[decoder_sites(tiny.parts)[-1]][:, -1:].numpy()
    mine = of(lens_rows(last, ["one"], np.array([0]), "last", tiny, index, K, 2**24), "logit")
    logits, tokens = torch.topk(run.logits[0, -1], K)
    np.testing.assert_allclose(mine["score"], logits, rtol=1e-4, atol=1e-4)
    tokens = tiny.processor.tokenizer.convert_ids_to_tokens(tokens.tolist())
    assert list(mine["token"]) == [token or "" for token in tokens]


def test_the_latent_lens_is_the_nearest_text_vector_of_any_layer_with_its_sentence(rows, vectors, text):
    flat = vectors.reshape(6, -1)
    every = text.reshape(20, -1)
    cosine = flat @ every.T / np.linalg.norm(flat, axis=1)[:, None] / np.linalg.norm(every, axis=1)
    best = np.argsort(-cosine, axis=1)[:, :K].ravel()
    mine = of(rows, "latent")
    assert list(mine["word"]) == [f"word{row % 10}" for row in best]
    assert list(mine["text_site"]) == [SITES[row // 10] for row in best]
    assert all(sentence[2:7] == word for sentence, word in zip(mine["sentence"], mine["word"], strict=True))


def index_of(folder, vectors, words, sentences) -> TextIndex:
    stored_vectors.write(folder / "layer_00.safetensors", [vectors], len(vectors), vectors.shape[1], "float16")
    contexts = pd.DataFrame({"word": words, "sentence": sentences})
    return TextIndex(contexts, {"layer_00": StoredVectors.open(folder / "layer_00.safetensors")})


def test_words_whose_vectors_lie_together_across_sentences_are_read_right(tmp_path):
    generator = np.random.default_rng(0)
    centres = np.repeat(np.eye(8, dtype=np.float32), 5, axis=0)
    vectors = centres + generator.normal(0, 0.05, centres.shape).astype(np.float32)
    words, sentences = np.repeat(list("abcdefgh"), 5), np.tile([f"s{number}" for number in range(5)], 8)
    index = index_of(tmp_path, vectors, words, sentences)
    assert reads_text(index, 40, np.random.default_rng(1), 2**24) == 1
    shuffled = index._replace(contexts=index.contexts.assign(word=generator.permutation(words)))
    assert reads_text(shuffled, 40, np.random.default_rng(1), 2**24) < 0.5


def test_a_words_own_sentence_does_not_count(tmp_path):
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]  # each word's twin stands in its own sentence
    index = index_of(tmp_path, vectors, ["a", "a", "b", "b"], ["s", "s", "t", "t"])
    assert reads_text(index, 4, np.random.default_rng(0), 2**24) == 0
    alone = index._replace(contexts=index.contexts.assign(sentence="s"))
    assert np.isnan(reads_text(alone, 4, np.random.default_rng(0), 2**24))


def test_only_the_latent_lens_has_a_sentence(rows):
    others = rows[rows["lens"] != "latent"]
    assert set(others["sentence"]) == set(others["text_site"]) == {""}
