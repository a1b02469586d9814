"""How a corpus is cut and an older index used: which phrases are read together depends on nothing that follows."""

import numpy as np
import pandas as pd
import pytest
import torch

from benchmarks.live_memory import LiveMemory
from signbridge.core.activations import layer_site
from signbridge.core.errors import SignBridgeError
from signbridge.core.shards import vectors_of
from signbridge.lenses.contexts import Block, Context, Reservoirs, parts_of, sampled_blocks
from signbridge.lenses.stored_vectors import write
from signbridge.lenses.text_index import (
    FullBlock,
    Indexed,
    LastIndex,
    index_corpus,
    keep,
    open_last,
    text_sites,
)
from signbridge.vlm.extraction import Reader
from tests.vlm.conftest import CPU, PROMPT, load, tiny_random

SENTENCES = [f"word{number % 7} stands in{' the' * (number % 3)} sentence {number}." for number in range(50)]


@pytest.fixture(scope="module")
def tokenizer(model_scratch):
    return load(tiny_random(), model_scratch, CPU).processor.tokenizer


def blocks_and_kept(tokenizer, sentences, size=16, contexts=3, **rule) -> tuple[list[Block], set[Context]]:
    reservoirs = Reservoirs(tokenizer, contexts, np.random.default_rng(0), **rule)
    return sampled_blocks(reservoirs, sentences, size), set(reservoirs.kept())


def test_a_full_block_stays_what_it_is_whatever_is_appended(tokenizer):
    short, _ = blocks_and_kept(tokenizer, SENTENCES[:40])
    long, _ = blocks_and_kept(tokenizer, SENTENCES)
    assert len(short) == 3
    assert len(long) == 4
    assert short[:2] == long[:2]
    assert short[2].digest != long[2].digest


def test_a_changed_phrase_changes_its_block_and_all_behind_it(tokenizer):
    changed = [*SENTENCES[:20], "another", *SENTENCES[21:]]
    one, other = (blocks_and_kept(tokenizer, sentences)[0] for sentences in (SENTENCES, changed))
    assert [a.digest == b.digest for a, b in zip(one, other, strict=True)] == [True, False, False, False]


@pytest.mark.parametrize("rule", [{}, {"skip": 2, "prefer": 5}], ids=["all alike", "later ones first"])
def test_every_context_that_is_kept_stands_in_one_part_shortest_phrases_first(tokenizer, rule):
    blocks, kept = blocks_and_kept(tokenizer, SENTENCES, **rule)
    parts = [part for block in blocks for part in parts_of(block, kept, {}, 4)]
    assert sorted(context for part in parts for context in part.contexts) == sorted(kept)
    assert max(len(part.sentences) for part in parts) == 4
    assert any(len(part.contexts) < len(part.sentences) for part in parts), "some of a part may be displaced later"
    for block in blocks:
        read = [sentence for part in parts_of(block, kept, {}, 4) for sentence in part.sentences]
        lengths = [(len(tokenizer(SENTENCES[sentence])["input_ids"]), sentence) for sentence in read]
        assert lengths == sorted(set(lengths))


def test_a_part_is_read_unless_all_its_rows_are_known():
    contexts = [Context(5, sentence, 1, 0, 1) for sentence in range(4)]
    block = Block("", contexts)
    known = {(0, 1): 7, (1, 1): 9, (2, 1): 11}
    first, second = parts_of(block, set(contexts), known, 2)
    assert (first.known, second.known) == ([7, 9], None)
    first, second = parts_of(block, {contexts[1], contexts[2]}, known, 2)
    assert (first.known, second.known) == ([9], [11])
    assert parts_of(block, set(), {}, 4)[0].known == [], "of what is displaced nothing needs to be read"


def test_the_rows_of_a_block_are_its_own_and_only_of_the_same_digest():
    rows = pd.DataFrame({"sentence": [0, 1, 4, 4, 5], "position": [1, 3, 2, 7, 1]})
    last = LastIndex(rows, {}, [FullBlock("x", 2), FullBlock("y", 3)])
    assert last.known(1, "y") == {(4, 2): 2, (4, 7): 3, (5, 1): 4}
    assert last.known(0, "y") == last.known(2, "y") == {}


def test_an_index_is_only_opened_for_what_made_it(tmp_path):
    write(tmp_path / "layer_00.safetensors", [np.ones((2, 4), np.float32)], 2, 4, "float8")
    for contexts, rows in ((2, 2), (3, None)):  # of a file with other rows than are told nothing is taken
        keep(tmp_path / "last", tmp_path, ["layer_00"], [Context(0, 0, 0, 0, 0)] * contexts, [], "one")
        opened = open_last(tmp_path / "last", "one")
        assert opened is None if rows is None else opened.vectors["layer_00"].rows == rows
        assert open_last(tmp_path / "last", "other") is None
    assert open_last(tmp_path / "none", "one") is None


def test_the_published_text_layers_reach_as_far_as_the_decoder():
    # hidden_states[i] is what i blocks leave: 1, 2, 4, 8, 16, 24, n - 2 and n - 1 of n in the published code.
    assert text_sites("published", 32) == [layer_site(block) for block in (0, 1, 3, 7, 15, 23, 29, 30)]
    assert text_sites("published", 28) == [layer_site(block) for block in (0, 1, 3, 7, 15, 23, 25, 26)]
    assert text_sites("published", 12) == [layer_site(block) for block in (0, 1, 3, 7, 9, 10)]
    assert text_sites("published", 2) == text_sites("published", 1) == [layer_site(0)]
    assert text_sites("to_the_last", 32) == [layer_site(block) for block in (0, 1, 3, 7, 15, 23, 30, 31)]
    assert text_sites("to_the_last", 12) == [layer_site(block) for block in (0, 1, 3, 7, 10, 11)]
    assert text_sites("to_the_last", 2) == [layer_site(0), layer_site(1)]
    assert text_sites([2, 0], 4) == [layer_site(0), layer_site(2)]
    with pytest.raises(SignBridgeError, match="0 to 3"):
        text_sites([4], 4)


def test_memory_that_runs_out_makes_the_whole_index_anew_with_smaller_batches(tiny, tmp_path):
    sites, corpus = [layer_site(2)], SENTENCES[:12]
    tokenizer = tiny.processor.tokenizer
    blocks, kept = blocks_and_kept(tokenizer, corpus)

    def index(reader: Reader, folder: str) -> Indexed:
        return index_corpus(reader, sites, corpus, blocks, kept, tmp_path / "none", "a", tmp_path / folder, 8)

    expected = index(Reader(tiny, PROMPT, 1, batch_size=1), "small")
    longest = max(map(len, tokenizer(corpus)["input_ids"]))
    with torch.inference_mode(), LiveMemory() as room_for_one:
        tiny.model(torch.zeros(1, longest, dtype=torch.long), use_cache=False, logits_to_keep=1)
    reader = Reader(tiny, PROMPT, 1, batch_size=2)
    forward = tiny.model.forward

    def crowded(*args, **inputs):
        with LiveMemory(1.1 * room_for_one.peak):
            return forward(*args, **inputs)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tiny.model, "forward", crowded)
        found = index(reader, "crowded")
    assert reader.batch_size == 1
    assert found.made_by == f"a, {reader.made_with}"
    for mine, theirs in zip(found.shards, expected.shards, strict=True):
        np.testing.assert_array_equal(vectors_of([mine], sites[0]), vectors_of([theirs], sites[0]))
