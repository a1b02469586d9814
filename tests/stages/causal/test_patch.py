"""The stage `patch`, with the tiny random model."""

from pathlib import Path

import pytest

from signbridge.core import params, tables
from signbridge.core.names import PATCHED
from stages.causal.patch import PARTS, PATCHING, main
from tests.stages.causal_study import (
    IDS,
    LABELS,
    PHOTOS,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.causal_study import write_answers as answers
from tests.stages.pretrained_study import made
from tests.stages.small_study import as_declared, declared

LABEL_OF, PHOTO_OF = dict(zip(IDS, LABELS, strict=True)), dict(zip(IDS, PHOTOS, strict=True))
SITES = ["embedding", *(f"layer_{block:02d}" for block in range(9))]


@pytest.fixture(scope="module")
def finished(edited) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder, written = edited
    return folder, written["stages.causal.patch"]


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def pairs_of(table) -> set[frozenset[str]]:
    return {frozenset(pair) for pair in table[["receiver", "donor"]].itertuples(index=False, name=None)}


def test_every_site_and_position_of_every_pair_is_written_with_what_made_it(study, finished):
    assert as_declared("causal.patch", finished[1]) == declared("causal.patch")
    table = tables.read(PATCHING)
    assert list(table.columns) == [
        "pair",
        "receiver",
        "donor",
        "site",
        "position",
        "gap",
        "moved",
        "says_donor",
        "moved_by_itself",
    ]
    assert (table["gap"] > 0).all()
    for _, cells in table.groupby(["pair", "receiver"]):
        found = list(cells[["site", "position"]].itertuples(index=False, name=None))
        assert found == [(site, position) for site in SITES for position in PATCHED]
    for pair in pairs_of(table):
        assert len({LABEL_OF[image] for image in pair}) == 2
    photos = [PHOTO_OF[image] for pair in pairs_of(table) for image in pair]
    assert len(set(photos)) == len(photos)
    made_by = tables.made_by(PATCHING)
    assert made_by["model"]["name"] == "tiny-random"
    assert made_by["model_folder_sha256"] == "that of the stage model"
    assert not Path(".scratch/causal_patch").exists(), "finished shards are cleared away"


def test_every_head_and_mlp_of_the_same_pairs_is_written_at_the_tokens_that_are_wanted(study, tmp_path_factory):
    assert tables.read(PARTS).empty, "parts_at: []"
    columns = list(tables.read(PARTS).columns)
    with made(tmp_path_factory.mktemp("parts"), "llava-next") as workspace:
        workspace.set_in(params.CAUSAL, patching__small={"pairs": 2, "parts_at": ["question"]})
        main()
        table, whole = tables.read(PARTS), tables.read(PATCHING)
    assert pairs_of(table) == pairs_of(whole)
    assert list(table.columns) == columns
    assert columns == ["pair", "receiver", "donor", "part", "position", "site", *whole.columns[5:]]
    assert set(table["part"]) == {"attention", "mlp", *(f"head_{head:02d}" for head in range(4))}
    assert set(table["position"]) == {"question"}
    assert list(table["site"].unique()) == SITES[1:4]


def test_another_seed_draws_other_pairs(study):
    pairs = pairs_of(tables.read(PATCHING))
    study.set(seed=7)
    main()
    assert pairs_of(tables.read(PATCHING)) != pairs


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes_whatever_the_settings_of_the_other_sweep(study, monkeypatch):
    """DVC does not look at those, so it would not run the stage again."""
    monkeypatch.setenv("SIGNBRIDGE_SHARD_IMAGES", "2")
    monkeypatch.setenv("SIGNBRIDGE_BATCH_SIZE", "2")
    study.set_in(params.CAUSAL, patching__small={"pairs": 5, "parts_at": []})
    main()
    study.set_in(params.CAUSAL, patching__full={"pairs": 9, "parts_at": []})
    resumes_with_the_same_bytes(main, monkeypatch, killed_after=2, shards=3)


def test_the_full_sweep_reads_its_own_settings_and_not_the_small_ones(study):
    study.set(questions__sweep="full")
    main()
    assert len(pairs_of(tables.read(PATCHING))) == 1
    study.set(questions__sweep="small")
    main()
    assert len(pairs_of(tables.read(PATCHING))) > 1


def test_two_letters_need_no_answer(study):
    answers([""] * len(IDS))
    study.set_in(params.CAUSAL, patching__question="two_letters")
    main()
    table = tables.read(PATCHING)
    assert pairs_of(table)
    assert {len({LABEL_OF[image] for image in pair}) for pair in pairs_of(table)} == {2}


@pytest.mark.parametrize("answer", ["fist", ""], ids=["all the same", "none"])
def test_images_that_all_got_one_answer_leave_an_empty_table_and_say_what_to_set(study, caplog, answer):
    columns = list(tables.read(PATCHING).columns)
    answers([answer] * len(IDS))
    main()
    assert tables.read(PATCHING).empty
    assert list(tables.read(PATCHING).columns) == columns
    assert "patching.question: two_letters" in caplog.text


def test_no_pairs_wanted_is_no_warning(study, caplog):
    study.set_in(params.CAUSAL, patching__small={"pairs": 0, "parts_at": ["prompt_last"]})
    main()
    assert tables.read(PATCHING).empty
    assert "nothing is patched" not in caplog.text


def test_a_misspelt_key_of_the_sweep_is_named(study):
    study.set_in(params.CAUSAL, patching__small={"pair": 5, "parts_at": []})
    assert "patching.small.pair: unknown key. Did you mean 'pairs'?" in study.message_of_failure(main)


def test_a_prompt_that_offers_no_letters_is_named_and_no_table_is_touched(study):
    PATCHING.write_bytes(b"an earlier run's")
    study.set_in(
        params.CAUSAL, patching__question="two_letters", patching__two_letters="USER: <image>\nWhich?\nASSISTANT:"
    )
    assert "patching.two_letters must hold {letters} exactly once" in study.message_of_failure(main)
    assert PATCHING.read_bytes() == b"an earlier run's"


def test_missing_answers_are_reported_by_path(study):
    Path("data/answers.parquet").unlink()
    assert "data/answers.parquet: no such table" in study.message_of_failure(main)
