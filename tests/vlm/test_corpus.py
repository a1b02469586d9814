"""The phrases that image tokens are compared with."""

import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.vlm.text import phrases


@pytest.fixture
def corpus(tmp_path):
    def write(text: bytes | str):
        path = tmp_path / "corpus.txt"
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return write


def test_each_line_is_a_phrase_once_and_empty_ones_are_none(corpus):
    assert phrases(corpus("a hand\n\n  a fist \na hand\r\nan index finger"), []) == [
        "a hand", "a fist", "an index finger",
    ]  # fmt: skip


def test_with_templates_a_line_is_a_word_put_into_each(corpus):
    assert phrases(corpus("fist\npalm\n"), ["a {word}", "{word}!"]) == ["a fist", "fist!", "a palm", "palm!"]


@pytest.mark.parametrize("template", ["no word", "{word} and {word}"])
def test_a_template_without_one_place_for_the_word_is_named(corpus, template):
    with pytest.raises(SignBridgeError, match=r"questions\.templates.*exactly once"):
        phrases(corpus("fist"), [template])


@pytest.mark.parametrize(("text", "message"), [(b"\n \n", "no phrase"), (b"\xff\xfe\xfa", "not UTF-8")])
def test_a_file_that_holds_no_text_is_named(corpus, text, message):
    path = corpus(text)
    with pytest.raises(SignBridgeError, match=message) as error:
        phrases(path, [])
    assert str(path) in str(error.value)


def test_a_file_that_is_not_there_is_named_with_its_key(tmp_path):
    with pytest.raises(SignBridgeError, match=r"questions\.corpus in params\.yaml"):
        phrases(tmp_path / "none.txt", [])
