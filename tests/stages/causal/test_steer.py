"""The stage `steer`, with the tiny random model."""

from pathlib import Path

import numpy as np
import pytest

from signbridge.causal import courses
from signbridge.core import params, tables
from signbridge.core.names import DIRECTIONS, RANDOM, SHUFFLED_MEANS
from signbridge.datasets.sampling import fitted_half
from signbridge.vlm.model_run import ModelRun
from stages.causal.steer import (
    DAMAGE,
    DESCRIPTIONS,
    STEERED,
    main,
)
from tests.stages.causal_study import (
    IDS,
    LABELS,
    PHOTOS,
    STEERING,
    WORDS,
    copy_to_run,
    resumes_with_the_same_bytes,
)
from tests.stages.causal_study import write_answers as answers
from tests.stages.small_study import as_declared, declared

TABLES = (STEERED, DAMAGE, DESCRIPTIONS)
EDITS = [(name, 0) for name in (*DIRECTIONS, RANDOM, SHUFFLED_MEANS)]
LABEL_OF = dict(zip(IDS, LABELS, strict=True))


@pytest.fixture(scope="module")
def finished(edited) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder, written = edited
    return folder, written["stages.causal.steer"]


@pytest.fixture
def study(workspace, finished, monkeypatch):
    return copy_to_run(workspace, finished[0], monkeypatch)


def test_every_edit_of_every_image_is_written_with_what_made_it(study, finished):
    assert as_declared("causal.steer", finished[1]) == declared("causal.steer")
    table, damage, told = (tables.read(path) for path in TABLES)
    places = {("image", "prefill"), ("prompt_last", "every_step")}
    assert set(table[["at", "during"]].itertuples(index=False, name=None)) == places
    assert table["site"].unique().tolist() == ["layer_00", "layer_08"]
    assert len(table[["a", "b"]].drop_duplicates()) == 2
    for _, of_image in table.groupby(["a", "b", "at", "site", "image_id"]):
        assert list(of_image[["direction", "draw"]].itertuples(index=False, name=None)) == EDITS
    assert (table["answer_a"] == table["a"].map(WORDS)).all()
    assert (table["answer_b"] == table["b"].map(WORDS)).all()
    assert table["probability"].between(0, 1).all()
    assert table.groupby("image_id")["probability"].nunique().min() > 1
    assert np.isfinite(damage["damage"]).all()
    assert len(damage[damage["direction"] == RANDOM]) * len(EDITS) == len(damage)
    assert set(told["direction"]) == {"class_means", RANDOM}
    assert told.groupby("image_id")["before"].nunique().max() == 1
    for path in TABLES:
        assert tables.made_by(path)["model"]["name"] == "tiny-random"
    assert not Path(".scratch/causal_steer").exists(), "finished shards are cleared away"


def test_only_images_that_no_direction_was_fitted_on_are_steered_or_described(study):
    steered, damage = tables.read(STEERED), tables.read(DAMAGE)
    half = dict(zip(IDS, fitted_half(LABELS, PHOTOS, seed=42), strict=True))
    for table in (steered, damage):
        assert not any(half[image] for image in table["image_id"])
    assert (steered["image_id"].map(LABEL_OF) == steered["a"]).all(), "images of the class that is left"
    others = damage["image_id"].map(LABEL_OF)
    assert ((others != damage["a"]) & (others != damage["b"])).all()


def test_damage_is_told_by_other_images_for_each_pair_and_texts_are_kept_of_as_many_pairs_as_a_page_shows(
    study, monkeypatch
):
    monkeypatch.setattr(courses, "TOLD_PAIRS", 1)
    study.set_in(params.CAUSAL, steering__small={**STEERING, "others": 1, "at": ["prompt_last"]})
    main()
    answers, damage, descriptions = (tables.read(path) for path in TABLES)
    assert len(answers[["a", "b"]].drop_duplicates()) == 2
    assert damage["image_id"].nunique() == 2
    told = descriptions[["a", "b"]].drop_duplicates().to_numpy().tolist()
    assert told == answers[["a", "b"]].to_numpy()[:1].tolist()


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes_whatever_the_settings_of_the_other_sweep(study, monkeypatch):
    """DVC does not look at those, so it would not run the stage again."""
    study.set_in(params.CAUSAL, steering__full__draws=9)
    resumes_with_the_same_bytes(main, monkeypatch, killed_after=1, shards=2)


def test_the_full_sweep_reads_its_own_settings_and_not_the_small_ones(study):
    study.set(questions__sweep="full")
    main()
    table = tables.read(STEERED)
    assert set(table["strength"]) == {0.5, 2.0}
    assert set(table["at"]) == {"image"}
    assert len(table[["a", "b"]].drop_duplicates()) == 1


@pytest.mark.parametrize("answer", ["fist", ""], ids=["all the same", "none"])
def test_images_that_all_got_one_answer_leave_empty_tables_and_say_so(study, caplog, answer):
    columns = [list(tables.read(path).columns) for path in TABLES]
    answers([answer] * len(IDS))
    main()
    assert all(tables.read(path).empty for path in TABLES)
    assert [list(tables.read(path).columns) for path in TABLES] == columns
    assert "nothing is steered" in caplog.text


def test_an_image_that_gives_the_other_answer_anyway_is_not_steered_to_it_and_a_pair_without_images_is_left_out(study):
    """The tested half of B is called what A is; the fitted half, and by the alphabet the whole of B, is not."""
    half = fitted_half(LABELS, PHOTOS, seed=42)
    of_letter = {"A": "palm", "B": "fist", "C": "peace"}
    said = [of_letter[label] if label != "B" or fitted else "palm" for label, fitted in zip(LABELS, half, strict=True)]
    answers(said)
    study.set_in(params.CAUSAL, steering__small__pairs=6, steering__small__at=["image"], steering__small__layers=1)
    main()
    pairs = set(tables.read(STEERED)[["a", "b"]].itertuples(index=False, name=None))
    assert pairs == {("A", "B"), ("A", "C"), ("B", "C"), ("C", "A"), ("C", "B")}


def test_two_classes_alone_are_no_bug_and_what_is_steered_is_not_what_tells_the_damage(study):
    sample = tables.read("data/sample.parquet")
    tables.write(sample[sample["label"] != "C"].reset_index(drop=True), "data/sample.parquet", {})
    main()
    steered, damage = tables.read(STEERED), tables.read(DAMAGE)
    assert len(damage)
    for pair, of_pair in damage.groupby(["a", "b"]):
        mine = steered[(steered["a"] == pair[0]) & (steered["b"] == pair[1])]
        assert not set(of_pair["image_id"]) & set(mine["image_id"])


@pytest.mark.parametrize(
    ("file", "settings", "said"),
    [
        (
            params.CAUSAL,
            {"steering__small__strength": [1.0]},
            "steering.small.strength: unknown key. Did you mean 'strengths'?",
        ),
        (params.CAUSAL, {"steering__small__strengths": [0.0]}, "steering.small.strengths.0: expected greater than 0"),
        (params.PARAMS, {"questions__sweep": "smal"}, "questions.sweep: expected 'small' or 'full'"),
    ],
)
def test_a_mistake_in_the_sweep_is_named_and_no_table_is_touched(study, file, settings, said):
    STEERED.write_bytes(b"an earlier run's")
    study.set_in(file, **settings)
    assert f"{file}: {said}" in study.message_of_failure(main)
    assert STEERED.read_bytes() == b"an earlier run's"


def no_model(*_):
    raise AssertionError("a model is loaded")


def test_a_class_of_a_single_photo_is_named_before_a_model_is_loaded(study, monkeypatch):
    monkeypatch.setattr(ModelRun, "open", no_model)
    sample = tables.read("data/sample.parquet")
    sample.loc[sample["label"] == "B", "photo"] = "b0"
    tables.write(sample, "data/sample.parquet", {})
    assert "class B has 1 photo" in study.message_of_failure(main)
