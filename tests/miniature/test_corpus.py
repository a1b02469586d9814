"""The sentences that the miniature's image tokens are compared with."""

from models.miniature.corpus import CORPUS, corpus


def test_the_corpus_in_the_repository_is_what_the_lessons_say():
    """Changed words of the lessons want `python -m models.miniature.corpus`."""
    assert CORPUS.read_text(encoding="utf-8").splitlines() == corpus()


def test_no_sentence_stands_there_twice_and_none_names_a_letter():
    sentences = corpus()
    assert len(sentences) == len(set(sentences))
    assert not any(word.strip(".,:") in set("BCDEFGHIJKLMNOPQRSTUVWXYZ") for text in sentences for word in text.split())
