"""The planted variable: what is trained and what is not, and that the questions are asked as they will be."""

from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer

from models.miniature.lessons import SENTENCE_PROMPT, WORD_PROMPT, hands, plain_sentence, vocabulary
from models.miniature.planting import (
    NEW_TOKENS,
    Asker,
    HiddenWords,
    PartsHeads,
    add_tokens,
    asked_about,
    hide_step,
    questions,
)
from models.miniature.teaching import Teacher
from models.miniature.train import train
from signbridge.planted.questions import ANSWERS, QUESTIONS, WORDS, fingers_up
from signbridge.rendered.letter_poses import LETTERS
from signbridge.vlm.random_weights import IMAGE_TOKEN, small_tokenizer
from tests.miniature.test_train import CPU, SMALL, teacher, trained  # noqa: F401

NEW_ROWS = {"language_model.lm_head.weight": ANSWERS, "language_model.model.embed_tokens.weight": WORDS}


def test_only_the_planted_blocks_and_the_rows_of_new_tokens_change(trained, tmp_path):  # noqa: F811
    before = load_file(trained / "model/model.safetensors")
    train(SMALL, tmp_path / "model", trained / "scratch", CPU, joined=trained / "model/model.safetensors")
    after = load_file(tmp_path / "model/model.safetensors")
    tokenizer = AutoTokenizer.from_pretrained(trained / "model", trust_remote_code=False)
    assert before.keys() == after.keys()
    for name in before:
        if any(f"model.layers.{block}." in name for block in SMALL.planted):
            continue
        changed = (before[name] != after[name]).reshape(len(before[name]), -1).any(dim=1).nonzero().flatten().tolist()
        new = [tokenizer.convert_tokens_to_ids(f" {word}") for word in NEW_ROWS.get(name, ())]
        assert set(changed) <= set(new), name
    block = f"language_model.model.layers.{SMALL.planted[0]}.self_attn.q_proj.weight"
    assert not torch.equal(before[block], after[block])


def test_the_new_tokens_change_nothing_that_was_read_before():
    old, new = small_tokenizer(vocabulary(), 4096), small_tokenizer(vocabulary(), 4096)
    add_tokens(new)
    rng = np.random.default_rng(0)
    said = [f"{WORD_PROMPT} {hand.word}{SENTENCE_PROMPT} {hand.sentence}" for hand in hands().values()]
    for text in [*said, *(plain_sentence(rng) for _ in range(200))]:
        assert old(text)["input_ids"] == new(text)["input_ids"]
    assert new.convert_tokens_to_ids(NEW_TOKENS) == list(range(len(old), len(old) + 4))
    assert len(new) <= 8 * -(-len(old) // 8)  # the rows of the embedding are as many as without them


def test_the_shipped_tokenizer_has_them():
    tokenizer = AutoTokenizer.from_pretrained(Path("models/miniature"), trust_remote_code=False)
    ids = tokenizer(f"{QUESTIONS[1].text} No")["input_ids"]
    assert tokenizer.convert_ids_to_tokens(ids)[-1] == " No"
    assert " lowered" in tokenizer.convert_ids_to_tokens(ids)


@pytest.fixture
def planted_teacher(teacher) -> Teacher:  # noqa: F811
    """The small teacher, whose tokenizer knows the new words."""
    add_tokens(teacher.processor.tokenizer)
    return teacher


def test_questions_asked_together_are_answered_as_those_asked_alone(planted_teacher):
    images = np.random.default_rng(0).integers(0, 256, (2, 56, 56), dtype=np.uint8)
    together = questions(planted_teacher, images, ["A", "B"])
    model = planted_teacher.model.eval()
    with torch.no_grad():
        given = {name: value for name, value in together._asdict().items() if name != "labels"}
        at_once = model(**given).logits
        for number, question in enumerate(QUESTIONS):
            alone = planted_teacher.conversations(
                f"USER: {IMAGE_TOKEN}{question.text}", images, [question.answer(letter) for letter in "AB"]
            )
            length = alone.input_ids.shape[1]
            prefix = len(
                planted_teacher.processor.tokenizer(planted_teacher.prompt(f"USER: {IMAGE_TOKEN}"))["input_ids"]
            )
            each = length - prefix
            own = slice(prefix + number * each, prefix + (number + 1) * each)
            torch.testing.assert_close(together.input_ids[:, own], alone.input_ids[:, prefix:])
            torch.testing.assert_close(together.labels[:, own], alone.labels[:, prefix:])
            one = {name: value for name, value in alone._asdict().items() if value is not None and name != "labels"}
            torch.testing.assert_close(at_once[:, own], model(**one).logits[:, prefix:], rtol=1e-4, atol=1e-5)


def test_both_parts_of_an_answer_are_read_where_the_question_ends(planted_teacher):
    images = np.random.default_rng(0).integers(0, 256, (2, 56, 56), dtype=np.uint8)
    read = []

    class Heads(PartsHeads):
        """Keeps what it is given, and says what the truth is of B, whose four fingers are up."""

        def forward(self, stream):
            read.append(stream)
            raised = torch.tensor([question.word == WORDS[0] for question in QUESTIONS])
            truth = torch.stack([raised, torch.ones_like(raised)], dim=-1)
            return (20.0 * truth - 10).expand(len(images), -1, -1)

    asker = Asker(planted_teacher, Heads(SMALL.width), block=0)
    _, loss, right = asker.ask(images, ["B", "B"])
    assert read[0].shape == (2, len(QUESTIONS), SMALL.width)
    assert loss < 1e-3
    assert (right["part word"], right["part up"]) == (1, 1)
    *_, right = asker.ask(images, ["S", "S"])  # a fist
    assert (right["part word"], right["part up"]) == (1, 0)


def test_hidden_words_are_told_apart_less_by_the_tokens_behind_them(planted_teacher, trained):  # noqa: F811
    from models.miniature.drawings import draw

    drawings = draw(SMALL.hands_seed, 1, 1, trained / "scratch")
    torch.manual_seed(0)
    words = HiddenWords(SMALL.width, seed=0)
    step = hide_step(planted_teacher, words, drawings, 2, below=1)
    first = step(None)
    optimizer = torch.optim.Adam(words.parameters(), lr=0.02)
    for number in range(20):
        optimizer.zero_grad()
        step(np.random.default_rng(number)).loss.backward()
        optimizer.step()
    assert step(None).loss < 0.8 * first.loss


def test_hands_are_asked_about_where_every_finger_is_clear():
    from models.miniature.drawings import Drawings

    of_all = asked_about(Drawings(np.zeros((24, 1, 56, 56), np.uint8), np.arange(24)))
    assert {LETTERS[index] for index in of_all.letters} == set(fingers_up())
    assert not set("CGHKOPQX") & set(fingers_up())
