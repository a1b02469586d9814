"""The stage `judge`, on the lenses of a small study and a server on this machine."""

import json
import os
import shutil
import socket
import sys
from pathlib import Path

import pandas as pd
import pytest
from ruamel.yaml import YAML

from signbridge.core import params, tables
from signbridge.lenses import judge_server
from signbridge.lenses.red_box import SIDE, box_around
from stages.judge import judge
from stages.lenses import lens, text_index
from tests.conftest import ROOT
from tests.lenses.chat_server import Asked, ChatServer, judgement
from tests.lenses.test_red_box import bounds_of_red, pixels
from tests.stages.causal_study import copy_to_run
from tests.stages.lens_study import LENSES as LENS_PARAMS
from tests.stages.lens_study import WORDS, sampled
from tests.stages.small_study import as_declared, declared, outputs, written_by

PATCHES, LAYERS, LENSES = 6, 2, 3
WRITTEN = Path("data/lenses/judged")


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Path:
    """The folder of a study whose lenses have run."""
    folder = tmp_path_factory.mktemp("judge")
    with sampled(folder) as workspace:
        workspace.set_in(params.LENSES, lenses={**LENS_PARAMS, "images": 5, "layers": LAYERS})
        workspace.set_in(
            params.JUDGE, judge__question=str(ROOT / "signbridge/lenses/question.txt"), judge__patches=PATCHES,
            judge__box=1,
        )  # fmt: skip
        text_index.main()
        lens.main()
        return folder


@pytest.fixture
def study(workspace, finished, monkeypatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    monkeypatch.setattr(judge_server, "RETRIES", 0)
    return copy_to_run(workspace, finished, monkeypatch)


@pytest.fixture
def chat(study):
    """A server that finds every word that begins with a letter of the first half of the alphabet."""

    def reply(one: Asked) -> str:
        return judgement([word for word in one.words if word[:1].lower() < "n"])

    with ChatServer(reply).running() as judge_server:
        study.set_in(params.JUDGE, judge__server=judge_server.address)
        yield judge_server


def test_the_pipeline_of_the_lenses_asks_no_judge():
    stages = YAML(typ="safe").load((ROOT / "stages/lenses/dvc.yaml").read_text(encoding="utf-8"))["stages"]
    assert not any("judge" in str(entry) for entry in stages.values())


def test_the_client_is_not_imported_before_there_is_something_to_ask(study):
    Path("openai.py").write_text("raise SystemExit('imported')")
    Path(WORDS).unlink()
    path = os.pathsep.join([str(study.folder), str(ROOT)])
    assert "words.parquet" in study.run("judge.judge", PYTHONPATH=path).stderr


def test_a_judge_is_shown_every_drawn_patch_with_its_words(chat):
    assert as_declared("judge.judge", written_by(judge.main)) == declared("judge.judge")
    judged = tables.read(WRITTEN / "judged.parquet")
    assert len(judged) == 2 * PATCHES * LAYERS * LENSES
    grid = tuple(tables.read(WORDS)[["rows", "columns"]].iloc[0])
    drawn = {box_around(patch, grid, 1, (SIDE, SIDE)) for patch in judged["patch"]}
    assert {bounds_of_red(pixels(one.pictures[0])) for one in chat.asked} == drawn
    assert {tuple(one.words) for one in chat.asked} == {tuple(json.loads(words)) for words in judged["words"]}
    lens_table = tables.read(WORDS)
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
    judged = tables.read(WRITTEN / "judged.parquet")
    shares = tables.read(WRITTEN / "shares.parquet")
    assert len(shares) == LAYERS * LENSES
    for row in shares.itertuples():
        here = judged[(judged["lens"] == row.lens) & (judged["site"] == row.site)]
        own, null = (here.loc[here["null"] == of_null, "interpretable"].astype(float).mean() for of_null in (0, 1))
        assert [row.share, row.null, row.over_null] == pytest.approx([own, null, own - null], abs=1e-6)
        assert row.low <= own <= row.high
    metrics = json.loads((WRITTEN / "findings.json").read_text())
    assert metrics["model"] == "tiny-random (it has learnt nothing)"
    assert metrics["server_model"] == "judge-2026"
    assert (metrics["questions"], metrics["patches"], metrics["unreadable"]) == (len(judged), PATCHES, 0)
    latent = judged[(judged["lens"] == "latent") & ~judged["null"]]
    assert metrics["latent_share"] == pytest.approx(latent["interpretable"].astype(float).mean(), abs=1e-6)
    headline = tables.read_findings("metrics/lenses/judge.json")
    assert len(headline) <= 25
    assert headline["latent_lens_readable"] == round(metrics["latent_share"], 4)


def test_unreadable_answers_are_told_and_are_no_share(chat):
    good = chat.reply
    chat.reply = lambda one: good(one) if len(chat.asked) % 2 else "It is a hand, I think."
    judge.main()
    judged = tables.read(WRITTEN / "judged.parquet")
    unread = judged["interpretable"].isna()
    assert 0 < unread.sum() < len(judged)
    assert json.loads((WRITTEN / "findings.json").read_text())["unreadable"] == unread.sum()
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
    study.set_in(params.JUDGE, judge__at_once=1)
    judge.main()
    expected, asked = outputs(), len(chat.asked)
    (kept,) = Path(".scratch/judge").glob("*/answers.jsonl")
    kept.write_text("".join(reversed(kept.read_text().splitlines(keepends=True))))
    study.set_in(params.JUDGE, judge__at_once=16)
    judge.main()
    assert outputs() == expected
    assert len(chat.asked) == asked, "all of it was answered before"


def test_more_patches_ask_for_the_new_ones_alone(chat, study):
    judge.main()
    first = {(tuple(one.words), one.pictures[0]) for one in chat.asked}
    study.set_in(params.JUDGE, judge__patches=PATCHES + 2)
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
        study.set_in(params.JUDGE, judge__server=address)
        assert f"{address} cannot be reached" in study.message_of_failure(judge.main)


def test_a_model_whose_image_tokens_make_no_grid_has_no_places_to_show(chat, study):
    no_grid = pd.array([None] * len(tables.read(WORDS)), dtype="Int64")
    tables.write(tables.read(WORDS).assign(rows=no_grid, columns=no_grid), WORDS, tables.made_by(WORDS))
    assert "no square grid" in study.message_of_failure(judge.main)
    assert not chat.asked


def test_without_the_client_the_extra_is_named(chat, study, monkeypatch):
    monkeypatch.setitem(sys.modules, "openai", None)
    assert "'.[lenses]'" in study.message_of_failure(judge.main)


@pytest.mark.parametrize(
    ("key", "value"), [("judge", "gpt-5"), ("server", "http://me:secret@host/v1"), ("box", 2), ("question", "none.txt")]
)
def test_a_setting_that_cannot_be_is_named(chat, study, key, value):
    study.set_in(params.JUDGE, **{f"judge__{key}": value})
    message = study.message_of_failure(judge.main)
    assert f"judge.{key}" in message
    assert not chat.asked
