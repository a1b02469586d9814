"""The table of the three lenses, beside each lens written out in full."""

import numpy as np
import pandas as pd
import pytest
import torch

from signbridge.core.activations import layer_site
from signbridge.lenses import stored_vectors
from signbridge.lenses.lens import (
    COLUMNS,
    embedding_lens,
    latent_lens,
    lens_rows,
    numbered,
    reads_text,
    recall_of_some,
    vocabulary_table,
)
from signbridge.lenses.stored_vectors import StoredVectors, TextIndex
from signbridge.vlm.extraction import Reader
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
def vocabulary(tiny) -> pd.DataFrame:
    return vocabulary_table(tiny.processor.tokenizer, len(tiny.model.get_input_embeddings().weight))


@pytest.fixture(scope="module")
def rows(tiny, vectors, vocabulary, index) -> pd.DataFrame:
    return rows_of(vectors, IDS, PATCHES, tiny, vocabulary, index)


def rows_of(vectors, ids, patches, tiny, vocabulary, index, found=None) -> pd.DataFrame:
    flat = torch.from_numpy(vectors).flatten(0, 1)
    found = found or latent_lens(flat, index, K, 2**24)
    return lens_rows(flat, ids, patches, "layer_01", tiny, vocabulary, index, found, K)


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


def firsts(order: np.ndarray, word: np.ndarray) -> np.ndarray:
    """The slow way to the first K rows of different words."""
    return np.array([of_query[np.sort(np.unique(word[of_query], return_index=True)[1])][:K] for of_query in order])


def test_the_embedding_lens_is_the_cosine_with_the_input_embeddings(rows, tiny, vectors, vocabulary):
    table = tiny.model.get_input_embeddings().weight.detach().numpy()
    flat = vectors.reshape(6, -1)
    cosine = flat @ table.T / np.linalg.norm(flat, axis=1)[:, None] / np.maximum(np.linalg.norm(table, axis=1), 1e-12)
    best = firsts(np.argsort(-cosine, axis=1), numbered(vocabulary["word"]).numpy())
    mine = of(rows, "embedding")
    tokens = tiny.processor.tokenizer.convert_ids_to_tokens(best.ravel().tolist())
    assert list(mine["token"]) == [token or "" for token in tokens]
    assert list(mine["row"]) == list(best.ravel())
    np.testing.assert_allclose(mine["score"], np.take_along_axis(cosine, best, 1).ravel(), atol=1e-5)


@torch.inference_mode()
def test_the_logit_lens_of_the_last_stream_is_what_the_model_says(tiny, vocabulary, index, images):
    inputs = Reader(tiny, PROMPT, 1, batch_size=2).prepare(images[:1])
    run = tiny.model(**inputs, output_hidden_states=True)
    streams = {}
    with reading(tiny.parts, lambda site, stream: streams.update({site: stream.clone()})):
        tiny.model(**inputs)
    last = streams[decoder_sites(tiny.parts)[-1]][:, -1:].numpy()
    mine = of(rows_of(last, ["one"], np.array([0]), tiny, vocabulary, index), "logit")
    logits = run.logits[0, -1].numpy()
    best = firsts(np.argsort(-logits)[None], numbered(vocabulary["word"]).numpy())[0]
    np.testing.assert_allclose(mine["score"], logits[best], rtol=1e-4, atol=1e-4)
    assert list(mine["row"]) == best.tolist()
    tokens = tiny.processor.tokenizer.convert_ids_to_tokens(best.tolist())
    assert list(mine["token"]) == [token or "" for token in tokens]


def test_the_latent_lens_is_the_nearest_text_vector_of_any_layer_with_its_sentence(rows, vectors, text):
    flat = vectors.reshape(6, -1)
    every = text.reshape(20, -1)
    cosine = flat @ every.T / np.linalg.norm(flat, axis=1)[:, None] / np.linalg.norm(every, axis=1)
    best = firsts(np.argsort(-cosine, axis=1), np.arange(20) % 10).ravel()
    mine = of(rows, "latent")
    assert list(mine["row"]) == list(best % 10)
    assert list(mine["word"]) == [f"word{row % 10}" for row in best]
    assert list(mine["text_site"]) == [SITES[row // 10] for row in best]
    assert all(sentence[2:7] == word for sentence, word in zip(mine["sentence"], mine["word"], strict=True))


def test_every_lens_says_k_different_words_where_the_nearest_repeat_one(tiny, vectors, index, width):
    """Nine of ten contexts and nine of ten tokens are one word, in this case or that; the others are their own."""
    unit = np.zeros((1, 1, width), np.float32)
    unit[..., 0] = 1
    flat = torch.from_numpy(unit).flatten(0, 1)
    words = [f"Word{number}" if number % 10 == 0 else ("The", "the")[number % 2] for number in range(60)]
    embeddings = torch.eye(width)[torch.zeros(60).long()] * torch.linspace(2, 1, 60)[:, None]
    embeddings[:, 1] = torch.linspace(0, 1, 60)  # ever farther from the patch
    scores, tokens = embedding_lens(flat, embeddings, numbered(pd.Series(words)), K)
    assert [words[token].lower() for token in tokens[0]] == ["word0", "the", "word10", "word20"]
    assert (scores.diff() < 0).all()
    repeated = index._replace(contexts=index.contexts.assign(word=["The", "the"] * 3 + ["a", "b", "C", "c"]))
    found = latent_lens(torch.from_numpy(vectors).flatten(0, 1), repeated, K, 2**24)
    said = repeated.contexts["word"].str.lower().to_numpy()[found.row.numpy()]
    assert [sorted(row) for row in said] == [["a", "b", "c", "the"]] * 6


def test_the_vocabulary_says_the_word_of_every_token_and_nothing_where_there_is_none(tiny):
    tokenizer = tiny.processor.tokenizer
    found = vocabulary_table(tokenizer, len(tokenizer) + 3)
    assert list(found.columns) == ["token", "word"]
    assert list(found["token"][: len(tokenizer)]) == tokenizer.convert_ids_to_tokens(list(range(len(tokenizer))))
    assert list(found["word"]) == [tokenizer.decode([row]).strip() for row in range(len(found))]
    assert (found[len(tokenizer) :] == "").all(axis=None)


def test_the_lenses_of_the_vocabulary_say_what_stands_in_its_rows(rows, vocabulary):
    of_vocabulary = rows[rows["lens"] != "latent"]
    expected = vocabulary.iloc[of_vocabulary["row"]].reset_index(drop=True)
    pd.testing.assert_frame_equal(of_vocabulary[["token", "word"]].reset_index(drop=True), expected)


def test_a_neighbour_that_was_not_found_has_no_row_and_the_others_keep_their_ranks(
    rows, tiny, vectors, vocabulary, index
):
    flat = torch.from_numpy(vectors).flatten(0, 1)
    found = latent_lens(flat, index, K, 2**24)
    for query, place in ((0, 2), (0, 3), (4, 0)):
        found.score[query, place], found.row[query, place], found.layer[query, place] = -torch.inf, -1, -1
    left = rows_of(vectors, IDS, PATCHES, tiny, vocabulary, index, found)
    missing = [row for row in of(rows, "latent").index if divmod(row, K) in ((0, 2), (0, 3), (4, 0))]
    pd.testing.assert_frame_equal(of(left, "latent"), of(rows, "latent").drop(missing).reset_index(drop=True))
    others = rows["lens"] != "latent"
    pd.testing.assert_frame_equal(left[left["lens"] != "latent"], rows[others])


def test_an_index_with_fewer_vectors_than_k_is_shown_whole(tiny, vectors, vocabulary, index):
    flat = torch.from_numpy(vectors).flatten(0, 1)
    few = latent_lens(flat, index, 2, 2**24)
    rows = rows_of(vectors, IDS, PATCHES, tiny, vocabulary, index, few)
    assert list(of(rows, "latent")["rank"]) == [1, 2] * 6
    assert list(of(rows, "logit")["rank"]) == list(range(1, K + 1)) * 6


def test_a_vocabulary_of_fewer_words_than_k_is_shown_whole(tiny, vectors, vocabulary, index):
    few = vocabulary.assign(word=["one" if row % 2 else "two" for row in range(len(vocabulary))])
    rows = rows_of(vectors, IDS, PATCHES, tiny, few, index)
    assert list(of(rows, "embedding")["rank"]) == list(of(rows, "logit")["rank"]) == [1, 2] * 6
    assert set(of(rows, "logit")["word"][:2]) == {"one", "two"}


def test_recall_is_of_the_drawn_patches_own_neighbours(vectors, index):
    flat = torch.from_numpy(np.random.default_rng(5).normal(size=(300, vectors.shape[-1])).astype(np.float32))
    found = latent_lens(flat, index, K, 2**24)
    assert recall_of_some(found, flat, index, 2**24, np.random.default_rng(0)) == 1
    half = found._replace(row=torch.cat([found.row[:, : K // 2], torch.full_like(found.row[:, K // 2 :], -1)], dim=1))
    assert recall_of_some(half, flat, index, 2**24, np.random.default_rng(0)) == 0.5


def index_of(folder, vectors, words, sentences) -> TextIndex:
    stored_vectors.write(folder / "layer_00.safetensors", [vectors], len(vectors), vectors.shape[1], "float16")
    ends = [len(sentence) for sentence in sentences]
    contexts = pd.DataFrame({"word": words, "sentence": sentences, "end": ends})
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


def test_a_words_own_sentence_and_the_same_words_before_it_do_not_count(tmp_path):
    vectors = np.eye(4, dtype=np.float32)[[0, 0, 1, 1]]  # each word's twin stands in its own sentence
    index = index_of(tmp_path, vectors, ["a", "a", "b", "b"], ["s", "s", "t", "t"])
    assert reads_text(index, 4, np.random.default_rng(0), 2**24) == 0
    alone = index._replace(contexts=index.contexts.assign(sentence="s"))
    assert np.isnan(reads_text(alone, 4, np.random.default_rng(0), 2**24))
    # Or in a sentence that begins alike, where a causal model has the same vector whatever it has learnt.
    alike = index._replace(contexts=index.contexts.assign(sentence=["It is one", "It is two", "so it", "so on"], end=5))
    assert reads_text(alike, 4, np.random.default_rng(0), 2**24) == 0.5


def test_only_the_latent_lens_has_a_sentence(rows):
    others = rows[rows["lens"] != "latent"]
    assert set(others["sentence"]) == set(others["text_site"]) == {""}
