"""The stage `erase`, with the tiny random model."""

from pathlib import Path

import numpy as np
import pytest

from signbridge import activations, tables
from signbridge.causal.directions import fit_half_probe
from signbridge.causal.edits import LEACE, NOTHING, RANDOM_SUBSPACE, SHUFFLED_LABELS
from signbridge.causal.pairs import fitted_half
from stages.erase import ACTIVATIONS, CHANGED, DAMAGE, PROBES, main
from tests.stages.causal_study import ENVIRONMENT, IDS, LABELS, PHOTOS, extracted, resumes_with_the_same_bytes
from tests.stages.small_study import as_declared, copy_into, declared, outputs, written_by

TABLES = (PROBES, CHANGED, DAMAGE)
ERASERS = (LEACE, RANDOM_SUBSPACE, SHUFFLED_LABELS)
FIRST, LAST = "layer_00", "layer_08"
HALF = fitted_half(LABELS, PHOTOS, seed=42)
TESTED = {image for image, fitted in zip(IDS, HALF, strict=True) if not fitted}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, dict[str, bytes]]:
    """The folder of a study whose stage has run, and what the stage wrote."""
    folder = tmp_path_factory.mktemp("erase")
    with extracted(folder):
        return folder, written_by(main)


@pytest.fixture
def study(workspace, finished, monkeypatch):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("LOKY_MAX_CPU_COUNT", "1")
    return copy_into(workspace, finished[0])


def rows_of(table, *names: str) -> set[tuple]:
    return set(table[list(names)].itertuples(index=False, name=None))


def test_every_eraser_is_read_where_it_erases_and_at_each_later_site_with_what_made_it(study, finished):
    assert as_declared("erase", finished[1]) == declared("erase")
    probes, changed, damage = (tables.read(path) for path in TABLES)
    erased = probes[probes["at"] != NOTHING]
    expected = {(eraser, *sites) for eraser in ERASERS for sites in ((FIRST, FIRST), (FIRST, LAST), (LAST, LAST))}
    assert rows_of(erased, "eraser", "site", "read_site") == expected
    assert rows_of(changed, "eraser", "site") == {(eraser, site) for eraser in ERASERS for site in (FIRST, LAST)}
    assert rows_of(damage, "eraser", "site") == {(eraser, site) for eraser in ERASERS for site in (FIRST, LAST)}
    assert set(erased["read_position"]) == {"prompt_last"}
    assert np.isfinite(damage["damage"]).all()
    for path in TABLES:
        assert tables.made_by(path)["model"]["name"] == "tiny-random"
    assert not Path(".scratch/erase").exists(), "finished shards are cleared away"


def test_only_images_that_nothing_was_fitted_on_are_tested(study):
    probes, changed, damage = (tables.read(path) for path in TABLES)
    for table in (probes, changed):
        for _, of_place in table.groupby(["at", "site", "eraser", "draw", *table.columns[4:-3]]):
            assert set(of_place["image_id"]) == TESTED
            assert len(of_place) == len(TESTED)
    assert set(damage["image_id"]) < TESTED
    assert damage["image_id"].nunique() == 2
    label_of = dict(zip(IDS, LABELS, strict=True))
    assert (probes["label"] == probes["image_id"].map(label_of)).all()


def test_what_is_read_with_nothing_erased_is_what_a_probe_of_the_extracted_vectors_reads(study):
    probes = tables.read(PROBES)
    for site in (FIRST, LAST):
        vectors = activations.read(ACTIVATIONS, site, "prompt_last", IDS)
        probe = fit_half_probe(vectors, LABELS, HALF, 0.1)
        mine = probes[(probes["eraser"] == NOTHING) & (probes["read_site"] == site)].set_index("image_id")["predicted"]
        tested = [image for image in IDS if image in TESTED]
        assert mine[tested].tolist() == probe.predict(vectors[~HALF]).tolist()


def test_a_second_run_writes_the_same_bytes_whatever_the_settings_of_the_other_sweep(study):
    """DVC does not look at those, so it would not run the stage again."""
    first = outputs()
    study.set(erasure__full__draws=9)
    main()
    assert outputs() == first


@pytest.mark.parametrize("killed_after", [1, 2], ids=["in the erased images", "in the describing prompt"])
def test_a_killed_run_goes_on_where_it_stopped(study, monkeypatch, killed_after):
    """Two shards of thirteen images under the erasers, then one of those that are fitted under the other prompt."""
    resumes_with_the_same_bytes(main, monkeypatch, killed_after, shards=3)


def test_the_full_sweep_reads_its_own_settings_and_not_the_small_ones(study):
    study.set(causal__sweep="full")
    main()
    probes, changed, _ = (tables.read(path) for path in TABLES)
    assert rows_of(changed, "at", "site") == {("image", "layer_04")}
    assert set(probes["read_position"]) == {"prompt_last", "image_mean"}, "the last token reads the image tokens later"


def test_no_layer_wanted_leaves_empty_tables(study):
    columns = [list(tables.read(path).columns) for path in TABLES]
    study.set(erasure__small__layers=0)
    main()
    assert all(tables.read(path).empty for path in TABLES)
    assert [list(tables.read(path).columns) for path in TABLES] == columns


def test_a_misspelt_key_of_the_sweep_is_named_and_no_table_is_touched(study):
    first = outputs()
    study.set(erasure__small={"layer": 2, "at": ["prompt_last"], "draws": 1, "others": 2})
    assert "erasure.small.layer: unknown key. Did you mean 'layers'?" in study.message_of_failure(main)
    assert outputs() == first


def test_a_class_of_a_single_photo_is_named(study):
    sample = tables.read("data/sample.parquet")
    sample.loc[sample["label"] == "B", "photo"] = "b0"
    tables.write(sample, "data/sample.parquet", {})
    assert "class B has 1 photo" in study.message_of_failure(main)


def test_activations_that_are_missing_are_reported_by_path(study):
    (ACTIVATIONS / "layer_08.parquet").unlink()
    assert "layer_08.parquet: no such table" in study.message_of_failure(main)
