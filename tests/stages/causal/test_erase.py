"""The stage `erase`, with the tiny random model."""

from pathlib import Path

import numpy as np
import pytest

from signbridge.core import params, tables
from signbridge.core.names import (
    LEACE,
    LEACE_IN_SAMPLE,
    NOTHING,
    RANDOM_SUBSPACE,
    SHUFFLED_LABELS,
)
from signbridge.probing import protocols
from signbridge.vlm.model_run import ModelRun
from stages.causal.erase import (
    ACTIVATIONS,
    CHANGED,
    DAMAGE,
    PROBES,
    main,
)
from tests.stages.causal_study import (
    ENVIRONMENT,
    ERASURE,
    IDS,
    LABELS,
    resumes_with_the_same_bytes,
)
from tests.stages.small_study import (
    as_declared,
    copy_into,
    declared,
    outputs,
)

TABLES = (PROBES, CHANGED, DAMAGE)
ERASERS = (LEACE, RANDOM_SUBSPACE, SHUFFLED_LABELS)
FIRST, LAST = "layer_00", "layer_08"
RENDERED = {"source": "rendered", "params": {"source": "rendered", "seed": 7, "size": 28, "photos": 2, "copies": 3}}


@pytest.fixture(scope="module")
def finished(edited) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder, written = edited
    return folder, written["stages.causal.erase"]


@pytest.fixture
def study(workspace, finished, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, finished[0])


def rows_of(table, *names: str) -> set[tuple]:
    return set(table[list(names)].itertuples(index=False, name=None))


def test_every_eraser_is_read_where_it_erases_and_at_each_later_site_with_what_made_it(study, finished):
    assert as_declared("causal.erase", finished[1]) == declared("causal.erase")
    probes, changed, damage = (tables.read(path) for path in TABLES)
    erased = probes[probes["eraser"].isin(ERASERS)]
    expected = {(eraser, *sites) for eraser in ERASERS for sites in ((FIRST, FIRST), (FIRST, LAST), (LAST, LAST))}
    assert rows_of(erased, "eraser", "site", "read_site") == expected
    assert rows_of(changed, "eraser", "site") == {(eraser, site) for eraser in ERASERS for site in (FIRST, LAST)}
    assert rows_of(damage, "eraser", "site") == {(eraser, site) for eraser in ERASERS for site in (FIRST, LAST)}
    assert set(erased["read_position"]) == {"prompt_last"}
    assert np.isfinite(damage["damage"]).all()
    for path in TABLES:
        assert tables.made_by(path)["model"]["name"] == "tiny-random"
    assert not Path(".scratch/causal_erase").exists(), "finished shards are cleared away"


def test_every_image_is_tested_once_at_each_place_and_answered_once_under_each_draw(study):
    probes, changed, damage = (tables.read(path) for path in TABLES)
    places = ["at", "site", "eraser", "draw"]
    for keys, table in (([*places, "read_site", "read_position"], probes), (places, changed)):
        for place, of_place in table.groupby(keys):
            assert list(of_place["image_id"]) == IDS, place
    assert rows_of(changed, "eraser", "draw") == {*((name, 0) for name in ERASERS), (SHUFFLED_LABELS, 1)}
    assert rows_of(probes[probes["eraser"] == LEACE_IN_SAMPLE], "site", "read_site") == {
        (FIRST, FIRST),
        (LAST, LAST),
    }
    assert damage["image_id"].nunique() == 2
    label_of = dict(zip(IDS, LABELS, strict=True))
    assert (probes["label"] == probes["image_id"].map(label_of)).all()
    assert {NOTHING, LEACE_IN_SAMPLE} < set(probes["eraser"])


def test_where_images_can_be_drawn_erasers_are_fitted_on_those_and_not_on_the_sample(study, monkeypatch):
    """Two of each letter, read under both prompts, and the sample in one part under one set of erasers."""
    folds = [tables.read(path) for path in TABLES]
    sample = tables.read("data/sample.parquet")
    tables.write(sample, "data/sample.parquet", {"images": RENDERED})
    read, in_shards = [], ModelRun.read_in_shards

    def noted(self, items, *arguments, **named):
        read.append((named["within"], len(items)))
        return in_shards(self, items, *arguments, **named)

    monkeypatch.setattr(ModelRun, "read_in_shards", noted)
    main()
    assert read == [("drawn-answers", 6), ("0", len(IDS)), ("drawn-descriptions", 6)]
    drawn = [tables.read(path) for path in TABLES]
    for of_drawn, of_folds in zip(drawn, folds, strict=True):
        keys = [name for name in ("at", "site", "eraser", "draw", "image_id") if name in of_drawn]
        assert rows_of(of_drawn, *keys) == rows_of(of_folds, *keys)
    assert not np.allclose(drawn[2]["damage"], folds[2].set_index(keys).loc[
        list(drawn[2][keys].itertuples(index=False, name=None)), "damage"])  # fmt: skip


@pytest.mark.slow
def test_a_killed_run_goes_on_to_the_same_bytes_whatever_the_settings_of_the_other_sweep(study, monkeypatch):
    """A shard for each half of the photos under its erasers, then two under the prompt that asks for a description.

    DVC does not look at the other sweep, so it would not run the stage again.
    """
    study.set_in(params.CAUSAL, erasure__full__draws=9)
    resumes_with_the_same_bytes(main, monkeypatch, killed_after=3, shards=4)


def test_the_full_sweep_reads_its_own_settings_and_not_the_small_ones(study):
    study.set(questions__sweep="full")
    main()
    probes, changed, _ = (tables.read(path) for path in TABLES)
    assert rows_of(changed, "at", "site") == {("image", "layer_04")}
    assert set(probes["read_position"]) == {"prompt_last", "image_mean", "image_token"}, (
        "the last token reads the image tokens later"
    )


def test_no_layer_wanted_leaves_empty_tables(study):
    columns = [list(tables.read(path).columns) for path in TABLES]
    study.set_in(params.CAUSAL, erasure__small__layers=0)
    main()
    assert all(tables.read(path).empty for path in TABLES)
    assert [list(tables.read(path).columns) for path in TABLES] == columns


def test_a_misspelt_key_of_the_sweep_is_named_and_no_table_is_touched(study):
    first = outputs()
    study.set_in(params.CAUSAL, erasure__small={**ERASURE, "layer": 2})
    assert "erasure.small.layer: unknown key. Did you mean 'layers'?" in study.message_of_failure(main)
    assert outputs() == first


def no_model(*_):
    raise AssertionError("a model is loaded")


def test_a_class_of_a_single_photo_is_named_before_a_model_is_loaded(study, monkeypatch):
    sample = tables.read("data/sample.parquet")
    sample.loc[sample["label"] == "B", "photo"] = "b0"
    tables.write(sample, "data/sample.parquet", {})
    monkeypatch.setattr(ModelRun, "open", no_model)
    assert "class B has 1 photo" in study.message_of_failure(main)


def test_a_class_of_as_few_photos_as_probes_take_is_erased(study):
    sample = tables.read("data/sample.parquet")
    of_b = sample["label"] == "B"
    sample.loc[of_b, "photo"] = [f"b{index % 2}" for index in range(of_b.sum())]
    labels, groups = sample["label"].to_numpy(), sample["photo"].to_numpy()
    assert protocols.grouped(labels, groups, folds=2, repeats=1, inner_folds=2, seed=0)
    tables.write(sample, "data/sample.parquet", {})
    main()
    probes = tables.read(TABLES[0])
    assert set(probes["label"]) == {"A", "B", "C"}
    assert probes["predicted"].isin(["A", "B", "C"]).all()


def test_activations_that_are_missing_are_reported_by_path(study):
    (ACTIVATIONS / "layer_08.parquet").unlink()
    assert "layer_08.parquet: no such table" in study.message_of_failure(main)
