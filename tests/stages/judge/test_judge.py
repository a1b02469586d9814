"""The stage `judge`, on the lenses of a small study and a server on this machine."""

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pytest

from signbridge.core import tables
from signbridge.lenses import judge_server
from signbridge.lenses.red_box import SIDE, box_around
from stages.lenses import judge, lens, text_index
from tests.conftest import ROOT
from tests.lenses.chat_server import Asked, ChatServer, judgement
from tests.lenses.test_red_box import bounds_of_red, pixels
from tests.stages.causal_study import copy_to_run, extracted
from tests.stages.small_study import (
    as_declared,
    declared,
    outputs,
    written_by,
)

CORPUS = Path("corpus.txt")
PATCHES, LAYERS, LENSES = 6, 2, 3


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run without a judge, and what it wrote."""
    folder = tmp_path_factory.mktemp("judge")
    with extracted(folder) as workspace:
        CORPUS.write_text(
            "The finger is up.\nThe finger is bent.\nThe hand is up.\nThe hand is bent.", encoding="utf-8"
        )
        workspace.set(
            text_index={"corpus": str(CORPUS), "templates": [], "contexts": 4, "layers": [0, 1], "storage": "float8"},
            lenses={
                "images": 5,
                "patches": 9,
                "layers": LAYERS,
                "k": 3,
                "search": "exact",
                "probes": 4,
                "memory_gib": 0.1,
            },
            model_notes={"tiny-random": "it has learnt nothing"},
            judge__question=str(ROOT / "signbridge/judge/question.txt"),
            judge__patches=PATCHES,
            judge__box=1,
        )
        text_index.main()
        lens.main()
        return folder, written_by(judge.main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(judge_server, "RETRIES", 0)
    return copy_to_run(workspace, finished[0], monkeypatch)


@pytest.fixture
def chat(study):
    """A server that finds every word that begins with a letter of the first half of the alphabet."""

    def reply(one: Asked) -> str:
        return judgement([word for word in one.words if word[:1].lower() < "n"])

    with ChatServer(reply).running() as judge_server:
        study.set(judge__judge="openai-compatible", judge__server=judge_server.address)
        yield judge_server


def test_without_a_judge_the_tables_are_empty(finished, study):
    assert as_declared("judge", finished[1]) == declared("judge")
    assert tables.read("data/judged.parquet").empty
    assert tables.read_csv("plots/judge.csv").empty
    assert list(tables.read_csv("plots/judge.csv").columns)[:5] == ["lens", "site", "share", "low", "high"]
    assert json.loads(Path("metrics/judge.json").read_text()) == {"judge": "none"}


def test_without_a_judge_its_client_is_not_even_imported(study):
    Path("openai.py").write_text("raise SystemExit('imported')")
    Path("data/lenses.parquet").unlink()  # nor is the study read
    path = os.pathsep.join([str(study.folder), str(ROOT)])
    assert study.run("judge", PYTHONPATH=path).returncode == 0
    study.set(judge__judge="openai-compatible")
    assert "lenses.parquet" in study.run("judge", PYTHONPATH=path).stderr


def test_a_judge_is_shown_every_drawn_patch_with_its_words(chat):
    assert as_declared("judge", written_by(judge.main)) == declared("judge")
    judged = tables.read("data/judged.parquet")
    assert len(judged) == 2 * PATCHES * LAYERS * LENSES
    grid = tables.made_by("data/lenses.parquet")["grid"]
    drawn = {box_around(patch, grid, 1, (SIDE, SIDE)) for patch in judged["patch"]}
    assert {bounds_of_red(pixels(one.pictures[0])) for one in chat.asked} == drawn
    assert {tuple(one.words) for one in chat.asked} == {tuple(json.loads(words)) for words in judged["words"]}
    lens_table = tables.read("data/lenses.parquet")
    for row in judged.itertuples():
        here = lens_table.query("image_id == @row.words_of and patch == @row.patch")
        here = here.query("site == @row.site and lens == @row.lens").sort_values("rank")
        assert json.loads(row.words) == [word for word in here["word"] if word.strip()]
        found = [word for word in json.loads(row.words) if word[:1].lower() < "n"]
        assert json.loads(row.concrete_words) == found
        assert row.interpretable == bool(found)
        assert row.reason == "I looked."


def test_shares_and_metrics_are_those_of_the_table(chat):
    judge.main()
    judged = tables.read("data/judged.parquet")
    plot = tables.read_csv("plots/judge.csv")
    assert len(plot) == LAYERS * LENSES
    for row in plot.itertuples():
        here = judged[(judged["lens"] == row.lens) & (judged["site"] == row.site)]
        own, null = (here.loc[here["null"] == of_null, "interpretable"].astype(float).mean() for of_null in (0, 1))
        assert [float(row.share), float(row.null), float(row.over_null)] == pytest.approx(
            [own, null, own - null], abs=1e-6
        )
        assert float(row.low) <= own <= float(row.high)
    metrics = json.loads(Path("metrics/judge.json").read_text())
    assert metrics["model"] == "tiny-random (it has learnt nothing)"
    assert (metrics["judge"], metrics["server_model"]) == ("openai-compatible", "judge-2026")
    assert (metrics["questions"], metrics["patches"], metrics["unreadable"]) == (len(judged), PATCHES, 0)
    latent = judged[(judged["lens"] == "latent") & ~judged["null"]]
    assert metrics["latent_share"] == pytest.approx(latent["interpretable"].astype(float).mean(), abs=1e-6)


def test_unreadable_answers_are_told_and_are_no_share(chat):
    good = chat.reply
    chat.reply = lambda one: good(one) if len(chat.asked) % 2 else "It is a hand, I think."
    judge.main()
    judged = tables.read("data/judged.parquet")
    unread = judged["interpretable"].isna()
    assert 0 < unread.sum() < len(judged)
    assert json.loads(Path("metrics/judge.json").read_text())["unreadable"] == unread.sum()
    assert set(judged.loc[unread, "reason"]) == {"It is a hand, I think."}


def test_a_run_that_fails_half_way_goes_on_to_the_same_bytes(chat, study):
    judge.main()
    expected, good, all_asked = outputs(), chat.reply, len(chat.asked)
    shutil.rmtree(".scratch/judge")
    chat.asked.clear()
    answered = []

    def fails_after(one: Asked):
        if len(chat.asked) > all_asked // 2:
            return 500, {"error": {"message": "out of memory"}}
        answered.append(one)
        return good(one)

    chat.reply = fails_after
    assert f"({all_asked // 2} new ones)" in study.message_of_failure(judge.main)
    assert outputs() == expected, "no table is touched before all is answered"
    chat.asked.clear()
    chat.reply = good
    judge.main()
    assert len(chat.asked) == all_asked - len(answered)
    again = {(tuple(one.words), one.pictures[0]) for one in chat.asked}
    assert again.isdisjoint({(tuple(one.words), one.pictures[0]) for one in answered}), "nothing is asked twice"
    assert outputs() == expected


def test_the_order_in_which_answers_came_changes_nothing(chat, study):
    study.set(judge__at_once=1)
    judge.main()
    expected, asked = outputs(), len(chat.asked)
    (kept,) = Path(".scratch/judge").glob("*/answers.jsonl")
    kept.write_text("".join(reversed(kept.read_text().splitlines(keepends=True))))
    study.set(judge__at_once=16)
    judge.main()
    assert outputs() == expected
    assert len(chat.asked) == asked, "all of it was answered before"


def test_more_patches_ask_for_the_new_ones_alone(chat, study):
    judge.main()
    first = {(tuple(one.words), one.pictures[0]) for one in chat.asked}
    study.set(judge__patches=PATCHES + 2)
    chat.asked.clear()
    judge.main()
    assert chat.asked
    assert first.isdisjoint({(tuple(one.words), one.pictures[0]) for one in chat.asked})


def test_a_server_that_refuses_the_key_is_named_and_old_tables_stay(chat, study):
    before = outputs()
    chat.reply = lambda one: (401, {"error": {"message": "Incorrect API key provided"}})
    assert "OPENAI_API_KEY" in study.message_of_failure(judge.main)
    assert outputs() == before


def test_a_server_that_is_not_there_is_named(study):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        address = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
        study.set(judge__judge="openai-compatible", judge__server=address)
        assert f"{address} cannot be reached" in study.message_of_failure(judge.main)


def test_a_model_whose_image_tokens_make_no_grid_has_no_places_to_show(chat, study):
    made_by = tables.made_by("data/lenses.parquet")
    tables.write(tables.read("data/lenses.parquet"), "data/lenses.parquet", {**made_by, "grid": None})
    assert "no square grid" in study.message_of_failure(judge.main)
    assert not chat.asked


def test_without_the_client_the_extra_is_named(chat, study, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert "'.[lenses]'" in study.message_of_failure(judge.main)


@pytest.mark.parametrize(
    ("key", "value"), [("judge", "gpt-5"), ("server", "http://me:secret@host/v1"), ("box", 2), ("question", "none.txt")]
)
def test_a_setting_that_cannot_be_is_named(chat, study, key, value):
    study.set(**{f"judge__{key}": value})
    message = study.message_of_failure(judge.main)
    assert f"judge.{key}" in message
    assert not chat.asked
