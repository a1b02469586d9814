"""Which occurrences of a token are kept, and the words that they are part of."""

from collections import Counter

import numpy as np
import pytest

from signbridge.lenses import contexts as of_contexts
from signbridge.lenses.contexts import Context, Reservoirs, word_around
from tests.vlm.conftest import CPU, load, tiny_random

SENTENCES = [f"word{number % 7} stands in sentence {number}." for number in range(60)]


@pytest.fixture(scope="module")
def tokenizer(model_scratch):
    return load(tiny_random(), model_scratch, CPU).processor.tokenizer


def sampled(tokenizer, contexts, seed=0, sentences=SENTENCES, **rule) -> list[Context]:
    reservoirs = Reservoirs(tokenizer, contexts, np.random.default_rng(seed), **rule)
    reservoirs.add(sentences)
    return reservoirs.kept()


def occurrences(tokenizer) -> Counter:
    special = set(tokenizer.all_special_ids)
    return Counter(t for text in SENTENCES for t in tokenizer(text)["input_ids"] if t not in special)


def test_every_token_has_as_many_contexts_as_it_occurs_or_as_are_asked_for(tokenizer):
    kept = Counter(context.token_id for context in sampled(tokenizer, 5))
    assert kept == {token: min(count, 5) for token, count in occurrences(tokenizer).items()}


def test_a_context_names_the_place_where_its_token_stands(tokenizer):
    for context in sampled(tokenizer, 3):
        assert tokenizer(SENTENCES[context.sentence])["input_ids"][context.position] == context.token_id


def test_no_occurrence_is_kept_twice(tokenizer):
    places = [(context.sentence, context.position) for context in sampled(tokenizer, 10)]
    assert len(places) == len(set(places))


def test_every_occurrence_is_as_likely_to_be_kept(tokenizer):
    common = occurrences(tokenizer).most_common(1)[0][0]
    kept = Counter(
        context.sentence // 20
        for seed in range(300)
        for context in sampled(tokenizer, 2, seed)
        if context.token_id == common
    )
    total = sum(kept.values())
    in_third = Counter(
        number // 20 for number, text in enumerate(SENTENCES) for t in tokenizer(text)["input_ids"] if t == common
    )
    for third, count in in_third.items():
        share = count / sum(in_third.values())
        assert abs(kept[third] / total - share) < 4 * (share * (1 - share) / total) ** 0.5


def places(tokenizer, token, **rule) -> list[int]:
    """Where the contexts of a token stand that is in every place of 30 sentences once."""
    sentences = [f"{'up ' * 12}{'is ' * number}" for number in range(30)]
    kept = [context for context in sampled(tokenizer, 20, sentences=sentences, **rule) if context.token_id == token]
    return [context.position for context in kept]


def test_the_first_tokens_of_a_sentence_have_no_context_and_later_ones_come_first(tokenizer):
    token = tokenizer("up up")["input_ids"][-1]
    everywhere = places(tokenizer, token)
    assert len(everywhere) == 20
    assert min(everywhere) < 4
    assert min(places(tokenizer, token, skip=4)) >= 4
    assert min(places(tokenizer, token, skip=2, prefer=8)) >= 8, "as there are twenty of them"


def test_earlier_contexts_fill_up_what_the_later_ones_leave(tokenizer):
    sentences = [f"one two three {'up ' * (number == 0)}four five six seven up" for number in range(30)]
    tokens = tokenizer(sentences[0])["input_ids"]
    token, early = tokens[-1], tokens.index(tokens[-1])
    late = sorted(number for number in range(30))
    for contexts, expected in ((40, 31), (20, 20)):
        kept = [
            context for context in sampled(tokenizer, contexts, sentences=sentences, prefer=early + 1)
            if context.token_id == token
        ]  # fmt: skip
        assert len(kept) == expected
        before = [context for context in kept if context.position == early]
        assert len(before) == (contexts > len(late)), "the early one comes only where there is room"


def test_with_nothing_skipped_or_preferred_every_occurrence_is_alike(tokenizer):
    assert sampled(tokenizer, 2, skip=0, prefer=0) == sampled(tokenizer, 2)


def test_the_seed_decides(tokenizer):
    assert sampled(tokenizer, 2) == sampled(tokenizer, 2)
    assert sampled(tokenizer, 2) != sampled(tokenizer, 2, seed=1)


def test_the_way_the_corpus_is_handed_over_changes_nothing(tokenizer, monkeypatch):
    whole, lengths = sampled(tokenizer, 3), [len(tokenizer(sentence)["input_ids"]) for sentence in SENTENCES]
    monkeypatch.setattr(of_contexts, "TOKENISED_TOGETHER", 7)
    reservoirs = Reservoirs(tokenizer, 3, np.random.default_rng(0))
    assert reservoirs.add(SENTENCES[:25]) + reservoirs.add(SENTENCES[25:]) == lengths
    assert reservoirs.kept() == whole
    assert reservoirs.kept(40) == [context for context in whole if context.sentence >= 40]


@pytest.mark.parametrize(
    ("sentence", "part", "word"),
    [
        ("The fingertips touch.", "tips", "fingertips"),
        ("The fingertips touch.", " fing", "fingertips"),
        ("a half-open hand", "half", "half-open"),
        ("up, and down", ",", ","),
        ("up, and down", "up", "up"),
        ("it's", "s", "it's"),
    ],
)
def test_a_part_of_a_word_is_completed_to_the_word_without_punctuation(sentence, part, word):
    start = sentence.index(part)
    first, last = word_around(sentence, start, start + len(part))
    assert sentence[first:last] == word
