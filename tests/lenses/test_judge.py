"""What a judge is asked, what is made of its answers, and what becomes of a server that fails."""

import json
import socket

import numpy as np
import pandas as pd
import pytest

from signbridge.core.errors import SignBridgeError
from signbridge.lenses import judge_server
from signbridge.lenses.judge_server import Question, answers_to, fingerprint
from signbridge.lenses.red_box import Pictures
from signbridge.statistics.intervals import StatisticsParams
from signbridge.statistics.judged import (
    ASKED,
    JUDGED,
    JudgeParams,
    as_table,
    judge_metrics,
    judged_patches,
    judged_shares,
    patches_to_judge,
    question_text,
    read_answer,
)
from tests.conftest import ROOT
from tests.lenses.chat_server import ChatServer, completion, judgement

STATISTICS = StatisticsParams(confidence=0.95, resamples=300)
IDS = [f"{letter}-{number}" for letter in "AB" for number in range(3)]
LABELS = {image: image[0] for image in IDS}
SITES, LENSES, PATCHES = ["embedding", "layer_01"], ["embedding", "latent"], [0, 2, 5, 7]
TEXT = question_text(ROOT / "signbridge/lenses/question.txt")


def lens_table() -> pd.DataFrame:
    """Two words a patch, which say where they come from; the last rank first, as no one may rely on the order."""
    rows = [
        (image, patch, site, lens, rank, f"{image}/{patch}/{site}/{lens}/{rank}")
        for site in SITES for lens in LENSES for image in IDS for patch in PATCHES for rank in (2, 1)
    ]  # fmt: skip
    return pd.DataFrame(rows, columns=["image_id", "patch", "site", "lens", "rank", "word"])


def asked_of(most: int, seed: int = 0, table: pd.DataFrame | None = None, labels: dict | None = None) -> pd.DataFrame:
    table = lens_table() if table is None else table
    return patches_to_judge(table, labels or LABELS, most, np.random.default_rng(seed))


def settings(address: str = "http://localhost:8000/v1", **changed) -> JudgeParams:
    values = {"server": address, "model": "a-judge", "question": "q.txt", "patches": 5,
              "box": 3, "temperature": 0.0, "answer_tokens": 50, "at_once": 3}  # fmt: skip
    return JudgeParams(**values | changed)


# What is asked -----------------------------------------------------------------------------------------------------


def test_every_layer_and_lens_is_asked_about_the_same_patches_as_many_of_every_image():
    asked = asked_of(8)
    assert list(asked.columns) == ASKED == JUDGED.names[:7]
    own = asked[~asked["null"]]
    patches = [set(zip(rows["image_id"], rows["patch"], strict=True)) for _, rows in own.groupby(["site", "lens"])]
    assert len(patches) == 4
    assert all(len(here) == 8 and here == patches[0] for here in patches)
    of_image = pd.Series([image for image, _ in patches[0]]).value_counts()
    assert len(of_image) == len(IDS)
    assert set(of_image) == {1, 2}


def test_the_words_are_those_of_the_patch_nearest_first_and_of_the_null_those_of_another_class():
    for row in asked_of(100).itertuples():
        assert json.loads(row.words) == [f"{row.words_of}/{row.patch}/{row.site}/{row.lens}/{rank}" for rank in (1, 2)]
        assert (row.words_of != row.image_id) == row.null
        assert (LABELS[row.words_of] != LABELS[row.image_id]) == row.null


def test_more_patches_are_these_and_others():
    fewer, more = (set(asked_of(most).itertuples(index=False, name=None)) for most in (5, 11))
    assert fewer < more
    assert len(more) == 11 * 8
    assert set(asked_of(5, seed=1).itertuples(index=False, name=None)) != fewer


def test_the_order_of_the_rows_changes_nothing():
    asked = asked_of(7)
    shuffled = lens_table().sample(frac=1, random_state=3)
    shuffled = shuffled.sort_values("site", kind="stable")  # the layers alone are in order of depth
    pd.testing.assert_frame_equal(asked_of(7, table=shuffled), asked)


def test_white_space_is_no_word():
    table = lens_table()
    table.loc[table["rank"] == 1, "word"] = " \n"
    assert all(len(json.loads(words)) == 1 for words in asked_of(3, table=table)["words"])


def test_images_of_one_class_have_no_null():
    asked = asked_of(4, labels=dict.fromkeys(IDS, "A"))
    assert not asked["null"].any()
    judged = judged_patches(asked, [judgement(["x"])] * len(asked))
    found = judged_shares(judged, ["lens", "site"], STATISTICS, np.random.default_rng(0))
    assert (found["share"] == 1).all()
    assert found[["null", "over_null"]].isna().all(axis=None)
    lenses = judged_shares(judged, ["lens"], STATISTICS, np.random.default_rng(0))
    assert "latent_over_null" not in judge_metrics(judged, lenses)


# What is made of the answers ---------------------------------------------------------------------------------------

GOOD = {"interpretable": False, "concrete_words": [], "abstract_words": ["fist"], "global_words": [], "reasoning": "?"}


@pytest.mark.parametrize(
    "text",
    [
        json.dumps(GOOD),
        f"Thinking {{of it}} {{}}.\n```json\n{json.dumps(GOOD, indent=2)}\n```\nThat is all {{",
        json.dumps({**GOOD, "abstract_words": ["draft"]}) + json.dumps(GOOD),  # the last word counts
        json.dumps({"answer": GOOD}),
        json.dumps({key: value for key, value in GOOD.items() if key != "reasoning"}),
    ],
)
def test_the_json_in_an_answer_is_found_and_the_lists_decide(text):
    found = read_answer(text)
    assert found.abstract_words == ["fist"]
    assert found.finds_one


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Yes.",
        "{",
        "{" * 3000,
        '{"concrete_words": ' + "[" * 100_000,
        json.dumps(GOOD)[:-1],
        json.dumps([GOOD["interpretable"]]),
        json.dumps({**GOOD, "interpretable": "yes"}),
        json.dumps({**GOOD, "concrete_words": "fist"}),
        json.dumps({**GOOD, "concrete_words": [1]}),
        json.dumps({key: value for key, value in GOOD.items() if key != "global_words"}),
    ],
)
def test_what_is_not_of_the_asked_form_is_unreadable(text):
    assert read_answer(text) is None


def shares_where(answer) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The judged patches and the shares by layer, where `answer` gives what is said to a row."""
    asked = asked_of(24)
    judged = judged_patches(asked, [answer(row) for row in asked.itertuples()])
    return judged, judged_shares(judged, ["lens", "site"], STATISTICS, np.random.default_rng(0))


def test_shares_are_of_readable_answers_and_the_null_is_taken_off_patch_by_patch():
    def answer(row):
        if row.site == "embedding":
            return judgement()
        if row.patch == 0:
            return judgement(["related"])  # whosever words they are
        return "I cannot say." if row.patch == 2 else judgement(elsewhere=["related"]) if not row.null else judgement()

    judged, found = shares_where(answer)
    assert list(found.columns)[:2] == ["lens", "site"]
    assert list(zip(found["lens"], found["site"], strict=True)) == [(lens, site) for lens in LENSES for site in SITES]
    deep = found[found["site"] == "layer_01"].iloc[0]
    assert (deep["asked"], deep["unreadable"]) == (24, 6)
    assert deep["share"] == 1
    assert deep["null"] == pytest.approx(1 / 3)
    assert deep["over_null"] == pytest.approx(2 / 3)
    first = found.iloc[0]
    assert (first["share"], first["over_null"], first["unreadable"]) == (0, 0, 0)
    assert first["low"] == 0 < first["high"], "none of six photos is no certainty"
    metrics = judge_metrics(judged, judged_shares(judged, ["lens"], STATISTICS, np.random.default_rng(0)))
    assert (metrics["questions"], metrics["unreadable"], metrics["patches"]) == (24 * 8, 6 * 4, 24)
    assert metrics["latent_share"] == pytest.approx(18 / 42, abs=1e-6)
    assert metrics["latent_over_null_low"] <= metrics["latent_over_null"] <= metrics["latent_over_null_high"]


def test_intervals_are_over_photos_whose_patches_stand_or_fall_together():
    _, found = shares_where(lambda row: judgement(["x"] if row.image_id < "A-2" else []))
    row = found.iloc[0]
    assert row["share"] == pytest.approx(1 / 3)
    assert row["high"] - row["low"] > 0.5, "six photos, not twenty-four patches"


def test_answers_that_are_all_unreadable_make_a_table_without_shares():
    judged, found = shares_where(lambda row: "Sorry, \x00 no.")
    assert found[["share", "null", "over_null"]].isna().all(axis=None)
    assert (found["unreadable"] == found["asked"]).all()
    assert set(judged["reason"]) == {"Sorry, \x00 no."}
    assert as_table(judged).column("interpretable").null_count == len(judged)


def test_a_table_without_rows_has_the_same_types():
    judged, _ = shares_where(lambda row: judgement(["x"]))
    empty = as_table(pd.DataFrame(columns=JUDGED.names))
    assert empty.schema.equals(as_table(judged).schema)
    assert empty.num_rows == 0


# The question and the params ---------------------------------------------------------------------------------------


def test_a_question_without_a_place_for_the_words_is_refused(tmp_path):
    file = tmp_path / "question.txt"
    file.write_text("What is this?")
    with pytest.raises(SignBridgeError, match=r"no \{candidate_words\}"):
        question_text(file)
    with pytest.raises(SignBridgeError, match=r"judge\.question"):
        question_text(tmp_path / "none.txt")
    file.write_bytes(b"\xff{candidate_words}")
    with pytest.raises(SignBridgeError, match="UTF-8"):
        question_text(file)


@pytest.mark.parametrize(
    "changed",
    [{"judge": "gpt"}, {"server": "localhost:8000"}, {"server": "http://me:secret@host/v1"}, {"box": 2}, {"box": "3"},
     {"server": "http://host/v1?key=secret"}, {"patches": 0}, {"at_once": 0}, {"temperature": -1.0}, {"model": ""},
     {"tokens": 3}],
)  # fmt: skip
def test_unknown_values_are_refused(changed):
    with pytest.raises(ValueError, match="validation error"):
        settings(**changed)


# The server --------------------------------------------------------------------------------------------------------


@pytest.fixture(autouse=True)
def no_key(monkeypatch):
    """The client's own key and proxies stay out of the tests, and what can be tried again is so at once."""
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "HTTP_PROXY", "http_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(judge_server, "RETRIES", 0)


def questions(number: int) -> list[Question]:
    return [Question(json.dumps([f"word{index}"]), Pictures(b"whole", b"close")) for index in range(number)]


def answered(chat: ChatServer, folder, number: int = 6, **changed):
    with chat.running():
        return answers_to(questions(number), settings(chat.address, **changed), TEXT, 42, folder)


def test_a_request_has_words_pictures_seed_and_key(tmp_path, monkeypatch):
    monkeypatch.setenv("OPENAI_API_KEY", " sk-mine\n")
    chat = ChatServer(lambda one: judgement(one.words))
    answers = answered(chat, tmp_path, 1)
    assert [(read_answer(one.text).concrete_words, one.model) for one in answers] == [(["word0"], "judge-2026")]
    (one,) = chat.asked
    assert one.words == ["word0"]
    assert one.text == TEXT.replace("{candidate_words}", '["word0"]')
    assert one.pictures == [b"whole", b"close"]
    assert one.key == "sk-mine"
    expected = {"model": "a-judge", "seed": 42, "temperature": 0.0, "max_completion_tokens": 50}
    assert {name: value for name, value in one.body.items() if name != "messages"} == expected


def test_a_server_of_ones_own_needs_no_key_and_some_take_no_temperature(tmp_path):
    chat = ChatServer(lambda one: judgement())
    answered(chat, tmp_path, 1, temperature=None)
    assert chat.asked[0].key == "none"
    assert "temperature" not in chat.asked[0].body


def test_answers_stand_beside_their_questions_and_no_question_is_asked_twice(tmp_path):
    chat = ChatServer(lambda one: one.words[0])
    with chat.running():
        todo = [*questions(6), *questions(4)]
        texts = [one.text for one in answers_to(todo, settings(chat.address), TEXT, 0, tmp_path)]
        assert texts == [f"word{index}" for index in (0, 1, 2, 3, 4, 5, 0, 1, 2, 3)]
        assert len(chat.asked) == 6
        again = answers_to(todo[::-1], settings(chat.address), TEXT, 0, tmp_path)
    assert [one.text for one in again] == texts[::-1]
    assert len(chat.asked) == 6


def test_what_was_answered_before_a_failure_is_kept_and_only_the_rest_is_asked(tmp_path):
    chat = ChatServer(lambda one: "good" if len(chat.asked) <= 3 else (500, {"error": {"message": "out of memory"}}))
    with chat.running():
        there = settings(chat.address, at_once=1)
        with pytest.raises(SignBridgeError, match=r"\(500\).*out of memory.*\n.*3 new ones"):
            answers_to(questions(8), there, TEXT, 0, tmp_path)
        assert len(chat.asked) == 4, "after a failure nothing more is asked"
        with (tmp_path / "answers.jsonl").open("a") as file:
            file.write('{"question": "torn in the mid')
        chat.reply, before = lambda one: "good", [one.words for one in chat.asked[:3]]
        chat.asked.clear()
        assert [one.text for one in answers_to(questions(8), there, TEXT, 0, tmp_path)] == ["good"] * 8
    assert sorted(before + [one.words for one in chat.asked]) == sorted([f"word{index}"] for index in range(8))
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 8


def test_a_fault_that_passes_is_tried_again(tmp_path, monkeypatch):
    monkeypatch.setattr(judge_server, "RETRIES", 1)
    chat = ChatServer(lambda one: "good" if len(chat.asked) > 1 else (503, {"error": "loading"}))
    assert answered(chat, tmp_path, 1)[0].text == "good"


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        ((401, {"error": {"message": "Incorrect API key provided: sk-secret"}}), "Set OPENAI_API_KEY"),
        ((403, {}), "Set OPENAI_API_KEY"),
        ((404, {"error": {"message": "no model"}}), "has no model 'a-judge'"),
        ((429, {}), "takes no more questions"),
        ((400, {"error": {"message": "this model\ntakes no images" + "!" * 500}}), "takes no images"),
        ((200, "<html>Welcome</html>"), "end in /v1"),
        ((200, {"choices": []}), "end in /v1"),
    ],
)
def test_a_refusal_says_what_to_do_and_shows_no_key(tmp_path, reply, said):
    with pytest.raises(SignBridgeError) as error:
        answered(ChatServer(lambda one: reply), tmp_path)
    assert said in str(error.value)
    assert "secret" not in str(error.value)
    assert len(str(error.value).splitlines()) == 2


def test_a_server_that_is_not_there_is_named(tmp_path):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        with pytest.raises(SignBridgeError, match=f"{address} cannot be reached"):
            answers_to(questions(2), settings(address), TEXT, 0, tmp_path)


def test_an_answer_without_text_or_with_half_a_character_is_an_answer(tmp_path):
    chat = ChatServer(lambda one: (200, completion(None if one.words == ["word0"] else "\ud83d?")))
    answers = answered(chat, tmp_path, 2)
    assert [one.text for one in answers] == ["", "??"]
    assert as_table(judged_patches(asked_of(1).head(2), [one.text for one in answers])).num_rows == 2


def test_where_requests_run_at_once_changes_no_folder_and_whatever_changes_answers_does():
    here = fingerprint(settings(), TEXT, 0)
    assert fingerprint(settings(at_once=50, patches=9), TEXT, 0) == here
    others = [fingerprint(settings(model="b"), TEXT, 0), fingerprint(settings(temperature=None), TEXT, 0),
              fingerprint(settings(), TEXT + "!", 0), fingerprint(settings(), TEXT, 1)]  # fmt: skip
    assert len({here, *others}) == 5
